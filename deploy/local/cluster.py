"""A private PostgreSQL cluster from Debian's package, and the databases on it."""

import contextlib
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import psycopg2
from psycopg2 import sql

from deploy.local.accounts import MEMORY, Account, account
from deploy.local.ports import free_ports, keep_or_replace
from deploy.local.programs import Program

HOST = "127.0.0.1"
DEBIAN = Path("/usr/lib/postgresql")
ADMIN = "postgres"


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Where a private cluster stands and how it is entered. Plain data: it can be saved."""

    home: str
    port: int
    admin_password: str
    role_password: str
    fast: bool
    owner_password: str = ""

    @classmethod
    def plan(cls, home: Path, *, fast: bool = False) -> Self:
        """A cluster to be. `fast` gives up surviving a power cut: for tests only."""
        (port,) = free_ports(1)
        return cls(
            home=str(home),
            port=port,
            admin_password=secrets.token_urlsafe(18),
            role_password=secrets.token_urlsafe(18),
            fast=fast,
            owner_password=secrets.token_urlsafe(18),
        )

    def with_free_port(self) -> Self:
        """The same cluster, on another port when somebody else holds its own by now."""
        return msgspec.structs.replace(self, **keep_or_replace({"port": self.port}))

    def url(self, service: str, database: str | None = None) -> str:
        """The address of a service's database (or of another one it works on)."""
        role = role_of(service)
        return f"postgresql://{role}:{self.role_password}@{HOST}:{self.port}/{database or role}"

    def owner_url(self, service: str, database: str | None = None) -> str:
        """As `url`, as the owner of the tables: for migrations."""
        who = f"{owner_of(service)}:{self.owner_password}"
        return f"postgresql://{who}@{HOST}:{self.port}/{database or role_of(service)}"

    @property
    def _in_memory(self) -> bool:
        return Path(self.home).is_relative_to(MEMORY)

    # -- the process -----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the cluster if there is none yet (about half a second)."""
        owner, home = _account(), Path(self.home)
        owner.folder(home)
        if not (home / "data" / "PG_VERSION").exists():
            password = owner.file(home / "password", self.admin_password)
            _run(
                owner,
                [binary("initdb"), "--pgdata", str(home / "data"), "--username", ADMIN]
                + ["--pwfile", str(password), "--auth", "scram-sha-256", "--encoding", "UTF8"]
                + ["--locale", "C.UTF-8"]
                + (["--no-sync"] if self.fast else []),
            )
            password.unlink()
        owner.file(home / "data" / "postgresql.auto.conf", self._configuration())

    def programs(self) -> tuple[Program]:
        """The server; SIGINT is its fast and clean stop, SIGQUIT needs no cleanliness."""
        return (
            Program(
                name="postgres",
                command=(binary("postgres"), "-D", f"{self.home}/data"),
                directory=Path(self.home),
                account=_account(),
                stop_signal=signal.SIGQUIT if self.fast else signal.SIGINT,
                stop_seconds=30,
            ),
        )

    def is_ready(self) -> bool:
        """True when the server takes clients."""
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    # -- what stands on it -----------------------------------------------------------------------

    def connect(self, database: str = "postgres") -> Any:
        """An autocommitting psycopg2 connection as the cluster's administrator."""
        connection = psycopg2.connect(
            host=HOST,
            port=self.port,
            user=ADMIN,
            password=self.admin_password,
            dbname=database,
            connect_timeout=5,
        )
        connection.autocommit = True
        return connection

    def add_database(self, service: str, name: str | None = None, template: str = "") -> str:
        """Make a database for a service, if there is none; returns the owner's address.

        Two roles and no other may connect: the owner, who migrates, and the service's own, which
        gets its rights on the tables from the migration. `template` copies another database of
        the cluster, rights included (some 50 ms).
        """
        role, owner, database = role_of(service), owner_of(service), name or role_of(service)
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for login, password in ((owner, self.owner_password), (role, self.role_password)):
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login])
                if cursor.fetchone() is None:
                    cursor.execute(
                        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                            sql.Identifier(login), sql.Literal(password)
                        )
                    )
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if cursor.fetchone() is None:
                cursor.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY {}").format(
                        sql.Identifier(database),
                        sql.Identifier(owner),
                        sql.Identifier(template or "template1"),
                        # In memory copying files is twice as fast, on a disk four times as slow.
                        sql.SQL("FILE_COPY" if self._in_memory else "WAL_LOG"),
                    )
                )
                for statement in (
                    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
                    "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}",
                ):
                    cursor.execute(
                        sql.SQL(statement).format(
                            database=sql.Identifier(database), role=sql.Identifier(role)
                        )
                    )
        return self.owner_url(service, database)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending whoever is still connected to it."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def has_database(self, name: str) -> bool:
        """True when the cluster holds a database of that name."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            return cursor.fetchone() is not None

    @contextlib.contextmanager
    def scratch_database(self, service: str, template: str = "") -> Iterator[str]:
        """The owner's address of a fresh database of the service, removed afterwards."""
        name = f"scratch_{service}_{secrets.token_hex(6)}"
        url = self.add_database(service, name, template)
        try:
            yield url
        finally:
            self.drop_database(name)

    def _configuration(self) -> str:
        # Parameters of failed statements may be personal data: they are kept out of the log.
        lines = [
            f"listen_addresses = '{HOST}'",
            f"port = {self.port}",
            "unix_socket_directories = ''",
            "max_connections = 300",
            "shared_buffers = 256MB",
            "max_wal_size = 2GB",
            "jit = off",
            "log_min_error_statement = panic",
            "log_error_verbosity = terse",
            "track_commit_timestamp = on",
        ]
        if self.fast:
            lines += ["fsync = off", "synchronous_commit = off", "full_page_writes = off"]
        return "\n".join(lines) + "\n"


def role_of(service: str) -> str:
    """The role of a service, which is also the name of its database."""
    return f"zhida_{service}"


def owner_of(service: str) -> str:
    """The role that owns the tables of a service."""
    return f"{role_of(service)}_owner"


def _account() -> Account:
    return account("postgres")


def binary(name: str) -> str:
    """The newest installed PostgreSQL's program of that name."""
    versions = sorted(DEBIAN.glob("[0-9]*"), key=lambda path: int(path.name))
    if not versions:
        raise FileNotFoundError("没有找到 PostgreSQL，请运行：sudo apt-get install postgresql")
    return str(versions[-1] / "bin" / name)


def _run(owner: Account, command: list[str]) -> None:
    other = not owner.is_ours
    done = subprocess.run(
        command,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        user=owner.uid if other else None,
        group=owner.gid if other else None,
        extra_groups=[] if other else None,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name}: {done.stderr.strip() or done.stdout.strip()}")
