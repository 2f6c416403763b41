"""Households and people: find them, see everything about one, put a new one on record."""

from __future__ import annotations

import re
from functools import partial
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.registry import (
    ChangePhone,
    CountPeople,
    HouseholdView,
    ListChanges,
    ListHouseholds,
    ListPeople,
    NewMember,
    ReadHousehold,
    ReadPerson,
    RecordDeath,
    RegisterHousehold,
    RequestAccountChange,
    RevealIdentity,
    RevokeDeath,
    SearchPeople,
)
from services.portal.desk import Desk, SignedIn
from services.portal.forms import Form, compact, half_width
from services.portal.history import household_history

room = APIRouter()

RELATIONS = ("户主", "配偶", "子", "女", "孙", "父母", "祖父母", "兄弟姐妹", "其他")


_CASE_NO = re.compile(r"\d{6}-\d{4}-\d+")
_IDENTITY = re.compile(r"\d{15}|\d{17}[\dX]")


@room.post("/search")
def look_for(desk: SignedIn) -> Response:
    """Where what was typed leads: a case by its number, a household by an identity number.

    Names go on to the list; an identity number never stands in an address.
    """
    desk.again = partial(desk.page, "households/search.html", text=None, page=None)
    text = desk.form.typed("q").strip()
    number = compact(text).upper()
    if _CASE_NO.fullmatch(half_width(text)):
        return desk.go(f"/cases?case_no={half_width(text)}")
    if not _IDENTITY.fullmatch(number):
        return desk.go(f"/search?q={quote(text)}")
    page = desk.ask(SearchPeople(text=number))
    if len(page.people) == 1:
        return desk.go(f"/households/{page.people[0].household_id}")
    return desk.page("households/search.html", text=None, page=page)


@room.get("/search")
def search(desk: SignedIn) -> Response:
    """People by name, pinyin initials, full identity number or household number."""
    text = desk.query("q")
    page = desk.ask(SearchPeople(text=text, after=desk.query("after"))) if text else None
    template = "households/found.html" if desk.partial else "households/search.html"
    return desk.page(template, text=text, page=page)


@room.get("/households")
def households(desk: SignedIn) -> Response:
    """The households of a place."""
    division = desk.query("division") or ""
    page = desk.ask(ListHouseholds(division=division, after=desk.query("after")))
    return desk.page("households/list.html", page=page, division=division)


@room.get("/households/new")
def new_household(desk: SignedIn) -> Response:
    """The form for a household: the head, the members, where they live."""
    return desk.page(
        "households/new.html",
        rows=_rows(desk.form.typed("rows") or desk.query("rows")),
        relations=RELATIONS,
    )


def _rows(asked: str | None) -> int:
    """How many rows the member grid has: five, or as many as asked for, at most twenty."""
    digits = (asked or "").strip()
    asked_for = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else 0
    return min(20, max(5, asked_for))


@room.post("/households/new")
def register(desk: SignedIn) -> Response:
    """Put a household on record."""
    desk.again = partial(new_household, desk)
    form = desk.form
    division = form.text("division", "村（社区）")
    members = _members(form)
    form.check()
    household = desk.do(
        RegisterHousehold(
            division=division,
            members=members,
            household_no=form.maybe_text("household_no"),
            address=form.maybe_text("address"),
        )
    )
    return desk.go(
        f"/households/{household.household_id}", f"已建档，户编号 {household.household_no}"
    )


def _members(form: Form) -> tuple[NewMember, ...]:
    """The rows of the member grid in which something was typed."""
    members = []
    for row in range(_rows(form.typed("rows"))):
        name = form.maybe_text(f"name-{row}")
        number = form.maybe_number(f"identity_number-{row}")
        if name is None and number is None:
            continue
        where = f"第 {row + 1} 行"
        if name is None:
            form.refuse(f"name-{row}", f"{where}：请填写姓名")
        if number is None:
            form.refuse(f"identity_number-{row}", f"{where}：请填写身份证号")
        relation = form.typed(f"relation-{row}")
        if not relation:
            form.refuse(f"relation-{row}", f"{where}：请选择与户主关系")
        account = form.maybe_number(f"account_number-{row}")
        if account != form.maybe_number(f"account_again-{row}"):
            form.refuse(
                f"account_again-{row}",
                f"{where}：两次填写的银行账号不一致",
                "请对照存折或卡面重新填写",
            )
        members.append(
            NewMember(
                name=name or "",
                identity_number=number or "",
                relation=relation,
                disability=form.maybe_text(f"disability-{row}"),
                phone=form.maybe_number(f"phone-{row}"),
                account_name=name if account else None,
                account_number=account,
            )
        )
    if not members:
        form.refuse("name-0", "请至少填写户主一人")
    return tuple(members)


