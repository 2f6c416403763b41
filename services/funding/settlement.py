"""The return file: every line judged, then all applied in a few statements; or nothing.

Runs in a child process (COPY).
"""

from __future__ import annotations

import csv
import hashlib
import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import select, text

from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import ReturnProblem, ReturnView, SettleBatch, Tally
from services.contracts.errors import Conflict
from services.contracts.events import Event
from services.contracts.events.funding import CycleSettled, PaymentFailed, PaymentSettled
from services.contracts.ids import new_id
from services.funding import bank_sheet, batches, ledger, policies, recoveries, terms
from services.funding.checking import CHANGED
from services.funding.domain.bank_profile import (
    REASON_LABELS,
    BankProfile,
    Header,
    read_fixed_text,
    read_table,
)
from services.funding.domain.cycle import Step
from services.funding.domain.ledger import Step as Entry
from services.funding.domain.months import first_day
from services.funding.domain.returns import Outcome, Reading, SentLine, judge
from services.funding.models import BatchRow, ReturnFileRow

PROBLEMS_SHOWN = 200

_SENT = """
SELECT line_no, encode(account_index, 'hex'), fen,
       CASE WHEN state IN ('failed', 'returned') THEN 'failed' ELSE state END
FROM payment WHERE batch_id = :batch AND line_no IS NOT NULL
"""

_APPLY = """
UPDATE payment p SET state = a.outcome, reason_code = nullif(a.code, ''),
       reason = nullif(a.reason, ''), return_file_id = :file, return_row = a.row
FROM answer a
WHERE p.batch_id = :batch AND p.line_no = a.line_no AND a.outcome <> 'repeated'
  AND p.state = CASE WHEN a.outcome = 'returned' THEN 'settled' ELSE 'sent' END
"""

_DUES = """
UPDATE due d SET state = CASE WHEN p.state = 'settled' THEN 'paid' ELSE 'payable' END
FROM payment_due pd JOIN payment p ON p.id = pd.payment_id
WHERE pd.due_id = d.id AND pd.live AND p.return_file_id = :file
  AND p.state IN ('settled', 'returned')
"""

_FREE = """
UPDATE payment_due pd SET live = false FROM payment p
WHERE p.id = pd.payment_id AND pd.live AND p.return_file_id = :file
  AND p.state IN ('failed', 'returned')
"""

_CHANGED_SINCE = f"""
SELECT p.entitlement_id, coalesce(e.end_cause, (
           SELECT t.cause FROM term t WHERE t.entitlement_id = e.id ORDER BY t.id DESC LIMIT 1))
FROM payment p JOIN entitlement e ON e.id = p.entitlement_id
WHERE p.return_file_id = :file AND p.state = 'settled' AND {CHANGED}
"""  # noqa: S608


def settle(uow: UnitOfWork, command: SettleBatch) -> ReturnView:
    """Read a return file into its batch. The same file again gives the first answer."""
    batch = batches.find(uow, command.batch, lock=True)
    after = batch.state
    batches.advance(batch, Step.SETTLE)
    if batch.profile is None:
        raise Conflict("该批次没有报送银行，不接受回盘", advice="请选择已报送的批次")
    profile = policies.bank_profiles()[batch.profile]
    content = files.read(uow, command.file_id)
    sha256 = hashlib.sha256(content).hexdigest()
    known = uow.session.scalar(
        select(ReturnFileRow).where(
            ReturnFileRow.batch_id == batch.id, ReturnFileRow.sha256 == sha256
        )
    )
    if known is not None:
        batch.state = after
        return _view(uow, batch, known, already_read=True)
    reading = _judge(uow, batch, profile, content)
    if reading.problems:
        batch.state = after
        return _refused(batch, reading)
    row = _apply(uow, batch, command.file_id, sha256, reading)
    if row.unanswered:
        batch.state = after
    else:
        batch.settled_on = uow.today()
    uow.audit("return_file_read", "batch", batch.id, settled=row.settled, failed=row.failed)
    return _view(uow, batch, row, already_read=False)


