"""急难型 aid: paid the same day from the town's 备用金, a batch of its own; replenished later."""

from __future__ import annotations

import uuid

from sqlalchemy import select, text, update

from services.chassis.uow import UnitOfWork
from services.contracts.errors import Conflict
from services.contracts.events.funding import PaymentFailed, PaymentSettled
from services.contracts.ids import new_id
from services.contracts.money import yuan
from services.funding import ledger, policy_book
from services.funding.domain.ledger import Step
from services.funding.domain.months import first_day
from services.funding.domain.policy import OneOff
from services.funding.models import (
    BatchRow,
    DueRow,
    EntitlementRow,
    PaymentDueRow,
    PaymentRow,
)

REASONS = {
    "over_authority": "金额超过镇小额权限，不能从备用金支付，请并入一次性批次",
    "cash_short": "镇备用金余额不足，请并入一次性批次或先补充备用金",
    "budget_short": "临时救助预算余额不足，请先追加预算",
}


def pay(uow: UnitOfWork, entitlement_id: uuid.UUID) -> None:
    """Pay an urgent one-off aid from the town's reserve, now; or say at once why it cannot be."""
    session = uow.session
    entitlement = session.get_one(EntitlementRow, entitlement_id)
    dues = session.scalars(
        select(DueRow).where(DueRow.entitlement_id == entitlement_id, DueRow.state == "owed")
    ).all()
    total = sum(due.fen for due in dues)
    if not total:
        return
    town = entitlement.division[:9]
    batch = BatchRow(
        id=new_id(),
        kind="urgent",
        division=entitlement.division[:6],
        month=entitlement.from_month,
        state="settled",
        maker_id=uow.actor.id,
        maker_name=uow.actor.name,
        opened_on=uow.today(),
        sent_on=uow.today(),
        settled_on=uow.today(),
        payments=1,
        people=len(dues),
        computed_fen=total,
        approved_fen=total,
    )
    payment = PaymentRow(
        id=new_id(),
        batch_id=batch.id,
        entitlement_id=entitlement_id,
        payee_person_id=entitlement.payee_person_id,
        household_id=entitlement.household_id,
        division=entitlement.division,
        benefit=entitlement.benefit,
        month=entitlement.from_month,
        fen=total,
        child=entitlement.child,
        state="settled",
    )
    session.add(batch)
    session.flush()
    session.add(payment)
    session.flush()
    session.add_all(
        PaymentDueRow(payment_id=payment.id, due_id=due.id, fen=due.fen, live=True) for due in dues
    )
    session.flush()
    refusal = _draw(uow, entitlement, batch, town, total)
    if refusal is not None:
        _refuse(uow, batch, payment, refusal)
        return
    session.execute(
        update(DueRow).where(DueRow.id.in_([due.id for due in dues])).values(state="paid")
    )
    uow.audit("paid_from_reserve", "payment", payment.id, town=town, fen=total)
    uow.emit(
        PaymentSettled(
            payment_id=payment.id,
            payee_person_id=payment.payee_person_id,
            household_id=payment.household_id,
            division=payment.division,
            month=first_day(payment.month),
            benefits=(payment.benefit,),
            amount_fen=total,
            settled_on=uow.today(),
            child=payment.child,
        )
    )


def _draw(
    uow: UnitOfWork, entitlement: EntitlementRow, batch: BatchRow, town: str, total: int
) -> str | None:
    """Take the sum from budget and reserve and write the transfers; or the code of a refusal."""
    rule = policy_book.version(
        entitlement.benefit, entitlement.division, entitlement.from_month
    ).rule
    if not isinstance(rule, OneOff) or total > rule.town_authority_fen:
        return "over_authority"
    try:
        with uow.session.begin_nested():
            ledger.use_budget(uow, batch.id, batch.division, ["settled"])
            ledger.move_account(uow, "reserve", town, -total)
            ledger.transfer_payments(uow, Step.LOCKED, batch.id, ["settled"])
            ledger.transfer_payments(uow, Step.PAID_FROM_RESERVE, batch.id, ["settled"])
    except Conflict as conflict:
        return conflict.reason or "cash_short"
    return None


def _refuse(uow: UnitOfWork, batch: BatchRow, payment: PaymentRow, code: str) -> None:
    batch.state = "voided"
    payment.state, payment.reason_code, payment.reason = "held", code, REASONS[code]
    uow.session.flush()
    uow.session.execute(
        text("UPDATE payment_due SET live = false WHERE payment_id = :payment"),
        {"payment": payment.id},
    )
    uow.emit(
        PaymentFailed(
            payment_id=payment.id,
            payee_person_id=payment.payee_person_id,
            household_id=payment.household_id,
            division=payment.division,
            month=first_day(payment.month),
            benefits=(payment.benefit,),
            amount_fen=payment.fen,
            reason_code=code,
            reason=f"{REASONS[code]}（{yuan(payment.fen)} 元）",
            child=payment.child,
        )
    )
