"""The working calendar as the database has it."""

from __future__ import annotations

from datetime import date

from sqlalchemy import select

from services.cases import catalogue
from services.cases.domain.calendar import Calendar
from services.cases.models import CalendarDayRow, CalendarYearRow
from services.chassis.uow import UnitOfWork


def current(uow: UnitOfWork, since: date | None = None) -> Calendar:
    """The calendar from the year before ``since`` (or today) on: what limits can touch."""
    first = (since or uow.today()).year - 1
    days = uow.session.execute(
        select(CalendarDayRow.day, CalendarDayRow.working).where(
            CalendarDayRow.day >= date(first, 1, 1)
        )
    )
    years = uow.session.scalars(select(CalendarYearRow.year).where(CalendarYearRow.year >= first))
    return Calendar(dict(days.all()), frozenset(years), catalogue.statutory_days())
