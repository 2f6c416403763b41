"""The window: what is known before anything is typed, 受理, 一次性告知, papers, endings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from services.cases import (
    casework,
    catalogue,
    held_benefits,
    inquiries,
    people_at_hand,
    views,
    working_calendar,
)
from services.cases.domain import facts as f
from services.cases.domain import intake
from services.cases.domain.case import Case, State
from services.cases.domain.catalogue import CaseKind, Item, Unit
from services.cases.domain.entries import amount, known_materials, written
from services.cases.models import CaseRow, HeldBenefitRow, Person
from services.chassis.uow import UnitOfWork
from services.contracts.commands.cases import (
    AcceptApplication,
    Application,
    CaseView,
    DeclineApplication,
    EndCase,
    IssueMissingMaterialNotice,
    SupplyMaterial,
)
from services.contracts.errors import Conflict, Forbidden, Invalid
from services.contracts.events.cases import CaseAccepted, MaterialRequested
from services.contracts.ids import new_id

OPEN = (State.SUPPLEMENTING.value, State.IN_PROGRESS.value)


def accept(uow: UnitOfWork, command: AcceptApplication) -> CaseView:
    """受理: everything is there and nobody has it already."""
    registration = _register(uow, command.application)
    case = intake.accept(registration.case, uow.actor, uow.today())
    row = _add(uow, registration, case)
    return _accepted(uow, row)


def tell_missing(uow: UnitOfWork, command: IssueMissingMaterialNotice) -> CaseView:
    """一次性告知: registered, and everything missing told in one notice."""
    registration = _register(uow, command.application)
    case = intake.tell_missing(registration.case, uow.actor, uow.today())
    row = _add(uow, registration, case)
    told = case.last(f.MissingTold)
    assert told is not None
    listed = {material.code: material.name for material in case.item.materials}
    uow.emit(
        MaterialRequested(
            case_id=row.id,
            case_no=row.case_no,
            item=row.item,
            applicant_person_id=row.applicant_id,
            division=row.division,
            materials=tuple(listed[code] for code in told.missing),
            reply_by=None,
            first_officer_id=_officer(row),
            child=row.child,
        )
    )
    uow.audit("case.material_requested", "case", row.id, case_no=row.case_no)
    return views.read(uow, row.id)


def supply(uow: UnitOfWork, command: SupplyMaterial) -> CaseView:
    """Papers that came in; the last missing one accepts."""
    opened = casework.load(uow, command.case_id)
    after = intake.supply(opened.case, uow.actor, uow.today(), command.materials)
    row = casework.keep(uow, opened, after)
    if opened.case.accepted_on is None and after.accepted_on is not None:
        return _accepted(uow, row)
    return views.read(uow, row.id)


def decline(uow: UnitOfWork, command: DeclineApplication) -> CaseView:
    """不予受理."""
    opened = casework.load(uow, command.case_id)
    after = intake.decline(opened.case, uow.actor, uow.today(), command.reason)
    row = casework.keep(uow, opened, after)
    uow.audit("case.declined", "case", row.id, case_no=row.case_no)
    return views.read(uow, row.id)


def end(uow: UnitOfWork, command: EndCase) -> CaseView:
    """Withdrawn, or ended because the applicant does not cooperate."""
    opened = casework.load(uow, command.case_id)
    ground = f.EndGround(command.ground)
    after = intake.end(opened.case, uow.actor, uow.today(), ground, command.reason)
    row = casework.keep(uow, opened, after)
    uow.audit("case.ended", "case", row.id, case_no=row.case_no, ground=ground.value)
    return views.read(uow, row.id)


@dataclass(frozen=True)
class _Registration:
    """An application ready to be kept."""

    case: Case
    values: dict[str, Any]


def _register(uow: UnitOfWork, asked: Application) -> _Registration:
    """Check who asks for what against the copies, and lay the first fact."""
    item = catalogue.item(asked.item)
    if item.kind is not CaseKind.APPLICATION:
        raise Invalid(
            f"“{item.name}”不能在窗口申请", field="item", advice="请从事项目录中选择申请事项"
        )
    route = catalogue.route(item, asked.route)
    applicant = people_at_hand.person(uow, asked.applicant_id, field="applicant_id")
    division = _place(uow, item, applicant, asked.division)
    benefits = _benefits(item, asked.benefits)
    covered = _covered(uow, item, applicant, asked)
    known_materials(item, asked.materials)
    if route.urgent:
        written(asked.circumstance, "遭遇的急难情形", "circumstance")
    people_at_hand.check_staff(
        uow, [relative.staff_id for relative in asked.relatives], field="relatives"
    )
    _lock_person(uow, applicant, covered)
    _refuse_duplicates(uow, item, benefits, [each.person_id for each in covered])
    today = uow.today()
    registered = f.Registered(
        on=today,
        by=uow.actor.id,
        by_name=uow.actor.name,
        asked=tuple(
            f.Asked(
                benefit=code,
                covered=tuple(each.person_id for each in covered),
                asked_fen=amount(asked.asked_fen, "asked_fen", "申请金额"),
            )
            for code in benefits
        ),
        single_person=asked.single_person,
        materials=asked.materials,
        relatives=tuple(
            f.Kinship(staff_id=kin.staff_id, relation=kin.relation) for kin in asked.relatives
        ),
        circumstance=asked.circumstance.strip(),
        channel=asked.channel,
        proxy_name=asked.proxy_name.strip(),
    )
    rule = catalogue.policies().rule(item.code, route.code, division, today)
    minor = people_at_hand.is_minor(applicant, today)
    case = Case(item, route, rule, division, (registered,), minor)
    child = item.child or any(catalogue.benefits()[code].child for code in benefits)
    values = {
        "id": new_id(),
        "case_no": casework.case_numbers(uow, division)[0],
        "item": item.code,
        "route": route.code,
        "kind": item.kind.value,
        "benefits": list(benefits),
        "division": division,
        "household_id": applicant.household_id,
        "applicant_id": applicant.person_id,
        "person_ids": sorted({applicant.person_id, *(each.person_id for each in covered)}),
        "minor": minor,
        "child": child,
        "first_officer_id": uow.actor.staff_id,
        "applied_on": today,
    }
    return _Registration(case, values)


def _place(uow: UnitOfWork, item: Item, applicant: Person, asked: str | None) -> str:
    """Where the application is taken in: at home, or (临时救助) where hardship struck."""
    division = asked or applicant.division
    if division != applicant.division and item.code != "temporary_aid":
        raise Invalid(
            f"“{item.name}”应在申请人所在地受理",
            field="division",
            advice="请由申请人所在镇、村受理",
        )
    if not uow.actor.covers(division):
        known = people_at_hand.places(uow, [division])
        raise Forbidden(
            f"申请人在{people_at_hand.full_name(known, division)}，不在您的管辖范围内",
            field="applicant_id",
            advice="请由当地窗口受理，或转办",
            reason="out_of_scope",
        )
    return division


def _benefits(item: Item, named: Sequence[str]) -> tuple[str, ...]:
    """The benefits asked for; 低保 in town or country must be named, a person's are all."""
    for index, code in enumerate(named):
        if code not in item.benefits:
            raise Invalid(
                f"“{item.name}”没有待遇“{code}”",
                field=f"benefits[{index}]",
                advice=f"可选：{'、'.join(item.benefits)}",
            )
    if named:
        return tuple(dict.fromkeys(named))
    if item.unit is Unit.HOUSEHOLD and len(item.benefits) > 1:
        choices = "、".join(catalogue.benefits()[code].name for code in item.benefits)
        raise Invalid("没有写明申请哪项待遇", field="benefits", advice=f"请选择：{choices}")
    return item.benefits


