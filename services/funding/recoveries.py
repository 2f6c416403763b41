"""What was paid too much: listed, got back, or written off; and dues nobody will claim, closed."""

from __future__ import annotations

import uuid

from sqlalchemy import false, or_, select, text
from sqlalchemy.exc import IntegrityError

from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import (
    CloseHeldDues,
    ListRecoveries,
    RecordRecovery,
    RecoveryView,
    WriteOffRecovery,
)
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.money import Fen, yuan
from services.funding import ledger, policies, terms
from services.funding.domain.ledger import Step
from services.funding.models import DueRow, PersonCopy, RecoveryRow


def record(uow: UnitOfWork, command: RecordRecovery) -> RecoveryView:
    """Money came back."""
    row = _open(uow, command.recovery_id, command.fen)
    if _book(uow, row, Step.RECOVERED, command.fen, command.document_no):
        row.recovered_fen += command.fen
        ledger.move_account(uow, "funds", uow.settings.county, command.fen)
    return _view(uow, row)


def write_off(uow: UnitOfWork, command: WriteOffRecovery) -> RecoveryView:
    """What cannot be got back is written off."""
    row = _open(uow, command.recovery_id, command.fen)
    if _book(uow, row, Step.WRITTEN_OFF, command.fen, command.document_no):
        row.written_off_fen += command.fen
    return _view(uow, row)


def list_all(uow: UnitOfWork, query: ListRecoveries) -> list[RecoveryView]:
    """Recoveries the actor may see."""
    sight = (
        RecoveryRow.division.startswith(scope, autoescape=True) for scope in uow.actor.divisions
    )
    statement = (
        select(RecoveryRow)
        .where(or_(false(), *sight))  # before the limit, or a town's page would be another's
        .order_by(RecoveryRow.id)
        .limit(max(1, min(query.limit, 500)))
    )
    if query.after is not None:
        statement = statement.where(RecoveryRow.id > query.after)
    if query.household_id is not None:
        statement = statement.where(RecoveryRow.household_id == query.household_id)
    if query.only_open:
        statement = statement.where(
            ~RecoveryRow.cancelled,
            RecoveryRow.fen > RecoveryRow.recovered_fen + RecoveryRow.written_off_fen,
        )
    return [_view(uow, row) for row in uow.session.scalars(statement)]


_HELD = """
SELECT d.id FROM due d JOIN entitlement e ON e.id = d.entitlement_id
WHERE e.household_id = :household AND d.state IN ('owed', 'payable')
  AND EXISTS (SELECT 1 FROM stop s WHERE s.person_id = e.payee_person_id AND s.revoked_by IS NULL)
  AND NOT EXISTS (SELECT 1 FROM payment_due pd WHERE pd.due_id = d.id AND pd.live)
ORDER BY d.id
FOR UPDATE OF d
"""


def close_held(uow: UnitOfWork, command: CloseHeldDues) -> int:
    """Close months still owed to a payee who died, when a review finds nobody to take them.

    Also those whose payment failed at the bank: their 应付 and their budget are given back.
    """
    if not command.reason.strip() or not command.document_no.strip():
        raise Invalid("须填写理由和文号", field="reason", advice="请填写复核结论及文号")
    reason = f"{command.reason.strip()}（{command.document_no.strip()}）"
    held = uow.session.scalars(text(_HELD), {"household": command.household_id}).all()
    rows = uow.session.scalars(select(DueRow).where(DueRow.id.in_(held)).order_by(DueRow.id)).all()
    for division in {row.division for row in rows}:
        uow.require(division)
    for row in rows:
        terms.lower(uow, row, 0, cause=f"closed:{command.document_no.strip()}", reason=reason)
    uow.audit("held_dues_closed", "household", command.household_id, dues=len(rows))
    return len(rows)


_BOUNCED = """
SELECT r.id, sum(pd.fen)::bigint AS back
FROM payment p
JOIN payment_due pd ON pd.payment_id = p.id AND pd.live
JOIN due d ON d.id = pd.due_id
JOIN recovery r ON r.person_id = d.person_id AND r.benefit = d.benefit AND r.month = d.month
WHERE p.return_file_id = :file AND p.state = 'returned' AND NOT r.cancelled
GROUP BY r.id, r.person_id, r.benefit, r.month
ORDER BY r.id
"""


