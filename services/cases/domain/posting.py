"""公示 and 异议: the notice hangs its days, and an objection is answered before a decision."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from services.cases.domain import facts as f
from services.cases.domain.case import Case, State
from services.cases.domain.catalogue import StepCode
from services.cases.domain.entries import written
from services.cases.domain.recusal import impartial
from services.contracts.actors import Actor
from services.contracts.errors import Conflict, Invalid


def open_publicity(case: Case, actor: Actor, on: date, notice_id: UUID) -> Case:
    """公示: the law's days begin the day after (《民法典》第二百零一条)."""
    case.expect_step(StepCode.PUBLICITY)
    if case.open_notice:
        raise Conflict(
            f"正在公示，至 {case.open_notice.until:%Y-%m-%d} 结束",
            field="case_id",
            advice="请等待公示期满",
            reason="step_already_done",
        )
    if case.open_objection:
        raise Conflict(
            "有异议尚未答复",
            field="case_id",
            advice="请先调查并答复异议",
            reason="objection_open",
        )
    if case.place_of(f.PublicityEnded) > case.place_of(f.OpinionGiven):
        raise Conflict(
            "本次初审意见已经公示期满",
            field="case_id",
            advice="请办理步骤条上的下一环节",
            reason="step_already_done",
        )
    opened = f.PublicityOpened(
        on=on,
        by=actor.id,
        by_name=actor.name,
        until=on + timedelta(days=case.rule.publicity_days),
        notice_id=notice_id,
    )
    return case.plus(opened)


def end_publicity(case: Case, actor: Actor, on: date) -> Case:
    """Take the notice down: only after its last whole day."""
    notice = case.open_notice
    if notice is None:
        raise Conflict("没有正在进行的公示", field="case_id", reason="no_notice")
    if on <= notice.until:
        raise Conflict(
            f"公示期未满：至 {notice.until:%Y-%m-%d} 止",
            field="case_id",
            advice=f"{notice.until + timedelta(days=1):%Y-%m-%d} 起方可结束公示",
            reason="publicity_running",
        )
    return case.plus(f.PublicityEnded(on=on, by=actor.id, by_name=actor.name))


def expire(case: Case, on: date) -> Case:
    """The case with its notice down where the days are over, whether the timer came by or not."""
    notice = case.open_notice
    if notice is None or on <= notice.until:
        return case
    return case.plus(f.PublicityEnded(on=on, by="system:cases", by_name="系统"))


def raise_objection(
    case: Case, actor: Actor, on: date, content: str, *, complaint: bool = False
) -> Case:
    """异议 while the notice hangs, or a complaint before the decision."""
    case.expect(State.IN_PROGRESS)
    if not case.open_notice and not complaint:
        raise Conflict(
            "不在公示期内，不能登记公示异议",
            field="case_id",
            advice="公示期外的反映请按投诉举报登记",
            reason="no_notice",
        )
    raised = f.ObjectionRaised(
        on=on,
        by=actor.id,
        by_name=actor.name,
        number=len(case.every(f.ObjectionRaised)) + 1,
        content=written(content, "异议内容", "content"),
        complaint=complaint,
    )
    return case.plus(raised)


def answer_objection(
    case: Case, actor: Actor, on: date, number: int, *, upheld: bool, finding: str
) -> Case:
    """Answer an objection; an upheld one sends the case back to investigation."""
    case.expect(State.IN_PROGRESS)
    impartial(case, [actor.id], "处理异议")
    raised = {o.number for o in case.every(f.ObjectionRaised)}
    answered = {r.number for r in case.every(f.ObjectionResolved)}
    if number not in raised:
        raise Invalid(f"没有第 {number} 号异议", field="number", advice="请核对异议编号")
    if number in answered:
        raise Conflict(f"第 {number} 号异议已经答复", field="number", reason="already_resolved")
    resolved = f.ObjectionResolved(
        on=on,
        by=actor.id,
        by_name=actor.name,
        number=number,
        upheld=upheld,
        finding=written(finding, "异议调查结果", "finding"),
    )
    return case.plus(resolved)