def _covered(uow: UnitOfWork, item: Item, applicant: Person, asked: Application) -> list[Person]:
    """Who would be covered: the household's living members, or the applicant alone."""
    if item.unit is Unit.PERSON or asked.single_person:
        named = asked.covered_ids or (applicant.person_id,)
        if named != (applicant.person_id,):
            raise Invalid(
                "以个人申请的，保障对象只能是申请人本人",
                field="covered_ids",
                advice="请为每个人分别申请",
            )
        return [applicant]
    members = {
        each.person_id: each for each in people_at_hand.living_members(uow, applicant.household_id)
    }
    if not asked.covered_ids:
        return list(members.values())
    for index, person_id in enumerate(asked.covered_ids):
        if person_id not in members:
            raise Invalid(
                "保障对象不是申请家庭的成员",
                field=f"covered_ids[{index}]",
                advice="请先在人员档案中登记为家庭成员",
            )
    return [members[person_id] for person_id in dict.fromkeys(asked.covered_ids)]


def _lock_person(uow: UnitOfWork, applicant: Person, covered: Sequence[Person]) -> None:
    """Two windows taking in the same people at once: one waits and then sees the other's case."""
    for person_id in sorted({applicant.person_id, *(each.person_id for each in covered)}):
        uow.session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:person, 1))"),
            {"person": str(person_id)},
        )


