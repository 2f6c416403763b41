"""Exchanges, queues and archives: declared in one place, equal on every process.

Work queues are durable quorum queues ``<service>.<subscription>``. Beside each stand one retry
queue a delay step (TTL, dead-lettered back at-least-once: the default loses messages whose work
queue is gone) and one ``.dead`` queue. Each exchange has an archive stream that only our own
services read; a queue that is gone is made again and refilled from it. The last message of the
stream ``<service>.published`` says how many events of each type the service has published, so that
a reader can tell that the last ones never reached it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amqp.exceptions import NotFound as QueueNotFound
from kombu import Connection
from kombu.transport.pyamqp import Channel

from services.chassis.settings import RetryStep
from services.contracts.events import Audience, EventType, event_types

DELIVERY_LIMIT = 25
"""The broker's limit is only for messages that kill the process: see ``consumer`` (suspects)."""

ARCHIVE_MAX_AGE = "400D"
ARCHIVE_SEGMENT_BYTES = 100_000_000
PUBLISHED_MAX_BYTES = 2_000_000
PUBLISHED_SEGMENT_BYTES = 500_000


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

    def bindings(self) -> list[tuple[str, str]]:
        """(exchange, binding key) pairs: every exchange an event of the type may go to."""
        pairs = []
        for declared in self.types:
            audiences = {declared.audience}
            if declared.audience in (Audience.BUREAUS, Audience.IDENTIFIED):
                audiences.add(Audience.INTERNAL)  # events about a child's benefit
            pairs += [(declared.exchange(audience), f"{declared.name}.#") for audience in audiences]
        return sorted(pairs)


def archive(exchange: str) -> str:
    """The stream that keeps all that went through ``exchange``."""
    return f"{exchange}.archive"


def published(producer: str) -> str:
    """The stream whose last message counts what ``producer`` has published."""
    return f"{producer}.published"


def declare_published(channel: Channel, producer: str) -> int:
    """The stream of ``published``; how many messages it holds.

    A stream, because many readers look at its last message at the same moment, and reading a queue
    would hide the message from the others.
    """
    declared = channel.queue_declare(
        published(producer),
        durable=True,
        auto_delete=False,
        arguments={
            "x-queue-type": "stream",
            "x-max-length-bytes": PUBLISHED_MAX_BYTES,
            "x-stream-max-segment-size-bytes": PUBLISHED_SEGMENT_BYTES,
        },
    )
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


def declare_exchange(channel: Channel, exchange: str, *, archive_max_bytes: int) -> None:
    """A durable topic exchange with its archive stream bound to everything."""
    channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
    channel.queue_declare(
        archive(exchange),
        durable=True,
        auto_delete=False,
        arguments={
            "x-queue-type": "stream",
            "x-max-age": ARCHIVE_MAX_AGE,
            "x-max-length-bytes": archive_max_bytes,
            "x-stream-max-segment-size-bytes": ARCHIVE_SEGMENT_BYTES,
        },
    )
    channel.queue_bind(archive(exchange), exchange, "#")


def declare_queue(channel: Channel, queue: WorkQueue, *, archive_max_bytes: int) -> None:
    """The work queue, its retry and dead-letter queues, its exchanges and bindings."""
    for exchange in sorted({exchange for exchange, _ in queue.bindings()}):
        declare_exchange(channel, exchange, archive_max_bytes=archive_max_bytes)
    quorum = {"x-queue-type": "quorum"}
    channel.queue_declare(queue.dead, durable=True, auto_delete=False, arguments=quorum)
    channel.queue_declare(
        queue.name,
        durable=True,
        auto_delete=False,
        arguments=quorum
        | {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue.dead,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    for step in queue.retry_steps:
        channel.queue_declare(
            queue.retry(step),
            durable=True,
            auto_delete=False,
            arguments=quorum
            | {
                "x-message-ttl": round(step.seconds * 1000),
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": queue.name,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
    for exchange, key in queue.bindings():
        channel.queue_bind(queue.name, exchange, key)


def exists(connection: Connection, queue: str) -> bool:
    """Whether ``queue`` stands on the broker."""
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
        channel.close()
        return True
    except QueueNotFound:
        return False


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
