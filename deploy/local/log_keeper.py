"""Keeps the stack's log files for half a year: ``python -m deploy.local.log_keeper …``.

A log that is a day old or has grown long is moved aside, the supervisor opens a new one, and the
old one is compressed into ``kept/``; what was kept for its time goes. No line is lost: until the
supervisor has opened the new file it writes on into the one that was moved.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

KEPT = timedelta(days=184)
"""网络安全法 (2016) 第二十一条 (三): logs of the network are kept for six months at least."""

LONGEST = timedelta(days=1)
LARGEST_BYTES = 50_000_000
LOOK_EVERY_S = 60
PATIENCE_S = 30.0


def keep(
    folder: Path, supervisor: int, *, now: datetime, largest: int = LARGEST_BYTES
) -> list[Path]:
    """Lay aside what is due and remove what is over; the files that were made."""
    kept = folder / "kept"
    kept.mkdir(mode=0o700, exist_ok=True)
    for over in kept.glob("*.gz"):
        if _moment(over.stat().st_mtime) < now - KEPT:
            over.unlink()
    due = [file for file in sorted(folder.glob("*.log")) if _is_due(file, now, largest)]
    aside = {file: kept / f"{file.stem}-{now:%Y%m%dT%H%M%SZ}.log" for file in due}
    for file, target in aside.items():
        file.rename(target)
        _mark(file).unlink()
    if aside:
        os.kill(supervisor, signal.SIGUSR2)  # it opens all its logs anew
        _await(aside)
    for left in kept.glob("*.log"):  # also what an earlier run could not finish
        _compress(left)
    return [target.with_name(f"{target.name}.gz") for target in aside.values()]


def _is_due(file: Path, now: datetime, largest: int) -> bool:
    """Long, or begun a day ago. When a log was begun its mark tells: file systems do not."""
    if file.stat().st_size == 0:
        return False
    mark = _mark(file)
    if not mark.exists():
        mark.touch()
        os.utime(mark, (now.timestamp(), now.timestamp()))
    begun = _moment(mark.stat().st_mtime)
    return file.stat().st_size >= largest or begun <= now - LONGEST


def _mark(file: Path) -> Path:
    return file.parent / "kept" / f"{file.stem}.begun"


def _await(aside: dict[Path, Path]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not all(file.exists() for file in aside):
        if time.monotonic() > deadline:
            raise TimeoutError("supervisord 没有重新打开日志")
        time.sleep(0.05)


def _compress(file: Path) -> None:
    target, draft = file.with_name(f"{file.name}.gz"), file.with_name(f"{file.name}.new")
    with file.open("rb") as source, gzip.open(draft, "wb") as packed:
        shutil.copyfileobj(source, packed)
    draft.chmod(0o600)
    draft.rename(target)
    file.unlink()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def main() -> None:
    """Look every minute, until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--supervisor", type=Path, required=True, help="its pid file")
    arguments = parser.parse_args()
    while True:
        time.sleep(LOOK_EVERY_S)
        pid = int(arguments.supervisor.read_text())
        keep(arguments.folder, pid, now=datetime.now(UTC))


if __name__ == "__main__":
    main()