def _refuse_duplicates(
    uow: UnitOfWork, item: Item, benefits: Sequence[str], people: list[UUID]
) -> None:
    """The same benefit held or asked for already, in whatever town: found here, not later."""
    running = uow.session.scalars(
        select(CaseRow)
        .where(
            CaseRow.item == item.code,
            CaseRow.state.in_(OPEN),
            CaseRow.person_ids.overlap(people),
        )
        .order_by(CaseRow.id)
        .limit(1)
    ).first()
    if running:
        where = people_at_hand.full_name(
            people_at_hand.places(uow, [running.division]), running.division
        )
        raise Conflict(
            f"已在{where}申请“{item.name}”，正在办理（受理编号 {running.case_no}）",
            field="applicant_id",
            advice="同一事项不能重复申请，请查看在办案件",
            reason="open_case",
        )
    if item.code == "temporary_aid":
        return
    held = uow.session.scalars(
        select(HeldBenefitRow)
        .where(
            HeldBenefitRow.benefit.in_(_same_kind(item, benefits)),
            ~HeldBenefitRow.ended,
            HeldBenefitRow.person_ids.overlap(people),
        )
        .order_by(HeldBenefitRow.entitlement_id)
        .limit(1)
    ).first()
    if held:
        where = people_at_hand.full_name(people_at_hand.places(uow, [held.division]), held.division)
        raise Conflict(
            f"已在{where}享受{catalogue.benefits()[held.benefit].name}，不能重复申请",
            field="applicant_id",
            advice="家庭情况有变化的请发起复核；迁入的请先办理原地停发",
            reason="already_held",
        )
    granted = uow.session.scalars(
        select(CaseRow.case_no).where(
            CaseRow.outcome == "granted",
            held_benefits.running(),
            ~CaseRow.returned,
            CaseRow.person_ids.overlap(people),
            CaseRow.benefits.overlap(_same_kind(item, benefits)),
        )
    ).first()
    if granted:
        raise Conflict(
            f"同一待遇已经审核确认（受理编号 {granted}），不能重复申请",
            field="applicant_id",
            advice="家庭情况有变化的请发起复核",
            reason="already_granted",
        )


def _same_kind(item: Item, benefits: Sequence[str]) -> list[str]:
    """Benefits that cannot stand beside those asked for: 城市 and 农村低保 are one."""
    return list(item.benefits if item.unit is Unit.HOUSEHOLD else benefits)


def _add(uow: UnitOfWork, registration: _Registration, case: Case) -> CaseRow:
    return casework.add(uow, registration.values, case, working_calendar.current(uow))


def _accepted(uow: UnitOfWork, row: CaseRow) -> CaseView:
    """What follows from 受理: the bureaus hear of it, and funding is asked where it can be."""
    assert row.accepted_on is not None
    opened = casework.load(uow, row.id)
    due = opened.case.due(opened.calendar, uow.today())
    assert due is not None
    uow.emit(
        CaseAccepted(
            case_id=row.id,
            case_no=row.case_no,
            item=row.item,
            applicant_person_id=row.applicant_id,
            household_id=row.household_id,
            division=row.division,
            accepted_on=row.accepted_on,
            due_on=due.day,
            first_officer_id=_officer(row),
            child=row.child,
        )
    )
    uow.audit("case.accepted", "case", row.id, case_no=row.case_no)
    inquiries.ask_where_possible(uow, opened)
    return views.read(uow, row.id)


def _officer(row: CaseRow) -> UUID:
    assert row.first_officer_id is not None
    return row.first_officer_id
