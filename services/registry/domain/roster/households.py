"""Rows put together: each person once, each household whole, and rows that contradict others."""

from __future__ import annotations

from services.registry.domain.benefits import HEAD
from services.registry.domain.divisions import Gazetteer
from services.registry.domain.roster.columns import (
    ACCOUNT,
    ACCOUNT_NAME,
    CATEGORY,
    HOUSEHOLD,
    IDENTITY,
    INCOME,
    KINSHIP,
    NAME,
    OFFICER,
    PHONE,
    TITLES,
    VILLAGE,
)
from services.registry.domain.roster.contents import Household, Person
from services.registry.domain.roster.problems import Findings
from services.registry.domain.roster.rows import Row


class Households:
    """The people and households met so far, by identity number and 户编号."""

    def __init__(self, gazetteer: Gazetteer, found: Findings) -> None:
        self._gazetteer = gazetteer
        self._found = found
        self.people: dict[str, Person] = {}
        self.by_number: dict[str, Household] = {}
        self._accounts: dict[str, tuple[str, int]] = {}

    def take(self, row: Row) -> Person | None:
        """Put a row's person into their household; they as first met, or ``None`` for a bad row.

        A household of which a row is bad is broken: it is not blamed for what that row may hold.
        """
        if not row.household:
            return None
        household = self._household(row)
        if row.income_fen is not None:
            self._agree_on_income(row, household, row.income_fen)
        person = None
        if row.person is not None and row.number not in self._found.bad_rows:
            person = self._member(row, household, row.person)
        if person is None:
            household.broken = True
        return person

    def require_heads(self) -> None:
        """Every household that is whole has a head, for it is they who are paid."""
        for household in self.by_number.values():
            if household.head is None and not household.broken:
                self._found.refuse(
                    household.row,
                    HOUSEHOLD,
                    household.number,
                    f"户 {household.number} 没有户主",
                    "请把其中一人的与户主关系填为户主；户主没有待遇也要列一行",
                )

    def _household(self, row: Row) -> Household:
        number, division = row.household, row.division
        household = self.by_number.get(number)
        if household is None:
            household = self.by_number[number] = Household(row.number, number, division or "")
        elif division is not None:
            if not household.division:
                household.division = division
            elif household.division != division:
                there = self._gazetteer.divisions[household.division].short_name
                self._found.refuse(
                    row.number,
                    VILLAGE,
                    row.text[VILLAGE],
                    f"户 {number} 在第 {household.row} 行属于{there}",
                    "同一户应在同一村；不同的户请用不同的户编号",
                )
        return household

    def _agree_on_income(self, row: Row, household: Household, income_fen: int) -> None:
        if household.income_fen is None:
            household.income_fen, household.income_row = income_fen, row.number
        elif household.income_fen != income_fen:
            self._found.refuse(
                row.number,
                INCOME,
                row.text[INCOME],
                f"与同户第 {household.income_row} 行的家庭月收入不一致",
                "家庭月收入是全户的，只填一行，或各行相同",
            )

    def _member(self, row: Row, household: Household, person: Person) -> Person | None:
        """The person as first met: new to the household, or met before on an equal row."""
        known = self.people.get(person.identity)
        if known is not None:
            return known if self._is_same(row, known, person) else None
        self.people[person.identity] = person
        household.members.append(person)
        if person.kinship == HEAD:
            if household.head is None:
                household.head = person
            else:
                self._found.refuse(
                    row.number,
                    KINSHIP,
                    row.text[KINSHIP],
                    f"户 {household.number} 有两个户主（第 {household.head.row} 行已有）",
                    "请只保留一个户主，其余改为与户主的关系",
                )
        if person.account:
            self._note_account(person)
        return person

    def _is_same(self, row: Row, known: Person, again: Person) -> bool:
        """Rows of one person agree in all that is said of the person."""
        if known.household != again.household:
            self._found.refuse(
                row.number,
                IDENTITY,
                row.text[IDENTITY],
                f"同一身份证号已在第 {known.row} 行户 {known.household} 中",
                "一个人只能在一户，请核对",
            )
            return False
        same = True
        for column, before, now in (
            (NAME, known.name, again.name),
            (KINSHIP, known.kinship, again.kinship),
            (CATEGORY, known.categories, again.categories),
            (CATEGORY, known.disability, again.disability),
            (ACCOUNT_NAME, known.account_name, again.account_name),
            (ACCOUNT, known.account, again.account),
            (PHONE, known.phone, again.phone),
            (OFFICER, known.officer, again.officer),
        ):
            if now != before and now:
                self._found.refuse(
                    row.number,
                    column,
                    row.text[column],
                    f"与第 {known.row} 行同一人的{TITLES[column]}不一致",
                    "同一人的各行除待遇各列外应相同",
                )
                same = False
        return same

    def _note_account(self, person: Person) -> None:
        household, row = self._accounts.setdefault(person.account, (person.household, person.row))
        if household != person.household:
            self._found.warn(
                person.row,
                ACCOUNT,
                person.account,
                f"与第 {row} 行另一户的账号相同",
                "请核对是否代持他人存折、卡",
            )
