"""Cases in the database: loaded as their facts, kept as one fact more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.cases import catalogue, working_calendar
from services.cases.domain.calendar import Calendar
from services.cases.domain.case import FINAL, Case, State
from services.cases.domain.deadlines import warns_from
from services.cases.domain.facts import AnyFact, read_fact
from services.cases.models import CaseRow, FactRow, NoticeRow, SerialRow
from services.chassis.uow import UnitOfWork
from services.contracts.divisions import county
from services.contracts.errors import NotFound
from services.contracts.events.cases import CaseClosed


@dataclass(frozen=True)
class Opened:
    """A case in hand: its row, its facts as the domain sees them, the calendar for its limits."""

    row: CaseRow
    case: Case
    calendar: Calendar


def load(uow: UnitOfWork, case_id: UUID, *, to_change: bool = True) -> Opened:
    """The case, locked when it is to be changed. Refused outside the actor's divisions."""
    found = load_many(uow, [case_id], to_change=to_change)
    if not found:
        raise NotFound("没有这个案件", field="case_id", advice="请核对受理编号")
    uow.require(found[0].row.division)
    return found[0]


def load_many(uow: UnitOfWork, case_ids: Sequence[UUID], *, to_change: bool = True) -> list[Opened]:
    """Cases with their facts in two statements, in the order of their ids."""
    wanted = select(CaseRow).where(CaseRow.id.in_(case_ids)).order_by(CaseRow.id)
    if to_change:
        wanted = wanted.with_for_update()
    rows = uow.session.scalars(wanted.execution_options(populate_existing=True)).all()
    if not rows:
        return []
    facts: dict[UUID, list[AnyFact]] = {row.id: [] for row in rows}
    stored = select(FactRow.case_id, FactRow.body).where(FactRow.case_id.in_(facts))
    for case_id, body in uow.session.execute(stored.order_by(FactRow.case_id, FactRow.number)):
        facts[case_id].append(read_fact(body))
    calendar = working_calendar.current(uow, min(row.applied_on for row in rows))
    return [Opened(row, as_case(row, facts[row.id]), calendar) for row in rows]


def as_case(row: CaseRow, facts: Sequence[AnyFact]) -> Case:
    """The case of a row under the rule in force when it was applied for."""
    item = catalogue.item(row.item)
    route = catalogue.route(item, row.route)
    rule = catalogue.policies().rule(row.item, row.route, row.division, row.applied_on)
    return Case(item, route, rule, row.division, tuple(facts), row.minor)


def keep(uow: UnitOfWork, opened: Opened, after: Case) -> CaseRow:
    """Write the new facts of a case and what follows from them."""
    keep_all(uow, [(opened, after)])
    return opened.row


def keep_all(uow: UnitOfWork, changed: Sequence[tuple[Opened, Case]]) -> None:
    """As ``keep`` for many cases, set-based; takes notices down, tells the bureaus of closings."""
    if not changed:
        return
    today = uow.today()
    new_facts = [
        fact_values(opened.row.id, number, fact)
        for opened, after in changed
        for number, fact in enumerate(after.facts[len(opened.case.facts) :], len(opened.case.facts))
    ]
    if new_facts:
        uow.session.execute(insert(FactRow), new_facts)
    for opened, after in changed:
        row, values = opened.row, row_values(after, opened.calendar, today)
        if (values["due_kind"], values["due_on"]) == (row.due_kind, row.due_on):
            values["told"] = row.told
        for name, value in values.items():
            setattr(row, name, value)
        row.version += 1
    uow.session.flush()
    lowered = [
        opened.row.id
        for opened, after in changed
        if opened.case.open_notice and not after.open_notice
    ]
    if lowered:
        uow.session.execute(
            update(NoticeRow)
            .where(NoticeRow.case_id.in_(lowered), NoticeRow.taken_down_on.is_(None))
            .values(taken_down_on=today)
        )
    uow.emit(
        *[
            closed_event(opened.row, after, today)
            for opened, after in changed
            if after.state in FINAL and opened.case.state not in FINAL
        ]
    )


def add(uow: UnitOfWork, values: dict[str, Any], case: Case, calendar: Calendar) -> CaseRow:
    """A new case with its first facts."""
    row = CaseRow(**values, **row_values(case, calendar, uow.today()), version=1)
    uow.session.add(row)
    uow.session.flush()
    uow.session.execute(
        insert(FactRow),
        [fact_values(row.id, number, fact) for number, fact in enumerate(case.facts)],
    )
    return row


def fact_values(case_id: UUID, number: int, fact: AnyFact) -> dict[str, Any]:
    """A fact as it is stored."""
    body = msgspec.to_builtins(fact)
    return {"case_id": case_id, "number": number, "kind": body["type"], "body": body}


def row_values(case: Case, calendar: Calendar, today: date) -> dict[str, Any]:
    """The columns of a case's row that follow from its facts."""
    limit = case.limit(calendar, today)
    decision, notice, opinion = case.decision, case.open_notice, case.opinion
    grants = decision.grants if decision else opinion.grants if opinion else ()
    return {
        "state": case.state.value,
        "current": [code.value for code in case.current],
        "outcome": case.outcome.value if case.outcome else None,
        "accepted_on": case.accepted_on,
        "decided_on": decision.on if decision else None,
        "due_kind": limit.kind if limit else None,
        "due_on": limit.due.day if limit else None,
        "warn_on": warns_from(calendar, limit.due.day, case.rule.warn_before) if limit else None,
        "due_provisional": bool(limit and limit.due.provisional),
        "told": None,
        "notice_until": notice.until if notice else None,
        "objection_open": case.state is State.IN_PROGRESS and case.open_objection is not None,
        "returned": case.bounced is not None,
        "amount_fen": sum(grant.amount_fen for grant in grants) if grants else None,
        "decision_id": decision.decision_id if decision else None,
        "document_no": decision.document_no if decision else None,
    }


def closed_event(row: CaseRow, case: Case, on: date) -> CaseClosed:
    """办结, for the bureaus: that it ended and how, nothing about means."""
    outcome = case.outcome.value if case.outcome else "withdrawn"
    if case.state is State.NOT_ACCEPTED:
        outcome = "refused"
    return CaseClosed(
        case_id=row.id,
        case_no=row.case_no,
        item=row.item,
        applicant_person_id=row.applicant_id,
        division=row.division,
        outcome=outcome,
        closed_on=on,
        child=row.child,
    )


def next_numbers(uow: UnitOfWork, series: str, count: int = 1) -> range:
    """The next ``count`` numbers of a series; gaps only where a transaction failed."""
    statement = upsert(SerialRow).values(series=series, last=count)
    last = uow.session.scalar(
        statement.on_conflict_do_update(
            index_elements=[SerialRow.series], set_={"last": SerialRow.last + count}
        ).returning(SerialRow.last)
    )
    assert last is not None
    return range(last - count + 1, last + 1)


def case_numbers(uow: UnitOfWork, division: str, count: int = 1) -> list[str]:
    """受理编号: county, year, number in the year: 421083-2026-000123."""
    series = f"{county(division)}-{uow.today().year}"
    return [f"{series}-{number:06d}" for number in next_numbers(uow, series, count)]
