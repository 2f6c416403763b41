"""The header of a roster: found by its words among the first rows, in any order and spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.contracts.errors import Invalid
from services.registry.domain.roster.cells import Cell
from services.registry.domain.roster.columns import OPTIONAL, SYNONYMS, TITLES

SEARCHED_ROWS = 20
"""How many rows at the top may be titles and notes before the header."""

_HEADERS = {name: column for column, names in SYNONYMS.items() for name in names}
_NOT_OF_A_HEADER = re.compile(r"[\s*＊（）()\[\]【】/／、:：·]")
_IN_BRACKETS = re.compile(r"[（(\[【].*?[）)\]】]")


def find_header(rows: Sequence[tuple[int, Sequence[Cell]]]) -> tuple[int, dict[int, int]]:
    """Find the header among the first rows: its row number, and column → position.

    Headers may stand in any order and be written with synonyms, stars, brackets and units.
    Raises ``Invalid`` when no row looks like one, a needed column is missing, or one occurs twice.
    """
    for row, cells in rows[:SEARCHED_ROWS]:
        found: dict[int, int] = {}
        twice: list[str] = []
        for position, cell in enumerate(cells):
            column = _column(str(cell or ""))
            if column is None:
                continue
            if column in found:
                twice.append(TITLES[column])
            found.setdefault(column, position)
        if len(found) < 5:
            continue
        if twice:
            raise Invalid(
                f"第 {row} 行表头中“{twice[0]}”出现了两次",
                field=twice[0],
                advice="请只保留一列",
                reason="header",
            )
        missing = [TITLES[c] for c in range(16) if c not in found and c not in OPTIONAL]
        if missing:
            raise Invalid(
                f"第 {row} 行表头缺少列：{'、'.join(missing)}",
                field=missing[0],
                advice="请下载模板，按模板补齐列名",
                reason="header",
            )
        return row, found
    raise Invalid(
        f"前 {SEARCHED_ROWS} 行里没有找到表头",
        field="表头",
        advice="表头应含“镇、村、户编号、姓名、身份证号、待遇项目”等列名，可下载模板对照",
        reason="header",
    )


def _column(header: str) -> int | None:
    """The column a header means, with or without what stands in brackets: 身份证号（18位）."""
    for text in (header, _IN_BRACKETS.sub("", header)):
        column = _HEADERS.get(_NOT_OF_A_HEADER.sub("", text))
        if column is not None:
            return column
    return None
