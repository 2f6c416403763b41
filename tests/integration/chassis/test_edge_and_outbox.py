"""A request's transaction: what it changes and what it says are one; asked twice, done once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from services.chassis.database import engine
from services.chassis.edge import PUBLIC, Endpoint
from services.chassis.models import AuditRow, OutboxRow
from services.chassis.uow import Foundation, UnitOfWork
from tests.fixtures.services import actor
from tests.integration.chassis.bus import noted
from tests.simulation.pipes import Say


def said(foundation: Foundation) -> int:
    """Events in the outbox."""
    with foundation.begin(actor()) as uow:
        return int(uow.session.scalar(select(func.count()).select_from(OutboxRow)) or 0)


def test_what_is_rolled_back_was_never_said(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """An error after the event was emitted takes the event with it."""
    foundation = foundation_for("registry")

    def change_and_fail() -> None:
        with foundation.begin(actor()) as uow:
            uow.emit_all([noted()])
            raise InterruptedError

    with pytest.raises(InterruptedError):
        change_and_fail()
    assert said(foundation) == 0


def test_the_same_key_is_answered_once(foundation_for: Callable[[str], Foundation]) -> None:
    """The second time the first answer comes back, and nothing is said again."""
    foundation = foundation_for("registry")
    endpoint = Endpoint(Say, PUBLIC, writes=True, child=False, keep_answer=True)
    asked: list[int] = []

    def handle(uow: UnitOfWork, request: Say) -> int:
        asked.append(request.page)
        uow.emit_all([noted()])
        return len(asked)

    answers = [
        endpoint.answer(foundation, handle, {"page": 1}, {"idempotency_key": "k"}, home=None)
        for _ in range(2)
    ]
    assert answers == [{"ok": 1}, {"ok": 1}]
    assert said(foundation) == 1


class Asked:
    """A command that ends its own connection the first time: before, amid or after its commit."""

    def __init__(self, when: str, foundation: Foundation, patch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self._amid = when == "amid"
        dialect = foundation.engine.dialect
        commit = dialect.do_commit

        def lost(connection: Any) -> None:
            patch.setattr(dialect, "do_commit", commit)
            if when == "after":
                commit(connection)
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

        if when in ("at the commit", "after"):
            patch.setattr(dialect, "do_commit", lost)

    def __call__(self, uow: UnitOfWork, _request: Say) -> int:
        self.times += 1
        uow.emit_all([noted()])
        if self._amid and self.times == 1:
            uow.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return self.times


@pytest.mark.parametrize(
    ("when", "times"), [("amid", 2), ("at the commit", 2), ("after", 1), ("never", 1)]
)
def test_a_connection_that_ends_costs_no_answer(
    foundation_for: Callable[[str], Foundation],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    times: int,
) -> None:
    """It is done once more on another, or was done, and the first answer comes; said once."""
    foundation = foundation_for("registry")
    endpoint = Endpoint(Say, PUBLIC, writes=True, child=False, keep_answer=True)
    handle = Asked(when, foundation, monkeypatch)
    answer = endpoint.answer(foundation, handle, {"page": 1}, {"idempotency_key": "k"}, home=None)
    assert answer == {"ok": times}
    assert handle.times == times
    assert said(foundation) == 1


@pytest.mark.parametrize(("keep_answer", "key"), [(True, None), (False, "k")])
def test_what_cannot_be_known_again_is_done_once(
    foundation_for: Callable[[str], Foundation],
    monkeypatch: pytest.MonkeyPatch,
    keep_answer: bool,
    key: str | None,
) -> None:
    """Without a kept answer nobody knows whether it was done, and the caller is told just that."""
    foundation = foundation_for("registry")
    endpoint = Endpoint(Say, PUBLIC, writes=True, child=False, keep_answer=keep_answer)
    handle = Asked("after", foundation, monkeypatch)
    answer = endpoint.answer(foundation, handle, {"page": 1}, {"idempotency_key": key}, home=None)
    assert answer["error"]["code"] == "unavailable"
    assert answer["error"]["message"] == "系统中断，不能确定是否已经办成"
    assert handle.times == said(foundation) == 1


@pytest.mark.parametrize(
    ("when", "told", "done"),
    [
        ("amid", "系统暂时不可用，没有任何改动", 0),
        ("after", "系统中断，不能确定是否已经办成", 1),
    ],
)
def test_when_the_database_stays_away_the_caller_is_told_what_is_known(
    foundation_for: Callable[[str], Foundation],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    told: str,
    done: int,
) -> None:
    """No second connection is to be had, and the first ended before its commit or over it."""
    foundation = foundation_for("registry")
    endpoint = Endpoint(Say, PUBLIC, writes=True, child=False, keep_answer=True)
    handle = Asked(when, foundation, monkeypatch)
    begin, tried = Foundation.begin, []

    def once(self: Foundation, who: Any) -> Any:
        tried.append(who)
        if len(tried) > 1:
            raise OperationalError("connect", {}, psycopg2.OperationalError("refused"))
        return begin(self, who)

    with monkeypatch.context() as patch:
        patch.setattr(Foundation, "begin", once)
        given = {"idempotency_key": "k"}
        answer = endpoint.answer(foundation, handle, {"page": 1}, given, home=None)
    assert answer["error"]["message"] == told
    assert (len(tried), handle.times, said(foundation)) == (2, 1, done)


def test_effects_beside_the_database_are_not_had_twice(
    foundation_for: Callable[[str], Foundation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when dead letters were sent back before the connection ended: the caller decides."""
    foundation = foundation_for("registry")
    endpoint = Endpoint(Say, PUBLIC, writes=True, child=False, keep_answer=True, beside=True)
    handle = Asked("at the commit", foundation, monkeypatch)
    answer = endpoint.answer(foundation, handle, {"page": 1}, {"idempotency_key": "k"}, home=None)
    assert answer["error"]["code"] == "unavailable"
    assert (handle.times, said(foundation)) == (1, 0)


