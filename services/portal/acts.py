"""What can be done to a case: who does it, when it is offered, what its form says.

Only an offer: the service refuses what may not be done, whoever sends the form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast
from uuid import UUID

import msgspec

from services.contracts.actors import Role
from services.contracts.commands import cases as c
from services.contracts.errors import NotFound
from services.contracts.requests import Command
from services.portal.forms import Form

Reader = Callable[[UUID, Form], Command[Any]]
Offered = Callable[[c.CaseView], bool]

WINDOW = frozenset({Role.VILLAGE_OFFICER, Role.TOWN_CLERK})
REVIEWER = frozenset({Role.TOWN_REVIEWER})
HALL = frozenset({Role.TOWN_CLERK, Role.TOWN_REVIEWER})
COUNTY = frozenset({Role.COUNTY_DECIDER})
DECIDERS = frozenset({Role.TOWN_DECIDER, Role.COUNTY_DECIDER})
VISITORS = frozenset({Role.COUNTY_DECIDER, Role.CIVIL_AUDITOR})
FEDERATION = frozenset({Role.FEDERATION_REVIEWER})


class Act(msgspec.Struct, frozen=True):
    """One act: its name in addresses and templates, its words, and when it is offered."""

    code: str
    label: str
    notice: str
    roles: frozenset[Role]
    offered: Offered
    read: Reader
    main: bool = False
    """Whether it is what the case waits for, and not a side road."""
    hotkey: str | None = None


def at(*steps: str) -> Offered:
    """Offered while one of the steps can be done."""
    return lambda case: bool(set(steps) & set(case.current))


def running(case: c.CaseView) -> bool:
    """Offered while the case is accepted and undecided."""
    return case.state == "in_progress"


def supplementing(case: c.CaseView) -> bool:
    """Offered while papers are missing."""
    return case.state == "supplementing"


def notice_hangs(case: c.CaseView) -> bool:
    """Offered while a notice is on the board."""
    return case.notice is not None and case.notice.taken_down_on is None


def objected(case: c.CaseView) -> bool:
    """Offered while an objection has no answer."""
    return any(objection.resolved_on is None for objection in case.objections)


def _grants(form: Form) -> tuple[c.Grant, ...]:
    """Amounts typed beside benefits; none typed means what the quote says."""
    found = []
    for benefit in form.typed_list("grant"):
        amount = form.maybe_money(f"amount-{benefit}", "金额")
        if amount is not None:
            found.append(c.Grant(benefit=benefit, amount_fen=amount))
    return tuple(found)


def _supply(case_id: UUID, form: Form) -> Command[Any]:
    materials = tuple(form.typed_list("material"))
    if not materials:
        form.refuse("material", "请勾选收到的材料")
    return c.SupplyMaterial(case_id=case_id, materials=materials)


def _decline(case_id: UUID, form: Form) -> Command[Any]:
    return c.DeclineApplication(case_id=case_id, reason=form.text("reason", "不予受理的理由"))


def _end(case_id: UUID, form: Form) -> Command[Any]:
    ground = "not_cooperating" if form.typed("ground") == "not_cooperating" else "withdrawn"
    return c.EndCase(
        case_id=case_id,
        ground=cast("Literal['withdrawn', 'not_cooperating']", ground),
        reason=form.text("reason", "终止的原因"),
    )


def _investigate(case_id: UUID, form: Form) -> Command[Any]:
    people = form.uuids("investigator")
    return c.RecordInvestigation(
        case_id=case_id,
        investigators=people,
        signed_by=people if form.ticked("signed") else (),
        household_signed=form.ticked("household_signed"),
        finding=form.text("finding", "调查情况"),
        income_fen=form.maybe_money("income", "月收入"),
    )


def _visit(case_id: UUID, form: Form) -> Command[Any]:
    return c.RecordCountyVisit(
        case_id=case_id,
        visitors=form.uuids("investigator"),
        finding=form.text("finding", "入户情况"),
    )


def _means_check(case_id: UUID, form: Form) -> Command[Any]:
    return c.RecordMeansCheck(
        case_id=case_id,
        report_no=form.text("report_no", "核对报告编号"),
        consistent=form.typed("consistent") == "yes",
        finding=form.typed("finding").strip(),
        income_fen=form.maybe_money("income", "月收入"),
    )


def _opinion(case_id: UUID, form: Form) -> Command[Any]:
    favourable = form.typed("favourable") == "yes"
    reason = form.typed("reason").strip()
    if not favourable and not reason:
        form.refuse("reason", "请填写不同意的理由")
    return c.GiveOpinion(
        case_id=case_id, favourable=favourable, reason=reason, grants=_grants(form)
    )


def _objection(case_id: UUID, form: Form) -> Command[Any]:
    return c.RecordObjection(
        case_id=case_id,
        content=form.text("content", "异议内容"),
        complaint=form.ticked("complaint"),
    )


def _resolve(case_id: UUID, form: Form) -> Command[Any]:
    return c.ResolveObjection(
        case_id=case_id,
        number=form.integer("number", "异议序号"),
        upheld=form.typed("upheld") == "yes",
        finding=form.text("finding", "核实情况"),
    )


EXTENSION_GROUNDS = {
    "objection": "公示有异议",
    "resides_elsewhere": "人户分离",
    "out_of_area": "异地申办",
    "hard_investigation": "家庭经济状况调查难度较大",
}


def _extend(case_id: UUID, form: Form) -> Command[Any]:
    ground = form.typed("ground")
    if ground not in EXTENSION_GROUNDS:
        form.refuse("ground", "请选择延长的法定事由")
        ground = "objection"
    return c.ExtendDeadline(
        case_id=case_id,
        ground=cast(
            "Literal['objection', 'resides_elsewhere', 'out_of_area', 'hard_investigation']",
            ground,
        ),
        reason=form.text("reason", "延长的理由"),
    )


def _federation(case_id: UUID, form: Form) -> Command[Any]:
    passed = form.typed("passed") == "yes"
    note = form.typed("note").strip()
    if not passed and not note:
        form.refuse("note", "请填写不通过的理由")
    return c.FederationReview(case_id=case_id, passed=passed, note=note)


OUTCOMES = ("granted", "refused", "kept", "changed", "ended")
Outcome = Literal["granted", "refused", "kept", "changed", "ended"]


def _outcome(form: Form) -> Outcome:
    outcome = form.typed("outcome")
    if outcome not in OUTCOMES:
        form.refuse("outcome", "请选择决定")
        outcome = "refused"
    return cast("Outcome", outcome)


def _decide(case_id: UUID, form: Form) -> Command[Any]:
    outcome, reason = _outcome(form), form.typed("reason").strip()
    if outcome == "refused" and not reason:
        form.refuse("reason", "不予确认须书面说明理由")
    return c.Decide(
        case_id=case_id,
        outcome=outcome,
        grants=_grants(form) if outcome in ("granted", "changed") else (),
        reason=reason,
        late_reason=form.typed("late_reason").strip(),
        document_no=form.maybe_text("document_no"),
    )


def _correct(case_id: UUID, form: Form) -> Command[Any]:
    return c.CorrectDecision(
        case_id=case_id,
        outcome=_outcome(form),
        reason=form.text("reason", "更正的理由"),
        grants=_grants(form),
        document_no=form.maybe_text("document_no"),
    )


def _papers(case_id: UUID, form: Form) -> Command[Any]:
    return c.CompletePapers(
        case_id=case_id,
        materials=tuple(form.typed_list("material")),
        finding=form.text("finding", "救助事由和金额的说明"),
        signed=form.ticked("signed"),
    )


def _serve(case_id: UUID, form: Form) -> Command[Any]:
    return c.ServeDecision(case_id=case_id, way=form.text("way", "送达方式"))


REVIEW_CAUSES = {
    "periodic": "定期复核",
    "income_changed": "收入变化",
    "members_changed": "家庭成员变化",
    "reported": "群众反映",
    "expired": "有效期届满",
}


def _review(case_id: UUID, form: Form) -> Command[Any]:
    cause = form.typed("cause")
    if cause not in REVIEW_CAUSES:
        form.refuse("cause", "请选择复核事由")
        cause = "periodic"
    return c.OpenReview(
        case_id=case_id,
        cause=cast(
            "Literal['periodic', 'income_changed', 'members_changed', 'reported', 'expired']",
            cause,
        ),
        reason=form.text("reason", "复核说明"),
    )


ACTS = (
    Act("supply", "补交材料", "材料已登记", WINDOW, supplementing, _supply, True, "F2"),
    Act("decline", "不予受理", "已登记不予受理，请打印通知书", WINDOW, supplementing, _decline),
    Act(
        "investigate", "登记调查", "调查已登记",
        WINDOW | REVIEWER, at("investigation"), _investigate, True,
    ),
    Act(
        "means-check", "登记核对报告", "核对报告已登记",
        HALL | COUNTY, at("means_check"), _means_check, True,
    ),
    Act(
        "county-visit", "县级入户", "县级入户已登记", VISITORS,
        lambda case: case.needs_county_visit and running(case), _visit, True,
    ),
    Act(
        "assess", "重新测算", "已请资金服务重新测算", HALL | DECIDERS, running,
        lambda case_id, _form: c.RequestAssessment(case_id=case_id),
    ),
    Act(
        "federation", "残联审核", "残联审核已登记",
        FEDERATION, at("federation_review"), _federation, True,
    ),
    Act("opinion", "初审意见", "初审意见已登记", REVIEWER, at("opinion"), _opinion, True),
    Act(
        "publish", "开始公示", "公示已开始", HALL,
        lambda case: at("publicity")(case) and not notice_hangs(case) and not objected(case),
        lambda case_id, _form: c.OpenPublicity(case_id=case_id), True,
    ),
    Act(
        "unpublish", "结束公示", "公示已结束", HALL, notice_hangs,
        lambda case_id, _form: c.EndPublicity(case_id=case_id), True,
    ),
    Act(
        "object", "登记异议", "异议已登记",
        WINDOW | REVIEWER | COUNTY, running, _objection,
    ),
    Act("resolve", "答复异议", "异议已答复", REVIEWER | COUNTY, objected, _resolve, True),
    Act("decide", "作出决定", "决定已作出", DECIDERS, at("decision"), _decide, True),
    Act(
        "correct", "更正决定", "决定已更正", DECIDERS,
        lambda case: case.decision is not None and case.kind != "carried_over", _correct,
    ),
    Act("papers", "补齐手续", "手续已补齐", WINDOW, at("papers"), _papers, True),
    Act("serve", "登记告知送达", "送达已登记", WINDOW | REVIEWER, at("notification"), _serve, True),
    Act("extend", "延长时限", "时限已依法延长一次", REVIEWER | DECIDERS, running, _extend),
    Act(
        "end", "终止办理", "案件已终止", WINDOW | REVIEWER,
        lambda case: running(case) or supplementing(case), _end,
    ),
    Act(
        "review", "发起复核", "复核已立案", WINDOW | REVIEWER | DECIDERS,
        lambda case: case.state == "closed" and case.outcome == "granted", _review,
    ),
)  # fmt: skip
"""In the order of the work; ``main`` ones first on the page."""


def acts_for(case: c.CaseView, roles: tuple[Role, ...]) -> list[Act]:
    """The acts to offer somebody with ``roles`` on ``case``, what it waits for first."""
    offered = [act for act in ACTS if act.roles & set(roles) and act.offered(case)]
    return sorted(offered, key=lambda act: not act.main)


def command_for(code: str, case_id: UUID, form: Form) -> tuple[Command[Any], str]:
    """The command that a submitted form stands for, and what to say when it is done."""
    act = next((act for act in ACTS if act.code == code), None)
    if act is None:
        raise NotFound("没有这一步", advice="请刷新案件，按页面上的按钮办理")
    command = act.read(case_id, form)
    form.check()
    return command, act.notice
