"""The sheet 责任人 of a roster: officers who look after a village, put in post with the import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.registry.domain import roster
from services.registry.domain.divisions import Gazetteer
from services.registry.domain.roster import Cell, Problem

SHEET = "责任人"
COLUMNS = ("工号", "姓名", "镇", "村", "联系电话")


class Officer(NamedTuple):
    """An officer as the sheet names them, with the village in their care."""

    row: int
    number: str
    name: str
    division: str
    phone: str


def read(
    rows: Iterable[tuple[int, Sequence[Cell]]], gazetteer: Gazetteer
) -> tuple[list[Officer], list[Problem]]:
    """Read the sheet: officers and what is wrong. An empty sheet names nobody."""
    positions: dict[str, int] | None = None
    officers: dict[str, Officer] = {}
    problems: list[Problem] = []
    for row, cells in rows:
        text = [roster.cell_text(cell) for cell in cells]
        if positions is None:
            if "工号" in text:
                positions = {title: text.index(title) for title in COLUMNS if title in text}
            continue
        given = {
            title: text[position] if position < len(text) else ""
            for title, position in positions.items()
        }
        if any(given.values()):
            wrong, officer = _officer(row, given, gazetteer)
            problems.extend(
                Problem(row, f"{SHEET}表 {column}", value, problem, "请改正责任人表后再导入")
                for column, value, problem in wrong
            )
            if officer is not None:
                if officer.number in officers:
                    problems.append(
                        Problem(row, f"{SHEET}表 工号", officer.number, "工号重复", "每人一行")
                    )
                officers.setdefault(officer.number, officer)
    return list(officers.values()), problems


def _officer(
    row: int, given: dict[str, str], gazetteer: Gazetteer
) -> tuple[list[tuple[str, str, str]], Officer | None]:
    wrong: list[tuple[str, str, str]] = []
    number, name, phone = (given.get(title, "") for title in ("工号", "姓名", "联系电话"))
    town = gazetteer.town(given.get("镇", ""))
    village = gazetteer.village(town, given.get("村", "")) if town else None
    if not (number.isascii() and number.replace("-", "").isalnum() and 2 <= len(number) <= 20):
        wrong.append(("工号", number, "工号应为 2 至 20 位字母、数字"))
    if not roster.is_name(name):
        wrong.append(("姓名", name, "姓名为空或含有非文字字符"))
    if village is None:
        wrong.append(("村", given.get("村", ""), "区划中没有这个村（社区）"))
    if phone and not roster.is_phone(phone):
        wrong.append(("联系电话", "****" + phone[-4:], "不是手机号或固定电话"))
    if wrong or village is None:
        return wrong, None
    return [], Officer(row, number, name, village, phone)
