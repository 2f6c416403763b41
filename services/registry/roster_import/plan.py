"""What of a roster is new, and under which ids it is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from uuid import UUID

from sqlalchemy import select

from services.chassis.uow import UnitOfWork
from services.contracts.ids import new_id
from services.registry.domain import roster
from services.registry.models import Staff
from services.registry.roster_import.reading import Given


class Plan:
    """One import: new people and households with their ids, the ids of those known, the officers.

    ``person_ids`` are by identity number, ``household_ids`` by 户编号, ``officers`` by 工号;
    ``covered`` are the identity numbers of whoever has a benefit.
    """

    def __init__(self, uow: UnitOfWork, given: Given, import_id: UUID, first_month: date) -> None:
        self.given = given
        self.import_id = import_id
        self.first_month = first_month
        self.today = uow.today()
        self.now = uow.now()
        self.officers: dict[str, UUID] = dict(
            uow.session.execute(select(Staff.staff_no, Staff.id)).all()
        )
        people, households = given.roster.people, given.roster.households
        self.person_ids = {
            person.identity: known.id if (known := given.people.get(person.identity)) else new_id()
            for person in people
        }
        self.household_ids = {
            household.number: there.id
            if (there := given.households.get(household.number))
            else new_id()
            for household in households
        }
        self.new_people = [p for p in people if p.identity not in given.people]
        self.new_households = [h for h in households if h.number not in given.households]
        self._grant_ids = [new_id() for _ in given.roster.grants]
        self.covered = {
            person.identity for grant in given.roster.grants for person in grant.covered
        }

    def grants(self) -> Iterator[tuple[roster.Grant, UUID]]:
        """Each grant with its id."""
        return zip(self.given.roster.grants, self._grant_ids, strict=True)
