"""A probe that runs for a whole module, and rooms for tests that start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import Servers
from tests.integration.chassis.bus import Process, Room, room


@pytest.fixture(scope="module")
def running(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Room, Process]]:
    """A room with a probe at work in it; tests tell their things apart by their ids."""
    with room(servers, tmp_path_factory.mktemp("probe")) as opened:
        process = opened.start().until_ready()
        yield opened, process
        assert process.alive(), process.log.read_text()[-3000:]


@pytest.fixture
def bus(running: tuple[Room, Process]) -> Room:
    """The room of the running probe."""
    return running[0]


@pytest.fixture
def process(running: tuple[Room, Process]) -> Process:
    """The running probe."""
    return running[1]


@pytest.fixture
def own_room(servers: Servers, tmp_path: Path) -> Iterator[Room]:
    """A room in which nothing runs yet."""
    with room(servers, tmp_path) as opened:
        yield opened
