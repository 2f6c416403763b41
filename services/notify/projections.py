"""Notify's copies of people and staff, kept from registry's events."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql import insert

from services.chassis.projection import upsert_newer
from services.chassis.uow import UnitOfWork
from services.contracts.events.registry import (
    PersonContactChanged,
    PersonRecorded,
    StaffAppointed,
    StaffContactChanged,
)
from services.notify.models import Contact, Person, Staff

REGISTRY = "registry"


def people(uow: UnitOfWork, events: Sequence[PersonRecorded]) -> None:
    """Keep who people are, where they live and who is responsible for them."""
    upsert_newer(
        uow.session,
        Person,
        [
            {
                "person_id": event.person_id,
                "household_id": event.household_id,
                "division": event.division,
                "name": event.name,
                "officer_id": event.officer_id,
                "deceased_on": event.deceased_on,
                "removed": event.removed,
                "epoch": event.epoch,
                "version": event.version,
            }
            for event in events
        ],
        key=("person_id",),
    )


def contacts(uow: UnitOfWork, events: Sequence[PersonContactChanged]) -> None:
    """Open the sealed number and keep it under notify's own key, beside the earlier ones."""
    if not events:
        return
    rows = [
        {
            "person_id": event.person_id,
            "epoch": event.epoch,
            "version": event.version,
            "phone": uow.cipher.encrypt(
                uow.seals.open(REGISTRY, event.phone),
                table="contact",
                row=event.person_id,
                column="phone",
            )
            if event.phone is not None
            else None,
        }
        for event in events
    ]
    uow.session.execute(insert(Contact).on_conflict_do_nothing(), rows)


def staff(uow: UnitOfWork, events: Sequence[StaffAppointed]) -> None:
    """Keep the names of staff, their posts and who has left."""
    upsert_newer(
        uow.session,
        Staff,
        [
            {
                "staff_id": event.staff_id,
                "name": event.name,
                "division": event.division,
                "roles": [role.value for role in event.roles],
                "scopes": list(event.scopes),
                "active": event.active,
                "epoch": event.epoch,
                "version": event.version,
            }
            for event in events
        ],
        key=("staff_id",),
    )


def staff_contacts(uow: UnitOfWork, events: Sequence[StaffContactChanged]) -> None:
    """Open the sealed number of staff and keep it under notify's own key."""
    upsert_newer(
        uow.session,
        Staff,
        [
            {
                "staff_id": event.staff_id,
                "phone": uow.cipher.encrypt(
                    uow.seals.open(REGISTRY, event.phone),
                    table="staff",
                    row=event.staff_id,
                    column="phone",
                )
                if event.phone is not None
                else None,
                "contact_epoch": event.epoch,
                "contact_version": event.version,
            }
            for event in events
        ],
        key=("staff_id",),
        guard=("contact_epoch", "contact_version"),
    )
