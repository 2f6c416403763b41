"""Archives to files and back, for `zhida backup` and `zhida restore`."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import amqp

from services.chassis import amqp_io, archive, topology
from services.chassis.arrivals import Series, label_of
from services.chassis.discovery import NAMES, service_class
from services.chassis.service import work_queues
from services.chassis.settings import RETRY_STEPS, parse_steps
from services.contracts.events import Audience, event_types

ARCHIVE_MAX_BYTES = 20_000_000_000
_PUBLISH_AT_ONCE = 500
_KEPT = ("content_type", "content_encoding", "message_id", "type")


def exchanges() -> list[str]:
    """Every exchange that has an archive."""
    ours = {exchange for name in NAMES for exchange in topology.exchanges_of(name)}
    inbound = {d.exchange() for d in event_types() if d.audience is Audience.INBOUND}
    return sorted(ours | inbound)


def save(amqp_uri: str, exchange: str, file: Path, since: datetime) -> int:
    """Write what an archive holds from ``since`` on, a line an event; how many."""
    connection = amqp_io.connect(amqp_uri)
    try:
        if not topology.exist(connection, [topology.archive(exchange)]):
            return 0
    finally:
        amqp_io.drop(connection)
    count = 0
    with gzip.open(file, "wt", encoding="ascii") as lines:
        for chunk in archive.read_stream(amqp_uri, topology.archive(exchange), since):
            for message in chunk:
                lines.write(json.dumps(_written(message), default=str) + "\n")
            count += len(chunk)
    return count


def fill(amqp_uri: str, exchange: str, file: Path, known: Mapping[Series, int]) -> int:
    """Publish a saved archive where the broker's own is empty; how many events.

    ``known`` is how far each series is counted: what is beyond it is left out.
    """
    if not file.exists():
        return 0
    count = 0
    connection = amqp_io.connect(amqp_uri)
    try:
        with connection.channel() as channel:
            topology.declare_exchange(channel, exchange, archive_max_bytes=ARCHIVE_MAX_BYTES)
            stream = topology.archive(exchange)
            if channel.queue_declare(stream, passive=True).message_count:
                return 0
        publisher = amqp_io.ConfirmedPublisher(connection)
        for messages in _chunks(_read(file)):
            triples = [
                (m, *_way(exchange, key)) for m, key in messages if _is_known(m, exchange, known)
            ]
            if len(publisher.publish(triples)) < len(triples):
                raise amqp_io.NotConfirmed(f"the broker refused a part of {file.name}")
            count += len(triples)
    finally:
        amqp_io.drop(connection)
    return count


def forget(amqp_uri: str) -> None:
    """Remove our own queues and archives: they tell of what restored databases do not know.

    What bureaus sent stays. Everything is declared again when the services start.
    """
    names = {topology.archive(exchange) for exchange in exchanges() if exchange != topology.INBOUND}
    names |= {topology.published(name) for name in NAMES}
    for name in NAMES:
        for queue in work_queues(service_class(name), parse_steps(RETRY_STEPS)):
            names.update(queue.all_names())
    connection = amqp_io.connect(amqp_uri)
    try:
        with connection.channel() as channel:
            for name in sorted(names):
                channel.queue_delete(name)
    finally:
        amqp_io.drop(connection)


def _way(exchange: str, key: str) -> tuple[str, str]:
    """Exchange and key that lead into the archive; bureaus' words lie there without a binding."""
    return ("", topology.archive(exchange)) if exchange == topology.INBOUND else (exchange, key)


def _is_known(message: amqp.Message, exchange: str, known: Mapping[Series, int]) -> bool:
    """Whether its own service's database, as it stands, has counted this event."""
    message.delivery_info = {"exchange": exchange}
    label = label_of(message)
    return label is None or label[1] <= known.get(label[0], 0)


def _written(message: amqp.Message) -> dict[str, object]:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    headers = {k: v for k, v in (message.headers or {}).items() if not k.startswith("x-stream")}
    if user := message.properties.get("user_id"):
        headers.setdefault("x-origin-user", user)
    return {
        "key": message.delivery_info["routing_key"],
        "headers": headers,
        "properties": {k: message.properties[k] for k in _KEPT if k in message.properties},
        "body": base64.b64encode(body).decode(),
    }


def _read(file: Path) -> Iterator[tuple[amqp.Message, str]]:
    with gzip.open(file, "rt", encoding="ascii") as lines:
        for line in lines:
            row = json.loads(line)
            yield (
                amqp.Message(
                    base64.b64decode(row["body"]),
                    delivery_mode=2,
                    application_headers=row["headers"],
                    **row["properties"],
                ),
                row["key"],
            )


def _chunks(
    messages: Iterable[tuple[amqp.Message, str]],
) -> Iterator[list[tuple[amqp.Message, str]]]:
    chunk: list[tuple[amqp.Message, str]] = []
    for message in messages:
        chunk.append(message)
        if len(chunk) == _PUBLISH_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
