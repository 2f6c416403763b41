"""Loading the State Council's notice of a year, and moving the limits that hang on it."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import delete, extract, insert, select

from services.cases import casework, working_calendar
from services.cases.domain.facts import DeadlineMoved
from services.cases.models import CalendarDayRow, CalendarYearRow, CaseRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands.cases import (
    CalendarYear,
    LoadCalendar,
    LoadedCalendar,
    ReadCalendar,
)
from services.contracts.errors import Invalid

_SATURDAY = 5
_SPARSE = 5
"""A notice with fewer days off on weekdays than this cannot be a whole year's."""

_BATCH = 500


def load(uow: UnitOfWork, command: LoadCalendar) -> LoadedCalendar:
    """Replace a year by its notice; open limits are recomputed, each move with its trace."""
    _check(command)
    uow.session.execute(
        delete(CalendarDayRow).where(extract("year", CalendarDayRow.day) == command.year)
    )
    uow.session.execute(delete(CalendarYearRow).where(CalendarYearRow.year == command.year))
    uow.session.execute(
        insert(CalendarYearRow).values(year=command.year, source=command.source.strip())
    )
    rows = [{"day": day, "working": False} for day in set(command.off)]
    rows += [{"day": day, "working": True} for day in set(command.work)]
    uow.session.execute(insert(CalendarDayRow), rows)
    moved = _move_limits(uow, f"载入{command.year}年放假安排：{command.source}")
    uow.audit("calendar.loaded", "calendar", command.year, source=command.source, moved=moved)
    return LoadedCalendar(calendar=read(uow, ReadCalendar(year=command.year)), moved=moved)


def _move_limits(uow: UnitOfWork, reason: str) -> int:
    """Recompute the limit of every case that has one running; how many moved."""
    running = uow.session.scalars(
        select(CaseRow.id).where(CaseRow.due_on.is_not(None)).order_by(CaseRow.id)
    ).all()
    today, moved = uow.today(), 0
    for start in range(0, len(running), _BATCH):
        opened = casework.load_many(uow, running[start : start + _BATCH])
        changed = []
        for each in opened:
            limit = each.case.limit(each.calendar, today)
            was = each.row.due_on
            if limit and was and limit.due.day != was:
                trace = DeadlineMoved(
                    on=today,
                    by=uow.actor.id,
                    by_name=uow.actor.name,
                    was=was,
                    now=limit.due.day,
                    reason=reason,
                )
                changed.append((each, each.case.plus(trace)))
            elif limit and limit.due.provisional != each.row.due_provisional:
                changed.append((each, each.case))
        casework.keep_all(uow, changed)
        moved += sum(len(after.facts) > len(each.case.facts) for each, after in changed)
    return moved


def _check(command: LoadCalendar) -> None:
    """A notice names weekdays off and weekend days worked, of its own year."""
    if not command.source.strip():
        raise Invalid("没有写明来源", field="source", advice="请填写国务院办公厅通知的文号")
    for field, days in (("off", command.off), ("work", command.work)):
        for index, day in enumerate(days):
            if day.year != command.year:
                raise Invalid(
                    f"{day} 不在 {command.year} 年",
                    field=f"{field}[{index}]",
                    advice="一次只载入一年的安排",
                )
    for index, day in enumerate(command.work):
        if day.weekday() < _SATURDAY:
            raise Invalid(
                f"{day} 不是周末，不会是调休上班日", field=f"work[{index}]", advice="请核对日期"
            )
    if both := set(command.off) & set(command.work):
        raise Invalid(f"{min(both)} 既放假又上班", field="work", advice="请核对日期")
    weekdays_off = {day for day in command.off if day.weekday() < _SATURDAY}
    if len(weekdays_off) < _SPARSE:
        raise Invalid(
            f"{command.year} 年只有 {len(weekdays_off)} 个工作日放假，安排不完整",
            field="off",
            advice="请载入全年的放假安排",
        )


def read(uow: UnitOfWork, query: ReadCalendar) -> CalendarYear:
    """A year as it stands, and how many working days it has."""
    loaded = uow.session.get(CalendarYearRow, query.year)
    calendar = working_calendar.current(uow, date(query.year, 1, 1))
    if loaded:
        status, source = "published", loaded.source
    elif query.year in calendar.statutory:
        status, source = "provisional", "全国年节及纪念日放假办法（通知未公布，暂定）"
    else:
        return CalendarYear(
            year=query.year, status="unknown", source="", off=(), work=(), working_days=None
        )
    first = date(query.year, 1, 1)
    days = [first + timedelta(days=n) for n in range((date(query.year + 1, 1, 1) - first).days)]
    worked = [day for day in days if calendar.is_working(day)]
    return CalendarYear(
        year=query.year,
        status=status,
        source=source,
        off=tuple(d for d in days if d.weekday() < _SATURDAY and d not in set(worked)),
        work=tuple(day for day in worked if day.weekday() >= _SATURDAY),
        working_days=len(worked),
    )
