"""The events of a life in any order, each however often: funding's tables end the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import text

from services.contracts.events.cases import BenefitGranted
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonDied,
    PersonRecorded,
)
from services.contracts.ids import new_id
from services.funding import deaths, grants, projections
from tests.builders.funding import VILLAGE, Household, Office, decision

ORDERS = 40


def life(office: Office, home: Household) -> list[Callable[[Any], None]]:
    """What happens to a household of two: each step is one delivery."""

    def household(payee: int, version: int) -> Callable[[Any], None]:
        event = HouseholdRecorded(
            household_id=home.household_id,
            household_no="H",
            division=VILLAGE,
            head_person_id=home.head,
            payee_person_id=home.people[payee],
            members=2,
            epoch=0,
            version=version,
        )
        return lambda uow: projections.households(uow, [event])

    def person(name: str, version: int) -> Callable[[Any], None]:
        event = PersonRecorded(
            person_id=home.head,
            household_id=home.household_id,
            division=VILLAGE,
            name=name,
            sex="1",
            birth_date=None,
            relation="户主",
            is_head=True,
            epoch=0,
            version=version,
        )
        return lambda uow: projections.people(uow, [event])

    def account(number: str, version: int) -> Callable[[Any], None]:
        event = PersonAccountChanged(
            person_id=home.head,
            division=VILLAGE,
            account_name=office.registry_seals.seal("funding", "王䶮"),
            account_number=office.registry_seals.seal("funding", number),
            changed_at=datetime(2026, 1, version, tzinfo=UTC),
            epoch=0,
            version=version,
        )
        return lambda uow: projections.accounts(uow, [event])

    granted = decision(
        household=home,
        benefits=(
            BenefitGranted(
                benefit="rural_dibao",
                covered_person_ids=tuple(home.people),
                payee_person_id=home.head,
                amount_fen=66_000,
                from_month=date(2026, 11, 1),
                counted_income_fen=60_000,
            ),
        ),
    )
    died = PersonDied(
        person_id=home.people[1],
        household_id=home.household_id,
        division=VILLAGE,
        died_on=date(2026, 12, 9),
        source="public_security",
        source_event_id=str(new_id()),
    )
    return [
        household(0, 1),
        household(1, 2),
        person("王龚", 1),
        person("王䶮", 2),
        account("6222000000000001", 1),
        account("6222000000000002", 2),
        lambda uow: grants.on_decided(uow, [granted]),
        lambda uow: deaths.on_died(uow, [died]),
    ]


TABLES = (
    """SELECT name, account_last4, version, account_version FROM person
       WHERE person_id = ANY(:p)""",
    """SELECT payee_person_id = :second, version FROM household WHERE household_id = :h""",
    """SELECT state, last_month, from_month FROM entitlement WHERE household_id = :h""",
    """SELECT t.from_month, t.to_month, t.fen, array_agg(s.fen ORDER BY s.person_id)
       FROM term t JOIN entitlement e ON e.id = t.entitlement_id
       JOIN share s ON s.term_id = t.id WHERE e.household_id = :h GROUP BY 1, 2, 3 ORDER BY 1""",
    """SELECT active, last_month FROM coverage WHERE person_id = ANY(:p) ORDER BY active""",
    """SELECT died_on, revoked_by FROM stop WHERE person_id = ANY(:p)""",
)


def tables(office: Office, home: Household) -> list[list[tuple[object, ...]]]:
    """What the tables say of a household, without what is made by chance."""
    place = {"h": home.household_id, "p": home.people, "second": home.people[1]}
    with office.uow() as uow:
        return [
            [tuple(row) for row in uow.session.execute(text(statement), place)]
            for statement in TABLES
        ]


def test_any_order_and_any_repeat_end_in_the_same_tables(office: Office) -> None:
    """Copies keep the newest, a decision counts once, a death known first stops it."""
    chance = random.Random(7)
    outcomes = []
    for _ in range(ORDERS):
        home = Household(new_id(), [new_id(), new_id()])
        steps = life(office, home)
        order = [*steps, *chance.sample(steps, 3)]
        chance.shuffle(order)
        for step in order:
            with office.uow() as uow:
                step(uow)
        outcomes.append(tables(office, home))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    terms = outcomes[0][3]
    assert terms == [
        ("2026-11", "2026-12", 66_000, [33_000, 33_000]),
        ("2027-01", None, 2_000, [2_000]),
    ]


def test_a_death_known_first_pays_nothing_after_it(office: Office) -> None:
    """A decision that arrives after its person's death owes only the months up to the death."""
    office.money()
    home = office.household()
    office.dies(home, home.head, date(2026, 10, 20))
    office.grant(home, "elderly", fen=5_000, from_month=date(2026, 9, 1))
    office.open()
    office.compute("2026-11")
    with office.uow() as uow:
        months = uow.session.execute(text("SELECT month FROM due ORDER BY month")).scalars().all()
    assert list(months) == ["2026-09", "2026-10"]
    assert office.check("2026-11").computed_fen == 0  # owed, and held for a new payee
