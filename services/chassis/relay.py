"""Publishes a service's outbox: one relay at a time a service, nothing lost, order kept.

The holder of an advisory lock on a direct connection relays; the server ends a session that is
silent for ten seconds, so a frozen holder is replaced, and a holder that lost its session stops
at its next statement. Rows are taken by state (they leave the table once confirmed), interactive
before bulk; an aggregate with bulk rows waiting sends these first, so its order is kept. Two
batches are on their way at once: while the confirms of one come in, the next is taken.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import amqp
import psycopg2
from kombu import Connection
from psycopg2.extras import execute_values

from services.chassis import amqp_io, inbox, metrics, outbox, topology
from services.chassis.logs import get_logger
from services.chassis.uow import Foundation

log = get_logger(__name__)

LOCK_KEY = 0x5A68_0001
BATCH = 500
IN_FLIGHT = 2
"""Batches on their way at once: the next is taken while the confirms of the last come in."""

PACE_S = 0.1
"""Between two small batches. The first event after a silence goes at once; of those that follow on
its heels many share a batch, which costs little more than one of them."""

IDLE_WAIT_S = 0.2
TELL_EVERY_S = 5.0
SESSION_TIMEOUT_S = 10
CONFIRM_S = 8.0
"""Shorter than the session may be silent."""

BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)

_TAKE_INTERACTIVE = """
WITH urgent AS (
    SELECT id, subject FROM outbox WHERE NOT bulk AND id <> ALL(%(in_flight)s)
    ORDER BY id LIMIT %(batch)s
), earlier AS (
    SELECT o.id FROM outbox o
    JOIN (SELECT subject, max(id) AS id FROM urgent GROUP BY subject) u USING (subject)
    WHERE o.bulk AND o.id < u.id AND o.id <> ALL(%(in_flight)s)
)
SELECT id, event_id::text, type, exchange, routing_key, subject, county, sequence, traceparent,
       time, body, bulk
FROM outbox WHERE id IN (SELECT id FROM urgent UNION ALL SELECT id FROM earlier) ORDER BY id
"""
_TAKE_BULK = """
SELECT id, event_id::text, type, exchange, routing_key, subject, county, sequence, traceparent,
       time, body, bulk
