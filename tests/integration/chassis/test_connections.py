"""Connections to the database that fell while nobody used them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

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


def test_a_server_cut_off_without_a_word_is_given_up(database: Callable[[str], str]) -> None:
    """By the kernel: half a minute where nobody asks, twenty seconds where somebody waits."""
    made = databases.engine(database("registry"))
    try:
        with made.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with socket.fromfd(driver.fileno(), socket.AF_INET, socket.SOCK_STREAM) as used:
                asked = {
                    name: used.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
                }
                assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    finally:
        made.dispose()
    assert asked["TCP_KEEPIDLE"] + asked["TCP_KEEPINTVL"] * asked["TCP_KEEPCNT"] <= 30
    assert 0 < asked["TCP_USER_TIMEOUT"] <= 20_000


def test_a_plan_made_while_a_city_is_new_reads_by_index(database: Callable[[str], str]) -> None:
    """It is kept as long as the connection: read whole, the table grows and nobody plans anew."""
    made = databases.engine(database("registry"))
    asked = "EXPLAIN EXECUTE of_many(ARRAY['\\x00'::bytea])"
    try:
        with made.connect() as connection:
            connection.execute(
                text(
                    "PREPARE of_many AS SELECT id FROM person"
                    " WHERE identity_index = ANY ($1::bytea[]) AND NOT removed"
                )
            )
            connection.execute(text("SET plan_cache_mode = force_generic_plan"))
            assert connection.scalar(text("SELECT count(*) FROM person")) == 0
            plan = " ".join(connection.scalars(text(asked)))
    finally:
        made.dispose()
    assert "uq_person_identity_index" in plan, plan
