"""What registry answers to other bureaus, for all services: taken, or refused and why."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.chassis import metrics
from services.chassis.door import Refused
from services.chassis.uow import UnitOfWork
from services.contracts.events.registry import BureauEventAccepted, BureauEventRefused


def accept(uow: UnitOfWork, event_id: UUID, bureau: str, division: str) -> None:
    """Say that an event was taken. Not what came of it: whether we know a person is not theirs."""
    metrics.BUREAU_EVENTS.labels(uow.settings.service, "accepted").inc()
    uow.emit(BureauEventAccepted(event_id=str(event_id), bureau=bureau, division=division))


def refuse(uow: UnitOfWork, refused: Sequence[Refused]) -> None:
    """Say what is wrong with events that were not let in: code, field, reason, their ids."""
    for each in refused:
        uow.audit(
            "bureau_event.refused",
            "bureau_event",
            each.event_id,
            bureau=each.bureau,
            type=each.type,
            reason=each.code,
        )
    uow.session.flush()
    metrics.BUREAU_EVENTS.labels(uow.settings.service, "refused").inc(len(refused))
    uow.emit_all(
        (
            BureauEventRefused(
                event_id=each.event_id,
                bureau=each.bureau,
                division=each.division or uow.settings.county,
                code=each.code,
                field=each.field,
                reason=each.reason,
            )
            for each in refused
        ),
        bulk=False,
    )
