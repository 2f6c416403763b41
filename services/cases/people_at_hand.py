"""The people of a case as cases' copies know them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from uuid import UUID

from sqlalchemy import select

from services.cases.models import Division, Household, Person, Staff
from services.chassis.uow import UnitOfWork
from services.contracts.divisions import county, town
from services.contracts.errors import Invalid

ADULT = 18


def person(uow: UnitOfWork, person_id: UUID, *, field: str) -> Person:
    """A living resident; refused in Chinese when unknown, removed or dead."""
    found = uow.session.get(Person, person_id)
    if found is None or found.removed:
        raise Invalid(
            "没有找到此人的档案",
            field=field,
            advice="请先在人员档案中登记；刚登记的请稍候几秒再试",
            reason="unknown_person",
        )
    if found.deceased_on:
        raise Invalid(
            f"{found.name}已于 {found.deceased_on} 死亡登记",
            field=field,
            advice="请核对；登记有误的由公安机关撤销",
            reason="deceased",
        )
    return found


def living_members(uow: UnitOfWork, household_id: UUID) -> list[Person]:
    """The living members of a household, the head first."""
    return list(
        uow.session.scalars(
            select(Person)
            .where(
                Person.household_id == household_id,
                Person.deceased_on.is_(None),
                ~Person.removed,
            )
            .order_by(Person.is_head.desc(), Person.person_id)
        )
    )


def is_minor(someone: Person, on: date) -> bool:
    """Under 18 on the day. Without a birth date nobody is taken for a child."""
    born = someone.birth_date
    if born is None:
        return False
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day)) < ADULT


def payee(uow: UnitOfWork, household_id: UUID, covered: Collection[UUID], on: date) -> UUID:
    """Whose account is paid: a covered adult's own, otherwise the household's payee."""
    if len(covered) == 1:
        only = uow.session.get(Person, next(iter(covered)))
        if only and not is_minor(only, on) and not only.deceased_on:
            return only.person_id
    household = uow.session.get(Household, household_id)
    if household and household.payee_person_id:
        return household.payee_person_id
    members = living_members(uow, household_id)
    if not members:
        raise Invalid("家庭没有可以领款的成员", field="household_id", advice="请先确定领款人")
    return members[0].person_id


def names(uow: UnitOfWork, person_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Names by id."""
    rows = uow.session.execute(
        select(Person.person_id, Person.name).where(Person.person_id.in_(set(person_ids)))
    )
    return dict(rows.all())


def staff_names(uow: UnitOfWork, staff_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Names of staff by id."""
    rows = uow.session.execute(
        select(Staff.staff_id, Staff.name).where(Staff.staff_id.in_(set(staff_ids)))
    )
    return dict(rows.all())


def check_staff(uow: UnitOfWork, staff_ids: Iterable[UUID], *, field: str) -> None:
    """Everybody named must be in post."""
    wanted = list(staff_ids)
    active = set(
        uow.session.scalars(select(Staff.staff_id).where(Staff.staff_id.in_(wanted), Staff.active))
    )
    for index, staff_id in enumerate(wanted):
        if staff_id not in active:
            raise Invalid(
                "没有找到这名在岗工作人员",
                field=f"{field}[{index}]",
                advice="请核对工号；刚任职的请稍候几秒再试",
                reason="unknown_staff",
            )


def places(uow: UnitOfWork, divisions: Iterable[str]) -> dict[str, str]:
    """Names of divisions with those of their town and county, as far as they are known."""
    codes = {each for code in divisions for each in (code, town(code), county(code))}
    rows = uow.session.execute(
        select(Division.division, Division.name).where(Division.division.in_(codes))
    )
    return dict(rows.all())


def full_name(known: dict[str, str], division: str) -> str:
    """Town and village: 新堤街道文泉社区. The code where a name is not known."""
    said = "".join(
        _short(known.get(code, ""))
        for code in dict.fromkeys((town(division), division))
        if code != county(division)
    )
    return said or known.get(division, division)


def _short(name: str) -> str:
    """朱家峰村村民委员会 → 朱家峰村: the place, not its committee."""
    for committee in ("村民委员会", "居民委员会", "村委会", "居委会"):
        name = name.removesuffix(committee)
    return name
