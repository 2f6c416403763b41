"""People and households on record: registering them, and what changes about them later."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnClause,
    LargeBinary,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    text,
    true,
    update,
)

from services.chassis import rows
from services.chassis.planned import PLANNED
from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    AddMember,
    ChangePhone,
    HouseholdView,
    NewMember,
    PersonView,
    RecordPerson,
    RegisterHousehold,
)
from services.contracts.errors import Conflict, Invalid, NotFound, Stale
from services.contracts.events.registry import Category, PersonRegistered
from services.contracts.ids import new_id
from services.registry import announcements, deaths, divisions, queries, responsibility, staff
from services.registry.domain import identity_number, roster
from services.registry.domain.benefits import CATEGORIES, DISABILITY, HEAD, KINSHIP_SPELLINGS
from services.registry.domain.pinyin import initials
from services.registry.models import (
    BureauNotice,
    Division,
    Household,
    Person,
    PersonCategory,
    Responsibility,
    Staff,
)
from services.registry.roster_import import undoing

_PHONE_ADVICE = "请填 11 位手机号或带区号的固话"


def register(uow: UnitOfWork, command: RegisterHousehold) -> HouseholdView:
    """Put a household and its members on record."""
    uow.require(command.division)
    heads = [m for m in command.members if KINSHIP_SPELLINGS.get(m.relation) == HEAD]
    if len(heads) != 1:
        raise Invalid(
            "一户应有且只有一个户主", field="members", advice="请把其中一人的关系填为户主"
        )
    place, officer = _place_and_officer(uow, command.division, command.officer_no)
    household = Household(id=new_id(), division=place.code, removed=False, version=1)
    if command.address:
        household.address = uow.cipher.encrypt(
            command.address, table="household", row=household.id, column="address"
        )
    newcomers = [_newcomer(uow, household, member, officer) for member in command.members]
    head = next(each.person for each in newcomers if each.person.is_head)
    household.head_person_id = household.payee_person_id = head.id
    _wait_for_turn(uow, newcomers, place.code)
    found = _look_up(uow, newcomers, place.code)
    _refuse_known(uow, found)
    household.number = _free_number(uow, command.household_no, place.code, found.last_number)
    _put_on_record(uow, newcomers, household)
    uow.emit(announcements.household_state(uow, household, members=len(newcomers)))
    _tell_of_new(uow, newcomers)
    uow.audit("household.registered", "household", household.id, members=len(newcomers))
    people = [each.person for each in newcomers]
    if found.has_notices:
        deaths.match_waiting(uow, people)
    return queries.household_of(uow, household, people, _categories(newcomers))


def add_member(uow: UnitOfWork, command: AddMember) -> PersonView:
    """Put one more person into a household (not a second head)."""
    household = _household(uow, command.household_id)
    if KINSHIP_SPELLINGS.get(command.member.relation) == HEAD:
        raise Conflict("该户已有户主", field="member.relation", advice="请填写与户主的关系")
    if not command.reason.strip():
        raise Invalid("请写明增加成员的原因", field="reason")
    officer_id = uow.session.scalar(
        select(Person.officer_id).where(Person.id == household.head_person_id)
    )
    officer = uow.session.get(Staff, officer_id) if officer_id else None
    if officer is None or not officer.active:
        officer = responsibility.officer_of(uow, household.division)
    newcomer = _newcomer(uow, household, command.member, officer)
    person = newcomer.person
    _wait_for_turn(uow, [newcomer])
    found = _look_up(uow, [newcomer], household.division)
    _refuse_known(uow, found)
    _put_on_record(uow, [newcomer])
    household.version += 1
    uow.emit(announcements.household_recorded(uow, household))
    _tell_of_new(uow, [newcomer])
    uow.audit(
        "person.added", "person", person.id, household=household.number, reason=command.reason
    )
    if found.has_notices:
        deaths.match_waiting(uow, [person])
    return queries.person_view(uow, person)


def record(uow: UnitOfWork, command: RecordPerson) -> PersonView:
    """Set a person's categories and disability."""
    person = living(uow, command.person_id)
    if person.version != command.version:
        raise Stale("资料已被他人修改", advice="请刷新后重新填写")
    if not command.reason.strip():
        raise Invalid("请写明变更原因", field="reason")
    codes = {_category(word) for word in command.categories}
    current = {
        category.code
        for category in announcements.current_categories(uow, [person.id]).get(person.id, [])
    }
    uow.session.execute(
        update(PersonCategory)
        .where(
            PersonCategory.person_id == person.id,
            PersonCategory.until.is_(None),
            PersonCategory.code.in_(current - codes),
        )
        .values(until=uow.today())
    )
    fresh = [Category(code, uow.today()) for code in sorted(codes - current)]
    rows.write(uow.session, {PersonCategory: _rows({person.id: fresh})})
    person.disability = _disability(command.disability)
    person.version += 1
    uow.audit(
        "person.recorded",
        "person",
        person.id,
        categories=sorted(codes),
        disability=person.disability,
        reason=command.reason,
    )
    uow.emit(*announcements.people_recorded(uow, [person]))
    return queries.person_view(uow, person)


