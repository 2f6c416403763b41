"""Plain nameko 2.14.1 as its documentation writes it: EventDispatcher and event_handler."""

import eventlet

eventlet.monkey_patch()

# ruff: noqa: E402
import json
import os
import sys
import time
from typing import Any

import psycopg2.pool
from nameko.containers import ServiceContainer
from nameko.events import EventDispatcher, event_handler
from nameko.extensions import DependencyProvider
from nameko.rpc import rpc
from nameko.testing.services import entrypoint_hook

from tests.bench import load
from tests.bench.comparators import INSERT, consumer, stored

WORKERS = 10
PATIENCE_S = 120
CONFIG = {"AMQP_URI": os.environ["AMQP_URI"], "max_workers": WORKERS, "serializer": "json"}


class Dispatcher(EventDispatcher):
    """The stock dispatcher (confirms are its default), which lets us name the headers."""

    def get_dependency(self, worker_ctx: Any) -> Any:
        """Publish with the given headers."""

        def dispatch(event_type: str, event_data: Any, headers: dict[str, Any]) -> None:
            self.publisher.publish(
                event_data, exchange=self.exchange, routing_key=event_type, extra_headers=headers
            )

        return dispatch


class Pool(DependencyProvider):
    """A connection for each worker."""

    def start(self) -> None:
        """Open them."""
        self.pool = psycopg2.pool.ThreadedConnectionPool(
            WORKERS, WORKERS + 2, os.environ["SINK_DATABASE_URL"]
        )

    def get_dependency(self, _worker_ctx: Any) -> Any:
        """The pool."""
        return self.pool


class Source:
    """Dispatches."""

    name = "source"
    dispatch = Dispatcher()

    @rpc
    def publish(self, readings: Any) -> None:
        """One event a reading."""
        for body, headers in readings:
            self.dispatch("reading.taken", body, headers)


class Sink:
    """Stores."""

    name = "sink"
    pool = Pool()

    @event_handler("source", "reading.taken")
    def store(self, body: dict[str, Any]) -> None:
        """One row."""
        connection = self.pool.getconn()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(INSERT, (body["reading_id"], body["amount"]))
        finally:
            self.pool.putconn(connection)


def consume() -> None:
    """Run the sink until killed."""
    container = ServiceContainer(Sink, CONFIG)
    container.start()
    print("ready", flush=True)
    container.wait()


def main(warm_up: int, counted: int) -> None:
    """Dispatch both parts and wait until they are stored; print the seconds of each."""
    with consumer(__spec__.name):
        wait = stored()
        container = ServiceContainer(Source, CONFIG)
        container.start()
        total = 0
        for how_many in (warm_up, counted):
            readings = [
                (json.loads(load.body(number)), load.headers(number)) for number in range(how_many)
            ]
            total += how_many
            began = time.perf_counter()
            with entrypoint_hook(container, "publish", timeout=PATIENCE_S) as publish:
                publish(readings)
            wait(total)
            print(time.perf_counter() - began, flush=True)
        container.stop()


if __name__ == "__main__":
    if sys.argv[1] == "consume":
        consume()
    else:
        main(int(sys.argv[1]), int(sys.argv[2]))
