"""Publishes a service's outbox: one relay at a time a service, nothing lost, order kept.

The holder of an advisory lock on a direct connection relays; the server ends a session that is
silent for ten seconds, so a frozen holder is replaced, and a holder that lost its session stops
at its next statement. Rows are taken by state (they leave the table once confirmed), interactive
before bulk; an aggregate with bulk rows waiting sends these first, so its order is kept.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from typing import Any

import amqp
import psycopg2
from kombu import Connection
from psycopg2.extras import execute_values

from services.chassis import amqp_io, metrics, outbox, topology
from services.chassis.logs import get_logger
from services.chassis.uow import Foundation

log = get_logger(__name__)

LOCK_KEY = 0x5A68_0001
BATCH = 500
IDLE_WAIT_S = 0.2
SESSION_TIMEOUT_S = 10
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)

_COLUMNS = (
    "id, event_id::text, type, exchange, routing_key, subject, county, sequence, "
    "traceparent, time, body"
)

_TAKE_INTERACTIVE = f"""
WITH urgent AS (
    SELECT id, subject FROM outbox WHERE NOT bulk ORDER BY id LIMIT {BATCH}
), earlier AS (
    SELECT o.id FROM outbox o
    JOIN (SELECT subject, max(id) AS id FROM urgent GROUP BY subject) u USING (subject)
    WHERE o.bulk AND o.id < u.id
)
SELECT {_COLUMNS} FROM outbox
WHERE id IN (SELECT id FROM urgent UNION ALL SELECT id FROM earlier) ORDER BY id
"""
_TAKE_BULK = f"SELECT {_COLUMNS} FROM outbox ORDER BY id LIMIT {BATCH}"

_COUNT_UP = """
INSERT INTO event_sequence AS s (type, county, last) VALUES %s
ON CONFLICT (type, county) DO UPDATE SET last = s.last + excluded.last
RETURNING type, county, last
"""
_STAMP = "UPDATE outbox o SET sequence = v.sequence FROM (VALUES %s) AS v(id, sequence) WHERE o.id = v.id"


class Relay:
    """The relay of one service process; ``run`` returns after ``stop``."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._service = foundation.settings.service
        self._stopping = False
        self._wake = foundation.wake
        self.active = False

    def stop(self) -> None:
        """Ask the relay to end after the batch in hand."""
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Relay until stopped. A broker or database that is away is waited for."""
        failures = 0
        while not self._stopping:
            try:
                with closing(self._open_session()) as session:
                    while not self._stopping and not self._take_lock(session):
                        self._pause(1.0)
                    failures = 0
                    if not self._stopping:
                        self._hold(session)
            except (psycopg2.Error, amqp.AMQPError, OSError, amqp_io.NotConfirmed) as error:
                log.warning(
                    "relay_interrupted", error=type(error).__name__, detail=str(error)[:200]
                )
                self._pause(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
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
            with connection.channel() as channel:
                for exchange in topology.exchanges_of(self._service):
                    topology.declare_exchange(
                        channel,
                        exchange,
                        archive_max_bytes=self._foundation.settings.archive_max_bytes,
                    )
            publisher = amqp_io.ConfirmedPublisher(connection)
            self.active = True
            metrics.RELAY_ACTIVE.labels(self._service).set(1)
            log.info("relay_started")
            last_look = 0.0
            while not self._stopping:
                if time.monotonic() - last_look > 1.0:
                    self._measure(session)
                    self._keep_alive(connection)
                    last_look = time.monotonic()
                if not self._relay_batch(session, publisher):
                    self._pause(IDLE_WAIT_S)
        finally:
            amqp_io.drop(connection)

    def _relay_batch(self, session: Any, publisher: amqp_io.ConfirmedPublisher) -> int:
        """Publish what is next; the number of rows taken (0 when there was nothing)."""
        session.autocommit = False
        with session, session.cursor() as cursor:
            cursor.execute(_TAKE_INTERACTIVE)
            rows = [outbox.Envelope(*row) for row in cursor.fetchall()]
            if not rows:
                cursor.execute(_TAKE_BULK)
                rows = [outbox.Envelope(*row) for row in cursor.fetchall()]
            sequences = self._stamp(cursor, rows)
        session.autocommit = True
        if not rows:
            return 0
        confirmed = publisher.publish(
            (self._message(row, sequence), row.exchange, row.routing_key)
            for row, sequence in zip(rows, sequences, strict=True)
        )
        with session.cursor() as cursor:
            ids = [rows[position].id for position in confirmed]
            cursor.execute("DELETE FROM outbox WHERE id = ANY(%s)", (ids,))
        metrics.EVENTS_PUBLISHED.labels(self._service).inc(len(confirmed))
        if len(confirmed) < len(rows):
            refused = rows[min(set(range(len(rows))) - set(confirmed))]
            raise amqp_io.NotConfirmed(f"{refused.exchange} refused {refused.type}")
        return len(rows)

    def _stamp(self, cursor: Any, rows: list[outbox.Envelope]) -> list[int]:
        """Give each row without a sequence the next of its type and county, and store it."""
        fresh = [row for row in rows if row.sequence is None]
        if not fresh:
            return [row.sequence or 0 for row in rows]
        counts = Counter((row.type, row.county) for row in fresh)
        lasts = execute_values(
            cursor,
            _COUNT_UP,
            [(*key, count) for key, count in sorted(counts.items())],
            fetch=True,
        )
        following = {(kind, county): last - counts[kind, county] for kind, county, last in lasts}
        stamped: dict[int, int] = {}
        for row in fresh:
            following[row.type, row.county] += 1
            stamped[row.id] = following[row.type, row.county]
        execute_values(cursor, _STAMP, list(stamped.items()), page_size=len(stamped))
        return [stamped.get(row.id) or row.sequence or 0 for row in rows]

    def _message(self, row: outbox.Envelope, sequence: int) -> amqp.Message:
        return amqp.Message(
            bytes(row.body),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            message_id=row.event_id,
            type=row.type,
            application_headers=outbox.headers(self._service, row, sequence),
        )

    def _keep_alive(self, connection: Connection) -> None:
        try:
            connection.drain_events(timeout=0.001)
        except TimeoutError:
            pass
        connection.heartbeat_check()

    def _measure(self, session: Any) -> None:
        """Outbox depth and age; doubles as the beat that keeps the session."""
        with session.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(time)), 0) "
                "FROM (SELECT time FROM outbox ORDER BY id LIMIT 100000) AS o"
            )
            pending, oldest = cursor.fetchone()
        metrics.OUTBOX_PENDING.labels(self._service).set(pending)
        metrics.OUTBOX_OLDEST_SECONDS.labels(self._service).set(float(oldest))