def change_phone(uow: UnitOfWork, command: ChangePhone) -> PersonView:
    """Record a phone number, or that there is none."""
    person = living(uow, command.person_id)
    phone = _phone(command.phone)
    person.phone = (
        uow.cipher.encrypt(phone, table="person", row=person.id, column="phone") if phone else None
    )
    person.contact_version += 1
    uow.audit("person.phone_changed", "person", person.id)
    uow.session.flush()
    uow.emit(announcements.contact_changed(uow, person, phone))
    return queries.person_view(uow, person)


def on_record(uow: UnitOfWork, person_id: UUID) -> Person:
    """A person within the actor's divisions, locked. Raises ``NotFound`` or ``Forbidden``."""
    person = uow.session.get(Person, person_id, with_for_update=True)
    if person is None or person.removed:
        raise NotFound("没有这个人", field="person_id")
    uow.require(person.division)
    return person


def living(uow: UnitOfWork, person_id: UUID) -> Person:
    """As ``on_record``; raises ``Conflict`` for the dead."""
    person = on_record(uow, person_id)
    if person.deceased_on is not None:
        raise Conflict(f"{person.name}已登记死亡", field="person_id", reason="deceased")
    return person


def _household(uow: UnitOfWork, household_id: UUID) -> Household:
    household = uow.session.get(Household, household_id, with_for_update=True)
    if household is None or household.removed:
        raise NotFound("没有这一户", field="household_id")
    uow.require(household.division)
    undoing.refuse_while_undoing(uow, household.import_id)
    return household


class _Newcomer(NamedTuple):
    """Somebody about to be put on record, with what is kept or told beside the row."""

    person: Person
    categories: list[Category]
    phone: str | None
    account: str | None
    account_name: str | None


def _newcomer(
    uow: UnitOfWork, household: Household, member: NewMember, officer: Staff
) -> _Newcomer:
    identity = identity_number.read(member.identity_number, uow.today())
    relation = KINSHIP_SPELLINGS.get(member.relation)
    if relation is None:
        raise Invalid(f"不认识的与户主关系“{member.relation}”", field="relation")
    name = member.name.strip()
    if not roster.is_name(name):
        raise Invalid("姓名为空或含有非文字字符", field="name", advice="请按身份证填写")
    person_id = new_id()

    def sealed(value: str | None, column: str) -> bytes | None:
        return (
            uow.cipher.encrypt(value, table="person", row=person_id, column=column)
            if value
            else None
        )

    phone = _phone(member.phone)
    account = account_number(member.account_number)
    account_name = member.account_name or (name if account else None)
    person = Person(
        id=person_id,
        household_id=household.id,
        division=household.division,
        name=name,
        initials=initials(name),
        sex="女" if identity.female else "男",
        birth_date=identity.birth,
        identity=sealed(identity.number, "identity"),
        identity_index=uow.cipher.blind_index(identity.number),
        relation=relation,
        is_head=relation == HEAD,
        disability=_disability(member.disability),
        officer_id=officer.id,
        phone=sealed(phone, "phone"),
        account_name=sealed(account_name, "account_name"),
        account_number=sealed(account, "account_number"),
        bank=member.bank,
        registered_on=uow.today(),
        version=1,
        contact_version=1,
        account_version=1 if account else 0,
        beneficiary=False,
        removed=False,
    )
    codes = sorted({_category(word) for word in member.categories})
    categories = [Category(code, uow.today()) for code in codes]
    return _Newcomer(person, categories, phone, account, account_name)


def _put_on_record(uow: UnitOfWork, newcomers: Sequence[_Newcomer], *household: Household) -> None:
    people = [each.person for each in newcomers]
    others = {
        Responsibility: responsibility.first(uow, people, "登记建档"),
        PersonCategory: _rows(_categories(newcomers)),
    }
    uow.put(*household, *people, others=others)
    for each in newcomers:
        if each.account:
            uow.emit(
                announcements.account_changed(
                    uow,
                    each.person,
                    name=each.account_name,
                    number=each.account,
                    at=uow.now(),
                    carried_over=True,
                )
            )
        uow.emit(announcements.contact_changed(uow, each.person, each.phone))


def _categories(newcomers: Sequence[_Newcomer]) -> dict[UUID, list[Category]]:
    return {each.person.id: each.categories for each in newcomers}


def _tell_of_new(uow: UnitOfWork, newcomers: Sequence[_Newcomer]) -> None:
    people = [each.person for each in newcomers]
    uow.emit(*announcements.people_recorded(uow, people, _categories(newcomers)))
    uow.emit(
        *(
            PersonRegistered(
                person_id=person.id,
                household_id=person.household_id,
                division=person.division,
                registered_on=person.registered_on,
            )
            for person in people
        )
    )


_TURNS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(turn, 2)) FROM unnest(CAST(:turns AS text[]))"
    " AS turn"
).execution_options(**PLANNED)


