"""Consumers on one queue, one to four: does throughput grow until the processors are full?

The queue is filled while the consumers are stopped (SIGSTOP), then all go on at once; measured is
the time to the last stored effect, beside the share of the processors in use meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import amqp
import psycopg2

from deploy.local import PrivateServers, Servers
from services.chassis import amqp_io
from tests.bench import events, load

MOST = 4
COUNTED = 30_000
CHUNK = 2_000


def measure() -> dict[str, dict[str, Any]]:
    """The best rate against that of one consumer, and each with the processors' use."""
    rates: dict[int, float] = {}
    used: dict[int, float] = {}
    with PrivateServers() as servers:
        for number in range(1, MOST + 1):
            rates[number], used[number] = consume(servers, number)
    best = max(rates, key=lambda number: rates[number])
    return {
        "consumers_grow": {
            "value": round(rates[best] / rates[1], 2),
            **{
                f"{number}_consumers": f"{rates[number]:.0f}/s at {used[number]:.0%} of"
                f" {os.cpu_count()} cores"
                for number in rates
            },
        }
    }


def consume(servers: Servers, number: int) -> tuple[float, float]:
    """Events a second with so many consumers, and the processors' use."""
    with events.rooms(servers) as room, ExitStack() as stack:
        running = []
        for _ in range(number):
            arguments, environment, port = events.service(
                "tests.bench.sink", "SinkService", room.sink_url, room.amqp_uri
            )
            running.append((stack.enter_context(events.process(arguments, environment)), port))
        for _, port in running:
            events.until_ready(port)
        count = events.stored(room.sink_url)
        for process, _ in running:
            process.send_signal(signal.SIGSTOP)
        publish(room.amqp_uri, COUNTED)
        checkpoint(servers)
        with busy() as share:
            began = time.monotonic()
            for process, _ in running:
                process.send_signal(signal.SIGCONT)
            events.wait_for(count, COUNTED)
            seconds = time.monotonic() - began
        return COUNTED / seconds, share[0]


def publish(amqp_uri: str, how_many: int) -> None:
    """Put readings on the source's exchange, as its relay would."""
    connection = amqp_io.connect(amqp_uri)
    try:
        publisher = amqp_io.ConfirmedPublisher(connection)
        for first in range(0, how_many, CHUNK):
            publisher.publish(
                (message(number), load.EXCHANGE, load.ROUTING_KEY)
                for number in range(first, min(first + CHUNK, how_many))
            )
    finally:
        amqp_io.drop(connection)


def message(number: int) -> amqp.Message:
    """A reading as it travels."""
    return amqp.Message(
        load.body(number),
        content_type="application/json",
        delivery_mode=2,
        message_id=str(uuid.UUID(int=number)),
        type="reading.taken.v1",
        application_headers=load.headers(number),
    )


def checkpoint(servers: Servers) -> None:
    """The database begins with nothing left to write."""
    connection = psycopg2.connect(servers.database_url("cases"))
    connection.close()
    with servers.cluster.connect() as admin, admin.cursor() as cursor:
        cursor.execute("CHECKPOINT")


@contextmanager
def busy() -> Iterator[list[float]]:
    """The share of all processors in use during the block, of whoever's work."""
    share = [0.0]
    before = _ticks()
    try:
        yield share
    finally:
        after = _ticks()
        idle, total = (after[i] - before[i] for i in (0, 1))
        share[0] = 1 - idle / total if total else 0.0


def _ticks() -> tuple[int, int]:
    """Idle (waiting for disks included) and all ticks since boot."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)
