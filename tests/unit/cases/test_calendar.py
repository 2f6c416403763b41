"""Working days against chinesecalendar, provisional years, and years nobody knows."""

from __future__ import annotations

from datetime import date, timedelta

import chinese_calendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.domain.calendar import Calendar, YearUnknown
from services.cases.domain.deadlines import Pause, Urgency, limit_ends, urgency, warns_from
from tests.builders.cases import CALENDAR

KNOWN = st.dates(date(2004, 1, 1), date(2026, 12, 31))
STARTS = st.dates(date(2004, 1, 1), date(2026, 8, 1))


@given(KNOWN)
def test_a_published_day_is_worked_as_the_notice_says(day: date) -> None:
    """Every day of 2004–2026 agrees with chinesecalendar, make-up days included."""
    assert CALENDAR.is_working(day) == chinese_calendar.is_workday(day)
    assert not CALENDAR.is_provisional(day)


@given(STARTS, st.integers(1, 60))
def test_a_limit_ends_on_the_nth_working_day(start: date, days: int) -> None:
    """Counted independently: exactly n working days lie after the start up to the last day."""
    end = limit_ends(CALENDAR, start, days, (), start)
    counted = chinese_calendar.get_workdays(start + timedelta(days=1), end.day)
    assert len(counted) == days
    assert counted[-1] == end.day
    assert not end.provisional
    assert CALENDAR.between(start, end.day) == days


@given(STARTS, st.integers(1, 45), st.integers(0, 40), st.integers(0, 40))
def test_a_pause_adds_just_its_working_days(start: date, days: int, wait: int, held: int) -> None:
    """With a pause, n working days outside it lie between start and end, and the end is outside."""
    pause = Pause(start + timedelta(days=wait), start + timedelta(days=wait + held))
    end = limit_ends(CALENDAR, start, days, (pause,), start).day
    span = chinese_calendar.get_workdays(start + timedelta(days=1), end)
    assert sum(not pause.start < day <= pause.end for day in span if pause.end) == days
    assert not pause.covers(end, start)


def test_the_national_day_of_2026_moves_a_limit() -> None:
    """From 2026-09-28, 20 working days pass 国庆 and its make-up days: 2026-10-30."""
    assert limit_ends(CALENDAR, date(2026, 9, 28), 20, (), date(2026, 9, 28)).day == date(
        2026, 10, 30
    )


def test_a_limit_that_reaches_2027_is_marked_provisional() -> None:
    """2027 has statutory days only: New Year and 春节 are off, and the date says provisional."""
    end = limit_ends(CALENDAR, date(2026, 12, 25), 10, (), date(2026, 12, 25))
    assert end.day == date(2027, 1, 11)
    assert end.provisional
    assert not CALENDAR.is_working(date(2027, 2, 5))
    assert CALENDAR.is_working(date(2027, 2, 12))


def test_a_year_without_even_statutory_days_is_refused() -> None:
    """Nothing is guessed for 2031: the refusal names the year and the command."""
    with pytest.raises(YearUnknown) as refused:
        limit_ends(CALENDAR, date(2030, 12, 20), 20, (), date(2030, 12, 20))
    assert "2031" in refused.value.message
    assert "zhida calendar load" in (refused.value.advice or "")


def test_a_loaded_notice_replaces_the_provisional_year() -> None:
    """With the notice of 2027 loaded, a make-up Saturday counts and nothing is provisional."""
    notice = {date(2027, 2, 12): False, date(2027, 2, 20): True}
    loaded = Calendar(
        {**CALENDAR.exceptions, **notice}, CALENDAR.published | {2027}, CALENDAR.statutory
    )
    assert loaded.is_working(date(2027, 2, 20))
    assert not loaded.is_working(date(2027, 2, 12))
    assert not loaded.is_provisional(date(2027, 2, 20))


@given(st.dates(date(2005, 1, 1), date(2026, 8, 1)), st.integers(0, 10))
def test_a_warning_begins_where_so_many_working_days_are_left(due: date, before: int) -> None:
    """The day before the warning has more than ``before`` working days left, the day itself not."""
    first = warns_from(CALENDAR, due, before)
    assert CALENDAR.between(first, due) <= before
    assert CALENDAR.between(first - timedelta(days=1), due) > before


def test_urgency_words() -> None:
    """Due today, tomorrow, next month, yesterday."""
    due = date(2026, 9, 30)
    assert urgency(CALENDAR, due, due, 3) is Urgency.TODAY
    assert urgency(CALENDAR, due, date(2026, 9, 29), 3) is Urgency.SOON
    assert urgency(CALENDAR, due, date(2026, 9, 1), 3) is Urgency.AMPLE
    assert urgency(CALENDAR, due, date(2026, 10, 1), 3) is Urgency.OVERDUE