def _wait_for_turn(uow: UnitOfWork, newcomers: Sequence[_Newcomer], *villages: str) -> None:
    """Two windows with the same identity number, or taking a household number of the same village,
    wait for one another; in one order, so never in a ring.
    """
    turns = [*villages, *(each.person.identity_index.hex() for each in newcomers)]
    uow.session.connection().execute(_TURNS, {"turns": sorted(turns)})


class _Found(NamedTuple):
    """What the newcomers and the village they come to already have here."""

    known_division: str | None
    """Where one of the newcomers is on record, and in which household."""
    known_household: str | None
    last_number: str | None
    """The highest household number the village has given. Those of an import that was undone stay
    given: the roster comes again, put right, with the same numbers."""
    has_notices: bool
    """A bureau told of one of them before he was registered."""


_INDEXES = bindparam("indexes", type_=ARRAY(LargeBinary))
# Written out, as "waiting" below: a plan for all knows no parameter's value (``planned``).
_ONE: ColumnClause[int] = literal_column("1")
_KNOWN = (
    select(Person.division, Household.number)
    .join(Household, Household.id == Person.household_id)
    .where(Person.identity_index == any_(_INDEXES), ~Person.removed)
    .limit(_ONE)
    .subquery("known")
)
_HIGHEST = (
    select(Household.number)
    .where(
        Household.number.between(bindparam("lowest"), bindparam("highest")),
        func.length(Household.number) == func.length(bindparam("highest")),
    )
    .order_by(Household.number.desc())
    .limit(_ONE)
    .scalar_subquery()
)
_NOTICE = select(BureauNotice.event_id).where(
    BureauNotice.state == literal_column("'waiting'"),
    BureauNotice.identity_index == any_(_INDEXES),
)
_ONCE = select(_ONE).subquery("once")
_FOUND = (
    select(_KNOWN.c.division, _KNOWN.c.number, _HIGHEST, _NOTICE.exists())
    .select_from(_ONCE.outerjoin(_KNOWN, true()))
    .execution_options(**PLANNED)
)


def _look_up(uow: UnitOfWork, newcomers: Sequence[_Newcomer], village: str) -> _Found:
    """Look once, after the turn has come. Raises ``Conflict`` for a number given twice."""
    indexes = [each.person.identity_index for each in newcomers]
    if len(set(indexes)) < len(indexes):
        raise Conflict(
            "同一个身份证号在本户填了两次",
            field="identity_number",
            advice="请核对各成员的身份证号",
            reason="already_registered",
        )
    wanted = {"indexes": indexes, "lowest": f"{village}0000", "highest": f"{village}9999"}
    return _Found(*uow.session.connection().execute(_FOUND, wanted).one())


def _refuse_known(uow: UnitOfWork, found: _Found) -> None:
    """Raise ``Conflict`` when one of the numbers is on record."""
    if found.known_division is not None:
        place = divisions.named(uow, [found.known_division]).get(
            found.known_division, found.known_division
        )
        raise Conflict(
            f"该身份证号已登记在{place}户 {found.known_household}",
            field="identity_number",
            advice="请在原户办理，或先办迁移",
            reason="already_registered",
        )


def _free_number(uow: UnitOfWork, given: str | None, village: str, last: str | None) -> str:
    if given:
        taken = uow.session.scalar(
            select(Household.id).where(Household.number == given, ~Household.removed)
        )
        if taken:
            raise Conflict(
                f"户编号 {given} 已有", field="household_no", advice="请留空，由系统编号"
            )
        return given
    return f"{village}{int(last[12:]) + 1 if last and last[12:].isdigit() else 1:04d}"


def _place_and_officer(
    uow: UnitOfWork, code: str, officer_no: str | None
) -> tuple[Division, Staff]:
    if not officer_no:
        return responsibility.village_and_officer(uow, code)
    village = divisions.village(uow, code)
    officer = staff.by_number(uow, officer_no)
    responsibility.require_covering(officer, village.code)
    return village, officer


def _rows(categories: Mapping[UUID, Sequence[Category]]) -> list[rows.Row]:
    return [
        {"person_id": person_id, "code": category.code, "since": category.since}
        for person_id, added in categories.items()
        for category in added
    ]


def _category(word: str) -> str:
    return CATEGORIES.get(word.strip(), word.strip())


def _disability(text_given: str | None) -> str | None:
    if not text_given or not text_given.strip():
        return None
    match = DISABILITY.fullmatch(text_given.strip())
    if match is None:
        raise Invalid(
            f"不认识的残疾类别“{text_given}”", field="disability", advice="请填写如 肢体二级"
        )
    return f"{match[1]}{match[2]}级"


def _phone(given: str | None) -> str | None:
    phone = re.sub(r"[\s-]", "", given or "")
    if phone and not roster.is_phone(phone):
        raise Invalid("不是手机号或固定电话", field="phone", advice=_PHONE_ADVICE)
    return phone or None


def account_number(given: str | None) -> str | None:
    """The digits of an account as typed. Raises ``Invalid`` (field account_number)."""
    account = re.sub(r"[\s-]", "", given or "")
    if account and not roster.is_account(account):
        raise Invalid(
            "银行账号应为 8 至 32 位数字", field="account_number", advice="请核对存折或社保卡"
        )
    return account or None
