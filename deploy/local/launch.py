"""Become a program of the stack: `python -I launch.py PROGRAM.json`. Standard library only.

Reads the file, writes down its process id beside it, gives up root where the program has a user
of its own, asks the kernel to end it with its parent, and turns into the program: the process id
stays, so its parent's signals arrive.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1


def identity(pid: int) -> str:
    """The process id with the tick it started at: never the same for two processes.

    Raises `FileNotFoundError` when there is no such process, or it only waits to be buried.
    """
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    state, *fields = text.rpartition(")")[2].split()
    if state == "Z":
        raise FileNotFoundError(pid)
    return f"{pid} {fields[18]}"


def become(program: Path) -> NoReturn:
    """Never returns; raises `OSError` when the program cannot be run."""
    spec = json.loads(program.read_text(encoding="utf-8"))
    program.with_suffix(".pid").write_text(identity(os.getpid()), encoding="ascii")
    if spec["uid"] != os.geteuid():
        os.setgroups([])
        os.setgid(spec["gid"])
        os.setuid(spec["uid"])
    # After the change of user, which clears it.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, spec["stop_signal"]) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    os.umask(0o077)
    os.chdir(spec["directory"])
    os.execvpe(spec["command"][0], spec["command"], spec["environment"])


if __name__ == "__main__":
    become(Path(sys.argv[1]))
