"""What a service may do in its own database: work on its rows, and nothing else.

Tables belong to an owner that only migrations are; the service's role reads and writes rows. It
makes and alters no table, switches off no trigger, and what is append-only (audit, ledger …) it can
neither update nor delete.
"""

from __future__ import annotations

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

_TABLES = text(
    "SELECT relname, EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid "
    "AND tgname = relname || '_append_only') FROM pg_class "
    "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
)
READ_ONLY = frozenset({"alembic_version"})


def rights_on(table: str, *, append_only: bool) -> str:
    """What the service's role may do with a table."""
    if table in READ_ONLY:
        return "SELECT"
    return "SELECT, INSERT" if append_only else "SELECT, INSERT, UPDATE, DELETE"


REFRESH_STATISTICS = """
CREATE OR REPLACE FUNCTION refresh_statistics(wanted regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ANALYZE %s', wanted);
END $$
"""
"""ANALYZE is the owner's alone: after mass work a service asks for it through this."""


def refresh_statistics(session: Session, *tables: str) -> None:
    """Let the planner see how full tables are: right after mass work it believes them empty, and
    plans that were kept (``planned``) were made for what they held before.
    """
    for table in tables:
        session.execute(_REFRESH, {"name": table})


_REFRESH = text("SELECT refresh_statistics(CAST(:name AS regclass))")


def prepare(connection: Connection) -> None:
    """What every database has, whoever works on it."""
    connection.execute(text(REFRESH_STATISTICS))
    connection.execute(text("REVOKE ALL ON FUNCTION refresh_statistics FROM PUBLIC"))


def grant(connection: Connection, role: str) -> None:
    """Give ``role`` what a service needs, and take from it whatever else it had."""
    quote = connection.dialect.identifier_preparer.quote
    to = quote(role)
    tables = connection.execute(_TABLES).all()
    schema = quote(str(connection.execute(text("SELECT current_schema()")).scalar_one()))
    statements = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {to}",
        f"REVOKE CREATE ON SCHEMA {schema} FROM {to}",
        f"GRANT USAGE ON SCHEMA {schema} TO {to}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {to}",
        f"GRANT EXECUTE ON FUNCTION refresh_statistics TO {to}",
        *(
            f"GRANT {rights_on(name, append_only=appended)} ON {schema}.{quote(name)} TO {to}"
            for name, appended in tables
        ),
    ]
    for statement in statements:
        connection.execute(text(statement))
