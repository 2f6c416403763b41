"""Servers to hurt: a broker and a cluster of the module's own, killed and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import PrivateServers, Servers
from tests.integration.chassis.bus import Room, eventually, room


class Wounded:
    """Private servers whose processes a test may kill, and bring back as they were."""

    def __init__(self, private: PrivateServers, servers: Servers) -> None:
        self.servers = servers
        self._private = private

    def kill_broker(self) -> None:
        """kill -9."""
        self._end("rabbitmq", signal.SIGKILL)

    def kill_database(self) -> None:
        """``pg_ctl stop -m immediate``: no checkpoint, every session cut."""
        self._end("postgres", signal.SIGQUIT)

    def start_broker(self) -> None:
        """Start the same node again."""
        self._start("rabbitmq")
        eventually(self.servers.broker.is_ready, 60)

    def start_database(self) -> None:
        """Start the same cluster again."""
        self._start("postgres")
        eventually(self.servers.cluster.is_ready, 30)

    def cut_connections(self) -> None:
        """The broker closes every AMQP connection."""
        self.servers.broker.ctl("close_all_connections", "test")

    def end_sessions(self, role: str = "zhida_registry") -> None:
        """The database ends every session of the services."""
        connection = self.servers.cluster.connect()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role]
            )
        connection.close()

    def _end(self, name: str, number: signal.Signals) -> None:
        (process,) = [p for program, p in self._private._running if program.name == name]
        os.kill(self.servers.broker.pid() if name == "rabbitmq" else process.pid, number)
        process.wait(30)

    def _start(self, name: str) -> None:
        running = self._private._running
        (position,) = [i for i, (program, _) in enumerate(running) if program.name == name]
        program = running[position][0]
        assert self._private._home is not None
        running[position] = (program, program.start(self._private._home))


@pytest.fixture(scope="module")
def wounded() -> Iterator[Wounded]:
    """One set of servers a module; every test leaves them running."""
    private = PrivateServers()  # not "fast": what is committed must survive
    with private as servers:
        yield Wounded(private, servers)


@pytest.fixture
def fragile(wounded: Wounded, tmp_path: Path) -> Iterator[Room]:
    """A room on the servers that are hurt."""
    with room(wounded.servers, tmp_path) as opened:
        yield opened


@pytest.fixture
def own_room(servers: Servers, tmp_path: Path) -> Iterator[Room]:
    """A room on the shared servers, in which nothing runs yet."""
    with room(servers, tmp_path) as opened:
        yield opened
