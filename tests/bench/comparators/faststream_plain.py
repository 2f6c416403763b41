"""FastStream (aio-pika, asyncpg) as its documentation writes it: ten publishers, prefetch 100."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any
from uuid import UUID

import asyncpg
from faststream.rabbit import (
    Channel,
    ExchangeType,
    QueueType,
    RabbitBroker,
    RabbitExchange,
    RabbitQueue,
)

from tests.bench import load
from tests.bench.comparators import consumer, stored

PUBLISHERS = 10
PREFETCH = 100
POOL = 10

EXCHANGE = RabbitExchange(load.EXCHANGE, type=ExchangeType.TOPIC, durable=True)
QUEUE = RabbitQueue(
    "sink.store", durable=True, routing_key="reading.taken.v1.#", queue_type=QueueType.QUORUM
)


async def consume() -> None:
    """Store one row an event, until killed."""
    pool = await asyncpg.create_pool(os.environ["SINK_DATABASE_URL"], min_size=POOL, max_size=POOL)
    broker = RabbitBroker(
        os.environ["AMQP_URI"], default_channel=Channel(prefetch_count=PREFETCH), logger=None
    )

    @broker.subscriber(QUEUE, EXCHANGE)
    async def store(reading: dict[str, Any]) -> None:
        await pool.execute(
            "INSERT INTO reading (reading_id, amount) VALUES ($1, $2)",
            UUID(reading["reading_id"]),
            reading["amount"],
        )

    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def publish_all(broker: RabbitBroker, readings: list[tuple[Any, dict[str, Any]]]) -> None:
    """Ten publishers, each waiting for the confirm of its message."""
    waiting = iter(readings)

    async def publisher() -> None:
        for body, headers in waiting:
            await broker.publish(
                body,
                exchange=EXCHANGE,
                routing_key=load.ROUTING_KEY,
                headers=headers,
                persist=True,
            )

    await asyncio.gather(*(publisher() for _ in range(PUBLISHERS)))


async def main(warm_up: int, counted: int) -> None:
    """Publish both parts and wait until they are stored; print the seconds of each."""
    wait = stored()
    total = 0
    async with RabbitBroker(os.environ["AMQP_URI"], logger=None) as broker:
        await broker.declare_exchange(EXCHANGE)
        for how_many in (warm_up, counted):
            readings = [(json.loads(load.body(n)), load.headers(n)) for n in range(how_many)]
            total += how_many
            began = time.perf_counter()
            await publish_all(broker, readings)
            await asyncio.to_thread(wait, total)
            print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "consume":
        asyncio.run(consume())
    else:
        with consumer(__spec__.name):
            asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
