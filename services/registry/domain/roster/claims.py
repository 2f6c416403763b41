"""The benefit cells of the rows, each person's benefit once, kept until the household is whole."""

from __future__ import annotations

from dataclasses import dataclass

from services.registry.domain.benefits import OF_HOUSEHOLD
from services.registry.domain.roster.columns import BENEFIT, SINCE
from services.registry.domain.roster.contents import Person
from services.registry.domain.roster.problems import Findings
from services.registry.domain.roster.rows import Row


@dataclass(slots=True)
class Claim:
    """The benefit cells of one row: a household's row may give the amount and name no benefit."""

    row: int
    benefit: str | None
    person: Person
    amount_fen: int | None
    since: str
    document: str

    @property
    def of_household(self) -> bool:
        """Whether it speaks for the household: 低保, or an amount without a benefit."""
        return self.benefit is None or self.benefit in OF_HOUSEHOLD


class Claims:
    """Claims by 户编号."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self.by_household: dict[str, list[Claim]] = {}
        self._rows: dict[tuple[str, str], int] = {}

    def take(self, row: Row, person: Person) -> None:
        """Keep what a row claims for a person, unless it is claimed already."""
        if row.benefit is None and row.amount_fen is None:
            return
        if row.benefit is not None:
            first = self._rows.setdefault((person.identity, row.benefit), row.number)
            if first != row.number:
                self._found.refuse(
                    row.number,
                    BENEFIT,
                    row.text[BENEFIT],
                    f"同一人同一待遇重复（第 {first} 行已有）",
                    "请删除其中一行",
                )
                return
            if (
                row.since
                and row.benefit not in OF_HOUSEHOLD
                and row.since < f"{person.birth:%Y-%m}"
            ):
                self._found.refuse(
                    row.number,
                    SINCE,
                    row.text[SINCE],
                    "享受起始月早于出生月",
                    "请核对起始月和身份证号",
                )
        self.by_household.setdefault(row.household, []).append(
            Claim(row.number, row.benefit, person, row.amount_fen, row.since, row.document)
        )
