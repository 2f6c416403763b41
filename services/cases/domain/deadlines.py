"""Time limits: so many working days from an act, less what policy says pauses them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from services.cases.domain.calendar import Calendar, Reckoned


class Urgency(StrEnum):
    """How near a limit is. The desk sorts and colours by it, always with the words beside."""

    OVERDUE = "overdue"
    TODAY = "today"
    SOON = "soon"
    AMPLE = "ample"


@dataclass(frozen=True)
class Pause:
    """Days that do not count: from the day after ``start`` to ``end`` inclusive.

    ``end`` is ``None`` while what pauses the limit still runs.
    """

    start: date
    end: date | None

    def covers(self, day: date, today: date) -> bool:
        """Whether ``day`` is not counted, seen on ``today``."""
        return self.start < day <= (self.end or today)


def limit_ends(
    calendar: Calendar, start: date, working_days: int, pauses: Iterable[Pause], today: date
) -> Reckoned:
    """The last day on which an act due ``working_days`` working days after ``start`` is in time.

    The day of ``start`` is not counted. An open pause is reckoned as if it ended ``today``.
    """
    held = tuple(pauses)
    left = working_days
    day = start
    for day in calendar.after(start):
        if any(pause.covers(day, today) for pause in held):
            continue
        left -= 1
        if left <= 0:
            break
    return Reckoned(day, calendar.touches_provisional(start, day))


def urgency(calendar: Calendar, due: date, today: date, warn_before: int) -> Urgency:
    """How near ``due`` is on ``today``; ``warn_before`` in working days."""
    if today > due:
        return Urgency.OVERDUE
    if today == due:
        return Urgency.TODAY
    left = calendar.between(today, due)
    return Urgency.SOON if left <= warn_before else Urgency.AMPLE


def warns_from(calendar: Calendar, due: date, warn_before: int) -> date:
    """The first day on which ``due`` is at most ``warn_before`` working days away."""
    day = due
    while calendar.between(day, due) <= warn_before:
        day = date.fromordinal(day.toordinal() - 1)
    return date.fromordinal(day.toordinal() + 1)
