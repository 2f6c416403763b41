"""A case as the edge shows it: step bar, timeline in words, limits, working of the amount."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select

from services.cases import casework, catalogue, people_at_hand, timeline
from services.cases.casework import Opened
from services.cases.documents.letters import TITLES, available
from services.cases.domain import facts as f
from services.cases.domain.calendar import Calendar
from services.cases.domain.case import OUTCOME_LABELS, STATE_LABELS, Case, State
from services.cases.domain.catalogue import Material, StepCode
from services.cases.domain.deadlines import limit_ends, urgency
from services.cases.domain.judgment import LEVEL_LABELS
from services.cases.models import CaseRow, FactRow, NoticeRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands import cases as c
from services.contracts.divisions import town


@dataclass(frozen=True)
class Names:
    """The names a page needs, looked up at once."""

    people: dict[UUID, str]
    staff: dict[UUID, str]
    places: dict[str, str]

    def place(self, division: str) -> str:
        """Town and village."""
        return people_at_hand.full_name(self.places, division)

    def actor(self, actor_id: str, fallback: str) -> str:
        """Somebody who acted, by today's name or the one then."""
        if actor_id.startswith("system:"):
            return fallback or "系统"
        return self.staff.get(UUID(actor_id)) or fallback or "工作人员"


def read(uow: UnitOfWork, case_id: UUID) -> c.CaseView:
    """The case, whole."""
    return show(uow, casework.load(uow, case_id, to_change=False))


def show(uow: UnitOfWork, opened: Opened) -> c.CaseView:
    """The case at hand, whole."""
    row, case, calendar = opened.row, opened.case, opened.calendar
    today = uow.today()
    names = _names(uow, row, case)
    times = dict(
        uow.session.execute(
            select(FactRow.number, FactRow.at).where(FactRow.case_id == row.id)
        ).all()
    )
    return c.CaseView(
        case_id=row.id,
        case_no=row.case_no,
        item=row.item,
        item_name=case.item.name,
        route=row.route,
        route_name=case.route.name,
        kind=row.kind,
        state=case.state.value,
        state_label=STATE_LABELS[case.state],
        outcome=case.outcome.value if case.outcome else None,
        outcome_label=OUTCOME_LABELS[case.outcome] if case.outcome else None,
        division=row.division,
        division_name=names.place(row.division),
        town_name=names.place(town(row.division)),
        household_id=row.household_id,
        applicant_id=row.applicant_id,
        applicant_name=names.people.get(row.applicant_id, ""),
        members=len(_covered(case)) or len(row.person_ids),
        asked=_asked(case, names),
        single_person=case.single_person,
        circumstance=_circumstance(case),
        first_officer_id=row.first_officer_id,
        first_officer_name=names.staff.get(row.first_officer_id, "")
        if row.first_officer_id
        else "",
        applied_on=row.applied_on,
        accepted_on=row.accepted_on,
        decided_by=LEVEL_LABELS[case.rule.decides],
        deadline=_deadline(case, calendar, today),
        steps=_steps(case, calendar, today),
        current=tuple(code.value for code in case.current),
        timeline=_timeline(case, times, names),
        materials=tuple(
            material_view(material, material.code in case.materials)
            for material in case.item.materials
        ),
        missing=tuple(m.name for m in case.item.missing(case.materials, strict=True)),
        income_fen=case.income_fen,
        quote=_quote(case),
        objections=_objections(case),
        notice=_notice(uow, row, names),
        decision=_decision(case, names),
        letters=tuple(
            c.LetterView(code=each.value, title=TITLES[each]) for each in available(case)
        ),
        needs_county_visit=case.needs_county_visit and not case.last(f.CountyVisited),
        child=row.child,
        version=row.version,
    )


def lines(uow: UnitOfWork, rows: Sequence[CaseRow], calendar: Calendar) -> tuple[c.CaseLine, ...]:
    """Cases as a list shows them: three look-ups however long the list."""
    today = uow.today()
    people = people_at_hand.names(uow, [row.applicant_id for row in rows])
    staff = people_at_hand.staff_names(
        uow, [row.first_officer_id for row in rows if row.first_officer_id]
    )
    places = people_at_hand.places(uow, [row.division for row in rows])
    return tuple(_line(row, calendar, today, Names(people, staff, places)) for row in rows)


