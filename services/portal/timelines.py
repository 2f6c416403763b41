"""One timeline out of what several services remember."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Literal

import msgspec

from services.portal.writing import SHANGHAI


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: when, what, the details, who remembers it, where to read more."""

    at: datetime | date
    on: date | None = None
    """The business day, where it is known beside the moment: it is what is shown."""
    order: int = 0
    """The place among entries of the same moment."""
    title: str
    source: Literal["registry", "cases", "funding", "notify", "warning"]
    icon: str
    detail: str = ""
    url: str | None = None


def merged(*parts: Iterable[Entry]) -> list[Entry]:
    """All entries, newest business day first; within a day the later moment stands first."""
    return sorted((entry for part in parts for entry in part), key=_when, reverse=True)


def _when(entry: Entry) -> tuple[date, datetime, int]:
    """Business day, then moment (a day alone counts as its end), then place."""
    at = entry.at
    if not isinstance(at, datetime):
        at = datetime.combine(at, time.max, tzinfo=SHANGHAI)
    elif at.tzinfo is None:
        at = at.replace(tzinfo=SHANGHAI)
    return entry.on or at.astimezone(SHANGHAI).date(), at.astimezone(UTC), entry.order
