"""Work that keeps a processor busy in C, done in a thread while the event loop goes on.

Only for calls that let go of Python's lock (a password hash). What computes in Python belongs in
a child process (``child``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def aside(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of ``work``; other greenlets run meanwhile. Without a loop, simply called."""
    patcher = sys.modules.get("eventlet.patcher")  # a process without a loop need not load it
    if patcher is None or not patcher.is_monkey_patched("thread"):
        return work(*args, **kwargs)
    from eventlet import tpool

    done: R = tpool.execute(work, *args, **kwargs)
    return done