def _judge(uow: UnitOfWork, batch: BatchRow, profile: BankProfile, content: bytes) -> Reading:
    header: Header | None = None
    if profile.kind == "fixed":
        header, answers = read_fixed_text(profile, content)
    else:
        answers = read_table(profile, bank_sheet.read(content))
    sent = {
        line_no: SentLine(line_no, account or "", fen, state)
        for line_no, account, fen, state in uow.session.execute(text(_SENT), {"batch": batch.id})
    }
    index = uow.cipher.blind_index
    return judge(
        profile,
        batch.serial,
        sent,
        (replace(answer, account=index(answer.account).hex()) for answer in answers),
        announced_fen=header.total_fen if header else None,
        announced_lines=header.lines if header else None,
    )


def _apply(
    uow: UnitOfWork, batch: BatchRow, file_id: uuid.UUID, sha256: str, reading: Reading
) -> ReturnFileRow:
    session = uow.session
    row = ReturnFileRow(
        id=new_id(),
        batch_id=batch.id,
        file_id=file_id,
        sha256=sha256,
        rows=len(reading.answers),
        unanswered=len(reading.unanswered),
        read_by=uow.actor.id,
        read_on=uow.today(),
    )
    for outcome in (Outcome.SETTLED, Outcome.FAILED, Outcome.RETURNED):
        fens = [answer.fen for answer in reading.answers if answer.outcome is outcome]
        setattr(row, outcome.value, len(fens))
        setattr(row, f"{outcome.value}_fen", sum(fens))
    session.add(row)
    session.flush()
    _copy_answers(uow, reading)
    place = {"batch": batch.id, "file": row.id}
    session.execute(text(_APPLY), place)
    of_file = " AND p.return_file_id = :file"
    for entry in (Entry.SETTLED, Entry.FAILED, Entry.RETURNED):
        ledger.transfer_payments(uow, entry, batch.id, [entry.value], where=of_file, file=row.id)
    session.execute(text(_DUES), place)
    bounced = recoveries.money_came_back(uow, row.id) if row.returned else set()
    session.execute(text(_FREE), place)
    if row.failed_fen + row.returned_fen:
        ledger.move_account(uow, "funds", batch.division, row.failed_fen + row.returned_fen)
    for entitlement_id, cause in session.execute(text(_CHANGED_SINCE), place).all():
        terms.reconcile(
            uow,
            terms.pairs_of(uow, [entitlement_id]),
            cause=str(cause),
            reason="死亡停发后已付" if str(cause).startswith("death:") else "变更后已付",
        )
    terms.reconcile(uow, bounced, cause=f"returned:{row.id}", reason="退票后重新核算")
    uow.emit_all(_events(uow, row.id, uow.today()), bulk=True)
    if not row.unanswered:
        _announce(uow, batch)
    return row


def _copy_answers(uow: UnitOfWork, reading: Reading) -> None:
    session = uow.session
    session.execute(text("DROP TABLE IF EXISTS pg_temp.answer"))
    session.execute(
        text(
            "CREATE TEMPORARY TABLE answer (line_no integer, row integer, outcome text,"
            " code text, reason text) ON COMMIT DROP"
        )
    )
    buffer = io.StringIO()
    csv.writer(buffer).writerows(
        (a.line_no, a.row, a.outcome.value, a.reason_code, a.reason) for a in reading.answers
    )
    buffer.seek(0)
    cursor: Any = session.connection().connection.cursor()
    cursor.copy_expert("COPY answer FROM STDIN WITH (FORMAT csv)", buffer)
    session.execute(text("ANALYZE answer"))


