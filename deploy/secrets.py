"""Makes the secrets of an installation: ``python -m deploy.secrets --folder FOLDER`` once.

Each process gets a file of its own with its own keys only: ``registry.env`` … ``portal.env``.
``registry-owner.env`` … are for the migrations alone: a service works under a role that owns
nothing. ``databases.env`` and ``definitions.json`` (users and their rights) are for the
servers of the compose file, ``broker.env`` has the passwords in it. With ``--kubernetes`` the
addresses are those of ``kubernetes/`` and ``kubernetes.yaml`` holds everything as Secrets:
``kubectl apply --filename FOLDER/kubernetes.yaml``, or what it holds into the city's secret store.
Keep the folder outside the project and in two places: without the keys the sealed columns of the
databases are lost. A folder that holds secrets already is left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.chassis import keys, rights
from services.chassis.discovery import NAMES

PROCESSES = (*NAMES, "portal")
USERS = tuple(user.user for user in rights.written())
"""Of the broker: the processes, and the person at the command line."""

NAMESPACE = "zhida"
BASIC = "kubernetes.io/basic-auth"
VHOST = "zhida"
ADMIN, TAG = "admin", "administrator"


def generate(
    broker: str,
    databases: Mapping[str, str],
    *,
    broker_authority: str = "",
    database_authority: str = "",
) -> dict[str, dict[str, str]]:
    """The environment of every process, by file name without ``.env``.

    ``broker`` is the broker's ``host:port/vhost``, on which each process is a user of its own;
    ``databases`` maps a service to ``host:port``. Where an authority's file is named (as a process
    will find it), the server is reached over TLS and must show a certificate of that authority.
    """
    scheme = "amqps" if broker_authority else "amqp"
    trusted = f"?cacertfile={broker_authority}" if broker_authority else ""
    verified = (
        f"?sslmode=verify-full&sslrootcert={database_authority}" if database_authority else ""
    )
    made = keys.generate()
    users = {name: secrets.token_urlsafe(24) for name in USERS}
    passwords = {name: secrets.token_urlsafe(24) for name in NAMES}
    files = {
        name: {
            "AMQP_URI": f"{scheme}://{name}:{quote(password, safe='')}@{broker}{trusted}",
            **keys.visible_to(name, made),
        }
        for name, password in users.items()
        if name in PROCESSES
    }
    owners = {name: secrets.token_urlsafe(24) for name in NAMES}
    for name, host in databases.items():
        url = f"postgresql://{name}:{quote(passwords[name], safe='')}@{host}/{name}{verified}"
        files[name][f"{name.upper()}_DATABASE_URL"] = url
        owner = f"postgresql://{name}_owner:{quote(owners[name], safe='')}@{host}/{name}{verified}"
        files[f"{name}-owner"] = {
            f"{name.upper()}_DATABASE_URL": url,
            f"{name.upper()}_OWNER_DATABASE_URL": owner,
        }
    files["broker"] = {
        "ADMIN_PASSWORD": secrets.token_urlsafe(24),
        **{f"{name.upper()}_PASSWORD": password for name, password in users.items()},
    }
    files["databases"] = {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        **{f"{name.upper()}_PASSWORD": password for name, password in passwords.items()},
        **{f"{name.upper()}_OWNER_PASSWORD": password for name, password in owners.items()},
    }
    return files


def definitions(files: Mapping[str, Mapping[str, str]], vhost: str = VHOST) -> str:
    """What a single broker starts from: vhost, a user for each process with its rights, and the
    administrator who brings bureaus in."""
    passwords = {name: files["broker"][f"{name.upper()}_PASSWORD"] for name in USERS}
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    stands: dict[str, list[Any]] = {
        "vhosts": [{"name": vhost}],
        "users": [
            {"name": ADMIN, "password": files["broker"]["ADMIN_PASSWORD"], "tags": [TAG]},
            *({"name": n, "password": word, "tags": []} for n, word in passwords.items()),
        ],
        "permissions": [{"user": ADMIN, "vhost": vhost, **everything}],
        "topic_permissions": [],
    }
    for user in rights.written():
        for kind, rows in user.definitions(vhost).items():
            stands[kind] += rows
    return json.dumps(stands, indent=1) + "\n"


def manifests(files: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """The same as Secrets of ``kubernetes/``: one for each process and each migration, for each
    database's owner and its service's role, each user of the broker, and what the trial's broker
    starts from."""
    data: dict[str, Mapping[str, str]] = {name: files[name] for name in PROCESSES}
    for name in NAMES:
        data[f"{name}-owner"] = files[f"{name}-owner"]
        for kind, role, key in (
            ("owner", f"{name}_owner", "OWNER_PASSWORD"),
            ("role", name, "PASSWORD"),
        ):
            word = files["databases"][f"{name.upper()}_{key}"]
            data[f"{name}-db-{kind}"] = {"username": role, "password": word}
    for name in (*USERS, ADMIN):
        word = files["broker"][f"{name.upper()}_PASSWORD"]
        data[f"broker-{name}"] = {"username": name, "password": word}
    data["broker-definitions"] = {"definitions.json": definitions(files)}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "type": BASIC if name.endswith(("-db-owner", "-db-role")) else "Opaque",
            "stringData": dict(values),
        }
        for name, values in data.items()
    ]


def write(folder: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    """Write the files, readable by their owner alone. Raises ``FileExistsError`` rather than lose
    the keys of a living installation."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if taken := sorted(path.name for path in folder.glob("*.env")):
        raise FileExistsError(f"{folder} 已有密钥文件（{'、'.join(taken)}），没有改动")
    for name, variables in files.items():
        _keep(folder / f"{name}.env", "".join(f"{k}={v}\n" for k, v in variables.items()))


def _keep(path: Path, text: str, mode: int = 0o600) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        stream.write(text)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--broker", help="host:port of the broker")
    parser.add_argument(
        "--database", help="host:port of the databases, {service} in it stands for each one's name"
    )
    for server in ("broker", "database"):
        parser.add_argument(
            f"--{server}-authority", default="", metavar="FILE",
            help=f"reach the {server} over TLS; FILE says, to the processes, who vouches for it",
        )  # fmt: skip
    parser.add_argument("--kubernetes", action="store_true", help="write kubernetes.yaml too")
    arguments = parser.parse_args()
    host = arguments.database or (
        "{service}-db-rw:5432" if arguments.kubernetes else "databases:5432"
    )
    # Named in full: KEDA asks for the length of queues from a namespace of its own.
    broker = arguments.broker or (
        f"broker.{NAMESPACE}.svc:5672" if arguments.kubernetes else "broker:5672"
    )
    files = generate(
        f"{broker}/{VHOST}",
        {name: host.replace("{service}", name) for name in NAMES},
        broker_authority=arguments.broker_authority,
        database_authority=arguments.database_authority,
    )
    try:
        write(arguments.folder, files)
        # The broker in its container reads this as a user of its own; the folder lets nobody in.
        _keep(arguments.folder / "definitions.json", definitions(files), 0o644)
        if arguments.kubernetes:
            listed = {"apiVersion": "v1", "kind": "List", "items": manifests(files)}
            _keep(arguments.folder / "kubernetes.yaml", json.dumps(listed, indent=1) + "\n")
    except FileExistsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
