"""A batch of decisions taken once each: opened, changed or ended as each says."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from services.chassis.uow import UnitOfWork
from services.contracts.events.cases import CaseDecided
from services.funding import deaths, policy_book
from services.funding.grants import changing, opening
from services.funding.grants.amounts import CARRIED_OVER
from services.funding.models import EntitlementRow


def on_decided(uow: UnitOfWork, events: Sequence[CaseDecided]) -> None:
    """Open, change or end entitlements as a batch of decisions says; each decision once.

    A death may be known before the decision arrives: who is on the stop list is stopped here.
    """
    policy_book.install(uow)
    fresh = _not_yet_taken(uow, events)
    opening.open_all(uow, [event for event in fresh if _is_plain(event)])
    for event in fresh:
        if _is_plain(event):
            continue
        if event.corrects is not None:
            if changing.refuse_where_spent(uow, event):
                continue
            changing.void_decision(uow, event)
        if event.outcome == "ended":
            changing.end(uow, event)
        elif event.basis == "review" and event.outcome == "changed":
            changing.change(uow, event)
        elif event.outcome == "granted":
            opening.open_all(uow, [event])
            changing.reconcile(uow, event)
    uow.session.flush()
    deaths.stop_covered(
        uow,
        {
            person
            for event in fresh
            for granted in event.benefits
            for person in granted.covered_person_ids
        },
    )


def _is_plain(event: CaseDecided) -> bool:
    return (
        event.outcome == "granted"
        and event.corrects is None
        and event.basis in ("application", CARRIED_OVER)
    )


def _not_yet_taken(uow: UnitOfWork, events: Sequence[CaseDecided]) -> list[CaseDecided]:
    known = set(
        uow.session.scalars(
            select(EntitlementRow.decision_id).where(
                EntitlementRow.decision_id.in_([event.decision_id for event in events])
            )
        )
    )
    fresh: dict[uuid.UUID, CaseDecided] = {}
    for event in events:
        if event.decision_id not in known:
            fresh.setdefault(event.decision_id, event)
    return list(fresh.values())
