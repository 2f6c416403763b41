"""Events end to end: one service's outbox → broker → stored effect in another's database.

Every contender moves the same readings: a body of 250 bytes and all CloudEvents headers, into one
row each. Ours applies each exactly once and has the public archive bound. A run is 2,000 events
of warm-up and 20,000 that count; runs come in pairs (ours, then each comparator) so that a noisy
machine is noisy for all, and the figure is the median of the pairs' ratios.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psycopg2
from sqlalchemy.orm import Session

from deploy.local import PrivateServers, Servers
from deploy.local.ports import free_ports
from services.chassis import closing, keys, outbox
from services.chassis.database import engine
from services.chassis.models import ChassisBase
from tests.bench import sink, source

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 2_000
COUNTED = 20_000
PAIRS = 5
PATIENCE_S = 120


@dataclass(frozen=True)
class Rooms:
    """A vhost and two fresh databases for one run."""

    amqp_uri: str
    source_url: str
    sink_url: str

    def environment(self) -> dict[str, str]:
        """What a process of the run needs to know."""
        return {"AMQP_URI": self.amqp_uri, "SINK_DATABASE_URL": self.sink_url}


@contextmanager
def rooms(servers: Servers) -> Iterator[Rooms]:
    """Fresh rooms, gone afterwards."""
    with ExitStack() as stack:
        uri = stack.enter_context(servers.broker.scratch_vhost())
        urls = [
            stack.enter_context(servers.cluster.scratch_database(role))
            for role in ("registry", "cases")
        ]
        for url, metadata in zip(urls, (None, sink.Base.metadata), strict=True):
            made = engine(url)
            ChassisBase.metadata.create_all(made)
            if metadata is not None:
                metadata.create_all(made)
            made.dispose()
        yield Rooms(uri, *urls)


@contextmanager
def process(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process, ended with it."""
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL if not os.environ.get("BENCH_LOUD") else None,
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def stored(url: str) -> Callable[[], int]:
    """A function that counts the stored rows (and whether any is there twice)."""
    connection = psycopg2.connect(url)
    connection.autocommit = True

    def count() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM reading")
            return int(cursor.fetchone()[0])

    return count


def wait_for(count: Callable[[], int], wanted: int) -> None:
    """Until ``wanted`` rows are stored."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := count()) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {wanted} readings stored after {PATIENCE_S} s")
        time.sleep(0.02)
    if found > wanted:
        raise AssertionError(f"{found} readings stored where {wanted} were sent")


def fill(url: str, first: int, how_many: int) -> float:
    """Write events into the outbox in one transaction; the moment of its commit."""
    made = engine(url)
    with Session(made) as session:
        readings = (source.reading(first + number) for number in range(how_many))
        rows = outbox.rows(
            readings, bulk=True, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        )
        while page := list(islice(rows, outbox.PAGE)):
            closing.write(session, said=page)
        moment = time.monotonic()
        session.commit()
    made.dispose()
    return moment


def service(module: str, cls: str, url: str, uri: str) -> tuple[list[str], dict[str, str], int]:
    """How a service is run on a database and a vhost: arguments, environment, its health's port."""
    name = module.rsplit(".", 1)[-1]
    material = keys.generate()
    (port,) = free_ports(1)
    environment = {
        **material,
        "AMQP_URI": uri,
        f"{name.upper()}_DATABASE_URL": url,
        f"{name.upper()}_FIELD_KEYS": material["CASES_FIELD_KEYS"],
        f"{name.upper()}_INDEX_KEY": material["CASES_INDEX_KEY"],
        f"{name.upper()}_AUDIT_KEYS": material["CASES_AUDIT_KEYS"],
        "ZHIDA_MODE": "test",
        "HEALTH_ADDRESS": f"127.0.0.1:{port}",
    }
    return ["-m", "services.chassis.runner", f"{module}:{cls}"], environment, port


def until_ready(port: int) -> None:
    """Until the process behind this port says that it is ready."""
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ours(servers: Servers) -> float:
    """Zhida's bus: events a second from the outbox's commit to the last stored effect."""
    with rooms(servers) as room, ExitStack() as stack:
        ports = []
        for module, cls, url in (
            ("tests.bench.source", "SourceService", room.source_url),
            ("tests.bench.sink", "SinkService", room.sink_url),
        ):
            arguments, environment, port = service(module, cls, url, room.amqp_uri)
            stack.enter_context(process(arguments, environment))
            ports.append(port)
        for port in ports:
            until_ready(port)
        count = stored(room.sink_url)
        fill(room.source_url, 0, WARM_UP)
        wait_for(count, WARM_UP)
        started = fill(room.source_url, WARM_UP, COUNTED)
        wait_for(count, WARM_UP + COUNTED)
        return COUNTED / (time.monotonic() - started)


def _comparator(module: str) -> Callable[[Servers], float]:
    """A comparator runs as one or two processes and prints its own seconds; see its module."""

    def run(servers: Servers) -> float:
        with rooms(servers) as room:
            done = subprocess.run(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    f"tests.bench.comparators.{module}",
                    str(WARM_UP),
                    str(COUNTED),
                ],
                cwd=ROOT,
                env={**os.environ, **room.environment()},
                stdout=subprocess.PIPE,
                check=True,
                timeout=PATIENCE_S * 2,
            )
            return COUNTED / float(done.stdout.split()[-1])

    return run


COMPARATORS = {
    "nameko": _comparator("nameko_plain"),
    "faststream": _comparator("faststream_plain"),
    "amqp": _comparator("amqp_bare"),
}


def measure(pairs: int = PAIRS) -> dict[str, dict[str, object]]:
    """The three ratios with the medians of what they were computed from."""
    rates: dict[str, list[float]] = {"zhida": [], **{name: [] for name in COMPARATORS}}
    with PrivateServers() as servers:
        for _ in range(pairs):
            rates["zhida"].append(ours(servers))
            for name, run in COMPARATORS.items():
                rates[name].append(run(servers))
    medians = {name: round(statistics.median(values)) for name, values in rates.items()}
    return {
        f"events_vs_{name}": {
            "value": round(
                statistics.median(a / b for a, b in zip(rates["zhida"], rates[name], strict=True)),
                2,
            ),
            "zhida_events_per_s": medians["zhida"],
            "other_events_per_s": medians[name],
            "pairs": pairs,
        }
        for name in COMPARATORS
    }
