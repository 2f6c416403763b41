"""A million events out of a stream into a projection, the way a lost queue is filled again.

The projection's queue is deleted while its service is down; at the start the service finds it gone
and takes everything from the archive. Measured is the time from the service's start to the last
event applied. BENCH_REPLAY sets another number of events.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import amqp
import psycopg2

from deploy.local import PrivateServers
from services.chassis import amqp_io, topology
from services.chassis.database import engine
from tests.bench import copies, events

EVENTS = int(os.environ.get("BENCH_REPLAY", "1000000"))
SUBJECTS = 110_000
CHUNK = 2_000
PATIENCE_S = 1_200


def measure() -> dict[str, dict[str, Any]]:
    """Events a second from the stream to the projection's table."""
    with PrivateServers() as servers, events.rooms(servers) as room:
        made = engine(room.sink_url)
        copies.Base.metadata.create_all(made)
        made.dispose()
        publish(room.amqp_uri)
        arguments, environment, _ = events.service(
            "tests.bench.copies", "CopiesService", room.sink_url, room.amqp_uri
        )
        began = time.monotonic()
        with events.process(arguments, environment):
            until(applied(room.sink_url), EVENTS)
            seconds = time.monotonic() - began
        rows = count(room.sink_url, "SELECT count(*) FROM gauge")
        newest = count(room.sink_url, "SELECT sum(version) FROM gauge")
    if rows != min(SUBJECTS, EVENTS) or newest != expected_versions():
        raise AssertionError(f"{rows} rows, versions add up to {newest}")
    return {
        "replay_per_s": {
            "value": round(EVENTS / seconds),
            "events": EVENTS,
            "subjects": rows,
            "seconds": round(seconds, 1),
        }
    }


def publish(amqp_uri: str) -> None:
    """Fill the stream: every subject told of again and again, with rising versions."""
    connection = amqp_io.connect(amqp_uri)
    try:
        with connection.channel() as channel:
            topology.declare_exchange(channel, copies.EXCHANGE, archive_max_bytes=20_000_000_000)
        publisher = amqp_io.ConfirmedPublisher(connection)
        for first in range(0, EVENTS, CHUNK):
            publisher.publish(
                (message(number), copies.EXCHANGE, copies.ROUTING_KEY)
                for number in range(first, min(first + CHUNK, EVENTS))
            )
    finally:
        amqp_io.drop(connection)


def message(number: int) -> amqp.Message:
    """The number-th telling."""
    return amqp.Message(
        copies.body(number % SUBJECTS, number // SUBJECTS + 1),
        content_type="application/json",
        delivery_mode=2,
        message_id=str(uuid.UUID(int=number + 1)),
        type=copies.TYPE,
        application_headers=copies.headers(number + 1),
    )


def expected_versions() -> int:
    """The sum of the newest versions."""
    whole, rest = divmod(EVENTS, SUBJECTS)
    return whole * SUBJECTS + rest


def applied(url: str) -> Callable[[], int]:
    """A function that counts the events whose effect is stored."""
    return lambda: count(url, "SELECT count(*) FROM inbox")


def count(url: str, sql: str) -> int:
    """One number of a database."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0] or 0)
    finally:
        connection.close()


def until(found: Callable[[], int], wanted: int) -> None:
    """Wait for the last event."""
    ends = time.monotonic() + PATIENCE_S
    while (now := found()) < wanted:
        if time.monotonic() > ends:
            raise TimeoutError(f"{now} of {wanted} events applied after {PATIENCE_S} s")
        time.sleep(0.5)
