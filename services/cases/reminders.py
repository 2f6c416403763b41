"""限时办结: a word before a limit, on its day, and up the line once it has passed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, update

from services.cases import catalogue
from services.cases.domain.judgment import LEVEL_ROLES
from services.cases.models import CaseRow, Staff
from services.chassis.uow import UnitOfWork
from services.contracts.divisions import within
from services.contracts.events.cases import DeadlineNeared

NEAR, DUE, OVERDUE = "near", "due", "overdue"
STEP_NAMES = {"decide": "办结", "papers": "补齐手续", "tell": "书面告知"}
_BATCH = 500


def remind(uow: UnitOfWork) -> None:
    """Tell officers of limits that near, fall today or have passed; each stage once (timer)."""
    today = uow.today()
    stages: list[tuple[str, ColumnElement[bool]]] = [
        (OVERDUE, and_(CaseRow.due_on < today, _not_told(OVERDUE))),
        (DUE, and_(CaseRow.due_on == today, _not_told(DUE, OVERDUE))),
        (NEAR, and_(CaseRow.warn_on <= today, CaseRow.due_on > today, _not_told(NEAR, DUE))),
    ]
    for stage, reached in stages:
        rows = uow.session.scalars(
            select(CaseRow)
            .where(CaseRow.due_on.is_not(None), reached)
            .order_by(CaseRow.id)
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        if not rows:
            continue
        uow.session.execute(
            update(CaseRow)
            .where(CaseRow.id.in_([row.id for row in rows]))
            .values(told=stage)
            .execution_options(synchronize_session=False)
        )
        uow.emit(*[_reminder(row, stage, row.first_officer_id, "") for row in rows])
        if stage == OVERDUE:
            _escalate(uow, rows)


def _not_told(*stages: str) -> ColumnElement[bool]:
    return or_(CaseRow.told.is_(None), CaseRow.told.not_in(stages))


def _reminder(row: CaseRow, stage: str, officer_id: UUID | None, to: str) -> DeadlineNeared:
    assert row.due_on is not None
    assert row.due_kind is not None
    return DeadlineNeared(
        notice_id=f"{row.id}/{row.due_kind}/{row.due_on.isoformat()}/{stage}{to}",
        case_id=row.id,
        case_no=row.case_no,
        division=row.division,
        step=STEP_NAMES[row.due_kind],
        stage=stage,
        due_on=row.due_on,
        officer_id=officer_id,
    )


def _escalate(uow: UnitOfWork, rows: Sequence[CaseRow]) -> None:
    """An overdue case goes to whoever decides it there, beside its first officer."""
    deciders = uow.session.scalars(
        select(Staff)
        .where(Staff.active, Staff.roles.overlap([role.value for role in LEVEL_ROLES.values()]))
        .order_by(Staff.staff_no)
    ).all()
    for row in rows:
        rule = catalogue.policies().rule(row.item, row.route, row.division, row.applied_on)
        role = LEVEL_ROLES[rule.decides].value
        responsible = [
            (len(scope), staff)
            for staff in deciders
            if role in staff.roles
            for scope in staff.scopes
            if within(row.division, scope)
        ]
        if responsible:
            nearest = max(responsible, key=lambda found: found[0])[1]
            uow.emit(_reminder(row, OVERDUE, nearest.staff_id, "/up"))
