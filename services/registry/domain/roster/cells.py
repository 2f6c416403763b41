"""Cells of a workbook as text, and the marks people write into them."""

from __future__ import annotations

Cell = str | float | int | bool | None

_EXACT = 1e15
"""Excel keeps 15 digits of a number."""

_FULL_WIDTH = {ord("０") + n: str(n) for n in range(10)}
_DOTS = str.maketrans({"•": "·", "‧": "·", "．": "·", "・": "·", "․": "·"})
_DIGITS = _FULL_WIDTH | {ord(c): None for c in " \t\u3000\u00a0\u200b-－"}
_AMOUNT = _FULL_WIDTH | {
    ord("．"): ".",
    ord("，"): ",",
    ord("－"): "-",
    ord(" "): None,
    ord("\u3000"): None,
}


def cell_text(cell: Cell) -> str:
    """What a cell shows: text stripped, whole numbers without a point, nothing for empty."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.strip(" \t\r\n\u3000\u00a0\u200b\ufeff")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    return str(cell)


def mangled(cell: Cell) -> bool:
    """A number that Excel can no longer hold exactly: its last digits are lost."""
    return isinstance(cell, (int, float)) and not isinstance(cell, bool) and abs(cell) >= _EXACT


def amount_text(cell: Cell, text: str) -> str:
    """An amount as the decimal people see: a float by its 15 digits, text in plain characters."""
    if isinstance(cell, float):
        return format(cell, ".15g") if abs(cell) < _EXACT else format(cell, ".0f")
    return text.translate(_AMOUNT)


def digits(text: str) -> str:
    """A number without the blanks and dashes people group it by."""
    return text.translate(_DIGITS)


def one_dot(name: str) -> str:
    """A name with the one middle dot of the standard, whichever was typed."""
    return name.translate(_DOTS)
