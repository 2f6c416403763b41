"""Which events have reached a queue, by their sequence numbers: what is missing shows as a gap.

A queue may lose its binding without anybody being told; what is published meanwhile never
arrives. Every event carries a number without gaps per exchange, type and county, and every
producer tells how far it has counted. What reached the queue is kept as ranges, so a hole, or a
tail that never came, is seen and can be fetched from the archives.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import amqp
from kombu import Connection
from kombu.transport.pyamqp import Channel
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.chassis import amqp_io, topology
from services.chassis.logs import get_logger
from services.chassis.topology import WorkQueue
from services.contracts.events import Audience

log = get_logger(__name__)

ORIGIN_EXCHANGE = "x-origin-exchange"
"""Header of a copy from an archive: the exchange the event went through."""


_TELLINGS = 10
"""The last chunk of a stream may hold more than one message."""

_PATIENCE_S = 10.0
_NUMBER = re.compile(r"[0-9]{1,18}")


class Series(NamedTuple):
    """What a sequence counts."""

    exchange: str
    type: str
    county: str


class Gap(NamedTuple):
    """Numbers ``first`` to ``last`` of a series, which have not arrived."""

    series: Series
    first: int
    last: int

    def holds(self, series: Series, number: int) -> bool:
        """Whether the gap is about this very event."""
        return series == self.series and self.first <= number <= self.last


def label_of(message: amqp.Message) -> tuple[Series, int] | None:
    """The series and number of a message; ``None`` for one without (a bureau's)."""
    headers = message.headers or {}
    county, _, number = str(headers.get("cloudEvents:sequence", "")).rpartition(":")
    exchange = headers.get(ORIGIN_EXCHANGE) or message.delivery_info["exchange"]
    if not exchange or not _NUMBER.fullmatch(number):
        return None
    return Series(str(exchange), str(headers.get("cloudEvents:type")), county), int(number)


class Arrivals:
    """What has reached one queue since it was last written down."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        ours = [declared for declared in queue.types if declared.audience is not Audience.INBOUND]
        self._types = {declared.name for declared in ours}
        self._exchanges = {
            exchange
            for exchange, _ in queue.bindings()
            if any(exchange in topology.exchanges_of(declared.producer) for declared in ours)
        }
        self._noted: dict[Series, list[int]] = {}
        self._suspected: set[Gap] = set()

    def note(self, message: amqp.Message) -> None:
        """This message is here."""
        label = label_of(message)
        if label and self._wants(label[0]):
            self._noted.setdefault(label[0], []).append(label[1])

    def write_down(self, session: Session) -> None:
        """Keep what was noted. Lost with a crash it does no harm: a refill is deduplicated."""
        noted, self._noted = self._noted, {}
        self._write(session, {series: _ranges(numbers) for series, numbers in noted.items()})

    def begin_at(self, session: Session, published: dict[Series, int]) -> None:
        """A new subscription that wants only what comes: all before counts as arrived."""
        wanted = {series: last for series, last in published.items() if self._wants(series)}
        self._write(session, {series: [(1, last)] for series, last in wanted.items()})

    def missing(self, session: Session, published: dict[Series, int]) -> list[Gap]:
        """Gaps that stood at the last look already: others may still hold what is young."""
        counted = [(*series, last) for series, last in published.items() if self._wants(series)]
        rows = session.execute(_GAPS, {"queue": self._queue.name, "published": json.dumps(counted)})
        gaps = {Gap(Series(*row[:3]), row[3], row[4]) for row in rows}
        lasting = [gap for gap in gaps if any(_overlap(gap, old) for old in self._suspected)]
        self._suspected = gaps
        return sorted(lasting)

    def forgive(self, session: Session, gaps: Iterable[Gap]) -> None:
        """These were fetched as far as the archives hold them: do not ask again."""
        for gap in gaps:
            self._write(session, {gap.series: [(gap.first, gap.last)]})
        self._suspected.clear()

    def _wants(self, series: Series) -> bool:
        return series.exchange in self._exchanges and series.type in self._types

    def _write(self, session: Session, ranges: dict[Series, list[tuple[int, int]]]) -> None:
        if not ranges:
            return
        rows = [
            {
                "queue": self._queue.name,
                **series._asdict(),
                "seen": _multirange(found),
            }
            for series, found in sorted(ranges.items())
        ]
        session.execute(_WRITE, rows)


_WRITE = text(
    "INSERT INTO arrival (queue, exchange, type, county, seen) "
    "VALUES (:queue, :exchange, :type, :county, CAST(:seen AS int8multirange)) "
    "ON CONFLICT (queue, exchange, type, county) DO UPDATE SET seen = arrival.seen + excluded.seen"
)
_GAPS = text(
    """
    WITH published AS (
        SELECT p->>0 AS exchange, p->>1 AS type, p->>2 AS county, (p->>3)::bigint AS last
        FROM jsonb_array_elements(CAST(:published AS jsonb)) AS p
    ), arrived AS (
        SELECT exchange, type, county, seen FROM arrival WHERE queue = :queue
    ), due AS (
        SELECT exchange, type, county, coalesce(seen, '{}') AS seen,
               int8range(1, greatest(last, upper(seen) - 1, 1), '[]') AS expected
        FROM published FULL JOIN arrived USING (exchange, type, county)
    )
    SELECT exchange, type, county, lower(gap), upper(gap) - 1
    FROM due, unnest(int8multirange(expected) - seen) AS gap
    """
)


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Numbers as closed ranges."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(number, found[-1][1]))
        else:
            found.append((number, number))
    return found


def _multirange(ranges: Iterable[tuple[int, int]]) -> str:
    return f"{{{','.join(f'[{first},{last}]' for first, last in ranges)}}}"


def _overlap(one: Gap, other: Gap) -> bool:
    return one.series == other.series and one.first <= other.last and other.first <= one.last


class Tellings:
    """What each producer last said, kept until it says more: a process looks after many queues."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, dict[Series, int]]] = {}

    def of(self, connection: Connection, producers: Iterable[str]) -> dict[Series, int]:
        """How far each producer says it has counted; a producer never started is left out.

        Raises ``NotConfirmed`` when the broker does not hand out what it holds.
        """
        counted: dict[Series, int] = {}
        with connection.channel() as channel:
            said = {each: topology.declare_published(channel, each) for each in set(producers)}
            held = {producer: messages for producer, messages in said.items() if messages}
            more = [each for each, count in held.items() if self._kept.get(each, (0,))[0] != count]
            for producer, told in _last_words(connection, channel, more).items():
                self._kept[producer] = held[producer], told
        for producer in held:
            for series, last in self._kept[producer][1].items():
                counted[series] = max(last, counted.get(series, 0))
        return counted


def published_by(connection: Connection, producers: Iterable[str]) -> dict[Series, int]:
    """As ``Tellings.of``, read anew."""
    return Tellings().of(connection, producers)


def _last_words(
    connection: Connection, channel: Channel, producers: Sequence[str]
) -> dict[str, dict[Series, int]]:
    """The last message of each producer's stream of counts, none of which is empty."""
    told: list[amqp.Message] = []
    if producers:
        channel.basic_qos(0, _TELLINGS, False)
    awaited = {
        channel.basic_consume(
            topology.published(producer),
            callback=told.append,
            arguments={"x-stream-offset": "last"},
        ): producer
        for producer in producers
    }
    deadline = time.monotonic() + _PATIENCE_S
    while awaited.keys() - {message.delivery_info["consumer_tag"] for message in told}:
        if time.monotonic() > deadline:
            raise amqp_io.NotConfirmed("the broker does not tell what was published")
        amqp_io.drain(connection, 0.5)
    found: dict[str, dict[Series, int]] = {producer: {} for producer in producers}
    for message in told:
        counted = found[awaited[message.delivery_info["consumer_tag"]]]
        for series, last in _counts(message):
            counted[series] = max(last, counted.get(series, 0))
    return found


def _counts(message: amqp.Message) -> list[tuple[Series, int]]:
    """What a telling says. One that nobody can read says nothing: the next one will."""
    try:
        rows: list[Any] = json.loads(message.body)
        return [(Series(*name), int(last)) for *name, last in rows]
    except (ValueError, TypeError):
        log.error("count_unreadable", message_id=str(message.properties.get("message_id"))[:64])
        return []


def producers_of(queue: WorkQueue) -> set[str]:
    """The services whose events the queue takes."""
    return {d.producer for d in queue.types if d.audience is not Audience.INBOUND}
