"""What a roster says once it is checked: people, households, and benefits granted before."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from services.registry.domain.roster.problems import Problem


@dataclass(slots=True)
class Person:
    """One person of the roster, from their first row."""

    row: int
    identity: str
    birth: date
    female: bool
    name: str
    division: str
    household: str
    kinship: str
    categories: tuple[str, ...]
    disability: str
    account_name: str
    account: str
    phone: str
    officer: str


@dataclass(slots=True)
class Household:
    """One household: who belongs to it and what it lives on (fen a month)."""

    row: int
    number: str
    division: str
    head: Person | None = None
    members: list[Person] = field(default_factory=list)
    income_fen: int | None = None
    income_row: int = 0
    broken: bool = False


@dataclass(slots=True)
class Grant:
    """A benefit granted before Zhida, paid on until a review decides it anew.

    ``amount_fen`` is what is paid a month for all ``covered`` together. ``basis`` is ``household``
    or ``person`` (for person benefits, and 低保 of a single member, 单人保).
    """

    row: int
    benefit: str
    basis: str
    household: Household
    payee: Person
    covered: list[Person]
    amount_fen: int
    since: str
    document: str


@dataclass(slots=True)
class Roster:
    """What a checked roster says. Written only when ``problems`` is empty."""

    rows: int
    accepted: int
    people: list[Person]
    households: list[Household]
    grants: list[Grant]
    problems: list[Problem]
    warnings: list[Problem]

    @property
    def rejected(self) -> int:
        """Rows with at least one problem."""
        return self.rows - self.accepted
