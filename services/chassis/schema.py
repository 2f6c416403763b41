"""Whether a database holds a schema that this code can work on: asked before anything is consumed.

Schemas change by expand and contract: a release first adds, and what is no longer used goes a
release later. So a process works on the schema of its own release and on the next one's (that is
what it meets while a new version rolls out, and after a roll-back), and on no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg2

import services
from services.chassis.logs import get_logger

log = get_logger(__name__)

AHEAD = 1
"""By how many revisions (one a release) a database may be ahead of the code."""

LOOK_EVERY_S = 2.0


class WrongSchema(RuntimeError):
    """The database's schema is not there, too old or too new; the process does not start."""


def expected(service: str) -> int:
    """The number of the newest revision that this code knows."""
    folder = Path(services.__file__).parent / service / "migrations"
    return max(int(path.name[:4]) for path in folder.glob("[0-9][0-9][0-9][0-9]_*.py"))


def found(database_url: str) -> int | None:
    """The revision a database is at; None when it was never migrated.

    Raises ``psycopg2.OperationalError`` when the database cannot be reached.
    """
    connection = psycopg2.connect(database_url, connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
            if not (cursor.fetchone() or (False,))[0]:
                return None
            cursor.execute("SELECT version_num FROM alembic_version")
            row = cursor.fetchone()
            return int(row[0]) if row else None
    finally:
        connection.close()


def verdict(at: int | None, code: int) -> str | None:
    """Why code that knows revision ``code`` must not run on a database ``at``; None when it may."""
    if at is None:
        return f"there is no schema; this code needs revision {code:04d}: run the migration job"
    if at < code:
        return f"schema {at:04d} is older than this code ({code:04d}): run the migration job"
    if at > code + AHEAD:
        return f"schema {at:04d} is too new for this code ({code:04d}): deploy a newer version"
    return None


def require(
    service: str, database_url: str, *, sleep: Callable[[float], object] = time.sleep
) -> None:
    """Return when the schema is one to work on; a database that is away is waited for.

    Raises ``WrongSchema``.
    """
    told = False
    while True:
        try:
            at = found(database_url)
            break
        except psycopg2.OperationalError as error:
            if not told:
                log.warning("database_awaited", error=str(error).strip().splitlines()[0][:200])
                told = True
            sleep(LOOK_EVERY_S)
    if problem := verdict(at, expected(service)):
        raise WrongSchema(f"{service}: {problem}")
