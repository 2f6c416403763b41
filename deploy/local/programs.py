"""A program of the local stack: what is run, as whom, where, and how it is ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.accounts import Account
from deploy.local.launch import identity

LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Program:
    """One long-running process, run as our child or as the supervisor's."""

    name: str
    command: tuple[str, ...]
    directory: Path
    account: Account
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: int = 20

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the program's file (it holds secrets: mode 0600); returns the line that runs it."""
        file = folder / f"{self.name}.json"
        spec = {
            "command": self.command,
            "directory": str(self.directory),
            "uid": self.account.uid,
            "gid": self.account.gid,
            "environment": {**_inherited(), **self.environment},
            "stop_signal": int(self.stop_signal),
        }
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(spec, stream, ensure_ascii=False)
        return (sys.executable, "-I", str(LAUNCHER), str(file))

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Run it as our child, its output in `folder`; it gets its stop signal when we die.

        Call from the main thread: to the kernel the parent is the thread that forked.
        """
        with (folder / f"{self.name}.log").open("ab") as output:
            return subprocess.Popen(
                self.save(folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def left_running(folder: Path) -> list[int]:
    """Process ids of the programs started from `folder` that still live."""
    known = [file.read_text(encoding="ascii") for file in folder.glob("*.pid")]
    return [int(entry.split()[0]) for entry in known if is_alive(entry)]


def end(folder: Path, seconds: float) -> None:
    """Ask what still runs from `folder` to stop; kill what has not after `seconds`."""
    deadline = time.monotonic() + seconds
    for pid in left_running(folder):
        _signal(pid, signal.SIGTERM)
    while remaining := left_running(folder):
        if time.monotonic() > deadline:
            for pid in remaining:
                _signal(pid, signal.SIGKILL)
        time.sleep(0.1)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def is_alive(known: str) -> bool:
    """True when the process with that `identity` still lives."""
    try:
        return bool(known) and identity(int(known.split(maxsplit=1)[0])) == known
    except (FileNotFoundError, ProcessLookupError):
        return False


def _inherited() -> dict[str, str]:
    """Of the caller's environment only the search path: a PGHOST of theirs is not ours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
