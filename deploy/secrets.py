"""Makes the secrets of an installation: ``python -m deploy.secrets --folder FOLDER`` once.

Each process gets a file of its own with its own keys only: ``registry.env`` … ``portal.env``, for
the compose file as they are, for Kubernetes by ``kubectl create secret generic registry
--from-env-file=FOLDER/registry.env``. ``databases.env`` and ``broker.env`` are for the servers.
Keep the folder outside the project and in two places: without the keys the sealed columns of the
databases are lost. A folder that holds secrets already is left alone.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from services.chassis import keys
from services.chassis.discovery import NAMES

PROCESSES = (*NAMES, "portal")


def generate(broker: str, databases: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The environment of every process, by file name without ``.env``.

    ``broker`` is the broker's ``host:port/vhost``; ``databases`` maps a service to ``host:port``.
    """
    made = keys.generate()
    broker_password = secrets.token_urlsafe(24)
    amqp_uri = f"amqp://zhida:{quote(broker_password, safe='')}@{broker}"
    passwords = {name: secrets.token_urlsafe(24) for name in NAMES}
    files = {name: {"AMQP_URI": amqp_uri, **keys.visible_to(name, made)} for name in PROCESSES}
    for name, host in databases.items():
        url = f"postgresql://{name}:{quote(passwords[name], safe='')}@{host}/{name}"
        files[name][f"{name.upper()}_DATABASE_URL"] = url
    files["broker"] = {
        "RABBITMQ_DEFAULT_USER": "zhida",
        "RABBITMQ_DEFAULT_PASS": broker_password,
        "RABBITMQ_DEFAULT_VHOST": broker.partition("/")[2] or "/",
    }
    files["databases"] = {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        **{f"{name.upper()}_PASSWORD": password for name, password in passwords.items()},
    }
    return files


def write(folder: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    """Write the files, readable by their owner alone. Raises ``FileExistsError`` rather than lose
    the keys of a living installation."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if taken := sorted(path.name for path in folder.glob("*.env")):
        raise FileExistsError(f"{folder} 已有密钥文件（{'、'.join(taken)}），没有改动")
    for name, variables in files.items():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(folder / f"{name}.env", flags, 0o600), "w") as stream:
            stream.writelines(f"{key}={value}\n" for key, value in variables.items())


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--broker", default="broker:5672/zhida", help="host:port/vhost")
    parser.add_argument("--database", default="databases:5432", help="host:port of all four")
    arguments = parser.parse_args()
    files = generate(arguments.broker, dict.fromkeys(NAMES, arguments.database))
    try:
        write(arguments.folder, files)
    except FileExistsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
