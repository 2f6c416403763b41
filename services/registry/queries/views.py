"""People and households as shown: numbers by their last four, codes with their titles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import CategoryView, HouseholdView, PersonView
from services.contracts.events.registry import Category
from services.registry import announcements, divisions
from services.registry.domain.benefits import CATEGORIES, KINSHIPS
from services.registry.domain.identity_number import mask
from services.registry.models import Household, Person, Staff

_TITLES: dict[str, str] = {}
for _title, _code in CATEGORIES.items():
    _TITLES.setdefault(_code, _title)


def person_view(uow: UnitOfWork, person: Person) -> PersonView:
    """A person as shown."""
    return person_views(uow, [person])[0]


def person_views(
    uow: UnitOfWork,
    people: Sequence[Person],
    categories: Mapping[UUID, Sequence[Category]] | None = None,
) -> list[PersonView]:
    """People as shown, with one query for each kind of thing about them that is not known."""
    uow.flush()
    if categories is None:
        categories = announcements.current_categories(uow, [person.id for person in people])
    names = divisions.named(uow, (person.division for person in people))
    officers = uow.by_id(Staff, (person.officer_id for person in people))
    households = uow.by_id(Household, (person.household_id for person in people))
    return [
        PersonView(
            person_id=person.id,
            household_id=person.household_id,
            household_no=households[person.household_id].number,
            division=person.division,
            division_name=names.get(person.division, person.division),
            name=person.name,
            sex=person.sex,
            identity_masked=_masked(opened(uow, person, "identity")),
            relation=KINSHIPS[person.relation],
            is_head=person.is_head,
            categories=tuple(
                CategoryView(code=c.code, title=_TITLES.get(c.code, c.code), since=c.since)
                for c in categories.get(person.id, ())
            ),
            disability=person.disability,
            phone_masked=_masked(opened(uow, person, "phone")),
            account_masked=_masked(opened(uow, person, "account_number")),
            account_name=opened(uow, person, "account_name"),
            officer_id=person.officer_id,
            officer_name=officers[person.officer_id].name,
            officer_no=officers[person.officer_id].staff_no,
            beneficiary=person.beneficiary,
            deceased_on=person.deceased_on,
            version=person.version,
        )
        for person in people
    ]


def household_view(uow: UnitOfWork, household: Household) -> HouseholdView:
    """A household with its members, the head first."""
    uow.session.flush()
    people = uow.session.scalars(
        select(Person).where(Person.household_id == household.id, ~Person.removed)
    ).all()
    return household_of(uow, household, people)


def household_of(
    uow: UnitOfWork,
    household: Household,
    people: Sequence[Person],
    categories: Mapping[UUID, Sequence[Category]] | None = None,
) -> HouseholdView:
    """A household with these people, the head first, then the eldest."""
    people = sorted(people, key=lambda person: (not person.is_head, person.birth_date))
    return HouseholdView(
        household_id=household.id,
        household_no=household.number,
        division=household.division,
        division_name=divisions.named(uow, [household.division]).get(household.division, ""),
        head_person_id=household.head_person_id,
        payee_person_id=household.payee_person_id,
        address=None,
        members=tuple(person_views(uow, people, categories)) if people else (),
        version=household.version,
    )


def elsewhere(view: PersonView) -> PersonView:
    """What a window of another place may know of somebody: where, and whom to ask."""
    return PersonView(
        person_id=view.person_id,
        household_id=view.household_id,
        household_no="",
        division=view.division,
        division_name=view.division_name,
        name=view.name[:1] + "*" * (len(view.name) - 1),
        sex=view.sex,
        identity_masked=view.identity_masked,
        relation=view.relation,
        is_head=view.is_head,
        categories=(),
        disability=None,
        phone_masked=None,
        account_masked=None,
        account_name=None,
        officer_id=view.officer_id,
        officer_name=view.officer_name,
        officer_no=view.officer_no,
        beneficiary=view.beneficiary,
        deceased_on=view.deceased_on,
        version=view.version,
    )


def opened(uow: UnitOfWork, person: Person, column: str) -> str | None:
    """A personal number in full, for the registry's own use."""
    data: bytes | None = getattr(person, column)
    if data is None:
        return None
    return uow.cipher.decrypt(data, table="person", row=person.id, column=column)


def _masked(text: str | None) -> str | None:
    return mask(text) if text else None
