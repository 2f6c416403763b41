"""The start of a process: what is imported stays for its whole life.

So the collector of garbage neither looks for rubbish among it, which is a third of the start, nor
walks over it later, which would hold an event loop. Import this first; call ``done`` before work.
"""

from __future__ import annotations

import gc

gc.disable()


def done() -> None:
    """Leave what stands by now out of every later collection; collect as usual from here on."""
    gc.freeze()
    gc.enable()
