"""From the application to 受理: papers, the one notice of what is missing, acceptance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from services.cases.domain import facts as f
from services.cases.domain.case import Case, State
from services.cases.domain.entries import known_materials, written
from services.contracts.actors import Actor
from services.contracts.errors import Conflict, Invalid


def tell_missing(case: Case, actor: Actor, on: date) -> Case:
    """一次性告知: everything missing, once, in writing (art. 10)."""
    case.expect(State.SUPPLEMENTING)
    if case.last(f.MissingTold):
        raise Conflict(
            "一次性告知书已经出具过，不能再次要求补正",
            field="case_id",
            advice="材料补齐后受理；仍不齐备的，作出不予受理的书面决定",
            reason="already_told",
        )
    missing = case.item.missing(case.materials)
    if not missing or case.route.urgent:
        raise Conflict(
            "材料齐备，无需一次性告知",
            field="materials",
            advice="请直接受理",
            reason="nothing_missing",
        )
    told = f.MissingTold(
        on=on, by=actor.id, by_name=actor.name, missing=tuple(m.code for m in missing)
    )
    return case.plus(told)


def supply(case: Case, actor: Actor, on: date, materials: Sequence[str]) -> Case:
    """Papers that came in; accepts at once when nothing is missing any more."""
    case.expect(State.SUPPLEMENTING, State.IN_PROGRESS, State.DECIDED)
    if not materials:
        raise Invalid("没有填写补交的材料", field="materials", advice="请勾选补交的材料")
    known_materials(case.item, materials)
    supplied = case.plus(
        f.MaterialSupplied(on=on, by=actor.id, by_name=actor.name, materials=tuple(materials))
    )
    if case.state is State.SUPPLEMENTING and not case.item.missing(supplied.materials):
        return accept(supplied, actor, on)
    return supplied


def accept(case: Case, actor: Actor, on: date) -> Case:
    """受理: everything required is there. An urgent case needs no papers at first."""
    case.expect(State.SUPPLEMENTING)
    missing = () if case.route.urgent else case.item.missing(case.materials)
    if missing:
        names = "、".join(material.name for material in missing)
        raise Invalid(
            f"材料不齐，不能受理：缺{names}",
            field="materials",
            advice="请出具一次性告知书（F3），补齐后再受理",
            reason="material_missing",
        )
    return case.plus(f.Accepted(on=on, by=actor.id, by_name=actor.name))


def decline(case: Case, actor: Actor, on: date, reason: str) -> Case:
    """不予受理, in writing with the reason."""
    case.expect(State.SUPPLEMENTING)
    said = written(reason, "不予受理的理由", "reason")
    return case.plus(f.NotAccepted(on=on, by=actor.id, by_name=actor.name, reason=said))


def end(case: Case, actor: Actor, on: date, ground: f.EndGround, reason: str) -> Case:
    """The applicant withdraws, or does not cooperate (art. 29)."""
    case.expect(State.SUPPLEMENTING, State.IN_PROGRESS)
    said = written(reason, "终止的理由", "reason")
    ended = f.Ended(on=on, by=actor.id, by_name=actor.name, ground=ground, reason=said)
    return take_down(case, on).plus(ended)


def take_down(case: Case, on: date) -> Case:
    if not case.open_notice:
        return case
    return case.plus(f.PublicityEnded(on=on, by="system:cases", by_name="系统"))
