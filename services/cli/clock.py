"""`zhida clock`: the business date, which in demo and test mode may be set."""

from datetime import datetime
from typing import Annotated

import typer

from deploy.local import SERVICES
from services.cli.output import Json, present, table
from services.cli.session import call
from services.contracts.commands.common import ClockReading, ReadClock, SetClock

group = typer.Typer(name="clock", help="业务日期（演示和测试时可以拨动）", no_args_is_help=True)


@group.command()
def show(as_json: Json = False) -> None:
    """各服务现在的业务日期。"""
    _show([call(ReadClock(), service=service) for service in SERVICES], as_json)


@group.command("set")
def set_date(
    date: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="业务日期，如 2026-09-28")],
    as_json: Json = False,
) -> None:
    """把全部服务拨到同一业务日期，各服务逐一确认；正式环境拒绝。"""
    command = SetClock(today=date.date())
    _show([call(command, service=service) for service in SERVICES], as_json)


def _show(readings: list[ClockReading], as_json: bool) -> None:
    present(
        {"clocks": readings},
        as_json,
        lambda: table(
            ("服务", "业务日期", "与机器日期相差（天）"),
            [(each.service, each.today, each.offset_days) for each in readings],
        ),
    )
