"""What people hold already, kept from funding's events so that intake shows it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from services.cases.models import CaseRow, HeldBenefitRow, LockedMonth
from services.chassis.uow import UnitOfWork
from services.contracts.divisions import county
from services.contracts.events.funding import (
    CycleLocked,
    EntitlementEnded,
    EntitlementGranted,
    EntitlementReopened,
)

MONTHLY = "monthly"
"""The kind of a batch that pays a month; one-off aid and re-payments lock no month."""


def keep(
    uow: UnitOfWork,
    events: Sequence[EntitlementGranted | EntitlementEnded | EntitlementReopened],
) -> None:
    """They may come in any order; an end stays an end unless that very one is taken back."""
    rows: dict[Any, dict[str, Any]] = {}
    for event in events:
        row = rows.setdefault(
            event.entitlement_id,
            {
                "entitlement_id": event.entitlement_id,
                "case_id": event.case_id,
                "household_id": event.household_id,
                "person_ids": list(event.person_ids),
                "benefit": event.benefit,
                "division": event.division,
                "from_month": None,
                "ended": False,
                "ends": [],
                "undone": [],
                "last_month": None,
                "ended_reason": None,
            },
        )
        if isinstance(event, EntitlementEnded):
            row["ends"].append(event.end_id)
            row |= {
                "last_month": event.last_month,
                "ended_reason": event.reason,
            }
        elif isinstance(event, EntitlementReopened):
            row["undone"].append(event.end_id)
        else:
            began = [day for day in (row["from_month"], event.from_month) if day]
            row |= {
                "from_month": min(began, default=None),
                "person_ids": list(dict.fromkeys((*row["person_ids"], *event.person_ids))),
            }
    for row in rows.values():
        row["ended"] = not set(row["ends"]) <= set(row["undone"])
        if not row["ended"]:
            row |= {"last_month": None, "ended_reason": None}
    if not rows:
        return
    statement = insert(HeldBenefitRow)
    fresh, old = statement.excluded, HeldBenefitRow
    ends, undone = old.ends + fresh.ends, old.undone + fresh.undone
    ended = ~ends.contained_by(undone)
    person = func.unnest(old.person_ids + fresh.person_ids).column_valued("person")
    everybody = select(func.array_agg(person.distinct())).scalar_subquery()
    uow.session.execute(
        statement.on_conflict_do_update(
            index_elements=[HeldBenefitRow.entitlement_id],
            set_={
                # a benefit that a revoked death re-opened still began when it began
                "from_month": func.least(fresh.from_month, old.from_month),
                "person_ids": everybody,
                "ended": ended,
                "ends": ends,
                "undone": undone,
                "last_month": case((ended, func.coalesce(fresh.last_month, old.last_month))),
                "ended_reason": case((ended, func.coalesce(fresh.ended_reason, old.ended_reason))),
            },
        ),
        list(rows.values()),
    )


def running(*, or_ended_by: str | None = None) -> ColumnElement[bool]:
    """Whether what a granted case gave still runs: not told of yet, or not all of it ended.

    ``or_ended_by``: an end for this reason counts as running.
    """
    of_case = HeldBenefitRow.case_id == CaseRow.id
    going_on = ~HeldBenefitRow.ended
    if or_ended_by is not None:
        going_on |= HeldBenefitRow.ended_reason == or_ended_by
    return ~exists().where(of_case) | exists().where(of_case, going_on)


def month_locked(uow: UnitOfWork, events: Sequence[CycleLocked]) -> None:
    """Note the months that are paid: decisions for them are no longer simply corrected."""
    rows = {(county(e.division), e.month) for e in events if e.kind == MONTHLY}
    if not rows:
        return
    uow.session.execute(
        insert(LockedMonth)
        .values([{"division": division, "month": month} for division, month in rows])
        .on_conflict_do_nothing()
    )
