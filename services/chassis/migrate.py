"""Migrations of one service: ``python -m services.chassis.migrate registry [--revision TEXT]``.

Upgrades to the newest revision under an advisory lock, with a lock timeout, so that two runs at
once are harmless. ``--revision`` writes a new one from the difference of models and database.

Runs as the owner of the tables (``<SERVICE>_OWNER_DATABASE_URL``) and gives the service's own role
(that of ``<SERVICE>_DATABASE_URL``) its rights anew each time. Without an owner's address the
service's role owns the tables itself: for a trial only.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, make_url, text

import services
from services.chassis import database, privileges, schema
from services.chassis.models import ChassisBase

LOCK_KEY = 0x5A68_0002


def _config(service: str) -> Config:
    config = Config()
    folder = Path(services.__file__).parent / service / "migrations"
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    models = importlib.import_module(f"services.{service}.models")
    config.attributes["metadata"] = [ChassisBase.metadata, models.Base.metadata]
    return config


def upgrade(service: str, database_url: str, *, runtime: str | None = None) -> None:
    """Bring a service's database to the newest schema, as its owner; one that is the next
    release's is left.

    ``runtime`` is the role the service works under, when that is not the owner. Raises
    ``WrongSchema`` when the database is newer still.
    """
    code = schema.expected(service)
    at = schema.found(database_url)
    if at is not None and at > code:
        if problem := schema.verdict(at, code):
            raise schema.WrongSchema(f"{service}: {problem}")
        return
    with database.engine(database_url, poolclass=NullPool).connect() as connection:
        _locked(connection)
        config = _config(service)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        privileges.prepare(connection)
        if runtime is not None:
            privileges.grant(connection, runtime)
        connection.commit()


def at_head(service: str, database_url: str) -> bool:
    """Whether a database has exactly the schema of this code."""
    with database.engine(database_url, poolclass=NullPool).connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory.from_config(_config(service)).get_current_head()


def revise(service: str, database_url: str, message: str) -> None:
    """Write a revision that brings the database to the models."""
    with database.engine(database_url, poolclass=NullPool).connect() as connection:
        config = _config(service)
        config.attributes["connection"] = connection
        scripts = ScriptDirectory.from_config(config)
        number = sum(1 for _ in scripts.walk_revisions()) + 1
        folder = str(Path(services.__file__).parent / service / "migrations")
        command.revision(
            config, message, autogenerate=True, rev_id=f"{number:04d}", version_path=folder
        )


def runtime_role(url: str, owner_url: str) -> str | None:
    """The role of ``url`` when it is another than the owner's."""
    role, owner = make_url(url).username, make_url(owner_url).username
    return role if role != owner else None


def _locked(connection: Connection) -> None:
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.commit()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service")
    parser.add_argument("--revision", metavar="TEXT")
    arguments = parser.parse_args()
    prefix = arguments.service.upper()
    url = os.environ[f"{prefix}_DATABASE_URL"]
    owner_url = os.environ.get(f"{prefix}_OWNER_DATABASE_URL") or url
    if arguments.revision:
        revise(arguments.service, owner_url, arguments.revision)
    else:
        upgrade(arguments.service, owner_url, runtime=runtime_role(url, owner_url))


if __name__ == "__main__":
    main()
