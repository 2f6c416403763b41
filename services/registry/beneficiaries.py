"""Who is a beneficiary, as funding's entitlements say. An end is final, whatever comes later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert

from services.chassis.uow import UnitOfWork
from services.contracts.events.funding import EntitlementEnded, EntitlementGranted
from services.registry.models import HeldBenefit, Person


def on_granted(uow: UnitOfWork, events: Sequence[EntitlementGranted]) -> None:
    """Note who holds what; an end that came first stands."""
    rows = _rows(events, ended=False)
    if rows:
        uow.session.execute(insert(HeldBenefit).values(rows).on_conflict_do_nothing())
        settle(uow, {row["person_id"] for row in rows})


def on_ended(uow: UnitOfWork, events: Sequence[EntitlementEnded]) -> None:
    """Note what ended."""
    rows = _rows(events, ended=True)
    if rows:
        statement = insert(HeldBenefit).values(rows)
        uow.session.execute(
            statement.on_conflict_do_update(
                index_elements=["entitlement_id", "person_id"], set_={"ended": True}
            )
        )
        settle(uow, {row["person_id"] for row in rows})


def _rows(
    events: Iterable[EntitlementGranted | EntitlementEnded], *, ended: bool
) -> list[dict[str, UUID | str | bool]]:
    unique = {
        (event.entitlement_id, person_id): event.benefit
        for event in events
        for person_id in event.person_ids
    }
    return [
        {"entitlement_id": key[0], "person_id": key[1], "benefit": benefit, "ended": ended}
        for key, benefit in sorted(unique.items())
    ]


def settle(uow: UnitOfWork, person_ids: Iterable[object]) -> None:
    """Set who of these people is a beneficiary: whoever holds something that has not ended."""
    held = exists(select(1).where(HeldBenefit.person_id == Person.id, HeldBenefit.ended.is_(False)))
    uow.session.execute(
        update(Person)
        .where(Person.id.in_(sorted(person_ids, key=str)), Person.beneficiary != held)
        .values(beneficiary=held)
        .execution_options(synchronize_session=False)
    )
