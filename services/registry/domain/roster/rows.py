"""One row of a roster, read cell by cell: what it says by itself, before it meets the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from services.registry.domain.divisions import Gazetteer
from services.registry.domain.roster import values
from services.registry.domain.roster.cells import Cell, cell_text, one_dot
from services.registry.domain.roster.columns import (
    ACCOUNT,
    ACCOUNT_NAME,
    AMOUNT,
    BENEFIT,
    CATEGORY,
    DOCUMENT,
    HOUSEHOLD,
    IDENTITY,
    INCOME,
    KINSHIP,
    NAME,
    OFFICER,
    PHONE,
    SINCE,
    TITLES,
    TOWN,
    VILLAGE,
)
from services.registry.domain.roster.contents import Person
from services.registry.domain.roster.places import Places, Responsible
from services.registry.domain.roster.problems import Findings


@dataclass(slots=True)
class Row:
    """What one row says. ``text`` is each column as written, for telling what is wrong.

    ``household`` is empty and ``person`` is nothing when the row does not say who is meant.
    """

    number: int
    text: list[str]
    household: str
    division: str | None
    person: Person | None
    income_fen: int | None
    benefit: str | None
    amount_fen: int | None
    since: str

    @property
    def document(self) -> str:
        """批准文号 of the benefit."""
        return self.text[DOCUMENT]


class RowReader:
    """Reads rows under one header; remembers only spellings, so each row stands by itself.

    ``positions`` says where each column stands; the others are as ``check`` takes them.
    """

    def __init__(
        self,
        positions: Mapping[int, int],
        *,
        gazetteer: Gazetteer,
        officers: Mapping[str, Collection[str]],
        today: date,
        formulas: Collection[tuple[int, int]],
        merged: Mapping[int, Collection[int]],
        found: Findings,
    ) -> None:
        self._positions = [positions.get(column, -1) for column in range(len(TITLES))]
        self._places = Places(gazetteer, found)
        self._responsible = Responsible(gazetteer, officers, found)
        self._today = today
        self._formulas = frozenset(formulas)
        self._merged = merged
        self._found = found
        self._categories: dict[str, tuple[tuple[str, ...], str]] = {}

    def read(self, number: int, cells: Sequence[Cell]) -> Row | None:
        """The row; ``None`` when it is blank."""
        width = len(cells)
        raw = [cells[p] if 0 <= p < width else None for p in self._positions]
        text = [cell_text(cell) for cell in raw]
        if not any(text):
            return None
        found, today = self._found, self._today
        if self._formulas or self._merged:
            self._refuse_what_is_no_fact(number, text)
        division = self._places.village(number, text[TOWN], text[VILLAGE])
        household = values.household_number(number, text[HOUSEHOLD], found)
        return Row(
            number=number,
            text=text,
            household=household,
            division=division,
            benefit=values.benefit(number, text[BENEFIT], found),
            income_fen=values.money(number, INCOME, raw[INCOME], text[INCOME], found),
            amount_fen=values.money(number, AMOUNT, raw[AMOUNT], text[AMOUNT], found),
            since=values.since(number, text[SINCE], today, found),
            person=self._person(number, raw, text, household, division),
        )

    def _person(
        self, row: int, raw: list[Cell], text: list[str], household: str, division: str | None
    ) -> Person | None:
        found = self._found
        kinship = values.kinship(row, text[KINSHIP], found)
        name = values.name(row, text[NAME], found)
        identity = values.identity(row, raw[IDENTITY], text[IDENTITY], self._today, found)
        officer = self._responsible.officer(row, text[OFFICER], division)
        account = values.account(row, raw[ACCOUNT], text[ACCOUNT], found)
        phone = values.phone(row, text[PHONE], found)
        categories, disability = self._read_categories(row, text[CATEGORY])
        if identity is None or kinship is None:
            return None
        return Person(
            row,
            identity.number,
            identity.birth,
            identity.female,
            name,
            division or "",
            household,
            kinship,
            categories,
            disability,
            one_dot(text[ACCOUNT_NAME]),
            account,
            phone,
            officer,
        )

    def _read_categories(self, row: int, text: str) -> tuple[tuple[str, ...], str]:
        """Thousands are written alike: an unknown word is told once for each way of writing."""
        known = self._categories.get(text)
        if known is None:
            known = self._categories[text] = values.categories(row, text, self._found)
        return known

    def _refuse_what_is_no_fact(self, row: int, text: list[str]) -> None:
        """Formulas and merged cells: worked out elsewhere, or standing for several rows."""
        if self._formulas:
            for column, position in enumerate(self._positions):
                if (row, position) in self._formulas:
                    self._found.refuse(
                        row,
                        column,
                        text[column],
                        "单元格是公式",
                        "请复制后用“选择性粘贴—数值”改为固定内容",
                    )
        within = self._merged.get(row)
        if within:
            for column, position in enumerate(self._positions):
                if position in within:
                    self._found.refuse(
                        row, column, text[column], "单元格是合并单元格", "请取消合并，逐行填写"
                    )
