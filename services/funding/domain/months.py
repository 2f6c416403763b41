"""Calendar months as text ``2026-11``: they sort, compare and read as they are printed."""

import re
from datetime import date

Month = str

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")


def month_of(day: date) -> Month:
    """The month that a business date falls in."""
    return f"{day.year:04d}-{day.month:02d}"


def first_day(month: Month) -> date:
    """The first day of a month; raises ValueError for anything that is not a month."""
    if not _MONTH.fullmatch(month):  # int() would read "２０２６" and "+1", which sort elsewhere
        raise ValueError(f"not a month: {month!r}")
    return date(int(month[:4]), int(month[5:]), 1)


def shift(month: Month, by: int) -> Month:
    """The month ``by`` months later (earlier when negative)."""
    first = first_day(month)
    index = first.year * 12 + first.month - 1 + by
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def span(start: Month, end: Month) -> list[Month]:
    """All months from ``start`` to ``end``, both included; empty when ``end`` is earlier."""
    months = []
    while start <= end:
        months.append(start)
        start = shift(start, 1)
    return months


def age_on(born: date, day: date) -> int:
    """Full years of age on a day (周岁)."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
