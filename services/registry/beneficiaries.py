"""Who is a beneficiary, as funding's entitlements say. An end is final unless it is taken back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert

from services.chassis.uow import UnitOfWork
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    EntitlementReopened,
)
from services.registry.models import HeldBenefit, Person


def on_told(
    uow: UnitOfWork,
    events: Sequence[EntitlementGranted | EntitlementEnded | EntitlementReopened],
) -> None:
    """Note who holds what and what ended, in whatever order that comes."""
    rows: dict[tuple[UUID, UUID], dict[str, Any]] = {}
    for event in events:
        for person_id in event.person_ids:
            row = rows.setdefault(
                (event.entitlement_id, person_id),
                {
                    "entitlement_id": event.entitlement_id,
                    "person_id": person_id,
                    "benefit": event.benefit,
                    "ends": [],
                    "undone": [],
                },
            )
            if isinstance(event, EntitlementEnded):
                row["ends"].append(event.end_id)
            elif isinstance(event, EntitlementReopened):
                row["undone"].append(event.end_id)
    if not rows:
        return
    for row in rows.values():
        row["ended"] = not set(row["ends"]) <= set(row["undone"])
    statement = insert(HeldBenefit)
    fresh, old = statement.excluded, HeldBenefit
    ends, undone = old.ends + fresh.ends, old.undone + fresh.undone
    uow.session.execute(
        statement.on_conflict_do_update(
            index_elements=["entitlement_id", "person_id"],
            set_={"ends": ends, "undone": undone, "ended": ~ends.contained_by(undone)},
        ),
        [rows[key] for key in sorted(rows)],
    )
    settle(uow, {person_id for _, person_id in rows})


def settle(uow: UnitOfWork, person_ids: Iterable[object]) -> None:
    """Set who of these people is a beneficiary: whoever holds something that has not ended."""
    held = exists(select(1).where(HeldBenefit.person_id == Person.id, ~HeldBenefit.ended))
    uow.session.execute(
        update(Person)
        .where(Person.id.in_(sorted(person_ids, key=str)), Person.beneficiary != held)
        .values(beneficiary=held)
        .execution_options(synchronize_session=False)
    )
