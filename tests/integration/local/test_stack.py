"""`zhida up`, `down`, `status` as their user runs them, on a stack of this test's own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

pytestmark = [pytest.mark.alone, pytest.mark.timeout(400)]

ZHIDA = str(Path(sys.executable).with_name("zhida"))
READY = {"registry", "cases", "funding", "notify", "portal"}
PROGRAMS = READY | {"epmd", "rabbitmq", "postgres", "mailbox", "logs"}


class Shell:
    """A person at a shell of a machine with a home of its own."""

    holder: "Holder"

    def __init__(self, home: Path) -> None:
        self.home = home

    def zhida(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.endswith("_URL")
        }
        return subprocess.run(
            [ZHIDA, *arguments],
            env={**environment, "ZHIDA_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def answer(self, *arguments: str) -> Any:
        done = self.zhida(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def programs(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.answer("status")["programs"]}

    def all_ready(self) -> bool:
        programs = self.programs()
        return programs.keys() == PROGRAMS and all(
            row["state"] == "RUNNING" and row["ready"] in {True, None} for row in programs.values()
        )


def eventually(holds: Callable[[], bool], seconds: float = 150) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A stack that is up; port 8000 is held by somebody else while it starts: by us, or by another
    test's portal, and by us when that lets it go.
    """
    shell = Shell(tmp_path_factory.mktemp("home"))
    try:
        with Holder(8000) as shell.holder:
            done = shell.zhida("up")
            assert done.returncode == 0, done.stdout + done.stderr
            yield shell
    finally:
        shell.zhida("down", "--erase", "--yes")


class Holder:
    """Takes a port as soon as nobody has it, and keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._done = threading.Event()
        self._held: socket.socket | None = None
        self._waiting = threading.Thread(target=self._wait)

    def __enter__(self) -> Self:
        if not self._take():
            self._waiting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._waiting.ident is not None:
            self._waiting.join()
        if self._held is not None:
            self._held.close()

    @property
    def has_it(self) -> bool:
        return self._held is not None

    def _take(self) -> bool:
        try:
            self._held = socket.create_server(("127.0.0.1", self._port))
        except OSError:
            return False
        return True

    def _wait(self) -> None:
        while not self._take() and not self._done.wait(0.01):
            pass


def test_up_ends_when_everything_is_ready(shell: Shell) -> None:
    """Servers, services and portal all run and answer that they are ready."""
    programs = shell.programs()
    assert programs.keys() == PROGRAMS
    assert {name for name, row in programs.items() if row["ready"]} == READY
    assert shell.zhida("doctor").returncode == 0


def test_a_held_port_makes_the_portal_take_the_next(shell: Shell) -> None:
    """Somebody else's port 8000 is left to them; the portal's address is printed."""
    address = shell.answer("up")["portal"]
    port = int(address.rpartition(":")[2])
    # 8000 itself only where another test's portal let it go just then, and ours was there first
    assert port > 8000 or (port == 8000 and not shell.holder.has_it)
    assert address == shell.programs()["portal"]["address"]


def test_a_second_up_is_harmless(shell: Shell) -> None:
    """The same processes go on; nothing is restarted."""
    before = {name: row["pid"] for name, row in shell.programs().items()}
    first, second = shell.answer("up"), shell.answer("up")
    assert first["portal"] == second["portal"]
    assert {name: row["pid"] for name, row in shell.programs().items()} == before


@pytest.mark.parametrize("name", ["cases", "portal", "postgres", "rabbitmq"])
def test_what_dies_is_started_again(shell: Shell, name: str) -> None:
    """kill -9 of a service or a server: it comes back and everything is ready again."""
    pid = shell.programs()[name]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: shell.programs()[name]["pid"] not in {0, pid})
    assert eventually(shell.all_ready)


def test_secrets_are_readable_by_their_owner_only(shell: Shell) -> None:
    """Keys and addresses with passwords in them: mode 0600."""
    for name in ("keys.env", "stack.json"):
        assert (shell.home / name).stat().st_mode & 0o077 == 0


def test_an_index_key_is_changed_while_its_service_stands_still(shell: Shell) -> None:
    """The other processes go on; the service comes back with the new key, and none in waiting."""
    before = {name: row["pid"] for name, row in shell.programs().items()}
    old = (shell.home / "keys.env").read_text()
    (done,) = shell.answer("keys", "rotate", "index", "--service", "funding")
    assert done["rows"] == {"left": 0, "person.account_index": 0, "payment.account_index": 0}
    new = (shell.home / "keys.env").read_text()
    changed = set(new.splitlines()) - set(old.splitlines())
    assert [line.partition("=")[0] for line in changed] == ["FUNDING_INDEX_KEY"]
    assert "NEXT" not in new
    assert eventually(lambda: all(shell.programs()[name]["ready"] for name in READY))
    after = {name: row["pid"] for name, row in shell.programs().items()}
    assert {name for name in after if after[name] != before[name]} == {"funding"}


def test_down_leaves_no_process_and_up_finds_the_data_again(shell: Shell) -> None:
    """Every process ends; a second down is harmless; the next up has the same databases."""
    pids = [row["pid"] for row in shell.programs().values()]
    assert shell.answer("down") == {"stopped": True, "erased": False}
    assert not [pid for pid in pids if lives(pid)]
    assert shell.answer("down") == {"stopped": False, "erased": False}
    before = json.loads((shell.home / "stack.json").read_text())
    shell.answer("up")
    after = json.loads((shell.home / "stack.json").read_text())
    assert after["database_urls"] == before["database_urls"]
    assert eventually(shell.all_ready)


def test_a_killed_supervisor_takes_its_programs_along(shell: Shell) -> None:
    """Nothing runs on unsupervised, and up starts anew."""
    pids = [row["pid"] for row in shell.programs().values()]
    supervisor = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: not any(map(lives, pids)), 90)
    shell.answer("up")
    assert eventually(shell.all_ready)
