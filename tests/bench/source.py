"""The publishing side of the event bench: a service that owns an outbox and nothing else."""

from __future__ import annotations

import uuid

from services.chassis.service import Service
from services.contracts.events.base import Audience, Event, event

DIVISION = "421083108007"
BODY_BYTES = 250


@event("reading.taken.v1", audience=Audience.BUREAUS, subject="reading_id")
class ReadingTaken(Event, frozen=True, kw_only=True):
    """A reading of the bench: ``padding`` brings its body to 250 bytes."""

    reading_id: uuid.UUID
    division: str
    amount: int
    padding: str = ""


class SourceService(Service):
    """Relays what stands in its outbox."""

    name = "source"


def reading(number: int) -> ReadingTaken:
    """An event whose body is exactly ``BODY_BYTES`` long."""
    bare = len('{"reading_id":"","division":"","amount":,"padding":""}' + DIVISION + str(number))
    return ReadingTaken(
        reading_id=uuid.UUID(int=number),
        division=DIVISION,
        amount=number,
        padding="x" * (BODY_BYTES - bare - 36),
    )
