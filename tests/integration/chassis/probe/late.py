"""A second service that hears the probe; it may come late."""

from __future__ import annotations

from sqlalchemy import insert

from services.chassis.projection import upsert_newer
from services.chassis.service import Service, project, react
from services.chassis.uow import UnitOfWork
from tests.integration.chassis.probe.probe import ThingNoted, ThingRecorded
from tests.integration.chassis.probe.service import Copy, Effect


class LateService(Service):
    """Copies and counts what the probe said, from the first word on."""

    name = "late"

    @project(ThingRecorded)
    def copy_things(self, uow: UnitOfWork, events: list[ThingRecorded]) -> None:
        """Keep the newest label."""
        rows = [
            {"thing_id": e.thing_id, "label": e.label, "epoch": e.epoch, "version": e.version}
            for e in events
        ]
        upsert_newer(uow.session, Copy, rows, key=("thing_id",))

    @react(ThingNoted)
    def on_noted(self, uow: UnitOfWork, events: list[ThingNoted]) -> None:
        """One effect an event."""
        uow.session.execute(
            insert(Effect), [{"thing_id": e.thing_id, "amount": e.amount} for e in events]
        )
