"""What registry answers to other bureaus, for all services: taken, or refused and why."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.chassis import metrics, replay
from services.chassis.bureaus import Bureau, full, load, queues_missing
from services.chassis.door import Refused
from services.chassis.inbox import Delivery
from services.chassis.logs import get_logger
from services.chassis.uow import UnitOfWork
from services.contracts.errors import Invalid
from services.contracts.events.bureaus import ReplayRequested
from services.contracts.events.registry import BureauEventAccepted, BureauEventRefused
from services.registry.metrics import BUREAU_QUEUES_MISSING

log = get_logger(__name__)


def watch_queues(uow: UnitOfWork) -> None:
    """Whether each bureau that was let in has its queues still. Only `zhida bureau add` makes them:
    no service has a right to."""
    entries = load(uow.settings.bureaus_file).values()
    missing = queues_missing(uow.settings.amqp_uri, entries) if entries else []
    BUREAU_QUEUES_MISSING.set(len(missing))
    for queue in missing:
        log.warning("bureau_queue_missing", queue=queue)


for _outcome in ("accepted", "refused"):  # an alert counts on it
    metrics.BUREAU_EVENTS.labels("registry", _outcome)


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
        if no := objection(load(uow.settings.bureaus_file).get(bureau), event):
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
            refuse(uow, [_refused(delivery, bureau, event, *TOO_MANY)])


No = tuple[str, str | None, str]
"""Code, field and reason of a refusal."""

TOO_MANY: No = ("too_many_replays", None, f"一天内最多请求重放 {replay.A_DAY} 次")


def objection(entry: Bureau | None, event: ReplayRequested) -> No | None:
    """Why a replay is not for this bureau; None when it is. ``entry`` is the bureau's own."""
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
    uow.emit_all((refusal(each, uow.settings.county) for each in refused), bulk=False)


def refusal(refused: Refused, county: str) -> BureauEventRefused:
    """What the bureau reads; of what names no division, ``county`` tells."""
    return BureauEventRefused(
        event_id=refused.event_id,
        bureau=refused.bureau,
        division=refused.division or county,
        code=refused.code,
        field=refused.field,
        reason=refused.reason,
    )
