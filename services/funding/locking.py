"""Lock: the ledger and the budget take what both signed; voiding takes it back before sending."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import text

from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import BatchView, LockBatch, VoidBatch
from services.contracts.errors import Conflict, Invalid
from services.contracts.events.funding import CycleLocked, ImportLocked
from services.funding import batches, ledger, replenishment, signing, terms, withdrawal
from services.funding.checking import BLOCKED, REASON_SQL, content_hash
from services.funding.domain.cycle import Seat, Step
from services.funding.domain.ledger import Step as Entry
from services.funding.domain.months import first_day
from services.funding.models import BatchRow

#: A payment locked within this time of a change of its account is not paid.
ACCOUNT_REST = timedelta(hours=24)

# One statement takes every draft to locked, or to withdrawn when the stop list (or a change of the
# account or of the entitlement) says so now.
_LOCK = f"""
WITH blocked AS MATERIALIZED ({BLOCKED})
UPDATE payment p SET
    state = CASE WHEN b.code IS NULL THEN 'locked' ELSE 'withdrawn' END,
    reason_code = b.code, reason = {REASON_SQL}
FROM blocked b WHERE b.id = p.id
RETURNING p.id, p.entitlement_id, p.state
"""  # noqa: S608

_PAYABLE = """
UPDATE due d SET state = 'payable'
FROM payment_due pd JOIN payment p ON p.id = pd.payment_id
WHERE pd.due_id = d.id AND pd.live AND p.batch_id = :batch AND p.state = 'locked'
  AND d.state = 'owed'
"""

# Held before anything is judged: an import is undone before this lock, or not at all.
_HOLD_IMPORTS = """
SELECT i.import_id FROM roster_import i
 WHERE i.import_id IN (SELECT e.import_id FROM payment p
                         JOIN entitlement e ON e.id = p.entitlement_id
                        WHERE p.batch_id = :batch AND p.state = 'draft')
 ORDER BY i.import_id FOR UPDATE
"""

_IMPORTS = """
UPDATE roster_import i SET locked_batch = :batch
FROM (SELECT DISTINCT e.import_id FROM payment p JOIN entitlement e ON e.id = p.entitlement_id
       WHERE p.batch_id = :batch AND p.state = 'locked' AND e.import_id IS NOT NULL) x
WHERE i.import_id = x.import_id AND i.locked_batch IS NULL AND NOT i.undone
RETURNING i.import_id
"""


def changed_since(when: datetime) -> datetime:
    """Accounts changed after this are too new for a lock at ``when``."""
    return when - ACCOUNT_REST


def lock(uow: UnitOfWork, command: LockBatch) -> BatchView:
    """Lock a batch that both signed. What drops out since is withdrawn in the same transaction."""
    batch = batches.find(uow, command.batch, lock=True)
    batches.advance(batch, Step.LOCK)
    if batch.kind == "replenishment":
        replenishment.move(uow, batch)
        return batches.view(uow, batch)
    signed = {row.content_sha256 for row in batches.signatures(uow, batch.id)}
    if signed != {content_hash(uow, batch)}:
        raise Conflict("批次内容与签署时不一致", advice="请退回批次，重新计算、校验后再签署")
    batch.locked_at = uow.now()
    session = uow.session
    place = {
        "batch": batch.id,
        "state": "draft",
        "changed_since": changed_since(batch.locked_at),
    }
    session.execute(text(_HOLD_IMPORTS), {"batch": batch.id})
    left = [row for row in session.execute(text(_LOCK), place) if row.state == "withdrawn"]
    ledger.use_budget(uow, batch.id, batch.division, ["locked"])
    everything = ["locked", "withdrawn"]
    # A due that was closed since the signatures too: its withdrawal below must meet a lock.
    ledger.transfer_payments(
        uow, Entry.LOCKED, batch.id, everything, where=" AND d.state <> 'payable'"
    )
    ledger.transfer_payments(
        uow, Entry.RELOCKED, batch.id, everything, where=" AND d.state = 'payable'"
    )
    if left:
        withdrawal.book(uow, batch.id, [row.id for row in left], Entry.WITHDRAWN)
    session.execute(text(_PAYABLE), {"batch": batch.id})
    batch.approved_fen = batch.computed_fen
    reconcile(uow, batch, {row.entitlement_id for row in left})
    uow.audit("batch_locked", "batch", batch.id, fen=batch.computed_fen, left=len(left))
    view = batches.view(uow, batch)
    locked = next((tally for tally in view.by_state if tally.key == "locked"), None)
    uow.emit(
        CycleLocked(
            batch_id=batch.id,
            division=batch.division,
            month=first_day(batch.month),
            kind=batch.kind,
            payments=locked.payments if locked else 0,
            total_fen=locked.fen if locked else 0,
        ),
        *(
            ImportLocked(import_id=import_id, division=batch.division, batch_id=batch.id)
            for import_id in session.scalars(text(_IMPORTS), {"batch": batch.id}).all()
        ),
    )
    return view


def void(uow: UnitOfWork, command: VoidBatch) -> BatchView:
    """Sign that a locked batch is void; with both signatures, before sending, it is."""
    batch = batches.find(uow, command.batch, lock=True)
    seat = Seat.VOID_REVIEW if command.seat == "review" else Seat.VOID_RELEASE
    before = batch.state
    batches.advance(batch, Step.VOID)
    if not command.reason.strip():
        raise Invalid("作废须写明理由", field="reason", advice="请填写作废理由")
    standing = {row.seat for row in batches.signatures(uow, batch.id)}
    if seat.value in standing:
        raise Conflict("该岗位已签署作废", advice="请由另一岗位签署")
    signing.put_signature(uow, batch, seat, command.reason.strip())
    other = Seat.VOID_RELEASE if seat is Seat.VOID_REVIEW else Seat.VOID_REVIEW
    if other.value not in standing:
        batch.state = before
        return batches.view(uow, batch)
    payments = uow.session.scalars(
        text("SELECT id FROM payment WHERE batch_id = :batch AND state = 'locked'"),
        {"batch": batch.id},
    ).all()
    withdrawal.withdraw(
        uow, batch.id, payments, Entry.VOIDED, "voided", f"批次作废：{command.reason.strip()}"
    )
    uow.audit("batch_voided", "batch", batch.id, reason=command.reason.strip())
    return batches.view(uow, batch)


def reconcile(uow: UnitOfWork, batch: BatchRow, entitlements: set[uuid.UUID]) -> None:
    """Bring the dues of payments that dropped out to what holds now."""
    terms.reconcile(
        uow,
        terms.pairs_of(uow, entitlements),
        cause=f"batch:{batch.id}",
        reason="审核之后待遇变更",
    )
