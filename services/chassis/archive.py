"""Queues kept as they should be: standing, bound, and holding all that went through.

A service that meets an empty database takes everything from the archives (so it may start late);
a projection added later takes its own; a reaction added later begins with what comes. What is
gone is made again and refilled; what never came, because a binding was gone for a while, shows
as a gap in the sequence numbers and is fetched. The inbox drops what had taken effect already.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import amqp
from kombu import Connection
from sqlalchemy import ColumnElement, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.chassis import amqp_io, arrivals, door, metrics, topology
from services.chassis.arrivals import ORIGIN_EXCHANGE, Arrivals, Gap
from services.chassis.clock import machine_now
from services.chassis.logs import get_logger
from services.chassis.models import SubscriptionRow
from services.chassis.redaction import event_body, without_numbers
from services.chassis.settings import Settings
from services.chassis.topology import WorkQueue
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor
from services.contracts.commands.common import DeadLetter, RedriveDeadLetters
from services.contracts.errors import NotFound

log = get_logger(__name__)

REFILL_WINDOW = timedelta(days=30)
"""How far back a refill reaches; the inbox keeps longer than this."""

_READ_PREFETCH = 4_000
_READ_CHUNK = 1_000
_READ_PATIENCE_S = 30.0

Beat = Callable[[], None]
"""Called now and then in long work: the caller shows that it lives."""

TakeIn = Callable[[list[amqp.Message]], None]
"""Applies messages of an archive as if the queue had handed them out."""


class Upkeep:
    """Looks after one work queue, at every connect and then every ten seconds."""

    def __init__(
        self,
        foundation: Foundation,
        queue: WorkQueue,
        *,
        siblings: Sequence[str],
        is_projection: bool,
    ) -> None:
        self.queue = queue
        self.every_s = foundation.settings.topology_check_s
        self.inbound_rate = foundation.settings.bureau_events_per_second
        self.arrivals = Arrivals(queue)
        self._foundation = foundation
        self._siblings = siblings
        self._is_projection = is_projection
        self._actor = system_actor(foundation.settings.service)
        self._lack_is_ours = False
        """Whether it was this process that noted what the queue lacks, so that it did not die."""
        self._refills = metrics.QUEUE_REFILLS.labels(foundation.settings.service, queue.name)

    def look(self, connection: Connection, beat: Beat, take_in: TakeIn) -> None:
        """Declare what should stand; take from the archives what should have arrived.

        One replica does so at a time, and has the events take effect as it reads them. Should it
        die over that, one of them may be the cause: whoever comes next copies them into the queue,
        where the broker counts how often each is handed out. So does everybody with what bureaus
        say, since the door stands behind the queue.

        Raises database errors, ``OSError``, ``amqp.AMQPError`` or ``NotConfirmed``: then nothing
        is marked as done and the next look begins again.
        """
        lasting = [name for name in self.queue.all_names() if name != self.queue.dead]
        if not topology.exist(connection, lasting):
            self._note_lacking()  # before it stands again, and is taken for whole
        with connection.channel() as channel:
            topology.declare_queue(
                channel,
                self.queue,
                archive_max_bytes=self._foundation.settings.archive_max_bytes,
            )
            waiting = channel.queue_declare(self.queue.name, passive=True).message_count
        tellings = self._foundation.tellings
        published = tellings.of(connection, arrivals.producers_of(self.queue))
        with self._foundation.begin(self._actor) as uow:
            row = self._subscription(uow.session, connection)
            self.arrivals.write_down(uow.session)
            gaps = [] if waiting else self.arrivals.missing(uow.session, published)
        whole = row.filled_at is None or row.refill_began_at is not None
        if not (whole or gaps):
            return
        with _alone(connection, f"{self.queue.name}.refilling") as alone:
            if not alone:
                return
            careful = row.refill_began_at is not None and not self._lack_is_ours
            self._note_lacking()
            if careful or self.queue.inbound:
                take_in = self._into_queue(connection, beat)
            count = self._read_archives(None if whole else gaps, take_in)
            with self._foundation.begin(self._actor) as uow:
                self.arrivals.forgive(uow.session, gaps)
                self._note(uow.session, filled_at=machine_now(), refill_began_at=None)
            self._lack_is_ours = False
        if row.filled_at is not None:
            self._refills.inc()
        log.info(
            "queue_refilled", queue=self.queue.name, events=count, gaps=len(gaps), careful=careful
        )

    def _subscription(self, session: Session, connection: Connection) -> SubscriptionRow:
        """What is known of this subscription; begun when it is new."""
        row = session.get(SubscriptionRow, self.queue.name)
        if row is None:
            session.execute(text("LOCK TABLE subscription IN EXCLUSIVE MODE"))
            service_is_new = session.scalar(select(SubscriptionRow.queue).limit(1)) is None
            takes_all = service_is_new or self._is_projection
            for name in self._siblings if service_is_new else [self.queue.name]:
                begun = insert(SubscriptionRow).values(
                    queue=name, filled_at=None if takes_all else machine_now()
                )
                session.execute(begun.on_conflict_do_nothing())
            if not takes_all:
                producers = arrivals.producers_of(self.queue)
                self.arrivals.begin_at(session, arrivals.published_by(connection, producers))
            row = session.get_one(SubscriptionRow, self.queue.name)
        return row

    def _note_lacking(self) -> None:
        """Note, unless that stands there already, that the queue has not all it should."""
        with self._foundation.begin(self._actor) as uow:
            if self._note(
                uow.session,
                SubscriptionRow.refill_began_at.is_(None),
                refill_began_at=machine_now(),
            ):
                self._lack_is_ours = True

    def _note(self, session: Session, *only: ColumnElement[bool], **values: Any) -> bool:
        ours = SubscriptionRow.queue == self.queue.name
        noted = update(SubscriptionRow).where(ours, *only).values(values)
        return session.scalar(noted.returning(SubscriptionRow.queue)) is not None

    def _read_archives(self, only: list[Gap] | None, take_in: TakeIn) -> int:
        """Hand over what the archives hold for the queue (or for its gaps); how many events."""
        since = datetime.now(UTC) - REFILL_WINDOW
        uri = self._foundation.settings.amqp_uri
        wanted = {gap.series.exchange for gap in only} if only is not None else None
        count = 0
        for exchange in sorted({exchange for exchange, _ in self.queue.bindings()}):
            if wanted is not None and exchange not in wanted:
                continue
            keys = [key for bound, key in self.queue.bindings() if bound == exchange]
            for chunk in read_stream(uri, topology.archive(exchange), since):
                copies = [
                    _copy(message, **{ORIGIN_EXCHANGE: exchange})
                    for message in chunk
                    if _belongs(message, exchange, keys, only)
                ]
                take_in(copies)
                count += len(copies)
        return count

    def _into_queue(self, connection: Connection, beat: Beat) -> TakeIn:
        publisher = amqp_io.ConfirmedPublisher(connection)

        def copy_in(messages: list[amqp.Message]) -> None:
            sent = [(message, "", self.queue.name) for message in messages]
            if sent and len(publisher.publish(sent)) < len(sent):
                raise amqp_io.NotConfirmed("the broker refused a refill")
            beat()

        return copy_in


@contextmanager
def _alone(connection: Connection, name: str) -> Iterator[bool]:
    """Whether nobody else is at it: a queue that only one connection can have, and that goes with
    it, however that ends.
    """
    channel = connection.channel()
    try:
        channel.queue_declare(name, exclusive=True)
    except amqp.ResourceLocked:
        yield False
        return
    yield True
    channel.queue_delete(name)
    channel.close()


def _belongs(
    message: amqp.Message, exchange: str, keys: Sequence[str], only: Sequence[Gap] | None
) -> bool:
    routing_key = message.delivery_info["routing_key"]
    if exchange == topology.INBOUND:
        routing_key = str((message.headers or {}).get(door.ORIGIN_KEY, ""))
    if not any(topology.matches(key, routing_key) for key in keys):
        return False
    if only is None:
        return True
    message.delivery_info["exchange"] = exchange
    label = arrivals.label_of(message)
    return label is not None and any(gap.holds(*label) for gap in only)


def read_stream(amqp_uri: str, stream: str, since: datetime | int) -> Iterator[list[amqp.Message]]:
    """The messages of an archive from ``since`` (a moment, or an offset) to its present end, in
    order, in chunks.

    The end is a marker of our own, so that a slow broker is not taken for the end and a busy one
    does not keep us for ever.
    """
    connection = amqp_io.connect(amqp_uri)
    try:
        marker = str(uuid.uuid4())
        end = amqp.Message(b"", delivery_mode=2, message_id=marker, type=MARKER)
        amqp_io.ConfirmedPublisher(connection).publish_one(end, "", stream)
        channel = connection.channel()
        arrived: list[amqp.Message] = []
        channel.basic_qos(0, _READ_PREFETCH, False)
        channel.basic_consume(
            stream,
            callback=arrived.append,
            arguments={
                "x-stream-offset": since if isinstance(since, int) else since.replace(tzinfo=None)
            },
        )
        ended = False
        patience = time.monotonic() + _READ_PATIENCE_S
        while not ended:
            amqp_io.drain(connection, 1.0)
            while 0 < len(arrived) < _READ_CHUNK and (before := len(arrived)):
                amqp_io.drain(connection, 0.005)  # more is on its way: large chunks cost less
                if len(arrived) == before:
                    break
            connection.heartbeat_check()
            if not arrived:  # a part of a frame is no answer yet, and no silence either
                if time.monotonic() > patience:
                    raise amqp_io.NotConfirmed(f"the archive {stream} does not answer")
                continue
            patience = time.monotonic() + _READ_PATIENCE_S
            chunk = list(arrived)
            arrived.clear()
            ended = any(message.properties.get("message_id") == marker for message in chunk)
            channel.basic_ack(chunk[-1].delivery_tag, multiple=True)
            yield [message for message in chunk if message.properties.get("type") != MARKER]
    finally:
        amqp_io.drop(connection)


MARKER = "zhida.marker"
"""Type of the messages that mark the end of a reading of an archive; no event."""


def _copy(message: amqp.Message, **headers: Any) -> amqp.Message:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    kept = ("content_type", "content_encoding", "message_id", "type", "priority")
    old = {k: v for k, v in (message.headers or {}).items() if not k.startswith("x-stream")}
    deaths = old.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if not isinstance(death, dict):
            continue  # as an archive gives it back: nothing the broker says of its own
        if death.get("reason") == "delivery_limit" and death.get("exchange"):
            # laid aside by the broker as it came: who sent it only its properties tell
            old.pop(door.ORIGIN_USER, None)
            old[door.ORIGIN_KEY] = next(iter(death.get("routing-keys") or ()), "")
            if user := message.properties.get("user_id"):
                old[door.ORIGIN_USER] = user
    copy = amqp.Message(
        body,
        delivery_mode=2,
        application_headers={**old, **headers},
        **{name: message.properties[name] for name in kept if name in message.properties},
    )
    copy.delivery_info = {"exchange": ""}  # as one sent to the queue itself
    return copy


# -- dead letters -----------------------------------------------------------------------------


def list_dead_letters(settings: Settings, queues: list[str], limit: int) -> list[DeadLetter]:
    """Look at the dead letters without taking them."""
    connection = amqp_io.connect(settings.amqp_uri)
    try:
        found: list[DeadLetter] = []
        for queue in queues:
            if not topology.exist(connection, [f"{queue}.dead"]):
                continue
            channel = connection.channel()
            for position in range(limit):
                message = channel.basic_get(f"{queue}.dead", no_ack=False)
                if message is None:
                    break
                found.append(_dead_letter(queue, position, message))
            channel.close()  # gives all of them back
        return found
    finally:
        amqp_io.drop(connection)


def _dead_letter(queue: str, position: int, message: amqp.Message) -> DeadLetter:
    headers = message.headers or {}
    body = message.body if isinstance(message.body, str) else message.body.decode(errors="replace")
    type_name = headers.get("cloudEvents:type") or message.properties.get("type")
    return DeadLetter(
        queue=queue,
        position=position,
        event_id=headers.get("cloudEvents:id") or message.properties.get("message_id"),
        type=type_name,
        reason=without_numbers(str(headers.get("x-death-reason") or "delivery limit")),
        died_at=str(headers.get("x-died-at", "")),
        attempts=amqp_io.count(message, "x-attempts"),
        body=event_body(type_name, body)[:2000],
    )


def redrive(uow: UnitOfWork, queues: list[str], command: RedriveDeadLetters) -> int:
    """Send dead letters back with their attempts forgotten; how many."""
    if command.queue not in queues:
        raise NotFound(f"本服务没有队列 {command.queue}", field="queue")
    connection = amqp_io.connect(uow.settings.amqp_uri)
    try:
        channel = connection.channel()
        publisher = amqp_io.ConfirmedPublisher(connection)
        count = 0
        for _ in range(channel.queue_declare(f"{command.queue}.dead", passive=True).message_count):
            message = channel.basic_get(f"{command.queue}.dead", no_ack=False)
            if message is None:
                break
            event_id = (message.headers or {}).get("cloudEvents:id")
            if command.event_id and event_id != command.event_id:
                continue
            (message.headers or {}).pop("x-attempts", None)
            publisher.publish_one(_copy(message), "", command.queue)
            channel.basic_ack(message.delivery_tag)
            count += 1
        channel.close()
    finally:
        amqp_io.drop(connection)
    uow.audit("dead_letters.redriven", "queue", command.queue, count=count)
    return count
