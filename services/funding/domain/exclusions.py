"""Benefits that one person may not have together, each with the clause that says so.

The rules are data (``data/exclusions.toml``). An audit of 2018 found 252,800 yuan paid twice
because nobody compared the rosters; here nothing is granted and no batch is computed without it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec


class Exclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who holds ``held`` does not get ``benefit``; ``top_up`` pays the difference instead."""

    benefit: str
    held: str
    effect: Literal["refuse", "top_up", "warn"]
    clause: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One obstacle for one person: blocking unless only the difference is paid or a hint given."""

    person_id: str
    benefit: str
    held: str
    effect: str
    clause: str

    @property
    def blocking(self) -> bool:
        """Whether the benefit cannot be granted at all."""
        return self.effect in ("refuse", "duplicate")


DUPLICATE_CLAUSE = "同一人同一待遇只能享受一份"


def find(
    rules: Iterable[Exclusion],
    benefit: str,
    persons: Iterable[str],
    held: Mapping[str, frozenset[str]],
) -> list[Finding]:
    """Everything that stands against giving a benefit to people who hold others already."""
    applicable = [rule for rule in rules if rule.benefit == benefit]
    findings = []
    for person in persons:
        theirs = held.get(person, frozenset())
        if benefit in theirs:
            findings.append(
                Finding(
                    person_id=person,
                    benefit=benefit,
                    held=benefit,
                    effect="duplicate",
                    clause=DUPLICATE_CLAUSE,
                )
            )
        findings += [
            Finding(
                person_id=person,
                benefit=benefit,
                held=rule.held,
                effect=rule.effect,
                clause=rule.clause,
            )
            for rule in applicable
            if rule.held in theirs
        ]
    return findings
