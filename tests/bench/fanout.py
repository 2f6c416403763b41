"""The same events to one bureau's queue, and to eighteen; each time to the archive besides."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from kombu import Connection

from deploy.local import PrivateServers, Servers
from services.chassis import amqp_io, topology
from services.chassis.settings import Settings
from tests.bench import events, load

BUREAUS = 18
WARM_UP = 500
COUNTED = 5_000


def measure() -> dict[str, dict[str, Any]]:
    """How many events a second reach every one of eighteen bureaus."""
    with PrivateServers() as servers:
        alone = spread(servers, 1)
        all_of_them = spread(servers, BUREAUS)
    return {
        "fan_out_18_per_s": {
            "value": round(all_of_them),
            "deliveries_per_s": round(all_of_them * BUREAUS),
            "to_one_bureau_per_s": round(alone),
        }
    }


def spread(servers: Servers, bureaus: int) -> float:
    """Events a second from the outbox's commit until the last of them lies in every queue."""
    with events.rooms(servers) as room, ExitStack() as stack:
        arguments, environment, port = events.service(
            "tests.bench.source", "SourceService", room.source_url, room.amqp_uri
        )
        connection = amqp_io.connect(room.amqp_uri)
        stack.callback(amqp_io.drop, connection)
        names = declare(connection, bureaus)
        stack.enter_context(events.process(arguments, environment))
        events.until_ready(port)
        events.fill(room.source_url, 0, WARM_UP)
        reached(connection, names, WARM_UP)
        began = events.fill(room.source_url, WARM_UP, COUNTED)
        reached(connection, names, WARM_UP + COUNTED)
        return COUNTED / (time.monotonic() - began)


def declare(connection: Connection, bureaus: int) -> list[str]:
    """The exchange with its archive, and a bound quorum queue a bureau; what to count."""
    names = []
    with connection.channel() as channel:
        topology.declare_exchange(
            channel, load.EXCHANGE, archive_max_bytes=Settings.archive_max_bytes
        )
        for number in range(bureaus):
            name = f"bureau.b{number:02d}"
            channel.queue_declare(
                name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )
            channel.queue_bind(name, load.EXCHANGE, "reading.taken.v1.#")
            names.append(name)
    return names


def reached(connection: Connection, names: list[str], wanted: int) -> None:
    """Wait until every queue holds so many."""
    ends = time.monotonic() + events.PATIENCE_S
    waiting = list(names)
    with connection.channel() as channel:
        while waiting:
            name = waiting[-1]
            if channel.queue_declare(name, passive=True).message_count >= wanted:
                waiting.pop()
            elif time.monotonic() > ends:
                raise TimeoutError(f"{name} does not hold {wanted} events")
            else:
                time.sleep(0.02)
