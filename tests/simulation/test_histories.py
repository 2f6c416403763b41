"""Ten thousand histories over the real handlers and SQL: on any way the tables end the same."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from deploy.local import Servers
from services.cases.service import CasesService
from services.chassis.crypto import Seals
from services.chassis.database import engine
from services.chassis.uow import Foundation
from services.contracts.events import Event
from services.contracts.events.cases import CaseDecided
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    EntitlementReopened,
)
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonDeathRevoked,
    PersonDied,
    PersonRecorded,
)
from services.funding.service import FundingService
from tests.builders.funding import TODAY
from tests.fixtures.services import actor, migrated_template, settings_for
from tests.integration.chassis.probe import service as probe
from tests.integration.chassis.probe.probe import ThingNoted
from tests.simulation import lives
from tests.simulation.history import STEPS, Dice, Histories
from tests.simulation.pipes import Broker, Producer, queue

WORLDS = 5_000
"""Histories of one run; two runs stand side by side, on two processors when there are two."""

LEAST_FAULTS = 3


@dataclass
class Ground:
    """The databases of the services that take part."""

    foundations: dict[str, Foundation]

    def rows(self, service: str, statement: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        url = self.foundations[service].settings.database_url
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


@pytest.fixture
def ground(servers: Servers) -> Iterator[Ground]:
    """Registry speaks, funding and cases answer; the probe's effects stand beside registry."""
    with ExitStack() as rooms:
        foundations = {}
        for name in ("registry", "cases", "funding"):
            url = rooms.enter_context(
                servers.cluster.scratch_database(name, migrated_template(servers, name))
            )
            foundations[name] = Foundation.build(settings_for(name, url))
            rooms.callback(foundations[name].engine.dispose)
            with foundations[name].begin(actor()) as uow:
                uow.clock.set_today(TODAY)
        made = engine(foundations["registry"].settings.database_url)
        probe.Base.metadata.create_all(made)
        made.dispose()
        yield Ground(foundations)


def play(ground: Ground, seed: int, count: int) -> tuple[list[lives.World], Histories]:
    """So many histories from one seed."""
    rng = random.Random(seed)
    worlds = lives.found(count, rng)
    seals = Seals("registry", ground.foundations["registry"].settings.transit_keys)
    at = ground.foundations
    number_of = {
        key: world.number
        for world in worlds
        for key in (world.home.household_id, *world.home.people, world.note)
    }

    def world_of(event: Event) -> int:
        fact: Any = event
        about = (
            getattr(fact, "household_id", None) or getattr(fact, "person_id", None) or fact.thing_id
        )
        return number_of[about]

    broker = Broker(
        [
            queue(
                FundingService,
                "apply_copies",
                (PersonRecorded, PersonAccountChanged, HouseholdRecorded),
                at["funding"],
            ),
            queue(FundingService, "on_case_decided", (CaseDecided,), at["funding"]),
            queue(FundingService, "on_person_died", (PersonDied,), at["funding"]),
            queue(FundingService, "on_death_revoked", (PersonDeathRevoked,), at["funding"]),
            queue(CasesService, "apply_copies", (PersonRecorded, HouseholdRecorded), at["cases"]),
            queue(
                CasesService,
                "on_entitlements",
                (EntitlementGranted, EntitlementEnded, EntitlementReopened),
                at["cases"],
            ),
            queue(probe.ProbeService, "on_noted", (ThingNoted,), at["registry"]),
        ],
        world_of,
    )
    said = [lives.life(world, seals) for world in worlds]
    dice = Dice(Producer(at["registry"]), Producer(at["funding"]), broker, said, rng)
    return worlds, dice.play()


def outcomes(ground: Ground, worlds: list[lives.World]) -> dict[str, set[tuple[Any, ...]]]:
    """What the tables say of the worlds of each kind: one outcome each, when all is well."""
    of: dict[str, list[Any]] = {str(world.home.household_id): [] for world in worlds}
    for service, statement in (("funding", lives.FUNDING), ("cases", lives.CASES)):
        for household, *rest in ground.rows(service, statement):
            of[household] += rest
    effects: dict[str, int] = dict(
        ground.rows("registry", "SELECT thing_id::text, count(*) FROM effect GROUP BY 1")
    )
    found: dict[str, set[tuple[Any, ...]]] = {kind: set() for kind in lives.KINDS}
    for world in worlds:
        told = (*of[str(world.home.household_id)], effects.get(str(world.note), 0))
        found[world.kind].add(told)
    return found


def all_is_well(ground: Ground, worlds: list[lives.World], told: Histories) -> None:
    """Every kind of life has one outcome, and every effect is there once."""
    assert told.distinct() == len(worlds)
    assert min(sum(faults.values()) for faults in told.faults.values()) >= LEAST_FAULTS
    found = outcomes(ground, worlds)
    lived = {world.kind for world in worlds}
    assert {kind: len(ends) for kind, ends in found.items() if ends} == dict.fromkeys(lived, 1)
    assert all(outcome[-1] == 1 for ends in found.values() for outcome in ends)


def test_a_few_histories(ground: Ground) -> None:
    """A hundred of them, for the hurried and for the tests that take a cure out."""
    all_is_well(ground, *play(ground, 3, 100))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_on_the_way_the_tables_end_the_same(
    ground: Ground, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crashes, repeats, losses, overtaking: one outcome a kind of life, each effect once."""
    began = time.monotonic()
    worlds, told = play(ground, seed, WORLDS)
    with capsys.disabled():
        print(
            f"\nsimulation, seed {seed}: {len(told.steps)} histories of {STEPS} steps,"
            f" {told.distinct()} distinct; {told.deliveries} deliveries in {told.transactions}"
            f" transactions, {time.monotonic() - began:.0f} s; faults {dict(told.by_kind())}"
        )
    all_is_well(ground, worlds, told)
