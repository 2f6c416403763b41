"""Connections to the database that fell while nobody used them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from services.chassis import database as databases
from services.chassis.uow import Foundation
from tests.fixtures.services import actor, settings_for


def test_a_connection_that_fell_in_silence_is_replaced(
    monkeypatch: pytest.MonkeyPatch, database: Callable[[str], str]
) -> None:
    """A database that was away and is back costs no request its answer."""
    monkeypatch.setattr(databases, "SILENT_S", 0.0)
    foundation = Foundation.build(settings_for("registry", database("registry")))
    apart = databases.engine(foundation.settings.database_url)
    pid = "SELECT pg_backend_pid()"
    try:
        with foundation.begin(actor()) as uow:
            first = uow.session.scalar(text(pid))
        with foundation.begin(actor()) as uow:
            assert uow.session.scalar(text(pid)) == first
        with apart.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": first})
        with foundation.begin(actor()) as uow:
            assert uow.session.scalar(text(pid)) != first
    finally:
        apart.dispose()
        foundation.engine.dispose()


@pytest.mark.parametrize(("silent", "asked"), [(0.9, 0), (1.1, 1)])
def test_only_a_silent_connection_is_asked(
    monkeypatch: pytest.MonkeyPatch, database: Callable[[str], str], silent: float, asked: int
) -> None:
    """A busy service spends no way to the database on asking whether it is there."""
    made = databases.engine(database("registry"))
    asking: list[object] = []
    monkeypatch.setattr(made.dialect, "do_ping", lambda c: asking.append(c) or True)
    databases.ask_after_silence(made)
    now = [1000.0]
    monkeypatch.setattr(databases.time, "monotonic", lambda: now[0])
    try:
        for _ in range(2):
            with made.connect() as connection:
                connection.execute(text("SELECT 1"))
            now[0] += silent
    finally:
        made.dispose()
    assert len(asking) == asked
