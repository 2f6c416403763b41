"""What a row of the matrix is, and what it may hurt."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.servers import SERVICES
from tests.chaos.invariants import Witness
from tests.chaos.load import Answered, Load, Town
from tests.chaos.stage import Stage


@dataclass
class Scene:
    """What a row may hurt, and where it notes what it saw."""

    stage: Stage
    town: Town
    load: Load
    answered: Answered
    witness: Witness
    rng: random.Random
    short: bool
    seen: dict[str, float | str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def expect(self, held: object, words: str) -> None:
        """Note a contradiction unless it held."""
        if not held:
            self.wrong.append(words)

    def eventually(self, true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Wait for something; a contradiction when it does not come."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            if time.monotonic() > deadline:
                self.wrong.append(f"not within {seconds:.0f} s: {what}")
                return None
            time.sleep(0.05)
        return found

    def work_on(self, least: float, most: float) -> None:
        """Let the city work for a while that the dice decide."""
        time.sleep(self.rng.uniform(least, most))

    def alive(self) -> None:
        """Every service is alive by its own word, broker and database away or not."""
        for name in SERVICES:
            self.expect(self.stage.answers(name, "/livez") == 200, f"{name} is not alive")


Hurt = Callable[[Scene], None]


@dataclass(frozen=True)
class Row:
    """A row of the matrix. ``hurt`` returns when the fault is over."""

    number: str
    title: str
    hurt: Hurt
    named: str
    alert: str
    """The rule in ``deploy/prometheus`` that tells of it if it lasts; empty: nobody need come."""
    allowed_s: float = 60.0
    month: bool = True
    begins_month: bool = False
    """Whether the long form begins the month's cycle itself, to hurt it in its middle."""
    kills: bool = False
    """Whether service processes end because of the fault; in no other row may one end."""
    leave_out: int = 0
    """Lines the bank leaves out of its first answer."""
    afterwards: Hurt | None = None
    """Once the load has ended."""


def resident_pages(pid: int) -> int:
    """Memory of a process that is in use, in pages."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
