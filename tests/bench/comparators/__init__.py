"""What Zhida's bus is compared with: the same body, the same headers, the same stored row.

Each module is run as ``python -m … WARM_UP COUNTED`` with ``AMQP_URI`` and ``SINK_DATABASE_URL``
and prints seconds, those of the counted part last. Those that consume start their consumer as a
second process of the same module.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
import psycopg2

from tests.bench import load

INSERT = "INSERT INTO reading (reading_id, amount) VALUES (%s, %s)"


def open_connection() -> amqp.Connection:
    """A plain py-amqp connection to the run's vhost."""
    address = urlsplit(os.environ["AMQP_URI"])
    connection = amqp.Connection(
        f"{address.hostname}:{address.port}",
        userid=address.username,
        password=address.password,
        virtual_host=unquote(address.path[1:]),
    )
    connection.connect()
    return connection


def declare(channel: Any, queue: str) -> None:
    """The exchange and a quorum queue that takes every reading."""
    channel.exchange_declare(load.EXCHANGE, "topic", durable=True, auto_delete=False)
    channel.queue_declare(
        queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
    )
    channel.queue_bind(queue, load.EXCHANGE, "reading.taken.v1.#")


@contextmanager
def consumer(module: str) -> Iterator[None]:
    """The same module's ``consume``, in a process of its own, up to its first line of output."""
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", module, "consume"], stdout=subprocess.PIPE
    )
    try:
        assert started.stdout is not None
        if not started.stdout.readline():
            raise RuntimeError(f"{module} does not consume")
        yield
    finally:
        started.kill()
        started.wait()


def stored() -> Callable[[int], None]:
    """A function that waits until so many rows are stored."""
    connection = psycopg2.connect(os.environ["SINK_DATABASE_URL"])
    connection.autocommit = True

    def wait(wanted: int) -> None:
        deadline = time.monotonic() + 120
        while True:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM reading")
                if cursor.fetchone()[0] >= wanted:
                    return
            if time.monotonic() > deadline:
                raise TimeoutError("not all readings were stored")
            time.sleep(0.02)

    return wait
