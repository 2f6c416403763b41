"""When months are opened and paid: policy by division and date (data/timetable.toml)."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path

import msgspec

from services.funding.domain.cycle import Timetable


class _File(msgspec.Struct, forbid_unknown_fields=True):
    timetables: tuple[Timetable, ...]


@cache
def _all() -> tuple[Timetable, ...]:
    file = Path(__file__).with_name("data") / "timetable.toml"
    return msgspec.toml.decode(file.read_bytes(), type=_File).timetables


def timetable(county: str, on: date) -> Timetable:
    """What holds in a county on a day. Raises ``LookupError`` when nothing does."""
    holding = [t for t in _all() if county.startswith(t.division) and t.effective_from <= on]
    if not holding:
        raise LookupError(f"no timetable for {county} on {on}")
    return max(holding, key=lambda t: (len(t.division), t.effective_from))
