"""The clerk's own workbook again, with a red column of what is wrong in each row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import xlsxwriter

from services.registry import workbook
from services.registry.domain.roster import Problem

COLUMN = "错误说明"


def build(content: bytes, problems: Iterable[Problem], *, sheet: str) -> bytes:
    """Copy the roster's sheet and append a red column of reasons.

    Text is written as text: a cell that begins with ``=`` stays what it was, never a formula.
    """
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        reasons.setdefault(problem.row, []).append(
            f"{problem.column}：{problem.problem}（{problem.advice}）"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "errors.xlsx"
        _write(content, reasons, sheet, path)
        return path.read_bytes()


def _write(content: bytes, reasons: dict[int, list[str]], sheet: str, path: Path) -> None:
    book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False})
    red = book.add_format({"font_color": "#b4232a", "bold": True, "bg_color": "#fdecec"})
    page = book.add_worksheet(sheet)
    for source in workbook.read(content, sheet=sheet):
        width, started = 16, False
        for row, cells in source.rows:
            filled = [position for position, cell in enumerate(cells) if cell not in (None, "")]
            if not started and len(filled) >= 5:
                started = True
                width = max(filled) + 1
                page.write_string(row - 1, width, COLUMN, red)
            for position in filled:
                cell = cells[position]
                if isinstance(cell, (int, float)) and not isinstance(cell, bool):
                    page.write_number(row - 1, position, cell)
                else:
                    page.write_string(row - 1, position, str(cell))
            if row in reasons and started:
                page.write_string(row - 1, width, "；".join(reasons[row]), red)
        page.set_column(width, width, 60)
    book.close()
