"""`zhida funding cycle`: a cycle from its opening to the bank's answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.console import Group

from services.cli import session
from services.cli.app import REFUSED
from services.cli.funding.batch_page import batch_page, findings_table, return_page
from services.cli.output import Json, notes, present, table
from services.contracts.actors import Role
from services.contracts.commands import funding as c
from services.contracts.errors import Invalid
from services.contracts.money import fen, yuan

cycle = typer.Typer(help="发放批次：开期到对账")

Batch = Annotated[str, typer.Argument(help="批次号（FF202611-0007）或月份（2026-11）")]
Seat = Literal["review", "release"]


@cycle.command("open")
def open_cycle(
    month: Annotated[str, typer.Argument(help="月份，如 2026-11")],
    one_off: Annotated[bool, typer.Option("--one-off", help="一次性救助批次")] = False,
    as_json: Json = False,
) -> None:
    """开期：月度批次，或任何一天的一次性批次。"""
    view = session.call(c.OpenBatch(month=month, kind="one_off" if one_off else "monthly"))
    present(view, as_json, lambda: batch_page(view))


@cycle.command()
def compute(batch: Batch, as_json: Json = False) -> None:
    """计算应发；签署前可重复计算。"""
    with notes.status("计算中"):
        view = session.call(c.ComputeBatch(batch=batch))
    present(view, as_json, lambda: batch_page(view))


@cycle.command()
def check(
    batch: Batch,
    list_kind: Annotated[str | None, typer.Option("--list", help="列出某类问题，如 died")] = None,
    as_json: Json = False,
) -> None:
    """校验：重复、缺账号、死亡、互斥、与上月差异、资金。"""
    with notes.status("校验中"):
        view = session.call(c.CheckBatch(batch=batch))
    found = (
        session.call(c.ListFindings(batch=batch, kind=list_kind, limit=200)) if list_kind else []
    )
    present(
        {"batch": view, "findings": found} if list_kind else view,
        as_json,
        lambda: Group(batch_page(view), *([findings_table(found)] if found else [])),
    )


@cycle.command()
def findings(
    batch: Batch,
    kind: Annotated[str | None, typer.Option(help="问题类别")] = None,
    after: Annotated[int, typer.Option(help="从该编号之后继续")] = 0,
    as_json: Json = False,
) -> None:
    """校验发现的问题与差异，逐条。"""
    found = session.call(c.ListFindings(batch=batch, kind=kind, after=after, limit=200))
    present(found, as_json, lambda: findings_table(found))


@cycle.command()
def approve(
    batch: Batch,
    total: Annotated[str | None, typer.Option(help="所见金额（元）；不给则先显示再确认")] = None,
    seat: Annotated[str | None, typer.Option(help="review 审核或 release 核拨；默认按岗位")] = None,
    document: Annotated[str | None, typer.Option(help="核拨文号")] = None,
    as_json: Json = False,
) -> None:
    """审核或核拨：对所见的金额签署。"""
    if total is None:
        shown = session.call(c.ShowBatch(batch=batch))
        notes.print(batch_page(shown))
        typer.confirm(f"签署 {yuan(shown.computed_fen)} 元？", abort=True, err=True)
        amount = shown.computed_fen
    else:
        amount = fen(total, field="total")
    view = session.call(
        c.SignBatch(batch=batch, seat=_seat(seat), total_fen=amount, document_no=document)
    )
    present(view, as_json, lambda: batch_page(view))


@cycle.command("send-back")
def send_back(
    batch: Batch,
    reason: Annotated[str, typer.Option(help="退回理由")],
    as_json: Json = False,
) -> None:
    """退回：已签署未锁定的批次退回重算，签署作废。"""
    view = session.call(c.SendBackBatch(batch=batch, reason=reason))
    present(view, as_json, lambda: batch_page(view))


@cycle.command()
def discard(
    batch: Batch,
    reason: Annotated[str, typer.Option(help="撤销理由")],
    as_json: Json = False,
) -> None:
    """撤销无人签署的批次；应发款仍为应付。"""
    view = session.call(c.DiscardBatch(batch=batch, reason=reason))
    present(view, as_json, lambda: batch_page(view))


@cycle.command()
def lock(batch: Batch, as_json: Json = False) -> None:
    """锁定：记账、占用预算；其间死亡、变更的当场撤出。"""
    with notes.status("锁定中"):
        view = session.call(c.LockBatch(batch=batch))
    present(view, as_json, lambda: batch_page(view))


@cycle.command()
def void(
    batch: Batch,
    reason: Annotated[str, typer.Option(help="作废理由")],
    seat: Annotated[str | None, typer.Option(help="review 或 release；默认按岗位")] = None,
    as_json: Json = False,
) -> None:
    """作废已锁定、未报送的批次：须两人先后签署。"""
    view = session.call(c.VoidBatch(batch=batch, seat=_seat(seat), reason=reason))
    present(view, as_json, lambda: batch_page(view))


@cycle.command()
def export(
    batch: Batch,
    profile: Annotated[str, typer.Option(help="银行格式：card_xlsx 或 fixed_gbk")] = "card_xlsx",
    out: Annotated[Path | None, typer.Option(help="银行文件写到哪里（文件或目录）")] = None,
    as_json: Json = False,
) -> None:
    """生成银行文件并报送；再次执行取回同一文件，逐字节相同。"""
    with notes.status("生成银行文件"):
        view = session.call(c.ExportBatch(batch=batch, profile=profile))
    path = session.download("funding", view.file_id, out) if out and view.file_id else None
    present(
        view,
        as_json,
        lambda: Group(batch_page(view), *([f"已写入 {path}"] if path else [])),
    )


@cycle.command()
def settle(
    batch: Batch,
    file: Annotated[Path, typer.Argument(help="银行返回的回盘文件")],
    as_json: Json = False,
) -> None:
    """读入回盘文件并对账。退出码 2：文件有误，什么都没有改动。"""
    with notes.status("读入回盘"):
        file_id = session.upload("funding", file)
        answer = session.call(c.SettleBatch(batch=batch, file_id=file_id))
    present(answer, as_json, lambda: return_page(answer))
    if not answer.applied:
        raise typer.Exit(REFUSED)


@cycle.command()
def repay(batch: Batch, as_json: Json = False) -> None:
    """补发：为失败、退票的付款开立补发批次。"""
    view = session.call(c.OpenRepayment(batch=batch))
    present(view, as_json, lambda: batch_page(view))


@cycle.command()
def show(batch: Batch, as_json: Json = False) -> None:
    """一个批次：状态、签署、五个金额。"""
    view = session.call(c.ShowBatch(batch=batch))
    present(view, as_json, lambda: batch_page(view))


@cycle.command("list")
def list_cycles(
    month: Annotated[str | None, typer.Option(help="月份")] = None, as_json: Json = False
) -> None:
    """批次清单，新的在前。"""
    rows = session.call(c.ListBatches(month=month))
    present(
        rows,
        as_json,
        lambda: table(
            ("批次", "类别", "月份", "状态", "笔数", "人数", "金额(元)", "开期日"),
            [
                (r.batch_no, r.kind_label, r.month, r.state_label, r.payments, r.people,
                 yuan(r.computed_fen), r.opened_on)
                for r in rows
            ],
        ),
    )  # fmt: skip


@cycle.command()
def payments(
    batch: Batch,
    state: Annotated[str | None, typer.Option(help="状态，如 failed")] = None,
    after: Annotated[UUID | None, typer.Option(help="从该编号之后继续")] = None,
    limit: Annotated[int, typer.Option(help="条数")] = 50,
    as_json: Json = False,
) -> None:
    """批次里的付款。"""
    page = session.call(c.ListPayments(batch=batch, state=state, after=after, limit=limit))
    present(
        page,
        as_json,
        lambda: table(
            ("付款编号", "领款人", "待遇", "月份", "金额(元)", "账号", "状态", "原因"),
            [
                (p.payment_id, p.payee_name, p.benefit_name, p.month, yuan(p.fen),
                 p.account_masked, p.state_label, p.reason)
                for p in page.payments
            ],
            f"共 {page.total} 笔 {yuan(page.total_fen)} 元",
        ),
    )  # fmt: skip


def _seat(given: str | None) -> Seat:
    if given in ("review", "审核"):
        return "review"
    if given in ("release", "核拨"):
        return "release"
    if given is not None:
        raise Invalid(f"“{given}”不是签署环节", field="seat", advice="review 审核或 release 核拨")
    roles = session.signed_in().staff.roles
    return "release" if Role.FINANCE_OFFICER in roles else "review"
