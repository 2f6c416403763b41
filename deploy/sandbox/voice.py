"""Speaks in the sandbox as the services' relays do in the city: into exchanges, numbered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import amqp
import msgspec

from services.chassis import amqp_io, archive, outbox, topology
from services.chassis.arrivals import Series, label_of
from services.contracts.divisions import county
from services.contracts.events import Audience, Event, event_type
from services.contracts.ids import new_id
from services.contracts.publish import published_types

ARCHIVE_BYTES = 200_000_000
AT_ONCE = 500

Told = tuple[Event, datetime]
"""An event, and when it was said."""


def exchanges() -> list[str]:
    """The exchanges that bureaus may hear."""
    heard = (Audience.BUREAUS, Audience.IDENTIFIED)
    return sorted({each.exchange() for each in published_types() if each.audience in heard})


class Voice:
    """A publisher that numbers each series on from what the archives hold."""

    def __init__(self, amqp_uri: str) -> None:
        self._connection = amqp_io.connect(amqp_uri)
        with self._connection.channel() as channel:
            for exchange in exchanges():
                topology.declare_exchange(channel, exchange, archive_max_bytes=ARCHIVE_BYTES)
        self._publisher = amqp_io.ConfirmedPublisher(self._connection)
        self._last: dict[Series, int] = {}
        for exchange in exchanges():
            for chunk in archive.read_stream(amqp_uri, topology.archive(exchange), 0):
                for message in chunk:
                    message.delivery_info["exchange"] = exchange
                    if label := label_of(message):
                        self._last[label[0]] = label[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        amqp_io.drop(self._connection)

    def count(self, type_name: str) -> int:
        """How many events of a type were told so far, in all counties."""
        return sum(last for series, last in self._last.items() if series.type == type_name)

    def say(self, *events: Event) -> None:
        """Tell of these, now."""
        now = datetime.now(UTC)
        self.tell((event, now) for event in events)

    def tell(self, told: Iterable[Told]) -> None:
        """Publish with confirm. Raises ``NotConfirmed`` when the broker does not take it."""
        messages = [self._message(event, at) for event, at in told]
        for start in range(0, len(messages), AT_ONCE):
            part = messages[start : start + AT_ONCE]
            if len(self._publisher.publish(part)) < len(part):
                raise amqp_io.NotConfirmed("the broker refused what the sandbox tells")

    def beat(self) -> None:
        """Show the broker that we live."""
        amqp_io.beat(self._connection)

    def _message(self, event: Event, at: datetime) -> tuple[amqp.Message, str, str]:
        declared = event_type(event)
        where: str = event.division  # type: ignore[attr-defined]
        series = Series(declared.exchange(), declared.name, county(where))
        self._last[series] = self._last.get(series, 0) + 1
        envelope = outbox.Envelope(
            id=0,
            event_id=str(new_id()),
            type=declared.name,
            exchange=series.exchange,
            routing_key=declared.routing_key(event),
            subject=declared.subject_of(event),
            county=series.county,
            sequence=self._last[series],
            traceparent=None,
            time=at,
            body=msgspec.json.encode(event),
        )
        message = amqp.Message(
            envelope.body,
            content_type="application/json",
            delivery_mode=2,
            message_id=envelope.event_id,
            type=envelope.type,
            application_headers=outbox.headers(declared.producer, envelope),
        )
        return message, envelope.exchange, envelope.routing_key
