"""The local stack's keys: made once by the chassis, kept in `.zhida/keys.env`."""

import os
from collections.abc import Callable
from pathlib import Path

from services.chassis.keys import generate

TRANSIT = "TRANSIT_KEYS"


def kept(path: Path) -> dict[str, str]:
    """The keys in the file; what it still lacks is made and written, mode 0600."""
    known = _read(path)
    fresh = generate()
    complete = {**fresh, **known}
    if TRANSIT in known:
        complete[TRANSIT] = _with_new_pairs(known[TRANSIT], fresh[TRANSIT])
    if complete != known:
        _write(path, complete)
    return complete


def change(path: Path, step: Callable[[dict[str, str]], dict[str, str]]) -> dict[str, str]:
    """The keys after a step of a rotation, written."""
    after = step(kept(path))
    _write(path, after)
    return after


def _with_new_pairs(known: str, fresh: str) -> str:
    pairs = dict(part.split("=", 1) for part in f"{fresh};{known}".split(";"))
    return ";".join(f"{pair}={key}" for pair, key in pairs.items())


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def _write(path: Path, known: dict[str, str]) -> None:
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write("# Keys of this machine's local stack. Lost keys make its data unreadable.\n")
        stream.writelines(f"{name}={value}\n" for name, value in sorted(known.items()))
    draft.replace(path)
