"""The readers of a batch of messages, from notify's own copies: one query for each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from services.chassis.crypto import CannotOpen
from services.chassis.logs import get_logger
from services.chassis.uow import UnitOfWork
from services.notify.models import Contact, Person, Staff

log = get_logger(__name__)


@dataclass(frozen=True)
class Resident:
    """A resident as far as messages go; `phone` is the number in force, in clear."""

    name: str
    officer_id: UUID | None
    deceased: bool
    phone: str | None


@dataclass(frozen=True)
class Member:
    """A member of staff; one who has left is not written to."""

    name: str | None
    active: bool
    phone: str | None


@dataclass(frozen=True)
class Readers:
    """Who was found; `earlier` holds numbers that have been replaced, by the contact's id."""

    residents: Mapping[UUID, Resident]
    staff: Mapping[UUID, Member]
    earlier: Mapping[int, str | None]

    def responsible(self, person_id: UUID | None) -> UUID | None:
        """The officer responsible for a resident."""
        resident = self.residents.get(person_id) if person_id else None
        return resident.officer_id if resident else None


def load(
    uow: UnitOfWork,
    people: Iterable[UUID | None],
    staff: Iterable[UUID | None],
    contacts: Iterable[int | None],
) -> Readers:
    """The residents, the staff named and those responsible, and the replaced numbers."""
    residents = _residents(uow, {person for person in people if person})
    officers = {resident.officer_id for resident in residents.values()}
    return Readers(
        residents=residents,
        staff=_staff(uow, {member for member in {*staff, *officers} if member}),
        earlier=_earlier(uow, {contact for contact in contacts if contact}),
    )


def _residents(uow: UnitOfWork, ids: set[UUID]) -> dict[UUID, Resident]:
    if not ids:
        return {}
    in_force = (
        select(Contact.person_id, Contact.phone)
        .ext(distinct_on(Contact.person_id))
        .where(Contact.person_id.in_(ids))
        .order_by(Contact.person_id, Contact.epoch.desc(), Contact.version.desc())
        .subquery()
    )
    found = uow.session.execute(
        select(
            Person.person_id, Person.name, Person.officer_id, Person.deceased_on, in_force.c.phone
        )
        .outerjoin(in_force, in_force.c.person_id == Person.person_id)
        .where(Person.person_id.in_(ids), ~Person.removed)
    )
    return {
        row.person_id: Resident(
            name=row.name,
            officer_id=row.officer_id,
            deceased=row.deceased_on is not None,
            phone=_open(uow, row.phone, "contact", row.person_id),
        )
        for row in found
    }


def _staff(uow: UnitOfWork, ids: set[UUID]) -> dict[UUID, Member]:
    if not ids:
        return {}
    found = uow.session.execute(
        select(Staff.staff_id, Staff.name, Staff.active, Staff.phone).where(Staff.staff_id.in_(ids))
    )
    return {
        row.staff_id: Member(row.name, row.active, _open(uow, row.phone, "staff", row.staff_id))
        for row in found
    }


def _earlier(uow: UnitOfWork, ids: set[int]) -> dict[int, str | None]:
    if not ids:
        return {}
    found = uow.session.execute(
        select(Contact.id, Contact.person_id, Contact.phone).where(Contact.id.in_(ids))
    )
    return {row.id: _open(uow, row.phone, "contact", row.person_id) for row in found}


def _open(uow: UnitOfWork, ciphertext: bytes | None, table: str, row: UUID) -> str | None:
    """The number in clear. One that does not open counts as none: the way without a phone."""
    if ciphertext is None:
        return None
    try:
        return uow.cipher.decrypt(ciphertext, table=table, row=row, column="phone")
    except CannotOpen:
        log.error("number_does_not_open", table=table)
        return None
