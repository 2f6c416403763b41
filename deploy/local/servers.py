"""Private servers as children of this process: up together, gone with it."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

import msgspec

from deploy.local.accounts import state_root, throwaway_root
from deploy.local.broker import Broker
from deploy.local.cluster import Cluster
from deploy.local.programs import Program

PATIENCE_SECONDS = int(os.environ.get("ZHIDA_PATIENCE", "120"))
"""For a machine with much else to do; on an idle one the servers take six seconds."""
SERVICES = ("registry", "cases", "funding", "notify")


class Servers(msgspec.Struct, frozen=True):
    """A running broker and a running cluster with a database for each service."""

    broker: Broker
    cluster: Cluster

    @property
    def amqp_uri(self) -> str:
        """The services' own vhost."""
        return self.broker.amqp_uri

    def database_url(self, service: str) -> str:
        """The database of one service."""
        return self.cluster.url(service)


class PrivateServers:
    """Start a broker and a cluster of our own; end them, and remove their state, at the end.

    `fast=True` is for tests: they stand in memory where there is room, and the end is a kill.
    Use from the main thread: the servers end when the thread that started them does.
    """

    def __init__(self, *, fast: bool = False) -> None:
        self.fast = fast
        self._home: Path | None = None
        self._running: list[tuple[Program, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Servers:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Servers:
        """Both at once; returns when both take clients and every service has its database."""
        root = throwaway_root() if self.fast else state_root()
        _sweep(root)
        self._home = root / f"run-{os.getpid()}-{secrets.token_hex(3)}"
        self._home.mkdir(mode=0o711)
        self._home.chmod(0o711)
        broker = Broker.plan(self._home / "rabbitmq")
        broker.prepare()
        self._launch(broker.programs())
        cluster = Cluster.plan(self._home / "postgres", fast=self.fast)
        cluster.prepare()
        self._launch(cluster.programs())
        wait_until(cluster.is_ready, "PostgreSQL", self._complain)
        for service in SERVICES:
            cluster.add_database(service)
        wait_until(broker.is_ready, "RabbitMQ", self._complain)
        return Servers(broker, cluster)

    def stop(self) -> None:
        """End what we started, by its pid, and nothing else."""
        for program, process in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self._stop_signal(program))
        for program, process in reversed(self._running):
            try:
                process.wait(program.stop_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def _stop_signal(self, program: Program) -> signal.Signals:
        # PostgreSQL is never killed: it would leave its children and shared memory behind.
        throwaway = self.fast and program.name != "postgres"
        return signal.SIGKILL if throwaway else program.stop_signal

    def _launch(self, programs: Iterable[Program]) -> None:
        assert self._home is not None
        for program in programs:
            process = program.start(self._home)
            self._running.append((program, process))

    def _complain(self) -> str | None:
        """What went wrong, if a server has already ended."""
        for program, process in self._running:
            if process.poll() is not None and self._home is not None:
                log = (self._home / f"{program.name}.log").read_text(errors="replace")
                return f"{program.name} 启动失败（退出码 {process.returncode}）：\n{log[-2000:]}"
        return None


def wait_until(ready: Callable[[], bool], what: str, complain: Callable[[], str | None]) -> None:
    """Poll until `what` is ready; give up with a reason when there is one or the time is over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if (problem := complain()) is not None:
            raise RuntimeError(problem)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} 在 {PATIENCE_SECONDS} 秒内没有就绪")
        time.sleep(0.05)


def _sweep(root: Path) -> None:
    """Remove what runs that were killed left on disk; their servers ended with them."""
    for folder in root.glob("run-*"):
        match = re.fullmatch(r"run-(\d+)-\w+", folder.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            shutil.rmtree(folder, ignore_errors=True)
