"""Others' facts in any order and however often: the tables of cases end the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from services.cases import carry_over, held_benefits, projections, reviews
from services.cases.models import CaseRow, FactRow, HeldBenefitRow, Person
from services.chassis.uow import UnitOfWork
from services.contracts.actors import system_actor
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    EntitlementReopened,
)
from services.contracts.events.registry import (
    BenefitCarriedOver,
    PersonDeathRevoked,
    PersonDied,
    PersonRecorded,
    RosterImportUndone,
)
from tests.builders import case_world as world
from tests.integration.cases.test_carry_over import IMPORT, carried

GRANT = carried(1)
PERSON = GRANT.applicant_person_id
ENTITLEMENT = UUID(int=0x701)


def died(source: str) -> PersonDied:
    return PersonDied(
        person_id=PERSON,
        household_id=GRANT.household_id,
        division=GRANT.division,
        died_on=date(2026, 10, 20),
        source="public_security",
        source_event_id=source,
    )


LIFE: list[Any] = [
    world.recorded(PERSON, household_id=GRANT.household_id, version=1),
    world.recorded(
        PERSON, household_id=GRANT.household_id, version=2, deceased_on=date(2026, 10, 20)
    ),
    GRANT,
    EntitlementGranted(
        entitlement_id=ENTITLEMENT,
        case_id=GRANT.grant_id,
        household_id=GRANT.household_id,
        person_ids=(PERSON,),
        benefit=GRANT.benefit,
        division=GRANT.division,
        from_month=date(2026, 11, 1),
    ),
    EntitlementEnded(
        entitlement_id=ENTITLEMENT,
        case_id=GRANT.grant_id,
        household_id=GRANT.household_id,
        person_ids=(PERSON,),
        benefit=GRANT.benefit,
        division=GRANT.division,
        last_month=None,
        reason="death",
    ),
    EntitlementEnded(
        entitlement_id=ENTITLEMENT,
        case_id=GRANT.grant_id,
        household_id=GRANT.household_id,
        person_ids=(PERSON,),
        benefit=GRANT.benefit,
        division=GRANT.division,
        last_month=None,
        reason="death",
        end_id="death:wrong",
    ),
    EntitlementReopened(
        entitlement_id=ENTITLEMENT,
        case_id=GRANT.grant_id,
        household_id=GRANT.household_id,
        person_ids=(PERSON,),
        benefit=GRANT.benefit,
        division=GRANT.division,
        from_month=date(2026, 11, 1),
        end_id="death:wrong",
    ),
    died("wrong"),
    PersonDeathRevoked(
        person_id=PERSON,
        household_id=GRANT.household_id,
        division=GRANT.division,
        revokes="wrong",
        source_event_id="r1",
    ),
    died("right"),
]


def apply(uow: UnitOfWork, event: Any) -> None:
    """Hand an event to the use case that the service hands it to."""
    match event:
        case PersonRecorded():
            projections.people(uow, [event])
        case BenefitCarriedOver() | RosterImportUndone():
            carry_over.handle(uow, [event])
        case EntitlementGranted() | EntitlementEnded() | EntitlementReopened():
            held_benefits.keep(uow, [event])
        case PersonDied() | PersonDeathRevoked():
            reviews.handle_deaths(uow, [event])


def tables(uow: UnitOfWork) -> dict[str, Any]:
    """What readers of the tables can see: cases, their facts, copies; reviews by their key."""
    cases = {
        row.source_key: (row.item, row.state, row.outcome)
        for row in uow.session.scalars(select(CaseRow).execution_options(populate_existing=True))
        if not (row.source_key or "").startswith("death:wrong")
    }
    hanging = [
        row.source_key for row in uow.session.scalars(select(CaseRow)) if row.state == "in_progress"
    ]
    held = uow.session.get_one(HeldBenefitRow, ENTITLEMENT)
    person = uow.session.get_one(Person, PERSON)
    facts = uow.session.scalars(select(FactRow).where(FactRow.case_id == GRANT.grant_id)).all()
    return {
        "cases": cases,
        "hanging": hanging,
        "held": (held.from_month, held.ended, held.ended_reason, held.person_ids),
        "person": (person.version, person.deceased_on),
        "facts": [fact.kind for fact in facts],
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_life_in_any_order_ends_in_the_same_tables(
    uow_for: Callable[..., AbstractContextManager[UnitOfWork]], seed: int
) -> None:
    """Shuffled and with repeats: one closed case, one open review of the right death, no other."""
    shuffled = random.Random(seed)
    events = [*LIFE, *shuffled.sample(LIFE, 4)]
    shuffled.shuffle(events)
    for event in events:
        with uow_for("cases", actor=system_actor("cases"), today=date(2026, 10, 21)) as uow:
            apply(uow, event)
    with uow_for("cases", actor=system_actor("cases"), today=date(2026, 10, 21)) as uow:
        assert tables(uow) == {
            "cases": {
                f"carried_over:{GRANT.grant_id}": ("carried_over", "closed", "granted"),
                f"death:right:{GRANT.grant_id}": ("review", "in_progress", None),
            },
            "hanging": [f"death:right:{GRANT.grant_id}"],
            "held": (date(2026, 11, 1), True, "death", [PERSON]),
            "person": (2, date(2026, 10, 20)),
            "facts": ["carried_over"],
        }


@pytest.mark.parametrize("first", [0, 1])
def test_an_import_and_its_undoing_in_any_order(
    uow_for: Callable[..., AbstractContextManager[UnitOfWork]], first: int
) -> None:
    """No benefit of an undone import stands, whichever is heard of first."""
    both = [GRANT, RosterImportUndone(import_id=IMPORT, division=world.COUNTY)]
    for event in (both[first], both[1 - first], *both):
        with uow_for("cases", actor=system_actor("cases"), today=date(2026, 10, 21)) as uow:
            apply(uow, event)
    with uow_for("cases", actor=system_actor("cases"), today=date(2026, 10, 21)) as uow:
        standing = [
            row.id for row in uow.session.scalars(select(CaseRow)) if row.outcome == "granted"
        ]
        assert standing == []
