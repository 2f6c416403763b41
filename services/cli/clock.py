"""`zhida clock`: the business date, which every service acknowledges."""

from datetime import date
from typing import Annotated

import typer

from services.chassis.discovery import NAMES
from services.cli import session
from services.cli.output import Json, present, table
from services.contracts.commands.common import ClockReading, ReadClock, SetClock
from services.contracts.errors import Invalid

group = typer.Typer()
clock = typer.Typer(help="业务日期（仅演示与测试环境可调）", no_args_is_help=True)
group.add_typer(clock, name="clock")


@clock.command("show")
def show(as_json: Json = False) -> None:
    """各服务的业务日期。"""
    _present([session.call(ReadClock(), service=name) for name in NAMES], as_json)


@clock.command("set")
def set_(
    today: Annotated[str, typer.Argument(help="业务日期，如 2026-09-28")],
    as_json: Json = False,
) -> None:
    """把业务日期设为某一天；每个服务都确认后才算完成。"""
    try:
        command = SetClock(today=date.fromisoformat(today))
    except ValueError:
        raise Invalid(f"“{today}”不是日期", field="today", advice="格式如 2026-09-28") from None
    _present([session.call(command, service=name) for name in NAMES], as_json)


def _present(readings: list[ClockReading], as_json: bool) -> None:
    present(
        readings,
        as_json,
        lambda: table(
            ("服务", "业务日期", "与真实日期相差（天）"),
            [(row.service, row.today, row.offset_days) for row in readings],
        ),
    )
