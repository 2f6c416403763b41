"""Copies of what registry owns: divisions, staff, people, households."""

from __future__ import annotations

from collections.abc import Sequence

from services.cases.models import Division, Household, Person, Staff
from services.chassis.projection import upsert_newer
from services.chassis.uow import UnitOfWork
from services.contracts.events.registry import (
    DivisionRegistered,
    HouseholdRecorded,
    PersonRecorded,
    StaffAppointed,
)


def divisions(uow: UnitOfWork, events: Sequence[DivisionRegistered]) -> None:
    """Keep the names of places."""
    rows = [
        {
            "division": event.division,
            "name": event.name,
            "parent": event.parent,
            "epoch": event.epoch,
            "version": event.version,
        }
        for event in events
    ]
    upsert_newer(uow.session, Division, rows, key=("division",))


def staff(uow: UnitOfWork, events: Sequence[StaffAppointed]) -> None:
    """Keep who is in post, with roles and scopes."""
    rows = [
        {
            "staff_id": event.staff_id,
            "staff_no": event.staff_no,
            "name": event.name,
            "division": event.division,
            "roles": [role.value for role in event.roles],
            "scopes": list(event.scopes),
            "active": event.active,
            "epoch": event.epoch,
            "version": event.version,
        }
        for event in events
    ]
    upsert_newer(uow.session, Staff, rows, key=("staff_id",))


def people(uow: UnitOfWork, events: Sequence[PersonRecorded]) -> None:
    """Keep who people are and which household they belong to."""
    rows = [
        {
            "person_id": event.person_id,
            "household_id": event.household_id,
            "division": event.division,
            "name": event.name,
            "birth_date": event.birth_date,
            "relation": event.relation,
            "is_head": event.is_head,
            "categories": [category.code for category in event.categories],
            "disability": event.disability,
            "officer_id": event.officer_id,
            "deceased_on": event.deceased_on,
            "removed": event.removed,
            "epoch": event.epoch,
            "version": event.version,
        }
        for event in events
    ]
    upsert_newer(uow.session, Person, rows, key=("person_id",))


def households(uow: UnitOfWork, events: Sequence[HouseholdRecorded]) -> None:
    """Keep whose account a household is paid to."""
    rows = [
        {
            "household_id": event.household_id,
            "household_no": event.household_no,
            "division": event.division,
            "payee_person_id": event.payee_person_id,
            "removed": event.removed,
            "epoch": event.epoch,
            "version": event.version,
        }
        for event in events
    ]
    upsert_newer(uow.session, Household, rows, key=("household_id",))
