"""The city on stage: servers, wires and services, all ours to hurt.

The services run as in production but for ``failpoints``; a keeper starts again what dies, as the
kubelet or the local supervisor would.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from deploy.local import PrivateServers, Servers
from deploy.local.accounts import PROJECT, account
from deploy.local.ports import free_ports
from deploy.local.programs import Program
from deploy.local.servers import SERVICES
from deploy.local.stack import Stack
from services.chassis import keys, migrate, rights
from services.chassis.settings import Settings
from services.chassis.uow import Foundation
from tests.chaos.wire import Wire

RETRY_STEPS = "200ms,500ms,1s"
"""The waits between attempts at an event: the same road as in production, walked faster."""

RESTART_PAUSE_S = 0.3


@dataclass
class Running:
    """A program that the keeper keeps."""

    program: Program
    popen: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    starts: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    """Added for the next start: a fault may live in it."""


class Keeper:
    """Starts programs, and starts them again when they end; one thread does all the starting.

    (The kernel ends a program with the thread that started it.)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: dict[str, Running] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def add(self, program: Program) -> None:
        """Start and keep a program."""
        self.programs[program.name] = Running(program)

    def pid(self, name: str) -> int:
        """The process id of a program that runs now; waits for a start under way."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            popen = self.programs[name].popen
            if popen is not None and popen.poll() is None:
                return popen.pid
            time.sleep(0.02)
        raise TimeoutError(f"{name} does not start")

    def kill(self, name: str) -> None:
        """kill -9; the keeper starts it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    def pause(self, name: str, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT."""
        os.kill(self.pid(name), number)

    def restart(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """End it politely and start it with another environment added."""
        running = self.programs[name]
        running.environment = dict(environment or {})
        self.end(name)
        running.wanted = True

    def end(self, name: str) -> None:
        """SIGTERM, and its end; not started again."""
        running = self.programs[name]
        running.wanted = False
        if running.popen is not None and running.popen.poll() is None:
            running.popen.terminate()
            try:
                running.popen.wait(60)
            except subprocess.TimeoutExpired:
                running.popen.kill()
                running.popen.wait()

    def begin(self, name: str) -> None:
        """Start it again after ``end``."""
        self.programs[name].wanted = True

    def starts(self, name: str) -> int:
        """How often it was started."""
        return self.programs[name].starts

    def close(self) -> None:
        """End everything."""
        for running in self.programs.values():
            running.wanted = False
        for running in self.programs.values():
            if running.popen is not None and running.popen.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    running.popen.send_signal(signal.SIGCONT)
                    running.popen.terminate()
        for running in self.programs.values():
            if running.popen is not None:
                try:
                    running.popen.wait(20)
                except subprocess.TimeoutExpired:
                    running.popen.kill()
                    running.popen.wait()
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopping.wait(0.05):
            for running in list(self.programs.values()):
                ended = running.popen is None or running.popen.poll() is not None
                if running.wanted and ended:
                    if running.popen is not None:
                        time.sleep(RESTART_PAUSE_S)
                    self._start(running)

    def _start(self, running: Running) -> None:
        program = running.program
        told = {**program.environment, **running.environment}
        running.popen = Program(
            name=program.name,
            command=program.command,
            directory=program.directory,
            account=program.account,
            environment=told,
            stop_seconds=program.stop_seconds,
        ).start(self.folder)
        running.starts += 1


class Stage:
    """Everything that runs, and how to get at it; the services only from ``begin`` on."""

    def __init__(self, uncured: str = "") -> None:
        self.uncured = uncured
        self._foundations: dict[str, Foundation] = {}
        self._waiting: list[Program] = []
        self._last = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            self._open(opening)
            self._last = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._last.close()

    def _open(self, last: contextlib.ExitStack) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zhida-chaos-"))
        last.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.orders = self.folder / "orders"
        self.mail = self.folder / "mail"
        self.files = self.folder / "files"
        for folder in (self.orders, self.mail, self.files):
            folder.mkdir()
        self.private = PrivateServers()  # not "fast": what is committed must survive
        self.servers: Servers = last.enter_context(self.private)
        mailbox_port, *ports = free_ports(len(SERVICES) + 4)
        broker_port, database_port, mail_port, *own = ports
        self.broker_wire = Wire(broker_port, self.servers.broker.amqp_port)
        self.database_wire = Wire(database_port, self.servers.cluster.port)
        self.mail_wire = Wire(mail_port, mailbox_port)
        for wire in (self.broker_wire, self.database_wire, self.mail_wire):
            last.callback(wire.close)
        self.servers.broker.add_ours(rights.written())
        self.keys = keys.generate()
        direct = {name: self.servers.database_url(name) for name in SERVICES}
        for name, url in direct.items():
            owner_url = self.servers.cluster.owner_url(name)
            migrate.upgrade(name, owner_url, runtime=migrate.runtime_role(url, owner_url))
        self.stack = Stack(
            amqp_uri=through(self.servers.amqp_uri, broker_port),
            database_urls=direct,
            ports=dict(zip(SERVICES, own, strict=True)),
            mode="test",
            broker=self.servers.broker,
            cluster=self.servers.cluster,
        )
        self.keeper = Keeper(self.folder)
        last.callback(self.keeper.close)
        self.keeper.add(self._mailbox(mailbox_port))
        for name in SERVICES:
            self._waiting.append(self._service(name, database_port, mail_port))

    def begin(self) -> None:
        """Start the services: from here on they say things."""
        while self._waiting:
            self.keeper.add(self._waiting.pop(0))
        for name in SERVICES:
            self.until_ready(name)

    # -- services --------------------------------------------------------------------------------

    def environment(self, name: str) -> dict[str, str]:
        """What a service process is told, with direct ways to its servers."""
        return {
            "AMQP_URI": through(self.servers.broker.uri_of(name), self.broker_wire.port),
            "ZHIDA_MODE": "test",
            "HOME": str(Path.home()),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            **keys.visible_to(name, self.keys),
            f"{name.upper()}_DATABASE_URL": self.stack.database_urls[name],
            "HEALTH_ADDRESS": f"127.0.0.1:{self.stack.ports[name]}",
            "EVENT_RETRY_STEPS": RETRY_STEPS,
            "TOPOLOGY_CHECK_S": "2",
            "AUDIT_ANCHOR_S": "2",
            "CHAOS_ORDERS": str(self.orders),
            "CHAOS_UNCURED": self.uncured,
        }

    def _service(self, name: str, database_port: int, mail_port: int) -> Program:
        told = self.environment(name)
        variable = f"{name.upper()}_DATABASE_URL"
        told[variable] = through(told[variable], database_port)
        if name == "notify":
            told["NOTIFY_SMTP_URL"] = f"smtp://127.0.0.1:{mail_port}"
        return Program(
            name=name,
            command=(sys.executable, "-m", "tests.chaos.failpoints", name),
            directory=PROJECT,
            account=account("root"),
            environment=told,
            stop_seconds=60,
        )

    def _mailbox(self, port: int) -> Program:
        module = ("-m", "deploy.local.mailbox", "--port", str(port), "--folder", str(self.mail))
        return Program(
            name="mailbox",
            command=(sys.executable, *module),
            directory=PROJECT,
            account=account("root"),
            stop_seconds=5,
        )

    def answers(self, name: str, path: str = "/readyz") -> int:
        """HTTP status of a service's health server; 0 when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.ports[name], timeout=3)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def until_ready(self, name: str, seconds: float = 120) -> None:
        """Wait for a service's readiness."""
        deadline = time.monotonic() + seconds
        while self.answers(name) != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not ready:\n{self.log(name)[-2000:]}")
            time.sleep(0.1)

    def log(self, name: str) -> str:
        """What a program has said so far."""
        path = self.folder / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def metric(self, service: str, metric: str) -> float:
        """The sum of a metric's samples."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.ports[service], timeout=10)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        samples = (line for line in lines if line.startswith((f"{metric} ", f"{metric}{{")))
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    def order(self, service: str, step: str, words: object) -> Path:
        """Order a service to die, fail or dawdle: see ``failpoints``."""
        path = self.orders / f"{service}.{step}"
        draft = self.orders / f".{secrets.token_hex(4)}"
        draft.write_text(str(words))
        draft.rename(path)
        return path

    # -- servers ---------------------------------------------------------------------------------

    @property
    def vhost(self) -> str:
        """The services' vhost."""
        return self.servers.broker.vhost

    def ctl(self, *arguments: str) -> str:
        """``rabbitmqctl``, asked again when a busy machine lets it wait too long."""
        for _ in range(4):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.servers.broker.ctl(*arguments)
        raise TimeoutError(f"rabbitmqctl {' '.join(arguments)}")

    def server_pid(self, name: str) -> int:
        """The process id of ``rabbitmq`` or ``postgres``."""
        (process,) = [p for program, p in self.private._running if program.name == name]
        return process.pid

    def end_server(self, name: str, number: signal.Signals) -> None:
        """Signal a server and wait for its end."""
        (process,) = [p for program, p in self.private._running if program.name == name]
        os.kill(process.pid, number)
        process.wait(60)

    def start_server(self, name: str) -> None:
        """Start the same server again and wait until it takes clients."""
        running = self.private._running
        (position,) = [i for i, (program, _) in enumerate(running) if program.name == name]
        program = running[position][0]
        home = self.private._home
        assert home is not None
        running[position] = (program, program.start(home))
        ready = {
            "rabbitmq": self.servers.broker.is_ready,
            "postgres": self.servers.cluster.is_ready,
        }[name]
        deadline = time.monotonic() + 120
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(name)
            time.sleep(0.05)

    def lying_in(self, queue: str) -> int:
        """Messages that wait in a queue or are in hand."""
        return sum(int(each["messages"]) for each in self.queues() if each["name"] == queue)

    def queues(self) -> list[dict[str, Any]]:
        """The queues of the services' vhost, asked again when a busy machine is slow to answer."""
        for _ in range(4):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.servers.broker.queues(self.vhost)
        raise TimeoutError("rabbitmqctl list_queues")

    def family(self, name: str) -> list[int]:
        """A server's process and all that it has started."""
        found = [self.server_pid(name)]
        for parent in found:
            for path in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(pid) for pid in path.read_text().split()]
        return found

    # -- databases -------------------------------------------------------------------------------

    def rows(self, service: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds now, asked of the database itself."""
        with (
            contextlib.closing(psycopg2.connect(self.stack.database_urls[service])) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def number(self, service: str, statement: str, *values: object) -> int:
        """One whole number."""
        ((found,),) = self.rows(service, statement, *values)
        return int(found or 0)

    def foundation(self, service: str) -> Foundation:
        """A service's own way to its database, from the outside: for its verifier of the audit."""
        if service not in self._foundations:
            with mock.patch.dict(os.environ, self.environment(service)):
                made = Foundation.build(Settings.from_env(service))
            self._last.callback(made.engine.dispose)
            self._foundations[service] = made
        return self._foundations[service]

    @contextlib.contextmanager
    def held(self, service: str, statement: str) -> Iterator[None]:
        """A session that has run a statement and keeps its transaction open."""
        with contextlib.closing(psycopg2.connect(self.stack.database_urls[service])) as connection:
            with connection.cursor() as cursor:
                cursor.execute(statement)
            try:
                yield
            finally:
                connection.rollback()


def through(url: str, port: int) -> str:
    """The same address by way of a wire."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