FROM outbox WHERE id <> ALL(%(in_flight)s) ORDER BY id LIMIT %(batch)s
"""
_ANY = "SELECT id FROM outbox ORDER BY id LIMIT 1"
_FORGET = "DELETE FROM outbox WHERE id = ANY(%s)"
_COUNT_UP = """
INSERT INTO event_sequence AS s (exchange, type, county, last) VALUES %s
ON CONFLICT (exchange, type, county) DO UPDATE SET last = s.last + excluded.last
RETURNING exchange, type, county, last
"""
_STAMP = """
UPDATE outbox SET sequence = v.sequence
FROM unnest(%s::bigint[], %s::bigint[]) AS v(id, sequence) WHERE outbox.id = v.id
"""


@dataclass(frozen=True)
class Batch:
    """Rows that are on their way."""

    rows: list[outbox.Envelope]
    sending: amqp_io.Sending


class Relay:
    """The relay of one service process; ``run`` returns after ``stop``."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._service = foundation.settings.service
        self._stopping = False
        self._failures = 0
        self._wake = foundation.wake
        self._told: list[tuple[str, str, str, int]] = []
        self.active = False

    def stop(self) -> None:
        """Ask the relay to end after the batch in hand."""
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Relay until stopped. A broker or database that is away is waited for."""
        while not self._stopping:
            try:
                with closing(self._open_session()) as session:
                    while not self._stopping and not self._take_lock(session):
                        self._pause(1.0)
                    if not self._stopping:
                        self._hold(session)
            except (psycopg2.Error, amqp.AMQPError, OSError, amqp_io.NotConfirmed) as error:
                log.warning(
                    "relay_interrupted", error=type(error).__name__, detail=str(error)[:200]
                )
                self._pause(BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)])
                self._failures += 1
            finally:
                self.active = False
                metrics.RELAY_ACTIVE.labels(self._service).set(0)

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _open_session(self) -> Any:
        url = self._foundation.engine.url.set(drivername="postgresql")
        session = psycopg2.connect(
            url.render_as_string(hide_password=False),
            connect_timeout=5,
            application_name=f"zhida-{self._service}-relay",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            options=f"-c idle_session_timeout={SESSION_TIMEOUT_S}s "
            f"-c idle_in_transaction_session_timeout={SESSION_TIMEOUT_S}s "
            "-c statement_timeout=30s",
        )
        session.autocommit = True
        return session

    def _take_lock(self, session: Any) -> bool:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,))
            return bool(cursor.fetchone()[0])

    def _hold(self, session: Any) -> None:
        connection = amqp_io.connect(self._foundation.settings.amqp_uri)
        try:
            self._declare(connection)
            self._failures = 0
            publisher = amqp_io.ConfirmedPublisher(connection)
            self.active = True
            metrics.RELAY_ACTIVE.labels(self._service).set(1)
            log.info("relay_started")
            in_flight: deque[Batch] = deque()
            confirmed: list[int] = []
            next_look = next_tell = 0.0
            while not self._stopping:
                now = time.monotonic()
                if now >= next_look:
                    self._beat(session)
                    amqp_io.beat(connection)
                    next_look = now + 1.0
                if now >= next_tell:
                    while in_flight:
                        confirmed += self._settle(publisher, in_flight.popleft())
                    self._tell(session, publisher)
                    next_tell = now + TELL_EVERY_S
                idle = not confirmed and not in_flight and not self._waiting(session)
                rows = [] if idle else self._take(session, confirmed, in_flight)
                confirmed = []
                if rows:
                    sending = publisher.send(self._messages(rows))
                    in_flight.append(Batch(rows, sending))
                if in_flight and (len(rows) < BATCH or len(in_flight) >= IN_FLIGHT):
                    confirmed = self._settle(publisher, in_flight.popleft())
                    if len(rows) < BATCH:
                        time.sleep(max(0.0, now + PACE_S - time.monotonic()))
                elif not rows:
                    self._pause(IDLE_WAIT_S)
            while in_flight:
                confirmed += self._settle(publisher, in_flight.popleft())
            with session.cursor() as cursor:
                cursor.execute(_FORGET, (confirmed,))
        finally:
            amqp_io.drop(connection)

    def _declare(self, connection: Connection) -> None:
        with connection.channel() as channel:
            for exchange in topology.exchanges_of(self._service):
                topology.declare_exchange(
                    channel,
                    exchange,
                    archive_max_bytes=self._foundation.settings.archive_max_bytes,
                )
            topology.declare_published(channel, self._service)

    def _waiting(self, session: Any) -> bool:
        """Whether there is anything to take: what a relay asks all day, so the least there is."""
        with session.cursor() as cursor:
            cursor.execute(_ANY)
            return cursor.fetchone() is not None

    def _take(
        self,
        session: Any,
        confirmed: list[int],
        in_flight: Iterable[Batch],
    ) -> list[outbox.Envelope]:
        """Forget the rows that were confirmed and take the next, stamped, in one transaction."""
        under_way = [row.id for batch in in_flight for row in batch.rows]
        wanted = {"in_flight": under_way, "batch": BATCH}
        session.autocommit = False
        with session, session.cursor() as cursor:
            if confirmed:
                cursor.execute(_FORGET, (confirmed,))
            cursor.execute(_TAKE_INTERACTIVE, wanted)
            rows = [outbox.Envelope(*row) for row in cursor.fetchall()]
            if not rows:
                cursor.execute(_TAKE_BULK, wanted)
                rows = [outbox.Envelope(*row) for row in cursor.fetchall()]
            rows = self._stamp(cursor, rows)
        session.autocommit = True
        return rows

    def _settle(self, publisher: amqp_io.ConfirmedPublisher, batch: Batch) -> list[int]:
        """Wait for a batch's confirms; the ids of its rows. Raises when one was refused."""
        taken = publisher.settle(batch.sending, timeout=CONFIRM_S)
        metrics.EVENTS_PUBLISHED.labels(self._service).inc(len(taken))
        if len(taken) < len(batch.rows):
            refused = batch.rows[min(set(range(len(batch.rows))) - set(taken))]
            raise amqp_io.NotConfirmed(f"{refused.exchange} refused {refused.type}")
        return [row.id for row in batch.rows]

    def _stamp(self, cursor: Any, rows: list[outbox.Envelope]) -> list[outbox.Envelope]:
        """Give each row without a sequence the next of its series, and store it."""
        counts = Counter(
            (row.exchange, row.type, row.county) for row in rows if row.sequence is None
        )
        if not counts:
            return rows
        lasts = execute_values(
            cursor,
            _COUNT_UP,
            [(*series, count) for series, count in sorted(counts.items())],
            fetch=True,
        )
        following = {tuple(series): last - counts[tuple(series)] for *series, last in lasts}
        fresh: dict[int, int] = {}
        for row in rows:
            if row.sequence is None:
                series = (row.exchange, row.type, row.county)
                fresh[row.id] = following[series] = following[series] + 1
        cursor.execute(_STAMP, (list(fresh), list(fresh.values())))
        return [row._replace(sequence=fresh[row.id]) if row.id in fresh else row for row in rows]

    def _messages(self, rows: Iterable[outbox.Envelope]) -> Iterator[tuple[amqp.Message, str, str]]:
        for row in rows:
            message = amqp.Message(
                bytes(row.body),
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                message_id=row.event_id,
                type=row.type,
                application_headers=outbox.headers(self._service, row),
                **({"priority": inbox.BULK_PRIORITY} if row.bulk else {}),
            )
            yield message, row.exchange, row.routing_key

    def _tell(self, session: Any, publisher: amqp_io.ConfirmedPublisher) -> None:
        """Say how far each series has been counted, so that a reader sees what never came."""
        with session.cursor() as cursor:
            cursor.execute(
                "SELECT exchange, type, county, last FROM event_sequence ORDER BY 1, 2, 3"
            )
            counted = cursor.fetchall()
        if counted and counted != self._told:
            told = amqp.Message(json.dumps(counted).encode(), delivery_mode=2)
            publisher.publish_one(told, "", topology.published(self._service))
            self._told = counted

    def _beat(self, session: Any) -> None:
        """Keep the session: the server ends one that is silent."""
        with session.cursor() as cursor:
            cursor.execute("SELECT 1")
