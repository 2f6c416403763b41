"""Filling the towns' 备用金 up to what the policy allows: signed by two, moved at the lock."""

from __future__ import annotations

import hashlib

from sqlalchemy import select, text

from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import BatchView, OpenReplenishment
from services.contracts.errors import Conflict, Invalid
from services.funding import batches, ledger, policy_book
from services.funding.domain.cycle import State
from services.funding.domain.ledger import Step
from services.funding.domain.months import month_of
from services.funding.domain.policy import OneOff
from services.funding.models import BatchRow, ReplenishmentRow

_TOWNS = """
SELECT division FROM fund_account WHERE kind = 'reserve'
UNION SELECT DISTINCT left(division, 9) FROM entitlement WHERE division LIKE :county
ORDER BY 1
"""


def open_batch(uow: UnitOfWork, command: OpenReplenishment) -> BatchView:
    """Open a batch with what each town's reserve lacks; ready to be signed."""
    county = uow.settings.county
    uow.require(county)
    month = month_of(uow.today())
    wrong = [t for t in command.towns if len(t) != 9 or not t.startswith(county)]
    if wrong:
        raise Invalid(
            f"“{wrong[0]}”不是本县的镇级区划代码", field="towns", advice="请填写 9 位镇级代码"
        )
    found = uow.session.scalars(text(_TOWNS), {"county": county + "%"}).all()
    lacking: dict[str, int] = {}
    for town in sorted(set(command.towns)) or found:
        rule = policy_book.version("temporary_aid", town, month).rule
        assert isinstance(rule, OneOff)
        lack = rule.reserve_fen - ledger.balance(uow, "reserve", town)
        if lack > 0:
            lacking[town] = lack
    if not lacking:
        raise Conflict("各镇备用金均已足额，无需补充", advice="有支出后再补充")
    batch = batches.create(uow, "replenishment", month)
    uow.session.add_all(
        ReplenishmentRow(batch_id=batch.id, town=town, fen=fen) for town, fen in lacking.items()
    )
    batch.state = State.CHECKED.value
    batch.payments = len(lacking)
    batch.computed_fen = sum(lacking.values())
    batch.content_sha256 = _digest(lacking)
    return batches.view(uow, batch)


def move(uow: UnitOfWork, batch: BatchRow) -> None:
    """Move the money from 资金账户 to the reserves, as both signed it."""
    lines = {
        row.town: row.fen
        for row in uow.session.scalars(
            select(ReplenishmentRow).where(ReplenishmentRow.batch_id == batch.id)
        )
    }
    if {row.content_sha256 for row in batches.signatures(uow, batch.id)} != {_digest(lines)}:
        raise Conflict("批次内容与签署时不一致", advice="请退回后重新开立")
    ledger.move_account(uow, "funds", batch.division, -sum(lines.values()))
    for town, fen in sorted(lines.items()):
        ledger.move_account(uow, "reserve", town, fen)
        ledger.transfer(
            uow,
            Step.RESERVE_REPLENISHED,
            fen,
            division=town,
            document=f"{batch.batch_no}/{town}",
            batch_id=batch.id,
        )
    batch.state = State.SETTLED.value
    batch.approved_fen = batch.computed_fen
    batch.settled_on = uow.today()
    uow.audit("reserves_replenished", "batch", batch.id, fen=batch.computed_fen)


def _digest(lines: dict[str, int]) -> str:
    listed = "\n".join(f"{town} {fen}" for town, fen in sorted(lines.items()))
    return hashlib.sha256(listed.encode()).hexdigest()
