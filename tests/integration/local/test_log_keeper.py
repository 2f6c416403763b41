"""Logs are laid aside by age and size, kept for half a year, and lose no line on the way."""

from __future__ import annotations

import gzip
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local.accounts import account
from deploy.local.log_keeper import KEPT, keep
from deploy.local.programs import Program
from deploy.local.supervision import Supervisor
from tests.integration.chassis.bus import eventually

# supervisor's own transport leaves its socket to the collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
TALKER = "import itertools\nfor n in itertools.count():\n    print(n, flush=True)\n"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor with a program that talks without end."""
    made = Supervisor(tmp_path / "home", tmp_path / "logs")
    talker = Program(
        name="talker",
        command=(sys.executable, "-c", TALKER),
        directory=tmp_path,
        account=account("root"),
    )
    made.launch([talker], [])
    yield made
    made.shutdown()


def test_no_line_is_lost_while_a_log_is_laid_aside(keeper: Supervisor) -> None:
    """Moved under the hands of a program that goes on talking: three times, every line once."""
    pid, log = int(keeper.pid_file.read_text()), keeper.logs / "talker.log"
    made: list[Path] = []
    for minute in range(3):
        eventually(lambda: log.exists() and log.stat().st_size > 10_000)
        made += keep(keeper.logs, pid, now=NOW + timedelta(minutes=minute), largest=10_000)
    keeper.stop_together(["talker"])
    parts = [file for file in made if file.name.startswith("talker")]
    assert len(parts) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in parts)
    lines = b"".join([*(gzip.decompress(file.read_bytes()) for file in parts), log.read_bytes()])
    numbers = [int(line) for line in lines.split()]
    assert numbers == list(range(len(numbers)))


def test_a_log_goes_after_a_day_and_what_is_kept_after_184(tmp_path: Path) -> None:
    """A short and young one stays; an empty one is no log; the supervisor is told when need be."""
    told: list[int] = []

    def opened_anew(*_: object) -> None:
        told.append(1)
        (tmp_path / "cases.log").touch()

    before = signal.signal(signal.SIGUSR2, opened_anew)
    try:
        (tmp_path / "cases.log").write_text("one\n")
        (tmp_path / "notify.log").touch()
        assert keep(tmp_path, os.getpid(), now=NOW) == []
        assert keep(tmp_path, os.getpid(), now=NOW + timedelta(hours=23)) == []
        assert told == []
        (kept,) = keep(tmp_path, os.getpid(), now=NOW + timedelta(hours=24))
        assert kept.name == "cases-20261123T040000Z.log.gz"
        assert gzip.decompress(kept.read_bytes()) == b"one\n"
        assert told == [1]
        laid_aside = datetime.fromtimestamp(kept.stat().st_mtime, UTC)
        keep(tmp_path, os.getpid(), now=laid_aside + KEPT - timedelta(hours=1))
        assert kept.exists()
        keep(tmp_path, os.getpid(), now=laid_aside + KEPT + timedelta(hours=1))
        assert not kept.exists()
    finally:
        signal.signal(signal.SIGUSR2, before)
