"""The workbook: sheets 花名册 and 责任人."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xlsxwriter

from services.cli.sample_roster import villages
from services.cli.sample_roster.households import Households
from services.cli.sample_roster.people import People
from services.cli.sample_roster.policy import Policy

HEADERS = (
    "镇", "村", "户编号", "与户主关系", "姓名", "身份证号", "对象类别", "待遇项目",
    "家庭月收入(元)", "核定金额(元/月)", "享受起始月", "批准文号", "开户名", "银行账号",
    "联系电话", "责任人工号",
)  # fmt: skip
OFFICER_HEADERS = ("工号", "姓名", "镇", "村", "联系电话")


def write(people: int, seed: int, out: Path, *, county: str = "421083") -> dict[str, int]:
    """Write the workbook: sheets 花名册 and 责任人. Returns counts of rows, people and officers."""
    source = random.Random(seed)  # noqa: S311 - invented people, not secrets
    made_up = People(source)
    places = villages.of_county(county)
    posts = villages.appoint(places, made_up)
    households = Households(source, made_up, Policy(county), places)
    workbook = xlsxwriter.Workbook(str(out), {"constant_memory": True})
    workbook.set_properties({"created": datetime(2026, 9, 28, tzinfo=UTC), "comments": "虚构数据"})
    bold = workbook.add_format({"bold": True})
    roster = workbook.add_worksheet("花名册")
    roster.freeze_panes(1, 0)
    roster.set_column(0, 15, 14)
    _write_row(roster, 0, HEADERS, bold)
    count = 0
    for count, row in enumerate(households.rows(people), 1):
        _write_row(roster, count, row)
    officers = workbook.add_worksheet("责任人")
    _write_row(officers, 0, OFFICER_HEADERS, bold)
    for number, officer in enumerate(posts, 1):
        _write_row(officers, number, officer)
    workbook.close()
    return {"rows": count, "people": people, "officers": len(posts)}


def _write_row(sheet: Any, number: int, cells: Any, style: Any = None) -> None:
    for column, cell in enumerate(cells):
        if isinstance(cell, str):
            if cell:
                sheet.write_string(number, column, cell, style)
        else:
            sheet.write_number(number, column, cell, style)
