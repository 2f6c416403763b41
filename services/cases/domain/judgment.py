"""审核确认: who may decide, on what grounds, and how a wrong decision is put right."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from services.cases.domain import facts as f
from services.cases.domain.calendar import Calendar
from services.cases.domain.case import OUTCOME_LABELS, Case, State
from services.cases.domain.catalogue import CaseKind, StepCode
from services.cases.domain.entries import known_materials, written
from services.cases.domain.granting import grantable
from services.cases.domain.intake import take_down
from services.cases.domain.policy import Level
from services.cases.domain.posting import expire
from services.cases.domain.recusal import impartial
from services.contracts.actors import Actor, Role
from services.contracts.errors import Conflict, Forbidden, Invalid
from services.contracts.money import yuan

OUTCOMES = {
    CaseKind.APPLICATION: frozenset({f.Outcome.GRANTED, f.Outcome.REFUSED}),
    CaseKind.REVIEW: frozenset({f.Outcome.KEPT, f.Outcome.CHANGED, f.Outcome.ENDED}),
    CaseKind.CARRIED_OVER: frozenset[f.Outcome](),
}

LEVEL_ROLES = {Level.TOWN: Role.TOWN_DECIDER, Level.COUNTY: Role.COUNTY_DECIDER}
LEVEL_LABELS = {Level.TOWN: "镇（街道）", Level.COUNTY: "县（市）民政局"}


def decide(
    case: Case,
    actor: Actor,
    on: date,
    calendar: Calendar,
    *,
    decision_id: UUID,
    document_no: str,
    outcome: f.Outcome,
    grants: Sequence[f.Grant] = (),
    reason: str = "",
    late_reason: str = "",
) -> Case:
    """审核确认 or 不予确认, by the right body and by someone who took no part before."""
    case.expect(State.IN_PROGRESS)
    case = expire(case, on)
    grants, reason = _judged(case, actor, outcome, grants, reason)
    due = case.due(calendar, on)
    if due and on > due.day:
        late_reason = written(late_reason, "超期原因", "late_reason", late_by=due.day)
    else:
        late_reason = ""
    decided = f.Decided(
        on=on,
        by=actor.id,
        by_name=actor.name,
        decision_id=decision_id,
        outcome=outcome,
        document_no=written(document_no, "决定文号", "document_no"),
        grants=tuple(grants),
        reason=reason,
        late_reason=late_reason,
    )
    return take_down(case, on).plus(decided)


def correct(
    case: Case,
    actor: Actor,
    on: date,
    *,
    decision_id: UUID,
    document_no: str,
    outcome: f.Outcome,
    grants: Sequence[f.Grant] = (),
    reason: str,
    paid: bool,
) -> Case:
    """Put a wrong decision right, before anything was paid on it."""
    case.expect(State.DECIDED, State.CLOSED)
    wrong = case.decision
    if wrong is None:
        raise Conflict(
            "存量结转的待遇没有本系统的决定可更正",
            field="case_id",
            advice="请发起复核",
            reason="no_decision",
        )
    if paid:
        raise Conflict(
            "待遇已经发放，不能直接更正决定",
            field="case_id",
            advice="请发起复核；多发的由资金经办列入追回，少发的补发",
            reason="already_paid",
        )
    said = written(reason, "更正的理由", "reason")
    grants, _ = _judged(case, actor, outcome, grants, said)
    if outcome is wrong.outcome and tuple(grants) == wrong.grants:
        raise Invalid(
            "更正后的决定与原决定相同",
            field="outcome",
            advice="请填写更正后的结果",
        )
    corrected = f.Corrected(
        on=on,
        by=actor.id,
        by_name=actor.name,
        decision_id=decision_id,
        corrects=wrong.decision_id,
        outcome=outcome,
        document_no=written(document_no, "决定文号", "document_no"),
        grants=tuple(grants),
        reason=said,
    )
    return case.plus(corrected)


def _judged(
    case: Case, actor: Actor, outcome: f.Outcome, grants: Sequence[f.Grant], reason: str
) -> tuple[Sequence[f.Grant], str]:
    """What a decision or its correction must satisfy; the grants and reason it then has."""
    allowed = OUTCOMES[case.item.kind]
    if outcome not in allowed:
        names = "、".join(OUTCOME_LABELS[each] for each in sorted(allowed))
        raise Invalid(f"本案只能{names}", field="outcome", advice="请选择决定结果")
    _independent(case, actor)
    if outcome in (f.Outcome.GRANTED, f.Outcome.CHANGED):
        _all_before_decision(case)
        if (reviewed := case.last(f.FederationReviewed)) and not reviewed.passed:
            raise Conflict(
                "残联审核没有通过，不能确认",
                field="outcome",
                advice="请作出不予确认的决定",
                reason="federation_refused",
            )
        grants = grantable(case, grants)
        if outcome is f.Outcome.CHANGED:
            reason = written(reason, "变更的理由", "reason")
    else:
        grants = ()
        reason = written(reason, "理由", "reason")
        if outcome is f.Outcome.REFUSED:
            _refusable(case)
        else:
            _all_before_decision(case)
    _right_body(case, actor, outcome, grants)
    return grants, reason.strip()


def _independent(case: Case, actor: Actor) -> None:
    """The decider neither registered nor investigated and is no relative."""
    impartial(case, [actor.id], "作出决定")
    if actor.id in case.registrars:
        raise Forbidden(
            "登记或受理本案的人不能作出决定",
            field="actor",
            advice="请交由其他审批人员决定",
            reason="decider_registered",
        )
    if actor.id in case.investigators:
        raise Forbidden(
            "参加本案调查的人不能作出决定",
            field="actor",
            advice="请交由其他审批人员决定",
            reason="decider_investigated",
        )


def _right_body(case: Case, actor: Actor, outcome: f.Outcome, grants: Sequence[f.Grant]) -> None:
    """Town or county, as policy delegates; small sums by the town."""
    total = sum(grant.amount_fen for grant in grants)
    body = case.rule.decided_by(total if outcome is f.Outcome.GRANTED else None)
    bodies = {body}
    if outcome is not f.Outcome.GRANTED and case.rule.small_sum_fen:
        bodies.add(Level.TOWN)
    if not any(actor.has(LEVEL_ROLES[each]) for each in bodies):
        limit = (
            f"（超过镇小额审批限额 {yuan(case.rule.small_sum_fen)} 元）"
            if case.rule.small_sum_fen and total > case.rule.small_sum_fen
            else ""
        )
        raise Forbidden(
            f"本案应由{LEVEL_LABELS[body]}审批人员决定{limit}",
            field="actor",
            advice=f"请提交{LEVEL_LABELS[body]}",
            reason="wrong_body",
        )
    if not actor.covers(case.division):
        raise Forbidden(
            "本案不在您的管辖范围内",
            field="actor",
            advice="请由案件所在辖区的审批人员决定",
            reason="out_of_scope",
        )


def _objections_answered(case: Case) -> None:
    if case.open_objection:
        raise Conflict(
            f"第 {case.open_objection.number} 号异议尚未答复，不能决定",
            field="case_id",
            advice="请先调查并答复异议",
            reason="objection_open",
        )


def _all_before_decision(case: Case) -> None:
    """Nothing may be missing: steps, objections, papers, the county's visit."""
    if case.open_notice:
        raise Conflict(
            f"公示期未满：至 {case.open_notice.until:%Y-%m-%d} 止，不能决定",
            field="case_id",
            advice="请等待公示期满",
            reason="publicity_running",
        )
    _objections_answered(case)
    decision = case.route.step(StepCode.DECISION)
    assert decision is not None
    places = [step.code for step in case.route.steps]
    before = case.route.steps[: places.index(StepCode.DECISION)]
    open_steps = [s.name for s in before if not case.done(s.code) and not case.skips(s)]
    if open_steps:
        raise Conflict(
            f"还不能决定：{'、'.join(open_steps)}尚未完成",
            field="case_id",
            advice=f"请先完成{'、'.join(open_steps)}",
            reason="step_out_of_order",
        )
    if case.unfavourable and case.item.kind is CaseKind.APPLICATION:
        raise Conflict(
            "初审意见为不同意，不能确认",
            field="outcome",
            advice="请作出不予确认的决定，或退回重新调查",
            reason="opinion_unfavourable",
        )
    missing = () if case.route.urgent else case.item.missing(case.materials, strict=True)
    if missing:
        raise Conflict(
            f"容缺材料尚未补齐：{'、'.join(m.name for m in missing)}",
            field="materials",
            advice="请先补齐材料",
            reason="material_missing",
        )
    investigated = case.route.has(StepCode.INVESTIGATION)
    if investigated and case.needs_county_visit and not case.last(f.CountyVisited):
        raise Conflict(
            "申请人与工作人员有近亲属关系或案件有投诉举报，须由县级入户核查后决定",
            field="case_id",
            advice="请县（市）民政局入户核查",
            reason="county_visit_needed",
        )


