"""The four databases, and what was on its way between them, to a folder and back.

The four snapshots are taken within milliseconds of one another, quicker than an event travels. An
event that one has sent and another has not seen is in the archives, which are saved after the
dumps; a restored service is filled again from them, and its inbox takes what it missed.

One service put back alone goes on in the world as it is. All four put back together forget what
was said since: their queues and archives are emptied and the archives filled from the folder, as
far as the restored databases know of it. What bureaus sent is never forgotten.
The keys are not in it: without them the encrypted columns are lost, so they are kept elsewhere.
"""

import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import psycopg2

from deploy.local.cluster import ADMIN, Cluster, binary, role_of
from deploy.local.servers import SERVICES
from deploy.local.stack import Stack
from services.chassis import archive_file, restored, schema
from services.chassis.arrivals import Series

MANIFEST = "manifest.json"
ARCHIVES = "archives"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: when it was made, each database's schema, events by archive."""

    made_at: datetime
    schemas: dict[str, int]
    epochs: dict[str, int]
    events_since: datetime
    events: dict[str, int]


def save(stack: Stack, folder: Path, *, hours: float) -> Manifest:
    """Dump the four databases at once, then the last ``hours`` of every archive.

    Raises ``FileExistsError`` when the folder holds something, ``RuntimeError`` when a dump fails.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"目录 {folder} 不是空的")
    began = datetime.now(UTC)
    since = began - timedelta(hours=hours)
    with ExitStack() as held:
        snapshots = {name: _snapshot(stack, name, held) for name in SERVICES}
        dumps = [(name, _dump(stack, name, folder, snapshots[name])) for name in SERVICES]
        for name, dump in dumps:
            _, complaint = dump.communicate()
            if dump.returncode:
                raise RuntimeError(f"pg_dump {name}: {complaint.strip()}")
    (folder / ARCHIVES).mkdir(mode=0o700)
    made = Manifest(
        made_at=began,
        schemas={name: schema.found(stack.database_urls[name]) or 0 for name in SERVICES},
        epochs={name: stack.epochs.get(name, 0) for name in SERVICES},
        events_since=since,
        events={
            name: archive_file.save(stack.owner_uri, name, _file(folder, name), since)
            for name in archive_file.exchanges()
        },
    )
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    return made


def read(folder: Path) -> Manifest:
    """What a folder holds. Raises ``FileNotFoundError`` when it is no backup."""
    return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)


def put_back(stack: Stack, folder: Path, services: Sequence[str]) -> None:
    """Replace the databases of these services by the dumps, and ready them to go on.

    No service may run. An archive that the broker has lost is filled from the folder.
    """
    for name in services:
        _load(stack, name, folder)
    known = {series: last for name in SERVICES for series, last in _counted(stack, name)}
    for name in services:
        restored.make_ready(name, stack.database_urls[name], stack.owner_uri)
    if set(services) == set(SERVICES):
        archive_file.forget(stack.owner_uri)
    for exchange in archive_file.exchanges():
        archive_file.fill(stack.owner_uri, exchange, _file(folder, exchange), known)


# -- databases --------------------------------------------------------------------------------


def _snapshot(stack: Stack, name: str, held: ExitStack) -> str:
    """Hold a view of a database as it is now, for its dump."""
    connection = held.enter_context(closing(psycopg2.connect(stack.database_urls[name])))
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    cursor = held.enter_context(connection.cursor())
    cursor.execute("SELECT pg_export_snapshot()")
    return str((cursor.fetchone() or ("",))[0])


def _dump(stack: Stack, name: str, folder: Path, snapshot: str) -> "subprocess.Popen[str]":
    address, environment = _address(stack, name)
    return subprocess.Popen(
        [
            binary("pg_dump"),
            *address,
            "--format=custom",
            f"--snapshot={snapshot}",
            f"--file={folder / name}.dump",
        ],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        umask=0o077,
    )


def _load(stack: Stack, name: str, folder: Path) -> None:
    if _is_ours(stack, name):
        cluster = stack.cluster
        assert cluster is not None
        cluster.drop_database(role_of(name))
        cluster.add_database(name)
    address, environment = _address(stack, name)
    done = subprocess.run(
        [
            binary("pg_restore"),
            *address,
            "--exit-on-error",
            *([] if _is_ours(stack, name) else ["--clean", "--if-exists", "--no-owner"]),
            str(folder / f"{name}.dump"),
        ],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pg_restore {name}: {done.stderr.strip()}")


def _is_ours(stack: Stack, name: str) -> bool:
    cluster: Cluster | None = stack.cluster
    return cluster is not None and stack.database_urls[name] == cluster.url(name)


def _address(stack: Stack, name: str) -> tuple[list[str], dict[str, str]]:
    """Where a database is and, in the environment, the password: never on a command line."""
    address = urlsplit(stack.owner_url(name))
    user, password = address.username or "", unquote(address.password or "")
    if _is_ours(stack, name):
        assert stack.cluster is not None
        user, password = ADMIN, stack.cluster.admin_password
    words = ["--host", str(address.hostname), "--port", str(address.port or 5432)]
    words += ["--username", user, "--no-password", "--dbname", address.path.lstrip("/")]
    return words, {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PGPASSWORD": password}


def _counted(stack: Stack, name: str) -> list[tuple[Series, int]]:
    """How far a database says that its service has counted."""
    with (
        closing(psycopg2.connect(stack.database_urls[name])) as database,
        database.cursor() as cursor,
    ):
        cursor.execute("SELECT exchange, type, county, last FROM event_sequence")
        return [(Series(*series), last) for *series, last in cursor.fetchall()]


def _file(folder: Path, exchange: str) -> Path:
    return folder / ARCHIVES / f"{exchange}.jsonl.gz"
