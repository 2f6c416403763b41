"""`zhida funding recovery`: what was paid to the dead or in error, got back or written off."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.console import RenderableType

from services.cli import session
from services.cli.output import Json, present, table
from services.contracts.commands import funding as c
from services.contracts.money import fen, yuan

recovery = typer.Typer(help="追回与核销")

RecoveryId = Annotated[UUID, typer.Argument(help="追回编号")]
Amount = Annotated[str, typer.Argument(help="金额（元）")]


@recovery.command("list")
def list_recoveries(
    only_open: Annotated[bool, typer.Option("--open", help="只看未结清的")] = False,
    as_json: Json = False,
) -> None:
    """应追回的款项。"""
    rows = session.call(c.ListRecoveries(only_open=only_open))
    present(rows, as_json, lambda: _table(rows))


@recovery.command("record")
def record_recovery(
    recovery_id: RecoveryId,
    amount: Amount,
    document: Annotated[str, typer.Option(help="收款凭证号")],
    as_json: Json = False,
) -> None:
    """追回到账。"""
    asked = c.RecordRecovery(recovery_id=recovery_id, fen=fen(amount), document_no=document)
    _show(session.call(asked), as_json)


@recovery.command("write-off")
def write_off(
    recovery_id: RecoveryId,
    amount: Amount,
    document: Annotated[str, typer.Option(help="核销文号")],
    as_json: Json = False,
) -> None:
    """核销追不回的款项。"""
    asked = c.WriteOffRecovery(recovery_id=recovery_id, fen=fen(amount), document_no=document)
    _show(session.call(asked), as_json)


@recovery.command("close-held")
def close_held(
    household_id: Annotated[UUID, typer.Argument(help="家庭编号")],
    reason: Annotated[str, typer.Option(help="复核结论")],
    document: Annotated[str, typer.Option(help="文号")],
    as_json: Json = False,
) -> None:
    """关闭领款人死亡后无人承领的应发款。"""
    closed = session.call(
        c.CloseHeldDues(household_id=household_id, reason=reason, document_no=document)
    )
    present({"closed": closed}, as_json, lambda: f"已关闭 {closed} 笔应发款")


def _show(view: c.RecoveryView, as_json: bool) -> None:
    present(view, as_json, lambda: _table([view]))


def _table(rows: list[c.RecoveryView]) -> RenderableType:
    return table(
        ("追回编号", "人员", "待遇", "月份", "金额(元)", "已追回", "已核销", "未结", "原因"),
        [
            (
                r.recovery_id,
                r.person_name,
                r.benefit_name,
                r.month,
                yuan(r.fen),
                yuan(r.recovered_fen),
                yuan(r.written_off_fen),
                yuan(r.open_fen),
                r.reason,
            )
            for r in rows
        ],
    )
