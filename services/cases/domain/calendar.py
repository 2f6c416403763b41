"""Working days.

A year is *published* once the State Council's notice for it is loaded: its exceptions (days off
on weekdays, make-up work on weekends) are known. A year that is not yet published but whose
statutory holidays are known is *provisional*: weekends and statutory days are off, and every date
reckoned through it is marked, because the notice may move it. Any other year is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from services.contracts.errors import Conflict

_SATURDAY = 5
_DAY = timedelta(days=1)


class YearUnknown(Conflict):
    """The calendar has neither the notice nor the statutory days of a year."""

    def __init__(self, year: int) -> None:
        super().__init__(
            f"工作日历缺少 {year} 年，无法计算办理期限",
            field="calendar",
            advice=f"请先载入国务院办公厅 {year} 年放假安排：zhida calendar load",
            reason="calendar_year_unknown",
        )
        self.year = year


@dataclass(frozen=True)
class Reckoned:
    """A date counted in working days; ``provisional`` when it leans on an unpublished year."""

    day: date
    provisional: bool


@dataclass(frozen=True)
class Calendar:
    """``exceptions``: day → is it worked, for published years. ``statutory``: year → days off."""

    exceptions: Mapping[date, bool]
    published: frozenset[int]
    statutory: Mapping[int, frozenset[date]] = field(default_factory=dict)

    def is_provisional(self, day: date) -> bool:
        """Whether ``day`` lies in a year whose notice is not loaded. Refuses unknown years."""
        if day.year in self.published:
            return False
        if day.year in self.statutory:
            return True
        raise YearUnknown(day.year)

    def is_working(self, day: date) -> bool:
        """Whether offices work on ``day``."""
        if self.is_provisional(day):
            return day.weekday() < _SATURDAY and day not in self.statutory[day.year]
        return self.exceptions.get(day, day.weekday() < _SATURDAY)

    def after(self, start: date) -> Iterator[date]:
        """The working days after ``start``: the day of the act itself is never counted."""
        day = start
        while True:
            day += _DAY
            if self.is_working(day):
                yield day

    def between(self, start: date, end: date) -> int:
        """How many working days lie after ``start`` up to and including ``end``.

        Negative when ``end`` is before ``start``: the working days by which it is overdue.
        """
        if end < start:
            return -self.between(end, start)
        span = (end - start).days
        return sum(self.is_working(start + _DAY * n) for n in range(1, span + 1))

    def touches_provisional(self, start: date, end: date) -> bool:
        """Whether any year from ``start`` to ``end`` is provisional."""
        return any(
            year not in self.published and year in self.statutory
            for year in range(start.year, end.year + 1)
        )