def _line(row: CaseRow, calendar: Calendar, today: date, names: Names) -> c.CaseLine:
    item = catalogue.item(row.item)
    route = catalogue.route(item, row.route)
    outcome = f.Outcome(row.outcome) if row.outcome else None
    rule = catalogue.policies().rule(row.item, row.route, row.division, row.applied_on)
    near = urgency(calendar, row.due_on, today, rule.warn_before) if row.due_on else None
    return c.CaseLine(
        case_id=row.id,
        case_no=row.case_no,
        item=row.item,
        item_name=item.name,
        route_name=route.name,
        state=row.state,
        state_label=STATE_LABELS[State(row.state)],
        outcome=row.outcome,
        outcome_label=OUTCOME_LABELS[outcome] if outcome else None,
        current=tuple(row.current),
        step_names=tuple(step.name for step in route.steps if step.code.value in row.current),
        division=row.division,
        division_name=names.place(row.division),
        applicant_id=row.applicant_id,
        applicant_name=names.people.get(row.applicant_id, ""),
        household_id=row.household_id,
        first_officer_name=names.staff.get(row.first_officer_id, "")
        if row.first_officer_id
        else "",
        applied_on=row.applied_on,
        due_on=row.due_on,
        urgency=near.value if near else None,
        working_days_left=calendar.between(today, row.due_on) if row.due_on else None,
        amount_fen=row.amount_fen,
    )


def material_view(material: Material, present: bool) -> c.MaterialView:
    """A paper, and whether it came in."""
    return c.MaterialView(
        code=material.code,
        name=material.name,
        copies=material.copies,
        form=material.form,
        required=material.required,
        shared=material.shared,
        tolerable=material.tolerable,
        note=material.note,
        present=present,
    )


def _names(uow: UnitOfWork, row: CaseRow, case: Case) -> Names:
    actors = {fact.by for fact in case.facts if not fact.by.startswith("system:")}
    staff = {UUID(each) for each in actors | case.investigators}
    if row.first_officer_id:
        staff.add(row.first_officer_id)
    return Names(
        people_at_hand.names(uow, {*row.person_ids, row.applicant_id, *_covered(case)}),
        people_at_hand.staff_names(uow, staff),
        people_at_hand.places(uow, [row.division]),
    )


def _covered(case: Case) -> set[UUID]:
    carried = case.last(f.CarriedOver)
    return {p for asked in case.asked for p in asked.covered} | set(
        carried.covered if carried else ()
    )


def _asked(case: Case, names: Names) -> tuple[c.AskedView, ...]:
    asked = case.asked
    if carried := case.last(f.CarriedOver):
        asked = tuple(
            f.Asked(benefit=grant.benefit, covered=carried.covered) for grant in carried.grants
        )
    return tuple(
        c.AskedView(
            benefit=each.benefit,
            benefit_name=catalogue.benefits()[each.benefit].name,
            covered_ids=each.covered,
            covered_names=tuple(names.people.get(person, "") for person in each.covered),
            asked_fen=each.asked_fen,
        )
        for each in asked
    )


def _circumstance(case: Case) -> str:
    if registered := case.last(f.Registered):
        return registered.circumstance
    review = case.last(f.ReviewOpened)
    return review.reason if review else ""


def _deadline(case: Case, calendar: Calendar, today: date) -> c.DeadlineView | None:
    limit = case.limit(calendar, today)
    if limit is None:
        return None
    due, left = limit.due.day, calendar.between(today, limit.due.day)
    near = urgency(calendar, due, today, case.rule.warn_before)
    return c.DeadlineView(
        kind=limit.kind,
        due_on=due,
        working_days_left=left,
        urgency=near.value,
        provisional=limit.due.provisional,
        extended=case.last(f.Extended) is not None,
        words=_words(due, left, limit.due.provisional),
    )


def _words(due: date, left: int, provisional: bool) -> str:
    """剩 3 个工作日（10月30日前）."""
    day = f"{due.month}月{due.day}日"
    mark = "，暂定" if provisional else ""
    if left < 0:
        return f"已超期 {-left} 个工作日（应于{day}前{mark}）"
    return f"今日到期（{day}{mark}）" if left == 0 else f"剩 {left} 个工作日（{day}前{mark}）"


