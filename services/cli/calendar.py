"""`zhida calendar`: working days, and loading the State Council's notice of a year."""

import csv
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from services.cli.output import Json, present, table
from services.cli.session import call
from services.contracts.commands.cases import CalendarYear, LoadCalendar, ReadCalendar
from services.contracts.errors import Invalid

group = typer.Typer()
calendar = typer.Typer(help="工作日历：放假安排，办理期限据此计算", no_args_is_help=True)
group.add_typer(calendar, name="calendar")

STATUS = {"published": "已公布", "provisional": "暂定（通知未载入）", "unknown": "缺"}
WORDS = {"off": False, "休": False, "0": False, "work": True, "班": True, "1": True}


@calendar.command("show")
def show(year: Annotated[int, typer.Argument(help="年份")], as_json: Json = False) -> None:
    """一年的放假和调休。"""
    found = call(ReadCalendar(year=year))
    present(found, as_json, lambda: _year(found))


@calendar.command("load")
def load(
    file: Annotated[Path, typer.Argument(help="CSV：日期,休或班；一行一天")],
    source: Annotated[str, typer.Option(help="通知文号")],
    as_json: Json = False,
) -> None:
    """载入国务院办公厅的放假安排；在办案件的期限随之重算并留痕。"""
    off, work = read_notice(file)
    years = {day.year for day in (*off, *work)}
    if len(years) != 1:
        raise Invalid("文件应只含一个年份的日期", field="file", advice="请一年一个文件")
    loaded = call(LoadCalendar(year=years.pop(), off=tuple(off), work=tuple(work), source=source))
    present(
        loaded,
        as_json,
        lambda: (
            f"已载入 {loaded.calendar.year} 年：{loaded.calendar.working_days} 个工作日，"
            f"{loaded.moved} 个案件的期限已重算"
        ),
    )


def read_notice(file: Path) -> tuple[list[date], list[date]]:
    """Days off and make-up days of a file; ``Invalid`` naming the line that is wrong."""
    off: list[date] = []
    work: list[date] = []
    try:
        rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"读不到文件 {file}", field="file", advice="请用 UTF-8 的 CSV") from error
    for number, row in enumerate(rows, 1):
        if not row or row[0].strip() in ("日期", "day"):
            continue
        try:
            day, worked = date.fromisoformat(row[0].strip()), WORDS[row[1].strip()]
        except (ValueError, IndexError, KeyError) as error:
            raise Invalid(
                f"第 {number} 行“{','.join(row)}”不合格式",
                field="file",
                advice="每行如 2027-02-08,休 或 2027-02-20,班",
            ) from error
        (work if worked else off).append(day)
    return off, work


def _year(found: CalendarYear) -> Table:
    return table(
        ("放假（工作日）", "调休上班（周末）"),
        [
            (
                "、".join(f"{day.month}-{day.day}" for day in found.off),
                "、".join(f"{day.month}-{day.day}" for day in found.work),
            )
        ],
        f"{found.year} 年　{STATUS[found.status]}　{found.working_days or '—'} 个工作日　"
        f"{found.source}",
    )
