"""One set of private servers for all test processes of a clone that run at the same time.

The first process starts a keeper; the keeper holds the servers until no process leases them any
more. Leases are file locks, so a process that is killed gives its lease back too.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from deploy.local.accounts import PROJECT, state_root
from deploy.local.servers import PrivateServers, Servers

LINGER = "ZHIDA_SERVERS_LINGER"
"""Seconds the servers stay after the last lease ended; 0 unless told."""


@contextlib.contextmanager
def shared_servers() -> Iterator[Servers]:
    """Lease the servers, starting them if nobody has; give the lease back at the end."""
    folder = _folder()
    with _locked(folder / "door"):
        if not _is_held(folder / "keeper"):
            _start_keeper(folder)
        servers = msgspec.json.decode((folder / "servers.json").read_bytes(), type=Servers)
        lease = _lock(folder / "lease", fcntl.LOCK_SH)
    try:
        yield servers
    finally:
        os.close(lease)


def keep() -> None:
    """The keeper's life: start the servers, say so, end them when they stand idle."""
    folder = _folder()
    addresses = folder / "servers.json"
    keeper = _lock(folder / "keeper", fcntl.LOCK_EX)
    with contextlib.ExitStack() as at_the_end, PrivateServers(fast=True) as servers:
        addresses.touch(mode=0o600)
        addresses.write_bytes(msgspec.json.encode(servers))
        sys.stdout.write("ready\n")
        sys.stdout.close()
        door = _shut_door_when_idle(folder, float(os.environ.get(LINGER, "0")))
        # Nobody enters until the servers are gone and a new keeper may start.
        at_the_end.callback(os.close, door)
        at_the_end.callback(os.close, keeper)
        addresses.unlink()


def _shut_door_when_idle(folder: Path, linger: float) -> int:
    last_used = time.monotonic()
    while True:
        door = _lock(folder / "door", fcntl.LOCK_EX)
        if _is_held(folder / "lease"):
            last_used = time.monotonic()
        elif time.monotonic() - last_used >= linger:
            return door
        os.close(door)
        time.sleep(0.5)


def _start_keeper(folder: Path) -> None:
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.shared"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    keeper.returncode = 0  # it outlives whoever started it: nobody waits for its end
    assert keeper.stdout is not None
    with keeper.stdout:
        if keeper.stdout.readline() != b"ready\n":
            raise RuntimeError((folder / "keeper.log").read_text(errors="replace")[-2000:])


def _folder() -> Path:
    folder = state_root() / "shared"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _lock(path: Path, kind: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    try:
        os.close(_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


if __name__ == "__main__":
    keep()
