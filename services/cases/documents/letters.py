"""What stands in each letter. Pure: a case, a few names, and out comes the template's data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

import cn2an

from services.cases.domain import facts as f
from services.cases.domain.calendar import Calendar
from services.cases.domain.case import OUTCOME_LABELS, Case
from services.cases.domain.catalogue import Benefit, CaseKind
from services.contracts.errors import Conflict
from services.contracts.money import Fen, yuan


class Letter(StrEnum):
    """The documents a case can have; each is a template."""

    ACCEPTANCE = "acceptance_notice"
    MISSING_MATERIAL = "missing_material_notice"
    NOT_ACCEPTED = "not_accepted_notice"
    GRANTED = "granted_notice"
    REFUSED = "refused_notice"
    REVIEW = "review_notice"


TITLES = {
    Letter.ACCEPTANCE: "受理通知书",
    Letter.MISSING_MATERIAL: "一次性告知书",
    Letter.NOT_ACCEPTED: "不予受理通知书",
    Letter.GRANTED: "审核确认通知书",
    Letter.REFUSED: "不予确认通知书",
    Letter.REVIEW: "复核决定通知书",
}


@dataclass(frozen=True)
class Names:
    """What the facts do not carry: number, names, and who signs."""

    case_no: str
    applicant: str
    first_officer: str
    town_agency: str
    deciding_agency: str


def capital(amount: Fen) -> str:
    """An amount in capital characters (大写金额): 66050 → 陆佰陆拾元伍角."""
    return str(cn2an.an2cn(str(Decimal(amount) / 100), "rmb"))


def long_date(day: date) -> str:
    """2026年9月28日."""
    return f"{day.year}年{day.month}月{day.day}日"


def available(case: Case) -> tuple[Letter, ...]:
    """The letters that this case has by now, in the order they came about."""
    letters = []
    if case.last(f.MissingTold):
        letters.append(Letter.MISSING_MATERIAL)
    if case.last(f.Accepted):
        letters.append(Letter.ACCEPTANCE)
    if case.last(f.NotAccepted):
        letters.append(Letter.NOT_ACCEPTED)
    if case.decision:
        letters.append(_of_decision(case))
    return tuple(letters)


def _of_decision(case: Case) -> Letter:
    if case.item.kind is CaseKind.REVIEW:
        return Letter.REVIEW
    return Letter.GRANTED if case.outcome is f.Outcome.GRANTED else Letter.REFUSED


def compose(
    letter: Letter,
    case: Case,
    names: Names,
    benefits: dict[str, Benefit],
    calendar: Calendar,
) -> dict[str, Any]:
    """The data of ``letter``; refused when the case has no such letter yet."""
    if letter not in available(case):
        raise Conflict(
            f"本案还没有{TITLES[letter]}",
            field="letter",
            advice="请在作出该项处理后再打印",
            reason="no_such_letter",
        )
    common = {
        "title": TITLES[letter],
        "number": f"编号：{names.case_no}",
        "addressee": names.applicant,
        "agency": names.town_agency,
        "item": case.item.name,
        "route": case.route.name,
        "case_no": names.case_no,
        "first_officer": names.first_officer,
        "applied_on": long_date(case.facts[0].on),
        "benefits": "、".join(benefits[asked.benefit].name for asked in case.asked),
        "receipt": True,
    }
    match letter:
        case Letter.ACCEPTANCE:
            return common | _acceptance(case, calendar)
        case Letter.MISSING_MATERIAL:
            return common | _missing(case)
        case Letter.NOT_ACCEPTED:
            declined = case.last(f.NotAccepted)
            assert declined is not None
            return common | {"date": long_date(declined.on), "reason": declined.reason}
        case Letter.GRANTED | Letter.REFUSED | Letter.REVIEW:
            return common | _decision(case, benefits) | {"agency": names.deciding_agency}


def _acceptance(case: Case, calendar: Calendar) -> dict[str, Any]:
    accepted = case.accepted_on
    assert accepted is not None
    due = case.due(calendar, accepted)
    assert due is not None
    return {
        "date": long_date(accepted),
        "ground": "情况紧急，先予受理，手续事后补齐"
        if case.route.urgent
        else "材料齐全，符合受理条件，现予受理",
        "accepted_on": long_date(accepted),
        "due_on": long_date(due.day),
        "due_provisional": due.provisional,
        "limit": str(case.rule.limit),
        "extended": str(case.rule.extended),
    }


def _missing(case: Case) -> dict[str, Any]:
    told = case.last(f.MissingTold)
    assert told is not None
    listed = {material.code: material for material in case.item.materials}
    return {
        "date": long_date(told.on),
        "materials": [
            {
                "name": listed[code].name,
                "copies": listed[code].copies,
                "form": listed[code].form,
                "note": listed[code].note,
            }
            for code in told.missing
        ],
    }


def _decision(case: Case, benefits: dict[str, Benefit]) -> dict[str, Any]:
    decision = case.decision
    assert decision is not None
    monthly = [g for g in decision.grants if benefits[g.benefit].counts_from != "one_off"]
    months = {benefits[g.benefit].counts_from for g in monthly}
    start = "自申请当月起" if months == {"application_month"} else "自决定的下月起"
    obstacles = case.quote.obstacles if case.quote else ()
    return {
        "number": decision.document_no,
        "date": long_date(decision.on),
        "outcome": OUTCOME_LABELS[decision.outcome],
        "reason": decision.reason,
        "clauses": list(dict.fromkeys(o.clause for o in obstacles if o.blocking)),
        "grants": [
            {
                "benefit": benefits[grant.benefit].name,
                "yuan": yuan(grant.amount_fen),
                "capital": capital(grant.amount_fen),
                "monthly": grant in monthly,
            }
            for grant in decision.grants
        ],
        "payment": f"{start}按月发放到登记的社会保障卡账户。" if monthly else "一次性发放。",
    }
