"""How long things are kept: what is over its period goes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from services.chassis import archive, retention, topology
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor

NOW = "clock_timestamp()"


def _put(uow: UnitOfWork, statement: str, **given: object) -> None:
    uow.session.execute(text(statement), given)


def _inbox(uow: UnitOfWork, number: int, age: timedelta) -> None:
    _put(
        uow,
        f"INSERT INTO inbox VALUES ('cases.x', :id, {NOW} - CAST(:age AS interval))",
        id=UUID(int=number),
        age=age,
    )


def _file(uow: UnitOfWork, number: int, age: timedelta, size: int | None) -> UUID:
    file_id = UUID(int=number)
    _put(
        uow,
        "INSERT INTO file (id, name, media_type, chunks, size, division, created_by, created_at) "
        f"VALUES (:id, 'a', 'b', 1, :size, '421083', 'x', {NOW} - CAST(:age AS interval))",
        id=file_id,
        age=age,
        size=size,
    )
    _put(uow, "INSERT INTO file_chunk VALUES (:id, 0, 'x')", id=file_id)
    return file_id


def _count(uow: UnitOfWork, table: str) -> int:
    return int(uow.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.fixture
def foundation(foundation_for: Callable[[str], Foundation]) -> Foundation:
    """A registry."""
    return foundation_for("registry")


def test_the_periods_hold_what_the_law_and_the_bus_ask() -> None:
    """Six months of logs; the inbox outlives whatever can still be delivered again."""
    keep = retention.periods()
    archives = timedelta(days=int(topology.ARCHIVE_MAX_AGE.removesuffix("D")))
    assert keep.inbox >= archives + archive.REFILL_WINDOW
    assert keep.command >= archive.REFILL_WINDOW
    assert keep.log >= timedelta(days=184)


def test_only_what_is_over_its_period_goes(foundation: Foundation) -> None:
    """Inbox, first answers and forgotten uploads; not a day early."""
    keep, day = retention.periods(), timedelta(days=1)
    with foundation.begin(system_actor("registry")) as uow:
        _inbox(uow, 1, keep.inbox + day)
        _inbox(uow, 2, keep.inbox - day)
        for name, age in (("old", keep.command + day), ("new", keep.command - day)):
            _put(
                uow,
                "INSERT INTO command (key, method, arguments_hash, actor_id, at) "
                f"VALUES (:key, 'm', 'h', 'a', {NOW} - CAST(:age AS interval))",
                key=name,
                age=age,
            )
        _file(uow, 1, keep.upload + day, None)
        _file(uow, 2, keep.upload - day, None)
        _file(uow, 3, keep.upload + day, 3)  # made by us: a letter, a bank file
        evidence = _file(uow, 4, keep.upload + day, None)
        _put(
            uow,
            "INSERT INTO roster_import (id, file_id, file_name, first_month, state, rows, people, "
            "households, grants, warnings, imported_by, imported_by_name) "
            "VALUES (:id, :id, 'r', '2026-01-01', 'done', 0, 0, 0, 0, 0, 'x', 'x')",
            id=evidence,
        )
        uow.audit("x", "x", 1)
        uow.write_down()
        assert retention.sweep(uow) == {"inbox": 1, "command": 1, "file": 1, "span": 0}
        assert retention.sweep(uow) == dict.fromkeys(("inbox", "command", "file", "span"), 0)
        left = uow.session.execute(text("SELECT file_id FROM file_chunk ORDER BY 1")).scalars()
        assert [file_id.int for file_id in left] == [2, 3, 4]
        assert (_count(uow, "inbox"), _count(uow, "command"), _count(uow, "file")) == (1, 1, 3)
        assert _count(uow, "audit") == 1


def test_an_unsent_event_is_never_dropped(foundation: Foundation) -> None:
    """However old: the outbox is not swept, the alert on its age is to be looked at."""
    with foundation.begin(system_actor("registry")) as uow:
        _put(
            uow,
            "INSERT INTO outbox (event_id, type, exchange, routing_key, subject, county, bulk, "
            "time, body) VALUES (:id, 't', 'e', 'r', 's', 'c', false, '2001-01-01', 'x')",
            id=UUID(int=1),
        )
        retention.sweep(uow)
        assert _count(uow, "outbox") >= 1
