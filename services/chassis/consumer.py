"""Takes deliveries of one queue in batches and settles each: applied, put off, or laid aside.

A batch is one transaction. When it fails the members run one by one to find the culprit, which
waits out a retry step and in the end rests with the dead letters. A database or broker that is
away is never an attempt: the consumer waits. Messages that have come back more than once may be
killing the process: they run alone, with nothing else in hand, so that the broker's delivery
limit can only ever reach the guilty one.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import amqp
import eventlet
import psycopg2
from eventlet.event import Event as Finished
from kombu import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.chassis import amqp_io, door, inbox, metrics, topology
from services.chassis.archive import Upkeep
from services.chassis.arrivals import ORIGIN_EXCHANGE
from services.chassis.inbox import Delivery, Malformed
from services.chassis.logs import get_logger
from services.chassis.redaction import without_numbers

log = get_logger(__name__)

BATCH = 200
"""Deliveries of one transaction: to build the rows of more would hold the event loop for long."""

PREFETCH = 2 * BATCH
LINGER_S = 0.004
PACE_S = 0.025
COPIES_PACE_S = 0.25
"""Between two batches that are not full, so that a brisk flow comes in batches and not one by one:
a batch costs little more than an event. After a silence an event is handled at once. Nobody waits
for a copy, so copies are made in larger portions than effects."""

BUSY_LOOK_S = 1.0
"""How often a consumer looks after its connection while a batch is being handled."""

SUSPECT_AFTER = 2
"""Deliveries after which a message runs alone."""

_SERIALIZATION = ("40001", "40P01", "55P03")
_AWAY = ("08", "53", "57P", "25006")
"""SQLSTATE: connection, resources, shutting down or starting up, read-only after a failover."""

_PAUSE_S = (0.2, 0.5, 1.0, 2.0, 5.0)

_BROKERS_OWN = ("x-delivery-count",)
"""Headers the broker itself keeps on a delivery."""

Spawn = Callable[[list[Delivery]], "Finished"]
"""Start handling a batch; the event is sent ``None`` or the exception when it is done."""


class Consumer:
    """Consumes one work queue until stopped; draining, never losing, never doubling."""

    def __init__(
        self,
        service: str,
        amqp_uri: str,
        upkeep: Upkeep,
        spawn: Spawn,
        *,
        keeps: bool = False,
        pace_s: float = PACE_S,
    ) -> None:
        self.upkeep = upkeep
        self.queue = upkeep.queue
        self.labels = (service, self.queue.name)
        self.spawn = spawn
        self.keeps = keeps
        """Whether this is the door: what bureaus say goes through it into the archive."""
        self.pace_s = pace_s
        self.stopping = False
        self._amqp_uri = amqp_uri
        self.connected = False
        self.last_beat = time.monotonic()

    def stop(self) -> None:
        """Take no more deliveries; finish and acknowledge those in hand."""
        self.stopping = True

    def run(self) -> None:
        """Consume until stopped, reconnecting for as long as broker or database are away."""
        failures = 0
        while not self.stopping:
            connection = None
            try:
                connection = amqp_io.connect(self._amqp_uri)
                session = _Session(self, connection)
                session.look()
                self.connected = True
                metrics.CONSUMING.labels(*self.labels).set(1)
                failures = 0
                session.consume()
            except (amqp.AMQPError, OSError, SQLAlchemyError, amqp_io.NotConfirmed) as error:
                log.warning(
                    "consumer_interrupted",
                    queue=self.queue.name,
                    error=type(error).__name__,
                    detail=str(error)[:200],
                )
                self._pause(failures)
                failures += 1
            finally:
                self.connected = False
                metrics.CONSUMING.labels(*self.labels).set(0)
                if connection is not None:
                    amqp_io.drop(connection)

    def _pause(self, failures: int) -> None:
        time.sleep(_PAUSE_S[min(failures, len(_PAUSE_S) - 1)])
        self.last_beat = time.monotonic()


class _Session:
    """One connection's worth of consuming."""

    def __init__(self, consumer: Consumer, connection: Connection) -> None:
        self._consumer = consumer
        self._queue = consumer.queue
        self._labels = consumer.labels
        self._connection = connection
        self._channel = connection.channel()
        self._publisher = amqp_io.ConfirmedPublisher(connection)
        self._waiting: deque[amqp.Message] = deque()
        self._tag: str | None = None
        self._prefetch = 0
        self._cancelled = False
        self._next_heartbeat = 0.0
        self._began_at = 0.0
        self._next_look = 0.0
        self._looked = False

    def look(self) -> None:
        """See that the queue stands, is bound, and misses nothing.

        The second look is put off by part of a period: the queues of a city that has just been
        started are not all looked after at once. Never by less than a period, within which every
        replica notes what reached it (``arrivals``).
        """
        upkeep = self._consumer.upkeep
        upkeep.look(self._connection, self._beat, self._take_in)
        put_off = 0.0 if self._looked else random.random()  # noqa: S311
        self._next_look = time.monotonic() + upkeep.every_s * (1 + put_off)
        self._looked = True

    def _take_in(self, messages: list[amqp.Message]) -> None:
        """Apply what an archive holds for the queue."""
        for message in messages:
            self._consumer.upkeep.arrivals.note(message)
        for first in range(0, len(messages), BATCH):
            self._apply(self._decoded(messages[first : first + BATCH]))
            if self._consumer.stopping:
                raise ConnectionAbortedError("stopping amid a refill")
        self._beat()

    def _look_when_due(self) -> None:
        """As ``look``; a database that is away only puts it off."""
        if time.monotonic() < self._next_look:
            return
        try:
            self.look()
        except SQLAlchemyError as error:
            log.warning("look_put_off", queue=self._queue.name, error=type(error).__name__)
            self._next_look = time.monotonic() + 1.0

    def consume(self) -> None:
        """Consume until the consumer is stopped and all in hand is settled."""
        self._subscribe(1)  # on probation: the first message may be the one that kills us
        while True:
            if self._consumer.stopping and self._tag:
                self._channel.basic_cancel(self._tag)
                self._tag = None
            self._look_when_due()
            if not self._waiting:
                if self._tag is None:
                    return
                self._drain(0.5)
                continue
            suspects = _deliveries(self._waiting[0]) >= SUSPECT_AFTER
            if not suspects and self._prefetch == 1:
                self._settle([self._waiting.popleft()])
                if self._tag is not None:
                    self._resubscribe(PREFETCH)
                continue
            if suspects:
                self._settle([self._waiting.popleft()])
                continue
            self._linger()
            self._settle(self._take())

    def _take(self) -> list[amqp.Message]:
        batch: list[amqp.Message] = []
        while self._waiting and len(batch) < BATCH:
            if _deliveries(self._waiting[0]) >= SUSPECT_AFTER:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _linger(self) -> None:
        now = time.monotonic()
        deadline = max(now + LINGER_S, self._began_at + self._consumer.pace_s)
        while len(self._waiting) < BATCH and (left := deadline - time.monotonic()) > 0:
            self._drain(left)
        self._began_at = time.monotonic()

    def _subscribe(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._channel.basic_qos(0, prefetch, False)
        self._tag = self._channel.basic_consume(
            self._queue.name, callback=self._on_message, on_cancel=self._on_cancel
        )

    def _on_message(self, message: amqp.Message) -> None:
        self._consumer.upkeep.arrivals.note(message)
        self._waiting.append(message)

    def _resubscribe(self, prefetch: int) -> None:
        if self._tag is not None:
            self._channel.basic_cancel(self._tag)
        self._subscribe(prefetch)

    def _on_cancel(self, _tag: str) -> None:
        self._cancelled = True

    def _drain(self, timeout: float) -> None:
        amqp_io.drain(self._connection, timeout)
        now = time.monotonic()
        self._consumer.last_beat = now
        if now >= self._next_heartbeat:
            self._connection.heartbeat_check()
            self._next_heartbeat = now + amqp_io.HEARTBEAT_S / 4
        if self._cancelled:
            raise ConnectionResetError(f"queue {self._queue.name} is gone")

    def _beat(self) -> None:
        self._drain(0.001)

    # -- settling ---------------------------------------------------------------------------

    def _settle(self, batch: Sequence[amqp.Message]) -> None:
        """Apply a batch and acknowledge it; whatever cannot be applied is moved first."""
        self._apply(self._let_in(batch) if self._queue.inbound else self._decoded(batch))
        self._channel.basic_ack(batch[-1].delivery_tag, multiple=True)
        if self._queue.inbound:
            self._rest(len(batch) / self._consumer.upkeep.inbound_rate)

    def _apply(self, good: list[tuple[amqp.Message, Delivery]]) -> None:
        """Have its effect; what fails waits out a retry step, the others do not wait for it."""
        if good and (failure := self._handle([delivery for _, delivery in good])):
            if len(good) == 1:
                self._put_off(good[0][0], failure)
            else:
                for message, delivery in good:
                    if culprit := self._handle([delivery]):
                        self._put_off(message, culprit)

    def _decoded(self, batch: Sequence[amqp.Message]) -> list[tuple[amqp.Message, Delivery]]:
        good = []
        for message in batch:
            try:
                good.append((message, _decode(message)))
            except Malformed as error:
                self._lay_aside(message, str(error))
        return good

    def _let_in(self, batch: Sequence[amqp.Message]) -> list[tuple[amqp.Message, Delivery]]:
        """What bureaus say. What is let in goes to the archive; the rest loses its body here."""
        read = [(message, door.read(message, self._queue.types)) for message in batch]
        kept = []
        for message, delivery in read:
            if isinstance(delivery.event, door.Refused):
                door.forget(message)
            else:
                kept.append((door.vetted(message), "", topology.archive(topology.INBOUND)))
        if kept and self._consumer.keeps and len(self._publisher.publish(kept)) < len(kept):
            raise amqp_io.NotConfirmed("the archive refused what a bureau said")
        return read

    def _rest(self, seconds: float) -> None:
        """Take a bureau's events no faster than was agreed: others have work here too."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._consumer.stopping:
            self._drain(min(left, 0.5))

    def _handle(self, deliveries: list[Delivery]) -> BaseException | None:
        """Run the handler until it gives a verdict: ``None`` when applied, else the error."""
        pauses = 0
        while True:
            failure = self._wait(self._consumer.spawn(deliveries))
            if failure is None or not _passing(failure):
                return failure
            if self._consumer.stopping and not _serialization(failure):
                raise ConnectionAbortedError("stopping while the database is away")
            log.warning("handler_waits", queue=self._queue.name, error=type(failure).__name__)
            deadline = time.monotonic() + _PAUSE_S[min(pauses, len(_PAUSE_S) - 1)]
            while (left := deadline - time.monotonic()) > 0:
                self._drain(min(left, 0.5))
            pauses += 1

    def _wait(self, finished: Finished) -> BaseException | None:
        """Wait for the handler; while it works long, take deliveries and send heartbeats."""
        while not finished.ready():
            with eventlet.Timeout(BUSY_LOOK_S, False):
                finished.wait()
                break
            self._beat()
        outcome: BaseException | None = finished.wait()
        return outcome

    def _put_off(self, message: amqp.Message, failure: BaseException) -> None:
        """Move a message that failed to its next retry step, or to the dead letters."""
        attempts = amqp_io.count(message, "x-attempts") + 1
        steps = self._queue.retry_steps
        if attempts > len(steps):
            self._lay_aside(message, f"{type(failure).__name__}: {failure}")
            return
        step = steps[attempts - 1]
        self._move(message, self._queue.retry(step), {"x-attempts": attempts})
        metrics.EVENT_RETRIES.labels(*self._labels).inc()
        log.warning(
            "event_put_off",
            queue=self._queue.name,
            event_id=str(message.properties.get("message_id")),
            attempt=attempts,
            step=step.name,
            error=type(failure).__name__,
        )

    def _lay_aside(self, message: amqp.Message, reason: str) -> None:
        died_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        added = {"x-death-reason": without_numbers(reason)[:500], "x-died-at": died_at}
        self._move(message, self._queue.dead, added)
        metrics.EVENT_DEAD.labels(*self._labels).inc()
        log.error("event_laid_aside", queue=self._queue.name, reason=reason[:200])

    def _move(self, message: amqp.Message, target: str, added: dict[str, Any]) -> None:
        """Publish a copy with confirm; only then may the original be acknowledged.

        The broker refuses a foreign ``user_id``: it moves to a header.
        """
        given = message.headers or {}
        headers = {name: value for name, value in given.items() if name not in _BROKERS_OWN}
        headers |= added
        if message.delivery_info.get("exchange"):  # else it is a copy already
            headers.pop(door.ORIGIN_USER, None)
            headers[door.ORIGIN_KEY] = door.routing_key(message)
            if user := message.properties.get("user_id"):
                headers[door.ORIGIN_USER] = user
        kept = ("content_type", "content_encoding", "message_id", "type", "priority")
        copy = amqp.Message(
            _body(message),
            delivery_mode=2,
            application_headers=headers,
            **{name: message.properties[name] for name in kept if name in message.properties},
        )
        self._publisher.publish_one(copy, "", target)


def _body(message: amqp.Message) -> bytes:
    body = message.body
    return body.encode() if isinstance(body, str) else bytes(body)


def _deliveries(message: amqp.Message) -> int:
    """How often the broker has handed this message out in vain."""
    return amqp_io.count(message, "x-delivery-count")


def _decode(message: amqp.Message) -> Delivery:
    properties = message.properties
    moved = not message.delivery_info.get("exchange")
    headers = message.headers or {}
    return inbox.decode(
        properties.get("message_id"),
        properties.get("type"),
        _body(message),
        headers,
        headers.get(door.ORIGIN_USER) if moved else properties.get("user_id"),
        lane=_lane(message),
    )


def _lane(message: amqp.Message) -> inbox.Lane:
    if ORIGIN_EXCHANGE in (message.headers or {}):
        return "refilled"
    return "bulk" if message.properties.get("priority") == inbox.BULK_PRIORITY else "interactive"


def _serialization(failure: BaseException) -> bool:
    return getattr(getattr(failure, "orig", failure), "pgcode", None) in _SERIALIZATION


def _passing(failure: BaseException) -> bool:
    """Trouble that will pass and is nobody's fault: the database away, a deadlock, a lock wait.

    A statement that runs into its time limit is the statement's own fault.
    """
    if isinstance(failure, PoolTimeout):
        return True
    if isinstance(failure, DBAPIError):
        if _serialization(failure) or failure.connection_invalidated:
            return True
        failure = failure.orig or failure
    if isinstance(failure, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        state = str(getattr(failure, "pgcode", None) or "")
        return not state or state.startswith(_AWAY)
    return False
