"""From a bureau's word of a death to the stopped payment, while the city's month is computed and
while another roster of the same size comes in.

All services run as `zhida up` starts them. A bureau with its own broker user tells of deaths for as
long as the load lasts, first two a second, then ten (in a minute what a city of this size has in
three months); measured is, of each, the time from handing the event to the broker until funding's
transaction that stopped the person was committed, by the database's own clock. BENCH_PEOPLE sets
another size, BENCH_DEATHS_PER_S another rate instead of ten.
"""

# ruff: noqa: E402 - the stack's home is chosen before it is imported
from __future__ import annotations

import os
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".zhida" / "bench"
os.environ.setdefault("ZHIDA_HOME", str(HOME))

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import msgspec
import psycopg2
from kombu import Connection

from deploy import bureaus as joining
from deploy.local import keys, stack
from deploy.samples.python import bureau
from services.chassis.bureaus import Bureau
from services.cli import sample_roster
from services.cli.demo import applications, cast, evidence, money, story
from services.cli.demo.world import World, eventually
from services.contracts.commands import funding
from services.contracts.commands.registry import ImportRoster

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "110000"))
SEED = 1
FEW_PER_S = 2.0
MANY_PER_S = float(os.environ.get("BENCH_DEATHS_PER_S", "10"))
ENOUGH = 100
"""Deaths beside the cycle: it is computed as often as that takes."""

DIED_ON = "2026-10-20"


def measure() -> dict[str, dict[str, Any]]:
    """The 99th percentile under each load, in milliseconds."""
    folder = HOME / "files"
    try:
        world = story._open(PEOPLE, SEED, folder, say)
        cast.enter(world)
        world.set_clock(applications.ACCEPTED_ON)
        money.endow(world)
        rosters = [folder / f"roster{number}.xlsx" for number in range(3)]
        for number, roster in enumerate(rosters):
            sample_roster.write(PEOPLE, SEED + number, roster)
        story._import(world, rosters[0])
        story._settle_down(world)
        police = Police(world, rosters[0])
        world.set_clock(money.COMPUTED_ON)
        world["funding_clerk"].ask(funding.OpenBatch(month=money.CYCLE))
        found: dict[str, dict[str, Any]] = {}
        for who, rate in (("few_deaths", FEW_PER_S), ("death", MANY_PER_S)):
            told: list[float] = []
            while len(told) < ENOUGH:
                told += police.under(lambda: money.compute(world, money.CYCLE), rate)
            found[f"{who}_in_cycle_p99_ms"] = figures(told, rate)
        for who, rate, roster in (
            ("few_deaths", FEW_PER_S, rosters[1]),
            ("death", MANY_PER_S, rosters[2]),
        ):
            told = police.under(partial(_import, world, roster), rate)
            found[f"{who}_in_import_p99_ms"] = figures(told, rate)
    finally:
        stack.down()
    return found


def _import(world: World, roster: Path) -> None:
    file_id = world["county_decider"].upload("registry", roster)
    world["county_decider"].ask(ImportRoster(file_id=file_id, first_month=story.FIRST_MONTH))


def say(words: str) -> None:
    """How far it is."""
    sys.stderr.write(f"{words}\n")


def figures(milliseconds: list[float], rate: float) -> dict[str, Any]:
    """What a list of latencies comes to."""
    ordered = sorted(milliseconds)
    return {
        "value": round(ordered[max(0, round(len(ordered) * 0.99) - 1)]),
        "p50": round(ordered[len(ordered) // 2]),
        "longest": round(ordered[-1]),
        "counted": len(ordered),
        "people": PEOPLE,
        "rate_per_s": rate,
    }


class Police:
    """Public security: a broker user of its own, and people of the roster to tell of."""

    def __init__(self, world: World, roster: Path) -> None:
        assert world.stack.broker is not None
        police = Bureau(
            name="public_security",
            title="洪湖市公安局",
            division=world.village[:6],
            may_see=("person.registered",),
        )
        sheet = joining.add(
            world.stack.broker.management(story.vhost(world.stack)),
            police,
            address=f"amqp://127.0.0.1:{world.stack.broker.amqp_port}",
            public_key=keys.kept(stack.KEYS)["BUREAU_PUBLIC_KEY"],
        )
        self._sheet: dict[str, Any] = msgspec.to_builtins(sheet)
        self._division = world.village
        self._database = world.stack.database_urls["funding"]
        self._numbers: Iterator[str] = iter(
            dict.fromkeys(str(row["身份证号"]) for row in evidence.sheet(roster) if row["待遇项目"])
        )

    def under(self, load: Callable[[], object], rate: float) -> list[float]:
        """Tell of so many deaths a second while the load lasts; the milliseconds until each was
        stopped.
        """
        sent: dict[str, float] = {}
        with ThreadPoolExecutor(1) as pool, bureau.connected(self._sheet) as line:
            busy = pool.submit(load)
            while not busy.done():
                began = time.time()
                sent[self._tell(line)] = began
                time.sleep(max(0.0, 1 / rate - (time.time() - began)))
            busy.result()
        stopped = eventually("资金停发", lambda: self._stopped(set(sent)), patience_s=120)
        return [(stopped[event] - began) * 1000 for event, began in sent.items()]

    def _tell(self, line: Connection) -> str:
        body = {
            "certificate_no": secrets.token_hex(6),
            "division": self._division,
            "identity_number": bureau.sealed(self._sheet, next(self._numbers)),
            "died_on": DIED_ON,
        }
        sent = bureau.send(self._sheet, "death_registered.v1", self._division, body, line)
        return str(sent["event_id"])

    def _stopped(self, events: set[str]) -> dict[str, float] | None:
        """When each was stopped, once all are."""
        url = self._database
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT source_event_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))"
                " FROM stop WHERE source_event_id = ANY(%s)",
                [list(events)],
            )
            found = {event: float(moment) for event, moment in cursor.fetchall()}
        return found if found.keys() == events else None
