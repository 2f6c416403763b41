"""Making messages from what happened: one for each fact and reader, however often it is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from services.chassis.uow import UnitOfWork
from services.contracts.events import Event
from services.contracts.events.cases import (
    CaseAccepted,
    CaseDecided,
    CaseObjected,
    DeadlineExtended,
    DeadlineNeared,
    MaterialRequested,
    PublicityOpened,
    ReviewOpened,
)
from services.contracts.events.funding import (
    EntitlementEnded,
    PaymentFailed,
    PaymentSettled,
    RecoveryRaised,
)
from services.contracts.events.registry import (
    AccountChangeConfirmed,
    PersonDeathRevoked,
    PersonDied,
)
from services.notify import catalogue
from services.notify.domain import occasions
from services.notify.domain.occasions import Draft, Words
from services.notify.models import Contact, Message

OCCASIONS: dict[type[Event], Callable[[Any, Words], list[Draft]]] = {
    CaseAccepted: occasions.case_accepted,
    CaseDecided: occasions.case_decided,
    CaseObjected: occasions.case_objected,
    DeadlineExtended: occasions.deadline_extended,
    DeadlineNeared: occasions.deadline_neared,
    EntitlementEnded: occasions.entitlement_ended,
    MaterialRequested: occasions.material_requested,
    PaymentFailed: occasions.payment_failed,
    PaymentSettled: occasions.payment_settled,
    PersonDeathRevoked: occasions.death_revoked,
    PersonDied: occasions.person_died,
    PublicityOpened: occasions.publicity_opened,
    RecoveryRaised: occasions.recovery_raised,
    ReviewOpened: occasions.review_opened,
}


def tell(uow: UnitOfWork, events: Sequence[Event]) -> None:
    """Make the messages that follow from the events."""
    words = catalogue.words()
    make(uow, [draft for event in events for draft in OCCASIONS[type(event)](event, words)])


def tell_account_changes(uow: UnitOfWork, events: Sequence[AccountChangeConfirmed]) -> None:
    """Tell the number on file, and each number that was replaced shortly before the change."""
    people = {person for e in events for person in (e.person_id, e.previous_payee_id) if person}
    earlier = _lately_replaced(uow, people)
    words = catalogue.words()
    make(
        uow,
        [
            draft
            for event in events
            for draft in occasions.account_change_confirmed(event, words, earlier)
        ],
    )


def make(uow: UnitOfWork, drafts: Sequence[Draft]) -> None:
    """Write the messages; those that stand already stay as they are."""
    rows: dict[UUID, dict[str, Any]] = {}
    today = uow.today()
    for draft in drafts:
        template = catalogue.all_templates()[draft.template]
        rows[draft.id] = {
            "id": draft.id,
            "template": draft.template,
            "version": template.in_force(today).number,
            "audience": draft.audience.value,
            "division": draft.division,
            "occasion": draft.occasion,
            "person_id": draft.person_id,
            "staff_id": draft.staff_id,
            "named_staff_id": draft.named_staff_id,
            "case_id": draft.case_id,
            "contact_id": draft.contact_id,
            "personalisation": dict(draft.values),
            "bulk": template.bulk,
            "any_hour": template.any_hour,
            "created_on": today,
        }
    if rows:
        ordered = [rows[key] for key in sorted(rows)]
        uow.session.execute(insert(Message).on_conflict_do_nothing(), ordered)


def _lately_replaced(uow: UnitOfWork, people: Collection[UUID]) -> dict[UUID, list[int]]:
    """The contacts that a newer one replaced within the days of data/delivery.toml, by person."""
    since = uow.machine_now() - catalogue.delivery().number_replaced_within
    newer = aliased(Contact)
    found = uow.session.execute(
        select(Contact.person_id, Contact.id)
        .where(
            Contact.person_id.in_(people),
            Contact.phone.is_not(None),
            select(newer.id)
            .where(
                newer.person_id == Contact.person_id,
                newer.received_at >= since,
                tuple_(newer.epoch, newer.version) > tuple_(Contact.epoch, Contact.version),
            )
            .exists(),
        )
        .order_by(Contact.id)
    )
    earlier: dict[UUID, list[int]] = {}
    for person_id, contact_id in found:
        earlier.setdefault(person_id, []).append(contact_id)
    return earlier
