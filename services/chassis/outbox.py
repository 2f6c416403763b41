"""Events out: rows written in the transaction of the change they tell of.

CloudEvents 1.0 attributes travel as headers (``cloudEvents:`` prefix, binary mode), so that the
body is the plain JSON of the event's data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from services.contracts.divisions import county
from services.contracts.events import Event, event_type
from services.contracts.ids import new_id

PAGE = 2000
"""Rows that are written with one statement."""

Row = dict[str, Any]


def rows(events: Iterable[Event], *, bulk: bool, traceparent: str | None) -> Iterator[Row]:
    """The outbox rows of ``events``, in order; ``closing`` writes them."""
    encode = msgspec.json.Encoder().encode
    for event in events:
        declared = event_type(event)
        yield {
            "event_id": new_id(),
            "type": declared.name,
            "exchange": declared.exchange(declared.audience_of(event)),
            "routing_key": declared.routing_key(event),
            "subject": declared.subject_of(event),
            "county": county(event.division),  # type: ignore[attr-defined]
            "bulk": bulk,
            "traceparent": traceparent,
            "body": encode(event),
        }


class Envelope(NamedTuple):
    """What the relay needs of a row to publish it."""

    id: int
    event_id: str
    type: str
    exchange: str
    routing_key: str
    subject: str
    county: str
    sequence: int | None
    traceparent: str | None
    time: datetime
    body: bytes
    bulk: bool = False


def headers(service: str, row: Envelope) -> dict[str, Any]:
    """The CloudEvents attributes of a row as AMQP headers."""
    attributes: dict[str, Any] = {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": row.event_id,
        "cloudEvents:source": f"/zhida/{service}",
        "cloudEvents:type": row.type,
        "cloudEvents:subject": row.subject,
        "cloudEvents:time": row.time.isoformat(),
        "cloudEvents:dataschema": f"/events/schemas/{row.type}.json",
        "cloudEvents:sequence": f"{row.county}:{row.sequence}",
    }
    if row.traceparent:
        attributes["cloudEvents:traceparent"] = row.traceparent
    return attributes
