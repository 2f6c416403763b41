"""Statements planned once a connection answer as they would unplanned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    Engine,
    LargeBinary,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeEngine

from deploy.local import Servers
from services.chassis.database import engine
from services.chassis.planned import PLANNED


@pytest.fixture
def one_connection(servers: Servers) -> Iterator[Engine]:
    """An engine with a single connection to a database of its own."""
    with servers.cluster.scratch_database("registry") as url:
        made = engine(url, pool_size=1, max_overflow=0)
        yield made
        made.dispose()


def planned(engine: Engine) -> int:
    """How many plans the connection keeps."""
    with engine.begin() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) or 0)


VALUES = [
    (Text(), "直达'; DROP TABLE person; --"),
    (Text(), "100 % %(a)s %s $1 :a \\ \\x41"),
    (Text(), ""),
    (Text(), None),
    (Boolean(), True),
    (BigInteger(), -(2**40)),
    (Date(), date(2026, 2, 28)),
    (Uuid(), UUID("01900000-0000-7000-8000-000000000001")),
    (Uuid(), None),
    (LargeBinary(), b"\x00\xff'"),
    (ARRAY(Text()), ["421083", "a'b"]),
    (ARRAY(Text()), []),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=repr)
def test_whatever_is_given_arrives_as_it_would_unplanned(
    one_connection: Engine, kind: TypeEngine[Any], value: Any
) -> None:
    """Values of every kind, ten times: the server changes to a common plan after the fifth."""
    asked = select(cast(bindparam("a"), kind), cast(bindparam("a"), kind).is_(None))
    with one_connection.begin() as connection:
        expected = connection.execute(asked, {"a": value}).one()
        assert _plain(expected[0]) == value
        for _ in range(10):
            found = connection.execute(asked, {"a": value}, execution_options=PLANNED).one()
            assert [_plain(each) for each in found] == [_plain(each) for each in expected]


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


def test_a_statement_is_planned_once_a_connection(one_connection: Engine) -> None:
    """However often it comes and with whatever; per cent signs and colons of its own stay."""
    found = text("SELECT 7 % 4, '%', CAST(:n AS int), :n + 1 WHERE :n = ANY (:all)")
    statement = found.execution_options(**PLANNED)
    for number in range(20):
        with one_connection.begin() as connection:
            given = {"n": number, "all": list(range(number + 1))}
            assert connection.execute(statement, given).one() == (3, "%", number, number + 1)
    assert planned(one_connection) == 1


def test_lists_of_bytes_are_one_array(one_connection: Engine) -> None:
    """As the index of an identity number is looked up."""
    wanted = bindparam("wanted", type_=ARRAY(LargeBinary))
    statement = select(bindparam("x", type_=LargeBinary) == any_(wanted))
    with one_connection.begin() as connection:
        for among, expected in (([b"\x01", b"\xff\x00"], True), ([b"\x02"], False), ([], False)):
            given = {"x": b"\xff\x00", "wanted": among}
            assert connection.scalar(statement, given, execution_options=PLANNED) is expected


def test_a_plan_outlives_what_went_wrong_and_a_changed_table(one_connection: Engine) -> None:
    """A rollback does not lose it, and a new column or index changes nothing of the answer."""
    with one_connection.begin() as connection:
        connection.execute(text("CREATE TABLE thing (id int PRIMARY KEY)"))
    put = text("INSERT INTO thing (id) VALUES (:id)").execution_options(**PLANNED)
    count = select(func.count()).select_from(text("thing")).execution_options(**PLANNED)
    with one_connection.begin() as connection:
        connection.execute(put, {"id": 1})
    with one_connection.connect() as connection:
        connection.execute(count)
        with pytest.raises(IntegrityError):
            connection.execute(put, {"id": 1})
    with one_connection.begin() as connection:
        connection.execute(text("ALTER TABLE thing ADD COLUMN name text DEFAULT 'x'"))
    with one_connection.begin() as connection:
        connection.execute(put, {"id": 2})
        assert connection.scalar(count) == 2
    assert planned(one_connection) == 2


def test_a_new_connection_plans_anew(one_connection: Engine) -> None:
    """Also after the server ended the old one."""
    statement = select(cast(literal(1), BigInteger)).execution_options(**PLANNED)
    with one_connection.connect() as connection:
        assert connection.scalar(statement) == 1
        connection.invalidate()
    with one_connection.begin() as connection:
        assert connection.scalar(statement) == 1
    assert planned(one_connection) == 1
