"""The intake window: who stands here, what is known of them, what they ask for; 受理 or 告知."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.cases import (
    AcceptApplication,
    Application,
    CaseView,
    IntakeView,
    IssueMissingMaterialNotice,
    ItemView,
    ListItems,
    ReadIntake,
    Relative,
)
from services.contracts.commands.registry import (
    FindByIdentity,
    ReadHousehold,
    ReadPerson,
    ReadStaff,
)
from services.contracts.errors import NotFound, ZhidaError
from services.portal.desk import Desk, SignedIn, known_id
from services.portal.forms import Form

room = APIRouter(prefix="/desk/intake")


@room.get("")
def window(desk: SignedIn) -> Response:
    """The window; with ``person`` all that is known of them, with ``item`` its materials."""
    household_id = desk.query_id("household")
    if household_id and not desk.query("person"):
        household = desk.ask(ReadHousehold(household_id=household_id))
        return desk.go(f"/desk/intake?person={household.head_person_id}")
    person_id = desk.form.typed("person") or desk.query("person")
    if not person_id:
        return desk.page("intake/window.html", person=None)
    return _with_person(desk, known_id(person_id))


def _with_person(desk: Desk, person_id: UUID) -> Response:
    """The window with somebody standing at it."""
    person = desk.ask(ReadPerson(person_id=person_id))
    items = [item for item in desk.ask(ListItems(division=person.division)) if item.routes]
    item = _chosen(items, desk.form.typed("item") or desk.query("item"))
    template = "intake/item.html" if desk.partial else "intake/window.html"
    return desk.page(
        template,
        person=person,
        household=desk.ask(ReadHousehold(household_id=person.household_id)),
        known=_known(desk, person_id),
        items=items,
        item=item,
    )


def _known(desk: Desk, person_id: UUID) -> IntakeView | None:
    """Benefits and open cases; ``None`` while a new registration is still on its way to cases."""
    try:
        return desk.ask(ReadIntake(person_id=person_id))
    except NotFound:
        return None


def _chosen(items: list[ItemView], code: str | None) -> ItemView | None:
    return next((item for item in items if item.code == code), None)


@room.post("")
def find(desk: SignedIn) -> Response:
    """Look up whoever's identity number was typed or read from the card."""
    desk.again = partial(desk.page, "intake/window.html", person=None)
    number = desk.form.number("identity_number", "身份证号")
    desk.form.check()
    found = desk.ask(FindByIdentity(identity_number=number))
    if found is None:
        return desk.page("intake/window.html", person=None, unknown=True)
    return desk.go(f"/desk/intake?person={found.person_id}")


@room.post("/accept")
def accept(desk: SignedIn) -> Response:
    """受理."""
    desk.again = partial(window, desk)
    case = desk.do(AcceptApplication(application=_application(desk)))
    return desk.go(f"/cases/{case.case_id}", f"已受理，受理编号 {case.case_no}{_by(case)}")


@room.post("/missing")
def missing(desk: SignedIn) -> Response:
    """一次性告知: all that is missing, once, in writing."""
    desk.again = partial(window, desk)
    case = desk.do(IssueMissingMaterialNotice(application=_application(desk)))
    return desk.go(f"/cases/{case.case_id}", f"已登记 {case.case_no}，请打印一次性告知书交申请人")


def _by(case: CaseView) -> str:
    return f"，{case.deadline.words}" if case.deadline else ""


def _application(desk: Desk) -> Application:
    """What stands on the window's form."""
    form = desk.form
    item = form.text("item", "事项")
    applicant = form.uuid("person", "申请人")
    asked_fen = form.maybe_money("asked", "申请金额")
    covered = form.uuids("covered")
    relatives = _relatives(desk, form)
    form.check()
    return Application(
        item=item,
        applicant_id=applicant,
        route=form.maybe_text("route"),
        benefits=tuple(form.typed_list("benefit")),
        covered_ids=covered,
        single_person=form.ticked("single_person"),
        asked_fen=asked_fen,
        materials=tuple(form.typed_list("material")),
        relatives=relatives,
        circumstance=form.typed("circumstance").strip(),
        proxy_name=form.typed("proxy_name").strip(),
    )


def _relatives(desk: Desk, form: Form) -> tuple[Relative, ...]:
    """A near relative among the staff, named by staff number (近亲属备案)."""
    staff_no = form.maybe_text("relative_no")
    if staff_no is None:
        return ()
    try:
        staff = desk.ask(ReadStaff(staff_no=staff_no))
    except ZhidaError as error:
        form.refuse("relative_no", error.message, "请核对近亲属的工号")
        return ()
    relation = form.text("relative_relation", "近亲属关系")
    return (Relative(staff_id=staff.staff_id, relation=relation),)
