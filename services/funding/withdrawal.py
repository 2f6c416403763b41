"""Payments that leave a batch: held before it is signed, withdrawn or voided after the lock."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import text

from services.chassis.uow import UnitOfWork
from services.contracts.money import Fen
from services.funding import ledger
from services.funding.domain.ledger import Step


def hold(uow: UnitOfWork, payment_ids: Sequence[uuid.UUID], code: str, reason: str) -> None:
    """Take drafts out of their batch; their dues stay owed, with the reason on the payment."""
    uow.session.execute(
        text(
            "UPDATE payment SET state = 'held', reason_code = :code, reason = :reason"
            " WHERE id = ANY(:ids) AND state = 'draft'"
        ),
        {"ids": list(payment_ids), "code": code, "reason": reason},
    )
    uow.session.execute(
        text("UPDATE payment_due SET live = false WHERE payment_id = ANY(:ids)"),
        {"ids": list(payment_ids)},
    )


_WITHDRAW = """
UPDATE payment SET state = :state, reason_code = :code, reason = :reason
WHERE id = ANY(:ids) AND batch_id = :batch AND state = 'locked'
RETURNING id
"""

_RELEASE = """
WITH gone AS (
    UPDATE payment_due SET live = false
    WHERE payment_id = ANY(:ids) AND live
    RETURNING due_id, fen
)
UPDATE due d SET state = 'owed'
FROM gone
WHERE d.id = gone.due_id AND d.state = 'payable'
RETURNING d.budget_year, d.benefit, gone.fen
"""


def withdraw(
    uow: UnitOfWork,
    batch_id: uuid.UUID,
    payment_ids: Sequence[uuid.UUID],
    step: Step,
    code: str,
    reason: str,
) -> int:
    """Withdraw (or void) locked payments by transfers; dues are owed again, budget given back.

    Gives how many were; a payment that was sent meanwhile is left alone.
    """
    session = uow.session
    state = "voided" if step is Step.VOIDED else "withdrawn"
    done = session.scalars(
        text(_WITHDRAW),
        {
            "ids": list(payment_ids),
            "batch": batch_id,
            "state": state,
            "code": code,
            "reason": reason,
        },
    ).all()
    if done:
        book(uow, batch_id, done, step)
    return len(done)


def book(
    uow: UnitOfWork, batch_id: uuid.UUID, payment_ids: Sequence[uuid.UUID], step: Step
) -> None:
    """Write the transfers of payments that left the batch; what they paid is owed again."""
    session = uow.session
    state = "voided" if step is Step.VOIDED else "withdrawn"
    ids = list(payment_ids)
    ledger.transfer_payments(uow, step, batch_id, [state], where=" AND p.id = ANY(:ids)", ids=ids)
    released: dict[tuple[int, str], Fen] = defaultdict(int)
    for year, benefit, fen in session.execute(text(_RELEASE), {"ids": ids}):
        released[year, benefit] += fen
    division = session.scalar(
        text("SELECT division FROM batch WHERE id = :batch"), {"batch": batch_id}
    )
    ledger.release_budget(uow, str(division), released)
