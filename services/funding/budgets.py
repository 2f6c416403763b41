"""Budget lines and accounts: money allotted and paid in, each document once."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import (
    AllotBudget,
    BudgetLineView,
    BudgetView,
    DepositFunds,
    FundAccountView,
    ShowBudget,
)
from services.contracts.errors import Conflict, Invalid
from services.contracts.money import MAX_FEN, Fen
from services.funding import ledger, policies, policy_book
from services.funding.models import AllotmentRow, BudgetLineRow, FundAccountRow

ACCOUNT_LABELS: dict[str, str] = {"funds": "资金账户", "reserve": "备用金"}


def allot(uow: UnitOfWork, command: AllotBudget) -> BudgetView:
    """Add to the budget line of a benefit and year."""
    county = uow.settings.county
    uow.require(county)
    policy_book.benefit(command.benefit)
    if not 2000 <= command.year <= 2200:
        raise Invalid(f"“{command.year}”不是预算年度", field="year", advice="请填写四位年份")
    _amount(command.fen)
    if _record(uow, "budget", command.year, command.benefit, command.fen, command.document_no):
        line = insert(BudgetLineRow).values(
            division=county,
            year=command.year,
            benefit=command.benefit,
            allotted_fen=command.fen,
            used_fen=0,
        )
        uow.session.execute(
            line.on_conflict_do_update(
                index_elements=["division", "year", "benefit"],
                set_={"allotted_fen": BudgetLineRow.allotted_fen + command.fen},
            )
        )
    return show(uow, ShowBudget(year=command.year))


def deposit(uow: UnitOfWork, command: DepositFunds) -> BudgetView:
    """Pay money into 资金账户."""
    county = uow.settings.county
    uow.require(county)
    _amount(command.fen)
    year = uow.today().year
    if _record(uow, "funds", year, "", command.fen, command.document_no):
        ledger.move_account(uow, "funds", county, command.fen)
    return show(uow, ShowBudget(year=year))


def show(uow: UnitOfWork, query: ShowBudget) -> BudgetView:
    """Budget lines of a year and the accounts."""
    county = uow.settings.county
    uow.require(county)
    benefits = policies.benefits()
    lines = uow.session.scalars(
        select(BudgetLineRow).where(
            BudgetLineRow.division == county, BudgetLineRow.year == query.year
        )
    ).all()
    accounts = uow.session.scalars(
        select(FundAccountRow).order_by(FundAccountRow.kind, FundAccountRow.division)
    )
    by_benefit = {line.benefit: line for line in lines}
    return BudgetView(
        year=query.year,
        lines=tuple(
            BudgetLineView(
                year=query.year,
                benefit=code,
                benefit_name=benefit.name,
                allotted_fen=by_benefit[code].allotted_fen,
                used_fen=by_benefit[code].used_fen,
                left_fen=by_benefit[code].allotted_fen - by_benefit[code].used_fen,
            )
            for code, benefit in benefits.items()
            if code in by_benefit
        ),
        accounts=tuple(
            FundAccountView(
                kind=_kind(account.kind),
                kind_label=ACCOUNT_LABELS[account.kind],
                division=account.division,
                balance_fen=account.balance_fen,
            )
            for account in accounts
        ),
    )


def _kind(kind: str) -> Literal["funds", "reserve"]:
    return "funds" if kind == "funds" else "reserve"


def _amount(fen: Fen) -> None:
    if fen <= 0:
        raise Invalid("金额须大于零", field="fen", advice="请填写正数金额")
    if fen > MAX_FEN:
        raise Invalid("金额超出上限", field="fen", advice="请核对小数点和单位")


def _record(
    uow: UnitOfWork, kind: str, year: int, benefit: str, fen: Fen, document_no: str
) -> bool:
    """Note the document; False when it was noted before with the same sum."""
    document_no = document_no.strip()
    if not document_no:
        raise Invalid("须填写文号", field="document_no", advice="请填写下达或拨款文号")
    place = {
        "kind": kind,
        "division": uow.settings.county,
        "year": year,
        "benefit": benefit,
        "document_no": document_no,
    }
    fresh = uow.session.scalar(
        insert(AllotmentRow)
        .values(
            **place,
            fen=fen,
            actor_id=uow.actor.id,
            actor_name=uow.actor.name,
            business_on=uow.today(),
        )
        .on_conflict_do_nothing()
        .returning(AllotmentRow.id)
    )
    if fresh is not None:
        uow.audit("allotted", kind, benefit or uow.settings.county, fen=fen, document=document_no)
        return True
    before = uow.session.scalar(select(AllotmentRow.fen).filter_by(**place))
    if before != fen:
        raise Conflict(
            f"文号 {document_no} 已登记过另一金额", field="document_no", advice="请核对文号和金额"
        )
    return False
