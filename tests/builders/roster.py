"""Rosters for tests: rows that are right, to be made wrong one cell at a time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import xlsxwriter

import services.registry
from services.registry.domain.divisions import Gazetteer, read_csv
from services.registry.domain.identity_number import check_digit
from services.registry.domain.roster import TITLES, Cell, Roster, check

TODAY = date(2026, 9, 28)
OFFICERS = {"HH0204": ("421083108204",), "HH0001": ("421083001200",)}
VILLAGES = {"沈庙村": ("戴家场镇", "HH0204"), "柏枝村": ("新堤街道", "HH0001")}

_DATA = Path(services.registry.__file__).parent / "data" / "divisions" / "421083.csv"

with _DATA.open(encoding="utf-8") as _file:
    HONGHU = Gazetteer(read_csv(_file))


def identity(number: int = 1, born: str = "19550307", *, female: bool = False) -> str:
    """The valid number of the ``number``-th person born that day."""
    first = f"421083{born}{number * 2 - (not female):03d}"
    return first + check_digit(first)


def row(**cells: Cell) -> dict[str, Cell]:
    """A right row, with the given columns changed (``身份证号=…``)."""
    right: dict[str, Cell] = {
        "镇": "戴家场镇",
        "村": "沈庙村",
        "户编号": "S001",
        "与户主关系": "户主",
        "姓名": "陈桂兰",
        "身份证号": identity(1),
        "对象类别": "低保对象",
        "待遇项目": "农村低保",
        "家庭月收入": "300",
        "核定金额": "320",
        "享受起始月": "2024-03",
        "批准文号": "洪民助〔2024〕12号",
        "开户名": "陈桂兰",
        "银行账号": "6217991234567890123",
        "联系电话": "13800138000",
        "责任人工号": "HH0204",
    }
    return right | {_title(name): value for name, value in cells.items()}


def _title(name: str) -> str:
    return name.split("(", 1)[0]


def titled(name: str) -> str:
    """The full title of a column (家庭月收入 → 家庭月收入(元))."""
    return next(title for title in TITLES if _title(title) == _title(name))


def sheet(
    rows: Iterable[Mapping[str, Cell]], headers: Sequence[str] = TITLES
) -> list[tuple[int, list[Cell]]]:
    """Numbered rows as the reader gives them, the header being row 1."""
    numbered: list[tuple[int, list[Cell]]] = [(1, list(headers))]
    for number, cells in enumerate(rows, 2):
        numbered.append((number, [cells.get(_title(title)) for title in headers]))
    return numbered


def checked(*rows: Mapping[str, Cell], **options: Any) -> Roster:
    """Check these rows against Honghu's divisions."""
    given = {"gazetteer": HONGHU, "officers": OFFICERS, "today": TODAY} | options
    return check(sheet(rows), **given)


def xlsx(
    rows: Iterable[Mapping[str, Cell]],
    *,
    officers: Sequence[Sequence[str]] = (),
    headers: Sequence[str] = TITLES,
    also: Any = None,
) -> bytes:
    """A workbook with sheet 花名册 (and 责任人); ``also(workbook, page)`` may spoil it."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False})
    page = book.add_worksheet("花名册")
    for number, cells in sheet(rows, headers):
        for position, cell in enumerate(cells):
            if isinstance(cell, str):
                page.write_string(number - 1, position, cell)
            elif cell is not None:
                page.write_number(number - 1, position, cell)
    if officers:
        second = book.add_worksheet("责任人")
        for number, line in enumerate([("工号", "姓名", "镇", "村", "联系电话"), *officers]):
            second.write_row(number, 0, line)
    if also is not None:
        also(book, page)
    book.close()
    return buffer.getvalue()
