"""A month's money for a city: computed and checked, the bank file, the return file settled.

The city comes in as it would: events of people, households, accounts and carried-over decisions,
through funding's own projections and reactions. What is measured are the commands an officer
gives, each one transaction on a durable database.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from deploy.local import PrivateServers, Servers
from deploy.local.bank_simulator import answer_text
from services.chassis import migrate
from services.chassis.crypto import Seals
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Actor
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonRecorded,
)
from services.contracts.ids import new_id
from services.funding import grants, projections
from tests.builders.funding import Household, Office, decision
from tests.fixtures.services import settings_for

T = TypeVar("T")

PEOPLE = 110_000
BATCH = 1_000
"""Households a transaction."""

MONTH = "2026-11"
FAIL_ONE_IN = 97
FIRST = date(2026, 11, 1)

SIZES = (1, 2, 1, 3, 1, 4, 2, 1, 1, 2)
"""Members of one household after the other."""

KINDS = ("rural_dibao", "elderly", "disability_care", "rural_dibao", "disability_living")
AMOUNTS = {
    "rural_dibao": 43_000,
    "elderly": 10_000,
    "disability_care": 11_000,
    "disability_living": 9_000,
}
TOWNS = tuple(f"4210831{number:02d}" for number in range(20))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and result."""
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def office_of(servers: Servers, name: str) -> tuple[Office, Foundation]:
    """Funding on a fresh, durable database."""
    owner_url = servers.cluster.add_database("funding", name)
    url = servers.cluster.url("funding", name)
    migrate.upgrade("funding", owner_url, runtime=migrate.runtime_role(url, owner_url))
    foundation = Foundation.build(settings_for("funding", url))

    @contextmanager
    def begin(_service: str, *, actor: Actor, today: date | None = None) -> Iterator[UnitOfWork]:
        with foundation.begin(actor) as uow:
            if today is not None:
                uow.clock.set_today(today)
            yield uow

    return Office(begin, Seals("registry", foundation.settings.transit_keys)), foundation


def settle_city(office: Office, people: int) -> None:
    """Bring in the city's households with what they are granted."""
    made = 0
    while made < people:
        households: list[tuple[Household, str, str]] = []
        for number in range(BATCH):
            size = min(SIZES[number % len(SIZES)], people - made)
            if not size:
                break
            town = TOWNS[number % len(TOWNS)]
            kind = KINDS[number % len(KINDS)]
            households.append((Household(new_id(), [new_id() for _ in range(size)]), town, kind))
            made += size
        _bring_in(office, households)


def _bring_in(office: Office, households: list[tuple[Household, str, str]]) -> None:
    copies: list[HouseholdRecorded] = []
    people: list[PersonRecorded] = []
    accounts: list[PersonAccountChanged] = []
    decisions: list[CaseDecided] = []
    for household, town, kind in households:
        village = f"{town}007"
        copies.append(
            HouseholdRecorded(
                household_id=household.household_id,
                household_no="H",
                division=village,
                head_person_id=household.head,
                payee_person_id=household.head,
                members=len(household.people),
                epoch=0,
                version=1,
            )
        )
        people += [
            PersonRecorded(
                person_id=person,
                household_id=household.household_id,
                division=village,
                name="陈大喜",
                sex="1",
                birth_date=date(1950, 5, 1),
                relation="户主" if person == household.head else "子",
                is_head=person == household.head,
                epoch=0,
                version=1,
            )
            for person in household.people
        ]
        office.serial += 1
        accounts.append(
            PersonAccountChanged(
                person_id=household.head,
                division=village,
                account_name=office.registry_seals.seal("funding", "陈大喜"),
                account_number=office.registry_seals.seal("funding", f"6222{office.serial:012d}"),
                changed_at=datetime(2026, 1, 1, tzinfo=UTC),
                carried_over=True,
                epoch=0,
                version=1,
            )
        )
        together = kind == "rural_dibao"
        decisions += [
            decision(
                household=household,
                division=village,
                benefits=(
                    BenefitGranted(
                        benefit=kind,
                        covered_person_ids=covered,
                        payee_person_id=household.head,
                        amount_fen=AMOUNTS[kind] * (len(covered) if together else 1),
                        from_month=FIRST,
                    ),
                ),
            )
            for covered in (
                [tuple(household.people)] if together else [(one,) for one in household.people]
            )
        ]
    with office.uow() as uow:
        projections.households(uow, copies)
        projections.people(uow, people)
        projections.accounts(uow, accounts)
        grants.on_decided(uow, decisions)


def cycle(office: Office) -> tuple[float, int]:
    """Open, compute and check the month; seconds of the two last, and the people paid for."""
    office.open(MONTH)
    computed, _ = timed(lambda: office.compute(MONTH))
    checked, view = timed(lambda: office.check(MONTH))
    return computed + checked, view.people


def settle_together(office: Office, foundation: Foundation, people: int, hands: int) -> None:
    """As ``settle_city`` with so many processes: a province takes long to come in."""

    def bring(hand: int) -> None:
        foundation.engine.dispose(close=False)  # the parent's connections are its own
        office.serial = (hand + 1) * people
        settle_city(office, people // hands)

    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=bring, args=(hand,)) for hand in range(hands)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("not everybody came in")


@contextmanager
def city(servers: Servers, name: str, people: int, *, hands: int = 1) -> Iterator[Office]:
    """Funding with a city of so many, and money enough; ``hands`` processes bring it in."""
    office, foundation = office_of(servers, name)
    office.money(budget=10**13, cash=10**13)
    settle_city(office, BATCH)  # the policies stand before many use them
    if hands == 1:
        settle_city(office, people - BATCH)
    else:
        settle_together(office, foundation, people - BATCH, hands)
    _analyze(servers, name)
    try:
        yield office
    finally:
        foundation.engine.dispose()


def measure() -> dict[str, dict[str, Any]]:
    """Cycle, bank file and settlement of 110,000 people."""
    with PrivateServers() as servers, city(servers, "bench_city", PEOPLE) as office:
        seconds, people = cycle(office)
        office.sign(MONTH, "review")
        office.sign(MONTH, "release")
        locked, _ = timed(lambda: office.lock(MONTH))
        exported, sent = timed(lambda: office.export(MONTH))
        answer = answer_text(office.file(MONTH), 1, FAIL_ONE_IN, 0)
        settled, _ = timed(lambda: office.settle(MONTH, answer))
    facts = {"people": people, "payments": sent.payments}
    return {
        "cycle_110k_s": {"value": round(seconds, 1), **facts},
        "bank_file_110k_s": {"value": round(exported, 1), **facts, "lock_s": round(locked, 1)},
        "settle_110k_s": {"value": round(settled, 1), **facts},
    }


def _analyze(servers: Servers, database: str) -> None:
    """What autovacuum would have done by the time the month comes."""
    connection = servers.cluster.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.close()
