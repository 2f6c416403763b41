"""A hundred submissions a second at the edge: how long one waits for its answer.

All services run as `zhida up` starts them. Sixteen windows register households in a hundred
villages, evenly spread over time whether or not the answers come (an open load): a late answer
delays nobody.
Where the machine carries fewer than are submitted the latency is the length of the queue;
``carried_per_s`` says how many it carried.
"""

# ruff: noqa: E402 - the stack's home is chosen before it is imported
from __future__ import annotations

import os
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".zhida" / "bench"
os.environ.setdefault("ZHIDA_HOME", str(HOME))

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

from deploy.local import stack
from services.chassis.client import Client
from services.cli.demo import cast, story
from services.cli.demo.world import World
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    AppointStaff,
    ListDivisions,
    NewMember,
    RegisterHousehold,
)
from tests.bench.consumers import busy
from tests.bench.deaths import figures, say
from tests.builders.roster import identity

RATE = 100
WARM_UP_S = 5
SECONDS = 30
WINDOWS = 16
VILLAGES = 100


def measure() -> dict[str, dict[str, Any]]:
    """The 99th percentile in milliseconds, from the moment a submission was due."""
    try:
        world = story._open(0, 1, HOME / "files", say)
        cast.enter(world)
        client = Client(world.stack.amqp_uri, pool_size=WINDOWS)
        token = world["county_window"].signed_in.token
        villages = settle(world)
        begins = time.monotonic() + 1.0

        def submit(number: int) -> float:
            due = begins + number / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            client.call(household(villages[number % len(villages)], number), token=token)
            return (time.monotonic() - due) * 1000

        count = (WARM_UP_S + SECONDS) * RATE
        with busy() as share, ThreadPoolExecutor(WINDOWS) as windows:
            waited = list(windows.map(submit, range(count)))
            carried = count / (time.monotonic() - begins)
        client.close()
    finally:
        stack.down()
    found = figures(waited[WARM_UP_S * RATE :], RATE)
    del found["people"]
    return {
        "submission_p99_ms": {
            **found,
            "carried_per_s": round(carried),
            "processors": f"{share[0]:.0%} of {os.cpu_count()} cores",
        }
    }


def settle(world: World) -> list[str]:
    """A hundred villages, each with its own officer."""
    admin, city = world["admin"], world.village[:6]
    towns = admin.ask(ListDivisions(parent=city))
    below = [place for town in towns for place in admin.ask(ListDivisions(parent=town.code))]
    villages = [place.code for place in below if len(place.code) == 12][:VILLAGES]
    for number, village in enumerate(villages):
        admin.ask(
            AppointStaff(
                staff_no=f"V{number:03d}",
                name="向家旺",
                division=village,
                roles=(Role.VILLAGE_OFFICER,),
                scopes=(village,),
            )
        )
    return villages


def household(village: str, number: int) -> RegisterHousehold:
    """A household of one, whose number nobody else has."""
    born = date(1950, 1, 1) + timedelta(days=number // 400)
    return RegisterHousehold(
        division=village,
        members=(
            NewMember(
                name="向长河",
                identity_number=identity(number % 400 + 1, born.strftime("%Y%m%d")),
                relation="户主",
                phone="13971650002",
            ),
        ),
    )
