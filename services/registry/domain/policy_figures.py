"""What the shipped policy files say of a benefit that came with a roster: a hint for the check.

The binding working of an amount is funding's alone, with every policy enacted since; it sets its
own figure beside the 核定金额 when the benefit arrives. Here the clerk is told beforehand which
rows differ from the files, and which benefits one person may not hold together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from services.registry.domain.benefits import OF_HOUSEHOLD
from services.registry.domain.identity_number import age_on
from services.registry.domain.roster import Grant, Person

_GRADES = "一二三四"
_CARE = {"care_total": "total", "care_partial": "partial"}


class PolicyFigures:
    """The policies in force in one county in one month.

    ``documents`` are parsed policy files, ``exclusions`` the rows of the exclusions file.
    """

    def __init__(
        self,
        documents: Iterable[Mapping[str, Any]],
        exclusions: Sequence[Mapping[str, Any]],
        *,
        county: str,
        month: date,
    ) -> None:
        self._on = month
        self._refused = {
            (row["benefit"], row["held"]): str(row["clause"])
            for row in exclusions
            if row["effect"] == "refuse"
        }
        self._rules: dict[str, Mapping[str, Any]] = {}
        for document in documents:
            rule = _in_force(document["versions"], county, f"{month:%Y-%m}")
            if rule is not None:
                self._rules[document["code"]] = rule

    def fen(self, grant: Grant, others: frozenset[str]) -> int | None:
        """The month's amount by the files; ``None`` when they give no plain figure.

        ``others`` are the other benefits the person holds: where one is set off against another,
        and for 单人保 (the person's own income is not in the roster), there is none.
        """
        rule = self._rules.get(grant.benefit)
        if rule is None:
            return None
        if grant.benefit in OF_HOUSEHOLD:
            if grant.basis != "household":
                return None
            return self._top_up(rule, grant.covered, grant.household.income_fen or 0)
        if others & set(rule.get("less_benefits", ())):
            return None
        (person,) = grant.covered
        band = next((b for b in rule["bands"] if self._fits(b.get("when", {}), person)), None)
        if band is None:
            return 0
        added = (int(a["fen"]) for a in rule.get("additions", ()) if self._fits(a["when"], person))
        return int(band["fen"]) + sum(added)

    def excluded(self, benefits: Iterable[str]) -> list[tuple[str, str, str]]:
        """(benefit, held, clause) of benefits that one person may not hold together, once each."""
        held = sorted(benefits)
        found: list[tuple[str, str, str]] = []
        for position, first in enumerate(held):
            for second in held[position + 1 :]:
                clause = self._refused.get((first, second)) or self._refused.get((second, first))
                if clause:
                    found.append((first, second, clause))
        return found

    def _top_up(self, rule: Mapping[str, Any], covered: Sequence[Person], income_fen: int) -> int:
        standard = int(rule["standard_fen"])
        gap = max(0, standard * len(covered) - income_fen)
        if gap:
            gap += sum(
                standard * int(line["share_bp"]) // 10_000
                for line in rule.get("supplements", ())
                for person in covered
                if self._fits(line["when"], person)
            )
        rounding = rule.get("rounding", {})
        unit, mode = int(rounding.get("unit_fen", 1)), rounding.get("mode", "half_up")
        whole, rest = divmod(gap, unit)
        up = rest > 0 if mode == "up" else mode == "half_up" and rest * 2 >= unit
        return (whole + up) * unit

    def _fits(self, when: Mapping[str, Any], person: Person) -> bool:
        age = age_on(person.birth, self._on)
        kind, grade = person.disability[:2], person.disability[2:3]
        care = next((level for c, level in _CARE.items() if c in person.categories), None)
        placement = "centralised" if "centralised" in person.categories else None
        grades, kinds = when.get("disability_grades"), when.get("disability_kinds")
        return (
            when.get("age_from", 0) <= age <= when.get("age_to", 999)
            and (not grades or (bool(grade) and _GRADES.index(grade) + 1 in grades))
            and (not kinds or kind in kinds)
            and ("category" not in when or when["category"] in person.categories)
            and ("placement" not in when or when["placement"] == placement)
            and ("care_level" not in when or when["care_level"] == care)
        )


def _in_force(
    versions: Iterable[Mapping[str, Any]], county: str, month: str
) -> Mapping[str, Any] | None:
    """The rule of the narrowest, then newest version that holds for a county in a month."""
    holding = [
        version
        for version in versions
        if county.startswith(version["division"])
        and version["effective_from"] <= month <= version.get("effective_to", "9999-12")
    ]
    if not holding:
        return None
    best = max(holding, key=lambda version: (len(version["division"]), version["effective_from"]))
    rule: Mapping[str, Any] = best["rule"]
    return rule if rule["type"] in ("top_up", "flat") else None
