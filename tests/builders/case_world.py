"""A small town for cases: places, staff, a household, told to cases as registry would."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from services.cases import inquiries, projections
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Actor, Role
from services.contracts.commands.cases import Application
from services.contracts.events.cases import AssessmentRequested
from services.contracts.events.funding import EntitlementQuoted, Obstacle, QuotedBenefit
from services.contracts.events.registry import (
    Category,
    DivisionRegistered,
    HouseholdRecorded,
    PersonRecorded,
    StaffAppointed,
)
from services.contracts.ids import new_id

MONDAY = date(2026, 9, 28)
COUNTY, TOWN, VILLAGE = "421083", "421083108", "421083108007"
OTHER_TOWN, OTHER_VILLAGE = "421083109", "421083109003"
ELSEWHERE = "421003100001"

CLERK = UUID(int=1)
REVIEWER = UUID(int=2)
DECIDER = UUID(int=3)
COUNTY_DECIDER = UUID(int=4)
FEDERATION = UUID(int=5)
OTHER_CLERK = UUID(int=6)
INVESTIGATORS = (UUID(int=11), UUID(int=12))
COUNTY_VISITORS = (UUID(int=21), UUID(int=22))

HOUSEHOLD = UUID(int=0x500)
HEAD, WIFE, CHILD = UUID(int=0x501), UUID(int=0x502), UUID(int=0x503)

POSTS: dict[UUID, tuple[str, Role, str]] = {
    CLERK: ("王芳", Role.TOWN_CLERK, TOWN),
    REVIEWER: ("李强", Role.TOWN_REVIEWER, TOWN),
    DECIDER: ("赵敏", Role.TOWN_DECIDER, TOWN),
    COUNTY_DECIDER: ("钱进", Role.COUNTY_DECIDER, COUNTY),
    FEDERATION: ("孙丽", Role.FEDERATION_REVIEWER, COUNTY),
    OTHER_CLERK: ("周平", Role.TOWN_CLERK, OTHER_TOWN),
    INVESTIGATORS[0]: ("吴刚", Role.TOWN_CLERK, TOWN),
    INVESTIGATORS[1]: ("郑洁", Role.VILLAGE_OFFICER, VILLAGE),
    COUNTY_VISITORS[0]: ("冯远", Role.CIVIL_AUDITOR, COUNTY),
    COUNTY_VISITORS[1]: ("陈静", Role.CIVIL_AUDITOR, COUNTY),
}

PLACES = {
    COUNTY: "洪湖市",
    TOWN: "螺山镇",
    VILLAGE: "中原村村民委员会",
    OTHER_TOWN: "乌林镇",
    OTHER_VILLAGE: "香山村",
}


def acting(staff_id: UUID) -> Actor:
    """The actor of a member of staff."""
    name, role, scope = POSTS[staff_id]
    return Actor(id=str(staff_id), name=name, roles=(role,), divisions=(scope,))


def recorded(
    person_id: UUID = HEAD,
    *,
    name: str = "陈桂兰",
    household_id: UUID = HOUSEHOLD,
    division: str = VILLAGE,
    birth_date: date | None = date(1970, 5, 1),
    relation: str = "户主",
    disability: str | None = None,
    deceased_on: date | None = None,
    version: int = 1,
) -> PersonRecorded:
    """A resident as registry tells of them."""
    return PersonRecorded(
        person_id=person_id,
        household_id=household_id,
        division=division,
        name=name,
        sex="女",
        birth_date=birth_date,
        relation=relation,
        is_head=relation == "户主",
        categories=(Category("low_income"),),
        disability=disability,
        officer_id=CLERK,
        deceased_on=deceased_on,
        epoch=0,
        version=version,
    )


def settle(uow: UnitOfWork, *, division: str = VILLAGE) -> None:
    """Places, staff and the family Chen: head, wife, a child of twelve."""
    projections.divisions(
        uow,
        [
            DivisionRegistered(division=code, name=name, parent=None, valid_from=date(2023, 6, 30))
            for code, name in PLACES.items()
        ],
    )
    projections.staff(
        uow,
        [
            StaffAppointed(
                staff_id=staff_id,
                staff_no=f"HH{staff_id.int:04d}",
                name=name,
                division=scope,
                roles=(role,),
                scopes=(scope,),
                active=True,
                epoch=0,
                version=1,
            )
            for staff_id, (name, role, scope) in POSTS.items()
        ],
    )
    projections.people(
        uow,
        [
            recorded(division=division),
            recorded(WIFE, name="张秀英", relation="配偶", division=division),
            recorded(
                CHILD,
                name="张小明",
                relation="子",
                birth_date=date(2014, 3, 3),
                division=division,
            ),
        ],
    )
    projections.households(
        uow,
        [
            HouseholdRecorded(
                household_id=HOUSEHOLD,
                household_no="108007-001",
                division=division,
                head_person_id=HEAD,
                payee_person_id=HEAD,
                members=3,
                epoch=0,
                version=1,
            )
        ],
    )


def application(
    item: str = "dibao",
    *,
    applicant_id: UUID = HEAD,
    materials: tuple[str, ...] | None = None,
    **how: object,
) -> Application:
    """An application with all papers unless told otherwise."""
    from services.cases import catalogue

    if materials is None:
        listed = catalogue.item(item).materials
        materials = tuple(m.code for m in listed if m.required and not m.shared)
    if item == "dibao":
        how.setdefault("benefits", ("rural_dibao",))
    return Application(item=item, applicant_id=applicant_id, materials=materials, **how)  # type: ignore[arg-type]


def answer(
    uow: UnitOfWork,
    asked: AssessmentRequested,
    *,
    fen: int = 66_000,
    obstacles: tuple[Obstacle, ...] = (),
) -> EntitlementQuoted:
    """Funding's answer to a question, told to cases."""
    quoted = EntitlementQuoted(
        quote_id=new_id(),
        case_id=asked.case_id,
        round=asked.round,
        division=asked.division,
        benefits=tuple(
            QuotedBenefit(
                benefit=each.benefit, amount_fen=fen, one_off=False, policy_id="p", working=()
            )
            for each in asked.benefits
        ),
        obstacles=obstacles,
    )
    inquiries.quoted(uow, [quoted])
    return quoted