def test_without_a_free_connection_the_system_is_away(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """Whoever finds all connections taken for too long is told to come again, not of a fault."""
    foundation = foundation_for("registry")
    url = foundation.settings.database_url
    one = engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    narrow = replace(foundation, engine=one)
    endpoint = Endpoint(Say, PUBLIC, writes=False, child=False, keep_answer=False)
    try:
        with narrow.begin(actor()) as uow:
            uow.session.connection()
            answer = endpoint.answer(narrow, lambda *_: 1, {"page": 1}, {}, home=None)
            assert answer == {"ok": 1}  # asks nothing of the database
            answer = endpoint.answer(narrow, asking, {"page": 1}, {}, home=None)
    finally:
        one.dispose()
    assert answer["error"]["code"] == "unavailable"


def asking(uow: UnitOfWork, _request: Say) -> object:
    """A query that asks the database."""
    return uow.session.scalar(text("SELECT 1"))


@pytest.mark.parametrize("broken", ["王\0", "\ud800", "王\udfff强"])
def test_what_no_column_takes_is_refused_by_its_field(
    foundation_for: Callable[[str], Foundation], broken: str
) -> None:
    """A scanner's NUL and half a character are named to whoever sent them; nothing is done."""
    endpoint = Endpoint(Say, PUBLIC, writes=True, child=False, keep_answer=True)
    answer = endpoint.answer(
        foundation_for("registry"),
        lambda *_: None,
        {"page": 1, "in": [{"name": broken}]},
        {},
        home=None,
    )
    assert answer["error"]["code"] == "invalid"
    assert answer["error"]["field"] == "in.name"
    assert answer["error"]["message"] == "内容中有不可见的控制字符"


def test_a_block_alone_is_taken_back_alone(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """What the block said and noted goes with it; what stood before and comes after stays. In a
    savepoint of its own within, nothing may be said."""
    foundation = foundation_for("registry")
    with foundation.begin(actor()) as uow:
        uow.emit(noted())
        with suppress(InterruptedError), uow.alone():
            uow.emit(noted())
            uow.audit("lost", "x", 1)
            raise InterruptedError
        with uow.alone():
            uow.emit(noted())
            uow.audit("kept", "x", 1)
        with uow.alone(), uow.session.begin_nested(), pytest.raises(RuntimeError):
            uow.emit(noted())
        uow.emit(noted())
    assert said(foundation) == 3
    with foundation.begin(actor()) as uow:
        assert list(uow.session.scalars(select(AuditRow.action))) == ["kept"]
