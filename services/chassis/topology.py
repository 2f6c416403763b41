"""Exchanges, queues and archives: declared in one place, equal on every process.

Work queues are durable quorum queues ``<service>.<subscription>``. Beside each stand one retry
queue a delay step (TTL, dead-lettered back at-least-once: the default loses messages whose work
queue is gone) and one ``.dead`` queue. Each exchange has an archive stream that only our own
services read; a queue that is gone is made again and refilled from it. The last message of the
stream ``<service>.published`` says how many events of each type the service has published, so that
a reader can tell that the last ones never reached it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from amqp.exceptions import NotFound as QueueNotFound
from kombu import Connection
from kombu.transport.pyamqp import Channel

from services.chassis.settings import RetryStep
from services.contracts.events import Audience, EventType, event_types

DELIVERY_LIMIT = 25
"""The broker's limit is only for messages that kill the process: see ``consumer`` (suspects)."""

INBOUND_MAX_LENGTH = 20_000
INBOUND_MAX_BYTES = 64_000_000
"""What may wait of one bureau's events of one kind. Beyond it the broker refuses (nack): the bureau
sends again later, and nobody else's queue is touched."""

ARCHIVE_MAX_AGE = "400D"
ARCHIVE_SEGMENT_BYTES = 100_000_000
PUBLISHED_MAX_BYTES = 2_000_000
PUBLISHED_SEGMENT_BYTES = 500_000


INBOUND = "bureaus.events"
"""The exchange other bureaus speak on."""


@dataclass(frozen=True)
class WorkQueue:
    """A subscription's queue, what it is bound to, and the waits between attempts."""

    name: str
    types: tuple[EventType, ...]
    retry_steps: tuple[RetryStep, ...]

    @property
    def dead(self) -> str:
        """Where messages rest that no attempt could handle."""
        return f"{self.name}.dead"

    def retry(self, step: RetryStep) -> str:
        """The queue in which a message waits out ``step``."""
        return f"{self.name}.retry.{step.name}"

    def all_names(self) -> list[str]:
        """The work queue and those that stand beside it."""
        return [self.name, self.dead, *(self.retry(step) for step in self.retry_steps)]

    @property
    def inbound(self) -> bool:
        """Whether it is other bureaus who speak here."""
        return any(declared.audience is Audience.INBOUND for declared in self.types)

    def bindings(self) -> list[tuple[str, str]]:
        """(exchange, binding key) pairs: every exchange an event of the type may go to."""
        pairs = []
        for declared in self.types:
            audiences = {declared.audience}
            if declared.audience in (Audience.BUREAUS, Audience.IDENTIFIED):
                audiences.add(Audience.INTERNAL)  # events about a child's benefit
            pairs += [(declared.exchange(audience), declared.binding) for audience in audiences]
        return sorted(pairs)


@dataclass(frozen=True)
class Layout:
    """What stands on the broker, as data: the code declares it, manifests are compared with it.

    ``queues`` maps a name to its arguments; all are durable. ``bindings``: (queue, exchange, key).
    """

    exchanges: tuple[str, ...] = ()
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    bindings: tuple[tuple[str, str, str], ...] = ()


def archive(exchange: str) -> str:
    """The stream that keeps all that went through ``exchange``."""
    return f"{exchange}.archive"


def published(producer: str) -> str:
    """The stream whose last message counts what ``producer`` has published."""
    return f"{producer}.published"


def published_layout(producer: str) -> Layout:
    """The stream of ``published``.

    A stream, because many readers look at its last message at the same moment, and reading a queue
    would hide the message from the others.
    """
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": PUBLISHED_MAX_BYTES,
        "x-stream-max-segment-size-bytes": PUBLISHED_SEGMENT_BYTES,
    }
    return Layout(queues={published(producer): arguments})


def declare_published(channel: Channel, producer: str) -> int:
    """Declare the stream of ``published``; how many messages it holds."""
    ((name, arguments),) = published_layout(producer).queues.items()
    declared = channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
    return int(declared.message_count)


def exchanges_of(producer: str) -> list[str]:
    """The exchanges a service publishes to."""
    return sorted(
        {
            t.exchange(a)
            for t in event_types()
            if t.producer == producer
            for a in (t.audience, Audience.INTERNAL)
        }
    )