@room.get("/people")
def ledger(desk: SignedIn) -> Response:
    """The ledger (台账): people by place and standing, with how many there are in all."""
    division = desk.query("division") or ""
    beneficiary = {"yes": True, "no": False}.get(desk.query("beneficiary") or "")
    return desk.page(
        "households/ledger.html",
        division=division,
        beneficiary=desk.query("beneficiary"),
        total=desk.ask(CountPeople(division=division, beneficiary=beneficiary)),
        page=desk.ask(
            ListPeople(division=division, beneficiary=beneficiary, after=desk.query("after"))
        ),
    )


@room.get("/people/{person_id}")
def person(person_id: UUID, desk: SignedIn) -> Response:
    """A person's page is their household's."""
    return desk.go(f"/households/{desk.ask(ReadPerson(person_id=person_id)).household_id}")


@room.get("/households/{household_id}")
def household(household_id: UUID, desk: SignedIn) -> Response:
    """Everything about one household on one page, with one timeline."""
    view = desk.ask(ReadHousehold(household_id=household_id))
    return desk.page(
        "households/household.html",
        household=view,
        head=_head(view),
        chosen=desk.form.typed("member") or desk.query("member"),
        **household_history(desk, view),
    )


def _head(view: HouseholdView) -> object:
    """The head of the household, or whoever stands first."""
    return next((member for member in view.members if member.is_head), None) or view.members[0]


@room.get("/households/{household_id}/changes")
def changes(household_id: UUID, desk: SignedIn) -> Response:
    """The full history of changes: who, when, what, why."""
    view = desk.ask(ReadHousehold(household_id=household_id))
    lines = desk.ask(ListChanges(household_id=household_id, limit=500))
    return desk.page("households/changes.html", household=view, head=_head(view), lines=lines)


@room.post("/people/{person_id}/reveal")
def reveal(person_id: UUID, desk: SignedIn) -> Response:
    """Show a person's numbers in full, for a purpose that is noted."""
    someone = desk.ask(ReadPerson(person_id=person_id))
    desk.again = partial(household, someone.household_id, desk)
    purpose = desk.form.text("purpose", "查看用途")
    desk.form.check()
    revealed = desk.ask(RevealIdentity(person_id=person_id, purpose=purpose), purpose=purpose)
    return desk.page("households/revealed.html", person=someone, revealed=revealed, purpose=purpose)


@room.post("/people/{person_id}/{what}")
def amend(person_id: UUID, what: str, desk: SignedIn) -> Response:
    """Phone, account (confirmed by a second person), death, or a death taken back."""
    household_id = desk.ask(ReadPerson(person_id=person_id)).household_id
    desk.again = partial(household, household_id, desk)
    notice = _amend(desk, person_id, what)
    return desk.go(f"/households/{household_id}", notice)


def _amend(desk: Desk, person_id: UUID, what: str) -> str:
    form = desk.form
    if what == "phone":
        desk.do(ChangePhone(person_id=person_id, phone=form.maybe_number("phone")))
        return "联系电话已登记"
    if what == "account":
        number = form.number("account_number", "银行账号")
        if number != form.maybe_number("account_again"):
            form.refuse("account_again", "两次填写的银行账号不一致", "请对照存折或卡面重新填写")
        name, reason = form.text("account_name", "开户名"), form.text("reason", "变更原因")
        form.check()
        desk.do(
            RequestAccountChange(
                person_id=person_id,
                account_name=name,
                account_number=number,
                bank=form.maybe_text("bank"),
                reason=reason,
            )
        )
        return "账户变更已提出，待另一人确认后生效"
    if what == "life":
        evidence = form.text("evidence", "依据")
        form.check()
        desk.do(RevokeDeath(person_id=person_id, evidence=evidence))
        return "死亡登记已撤销，停发的待遇将恢复并补发"
    died_on, evidence = form.day("died_on", "死亡日期"), form.text("evidence", "依据")
    form.check()
    desk.do(RecordDeath(person_id=person_id, died_on=died_on, evidence=evidence))
    return "已登记死亡，待遇将按规定停发"
