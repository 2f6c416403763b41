"""Reads the policy files that ship with the product, as data, for the check of a roster."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from services.registry.domain.policy_figures import PolicyFigures


def figures(county: str, month: date) -> PolicyFigures:
    """What the files say for a county in a month."""
    documents, exclusions = _documents()
    return PolicyFigures(documents, exclusions, county=county, month=month)


@cache
def _documents() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    data = files("services.funding") / "data"
    documents = [
        tomllib.loads(path.read_text("utf-8"))
        for path in (data / "policies").iterdir()
        if path.name.endswith(".toml")
    ]
    exclusions = tomllib.loads((data / "exclusions.toml").read_text("utf-8"))["exclusions"]
    return documents, exclusions