def exchange_layout(exchange: str, *, archive_max_bytes: int) -> Layout:
    """A topic exchange with its archive stream bound to everything.

    Not so for what bureaus say: it may hold what must not be kept, so the consumer itself puts
    into the archive what it has let in.
    """
    stream = {
        "x-queue-type": "stream",
        "x-max-age": ARCHIVE_MAX_AGE,
        "x-max-length-bytes": archive_max_bytes,
        "x-stream-max-segment-size-bytes": ARCHIVE_SEGMENT_BYTES,
    }
    return Layout(
        exchanges=(exchange,),
        queues={archive(exchange): stream},
        bindings=() if exchange == INBOUND else ((archive(exchange), exchange, "#"),),
    )


def queue_layout(queue: WorkQueue) -> Layout:
    """The work queue, its retry and dead-letter queues and its bindings."""
    quorum = {"x-queue-type": "quorum"}
    lossless = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    bounds = {"x-max-length": INBOUND_MAX_LENGTH, "x-max-length-bytes": INBOUND_MAX_BYTES}
    work = {"x-delivery-limit": DELIVERY_LIMIT, "x-dead-letter-routing-key": queue.dead}
    back = {"x-dead-letter-routing-key": queue.name}
    return Layout(
        queues={
            queue.dead: quorum,
            queue.name: quorum | lossless | work | (bounds if queue.inbound else {}),
            **{
                queue.retry(step): quorum
                | lossless
                | back
                | {"x-message-ttl": round(step.seconds * 1000)}
                for step in queue.retry_steps
            },
        },
        bindings=tuple((queue.name, exchange, key) for exchange, key in queue.bindings()),
    )


def service_layout(service: str, queues: Iterable[WorkQueue], *, archive_max_bytes: int) -> Layout:
    """All that the processes of a service declare, whoever else declares it too."""
    queues = list(queues)
    exchanges = {e for queue in queues for e, _ in queue.bindings()} | set(exchanges_of(service))
    producers = {t.producer for queue in queues for t in queue.types} - {"bureaus"} | {service}
    parts = [
        *(exchange_layout(e, archive_max_bytes=archive_max_bytes) for e in sorted(exchanges)),
        *(queue_layout(queue) for queue in queues),
        *(published_layout(producer) for producer in sorted(producers)),
    ]
    return together(parts)


def together(parts: Sequence[Layout]) -> Layout:
    """Several as one."""
    return Layout(
        exchanges=tuple(e for part in parts for e in part.exchanges),
        queues={name: arguments for part in parts for name, arguments in part.queues.items()},
        bindings=tuple(b for part in parts for b in part.bindings),
    )


def declare(channel: Channel, layout: Layout) -> None:
    """Make what is missing. What stands with other arguments is an error of the broker's.

    All is asked for at once and one answer waited for: a process does so for each of its queues
    every few seconds, all day.
    """
    for exchange in layout.exchanges:
        channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False, nowait=True)
    for name, arguments in layout.queues.items():
        channel.queue_declare(
            name, durable=True, auto_delete=False, nowait=True, arguments=arguments
        )
    for queue, exchange, key in layout.bindings:
        channel.queue_bind(queue, exchange, key, nowait=True)
    for name in [*layout.queues][-1:]:
        channel.queue_declare(name, passive=True)  # an error of what was asked before comes here
    if layout.exchanges and not layout.queues:
        channel.exchange_declare(layout.exchanges[-1], "topic", passive=True)


def declare_exchange(channel: Channel, exchange: str, *, archive_max_bytes: int) -> None:
    """An exchange and its archive."""
    declare(channel, exchange_layout(exchange, archive_max_bytes=archive_max_bytes))


def declare_queue(channel: Channel, queue: WorkQueue, *, archive_max_bytes: int) -> None:
    """A work queue, what stands beside it, its exchanges and bindings."""
    exchanges = sorted({exchange for exchange, _ in queue.bindings()})
    parts = [exchange_layout(each, archive_max_bytes=archive_max_bytes) for each in exchanges]
    declare(channel, together([*parts, queue_layout(queue)]))


def exist(connection: Connection, queues: Iterable[str]) -> bool:
    """Whether all of ``queues`` stand on the broker."""
    channel = connection.channel()  # one for all: to open and close one costs more than to ask
    try:
        for queue in queues:
            channel.queue_declare(queue, passive=True)
    except QueueNotFound:
        return False
    channel.close()
    return True


@functools.lru_cache(maxsize=4096)
def matches(binding: str, routing_key: str) -> bool:
    """Topic match as the broker does it (``*`` one word, ``#`` any number)."""
    return _match(binding.split("."), routing_key.split("."))


def _match(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_match(rest, words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _match(rest, words[1:])
