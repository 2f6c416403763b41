"""Rows of several tables in one statement: what is read back is what was given."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import IntegrityError

from services.chassis import rows
from services.chassis.models import AuditRow, OutboxRow
from services.chassis.uow import Foundation
from services.contracts.ids import new_id
from services.registry.models import Division
from tests.fixtures.services import actor

BODIES = (b'{"a": "\\\\x00 \\"\\n"}', b"", b"\x00\xff\\", "直达'; DROP TABLE outbox".encode())


def said(body: bytes) -> rows.Row:
    """A row of the outbox."""
    return {
        "event_id": new_id(),
        "type": "t.v1",
        "exchange": "e",
        "routing_key": "t.v1",
        "subject": "s",
        "county": "421083",
        "bulk": False,
        "traceparent": None,
        "body": body,
    }


def noted(detail: dict[str, object]) -> rows.Row:
    """A row of the audit log."""
    return {
        "business_on": date(2026, 9, 28),
        "actor_id": "a",
        "actor_name": "向家旺",
        "purpose": None,
        "action": "x",
        "subject_type": "x",
        "subject_id": "x",
        "detail": detail,
        "trace_id": None,
    }


def test_what_was_given_is_read_back(foundation_for: Callable[[str], Foundation]) -> None:
    """Bytes of any kind, nothing, documents, days and Chinese; in the order they were given."""
    detail = {"n": 12345678901234567890, "list": [1, None, "好"], "in": {"quote": '"\\'}}
    with foundation_for("registry").begin(actor()) as uow:
        given = {OutboxRow: [said(body) for body in BODIES], AuditRow: [noted(detail)]}
        rows.write(uow.session, given)
        kept = uow.session.scalars(select(OutboxRow).order_by(OutboxRow.id)).all()
        assert [bytes(row.body) for row in kept] == list(BODIES)
        assert [row.event_id for row in kept] == [row["event_id"] for row in given[OutboxRow]]
        (line,) = uow.session.scalars(select(AuditRow))
        assert (line.detail, line.business_on, line.purpose) == (detail, date(2026, 9, 28), None)
        assert uow.session.scalar(text("SELECT count(*) FROM audit_unsealed")) == 1


def test_all_or_nothing(foundation_for: Callable[[str], Foundation]) -> None:
    """When one table refuses its row, no other has taken one."""
    foundation = foundation_for("registry")
    twice = said(b"")
    with pytest.raises(IntegrityError), foundation.begin(actor()) as uow:
        rows.write(uow.session, {AuditRow: [noted({})], OutboxRow: [twice | {"type": None}]})
    with foundation.begin(actor()) as uow:
        assert uow.session.scalar(text("SELECT count(*) FROM audit")) == 0


def place(code: str) -> Division:
    """A village that is not on record."""
    return Division(
        code=code,
        name="某村",
        short_name="某村",
        kind="village",
        valid_from=date(2026, 1, 1),
        source="试",
        version=1,
    )


def test_what_was_put_stands_in_the_session(foundation_for: Callable[[str], Foundation]) -> None:
    """It is read without asking the database, and a change of it is written."""
    asked: list[str] = []
    with foundation_for("registry").begin(actor()) as uow:
        event.listen(
            uow.session.connection(),
            "before_cursor_execute",
            lambda _c, _cur, sql, *_: asked.append(sql),
        )
        village = place("429999999999")
        uow.put(village)
        assert uow.by_id(Division, ["429999999999"]) == {"429999999999": village}
        assert (village.name, village.valid_to) == ("某村", None)
        assert asked == []
        village.valid_to = date(2026, 9, 1)
    with foundation_for("registry").begin(actor()) as uow:
        assert uow.session.get_one(Division, "429999999999").valid_to == date(2026, 9, 1)


def test_what_was_put_is_found_by_every_statement_after_it(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """Written with the end of the transaction at the latest, and before whatever is asked next."""
    here = select(func.count()).select_from(Division).where(Division.code.startswith("4299"))
    with foundation_for("registry").begin(actor()) as uow:
        uow.put(place("429999999998"))
        assert uow.session.scalar(here) == 1
        uow.put(place("429999999999"))
        with uow.alone():
            assert uow.session.scalar(here) == 2
        with suppress(KeyError), uow.alone():
            uow.put(place("429999999997"))
            assert uow.by_id(Division, ["429999999997"])
            raise KeyError
        assert uow.by_id(Division, ["429999999997"]) == {}
        uow.put(place("429999999996"))
    with foundation_for("registry").begin(actor()) as uow:
        assert uow.session.scalar(here) == 3


def test_nothing_is_put_where_it_may_be_taken_back_unseen(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """A savepoint of one's own may be rolled back while what was put waits to be written."""
    with (
        foundation_for("registry").begin(actor()) as uow,
        uow.session.begin_nested(),
        pytest.raises(RuntimeError, match="savepoint"),
    ):
        uow.put(place("429999999999"))
