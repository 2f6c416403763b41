"""Work that keeps a processor busy in C, done in a thread while the event loop goes on.

Only for calls that let go of Python's lock (a password hash). What computes in Python belongs in
a child process (``child``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from eventlet import tpool
from eventlet.patcher import is_monkey_patched

P = ParamSpec("P")
R = TypeVar("R")


def aside(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of ``work``; other greenlets run meanwhile. Without a loop, simply called."""
    if not is_monkey_patched("thread"):
        return work(*args, **kwargs)
    done: R = tpool.execute(work, *args, **kwargs)
    return done
