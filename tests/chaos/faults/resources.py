"""Rows 16 to 18: clocks, rights, memory and processor."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local.servers import SERVICES
from services.contracts.commands import funding
from services.contracts.errors import Unauthenticated
from tests.chaos.faults.scene import Scene, resident_pages
from tests.chaos.stage import Stage


def wrong_clocks(scene: Scene) -> None:
    """Registry an hour slow, funding an hour fast, then all of them across midnight and back."""
    stage = scene.stage
    files = {name: stage.folder / f"{name}.faketime" for name in SERVICES}
    for name, path in files.items():
        path.write_text("+0")
        stage.keeper.restart(name, under_clock(path))
    for name in SERVICES:
        stage.until_ready(name)
    for slow, fast in (("-3600", "+3600"), ("-7200", "-7200")):
        files["registry"].write_text(slow)
        files["cases"].write_text(slow)
        files["funding"].write_text(fast)
        scene.work_on(4, 6)
    for path in files.values():
        path.write_text("+0")


def a_day_ahead(scene: Scene) -> None:
    """Funding a day ahead: tokens of today are refused there, and the month is not paid again."""
    stage = scene.stage
    (stage.folder / "funding.faketime").write_text("+86400")
    clerk = scene.town["funding_clerk"]
    month = stage.rows("funding", "SELECT max(month) FROM batch WHERE kind = 'monthly'")[0][0]
    try:
        clerk.ask(funding.ComputeBatch(batch=month))
        scene.wrong.append("a token of yesterday was taken")
    except Unauthenticated as error:
        scene.seen["a day ahead"] = error.message
    for name in SERVICES:
        stage.keeper.restart(name)
    for name in SERVICES:
        stage.until_ready(name)


def under_clock(file: Path) -> dict[str, str]:
    """The environment of a process whose clock is off by what stands in the file."""
    return {
        "LD_PRELOAD": faketime_library(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


def faketime_library() -> str:
    """The library of PyPI's libfaketime that is preloaded."""
    import libfaketime

    (found,) = Path(libfaketime.__file__).parent.rglob("libfaketime.so*")
    return str(found)


@contextlib.contextmanager
def locked_out(stage: Stage) -> Iterator[None]:
    """The services' broker users have other passwords, and every connection is closed."""
    try:
        for name in SERVICES:
            stage.ctl("change_password", name, "another")
        stage.ctl("close_all_connections", "--global", "rotated")
        yield
    finally:
        for name in SERVICES:
            stage.ctl("change_password", name, stage.servers.broker.password_of(name))


def revoke_the_user(scene: Scene) -> None:
    """Every service says that it is refused, and that it is not ready."""
    before = {name: len(scene.stage.log(name)) for name in SERVICES}
    with locked_out(scene.stage):
        scene.eventually(
            lambda: all("AccessRefused" in scene.stage.log(n)[before[n] :] for n in SERVICES),
            "every service says that it is refused",
            60,
        )
        scene.alive()
        scene.eventually(
            lambda: all(scene.stage.answers(name) == 503 for name in SERVICES),
            "no service says that it is ready",
            30,
        )


def starve(scene: Scene) -> None:
    """Notify eats until the kernel kills it; funding gets a twentieth of a processor."""
    stage = scene.stage
    starts = stage.keeper.starts("notify")
    with cgroup("memory", stage.keeper.pid("notify")) as group:
        limit = (resident_pages(stage.keeper.pid("notify")) * 4096) + 60_000_000
        (group / "memory.limit_in_bytes").write_text(str(limit))
        order = stage.order("notify", "hog", 400_000_000)
        killed = scene.eventually(
            lambda: stage.keeper.starts("notify") > starts, "the kernel kills notify", 40
        )
        order.unlink(missing_ok=True)
        scene.expect(killed, "nothing was killed for want of memory")
    stage.until_ready("notify")
    with cgroup("cpu", stage.keeper.pid("funding")) as group:
        (group / "cpu.cfs_quota_us").write_text("5000")
        time.sleep(12)
    scene.alive()


@contextlib.contextmanager
def cgroup(controller: str, pid: int) -> Iterator[Path]:
    """A control group with one process in it, gone at the end."""
    root = Path("/sys/fs/cgroup") / controller
    group = root / f"zhida-chaos-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(left)
        for _ in range(50):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)
