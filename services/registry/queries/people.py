"""People read, found, searched and listed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, exists, func, select, tuple_

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    CountPeople,
    FindByIdentity,
    ListPeople,
    PersonPage,
    PersonView,
    ReadPerson,
    Revealed,
    RevealIdentity,
    SearchPeople,
)
from services.contracts.errors import Invalid
from services.registry.domain import identity_number
from services.registry.domain.benefits import CATEGORIES
from services.registry.models import Household, Person, PersonCategory, Staff
from services.registry.queries.sight import in_sight, within
from services.registry.queries.views import elsewhere, opened, person_view, person_views


def read_person(uow: UnitOfWork, query: ReadPerson) -> PersonView:
    """One person within the actor's divisions."""
    return person_view(uow, in_sight(uow, query.person_id))


def find_by_identity(uow: UnitOfWork, query: FindByIdentity) -> PersonView | None:
    """Whoever has this number; elsewhere, only place and officer are shown."""
    number = identity_number.read(query.identity_number, uow.today()).number
    person = uow.session.scalar(
        select(Person).where(
            Person.identity_index == uow.cipher.blind_index(number), ~Person.removed
        )
    )
    uow.audit("person.looked_up", "person", person.id if person else "")
    if person is None:
        return None
    view = person_view(uow, person)
    if uow.actor.covers(person.division):
        return view
    return elsewhere(view)


def search(uow: UnitOfWork, query: SearchPeople) -> PersonPage:
    """By identity number, 户编号, pinyin initials or part of a name, whichever it looks like."""
    text = query.text.strip()
    if not text:
        raise Invalid("请输入要找的内容", field="text")
    compact = identity_number.normalize(text)
    if len(compact) in (15, 18) and compact[:14].isdigit():
        number = identity_number.read(compact, uow.today()).number
        wanted = Person.identity_index == uow.cipher.blind_index(number)
    elif text.isascii() and text.isalpha():
        wanted = Person.initials.like(f"%{text.lower()}%")
    elif any(character.isdigit() for character in text):
        households = select(Household.id).where(Household.number.startswith(text))
        wanted = Person.household_id.in_(households)
    else:
        wanted = Person.name.like(f"%{text.replace('%', '').replace('_', '')}%")
    statement = select(Person).where(wanted, *within(uow, query.division))
    return _page(uow, statement, query.after, query.limit)


def list_people(uow: UnitOfWork, query: ListPeople) -> PersonPage:
    """The ledger, by place and id."""
    statement = select(Person).where(*_filters(uow, query))
    return _page(uow, statement, query.after, query.limit)


def count_people(uow: UnitOfWork, query: CountPeople) -> int:
    """The length of that ledger."""
    return uow.session.scalar(select(func.count(Person.id)).where(*_filters(uow, query))) or 0


def reveal(uow: UnitOfWork, query: RevealIdentity) -> Revealed:
    """A person's numbers in full, for a purpose that is noted."""
    if len(query.purpose.strip()) < 2:
        raise Invalid("请写明查看用途", field="purpose", advice="如：办理低保复核")
    person = in_sight(uow, query.person_id)
    household = uow.session.get_one(Household, person.household_id)
    uow.audit("person.revealed", "person", person.id, purpose=query.purpose.strip())
    return Revealed(
        person_id=person.id,
        name=person.name,
        identity_number=opened(uow, person, "identity"),
        birth_date=person.birth_date,
        phone=opened(uow, person, "phone"),
        account_name=opened(uow, person, "account_name"),
        account_number=opened(uow, person, "account_number"),
        address=(
            uow.cipher.decrypt(
                household.address, table="household", row=household.id, column="address"
            )
            if household.address
            else None
        ),
    )


def _filters(uow: UnitOfWork, query: ListPeople | CountPeople) -> list[Any]:
    filters = within(uow, query.division)
    if query.category:
        code = CATEGORIES.get(query.category, query.category)
        filters.append(
            exists(
                select(1).where(
                    PersonCategory.person_id == Person.id,
                    PersonCategory.code == code,
                    PersonCategory.until.is_(None),
                )
            )
        )
    if query.officer_no:
        officer = select(Staff.id).where(Staff.staff_no == query.officer_no)
        filters.append(and_(Person.officer_id.in_(officer), Person.officer_in_post.is_(True)))
    if query.beneficiary is not None:
        filters.append(Person.beneficiary.is_(query.beneficiary))
    if query.deceased is not None:
        filters.append(
            Person.deceased_on.is_not(None) if query.deceased else Person.deceased_on.is_(None)
        )
    return filters


def _page(uow: UnitOfWork, statement: Select[Person], after: str | None, limit: int) -> PersonPage:
    """A page by (division, id), the order of the index."""
    limit = max(1, min(limit, 500))
    if after:
        division, _, person_id = after.partition("/")
        try:
            place = (division, UUID(person_id))
        except ValueError:
            raise Invalid("翻页标记不对", field="after") from None
        statement = statement.where(tuple_(Person.division, Person.id) > place)
    found = uow.session.scalars(
        statement.order_by(Person.division, Person.id).limit(limit + 1)
    ).all()
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return PersonPage(
        people=tuple(person_views(uow, page)) if page else (),
        next=f"{last.division}/{last.id}" if last else None,
    )
