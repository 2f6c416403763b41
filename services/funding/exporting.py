"""The bank file: written once, from a statement that joins the stop list again; then it is sent.

Asked for again, the stored file is the answer, byte for byte. Runs in a child process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import text

from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import BatchView, ExportBatch
from services.contracts.errors import Conflict, Invalid
from services.funding import bank_sheet, batches, computing, ledger, locking, policies, withdrawal
from services.funding.checking import BLOCKED, REASON_SQL
from services.funding.domain.bank_profile import (
    BankLine,
    BankProfile,
    Header,
    fixed_text,
    reference,
)
from services.funding.domain.cycle import State, Step
from services.funding.domain.ledger import Step as Entry
from services.funding.models import BatchRow

MEDIA_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "fixed": "text/plain",
}

# The accounts written are the ones this statement saw, beside the stop list of the same moment.
_SEND = f"""
WITH blocked AS MATERIALIZED ({BLOCKED}),
numbered AS MATERIALIZED (
    SELECT b.*, row_number() OVER (PARTITION BY b.code IS NULL
                                   ORDER BY b.division, b.benefit, b.id) AS line_no
    FROM blocked b
)
UPDATE payment p SET
    state = CASE WHEN n.code IS NULL THEN 'sent' ELSE 'withdrawn' END,
    line_no = CASE WHEN n.code IS NULL THEN n.line_no END,
    reason_code = n.code, reason = {REASON_SQL},
    account_index = n.account_index, account_last4 = n.account_last4
FROM numbered n
WHERE n.id = p.id
RETURNING p.id, p.entitlement_id, p.state, p.line_no, p.payee_person_id, p.fen,
          n.account_number, n.account_name, n.name
"""  # noqa: S608


def export(uow: UnitOfWork, command: ExportBatch) -> BatchView:
    """Write the file of a locked batch and book it as sent."""
    batch = batches.find(uow, command.batch, lock=True)
    profile = policies.bank_profiles().get(command.profile)
    if profile is None:
        known = "、".join(policies.bank_profiles())
        raise Invalid(
            f"没有银行格式“{command.profile}”", field="profile", advice=f"可用的格式：{known}"
        )
    if batch.state in (State.SENT.value, State.SETTLED.value) and batch.file_id:
        if batch.profile != profile.code:
            raise Conflict(
                f"该批次已按 {batch.profile} 格式报送", advice="同一批次不能再用另一格式报送"
            )
        return batches.view(uow, batch)
    batches.advance(batch, Step.EXPORT)
    sent = _send(uow, batch)
    if not sent:
        raise Conflict("批次的付款已全部撤出，没有可报送的明细", advice="请作废该批次")
    if len(sent) > profile.max_lines:
        raise Conflict(
            f"共 {len(sent)} 笔，超过该格式上限 {profile.max_lines} 笔", advice="请改用文本格式"
        )
    total = sum(row.fen for row in sent)
    ledger.transfer_payments(uow, Entry.SENT, batch.id, ["sent"])
    ledger.move_account(uow, "funds", batch.division, -total)
    header = Header(batch_no=batch.batch_no, lines=len(sent), total_fen=total)
    content = _write(uow, profile, header, _lines(uow, batch, sent))
    batch.profile = profile.code
    batch.file_id = files.write(
        uow,
        f"{batch.batch_no}.{profile.suffix}",
        content,
        MEDIA_TYPES[profile.kind],
        division=batch.division,
    )
    stored = files.describe(uow, batch.file_id)
    batch.file_sha256, batch.file_lines, batch.file_fen = stored.sha256, len(sent), total
    batch.sent_on = uow.today()
    uow.audit("bank_file_written", "batch", batch.id, lines=len(sent), fen=total)
    return batches.view(uow, batch)


def _send(uow: UnitOfWork, batch: BatchRow) -> list[Any]:
    assert batch.locked_at is not None
    computing.look_at(uow, "payment", "due")
    place = {
        "batch": batch.id,
        "state": "locked",
        "changed_since": locking.changed_since(batch.locked_at),
    }
    rows = uow.session.execute(text(_SEND), place).all()
    left = [row for row in rows if row.state == "withdrawn"]
    if left:
        withdrawal.book(uow, batch.id, [row.id for row in left], Entry.WITHDRAWN)
        locking.reconcile(uow, batch, {row.entitlement_id for row in left})
    return sorted((row for row in rows if row.state == "sent"), key=lambda row: row.line_no)


def _lines(uow: UnitOfWork, batch: BatchRow, sent: Sequence[Any]) -> Iterator[BankLine]:
    decrypt = uow.cipher.decrypt
    for row in sent:
        payee = row.payee_person_id
        number = decrypt(row.account_number, table="person", row=payee, column="account_number")
        name = (
            decrypt(row.account_name, table="person", row=payee, column="account_name")
            if row.account_name
            else row.name or ""
        )
        yield BankLine(reference(batch.serial, row.line_no), number, name, row.fen)


def _write(
    uow: UnitOfWork,
    profile: BankProfile,
    header: Header,
    lines: Iterator[BankLine],
) -> bytes:
    if profile.kind == "fixed":
        return fixed_text(profile, header, lines)
    return bank_sheet.write(profile, header, lines, made_at=uow.now())
