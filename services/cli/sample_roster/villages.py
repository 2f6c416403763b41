"""The villages of a county, each with an officer who looks after it."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import NamedTuple

from services.cli.sample_roster.people import People


class Village(NamedTuple):
    """A village-level unit and the officer who looks after it."""

    code: str
    town: str
    name: str
    urban: bool
    officer: str


def of_county(county: str) -> list[Village]:
    """Every village-level unit, in the order of its code."""
    path = files("services.registry") / "data" / "divisions" / f"{county}.csv"
    names: dict[str, str] = {}
    villages: list[Village] = []
    for row in csv.DictReader(path.read_text("utf-8").splitlines()):
        code = row["code"]
        names[code] = row["name"]
        if len(code) == 12:
            name = row["name"].removesuffix("村民委员会").removesuffix("居委会")
            urban = int(code[9:]) < 200
            officer = f"HH{len(villages) + 1:04d}"
            villages.append(Village(code, names[code[:9]], name, urban, officer))
    return villages


def appoint(villages: list[Village], people: People) -> list[tuple[str, ...]]:
    """An officer for each village, as the sheet 责任人 names them."""
    return [
        (village.officer, people.name(female=n % 2 == 0, age=35), village.town, village.name,
         people.mobile())
        for n, village in enumerate(villages)
    ]  # fmt: skip
