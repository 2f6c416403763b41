"""`zhida funding deputy`: who signs for an absent signatory, between which days."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import RenderableType

from services.cli import session
from services.cli.output import Json, present, table
from services.contracts.actors import Role
from services.contracts.commands import funding as c
from services.contracts.errors import Invalid

deputy = typer.Typer(help="签署代理")


@deputy.command("appoint")
def appoint_deputy(
    staff_id: Annotated[UUID, typer.Argument(help="代理人编号")],
    role: Annotated[str, typer.Option(help="civil_auditor 或 finance_officer")],
    from_day: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="起始日")],
    to_day: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="截止日")],
    document: Annotated[str, typer.Option(help="委托文号")],
    as_json: Json = False,
) -> None:
    """委托代理：在起止日之间代为签署。"""
    if role not in (Role.CIVIL_AUDITOR.value, Role.FINANCE_OFFICER.value):
        raise Invalid(
            f"“{role}”不是签署岗位", field="role", advice="civil_auditor 或 finance_officer"
        )
    view = session.call(
        c.AppointDeputy(
            staff_id=staff_id,
            role="civil_auditor" if role == "civil_auditor" else "finance_officer",
            from_day=_day(from_day),
            to_day=_day(to_day),
            document_no=document,
        )
    )
    present(view, as_json, lambda: _table([view]))


@deputy.command("list")
def list_deputies(as_json: Json = False) -> None:
    """签署代理清单。"""
    rows = session.call(c.ListDeputies())
    present(rows, as_json, lambda: _table(rows))


def _table(rows: list[c.DeputyView]) -> RenderableType:
    return table(
        ("代理人", "岗位", "起", "止", "文号"),
        [(d.staff_name, d.role_label, d.from_day, d.to_day, d.document_no) for d in rows],
    )


def _day(moment: datetime) -> date:
    return moment.date()
