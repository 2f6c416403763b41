"""调查, 核对, 初审, 残联审核: finding out what is so, before anything is decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from services.cases.domain import facts as f
from services.cases.domain.calendar import Calendar
from services.cases.domain.case import Case, State
from services.cases.domain.catalogue import AmountFrom, CaseKind, StepCode
from services.cases.domain.entries import amount, two_different, written
from services.cases.domain.granting import grantable
from services.cases.domain.recusal import impartial
from services.contracts.actors import Actor
from services.contracts.errors import Conflict, Invalid

_INCOME_FROM = (StepCode.INVESTIGATION, StepCode.MEANS_CHECK)


def investigate(
    case: Case,
    actor: Actor,
    on: date,
    *,
    investigators: Sequence[UUID],
    signed_by: Sequence[UUID],
    household_signed: bool,
    finding: str,
    income_fen: int | None = None,
) -> Case:
    """调查: at least two, all of them and the household sign (art. 16)."""
    case.expect_step(StepCode.INVESTIGATION)
    two_different(investigators, "investigators", "调查人员")
    impartial(case, [str(person) for person in investigators], "参加调查")
    unsigned = set(investigators) - set(signed_by)
    if unsigned:
        raise Invalid(
            f"有 {len(unsigned)} 名调查人员没有签字",
            field="signed_by",
            advice="调查人员和被调查人都要签字",
            reason="unsigned",
        )
    if not household_signed:
        raise Invalid(
            "被调查人没有签字",
            field="household_signed",
            advice="调查人员和被调查人都要签字",
            reason="unsigned",
        )
    counted = amount(income_fen, "income_fen", "月收入")
    needed = case.route.amount is AmountFrom.QUOTE and case.item.kind is CaseKind.APPLICATION
    if needed and counted is None:
        raise Invalid(
            "没有填写核定月收入",
            field="income_fen",
            advice="请填写家庭（单人户为本人）核定月收入，没有收入的填 0",
        )
    return case.plus(
        f.Investigated(
            on=on,
            by=actor.id,
            by_name=actor.name,
            investigators=tuple(investigators),
            finding=written(finding, "调查情况", "finding"),
            income_fen=counted,
        )
    )


def county_visit(
    case: Case, actor: Actor, on: date, visitors: Sequence[UUID], finding: str
) -> Case:
    """The county goes to the home itself (art. 20)."""
    case.expect(State.IN_PROGRESS)
    two_different(visitors, "visitors", "入户核查人员")
    impartial(case, [str(person) for person in visitors], "入户核查")
    visited = f.CountyVisited(
        on=on,
        by=actor.id,
        by_name=actor.name,
        visitors=tuple(visitors),
        finding=written(finding, "入户核查情况", "finding"),
    )
    return case.plus(visited)


def check_means(
    case: Case,
    actor: Actor,
    on: date,
    *,
    report_no: str,
    consistent: bool,
    finding: str = "",
    income_fen: int | None = None,
) -> Case:
    """核对. A report that does not fit may be checked again on new evidence (art. 18)."""
    previous = case.last(f.MeansChecked)
    again = previous is not None and not previous.consistent and not case.done(StepCode.OPINION)
    case.expect_step(StepCode.MEANS_CHECK, again=again)
    if not consistent:
        finding = written(finding, "核对不符的情况", "finding")
    return case.plus(
        f.MeansChecked(
            on=on,
            by=actor.id,
            by_name=actor.name,
            report_no=written(report_no, "核对报告编号", "report_no"),
            consistent=consistent,
            finding=finding.strip(),
            income_fen=amount(income_fen, "income_fen", "月收入"),
        )
    )


def wants_assessment(case: Case) -> bool:
    """Whether funding should be asked (again): all that the amount rests on is known."""
    if case.route.amount is not AmountFrom.QUOTE or case.state is not State.IN_PROGRESS:
        return False
    bases = [code for code in _INCOME_FROM if case.route.has(code)]
    if any(not case.done(code) for code in bases) or (bases and case.income_fen is None):
        return False
    asked = case.place_of(f.AssessmentAsked)
    return asked < 0 or case.place_of(f.Investigated, f.MeansChecked) > asked


def ask_assessment(case: Case, actor: Actor, on: date) -> Case:
    """Ask funding for the amount on what is known now."""
    case.expect(State.IN_PROGRESS)
    question = f.AssessmentAsked(
        on=on,
        by=actor.id,
        by_name=actor.name,
        round=len(case.every(f.AssessmentAsked)) + 1,
        income_fen=case.income_fen,
    )
    return case.plus(question)


def give_opinion(
    case: Case,
    actor: Actor,
    on: date,
    *,
    favourable: bool,
    reason: str = "",
    grants: Sequence[f.Grant] = (),
) -> Case:
    """初审意见 of the town."""
    case.expect_step(StepCode.OPINION)
    impartial(case, [actor.id], "提出初审意见")
    if favourable:
        check = case.last(f.MeansChecked)
        if case.route.has(StepCode.MEANS_CHECK) and check and not check.consistent:
            raise Conflict(
                "核对结果不符，不能提出同意的初审意见",
                field="favourable",
                advice="请申请人提供佐证材料后复查核对，或提出不同意的意见",
                reason="means_inconsistent",
            )
        grants = grantable(case, grants)
    else:
        reason = written(reason, "不同意的理由", "reason")
        grants = ()
    given = f.OpinionGiven(
        on=on,
        by=actor.id,
        by_name=actor.name,
        favourable=favourable,
        reason=reason.strip(),
        grants=tuple(grants),
    )
    return case.plus(given)


def review_certificate(case: Case, actor: Actor, on: date, *, passed: bool, note: str = "") -> Case:
    """残联审核 of the disability certificate."""
    case.expect_step(StepCode.FEDERATION_REVIEW)
    impartial(case, [actor.id], "审核")
    if not passed:
        note = written(note, "残联审核不通过的理由", "note")
    reviewed = f.FederationReviewed(
        on=on, by=actor.id, by_name=actor.name, passed=passed, note=note.strip()
    )
    return case.plus(reviewed)


def extend(
    case: Case,
    actor: Actor,
    on: date,
    ground: f.ExtensionGround,
    reason: str,
    calendar: Calendar,
) -> Case:
    """The one extension, before the limit has passed, with a ground of the law."""
    case.expect(State.IN_PROGRESS)
    if case.last(f.Extended):
        raise Conflict(
            "办理期限只能延长一次",
            field="case_id",
            advice="请在已延长的期限内办结",
            reason="already_extended",
        )
    if case.rule.extended <= case.rule.limit:
        raise Conflict("本事项的办理期限不能延长", field="case_id", reason="no_extension")
    due = case.due(calendar, on)
    if due and on > due.day:
        raise Conflict(
            f"期限已于 {due.day:%Y-%m-%d} 届满，不能再延长",
            field="case_id",
            advice="请尽快办结，并在决定时写明超期原因",
            reason="limit_passed",
        )
    extended = f.Extended(
        on=on,
        by=actor.id,
        by_name=actor.name,
        ground=ground,
        reason=written(reason, "延长期限的理由", "reason"),
    )
    return case.plus(extended)
