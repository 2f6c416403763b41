"""Divisions (行政区划): their kinds, and finding one by what people write.

People write 戴家场镇, 戴家场 or 戴家场镇人民政府, and 沈庙村, 沈庙 or 沈庙村村民委员会. A short
form is understood as long as it means one place only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple, TextIO

_OFFICES = (
    "村民委员会",
    "社区居民委员会",
    "居民委员会",
    "社区居委会",
    "居委会",
    "村委会",
    "人民政府",
    "办事处",
)
_KINDS_OF_TOWN = ("街道", "镇", "乡", "管理区", "办")
_KINDS_OF_VILLAGE = ("社区", "村", "生活区")


class Kind(StrEnum):
    """What a division is. Urban and rural 低保 follow the kind of the village-level unit."""

    PROVINCE = "province"
    PREFECTURE = "prefecture"
    COUNTY = "county"
    SUBDISTRICT = "subdistrict"
    TOWN = "town"
    TOWNSHIP = "township"
    TOWN_LIKE = "town_like"
    COMMUNITY = "community"
    VILLAGE = "village"
    VILLAGE_LIKE = "village_like"


class Division(NamedTuple):
    """One place: code (a digit prefix of the places within it), official name, source and date."""

    code: str
    name: str
    as_of: str
    source: str

    @property
    def kind(self) -> Kind:
        """Derived from the code's length, the last three digits and the name."""
        return kind_of(self.code, self.name)

    @property
    def short_name(self) -> str:
        """The name on a form: without the committee that runs the place."""
        return short_name(self.name)


def kind_of(code: str, name: str) -> Kind:
    """The kind of a division. Village-level: 001–199 communities, 200–399 villages, then alike."""
    match len(code):
        case 2:
            return Kind.PROVINCE
        case 4:
            return Kind.PREFECTURE
        case 6:
            return Kind.COUNTY
        case 9:
            if name.endswith(("街道", "街道办事处")):
                return Kind.SUBDISTRICT
            if name.endswith("镇"):
                return Kind.TOWN
            return Kind.TOWNSHIP if name.endswith("乡") else Kind.TOWN_LIKE
        case 12:
            number = int(code[9:])
            if number < 200:
                return Kind.COMMUNITY
            return Kind.VILLAGE if number < 400 else Kind.VILLAGE_LIKE
    raise ValueError(f"not a division code: {code!r}")


def short_name(name: str) -> str:
    """戴家场村村民委员会 → 戴家场村; 民主街社区居委会 → 民主街社区."""
    if name.endswith(("社区居民委员会", "社区居委会")):
        return name[: name.rindex("社区") + 2]
    if name.endswith("村委会") and not name.endswith("村村委会"):
        return name[:-2]
    for office in _OFFICES:
        if name.endswith(office) and len(name) > len(office):
            return name[: -len(office)]
    return name


def read_csv(file: TextIO) -> Iterator[Division]:
    """Read a data file ``code,name,as_of,source``, as ``zhida registry divisions extract`` does."""
    for row in csv.DictReader(file):
        yield Division(row["code"], row["name"], row["as_of"], row["source"])


class Gazetteer:
    """Finds towns and villages by what is written on a form.

    Under one parent, each way of writing (code, official, short, bare) is kept only while it means
    a single place.
    """

    def __init__(self, divisions: Iterable[Division]) -> None:
        self.divisions = {division.code: division for division in divisions}
        self._towns: dict[str, set[str]] = {}
        self._villages: dict[tuple[str, str], set[str]] = {}
        for division in self.divisions.values():
            if len(division.code) == 9:
                for spelling in _spellings(division, _KINDS_OF_TOWN):
                    self._towns.setdefault(spelling, set()).add(division.code)
            elif len(division.code) == 12:
                for spelling in _spellings(division, _KINDS_OF_VILLAGE):
                    key = (division.code[:9], spelling)
                    self._villages.setdefault(key, set()).add(division.code)

    def town(self, written: str) -> str | None:
        """The code of the town so written, or ``None`` when there is none, or more than one."""
        return _only(self._towns.get(written) or self._towns.get(short_name(written)))

    def village(self, town: str, written: str) -> str | None:
        """The code of the village so written in ``town``, or ``None``."""
        found = self._villages.get((town, written))
        return _only(found or self._villages.get((town, short_name(written))))

    def towns(self) -> list[Division]:
        """All towns, by code."""
        return sorted(d for d in self.divisions.values() if len(d.code) == 9)

    def villages(self, scope: str = "") -> list[Division]:
        """All village-level units within ``scope``, by code."""
        return sorted(
            d for d in self.divisions.values() if len(d.code) == 12 and d.code.startswith(scope)
        )


def _spellings(division: Division, kinds: tuple[str, ...]) -> set[str]:
    short = division.short_name
    spellings = {division.code, division.name, short}
    for kind in kinds:
        if short.endswith(kind) and len(short) > len(kind) + 1:
            spellings.add(short[: -len(kind)])
            break
    return spellings


def _only(codes: set[str] | None) -> str | None:
    return next(iter(codes)) if codes and len(codes) == 1 else None