def _events(uow: UnitOfWork, return_id: uuid.UUID, today: date) -> Iterator[Event]:
    rows = uow.session.execute(
        text(
            "SELECT id, payee_person_id, household_id, division, month, benefit, fen, child, state,"
            " reason_code, reason FROM payment WHERE return_file_id = :file ORDER BY line_no"
        ),
        {"file": return_id},
    ).all()
    months = {row.month: first_day(row.month) for row in rows}
    for row in rows:
        if row.state == "settled":
            yield PaymentSettled(
                payment_id=row.id,
                payee_person_id=row.payee_person_id,
                household_id=row.household_id,
                division=row.division,
                month=months[row.month],
                benefits=(row.benefit,),
                amount_fen=row.fen,
                settled_on=today,
                child=row.child,
            )
        else:
            yield PaymentFailed(
                payment_id=row.id,
                payee_person_id=row.payee_person_id,
                household_id=row.household_id,
                division=row.division,
                month=months[row.month],
                benefits=(row.benefit,),
                amount_fen=row.fen,
                reason_code=row.reason_code or "other",
                reason=row.reason or REASON_LABELS["other"],
                child=row.child,
            )


def _announce(uow: UnitOfWork, batch: BatchRow) -> None:
    counted: dict[str, tuple[int, int]] = {
        state: (payments, fen)
        for state, payments, fen in uow.session.execute(
            text(
                "SELECT state, count(*), sum(fen)::bigint FROM payment"
                " WHERE batch_id = :batch GROUP BY 1"
            ),
            {"batch": batch.id},
        )
    }
    settled = counted.get("settled", (0, 0))
    failed = [counted.get(state, (0, 0)) for state in ("failed", "returned")]
    uow.emit(
        CycleSettled(
            batch_id=batch.id,
            division=batch.division,
            month=first_day(batch.month),
            settled_payments=settled[0],
            settled_fen=settled[1],
            failed_payments=sum(number for number, _ in failed),
            failed_fen=sum(fen for _, fen in failed),
        )
    )


def _view(
    uow: UnitOfWork, batch: BatchRow, row: ReturnFileRow, *, already_read: bool
) -> ReturnView:
    uow.session.flush()
    failures = uow.session.execute(
        text(
            "SELECT coalesce(reason_code, 'other'), count(*), sum(fen)::bigint FROM payment"
            " WHERE return_file_id = :file AND state IN ('failed', 'returned')"
            " GROUP BY 1 ORDER BY 1"
        ),
        {"file": row.id},
    )
    unanswered = uow.session.scalar(
        text(
            "SELECT coalesce(sum(fen), 0)::bigint FROM payment"
            " WHERE batch_id = :batch AND state = 'sent'"
        ),
        {"batch": batch.id},
    )
    return ReturnView(
        batch_no=batch.batch_no,
        applied=True,
        already_read=already_read,
        rows=row.rows,
        settled=row.settled,
        settled_fen=row.settled_fen,
        failed=row.failed,
        failed_fen=row.failed_fen,
        returned=row.returned,
        returned_fen=row.returned_fen,
        unanswered=row.unanswered,
        unanswered_fen=int(unanswered or 0),
        failures=tuple(
            Tally(key=code, label=REASON_LABELS.get(str(code), str(code)), payments=count, fen=fen)
            for code, count, fen in failures
        ),
        problems=(),
        problem_count=0,
    )


def _refused(batch: BatchRow, reading: Reading) -> ReturnView:
    problems: Sequence[ReturnProblem] = [
        ReturnProblem(row=p.row, field=p.field, problem=p.problem, advice=p.advice)
        for p in reading.problems[:PROBLEMS_SHOWN]
    ]
    return ReturnView(
        batch_no=batch.batch_no,
        applied=False,
        already_read=False,
        rows=len(reading.answers) + len(reading.problems),
        settled=0,
        settled_fen=0,
        failed=0,
        failed_fen=0,
        returned=0,
        returned_fen=0,
        unanswered=len(reading.unanswered),
        unanswered_fen=0,
        failures=(),
        problems=tuple(problems),
        problem_count=len(reading.problems),
    )
