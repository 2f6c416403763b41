"""A batch by its name, its steps, and how it is shown."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import BigInteger, cast, func, select, text
from sqlalchemy.exc import IntegrityError

from services.chassis.uow import UnitOfWork
from services.contracts.actors import ROLE_LABELS, Role
from services.contracts.commands.funding import (
    BatchKind,
    BatchView,
    DiscardBatch,
    FiveSumsView,
    OpenBatch,
    OpenRepayment,
    SignatureView,
    Tally,
)
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.ids import new_id
from services.funding import policies, policy_book
from services.funding.domain.cycle import (
    MOVES,
    SEAT_LABELS,
    STATE_LABELS,
    Seat,
    State,
    Step,
    may_open,
)
from services.funding.domain.cycle import advance as next_state
from services.funding.domain.ledger import FiveSums
from services.funding.domain.months import first_day
from services.funding.models import BatchRow, PaymentRow, SignatureRow
from services.funding.timetable import timetable

KIND_LABELS: dict[str, str] = {
    "monthly": "月度发放",
    "one_off": "一次性救助",
    "repayment": "补发",
    "urgent": "急难救助（备用金）",
    "replenishment": "备用金补充",
}

PAYMENT_LABELS: dict[str, str] = {
    "draft": "待发放",
    "held": "暂缓",
    "short": "资金不足缓发",
    "locked": "已锁定",
    "withdrawn": "已撤出",
    "voided": "已作废",
    "sent": "已发送代发行",
    "settled": "已到账",
    "failed": "发放失败",
    "returned": "退票",
}

FINDING_LABELS: dict[str, str] = {
    "died": "领款人死亡",
    "changed": "待遇已变更",
    "excluded": "互斥待遇",
    "duplicate": "重复享受",
    "no_account": "缺少银行账号",
    "same_account": "多户共用账号",
    "budget_short": "预算不足",
    "cash_short": "资金不足",
    "policy_differs": "核定金额与政策不符",
    "new": "较上月新增",
    "gone": "较上月停发",
    "amount": "较上月变动",
    "first": "首期",
    "arrears": "补发以前月份",
}

_BATCH_NO = re.compile(r"FF([0-9]{4})([0-9]{2})-([0-9]{4,18})")


def find(uow: UnitOfWork, name: str, *, lock: bool = False) -> BatchRow:
    """The batch with an id, a number, or a month (that month's cycle). Raises ``NotFound``."""
    statement = select(BatchRow)
    if match := _BATCH_NO.fullmatch(name.strip().upper()):
        statement = statement.where(
            BatchRow.serial == int(match[3]), BatchRow.month == f"{match[1]}-{match[2]}"
        )
    elif re.fullmatch(r"[0-9]{4}-[0-9]{2}", name):
        statement = statement.where(
            BatchRow.month == name, BatchRow.kind == "monthly", BatchRow.state != "voided"
        )
    else:
        try:
            statement = statement.where(BatchRow.id == uuid.UUID(name))
        except ValueError:
            raise Invalid(
                f"“{name}”不是批次编号", field="batch", advice="请填写批次号或月份，如 2026-11"
            ) from None
    if lock:
        statement = statement.with_for_update()
        # A step over a whole city may take longer than a look, and sorts and joins all of it: in
        # memory, or its time a person grows with the city.
        uow.session.execute(text("SET LOCAL statement_timeout = '10min'"))
        uow.session.execute(text("SET LOCAL work_mem = '64MB'"))
    batch = uow.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if batch is None:
        raise NotFound(f"没有批次 {name}", field="batch", advice="请先开期或核对批次号")
    uow.require(batch.division)
    return batch


def advance(batch: BatchRow, step: Step) -> None:
    """Move a batch on, or raise ``Conflict`` saying which states allow the step."""
    batch.state = next_state(State(batch.state), step).value


def open_batch(uow: UnitOfWork, command: OpenBatch) -> BatchView:
    """Open a month's cycle or a batch of one-off aid."""
    policy_book.install(uow)
    uow.require(uow.settings.county)
    try:
        first_day(command.month)
    except ValueError:
        raise Invalid(
            f"“{command.month}”不是月份", field="month", advice="请填写如 2026-11"
        ) from None
    rule = timetable(uow.settings.county, uow.today())
    if not may_open(command.month, uow.today(), rule):
        raise Invalid(
            f"{command.month} 离今天（{uow.today()}）太远，不能开期",
            field="month",
            advice=f"最早提前 {rule.months_ahead} 个月，最晚推后 {rule.months_back} 个月，"
            "请核对年份",
        )
    if command.kind == "monthly":
        taken = uow.session.scalar(
            select(BatchRow.id).where(
                BatchRow.month == command.month,
                BatchRow.division == uow.settings.county,
                BatchRow.kind == "monthly",
                BatchRow.state != "voided",
            )
        )
        if taken is not None:
            raise _opened_already(command.month)
    try:
        with uow.session.begin_nested():
            batch = create(uow, command.kind, command.month)
    except IntegrityError as error:  # somebody else, at the same moment
        raise _opened_already(command.month) from error
    return view(uow, batch)


def _opened_already(month: str) -> Conflict:
    return Conflict(f"{month} 的月度批次已经开期", field="month", advice="请使用已有批次")


def open_repayment(uow: UnitOfWork, command: OpenRepayment) -> BatchView:
    """Open a batch for what failed or was returned in another."""
    failed = find(uow, command.batch)
    if failed.state not in ("sent", "settled"):
        raise Conflict("该批次尚未收到回盘，不能补发", advice="请先读入回盘文件")
    left = uow.session.scalar(
        text(
            "SELECT count(*) FROM payment p WHERE p.batch_id = :batch"
            " AND p.state IN ('failed', 'returned') AND EXISTS ("
            "   SELECT 1 FROM payment_due pd JOIN due d ON d.id = pd.due_id"
            "   WHERE pd.payment_id = p.id AND d.state = 'payable' AND NOT EXISTS ("
            "     SELECT 1 FROM payment_due x WHERE x.due_id = d.id AND x.live))"
        ),
        {"batch": failed.id},
    )
    if not left:
        raise Conflict("该批次没有待补发的付款", advice="失败的付款已经补发或正在补发")
    return view(uow, create(uow, "repayment", failed.month, of_batch=failed.id))


def discard(uow: UnitOfWork, command: DiscardBatch) -> BatchView:
    """Give up a batch that nobody has signed; what it would have paid is owed as before."""
    batch = find(uow, command.batch, lock=True)
    if not command.reason.strip():
        raise Invalid("撤销须写明理由", field="reason", advice="请填写撤销理由")
    advance(batch, Step.DISCARD)
    place = {"batch": batch.id, "reason": f"批次撤销：{command.reason.strip()}"}
    uow.session.execute(
        text(
            "UPDATE payment_due pd SET live = false FROM payment p"
            " WHERE p.id = pd.payment_id AND p.batch_id = :batch AND pd.live"
        ),
        place,
    )
    uow.session.execute(
        text(
            "UPDATE payment SET state = 'voided', reason = :reason"
            " WHERE batch_id = :batch AND state = 'draft'"
        ),
        place,
    )
    uow.audit("batch_discarded", "batch", batch.id, reason=command.reason.strip())
    return view(uow, batch)


def create(
    uow: UnitOfWork, kind: BatchKind, month: str, *, of_batch: uuid.UUID | None = None
) -> BatchRow:
    """A new, empty batch of the county."""
    batch = BatchRow(
        id=new_id(),
        kind=kind,
        division=uow.settings.county,
        month=month,
        state=State.OPEN.value,
        of_batch=of_batch,
        maker_id=uow.actor.id,
        maker_name=uow.actor.name,
        opened_on=uow.today(),
    )
    uow.session.add(batch)
    uow.session.flush()
    uow.session.refresh(batch)
    uow.audit("batch_opened", "batch", batch.id, kind=kind, month=month)
    return batch


_SUMS = """
SELECT b.id,
  (SELECT coalesce(sum(fen), 0) FROM payment
    WHERE batch_id = b.id AND state IN ('withdrawn', 'voided'))::bigint AS withdrawn,
  (SELECT coalesce(sum(CASE WHEN step IN ('locked', 'relocked') THEN fen
                            WHEN step IN ('withdrawn', 'voided') THEN -fen
                            ELSE 0 END), 0)
     FROM transfer WHERE batch_id = b.id)::bigint AS ledger,
  (SELECT coalesce(sum(CASE WHEN step = 'settled' THEN fen
                            WHEN step = 'returned' THEN -fen ELSE 0 END), 0)
     FROM transfer WHERE batch_id = b.id)::bigint AS settled,
  (SELECT coalesce(sum(fen), 0)
     FROM transfer WHERE batch_id = b.id AND step IN ('failed', 'returned'))::bigint AS failed,
  (SELECT coalesce(sum(fen), 0) FROM payment
    WHERE batch_id = b.id AND state = 'sent')::bigint AS unanswered,
  (SELECT coalesce(sum(fen), 0)
     FROM transfer WHERE batch_id = b.id AND step = 'paid_from_reserve')::bigint AS reserve
FROM batch b WHERE b.id = ANY(:batches)
"""


def sums(uow: UnitOfWork, batch: BatchRow) -> FiveSumsView | None:
    """The five sums of a locked batch, each from its own rows; ``None`` before the lock."""
    return next(iter(sums_of(uow, [batch])), None)


def sums_of(uow: UnitOfWork, batches: Sequence[BatchRow]) -> list[FiveSumsView]:
    """As ``sums`` for many batches in one statement; those not locked yet have none, nor has urgent
    aid that the reserve refused: it drew nothing."""
    counted = {
        batch.id: batch
        for batch in batches
        if batch.approved_fen is not None
        and batch.kind != "replenishment"
        and (batch.kind, batch.state) != ("urgent", "voided")
    }
    if not counted:
        return []
    rows = uow.session.execute(text(_SUMS), {"batches": list(counted)})
    return [_five_sums(counted[row.id], row) for row in rows]


def _five_sums(batch: BatchRow, row: Any) -> FiveSumsView:
    approved = (batch.approved_fen or 0) - row.withdrawn
    bank: int | None
    settled: int | None
    failed: int | None
    unanswered: int | None
    if batch.kind == "urgent":
        bank, settled, failed, unanswered = row.reserve, row.reserve, 0, 0
    elif batch.file_fen is not None:
        bank, settled, failed, unanswered = (
            batch.file_fen,
            row.settled,
            row.failed,
            row.unanswered,
        )
    else:
        bank = settled = failed = unanswered = None
    five = FiveSums(
        approved_less_withdrawn=approved,
        lock_transfers_less_withdrawals=row.ledger,
        bank_file=bank,
        answered=None if settled is None or failed is None else settled + failed,
        unanswered=unanswered,
    )
    return FiveSumsView(
        approved_less_withdrawn=approved,
        lock_transfers_less_withdrawals=row.ledger,
        bank_file=bank,
        settled=settled,
        failed=failed,
        unanswered=unanswered,
        agree=five.agree,
    )


def signatures(uow: UnitOfWork, batch_id: uuid.UUID) -> list[SignatureRow]:
    """The standing signatures of a batch, in order."""
    return list(
        uow.session.scalars(
            select(SignatureRow)
            .where(SignatureRow.batch_id == batch_id, ~SignatureRow.withdrawn)
            .order_by(SignatureRow.id)
        )
    )


def signature_views(uow: UnitOfWork, batch_id: uuid.UUID) -> tuple[SignatureView, ...]:
    """Signatures for people."""
    return tuple(
        SignatureView(
            seat=row.seat,
            seat_label=SEAT_LABELS[Seat(row.seat)],
            actor_name=row.actor_name,
            role_label=ROLE_LABELS[Role(row.role)],
            as_deputy=row.as_deputy,
            signed_on=row.signed_on,
            document_no=row.document_no,
            payments=row.payments,
            total_fen=row.total_fen,
            content_sha256=row.content_sha256,
        )
        for row in signatures(uow, batch_id)
    )


def view(uow: UnitOfWork, batch: BatchRow) -> BatchView:
    """A batch with its tallies, signatures and sums."""
    uow.session.flush()
    state = State(batch.state)
    names = policies.benefits()
    by_state = _tallies(uow, PaymentRow.state, batch.id)
    by_benefit = _tallies(
        uow, PaymentRow.benefit, batch.id, PaymentRow.state.not_in(("held", "short"))
    )
    findings = uow.session.execute(
        text(
            "SELECT kind, count(*), coalesce(sum(fen), 0)::bigint FROM finding"
            " WHERE batch_id = :batch GROUP BY kind ORDER BY kind"
        ),
        {"batch": batch.id},
    )
    of_batch = uow.session.get(BatchRow, batch.of_batch) if batch.of_batch else None
    return BatchView(
        batch_id=batch.id,
        batch_no=batch.batch_no,
        kind=_kind(batch),
        kind_label=KIND_LABELS[batch.kind],
        division=batch.division,
        month=batch.month,
        state=batch.state,
        state_label=STATE_LABELS[state],
        next_steps=tuple(step.value for step, moves in MOVES.items() if state in moves),
        maker_name=batch.maker_name,
        opened_on=batch.opened_on,
        payments=batch.payments,
        people=batch.people,
        computed_fen=batch.computed_fen,
        approved_fen=batch.approved_fen,
        by_state=tuple(
            Tally(key=key, label=PAYMENT_LABELS[key], payments=count, fen=fen)
            for key, count, fen in by_state
        ),
        by_benefit=tuple(
            Tally(key=key, label=names[key].name, payments=count, fen=fen)
            for key, count, fen in by_benefit
        ),
        findings=tuple(
            Tally(key=kind, label=FINDING_LABELS.get(str(kind), str(kind)), payments=count, fen=fen)
            for kind, count, fen in findings
        ),
        signatures=signature_views(uow, batch.id),
        sums=sums(uow, batch),
        profile=batch.profile,
        file_id=batch.file_id,
        file_sha256=batch.file_sha256,
        file_lines=batch.file_lines,
        file_fen=batch.file_fen,
        of_batch_no=of_batch.batch_no if of_batch else None,
    )


def _kind(batch: BatchRow) -> Any:
    assert batch.kind in get_args(BatchKind)
    return batch.kind


def _tallies(
    uow: UnitOfWork, column: Any, batch_id: uuid.UUID, *where: Any
) -> list[tuple[str, int, int]]:
    found = uow.session.execute(
        select(column, func.count(), cast(func.sum(PaymentRow.fen), BigInteger))
        .where(PaymentRow.batch_id == batch_id, *where)
        .group_by(column)
        .order_by(column)
    )
    return [(key, count, fen) for key, count, fen in found]
