"""What registry answers to other bureaus, for all services: taken, or refused and why."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.chassis import metrics, replay
from services.chassis.bureaus import full, load
from services.chassis.door import Refused
from services.chassis.inbox import Delivery
from services.chassis.uow import UnitOfWork
from services.contracts.errors import Invalid
from services.contracts.events.bureaus import ReplayRequested
from services.contracts.events.registry import BureauEventAccepted, BureauEventRefused


def accept(uow: UnitOfWork, event_id: UUID, bureau: str, division: str) -> None:
    """Say that an event was taken. Not what came of it: whether we know a person is not theirs."""
    metrics.BUREAU_EVENTS.labels(uow.settings.service, "accepted").inc()
    uow.emit(BureauEventAccepted(event_id=str(event_id), bureau=bureau, division=division))


def on_replay_requested(uow: UnitOfWork, events: Sequence[ReplayRequested]) -> None:
    """Take a wish for a replay, or say why not; registry answers for the other services too."""
    deliveries = uow.deliveries
    good = []
    for delivery, event in zip(deliveries, events, strict=True):
        bureau = delivery.type.partition(".")[0]
        if no := _objection(uow, bureau, event):
            refuse(uow, [_refused(delivery, bureau, event, *no)])
        else:
            good.append((delivery, event))
    uow.deliveries = [delivery for delivery, _ in good]
    taken = replay.note(uow, [event for _, event in good])
    for (delivery, event), ok in zip(good, taken, strict=True):
        bureau = delivery.type.partition(".")[0]
        if ok:
            accept(uow, delivery.event_id, bureau, event.division)
        else:
            why = ("too_many_replays", None, f"一天内最多请求重放 {replay.A_DAY} 次")
            refuse(uow, [_refused(delivery, bureau, event, *why)])


def _objection(
    uow: UnitOfWork, bureau: str, event: ReplayRequested
) -> tuple[str, str | None, str] | None:
    entry = load(uow.settings.bureaus_file).get(bureau)
    if entry is None:
        return "unknown_bureau", None, "部门文件中没有本部门，请联系对接人"
    for pattern in event.types:
        try:
            full(pattern)
        except Invalid as wrong:
            return "schema", "types", wrong.message
    return None


def _refused(
    delivery: Delivery, bureau: str, event: ReplayRequested, code: str, field: str | None, why: str
) -> Refused:
    return Refused(
        bureau=bureau,
        event_id=str(delivery.event_id),
        type=delivery.type,
        division=event.division,
        code=code,
        field=field,
        reason=why,
    )


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
