"""`zhida funding budget`: allotments, the fund account, the towns' reserves, the ledger."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType

from services.cli import session
from services.cli.funding.batch_page import batch_page
from services.cli.output import Json, present, table
from services.contracts.commands import funding as c
from services.contracts.money import fen, yuan

budget = typer.Typer(help="预算、资金账户、备用金")


@budget.command("show")
def show_budget(
    year: Annotated[int, typer.Argument(help="预算年度")], as_json: Json = False
) -> None:
    """一年的预算科目与各账户余额。"""
    view = session.call(c.ShowBudget(year=year))
    present(view, as_json, lambda: _page(view))


@budget.command()
def allot(
    year: Annotated[int, typer.Argument(help="预算年度")],
    benefit: Annotated[str, typer.Argument(help="待遇项目代码，如 rural_dibao")],
    amount: Annotated[str, typer.Argument(help="金额（元）")],
    document: Annotated[str, typer.Option(help="下达文号；同一文号只计一次")],
    as_json: Json = False,
) -> None:
    """下达预算。"""
    view = session.call(
        c.AllotBudget(
            year=year, benefit=benefit, fen=fen(amount, field="amount"), document_no=document
        )
    )
    present(view, as_json, lambda: _page(view))


@budget.command()
def deposit(
    amount: Annotated[str, typer.Argument(help="金额（元）")],
    document: Annotated[str, typer.Option(help="拨款文号；同一文号只计一次")],
    as_json: Json = False,
) -> None:
    """资金账户到款。"""
    view = session.call(c.DepositFunds(fen=fen(amount, field="amount"), document_no=document))
    present(view, as_json, lambda: _page(view))


@budget.command()
def replenish(
    town: Annotated[list[str] | None, typer.Argument(help="镇级代码；默认所有镇")] = None,
    as_json: Json = False,
) -> None:
    """开立备用金补充批次，两人签署后锁定即拨付。"""
    view = session.call(c.OpenReplenishment(towns=tuple(town or ())))
    present(view, as_json, lambda: batch_page(view))


@budget.command()
def ledger(
    batch: Annotated[str | None, typer.Option(help="只看某批次")] = None, as_json: Json = False
) -> None:
    """总账：各账户借方、贷方、余额。"""
    rows = session.call(c.ShowLedger(batch=batch))
    present(
        rows,
        as_json,
        lambda: table(
            ("账户", "借方(元)", "贷方(元)", "余额(元)"),
            [(r.account, yuan(r.debit_fen), yuan(r.credit_fen), yuan(r.balance_fen)) for r in rows],
        ),
    )


def _page(view: c.BudgetView) -> RenderableType:
    return Group(
        table(
            ("预算科目", "下达(元)", "已用(元)", "余额(元)"),
            [
                (x.benefit_name, yuan(x.allotted_fen), yuan(x.used_fen), yuan(x.left_fen))
                for x in view.lines
            ],
            f"{view.year} 年度",
        ),
        table(
            ("账户", "区划", "余额(元)"),
            [(a.kind_label, a.division, yuan(a.balance_fen)) for a in view.accounts],
        ),
    )
