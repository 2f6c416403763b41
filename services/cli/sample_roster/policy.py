"""What policy pays the people made up, so that their amounts are right."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from services.cli.sample_roster.people import GRADES, Member

MONTH = "2026-11"


class Policy:
    """What the shipped policy files pay in ``MONTH``: only as much as a made-up roster needs."""

    def __init__(self, county: str) -> None:
        self._rules: dict[str, Mapping[str, Any]] = {}
        self._last_year: dict[str, Mapping[str, Any]] = {}
        for path in (files("services.funding") / "data" / "policies").iterdir():
            document = tomllib.loads(path.read_text("utf-8"))
            versions = [
                version
                for version in document["versions"]
                if county.startswith(version["division"]) and version["effective_from"] <= MONTH
            ]
            versions.sort(key=lambda version: (version["division"], version["effective_from"]))
            self._rules[document["code"]] = versions[-1]["rule"]
            self._last_year[document["code"]] = versions[-2 if len(versions) > 1 else -1]["rule"]

    def dibao(self, benefit: str, covered: list[Member], income_fen: int, *, old: bool) -> int:
        """A household's 低保 in fen; with ``old`` by the standard before."""
        rule = (self._last_year if old else self._rules)[benefit]
        standard: int = rule["standard_fen"]
        amount = max(0, standard * len(covered) - income_fen)
        if amount == 0:
            return 0
        for member in covered:
            for line in rule.get("supplements", ()):
                if _meets(line["when"], member):
                    amount += standard * line["share_bp"] // 10_000
        unit: int = rule.get("rounding", {}).get("unit_fen", 1)
        return -(-amount // unit) * unit

    def flat(self, benefit: str, member: Member, **facts: str) -> int:
        """A person's fixed amount in fen; 0 when no band is meant for them."""
        rule = self._rules[benefit]
        for band in rule["bands"]:
            if _meets(band.get("when", {}), member, facts):
                return int(band["fen"]) + sum(
                    int(line["fen"])
                    for line in rule.get("additions", ())
                    if _meets(line["when"], member, facts)
                )
        return 0


def _meets(when: Mapping[str, Any], member: Member, facts: Mapping[str, str] | None = None) -> bool:
    facts = facts or {}
    grade = next((n for n, word in enumerate(GRADES, 1) if word in member.disability), None)
    return (
        when.get("age_from", 0) <= member.age <= when.get("age_to", 200)
        and ("disability_grades" not in when or grade in when["disability_grades"])
        and ("disability_kinds" not in when or member.disability[:2] in when["disability_kinds"])
        and ("category" not in when or (when["category"] == "serious_illness" and member.ill))
        and when.get("placement", facts.get("placement")) == facts.get("placement")
        and when.get("care_level", facts.get("care_level")) == facts.get("care_level")
    )
