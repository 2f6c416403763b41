"""What every contender carries: the reading's body and the CloudEvents headers of our relay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.chassis import outbox
from tests.bench import source

EXCHANGE = "source.events"
ROUTING_KEY = "reading.taken.v1.42.10.83.108.007"
TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def body(number: int) -> bytes:
    """250 bytes of JSON."""
    return msgspec.json.encode(source.reading(number))


def headers(number: int) -> dict[str, Any]:
    """The headers our relay would send with it."""
    identity = UUID(int=number)
    envelope = outbox.Envelope(
        id=number,
        event_id=str(identity),
        type="reading.taken.v1",
        exchange=EXCHANGE,
        routing_key=ROUTING_KEY,
        subject=str(identity),
        county="421083",
        sequence=number,
        traceparent=TRACEPARENT,
        time=datetime.now(UTC),
        body=b"",
    )
    return outbox.headers("source", envelope)
