"""Watches the event loop: how late it runs a timer, and what held it.

A service is one thread whose greenlets take turns; whoever computes for long keeps everybody else
waiting, the broker's heartbeats and the health checks too. A tick each 50 ms measures its own
lateness. When none came for 100 ms an alarm notes what the thread is doing at that moment; the
next tick logs it, unless the time was spent waiting for a processor: how long the loop was held,
how much of it in computing, and where.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

import eventlet

from services.chassis import metrics
from services.chassis.logs import get_logger

log = get_logger(__name__)

TICK_S = 0.05
LIMIT_S = 0.1
"""Nothing may hold the loop longer."""

_DEEP = 6
_OURS = f"{os.sep}services{os.sep}"


class HubWatch:
    """The watch over one process's event loop; ``run`` never returns."""

    def __init__(self, service: str) -> None:
        self._lag = metrics.HUB_LAG_SECONDS.labels(service)
        self._held = metrics.HUB_HELD.labels(service)
        self._doing = ""

    def run(self) -> None:
        """Tick, measure, and tell of what held the loop."""
        signal.signal(signal.SIGALRM, self._note)
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)  # unhandled it would kill us
        wait_s = _processor_wait()
        waited = wait_s()
        while True:
            due = time.monotonic() + TICK_S
            computed = time.thread_time()
            signal.setitimer(signal.ITIMER_REAL, LIMIT_S + TICK_S)
            eventlet.sleep(TICK_S)
            lag = max(0.0, time.monotonic() - due)
            before, waited = waited, wait_s()
            self._lag.observe(lag)
            held = lag - (waited - before)
            if held > LIMIT_S:
                self._held.inc()
                log.warning(
                    "hub_held",
                    seconds=round(held, 3),
                    computing=round(time.thread_time() - computed, 3),
                    doing=self._doing,
                )
            self._doing = ""

    def _note(self, _signal: int, frame: FrameType | None) -> None:
        """What runs now: the innermost frame, and those of ours around it. No I/O in here."""
        self._doing = " < ".join(_frames(frame))


def _frames(frame: FrameType | None) -> list[str]:
    found: list[str] = []
    while frame is not None and len(found) < _DEEP:
        code = frame.f_code
        if not found or _OURS in code.co_filename:
            module = frame.f_globals.get("__name__", "?")
            found.append(f"{module}.{code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return found


def _processor_wait() -> Callable[[], float]:
    """Tells how many seconds this thread has stood ready without a processor; 0 where the kernel
    keeps no count. On a busy machine that is most of the lag, and nobody's fault in here.
    """
    try:
        file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return lambda: 0.0
    return lambda: int(os.pread(file, 100, 0).split()[1]) / 1e9
