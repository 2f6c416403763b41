"""A program of the local stack: what is run, as whom, where, and how it is ended."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.accounts import Account


@dataclass(frozen=True)
class Program:
    """One long-running process, started by us alone or by the supervisor."""

    name: str
    command: tuple[str, ...]
    directory: Path
    account: Account
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: int = 20

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start it as our child; it gets its stop signal when we die without ending it.

        Call from the main thread: the kernel counts the death of the starting thread.
        """
        command = ("setpriv", "--pdeathsig", self.stop_signal.name.removeprefix("SIG"), "--")
        other = not self.account.is_ours
        with log.open("ab") as output:
            return subprocess.Popen(
                [*command, *self.command],
                cwd=self.directory,
                env={**_inherited(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.account.uid if other else None,
                group=self.account.gid if other else None,
                extra_groups=[] if other else None,
            )


def _inherited() -> dict[str, str]:
    """Nothing of the caller's environment but the search path: a PGHOST of his is not ours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
