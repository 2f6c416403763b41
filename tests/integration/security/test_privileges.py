"""The role a service works under: rows yes, tables no, history never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from deploy.local import Servers
from services.chassis.discovery import NAMES

APPEND_ONLY = {
    "registry": {"audit", "audit_seal", "sign_in"},
    "cases": {"audit", "audit_seal", "fact"},
    "funding": {"audit", "audit_seal", "transfer"},
    "notify": {"audit", "audit_seal"},
}


@pytest.fixture
def entered(database: Callable[[str], str]) -> Iterator[Callable[[str], Any]]:
    """A connection to a service's database as the service makes it."""
    opened = []

    def enter(service: str) -> Any:
        connection = psycopg2.connect(database(service))
        connection.autocommit = True
        opened.append(connection)
        return connection.cursor()

    yield enter
    for connection in opened:
        connection.close()


def refused(cursor: Any, statement: str) -> None:
    """The database refuses the statement for want of a right."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(statement)


@pytest.mark.parametrize("service", NAMES)
def test_a_service_works_on_rows_and_nothing_else(
    service: str, entered: Callable[[str], Any]
) -> None:
    """No DDL, no switching off of triggers, no change of what is append-only; it owns nothing."""
    cursor = entered(service)
    cursor.execute("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole")
    assert cursor.fetchone() == (0,)
    cursor.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication, "
        "(SELECT count(*) FROM pg_auth_members WHERE member = pg_roles.oid) "
        "FROM pg_roles WHERE rolname = current_user"
    )
    assert cursor.fetchone() == (False, False, False, False, False, 0)
    for statement in (
        "CREATE TABLE mine ()",
        "DROP TABLE audit",
        "ALTER TABLE audit ADD COLUMN more text",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_append_only ON audit",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS ''",
        "SET session_replication_role = replica",
        "UPDATE alembic_version SET version_num = '9999'",
        "TRUNCATE inbox",
        "COPY audit TO PROGRAM 'cat'",
    ):
        refused(cursor, statement)
    cursor.execute(
        "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE tgname = relname || '_append_only'"
    )
    append_only = {name for (name,) in cursor.fetchall()}
    assert append_only == APPEND_ONLY[service]
    for table in append_only:
        cursor.execute(f"SELECT count(*) FROM {table}")
        cursor.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_name = %s AND is_identity = 'NO' LIMIT 1",
            [table],
        )
        ((column,),) = cursor.fetchall()
        refused(cursor, f"UPDATE {table} SET {column} = {column}")
        refused(cursor, f"DELETE FROM {table}")
        refused(cursor, f"TRUNCATE {table}")


def test_the_right_is_missing_not_only_guarded_by_a_trigger(
    entered: Callable[[str], Any], database: Callable[[str], str]
) -> None:
    """Should a trigger be lost in a migration, the role still may not rewrite history."""
    cursor = entered("funding")
    for right in ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
        cursor.execute("SELECT has_table_privilege('transfer', %s)", [right])
        assert cursor.fetchone() == (False,), right
    with closing(psycopg2.connect(database("funding"))) as connection:
        assert connection.info.user == "zhida_funding"


def test_the_trigger_stands_behind_the_right(
    servers: Servers, entered: Callable[[str], Any]
) -> None:
    """The owner of the tables, who has every right on them, is refused by the trigger."""
    name = entered("notify").connection.info.dbname
    with closing(psycopg2.connect(servers.cluster.owner_url("notify", name))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO audit (business_on, actor_id, actor_name, action, subject_type, "
                "subject_id, detail) VALUES (current_date, 'x', 'x', 'x', 'x', 'x', '{}')"
            )
            for change in ("UPDATE audit SET actor_name = ''", "DELETE FROM audit"):
                with pytest.raises(psycopg2.Error, match="append-only"):
                    cursor.execute(change)
