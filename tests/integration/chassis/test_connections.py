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
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
        with foundation.begin(actor()) as uow:
            assert uow.session.scalar(text(pid)) != first
    finally:
        apart.dispose()
        foundation.engine.dispose()