def _steps(case: Case, calendar: Calendar, today: date) -> tuple[c.StepView, ...]:
    shown = []
    for status in case.step_bar():
        step, start_by, due = status.step, None, None
        if status.since:
            if step.start_within:
                start_by = limit_ends(calendar, status.since, step.start_within, (), today).day
            if step.within:
                due = limit_ends(calendar, status.since, step.within, (), today).day
            if step.code is StepCode.PUBLICITY and case.open_notice:
                due = case.open_notice.until
            if step.code is StepCode.PAPERS and (papers := case.papers_due(calendar)):
                due = papers.day
        shown.append(
            c.StepView(
                code=step.code.value,
                name=step.name,
                state=status.state.value,
                by=LEVEL_LABELS[case.rule.decides] if step.code is StepCode.DECISION else step.by,
                article=step.article,
                on=status.on,
                start_by=start_by,
                due_on=due,
            )
        )
    return tuple(shown)


def _timeline(case: Case, times: dict[int, datetime], names: Names) -> tuple[c.TimelineLine, ...]:
    listed = {material.code: material.name for material in case.item.materials}
    return tuple(
        c.TimelineLine(
            number=number,
            on=fact.on,
            at=times[number],
            kind=timeline.kind(fact),
            title=timeline.title(fact),
            detail=timeline.detail(fact, listed, names.staff),
            by=names.actor(fact.by, fact.by_name),
        )
        for number, fact in enumerate(case.facts)
        if number in times
    )


def _quote(case: Case) -> c.QuoteView | None:
    quote = case.quote
    if quote is None:
        return None
    return c.QuoteView(
        quote_id=quote.quote_id,
        round=quote.round,
        benefits=quote.benefits,
        obstacles=quote.obstacles,
        total_fen=sum(benefit.amount_fen for benefit in quote.benefits),
    )


def _objections(case: Case) -> tuple[c.ObjectionView, ...]:
    answers = {answer.number: answer for answer in case.every(f.ObjectionResolved)}
    shown = []
    for raised in case.every(f.ObjectionRaised):
        answer = answers.get(raised.number)
        shown.append(
            c.ObjectionView(
                number=raised.number,
                on=raised.on,
                content=raised.content,
                complaint=raised.complaint,
                resolved_on=answer.on if answer else None,
                upheld=answer.upheld if answer else None,
                finding=answer.finding if answer else None,
            )
        )
    return tuple(shown)


def _notice(uow: UnitOfWork, row: CaseRow, names: Names) -> c.NoticeView | None:
    newest = uow.session.scalars(
        select(NoticeRow)
        .where(NoticeRow.case_id == row.id)
        .order_by(NoticeRow.opens_on.desc(), NoticeRow.id.desc())
        .limit(1)
    ).first()
    return notice_view(newest, names.places) if newest else None


def _decision(case: Case, names: Names) -> c.DecisionView | None:
    if carried := case.last(f.CarriedOver):
        return c.DecisionView(
            decision_id=carried.decision_id,
            document_no=carried.document_no,
            outcome=f.Outcome.GRANTED.value,
            outcome_label="存量结转",
            grants=_grants(carried.grants),
            reason="",
            by="原审批机关",
            on=carried.on,
        )
    decision = case.decision
    if decision is None:
        return None
    returned = case.bounced
    return c.DecisionView(
        decision_id=decision.decision_id,
        document_no=decision.document_no,
        outcome=decision.outcome.value,
        outcome_label=OUTCOME_LABELS[decision.outcome],
        grants=_grants(decision.grants),
        reason=decision.reason,
        by=names.actor(decision.by, decision.by_name),
        on=decision.on,
        corrects=decision.corrects if isinstance(decision, f.Corrected) else None,
        returned=f"{returned.reason}（{returned.clause}）" if returned else None,
    )


def _grants(grants: Sequence[f.Grant]) -> tuple[c.Grant, ...]:
    return tuple(c.Grant(benefit=g.benefit, amount_fen=g.amount_fen) for g in grants)


def notice_view(row: NoticeRow, known: dict[str, str]) -> c.NoticeView:
    """A notice as shown."""
    return c.NoticeView(
        notice_id=row.id,
        item_name=catalogue.item(row.item).name,
        place_name=people_at_hand.full_name(known, row.division),
        applicant_name=row.applicant_name,
        members=row.members,
        amount_fen=row.amount_fen,
        opens_on=row.opens_on,
        closes_on=row.closes_on,
        taken_down_on=row.taken_down_on,
    )
