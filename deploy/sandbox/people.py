"""People who never lived, told of as the services tell: the contracts' golden examples, varied.

Person number n lives in the same village and has the same ids each time, so that what is told of
one person hangs together.
"""

from __future__ import annotations

import csv
import json
import re
import uuid
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from services.contracts.events import Audience, Event, EventType
from services.contracts.publish import example, published_types

_MADE_UP = uuid.UUID("6f0d3a52-35d3-4f8e-8a37-5c1f9f6f2d11")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_VILLAGE = re.compile(r"[0-9]{12}")

FIRST = ("division.registered.v1",)
"""Told once, of each village."""
SEVENTH = ("person.left.v1", "person.arrived.v1", "entitlement.closed.v1")
"""Told of each seventh person only: who moves, whose benefit ends."""
LIFE = (
    "person.registered.v1",
    "case.accepted.v1",
    "case.closed.v1",
    "entitlement.granted.v1",
    *SEVENTH,
)
"""In which order a life goes; types that are not named here come after it."""


@cache
def types() -> tuple[EventType, ...]:
    """What other bureaus may hear, in the order it is told."""
    heard = [
        declared
        for declared in published_types()
        if declared.audience in (Audience.BUREAUS, Audience.IDENTIFIED)
        and declared.addressee is None
    ]
    order = {name: place for place, name in enumerate(LIFE)}
    return tuple(sorted(heard, key=lambda each: (order.get(each.name, len(order)), each.name)))


@cache
def villages(county: str) -> tuple[tuple[str, str], ...]:
    """Code and name of every village of the county."""
    path = files("services.registry") / "data" / "divisions" / f"{county}.csv"
    rows = csv.DictReader(path.read_text("utf-8").splitlines())
    return tuple((row["code"], row["name"]) for row in rows if len(row["code"]) == 12)


def places(county: str) -> Iterator[Event]:
    """The villages, told once."""
    for declared in types():
        if declared.name in FIRST:
            for code, name in villages(county):
                body = example(declared) | {"division": code, "name": name, "parent": code[:9]}
                yield msgspec.convert(body, declared.struct)


def life(number: int, county: str) -> list[Event]:
    """What is told of one person."""
    told = []
    for declared in types():
        if declared.name in FIRST or (declared.name in SEVENTH and number % 7):
            continue
        moved = 1 if declared.name == "person.arrived.v1" else 0
        body = _varied(example(declared), number, village(number + moved, county))
        told.append(msgspec.convert(body, declared.struct))
    return told


def village(number: int, county: str) -> str:
    """Where person ``number`` lives."""
    known = villages(county)
    return known[number * 37 % len(known)][0]


def _varied(body: Any, number: int, home: str) -> Any:
    """An example's body with ids of this person's own and places of this person's village."""
    text = json.dumps(body)
    text = _UUID.sub(lambda found: str(uuid.uuid5(_MADE_UP, f"{number}:{found[0]}")), text)
    text = re.sub(rf'"{_VILLAGE.pattern}"', f'"{home}"', text)
    return json.loads(text)
