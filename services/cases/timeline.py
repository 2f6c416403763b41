"""Facts in the words of the field: title and detail of each line of a case's timeline."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.cases import catalogue
from services.cases.domain import facts as f
from services.cases.domain.case import OUTCOME_LABELS
from services.contracts.money import yuan

TITLES: dict[type[f.Fact], str] = {
    f.Registered: "申请登记",
    f.MissingTold: "一次性告知",
    f.MaterialSupplied: "补交材料",
    f.NotAccepted: "不予受理",
    f.Accepted: "受理",
    f.Investigated: "调查",
    f.CountyVisited: "县级入户核查",
    f.MeansChecked: "信息核对",
    f.AssessmentAsked: "申请政策测算",
    f.Quoted: "政策测算结果",
    f.OpinionGiven: "初审意见",
    f.PublicityOpened: "公示开始",
    f.PublicityEnded: "公示结束",
    f.ObjectionRaised: "收到异议",
    f.ObjectionResolved: "答复异议",
    f.Extended: "延长办理期限",
    f.DeadlineMoved: "期限重新计算",
    f.FederationReviewed: "残联审核",
    f.Decided: "决定",
    f.Corrected: "更正决定",
    f.GrantRefused: "决定退回",
    f.PapersCompleted: "补齐手续",
    f.Told: "告知",
    f.Ended: "终止",
    f.CarriedOver: "存量结转",
    f.ReviewOpened: "发起复核",
}

CHANNELS = {"window": "窗口", "phone": "电话", "online": "网上", "home": "上门"}
GROUNDS = {
    f.EndGround.WITHDRAWN: "申请人撤回",
    f.EndGround.NOT_COOPERATING: "不配合审核",
    f.EndGround.DEATH_REVOKED: "死亡登记撤销",
    f.EndGround.IMPORT_UNDONE: "导入撤销",
}
EXTENSIONS = {
    f.ExtensionGround.OBJECTION: "公示有异议",
    f.ExtensionGround.RESIDES_ELSEWHERE: "人户分离",
    f.ExtensionGround.OUT_OF_AREA: "异地申请",
    f.ExtensionGround.HARD_INVESTIGATION: "家庭成员在不同县、调查困难",
}


def kind(fact: f.AnyFact) -> str:
    """The stable name of a fact's type."""
    return str(fact.__struct_config__.tag)


def title(fact: f.AnyFact) -> str:
    """What happened, in a word."""
    return TITLES[type(fact)]


def detail(fact: f.AnyFact, materials: Mapping[str, str], staff: Mapping[UUID, str]) -> str:
    """What happened, in a sentence; materials and staff by name."""
    match fact:
        case f.Registered():
            said = [f"{CHANNELS.get(fact.channel, fact.channel)}申请"]
            said += [f"代办人{fact.proxy_name}"] if fact.proxy_name else []
            said += [fact.circumstance] if fact.circumstance else []
            said += [
                f"近亲属备案：{staff.get(kin.staff_id, '工作人员')}（{kin.relation}）"
                for kin in fact.relatives
            ]
            return "；".join(said)
        case f.MissingTold():
            return "缺" + _listed(fact.missing, materials)
        case f.MaterialSupplied() | f.PapersCompleted():
            return _listed(fact.materials, materials)
        case f.Investigated():
            who = "、".join(staff.get(each, "工作人员") for each in fact.investigators)
            return _sentence(f"调查人{who}，双方签字", fact.finding, _income(fact.income_fen))
        case f.CountyVisited():
            who = "、".join(staff.get(each, "工作人员") for each in fact.visitors)
            return _sentence(f"核查人{who}", fact.finding)
        case f.MeansChecked():
            fits = "相符" if fact.consistent else "不符"
            return _sentence(
                f"报告{fact.report_no}：{fits}", fact.finding, _income(fact.income_fen)
            )
        case _:
            return _later(fact)


def _later(fact: f.AnyFact) -> str:
    match fact:
        case f.AssessmentAsked():
            return _sentence(f"第 {fact.round} 次", _income(fact.income_fen))
        case f.Quoted():
            amounts = [f"{_name(b.benefit)} {yuan(b.amount_fen)} 元" for b in fact.benefits]
            stops = [f"{o.message}（{o.clause}）" for o in fact.obstacles]
            return "；".join([*amounts, *stops])
        case f.OpinionGiven():
            verdict = "同意" if fact.favourable else "不同意"
            return _sentence(verdict, _grants(fact.grants), fact.reason)
        case f.PublicityOpened():
            return f"至 {fact.until:%Y-%m-%d} 止"
        case f.ObjectionRaised():
            return ("投诉举报：" if fact.complaint else "") + fact.content
        case f.ObjectionResolved():
            return _sentence("异议成立，重新调查" if fact.upheld else "异议不成立", fact.finding)
        case f.Extended():
            return _sentence(EXTENSIONS[fact.ground], fact.reason)
        case f.DeadlineMoved():
            return f"{fact.was:%Y-%m-%d} → {fact.now:%Y-%m-%d}（{fact.reason}）"
        case f.FederationReviewed():
            return _sentence("通过" if fact.passed else "不通过", fact.note)
        case _:
            return _deciding(fact)


def _deciding(fact: f.AnyFact) -> str:
    match fact:
        case f.Decided() | f.Corrected():
            late = fact.late_reason if isinstance(fact, f.Decided) else ""
            return _sentence(
                f"{OUTCOME_LABELS[fact.outcome]}（{fact.document_no}）",
                _grants(fact.grants),
                fact.reason,
                f"超期原因：{late}" if late else "",
            )
        case f.GrantRefused():
            return _sentence(_name(fact.benefit), fact.reason, fact.clause)
        case f.Told():
            return fact.way
        case f.NotAccepted():
            return fact.reason
        case f.Ended():
            return _sentence(GROUNDS[fact.ground], fact.reason)
        case f.CarriedOver():
            return _sentence(f"原批准文号 {fact.document_no}", _grants(fact.grants))
        case f.ReviewOpened():
            return fact.reason
        case _:
            return ""


def _listed(codes: tuple[str, ...], materials: Mapping[str, str]) -> str:
    return "、".join(materials.get(code, code) for code in codes)


def _name(benefit: str) -> str:
    return catalogue.benefits()[benefit].name


def _grants(grants: tuple[f.Grant, ...]) -> str:
    return "、".join(f"{_name(g.benefit)} {yuan(g.amount_fen)} 元" for g in grants)


def _income(fen: int | None) -> str:
    return "" if fen is None else f"核定月收入 {yuan(fen)} 元"


def _sentence(*parts: str) -> str:
    return "；".join(part for part in parts if part)
