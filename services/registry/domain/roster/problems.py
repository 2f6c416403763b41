"""What is wrong or odd in a roster, told cell by cell so that the clerk can put it right."""

from __future__ import annotations

from typing import NamedTuple

from services.registry.domain import identity_number
from services.registry.domain.roster.columns import SENSITIVE, TITLES


class Problem(NamedTuple):
    """What is wrong (or, among warnings, odd) in one cell, and what to do about it.

    ``value`` is what stands there; of identity numbers, accounts and phones only the last four.
    """

    row: int
    column: str
    value: str
    problem: str
    advice: str


class Findings:
    """Collects problems and warnings while the rows go by; a row with a problem is bad."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.bad_rows: set[int] = set()

    def refuse(self, row: int, column: int, value: str, problem: str, advice: str) -> None:
        """Nothing of the roster is written before this is put right."""
        self.bad_rows.add(row)
        self.problems.append(Problem(row, TITLES[column], _shown(column, value), problem, advice))

    def warn(self, row: int, column: int, value: str, problem: str, advice: str) -> None:
        """Odd but possible: told, not refused."""
        self.warnings.append(Problem(row, TITLES[column], _shown(column, value), problem, advice))

    def sort(self) -> None:
        """By row, as the clerk goes through the sheet; within a row as they were found."""
        self.problems.sort(key=lambda problem: problem.row)
        self.warnings.sort(key=lambda warning: warning.row)


def _shown(column: int, value: str) -> str:
    return identity_number.mask(value) if column in SENSITIVE else value[:60]
