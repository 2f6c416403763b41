"""Row 1: services die at each step."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from deploy.local.servers import SERVICES
from tests.chaos.faults.scene import Scene

DEATHS = ("before_commit", "after_commit", "before_ack", "after_publish")
"""Steps at which a service is ordered to die: see ``failpoints``."""


def kill_at_every_step(scene: Scene) -> None:
    """Each service dies at each step, a different one at a time; then in the middle of a month."""
    steps = list(DEATHS)
    scene.rng.shuffle(steps)
    for turn in range(1 if scene.short else len(steps)):
        orders = {}
        for place, name in enumerate(SERVICES):
            step = steps[(turn + place) % len(steps)]
            orders[name, step] = scene.stage.order(name, step, scene.rng.randrange(3))
        deadline = time.monotonic() + 180
        while any(order.exists() for order in orders.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for (name, step), order in orders.items():
            if order.exists():
                order.unlink(missing_ok=True)
                scene.wrong.append(f"{name} never came to {step}")
        for name in SERVICES:
            scene.stage.until_ready(name)
    if not scene.short:
        _kill_in_mid_month(scene)
    scene.seen["deaths"] = sum(scene.stage.keeper.starts(name) - 1 for name in SERVICES)


def _kill_in_mid_month(scene: Scene) -> None:
    """The child that computes; its parent while the child runs on; notify at 10, 50 and 90 %."""
    scene.load.begin_month()
    for whom in ("child", "parent"):
        child = scene.eventually(lambda: _child_of(scene.stage.keeper.pid("funding")), whom, 60)
        if child is None:
            return
        victim = child if whom == "child" else scene.stage.keeper.pid("funding")
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        scene.stage.until_ready("funding")
    lines = scene.eventually(
        lambda: scene.stage.number(
            "funding", "SELECT max(file_lines) FROM batch WHERE state IN ('sent', 'settled')"
        ),
        "a bank file",
        240,
    )
    heard = "SELECT count(*) FROM message WHERE template LIKE 'payment%%'"
    before = scene.stage.number("notify", heard)
    for part in (0.1, 0.5, 0.9):
        goal = before + part * (lines or 0) / 2
        deadline = time.monotonic() + 60
        while scene.stage.number("notify", heard) < goal and time.monotonic() < deadline:
            time.sleep(0.01)
        scene.stage.keeper.kill("notify")
        scene.stage.until_ready("notify")


def _child_of(pid: int) -> int | None:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                if b"services.chassis.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return None
