"""Registry's rows as the events that tell of them: one place, so that all senders agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.events.registry import (
    Category,
    HouseholdRecorded,
    PersonAccountChanged,
    PersonContactChanged,
    PersonRecorded,
    StaffAppointed,
    StaffContactChanged,
)
from services.registry.domain.benefits import KINSHIPS
from services.registry.models import Household, Person, PersonCategory, Staff


def staff_appointed(uow: UnitOfWork, staff: Staff) -> StaffAppointed:
    """The whole post of a member of staff."""
    return StaffAppointed(
        staff_id=staff.id,
        staff_no=staff.staff_no,
        name=staff.name,
        division=staff.division,
        roles=tuple(Role(role) for role in staff.roles),
        scopes=tuple(staff.scopes),
        active=staff.active,
        epoch=uow.epoch,
        version=staff.version,
    )


def staff_contact_changed(uow: UnitOfWork, staff: Staff, phone: str | None) -> StaffContactChanged:
    """A member of staff's phone, sealed for notify."""
    return StaffContactChanged(
        staff_id=staff.id,
        division=staff.division,
        phone=uow.seals.seal("notify", phone) if phone else None,
        epoch=uow.epoch,
        version=staff.contact_version,
    )


def current_categories(uow: UnitOfWork, person_ids: Sequence[UUID]) -> dict[UUID, list[Category]]:
    """The categories these people belong to today."""
    found: dict[UUID, list[Category]] = {}
    rows = uow.session.execute(
        select(PersonCategory.person_id, PersonCategory.code, PersonCategory.since)
        .where(PersonCategory.person_id.in_(person_ids), PersonCategory.until.is_(None))
        .order_by(PersonCategory.code)
    )
    for person_id, code, since in rows:
        found.setdefault(person_id, []).append(Category(code, since))
    return found


def people_recorded(
    uow: UnitOfWork,
    people: Sequence[Person],
    categories: Mapping[UUID, Sequence[Category]] | None = None,
) -> Iterable[PersonRecorded]:
    """The whole state of people, with their categories (asked for unless known)."""
    if categories is None:
        categories = current_categories(uow, [person.id for person in people])
    for person in people:
        yield PersonRecorded(
            person_id=person.id,
            household_id=person.household_id,
            division=person.division,
            name=person.name,
            sex=person.sex,
            birth_date=person.birth_date,
            relation=KINSHIPS[person.relation],
            is_head=person.is_head,
            categories=tuple(categories.get(person.id, ())),
            disability=person.disability,
            officer_id=person.officer_id,
            deceased_on=person.deceased_on,
            removed=person.removed,
            epoch=uow.epoch,
            version=person.version,
        )


def household_recorded(uow: UnitOfWork, household: Household) -> HouseholdRecorded:
    """The whole state of a household; members are those alive and on record."""
    uow.session.flush()
    members = uow.session.scalar(
        select(func.count()).where(
            Person.household_id == household.id,
            ~Person.removed,
            Person.deceased_on.is_(None),
        )
    )
    return household_state(uow, household, members=members or 0)


def household_state(uow: UnitOfWork, household: Household, *, members: int) -> HouseholdRecorded:
    """As ``household_recorded`` for whoever has counted the members of many at once."""
    return HouseholdRecorded(
        household_id=household.id,
        household_no=household.number,
        division=household.division,
        head_person_id=household.head_person_id,
        payee_person_id=household.payee_person_id,
        payee_changed_at=household.payee_changed_at,
        members=members,
        removed=household.removed,
        epoch=uow.epoch,
        version=household.version,
    )


def account_changed(
    uow: UnitOfWork,
    person: Person,
    *,
    name: str | None,
    number: str | None,
    at: datetime,
    carried_over: bool = False,
) -> PersonAccountChanged:
    """A person's account, sealed for funding."""
    return PersonAccountChanged(
        person_id=person.id,
        division=person.division,
        account_name=uow.seals.seal("funding", name) if name else None,
        account_number=uow.seals.seal("funding", number) if number else None,
        bank=person.bank,
        changed_at=at,
        carried_over=carried_over,
        epoch=uow.epoch,
        version=person.account_version,
    )


def contact_changed(uow: UnitOfWork, person: Person, phone: str | None) -> PersonContactChanged:
    """A person's phone, sealed for notify."""
    return PersonContactChanged(
        person_id=person.id,
        division=person.division,
        phone=uow.seals.seal("notify", phone) if phone else None,
        epoch=uow.epoch,
        version=person.contact_version,
    )
