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
from services.funding.models import BatchRow

_HOLD = """
WITH held AS (
    UPDATE payment SET state = 'held', reason_code = :code, reason = :reason
    WHERE id = ANY(:ids) AND batch_id = :batch AND state = 'draft'
    RETURNING id, fen
), freed AS (
    UPDATE payment_due SET live = false WHERE payment_id IN (SELECT id FROM held)
    RETURNING due_id
), gone AS (
    SELECT DISTINCT d.person_id FROM freed JOIN due d ON d.id = freed.due_id
    WHERE NOT EXISTS (
        SELECT 1 FROM due other
        JOIN payment_due pd ON pd.due_id = other.id AND pd.live
        JOIN payment p ON p.id = pd.payment_id AND p.batch_id = :batch AND p.state = 'draft'
        WHERE other.person_id = d.person_id AND p.id <> ALL(:ids))
)
UPDATE batch SET
    payments = payments - (SELECT count(*) FROM held),
    computed_fen = computed_fen - (SELECT coalesce(sum(fen), 0)::bigint FROM held),
    people = people - (SELECT count(*) FROM gone),
    content_sha256 = NULL
WHERE id = :batch
"""


def hold(
    uow: UnitOfWork, batch_id: uuid.UUID, payment_ids: Sequence[uuid.UUID], code: str, reason: str
) -> None:
    """Take drafts out of a batch that nobody has signed; their dues stay owed, with the reason on
    the payment.

    The batch's counts go down by what left, and its digest is taken when it is signed: to count a
    city's payments for each of them would take longer than the next death takes to come.
    """
    uow.session.flush()
    uow.session.execute(
        text(_HOLD),
        {"ids": list(payment_ids), "batch": batch_id, "code": code, "reason": reason},
    )
    if batch := uow.session.identity_map.get(uow.session.identity_key(BatchRow, batch_id)):
        uow.session.expire(batch)


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
