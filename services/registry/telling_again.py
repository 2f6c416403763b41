"""Everything the others keep copies of, told once more: after a restore, under a raised epoch.

Registry put back to an older state says so by telling all it holds; a copy made from what was
lost is newer by its version and older by its epoch, so it gives way.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import TellAgain, ToldAgain
from services.contracts.events import Event
from services.contracts.events.registry import HouseholdRecorded
from services.registry import announcements, divisions, queries, staff
from services.registry.models import AccountChange, Division, Household, Person, Staff

CHUNK = 1000
HELD_FOR = timedelta(hours=24)
"""How long funding holds payments to a changed account."""


def tell_again(uow: UnitOfWork, _: TellAgain) -> ToldAgain:
    """Tell of every place, member of staff, household, person, account and phone."""
    told = len(uow.emit_all(_everything(uow), bulk=True))
    uow.audit("registry.told_again", "registry", uow.epoch, events=told)
    return ToldAgain(events=told, epoch=uow.epoch)


def _everything(uow: UnitOfWork) -> Iterator[Event]:
    codes = uow.session.scalars(select(Division.code).order_by(Division.code)).all()
    yield from divisions.registered(uow, list(codes))
    for member in uow.session.scalars(select(Staff).order_by(Staff.id)).all():
        yield announcements.staff_appointed(uow, member)
        yield announcements.staff_contact_changed(uow, member, staff.phone_of(uow, member))
    yield from _households(uow)
    changed = _accounts_changed_lately(uow)
    after: UUID | None = None
    while people := _next_people(uow, after):
        after = people[-1].id
        yield from announcements.people_recorded(uow, people)
        for person in people:
            yield from _facets(uow, person, changed)
        uow.session.expunge_all()


def _facets(uow: UnitOfWork, person: Person, changed: dict[UUID, datetime]) -> Iterator[Event]:
    if person.account_version:
        at = changed.get(person.id)
        yield announcements.account_changed(
            uow,
            person,
            name=queries.opened(uow, person, "account_name"),
            number=queries.opened(uow, person, "account_number"),
            at=at or uow.now(),
            carried_over=at is None,
        )
    if person.contact_version:
        phone = queries.opened(uow, person, "phone")
        yield announcements.contact_changed(uow, person, phone)


def _next_people(uow: UnitOfWork, after: UUID | None) -> list[Person]:
    page = select(Person).order_by(Person.id).limit(CHUNK)
    if after is not None:
        page = page.where(Person.id > after)
    return list(uow.session.scalars(page))


def _households(uow: UnitOfWork) -> Iterator[HouseholdRecorded]:
    alive = dict(
        uow.session.execute(
            select(Person.household_id, func.count())
            .where(~Person.removed, Person.deceased_on.is_(None))
            .group_by(Person.household_id)
        ).all()
    )
    for row in uow.session.scalars(select(Household).order_by(Household.id)).all():
        yield announcements.household_state(uow, row, members=alive.get(row.id, 0))


def _accounts_changed_lately(uow: UnitOfWork) -> dict[UUID, datetime]:
    """Accounts whose payments are still held: telling again must not let them go."""
    rows = uow.session.execute(
        select(AccountChange.person_id, func.max(AccountChange.decided_at))
        .where(
            AccountChange.what == "account",
            AccountChange.state == "confirmed",
            AccountChange.decided_at > uow.now() - HELD_FOR,
        )
        .group_by(AccountChange.person_id)
    )
    return {person_id: at for person_id, at in rows if at is not None}
