"""Timers and what they measure."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from prometheus_client import REGISTRY
from sqlalchemy import text

from services.chassis import common, metrics
from services.chassis.service import every
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor

SYSTEM = system_actor("registry")


def runs(outcome: str) -> float:
    """How often the timer of these tests has run with an outcome."""
    labels = {"service": "registry", "timer": "look", "outcome": outcome}
    return REGISTRY.get_sample_value("zhida_timer_runs_total", labels) or 0.0


def test_a_timer_that_another_replica_runs_is_not_counted_as_run(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """A session that sits on the lock would keep all figures as they are, and everything green."""
    foundation = foundation_for("registry")
    ran: list[UnitOfWork] = []

    @every(seconds=60)
    def look(_self: Any, uow: UnitOfWork) -> None:
        ran.append(uow)

    chassis = SimpleNamespace(foundation=foundation, actor=SYSTEM)
    service = SimpleNamespace(name="registry", chassis=chassis)
    before = runs("ok"), runs("skipped")
    with foundation.begin(SYSTEM) as other:
        other.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('timer:look'))"))
        look(service)
    assert (runs("ok"), runs("skipped"), ran) == (before[0], before[1] + 1, [])
    look(service)
    assert (runs("ok"), len(ran)) == (before[0] + 1, 1)


def test_a_process_that_lives_through_a_migration_shows_one_schema(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """Two would be taken for two databases, and the replicas for wrong."""
    foundation = foundation_for("registry")
    metrics.SCHEMA.labels("registry", "0000").set(1)  # as it was before the migration
    with foundation.begin(SYSTEM) as uow:
        common.measure(uow)
        standing = uow.session.scalar(text("SELECT version_num FROM alembic_version"))
    shown = {
        sample.labels["revision"]
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "zhida_schema_info"
    }
    assert shown == {standing}
