"""Finding out: 调查, 核对, 测算, 初审, 残联审核, and the one extension."""

from __future__ import annotations

from collections.abc import Sequence

from services.cases import casework, people_at_hand, views
from services.cases.casework import Opened
from services.cases.domain import facts as f
from services.cases.domain import inquiry
from services.cases.domain.case import Case, State
from services.chassis.uow import UnitOfWork
from services.contracts.commands.cases import (
    CaseView,
    ExtendDeadline,
    FederationReview,
    GiveOpinion,
    RecordCountyVisit,
    RecordInvestigation,
    RecordMeansCheck,
    RequestAssessment,
)
from services.contracts.events.cases import (
    AssessmentRequested,
    BenefitAsked,
    DeadlineExtended,
    Means,
)
from services.contracts.events.funding import EntitlementQuoted


def investigate(uow: UnitOfWork, command: RecordInvestigation) -> CaseView:
    """调查: those named are in post, two at least, and all signed."""
    people_at_hand.check_staff(uow, command.investigators, field="investigators")
    opened = casework.load(uow, command.case_id)
    after = inquiry.investigate(
        opened.case,
        uow.actor,
        uow.today(),
        investigators=command.investigators,
        signed_by=command.signed_by,
        household_signed=command.household_signed,
        finding=command.finding,
        income_fen=command.income_fen,
    )
    return _kept(uow, opened, after, "case.investigated")


def county_visit(uow: UnitOfWork, command: RecordCountyVisit) -> CaseView:
    """The county's own visit to the home."""
    people_at_hand.check_staff(uow, command.visitors, field="visitors")
    opened = casework.load(uow, command.case_id)
    after = inquiry.county_visit(
        opened.case, uow.actor, uow.today(), command.visitors, command.finding
    )
    return _kept(uow, opened, after, "case.county_visited")


def check_means(uow: UnitOfWork, command: RecordMeansCheck) -> CaseView:
    """核对: the report came."""
    opened = casework.load(uow, command.case_id)
    after = inquiry.check_means(
        opened.case,
        uow.actor,
        uow.today(),
        report_no=command.report_no,
        consistent=command.consistent,
        finding=command.finding,
        income_fen=command.income_fen,
    )
    return _kept(uow, opened, after, "case.means_checked")


def give_opinion(uow: UnitOfWork, command: GiveOpinion) -> CaseView:
    """初审意见."""
    opened = casework.load(uow, command.case_id)
    after = inquiry.give_opinion(
        opened.case,
        uow.actor,
        uow.today(),
        favourable=command.favourable,
        reason=command.reason,
        grants=[f.Grant(benefit=g.benefit, amount_fen=g.amount_fen) for g in command.grants],
    )
    return _kept(uow, opened, after, "case.opinion_given")


def review_certificate(uow: UnitOfWork, command: FederationReview) -> CaseView:
    """残联审核."""
    opened = casework.load(uow, command.case_id)
    after = inquiry.review_certificate(
        opened.case, uow.actor, uow.today(), passed=command.passed, note=command.note
    )
    return _kept(uow, opened, after, "case.federation_reviewed")


def extend(uow: UnitOfWork, command: ExtendDeadline) -> CaseView:
    """The one extension; the applicant is told the new day and why."""
    opened = casework.load(uow, command.case_id)
    ground = f.ExtensionGround(command.ground)
    after = inquiry.extend(
        opened.case, uow.actor, uow.today(), ground, command.reason, opened.calendar
    )
    row = casework.keep(uow, opened, after)
    due = after.due(opened.calendar, uow.today())
    assert due is not None
    uow.emit(
        DeadlineExtended(
            case_id=row.id,
            case_no=row.case_no,
            division=row.division,
            applicant_person_id=row.applicant_id,
            due_on=due.day,
            reason=command.reason.strip(),
        )
    )
    uow.audit("case.extended", "case", row.id, case_no=row.case_no, due_on=due.day.isoformat())
    return views.read(uow, row.id)


def request_assessment(uow: UnitOfWork, command: RequestAssessment) -> CaseView:
    """Ask funding again, e.g. when a benefit that stood in the way has ended."""
    opened = casework.load(uow, command.case_id)
    opened.case.expect(State.IN_PROGRESS)
    _ask(uow, opened)
    return views.read(uow, command.case_id)


def _kept(uow: UnitOfWork, opened: Opened, after: Case, action: str) -> CaseView:
    row = casework.keep(uow, opened, after)
    uow.audit(action, "case", row.id, case_no=row.case_no)
    ask_where_possible(uow, Opened(row, after, opened.calendar))
    return views.read(uow, row.id)


def ask_where_possible(uow: UnitOfWork, opened: Opened) -> None:
    """Ask funding once all that the amount rests on is known, and again when it changed."""
    if inquiry.wants_assessment(opened.case):
        _ask(uow, opened)


def _ask(uow: UnitOfWork, opened: Opened) -> None:
    after = inquiry.ask_assessment(opened.case, uow.actor, uow.today())
    row = casework.keep(uow, opened, after)
    question = after.last(f.AssessmentAsked)
    assert question is not None
    single = after.single_person
    uow.emit(
        AssessmentRequested(
            case_id=row.id,
            round=question.round,
            division=row.division,
            applied_on=row.applied_on,
            means=Means(
                members=len({person for asked in after.asked for person in asked.covered}),
                household_income_fen=None if single else question.income_fen,
                person_income_fen=question.income_fen if single else None,
                single_person=single,
            ),
            benefits=tuple(
                BenefitAsked(
                    benefit=asked.benefit,
                    covered_person_ids=asked.covered,
                    asked_fen=asked.asked_fen,
                )
                for asked in after.asked
            ),
            child=row.child,
        )
    )


def quoted(uow: UnitOfWork, events: Sequence[EntitlementQuoted]) -> None:
    """Keep funding's answers; one to an older question stays in the timeline but counts not."""
    by_case: dict[object, list[EntitlementQuoted]] = {}
    for event in events:
        by_case.setdefault(event.case_id, []).append(event)
    changed = []
    for opened in casework.load_many(uow, [event.case_id for event in events]):
        after = opened.case
        for event in by_case[opened.row.id]:
            if any(known.quote_id == event.quote_id for known in after.every(f.Quoted)):
                continue
            after = after.plus(
                f.Quoted(
                    on=uow.today(),
                    by="system:funding",
                    by_name="资金服务",
                    round=event.round,
                    quote_id=event.quote_id,
                    benefits=event.benefits,
                    obstacles=event.obstacles,
                )
            )
        if after is not opened.case:
            changed.append((opened, after))
    casework.keep_all(uow, changed)