def _refusable(case: Case) -> None:
    """A refusal rests on an opinion, an exclusion of the quote, or the federation's answer."""
    _objections_answered(case)
    reviewed = case.last(f.FederationReviewed)
    excluded = case.quote is not None and any(o.blocking for o in case.quote.obstacles)
    if (reviewed and not reviewed.passed) or excluded or case.route.urgent:
        return
    if case.route.has(StepCode.OPINION) and not case.done(StepCode.OPINION):
        raise Conflict(
            "还不能决定：初审尚未完成",
            field="case_id",
            advice="请先完成调查、核对和初审",
            reason="step_out_of_order",
        )


def complete_papers(
    case: Case,
    actor: Actor,
    on: date,
    *,
    materials: Sequence[str],
    finding: str,
    signed: bool,
) -> Case:
    """补齐手续 of an urgent case: person, cause, amount, signatures."""
    case.expect(State.DECIDED)
    if StepCode.PAPERS not in case.current:
        raise Conflict(
            "本案没有待补的手续",
            field="case_id",
            reason="no_such_step",
            advice="请按步骤条上的当前环节办理",
        )
    known_materials(case.item, materials)
    missing = case.item.missing(case.materials | set(materials), strict=True)
    if missing:
        raise Invalid(
            f"还缺{'、'.join(m.name for m in missing)}",
            field="materials",
            advice="补齐后再办理",
            reason="material_missing",
        )
    if not signed:
        raise Invalid("领款人没有签字", field="signed", advice="请补签领款手续", reason="unsigned")
    completed = f.PapersCompleted(
        on=on,
        by=actor.id,
        by_name=actor.name,
        materials=tuple(materials),
        finding=written(finding, "困难原因和救助情况", "finding"),
    )
    return case.plus(completed)


def tell(case: Case, actor: Actor, on: date, way: str) -> Case:
    """告知: the document of the decision was served."""
    case.expect(State.DECIDED)
    if StepCode.NOTIFICATION not in case.current:
        raise Conflict(
            "现在没有需要告知的决定",
            field="case_id",
            reason="step_out_of_order",
            advice="请按步骤条上的当前环节办理",
        )
    said = written(way, "送达方式", "way")
    return case.plus(f.Told(on=on, by=actor.id, by_name=actor.name, way=said))
