"""What happens in a world: a household of two that is granted a benefit, and dies or does not."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from services.chassis.crypto import Seals
from services.contracts.events import Event
from services.contracts.events.cases import BenefitGranted
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonDeathRevoked,
    PersonDied,
    PersonRecorded,
)
from tests.builders.funding import VILLAGE, Household, decision
from tests.integration.chassis.probe.probe import ThingNoted

KINDS = ("lives on", "member dies", "head dies", "death revoked")
DEATHS_IN_A_HUNDRED = 3
"""A death is dealt with one by one and takes 20 ms; the other 97 lives cost what one does."""


@dataclass
class World:
    """One household, and what was said of it."""

    number: int
    kind: str
    home: Household
    note: UUID

    @property
    def second(self) -> UUID:
        """The member who is not the head."""
        return self.home.people[1]


def _kind(number: int) -> str:
    position = number % 100
    return KINDS[position + 1] if position < DEATHS_IN_A_HUNDRED else KINDS[0]


def found(count: int, rng: random.Random) -> list[World]:
    """So many worlds with ids of their own."""

    def new() -> UUID:
        return UUID(int=rng.getrandbits(128), version=4)

    return [
        World(number, _kind(number), Household(new(), [new(), new()]), new())
        for number in range(count)
    ]


def life(world: World, seals: Seals) -> list[Event]:
    """The events of a world in the order they happened."""
    head, second = world.home.people

    def person(number: int, name: str, version: int) -> PersonRecorded:
        return PersonRecorded(
            person_id=world.home.people[number],
            household_id=world.home.household_id,
            division=VILLAGE,
            name=name,
            sex="1",
            birth_date=date(1980, 5, 1),
            relation="户主" if number == 0 else "配偶",
            is_head=number == 0,
            epoch=0,
            version=version,
        )

    def account(last: str, version: int) -> PersonAccountChanged:
        return PersonAccountChanged(
            person_id=head,
            division=VILLAGE,
            account_name=seals.seal("funding", "陈桂兰"),
            account_number=seals.seal("funding", f"622200000000{last}"),
            changed_at=datetime(2026, 1, version, tzinfo=UTC),
            epoch=0,
            version=version,
        )

    def household(payee: UUID, version: int) -> HouseholdRecorded:
        return HouseholdRecorded(
            household_id=world.home.household_id,
            household_no=f"H{world.number}",
            division=VILLAGE,
            head_person_id=head,
            payee_person_id=payee,
            members=2,
            epoch=0,
            version=version,
        )

    def died(who: UUID) -> PersonDied:
        return PersonDied(
            person_id=who,
            household_id=world.home.household_id,
            division=VILLAGE,
            died_on=date(2026, 12, 9),
            source="public_security",
            source_event_id=f"death-of-{who}",
        )

    granted = decision(
        household=world.home,
        benefits=(
            BenefitGranted(
                benefit="rural_dibao",
                covered_person_ids=tuple(world.home.people),
                payee_person_id=head,
                amount_fen=66_000,
                from_month=date(2026, 11, 1),
                counted_income_fen=60_000,
            ),
        ),
        decision_id=UUID(int=world.home.household_id.int ^ 1),
        case_id=UUID(int=world.home.household_id.int ^ 2),
    )
    events: list[Event] = [
        household(head, 1),
        person(0, "王龚", 1),
        person(1, "李梅", 1),
        account("1111", 1),
        granted,
        ThingNoted(thing_id=world.note, division=VILLAGE, amount=1),
        person(0, "王䶮", 2),
        account("2222", 2),
        household(second, 2),
    ]
    if world.kind == "member dies":
        events.append(died(second))
    elif world.kind == "head dies":
        events.append(died(head))
    elif world.kind == "death revoked":
        revoked = PersonDeathRevoked(
            person_id=second,
            household_id=world.home.household_id,
            division=VILLAGE,
            revokes=f"death-of-{second}",
            source_event_id=f"life-of-{second}",
        )
        events += [died(second), revoked]
    return events


FUNDING = """
SELECT h.household_id::text,
       (SELECT string_agg(p.name || p.version || coalesce(p.account_last4, '-')
                          || coalesce(p.account_version, 0), ',' ORDER BY p.version DESC, p.name)
        FROM person p WHERE p.household_id = h.household_id),
       h.version,
       (SELECT string_agg(e.state || coalesce(e.last_month, '-') || e.from_month, ',')
        FROM entitlement e WHERE e.household_id = h.household_id),
       (SELECT string_agg(month || ':' || fen, ',' ORDER BY month) FROM
        (SELECT m.month, sum(t.fen) AS fen
         FROM unnest(ARRAY['2026-10', '2026-11', '2026-12', '2027-01', '2027-09']) AS m(month)
         JOIN entitlement e ON e.household_id = h.household_id
         JOIN term t ON t.entitlement_id = e.id AND t.from_month <= m.month
                    AND coalesce(t.to_month, '9') >= m.month
         GROUP BY 1) AS monthly),
       (SELECT string_agg(month || ':' || fen, ',' ORDER BY month, fen) FROM
        (SELECT m.month, s.fen
         FROM unnest(ARRAY['2026-11', '2027-01']) AS m(month)
         JOIN entitlement e ON e.household_id = h.household_id
         JOIN term t ON t.entitlement_id = e.id AND t.from_month <= m.month
                    AND coalesce(t.to_month, '9') >= m.month
         JOIN share s ON s.term_id = t.id) AS shared),
       (SELECT string_agg(c.active::text || coalesce(c.last_month, '-'), ',' ORDER BY c.active, 1)
        FROM coverage c JOIN entitlement e ON e.id = c.entitlement_id
        WHERE e.household_id = h.household_id),
       (SELECT string_agg(s.died_on::text, ',')
        FROM stop s JOIN person p USING (person_id)
        WHERE p.household_id = h.household_id AND s.revoked_by IS NULL)
FROM household h
"""
"""What funding's tables say of a household, without what is made by chance."""

CASES = """
SELECT h.household_id::text, h.version,
       (SELECT string_agg(p.name || p.version, ',' ORDER BY p.version DESC, p.name)
        FROM person p WHERE p.household_id = h.household_id),
       (SELECT string_agg(b.benefit || coalesce(b.from_month::text, '-') || b.ended
                          || coalesce(b.last_month::text, '-') || cardinality(b.person_ids), ',')
        FROM held_benefit b WHERE b.household_id = h.household_id)
FROM household h
"""
"""And those of cases."""
