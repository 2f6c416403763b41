"""The probe service on the real bus: started as in production, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amqp
import psycopg2
from kombu import Connection, pools

from deploy.local import Servers
from deploy.local.ports import free_ports
from services.chassis import amqp_io
from services.chassis.actors import ActorSigner
from services.chassis.client import Client
from services.chassis.database import engine
from services.chassis.models import ChassisBase
from services.chassis.settings import Settings, parse_steps
from services.chassis.uow import Foundation
from services.contracts.actors import Role, system_actor
from services.contracts.events import Event, event_type
from tests.fixtures.services import KEYS, actor
from tests.integration.chassis.probe import service as probe_service
from tests.integration.chassis.probe.probe import ThingNoted, ThingRecorded

ROOT = Path(__file__).resolve().parents[3]
DIVISION = "421083108007"
PROBE = "tests.integration.chassis.probe.service:ProbeService"
LATE = "tests.integration.chassis.probe.late:LateService"
STEPS = "50ms,100ms,150ms"
QUEUE = "probe.on_noted"


def eventually(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {true()!r}")
        time.sleep(0.03)
    return answer


@dataclass
class Process:
    """A service process of the test."""

    popen: subprocess.Popen[bytes]
    port: int
    log: Path

    def answers(self, path: str) -> int:
        """HTTP status of its health server; 0 when there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=3) as got:
                return int(got.status)
        except urllib.error.HTTPError as error:
            return int(error.code)
        except OSError:
            return 0

    def until_ready(self, seconds: float = 60.0) -> Process:
        """Wait for its readiness; says what it logged when it died instead."""

        def ready() -> bool:
            assert self.alive(), self.log.read_text()[-3000:]
            return self.answers("/readyz") == 200

        eventually(ready, seconds)
        return self

    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """kill -9, and its end."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; its exit code."""
        self.popen.terminate()
        return self.popen.wait(seconds)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its log entries of one name."""
        entries = []
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if entry.get("event") == event:
                    entries.append(entry)
        return entries

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry the labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as got:
            lines = got.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{")) and all(label in line for label in wanted)
        )


@dataclass
class Room:
    """A vhost and a database of the probe's own."""

    servers: Servers
    uri: str
    url: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[Process] = field(default_factory=list)

    def start(self, service: str = PROBE, *, uncured: str = "", **environment: str) -> Process:
        """A process of the probe (or another service); ``uncured`` takes a cure out of it."""
        (port,) = free_ports(1)
        log = self.folder / f"{len(self.started)}.log"
        module = ["tests.faults.uncured", uncured] if uncured else ["services.chassis.runner"]
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *module, service],
                cwd=ROOT,
                env={
                    **os.environ,
                    **KEYS,
                    "AMQP_URI": self.uri,
                    **{
                        f"{name}_{what}": value
                        for name in ("PROBE", "LATE")
                        for what, value in (
                            ("DATABASE_URL", self.url),
                            ("FIELD_KEYS", KEYS["CASES_FIELD_KEYS"]),
                            ("INDEX_KEY", KEYS["CASES_INDEX_KEY"]),
                            ("AUDIT_KEYS", KEYS["CASES_AUDIT_KEYS"]),
                        )
                    },
                    "ZHIDA_MODE": "test",
                    "HEALTH_ADDRESS": f"127.0.0.1:{port}",
                    "EVENT_RETRY_STEPS": STEPS,
                    "TOPOLOGY_CHECK_S": "1",
                    **self.environment,
                    **environment,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        process = Process(popen, port, log)
        self.started.append(process)
        return process

    def end(self) -> None:
        """End every process that still runs."""
        for process in self.started:
            if process.alive():
                process.signal(signal.SIGCONT)
                process.kill()

    @property
    def foundation(self) -> Foundation:
        """Units of work on the probe's database, from the test itself."""
        if not hasattr(self, "_foundation"):
            self._foundation = Foundation.build(
                Settings(
                    service="probe",
                    amqp_uri=self.uri,
                    database_url=self.url,
                    field_keys={1: b"k" * 32},
                    index_key=b"i" * 32,
                    transit_keys={},
                    actor_public_keys=KEYS["ACTOR_PUBLIC_KEYS"],
                    audit_keys={1: b"a" * 32},
                    mode="test",
                    retry_steps=parse_steps(STEPS),
                )
            )
        return self._foundation

    def emit(self, events: Iterable[Event], *, bulk: bool = False) -> list[uuid.UUID]:
        """Write events into the probe's outbox, in one transaction; its relay does the rest."""
        with self.foundation.begin(system_actor("probe")) as uow:
            return uow.emit_all(events, bulk=bulk)

    def rows(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What a query finds now."""
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, arguments)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def effects(self, of: Iterable[uuid.UUID] | None = None) -> list[uuid.UUID]:
        """The things that took effect, one entry an effect."""
        found = [uuid.UUID(row[0]) for row in self.rows("SELECT thing_id::text FROM effect")]
        if of is None:
            return found
        wanted = set(of)
        return [thing for thing in found if thing in wanted]

    def pending(self) -> int:
        """Events not yet confirmed by the broker."""
        return int(self.rows("SELECT count(*) FROM outbox")[0][0])

    @contextmanager
    def broker(self, uri: str = "") -> Iterator[Connection]:
        """A connection to the vhost."""
        connection = amqp_io.connect(uri or self.uri)
        try:
            yield connection
        finally:
            amqp_io.drop(connection)

    def depth(self, queue: str) -> int:
        """Messages ready in a queue; -1 when there is no such queue."""
        with self.broker() as connection:
            try:
                return int(connection.channel().queue_declare(queue, passive=True).message_count)
            except amqp.NotFound:
                return -1

    def take(self, queue: str) -> list[amqp.Message]:
        """All messages of a queue, taken out of it."""
        taken = []
        with self.broker() as connection:
            channel = connection.channel()
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                taken.append(message)
        return taken

    def publish(self, *messages: tuple[amqp.Message, str, str], uri: str = "") -> None:
        """Publish to the exchanges (or, with exchange "", to the queues) named."""
        with self.broker(uri) as connection:
            taken = amqp_io.ConfirmedPublisher(connection).publish(messages)
            assert len(taken) == len(messages)

    def client(self) -> Client:
        """The edge's client."""
        return Client(self.uri)

    def token(self, *roles: Role) -> str:
        """A token of a member of staff."""
        return ActorSigner(KEYS["ACTOR_SIGNING_KEY"]).token(actor(*roles))


def noted(thing: uuid.UUID | None = None, **fields: Any) -> ThingNoted:
    """A fact; ``trouble`` tells the handler how to fail."""
    given: dict[str, Any] = {"thing_id": thing or uuid.uuid4(), "division": DIVISION, "amount": 1}
    return ThingNoted(**given | fields)


def recorded(thing: uuid.UUID, label: str, version: int, epoch: int = 0) -> ThingRecorded:
    """A facet."""
    return ThingRecorded(
        thing_id=thing, division=DIVISION, label=label, epoch=epoch, version=version
    )


def message(event: Event, **properties: Any) -> amqp.Message:
    """An event as a foreign publisher might send it: no sequence, no relay."""
    import msgspec

    event_id = str(uuid.uuid4())
    given: dict[str, Any] = {
        "content_type": "application/json",
        "delivery_mode": 2,
        "message_id": event_id,
        "type": event_type(event).name,
        "application_headers": {
            "cloudEvents:id": event_id,
            "cloudEvents:type": event_type(event).name,
        },
    }
    return amqp.Message(msgspec.json.encode(event), **given | properties)


@contextmanager
def room(servers: Servers, folder: Path) -> Iterator[Room]:
    """A fresh room with the probe's tables."""
    with ExitStack() as stack:
        uri = stack.enter_context(servers.broker.scratch_vhost())
        url = stack.enter_context(servers.cluster.scratch_database("registry"))
        made = engine(url)
        ChassisBase.metadata.create_all(made)
        probe_service.Base.metadata.create_all(made)
        made.dispose()
        opened = Room(servers, uri, url, folder)
        stack.callback(opened.end)
        stack.callback(pools.reset)  # what nameko's standalone proxies leave open
        stack.callback(opened.foundation.engine.dispose)
        yield opened