def money_came_back(uow: UnitOfWork, return_file_id: uuid.UUID) -> set[terms.Pair]:
    """What bounced is at the treasury again: nobody is asked for it, and it is owed or is not.

    What was got back meanwhile stands as such, and is owed again. To be called while the payments
    still carry their dues (a due that had left one did not come back), and reconciled afterwards.
    """
    back: dict[tuple[uuid.UUID, str, str], Fen] = {}
    pairs: set[terms.Pair] = set()
    for recovery_id, fen in uow.session.execute(text(_BOUNCED), {"file": return_file_id}).all():
        recovery = uow.session.get_one(RecoveryRow, recovery_id, with_for_update=True)
        place = (recovery.person_id, recovery.benefit, recovery.month)
        left = back.setdefault(place, fen)
        back[place] -= _take_back(uow, recovery, left, "退票", str(return_file_id))
        pairs.add((recovery.person_id, recovery.benefit))
    uow.session.flush()
    return pairs


def cancel(uow: UnitOfWork, recovery: RecoveryRow, reason: str) -> None:
    """Nothing is to be got back any more. What was got back stands as such, and is owed again."""
    _take_back(uow, recovery, recovery.fen, reason)


def _take_back(
    uow: UnitOfWork, recovery: RecoveryRow, most: Fen, reason: str, cause: str = ""
) -> Fen:
    """Lower a recovery by at most ``most`` of what was not got back; by how much it was."""
    fen = min(most, recovery.fen - recovery.recovered_fen)
    still_open = recovery.fen - recovery.recovered_fen - recovery.written_off_fen
    reversed_fen = max(0, fen - still_open)
    document = f"{recovery.id}/{cause}" if cause else str(recovery.id)
    for step, moved in ((Step.WRITE_OFF_REVERSED, reversed_fen), (Step.RECOVERY_CANCELLED, fen)):
        if moved:
            ledger.transfer(
                uow, step, moved, division=recovery.division, document=document, reason=reason
            )
    recovery.written_off_fen -= reversed_fen
    if fen == recovery.fen:
        recovery.cancelled = True
    else:
        recovery.fen -= fen
    return fen


def _open(uow: UnitOfWork, recovery_id: uuid.UUID, fen: Fen) -> RecoveryRow:
    row = uow.session.get(RecoveryRow, recovery_id, with_for_update=True)
    if row is None:
        raise NotFound("没有这笔追回", field="recovery_id")
    uow.require(row.division)
    if fen <= 0:
        raise Invalid("金额须大于零", field="fen", advice="请填写正数金额")
    if row.cancelled:
        raise Conflict("该笔追回已撤销", advice="无需再追回")
    return row


def _book(uow: UnitOfWork, row: RecoveryRow, step: Step, fen: Fen, document_no: str) -> bool:
    document = f"{row.id}/{document_no.strip()}"
    if not document_no.strip():
        raise Invalid("须填写凭证号", field="document_no", advice="请填写收款或核销凭证号")
    known = uow.session.scalar(
        text("SELECT fen FROM transfer WHERE step = :step AND document = :document"),
        {"step": step.value, "document": document},
    )
    if known is not None:
        if known != fen:
            raise Conflict("该凭证号已登记过另一金额", field="document_no", advice="请核对凭证")
        return False
    left = row.fen - row.recovered_fen - row.written_off_fen
    if fen > left:
        raise Conflict(
            f"金额 {yuan(fen)} 元超过未追回的 {yuan(left)} 元", field="fen", advice="请核对金额"
        )
    try:
        ledger.transfer(uow, step, fen, division=row.division, document=document)
    except IntegrityError as error:
        raise Conflict("该凭证正在登记", field="document_no", advice="请刷新后查看") from error
    uow.audit(step.value, "recovery", row.id, fen=fen, document=document_no.strip())
    return True


def _view(uow: UnitOfWork, row: RecoveryRow) -> RecoveryView:
    person = uow.session.get(PersonCopy, row.person_id)
    return RecoveryView(
        recovery_id=row.id,
        person_id=row.person_id,
        person_name=person.name if person else None,
        household_id=row.household_id,
        division=row.division,
        benefit=row.benefit,
        benefit_name=policies.benefits()[row.benefit].name,
        month=row.month,
        fen=row.fen,
        recovered_fen=row.recovered_fen,
        written_off_fen=row.written_off_fen,
        open_fen=0 if row.cancelled else row.fen - row.recovered_fen - row.written_off_fen,
        reason=row.reason,
        cancelled=row.cancelled,
        raised_on=row.raised_on,
    )
