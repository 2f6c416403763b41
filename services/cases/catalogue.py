"""The catalogue and the policies as they stand in ``data/``, read once."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from services.cases.domain.catalogue import Benefit, Item, Route, read_item
from services.cases.domain.policy import Policies, RuleText
from services.cases.domain.publicity import check_whitelist
from services.contracts.errors import Invalid

DATA = Path(__file__).parent / "data"


def read_items(folder: Path) -> dict[str, Item]:
    """All items of a folder, by code. A file that is not an item stops the start."""
    items = {}
    for path in sorted(folder.glob("*.toml")):
        item = read_item(tomllib.loads(path.read_text("utf-8")))
        if item.code != path.stem:
            raise ValueError(f"{path.name} declares the item {item.code}")
        check_whitelist(item.code, item.publicity)
        items[item.code] = item
    return items


def read_policies(folder: Path) -> Policies:
    """All rules of a folder; a local rule beyond the national ceiling stops the start."""
    rules: list[Any] = []
    for path in sorted(folder.glob("*.toml")):
        rules += tomllib.loads(path.read_text("utf-8"))["rules"]
    return Policies(msgspec.convert(rules, list[RuleText]))


@cache
def items() -> dict[str, Item]:
    """The catalogue."""
    found = read_items(DATA / "catalogue")
    known = benefits()
    for item in found.values():
        if unknown := [code for code in item.benefits if code not in known]:
            raise ValueError(f"{item.code}: unknown benefits {unknown}")
    return found


@cache
def policies() -> Policies:
    """Who decides and within what limit."""
    return read_policies(DATA / "policy")


@cache
def benefits() -> dict[str, Benefit]:
    """The benefits by code."""
    data = tomllib.loads((DATA / "benefits.toml").read_text("utf-8"))["benefits"]
    return {benefit.code: benefit for benefit in msgspec.convert(data, list[Benefit])}


@cache
def statutory_days() -> dict[int, frozenset[date]]:
    """Statutory days off of the years that are provisional until their notice is loaded."""
    data = tomllib.loads((DATA / "calendar" / "statutory.toml").read_text("utf-8"))
    return {year["year"]: frozenset(year["days"]) for year in data["years"]}


def item(code: str) -> Item:
    """The item; ``Invalid`` in Chinese when the catalogue has none of that code."""
    if found := items().get(code):
        return found
    raise Invalid(
        f"事项目录里没有“{code}”",
        field="item",
        advice="请从事项目录中选择",
        reason="unknown_item",
    )


def route(of: Item, code: str | None) -> Route:
    """The item's route; its first when none is named."""
    if code is None:
        return of.routes[0]
    if found := of.route(code):
        return found
    names = "、".join(each.code for each in of.routes)
    raise Invalid(f"“{of.name}”没有程序“{code}”", field="route", advice=f"可选：{names}")
