"""Events in: each is claimed once a subscription, in the transaction of its effect."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.chassis.uow import UnitOfWork
from services.contracts.events import Event, event_type

Lane = Literal["interactive", "bulk", "refilled"]
"""How an event came: on its own, with mass work (which lets others go first), from an archive."""

BULK_PRIORITY = 0
"""The AMQP priority that marks mass work; others carry none. Quorum queues treat both alike."""

Handler = Callable[[UnitOfWork, list[Event]], None]


_CLAIM = text(
    "INSERT INTO inbox (subscription, event_id) SELECT :subscription, unnest(:ids ::uuid[]) "
    "ON CONFLICT DO NOTHING RETURNING event_id::text"
)


class Malformed(Exception):
    """A delivery that is no event we know: it goes to the dead letters at once."""


@dataclass(frozen=True)
class Delivery:
    """One decoded delivery. ``origin_user`` is the broker-checked sender of a bureau's event."""

    event_id: uuid.UUID
    type: str
    event: Event
    traceparent: str | None
    origin_user: str | None
    time: datetime | None = None
    """When the change was made that it tells of."""
    lane: Lane = "interactive"


def decode(
    message_id: object,
    type_name: object,
    body: bytes,
    headers: dict[str, object],
    user: object,
    *,
    lane: Lane = "interactive",
) -> Delivery:
    """Read a delivery. Raises ``Malformed`` naming what is wrong."""
    try:
        event_id = uuid.UUID(str(headers.get("cloudEvents:id") or message_id))
    except ValueError:
        raise Malformed("事件编号不是 UUID") from None
    name = str(headers.get("cloudEvents:type") or type_name)
    try:
        event = msgspec.json.decode(body, type=event_type(name).struct)
    except KeyError:
        raise Malformed(f"未知的事件类型 {name}") from None
    except ValueError as error:
        raise Malformed(f"内容不合格式：{error}") from error
    traceparent = headers.get("cloudEvents:traceparent")
    return Delivery(
        event_id=event_id,
        type=name,
        event=event,
        traceparent=str(traceparent) if traceparent else None,
        origin_user=str(user) if user else None,
        time=_time(headers.get("cloudEvents:time")),
        lane=lane,
    )


def _time(given: object) -> datetime | None:
    """A moment with its zone; ``None`` for what is none (a bureau's word decides nothing here)."""
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def claim(session: Session, subscription: str, ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Claim event ids for a subscription; those not claimed before. Sorted, so never a deadlock."""
    wanted = sorted(set(ids))
    given = {"subscription": subscription, "ids": [str(event_id) for event_id in wanted]}
    fresh = session.scalars(_CLAIM, given).all()
    return {uuid.UUID(event_id) for event_id in fresh}


def newest_by_subject(events: Sequence[Event]) -> list[Event]:
    """Collapse facet events to the newest a subject, sorted by subject (a fixed lock order)."""
    newest: dict[str, Event] = {}
    for event in events:
        subject = event_type(event).subject_of(event)
        seen = newest.get(subject)
        if seen is None or _version(event) > _version(seen):
            newest[subject] = event
    return [newest[subject] for subject in sorted(newest)]


def _version(event: Event) -> tuple[int, int]:
    return (event.epoch, event.version)  # type: ignore[attr-defined]
