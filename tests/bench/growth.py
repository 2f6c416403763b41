"""The month of a province: the time per person at ten times the people of a city.

Both are computed and checked in one run, one right after the other, so that only the size differs.
"""

from __future__ import annotations

import os
from typing import Any

from deploy.local import PrivateServers
from tests.bench.money import PEOPLE, city, cycle

GROWN = 10


def measure() -> dict[str, dict[str, Any]]:
    """How much dearer one person is among 1,100,000 than among 110,000."""
    with (
        PrivateServers() as servers,
        city(servers, "bench_province", PEOPLE * GROWN, hands=os.cpu_count() or 1) as province,
        city(servers, "bench_city", PEOPLE) as office,
    ):
        seconds, people = cycle(office)
        grown_seconds, grown_people = cycle(province)
    return {
        "growth": {
            "value": round((grown_seconds / grown_people) / (seconds / people), 2),
            "people": grown_people,
            "seconds": round(grown_seconds, 1),
            "city_seconds": round(seconds, 1),
        }
    }
