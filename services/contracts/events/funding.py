"""What funding says: quotes, entitlements, cycles, payments, recoveries."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import msgspec

from services.contracts.events.base import Audience, AuditAnchored, Event, Privacy, event


class WorkingLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an amount's working: what, from where, how much (fen, may be negative)."""

    label: str
    source: str
    fen: int


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """Why a benefit cannot be granted as asked: an exclusion or a duplicate, with its clause."""

    benefit: str
    person_id: UUID
    other_benefit: str
    clause: str
    blocking: bool
    message: str


class QuotedBenefit(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's answer for one benefit asked."""

    benefit: str
    amount_fen: int
    one_off: bool
    policy_id: str
    working: tuple[WorkingLine, ...]


@event("entitlement.quoted.v1", audience=Audience.INTERNAL, subject="case_id")
class EntitlementQuoted(Event, frozen=True, kw_only=True):
    """测算结果：按政策逐行算出的金额与互斥核对。"""

    quote_id: UUID
    case_id: UUID
    round: int
    division: str
    benefits: tuple[QuotedBenefit, ...]
    obstacles: tuple[Obstacle, ...] = ()
    child: bool = False


@event("entitlement.granted.v1", audience=Audience.BUREAUS, subject="entitlement_id")
class EntitlementGranted(Event, frozen=True, kw_only=True):
    """待遇生效：某人自某月起享受某项待遇（不含金额）。"""

    entitlement_id: UUID
    case_id: UUID
    household_id: UUID
    person_ids: tuple[UUID, ...]
    benefit: str
    division: str
    from_month: date | None
    child: bool = False


@event("entitlement.closed.v1", audience=Audience.BUREAUS, subject="entitlement_id")
class EntitlementClosed(Event, frozen=True, kw_only=True):
    """待遇终止（对外）：不含原因，原因可能涉及收入或疾病。"""

    entitlement_id: UUID
    household_id: UUID
    person_ids: tuple[UUID, ...]
    benefit: str
    division: str
    last_month: date | None
    child: bool = False


@event("entitlement.ended.v1", audience=Audience.INTERNAL, subject="entitlement_id")
class EntitlementEnded(Event, frozen=True, kw_only=True):
    """待遇终止：``last_month`` 是最后应发月份的第一天，从未应发时为空。

    ``end_id`` names this end: only ``entitlement.reopened`` with the same one undoes it.
    """

    entitlement_id: UUID
    case_id: UUID
    household_id: UUID
    person_ids: tuple[UUID, ...]
    benefit: str
    division: str
    last_month: date | None
    reason: str
    child: bool = False
    end_id: str = ""


@event("entitlement.reopened.v1", audience=Audience.INTERNAL, subject="entitlement_id")
class EntitlementReopened(Event, frozen=True, kw_only=True):
    """待遇恢复：编号为 ``end_id`` 的那次终止被撤销（如死亡误登），其他终止不受影响。"""

    entitlement_id: UUID
    case_id: UUID
    household_id: UUID
    person_ids: tuple[UUID, ...]
    benefit: str
    division: str
    from_month: date
    end_id: str
    child: bool = False


@event("entitlement.refused.v1", audience=Audience.INTERNAL, subject="decision_id")
class EntitlementRefused(Event, frozen=True, kw_only=True):
    """决定未能生效：与在享待遇互斥或重复，退回案件复核。"""

    decision_id: UUID
    case_id: UUID
    division: str
    benefit: str
    reason: str
    clause: str | None = None


@event("cycle.locked.v1", audience=Audience.BUREAUS, privacy=Privacy.OPEN, subject="batch_id")
class CycleLocked(Event, frozen=True, kw_only=True):
    """发放批次锁定：月份、笔数与金额。"""

    batch_id: UUID
    division: str
    month: date
    kind: str
    payments: int
    total_fen: int


@event("cycle.settled.v1", audience=Audience.BUREAUS, privacy=Privacy.OPEN, subject="batch_id")
class CycleSettled(Event, frozen=True, kw_only=True):
    """发放批次对账完成：成功与失败的笔数、金额。"""

    batch_id: UUID
    division: str
    month: date
    settled_payments: int
    settled_fen: int
    failed_payments: int
    failed_fen: int


@event("payment.settled.v1", audience=Audience.INTERNAL, subject="payment_id")
class PaymentSettled(Event, frozen=True, kw_only=True):
    """一笔付款到账。"""

    payment_id: UUID
    payee_person_id: UUID
    household_id: UUID
    division: str
    month: date
    benefits: tuple[str, ...]
    amount_fen: int
    settled_on: date
    child: bool = False


@event("payment.failed.v1", audience=Audience.INTERNAL, subject="payment_id")
class PaymentFailed(Event, frozen=True, kw_only=True):
    """一笔付款失败：原因与建议，交责任人核实账户。"""

    payment_id: UUID
    payee_person_id: UUID
    household_id: UUID
    division: str
    month: date
    benefits: tuple[str, ...]
    amount_fen: int
    reason_code: str
    reason: str
    child: bool = False


@event("import.locked.v1", audience=Audience.INTERNAL, subject="import_id")
class ImportLocked(Event, frozen=True, kw_only=True):
    """某次花名册导入带入的待遇已首次锁定付款：此后不可撤销导入。"""

    import_id: UUID
    division: str
    batch_id: UUID


@event("import.released.v1", audience=Audience.INTERNAL, subject="import_id")
class ImportReleased(Event, frozen=True, kw_only=True):
    """某次花名册导入尚无待遇锁定付款，其待遇已全部作废：登记服务可以撤销导入。"""

    import_id: UUID
    division: str


@event("recovery.raised.v1", audience=Audience.INTERNAL, subject="recovery_id")
class RecoveryRaised(Event, frozen=True, kw_only=True):
    """应追回：终止月份之后已付的款项。"""

    recovery_id: UUID
    person_id: UUID
    household_id: UUID
    division: str
    benefit: str
    months: tuple[date, ...]
    amount_fen: int
    reason: str


@event(
    "funding_audit.anchored.v1",
    audience=Audience.INTERNAL,
    privacy=Privacy.OPEN,
    subject="service",
    facet="audit",
)
class FundingAuditAnchored(AuditAnchored, frozen=True, kw_only=True):
    """资金服务审计链的链头，交另一服务见证。"""
