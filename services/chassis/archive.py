"""Queues that are gone are made again and refilled from the archives; dead letters are kept.

A service that meets an empty database takes everything from the archives (so it may start late);
a projection added later takes its own; a reaction added later begins with what comes. A queue
that stood before and is gone is refilled: the inbox drops what had taken effect already.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import amqp
from kombu import Connection
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from services.chassis import amqp_io, topology
from services.chassis.logs import get_logger
from services.chassis.models import InboxRow, SubscriptionRow
from services.chassis.settings import Settings
from services.chassis.topology import WorkQueue
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor
from services.contracts.commands.common import DeadLetter, RedriveDeadLetters
from services.contracts.errors import NotFound

log = get_logger(__name__)

REFILL_WINDOW = timedelta(days=30)
"""How far back a refill reaches; the inbox keeps longer than this."""

_READ_PREFETCH = 500
_READ_IDLE_S = 1.5


def ensure_queue(
    foundation: Foundation, connection: Connection, queue: WorkQueue, *, is_projection: bool
) -> None:
    """Declare ``queue`` with all that belongs to it, and refill it when it should hold more."""
    stood = topology.exists(connection, queue.name)
    with connection.channel() as channel:
        topology.declare_queue(
            channel, queue, archive_max_bytes=foundation.settings.archive_max_bytes
        )
    with foundation.begin(system_actor(foundation.settings.service)) as uow:
        known = uow.session.get(SubscriptionRow, queue.name) is not None
        first_start = not uow.session.scalar(select(func.count()).select_from(InboxRow).limit(1))
        if not known:
            uow.session.execute(
                insert(SubscriptionRow).values(queue=queue.name).on_conflict_do_nothing()
            )
    if (known and not stood) or (not known and (is_projection or first_start)):
        count = refill(foundation.settings.amqp_uri, connection, queue)
        log.info("queue_refilled", queue=queue.name, events=count, missing=known)


def refill(amqp_uri: str, connection: Connection, queue: WorkQueue) -> int:
    """Copy what the archives hold for ``queue`` into it; the number of events."""
    publisher = amqp_io.ConfirmedPublisher(connection)
    count = 0
    since = datetime.now(UTC) - REFILL_WINDOW
    for exchange in sorted({exchange for exchange, _ in queue.bindings()}):
        keys = [key for bound, key in queue.bindings() if bound == exchange]
        batch: list[tuple[amqp.Message, str, str]] = []
        for message in read_stream(amqp_uri, topology.archive(exchange), since):
            routing_key = message.delivery_info["routing_key"]
            if any(topology.matches(key, routing_key) for key in keys):
                batch.append((_copy(message), "", queue.name))
            if len(batch) >= _READ_PREFETCH:
                count += _publish(publisher, batch)
        count += _publish(publisher, batch)
    return count


def _publish(
    publisher: amqp_io.ConfirmedPublisher, batch: list[tuple[amqp.Message, str, str]]
) -> int:
    if batch and len(publisher.publish(batch)) < len(batch):
        raise amqp_io.NotConfirmed("the broker refused a refill")
    count = len(batch)
    batch.clear()
    return count


def read_stream(amqp_uri: str, stream: str, since: datetime) -> Iterator[amqp.Message]:
    """The messages of an archive from ``since`` to its present end, in order."""
    connection = amqp_io.connect(amqp_uri)
    try:
        channel = connection.channel()
        arrived: list[amqp.Message] = []
        channel.basic_qos(0, _READ_PREFETCH, False)
        channel.basic_consume(
            stream,
            callback=arrived.append,
            arguments={"x-stream-offset": since.replace(tzinfo=None)},
        )
        last = time.monotonic()
        while time.monotonic() - last < _READ_IDLE_S:
            try:
                connection.drain_events(timeout=_READ_IDLE_S)
            except TimeoutError:
                break
            if arrived:
                yield from arrived
                channel.basic_ack(arrived[-1].delivery_tag, multiple=True)
                arrived.clear()
                last = time.monotonic()
    finally:
        amqp_io.drop(connection)


def _copy(message: amqp.Message, **headers: Any) -> amqp.Message:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    kept = ("content_type", "content_encoding", "message_id", "type")
    old = {k: v for k, v in (message.headers or {}).items() if not k.startswith("x-stream")}
    if user := message.properties.get("user_id"):
        old.setdefault("x-origin-user", user)
    return amqp.Message(
        body,
        delivery_mode=2,
        application_headers={**old, **headers},
        **{name: message.properties[name] for name in kept if name in message.properties},
    )


# -- dead letters -----------------------------------------------------------------------------


def list_dead_letters(settings: Settings, queues: list[str], limit: int) -> list[DeadLetter]:
    """Look at the dead letters without taking them."""
    connection = amqp_io.connect(settings.amqp_uri)
    try:
        found: list[DeadLetter] = []
        for queue in queues:
            if not topology.exists(connection, f"{queue}.dead"):
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
    reason = str(headers.get("x-death-reason") or "delivery limit")
    return DeadLetter(
        queue=queue,
        position=position,
        event_id=headers.get("cloudEvents:id") or message.properties.get("message_id"),
        type=headers.get("cloudEvents:type") or message.properties.get("type"),
        reason=reason,
        died_at=str(headers.get("x-died-at", "")),
        attempts=int(headers.get("x-attempts", 0)),
        body=body[:2000],
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
            message.headers.pop("x-attempts", None)
            publisher.publish_one(_copy(message), "", command.queue)
            channel.basic_ack(message.delivery_tag)
            count += 1
        channel.close()
    finally:
        amqp_io.drop(connection)
    uow.audit("dead_letters.redriven", "queue", command.queue, count=count)
    return count
