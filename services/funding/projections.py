"""Local copies of what registry owns: people with their accounts, households, staff."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.crypto import CannotOpen, last_four
from services.chassis.projection import upsert_newer
from services.chassis.uow import UnitOfWork
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonRecorded,
    StaffAppointed,
)
from services.funding.models import HouseholdCopy, PersonCopy, StaffCopy


def people(uow: UnitOfWork, events: Sequence[PersonRecorded]) -> None:
    """Copy the person facet."""
    upsert_newer(
        uow.session,
        PersonCopy,
        [
            {
                "person_id": event.person_id,
                "household_id": event.household_id,
                "division": event.division,
                "name": event.name,
                "birth_date": event.birth_date,
                "categories": [category.code for category in event.categories],
                "disability": event.disability,
                "epoch": event.epoch,
                "version": event.version,
            }
            for event in events
        ],
        key=("person_id",),
    )


def accounts(uow: UnitOfWork, events: Sequence[PersonAccountChanged]) -> None:
    """Copy the account facet: opened from its seal, stored under our own key."""
    rows = []
    for event in events:
        number = _open(uow, event.account_number)
        name = _open(uow, event.account_name)
        rows.append(
            {
                "person_id": event.person_id,
                "account_name": _keep(uow, event, "account_name", name),
                "account_number": _keep(uow, event, "account_number", number),
                "account_index": uow.cipher.blind_index(number) if number else None,
                "account_last4": last_four(number)[-4:] if number else None,
                "bank": event.bank,
                "account_changed_at": event.changed_at,
                "account_carried_over": event.carried_over,
                "account_epoch": event.epoch,
                "account_version": event.version,
            }
        )
    upsert_newer(
        uow.session,
        PersonCopy,
        rows,
        key=("person_id",),
        guard=("account_epoch", "account_version"),
    )


def households(uow: UnitOfWork, events: Sequence[HouseholdRecorded]) -> None:
    """Copy households: whose account is paid."""
    upsert_newer(
        uow.session,
        HouseholdCopy,
        [
            {
                "household_id": event.household_id,
                "household_no": event.household_no,
                "division": event.division,
                "head_person_id": event.head_person_id,
                "payee_person_id": event.payee_person_id,
                "payee_changed_at": event.payee_changed_at,
                "epoch": event.epoch,
                "version": event.version,
            }
            for event in events
        ],
        key=("household_id",),
    )


def staff(uow: UnitOfWork, events: Sequence[StaffAppointed]) -> None:
    """Copy staff: names on papers, and whether a deputy still serves."""
    upsert_newer(
        uow.session,
        StaffCopy,
        [
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
        ],
        key=("staff_id",),
    )


def _open(uow: UnitOfWork, sealed: str | None) -> str | None:
    if sealed is None:
        return None
    try:
        return uow.seals.open("registry", sealed)
    except CannotOpen as error:
        raise ValueError("an account sealed under a key we do not hold") from error


def _keep(
    uow: UnitOfWork, event: PersonAccountChanged, column: str, text: str | None
) -> bytes | None:
    if not text:
        return None
    return uow.cipher.encrypt(text, table="person", row=event.person_id, column=column)
