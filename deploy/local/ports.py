"""Loopback ports nobody holds.

Servers take ports below the kernel's ephemeral range: a port inside it can be taken by an
outgoing connection while its server restarts, even by a client connecting to itself.
"""

import contextlib
import os
import random
import socket
from collections import deque
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

LOWEST = 20_000
REMEMBERED = 64
_chosen: deque[int] = deque()
"""Open files that mark the ports chosen last: nobody listens there before their servers stand."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True when nobody listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different free ports; no other call chooses them too before their servers stand."""
    candidates = list(range(LOWEST, _ephemeral_start()))
    random.shuffle(candidates)
    found = list(islice((port for port in candidates if is_free(port) and _choose(port)), count))
    if len(found) < count:
        raise OSError("本机没有空闲端口")
    return found


def _choose(port: int) -> bool:
    """Mark a port, for all processes of this machine, by a name only one socket can have.

    The mark is gone when this process ends, or has chosen as many others as are remembered.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mark.bind(f"\0zhida-port-{port}")
    except OSError:
        mark.close()
        return False
    _chosen.append(mark.detach())
    if len(_chosen) > REMEMBERED:
        os.close(_chosen.popleft())
    return True


def keep_or_replace(ports: Mapping[str, int]) -> dict[str, int]:
    """The same ports by name; those that somebody holds by now are replaced with free ones."""
    taken = [name for name, port in ports.items() if not is_free(port)]
    return {**ports, **dict(zip(taken, free_ports(len(taken)), strict=True))}


def next_free(first: int) -> int:
    """`first`, or the next port above it that nobody holds."""
    for port in range(first, 65_536):
        if is_free(port):
            return port
    raise OSError(f"端口 {first} 及以上都被占用")


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    """True when somebody accepts connections on the port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def is_held_by(pid: int, port: int) -> bool:
    """True when this very process (ours, or we are root) listens on the port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
    for link in Path("/proc").glob(f"{pid}/fd/*"):
        with contextlib.suppress(OSError):  # a file closed in the meantime, or not ours to look at
            if str(link.readlink()) in sockets:
                return True
    return False


def _ephemeral_start() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        return max(int(text.split()[0]), LOWEST + 1_000)
    except OSError:
        return 32_768
