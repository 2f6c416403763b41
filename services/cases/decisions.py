"""审核确认: decisions, their correction, urgent papers, 告知, and what funding says of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import exists, or_, select

from services.cases import casework, catalogue, people_at_hand, views
from services.cases.casework import Opened
from services.cases.domain import facts as f
from services.cases.domain import judgment
from services.cases.domain.case import Case
from services.cases.domain.catalogue import AmountFrom, CaseKind
from services.cases.models import CaseRow, DeathTold, LockedMonth, Person
from services.chassis.uow import UnitOfWork
from services.contracts.commands.cases import (
    CaseView,
    CompletePapers,
    CorrectDecision,
    Decide,
    Grant,
    ServeDecision,
)
from services.contracts.divisions import county
from services.contracts.errors import Conflict
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.contracts.events.funding import EntitlementRefused
from services.contracts.ids import new_id

ONE_OFF, APPLICATION_MONTH = "one_off", "application_month"


def decide(uow: UnitOfWork, command: Decide) -> CaseView:
    """The decision: by the right body, by somebody who took no part, once."""
    opened = casework.load(uow, command.case_id)
    if command.outcome in (f.Outcome.GRANTED.value, f.Outcome.CHANGED.value):
        _refuse_for_the_dead(uow, opened)
    after = judgment.decide(
        opened.case,
        uow.actor,
        uow.today(),
        opened.calendar,
        decision_id=new_id(),
        document_no=command.document_no or document_number(uow, opened.row.division),
        outcome=f.Outcome(command.outcome),
        grants=_grants(command.grants),
        reason=command.reason,
        late_reason=command.late_reason,
    )
    return _decided(uow, opened, after)


def correct(uow: UnitOfWork, command: CorrectDecision) -> CaseView:
    """A wrong decision put right before anything was paid on it."""
    opened = casework.load(uow, command.case_id)
    after = judgment.correct(
        opened.case,
        uow.actor,
        uow.today(),
        decision_id=new_id(),
        document_no=command.document_no or document_number(uow, opened.row.division),
        outcome=f.Outcome(command.outcome),
        grants=_grants(command.grants),
        reason=command.reason,
        paid=is_paid(uow, opened),
    )
    return _decided(uow, opened, after)


def _refuse_for_the_dead(uow: UnitOfWork, opened: Opened) -> None:
    """Nothing is granted for somebody who died meanwhile: the amount was worked out with them.

    A sum that the decider sets (临时救助) goes to those who live.
    """
    if opened.case.route.amount is not AmountFrom.QUOTE:
        return
    covered = {person for asked in opened.case.asked for person in asked.covered}
    dead = uow.session.scalars(
        select(Person.name).where(
            Person.person_id.in_(covered),
            or_(
                Person.deceased_on.is_not(None),
                Person.person_id.in_(select(DeathTold.person_id).where(~DeathTold.revoked)),
            ),
        )
    ).all()
    if dead:
        raise Conflict(
            f"保障对象{'、'.join(sorted(dead))}已死亡登记，不能确认",
            field="case_id",
            advice="请终止本案，由家庭按现有人口重新申请；死亡登记有误的由公安机关撤销",
            reason="covered_died",
        )


def _grants(given: Sequence[Grant]) -> list[f.Grant]:
    return [f.Grant(benefit=grant.benefit, amount_fen=grant.amount_fen) for grant in given]


def _decided(uow: UnitOfWork, opened: Opened, after: Case) -> CaseView:
    row = casework.keep(uow, opened, after)
    uow.emit(decided_event(uow, row, after))
    decision = after.decision
    assert decision is not None
    uow.audit(
        "case.corrected" if isinstance(decision, f.Corrected) else "case.decided",
        "case",
        row.id,
        case_no=row.case_no,
        outcome=decision.outcome.value,
        document_no=decision.document_no,
    )
    return views.read(uow, row.id)


def decided_event(uow: UnitOfWork, row: CaseRow, case: Case) -> CaseDecided:
    """The decision that stands, as funding needs it to put it into effect."""
    decision = case.decision
    assert decision is not None
    corrects = decision.corrects if isinstance(decision, f.Corrected) else None
    basis = "correction" if corrects else "application"
    if case.item.kind is CaseKind.REVIEW and not corrects:
        basis = "review"
    return CaseDecided(
        decision_id=decision.decision_id,
        decision_no=decision.document_no,
        case_id=row.id,
        case_no=row.case_no,
        item=row.item,
        basis=basis,
        outcome=decision.outcome.value,
        household_id=row.household_id,
        applicant_person_id=row.applicant_id,
        division=row.division,
        decided_on=decision.on,
        applied_on=row.applied_on,
        reason=decision.reason or None,
        benefits=_benefits(uow, row, case, decision),
        involved=tuple(sorted(UUID(each) for each in case.involved if _is_staff(each))),
        corrects=corrects,
        child=row.child,
    )


def _benefits(
    uow: UnitOfWork, row: CaseRow, case: Case, decision: f.Decided | f.Corrected
) -> tuple[BenefitGranted, ...]:
    """What is granted, or (a review that ends) which benefits it is about."""
    amounts = {grant.benefit: grant.amount_fen for grant in decision.grants}
    if decision.outcome is f.Outcome.ENDED:
        amounts = {asked.benefit: 0 for asked in case.asked}
    quote = case.quote
    granted = []
    for asked in case.asked:
        if asked.benefit not in amounts:
            continue
        first = first_month(asked.benefit, row.applied_on, decision.on)
        granted.append(
            BenefitGranted(
                benefit=asked.benefit,
                covered_person_ids=_living(uow, asked.covered),
                payee_person_id=people_at_hand.payee(
                    uow, row.household_id, asked.covered, decision.on
                ),
                amount_fen=amounts[asked.benefit],
                from_month=first,
                urgent=case.route.urgent,
                counted_income_fen=case.income_fen,
                single_person=case.single_person,
                quote_id=quote.quote_id if quote else None,
            )
        )
    return tuple(granted)


def _living(uow: UnitOfWork, covered: Sequence[UUID]) -> tuple[UUID, ...]:
    """Those still alive; all of them when nobody is, so that an ending names its people."""
    dead = set(
        uow.session.scalars(
            select(Person.person_id).where(
                Person.person_id.in_(covered), Person.deceased_on.is_not(None)
            )
        )
    )
    return tuple(person for person in covered if person not in dead) or tuple(covered)


def first_month(benefit: str, applied_on: date, decided_on: date) -> date | None:
    """The first day of the first month owed; ``None`` for a one-off.

    两项补贴 count from the month of application (国发〔2015〕52号), the others from the month
    after the decision (办法第二十一条).
    """
    counts_from = catalogue.benefits()[benefit].counts_from
    if counts_from == ONE_OFF:
        return None
    if counts_from == APPLICATION_MONTH:
        return applied_on.replace(day=1)
    year, month = divmod(decided_on.year * 12 + decided_on.month, 12)
    return date(year, month + 1, 1)


def is_paid(uow: UnitOfWork, opened: Opened) -> bool:
    """Whether payments that rest on the decision were locked, as far as cases was told.

    An urgent grant is paid with the decision; a monthly one once its first month is locked.
    """
    decision = opened.case.decision
    if decision is None or decision.outcome is not f.Outcome.GRANTED:
        return False
    if opened.case.route.urgent:
        return True
    months = [
        first_month(grant.benefit, opened.row.applied_on, decision.on) for grant in decision.grants
    ]
    owed = [month for month in months if month]
    if not owed:
        return False
    locked = select(LockedMonth.month).where(
        LockedMonth.division == county(opened.row.division), LockedMonth.month >= min(owed)
    )
    return bool(uow.session.scalar(select(exists(locked))))


def document_number(uow: UnitOfWork, division: str) -> str:
    """决定文号: 洪湖市民救〔2026〕12号."""
    known = people_at_hand.places(uow, [county(division)])
    year = uow.today().year
    number = casework.next_numbers(uow, f"document-{county(division)}-{year}")[0]
    return f"{known.get(county(division), county(division))}民救〔{year}〕{number}号"


def complete_papers(uow: UnitOfWork, command: CompletePapers) -> CaseView:
    """补齐手续 after an urgent grant."""
    opened = casework.load(uow, command.case_id)
    after = judgment.complete_papers(
        opened.case,
        uow.actor,
        uow.today(),
        materials=command.materials,
        finding=command.finding,
        signed=command.signed,
    )
    row = casework.keep(uow, opened, after)
    uow.audit("case.papers_completed", "case", row.id, case_no=row.case_no)
    return views.read(uow, row.id)


def serve(uow: UnitOfWork, command: ServeDecision) -> CaseView:
    """告知: the applicant has it in hand."""
    opened = casework.load(uow, command.case_id)
    after = judgment.tell(opened.case, uow.actor, uow.today(), command.way)
    row = casework.keep(uow, opened, after)
    uow.audit("case.served", "case", row.id, case_no=row.case_no)
    return views.read(uow, row.id)


def refused_by_funding(uow: UnitOfWork, events: Sequence[EntitlementRefused]) -> None:
    """A decision that could not take effect comes back to the desk, to be corrected."""
    by_case: dict[UUID, list[EntitlementRefused]] = {}
    for event in events:
        by_case.setdefault(event.case_id, []).append(event)
    changed = []
    for opened in casework.load_many(uow, list(by_case)):
        after = opened.case
        for event in by_case[opened.row.id]:
            after = after.plus(
                f.GrantRefused(
                    on=uow.today(),
                    by="system:funding",
                    by_name="资金服务",
                    decision_id=event.decision_id,
                    benefit=event.benefit,
                    reason=event.reason,
                    clause=event.clause or "",
                )
            )
        changed.append((opened, after))
    casework.keep_all(uow, changed)


def _is_staff(actor_id: str) -> bool:
    return not actor_id.startswith("system:")
