"""Rows of several tables written with one statement.

Each table's rows travel as one JSON document, so the statement is the same however many there are,
and its text is made once. A statement less is a way to the database and back less.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import TextClause, inspect, text
from sqlalchemy.orm import DeclarativeBase, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from services.chassis.planned import PLANNED

Row = dict[str, Any]
Rows = Mapping[type[Any], Sequence[Row]]
"""Rows by their model, in the order they are to be written; those of a model with equal keys."""


def write(session: Session, rows: Rows, *then: tuple[str, Row]) -> None:
    """Insert ``rows``, each model's in their order; the models are written as if at once.

    ``then`` are further statements with a document of their own, which they call ``:given``.
    """
    parts: list[tuple[str, tuple[str, ...]]] = []
    given: list[str] = []
    for model, those in rows.items():
        if those:
            if any(row.keys() != those[0].keys() for row in those):
                raise ValueError(f"rows of {model.__tablename__} with different keys")
            parts.append((str(model.__tablename__), tuple(those[0])))
            given.append(_document([_plain(row) for row in those]))
    for statement, document in then:
        parts.append((statement, ()))
        given.append(_document(document))
    if parts:
        session.connection().execute(
            _statement(tuple(parts)), {f"given_{n}": each for n, each in enumerate(given)}
        )


def of(instances: Sequence[DeclarativeBase]) -> dict[type[DeclarativeBase], list[Row]]:
    """The rows of new instances, whose keys are known."""
    found: dict[type[DeclarativeBase], list[Row]] = {}
    for instance in instances:
        found.setdefault(type(instance), []).append(_values(instance))
    return found


def keep(session: Session, instances: Sequence[DeclarativeBase]) -> None:
    """Let instances whose rows are written stand in the session as if they had been loaded."""
    for instance in instances:
        make_transient_to_detached(instance)
    session.add_all(instances)


def _values(instance: DeclarativeBase) -> Row:
    """What an instance holds, ``None`` for what it leaves open and the table does not fill."""
    state = inspect(instance)
    for name in _open(type(instance)):
        if name not in state.dict:
            set_committed_value(instance, name, None)
    return {name: state.dict[name] for name in _columns(type(instance)) if name in state.dict}


@functools.cache
def _columns(model: type[DeclarativeBase]) -> tuple[str, ...]:
    return tuple(column.key for column in inspect(model).columns if column.computed is None)


@functools.cache
def _open(model: type[DeclarativeBase]) -> tuple[str, ...]:
    return tuple(
        column.key
        for column in inspect(model).columns
        if column.nullable and column.server_default is None and column.computed is None
    )


@functools.cache
def _statement(parts: tuple[tuple[str, tuple[str, ...]], ...]) -> TextClause:
    """The parts after one another; each is carried out though nothing reads it."""
    written = []
    for number, (what, columns) in enumerate(parts):
        listed = ", ".join(columns)
        insert = (
            "INSERT INTO", what, "(", listed, ") SELECT", listed,
            "FROM json_populate_recordset(CAST(NULL AS", what, "), CAST(:given AS json))",
        )  # fmt: skip
        part = " ".join(insert) if columns else what
        named = part.replace(":given", f":given_{number}")
        written.append(" ".join((f"part_{number}", "AS (", named, ")")))
    made = text(" ".join(("WITH", ", ".join(written), "SELECT")))
    return made.execution_options(**PLANNED)


_ENCODER = msgspec.json.Encoder()


def _document(value: Any) -> str:
    return _ENCODER.encode(value).decode()


def _plain(row: Row) -> Row:
    """Bytes as PostgreSQL reads them."""
    return {
        name: "\\x" + value.hex() if isinstance(value, bytes) else value
        for name, value in row.items()
    }
