"""Funding's tables.

Money is BIGINT fen. Months are text ``2026-11``. The big tables (due, payment, payment_due,
transfer) are written and moved a batch at a time, so what changes stands in few, small columns.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import String, Uuid

from services.chassis.models import ColumnTypes, new_metadata


class Base(ColumnTypes, DeclarativeBase):
    """Base of funding's tables."""

    metadata = new_metadata()


LIVE_STATES = ("draft", "locked", "sent", "settled")
"""States of a payment whose dues may not be tried again."""


# --- policy ---------------------------------------------------------------------------------------


class BenefitRow(Base):
    """A benefit, as the policy files declare it."""

    __tablename__ = "benefit"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    priority: Mapped[int]
    unit: Mapped[str]
    months_after_death: Mapped[int]
    child: Mapped[bool]


class PolicyRow(Base):
    """A dated version of a policy for a division; once in the table its rule never changes."""

    __tablename__ = "policy"
    __table_args__ = (UniqueConstraint("benefit", "division", "effective_from"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    benefit: Mapped[str] = mapped_column(ForeignKey("benefit.code"))
    division: Mapped[str]
    effective_from: Mapped[str]
    effective_to: Mapped[str | None]
    source: Mapped[str]
    clause: Mapped[str]
    rule: Mapped[dict[str, Any]]


class ExclusionRow(Base):
    """Who holds ``held`` does not get ``benefit``."""

    __tablename__ = "exclusion"

    benefit: Mapped[str] = mapped_column(primary_key=True)
    held: Mapped[str] = mapped_column(primary_key=True)
    effect: Mapped[str]
    clause: Mapped[str]


# --- copies of what registry owns -----------------------------------------------------------------


class PersonCopy(Base):
    """What funding needs of a person: two facets, each with its own guard."""

    __tablename__ = "person"
    __table_args__ = (
        Index("ix_person_account", "account_index"),
        Index("ix_person_household", "household_id"),
    )

    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    household_id: Mapped[uuid.UUID | None]
    division: Mapped[str | None]
    name: Mapped[str | None]
    birth_date: Mapped[date | None]
    categories: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    disability: Mapped[str | None]
    epoch: Mapped[int | None]
    version: Mapped[int | None] = mapped_column(BigInteger)

    account_name: Mapped[bytes | None]
    account_number: Mapped[bytes | None]
    account_index: Mapped[bytes | None] = mapped_column(info={"index_of": "account_number"})
    account_last4: Mapped[str | None]
    bank: Mapped[str | None]
    account_changed_at: Mapped[datetime | None]
    account_carried_over: Mapped[bool | None]
    account_epoch: Mapped[int | None]
    account_version: Mapped[int | None] = mapped_column(BigInteger)


class HouseholdCopy(Base):
    """A household: whose account is paid for it."""

    __tablename__ = "household"

    household_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    household_no: Mapped[str]
    division: Mapped[str]
    head_person_id: Mapped[uuid.UUID | None]
    payee_person_id: Mapped[uuid.UUID | None]
    payee_changed_at: Mapped[datetime | None]
    epoch: Mapped[int]
    version: Mapped[int] = mapped_column(BigInteger)


class StaffCopy(Base):
    """A member of staff: for names and for deputies."""

    __tablename__ = "staff"

    staff_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    staff_no: Mapped[str]
    name: Mapped[str]
    division: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(String))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    active: Mapped[bool]
    epoch: Mapped[int]
    version: Mapped[int] = mapped_column(BigInteger)


# --- entitlements ---------------------------------------------------------------------------------


class QuoteRow(Base):
    """An answer to an assessment: the amounts with their working, kept for the decision."""

    __tablename__ = "quote"
    __table_args__ = (UniqueConstraint("case_id", "round"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    case_id: Mapped[uuid.UUID]
    round: Mapped[int]
    division: Mapped[str]
    benefits: Mapped[dict[str, Any]]
    """Benefit code → amount, policy id, working lines, shares by person."""
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


class EntitlementRow(Base):
    """A benefit that a decision gave to covered people, and who is paid for them."""

    __tablename__ = "entitlement"
    __table_args__ = (
        UniqueConstraint("decision_id", "position"),
        Index("ix_entitlement_case", "case_id"),
        Index("ix_entitlement_household", "household_id"),
        Index("ix_entitlement_import", "import_id", postgresql_where=text("import_id IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    case_id: Mapped[uuid.UUID]
    case_no: Mapped[str]
    decision_id: Mapped[uuid.UUID]
    decision_no: Mapped[str]
    position: Mapped[int] = mapped_column(SmallInteger)
    basis: Mapped[str]
    benefit: Mapped[str]
    household_id: Mapped[uuid.UUID]
    division: Mapped[str]
    payee_person_id: Mapped[uuid.UUID]
    one_off: Mapped[bool]
    child: Mapped[bool]
    from_month: Mapped[str]
    last_month: Mapped[str | None]
    state: Mapped[str]
    """active, ended or void."""
    end_reason: Mapped[str | None]
    end_cause: Mapped[str | None]
    """The decision or death that ended it; a revoked death is found by it."""
    decided_on: Mapped[date]
    counted_income_fen: Mapped[int | None] = mapped_column(BigInteger)
    single_person: Mapped[bool]
    traits: Mapped[dict[str, Any]]
    involved: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Uuid))
    quote_id: Mapped[uuid.UUID | None]
    import_id: Mapped[uuid.UUID | None]


class TermRow(Base):
    """The amount of an entitlement from one month on, with its working."""

    __tablename__ = "term"
    __table_args__ = (
        CheckConstraint("fen >= 0", name="fen"),
        Index("ix_term_entitlement", "entitlement_id", "from_month"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    entitlement_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("entitlement.id"))
    from_month: Mapped[str]
    to_month: Mapped[str | None]
    fen: Mapped[int] = mapped_column(BigInteger)
    policy_id: Mapped[str | None]
    policy_fen: Mapped[int | None] = mapped_column(BigInteger)
    """What the policy gives; may differ from a carried-over ``fen``."""
    working: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    cause: Mapped[str]
    """The decision, or the event of the death, that began this term."""


class ShareRow(Base):
    """A covered person's part of a term, by largest remainder."""

    __tablename__ = "share"
    __table_args__ = (
        CheckConstraint("fen >= 0", name="fen"),
        Index("ix_share_person", "person_id"),
    )

    term_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("term.id"), primary_key=True)
    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    fen: Mapped[int] = mapped_column(BigInteger)


class CoverageRow(Base):
    """Who is covered by what. A person has one active entitlement of a monthly benefit."""

    __tablename__ = "coverage"
    __table_args__ = (
        Index(
            "uq_coverage_active",
            "person_id",
            "benefit",
            unique=True,
            postgresql_where=text("active AND NOT one_off"),
        ),
        Index("ix_coverage_person", "person_id"),
    )

    entitlement_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("entitlement.id"), primary_key=True
    )
    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    benefit: Mapped[str]
    one_off: Mapped[bool]
    active: Mapped[bool]
    last_month: Mapped[str | None]
    end_cause: Mapped[str | None]


class StopRow(Base):
    """The stop list: nobody here is paid. Sticky; only a revocation naming the event lifts it."""

    __tablename__ = "stop"

    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    died_on: Mapped[date]
    source: Mapped[str]
    source_event_id: Mapped[str]
    stopped_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    revoked_by: Mapped[str | None]


class RevocationRow(Base):
    """A death revoked before its event arrived, or after: it never stops anybody again."""

    __tablename__ = "revocation"

    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    revokes: Mapped[str] = mapped_column(primary_key=True)
    source_event_id: Mapped[str]


class UnreconciledRow(Base):
    """Somebody whose dues are to be brought to the terms in force, as soon as nobody else does.

    A row for each time it was put off: whoever does it takes away those it has read and no other.
    """

    __tablename__ = "unreconciled"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[uuid.UUID]
    benefit: Mapped[str]
    cause: Mapped[str]
    reason: Mapped[str]
    noted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


# --- dues and payments ----------------------------------------------------------------------------


class OwedRow(Base):
    """Up to which month an entitlement's regular dues are made.

    A table of its own, so that a death changing the entitlement never waits for an open compute.
    """

    __tablename__ = "owed"

    entitlement_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    through: Mapped[str]


class DueRow(Base):
    """What is owed to one covered person for one benefit and month; see ``domain/dues.py``."""

    __tablename__ = "due"
    __table_args__ = (
        UniqueConstraint("person_id", "benefit", "month", "part", "cause"),
        CheckConstraint("fen > 0", name="fen"),
        Index(
            "ix_due_open", "entitlement_id", postgresql_where=text("state IN ('owed', 'payable')")
        ),
        Index("ix_due_entitlement", "entitlement_id", "month"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[uuid.UUID]
    benefit: Mapped[str]
    month: Mapped[str]
    part: Mapped[str]
    cause: Mapped[str] = mapped_column(server_default="")
    fen: Mapped[int] = mapped_column(BigInteger)
    entitlement_id: Mapped[uuid.UUID]
    term_id: Mapped[uuid.UUID | None]
    division: Mapped[str]
    household_id: Mapped[uuid.UUID]
    budget_year: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(server_default="owed")
    """owed; payable (应付 stands); paid; closed."""
    closed_reason: Mapped[str | None]


class BatchRow(Base):
    """A batch of payments: a month's cycle, one-off aid, re-payments, urgent aid, replenishment."""

    __tablename__ = "batch"
    __table_args__ = (
        UniqueConstraint("serial"),
        Index(
            "uq_batch_month",
            "division",
            "month",
            unique=True,
            postgresql_where=text("kind = 'monthly' AND state <> 'voided'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    serial: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    kind: Mapped[str]
    """monthly, one_off, repayment, urgent or replenishment."""
    division: Mapped[str]
    month: Mapped[str]
    state: Mapped[str]
    of_batch: Mapped[uuid.UUID | None]
    maker_id: Mapped[str]
    maker_name: Mapped[str]
    opened_on: Mapped[date]
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    locked_at: Mapped[datetime | None]
    """Business time of the lock: an account changed within 24 hours of it is not paid."""
    sent_on: Mapped[date | None]
    settled_on: Mapped[date | None]
    payments: Mapped[int] = mapped_column(server_default="0")
    people: Mapped[int] = mapped_column(server_default="0")
    computed_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    approved_fen: Mapped[int | None] = mapped_column(BigInteger)
    content_sha256: Mapped[str | None]
    profile: Mapped[str | None]
    file_id: Mapped[uuid.UUID | None]
    file_sha256: Mapped[str | None]
    file_lines: Mapped[int | None]
    file_fen: Mapped[int | None] = mapped_column(BigInteger)

    @property
    def batch_no(self) -> str:
        """The number on papers and files: ``FF202611-0007``."""
        return f"FF{self.month.replace('-', '')}-{self.serial:04d}"


class SignatureRow(Base):
    """Who signed a batch, in which seat, and exactly what they signed."""

    __tablename__ = "signature"
    __table_args__ = (
        Index(
            "uq_signature_seat",
            "batch_id",
            "seat",
            unique=True,
            postgresql_where=text("NOT withdrawn"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id"))
    seat: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    role: Mapped[str]
    as_deputy: Mapped[bool]
    document_no: Mapped[str | None]
    payments: Mapped[int]
    total_fen: Mapped[int] = mapped_column(BigInteger)
    content_sha256: Mapped[str]
    signed_on: Mapped[date]
    signed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    withdrawn: Mapped[bool] = mapped_column(server_default=text("false"))


class DeputyRow(Base):
    """A dated deputy for a signing role."""

    __tablename__ = "deputy"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    staff_id: Mapped[str]
    role: Mapped[str]
    division: Mapped[str]
    from_day: Mapped[date]
    to_day: Mapped[date]
    document_no: Mapped[str]
    appointed_by: Mapped[str]
    appointed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FindingRow(Base):
    """What a check found in a batch."""

    __tablename__ = "finding"
    __table_args__ = (Index("ix_finding_batch", "batch_id", "kind"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id"))
    kind: Mapped[str]
    held: Mapped[bool]
    """Whether the payment is left out of the batch because of it."""
    payment_id: Mapped[uuid.UUID | None]
    person_id: Mapped[uuid.UUID | None]
    division: Mapped[str | None]
    benefit: Mapped[str | None]
    fen: Mapped[int | None] = mapped_column(BigInteger)
    message: Mapped[str]


class PaymentRow(Base):
    """An attempt to pay dues of one entitlement to one account."""

    __tablename__ = "payment"
    __table_args__ = (
        Index("ix_payment_batch", "batch_id", "state"),
        Index("ix_payment_payee", "payee_person_id"),
        Index("ix_payment_entitlement", "entitlement_id"),
        Index("ix_payment_household", "household_id"),
        CheckConstraint("fen > 0", name="fen"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id"))
    entitlement_id: Mapped[uuid.UUID]
    payee_person_id: Mapped[uuid.UUID]
    household_id: Mapped[uuid.UUID]
    division: Mapped[str]
    benefit: Mapped[str]
    month: Mapped[str]
    fen: Mapped[int] = mapped_column(BigInteger)
    child: Mapped[bool]
    state: Mapped[str]
    """draft, held, short, locked, withdrawn, voided, sent, settled, failed or returned."""
    line_no: Mapped[int | None]
    account_index: Mapped[bytes | None] = mapped_column(info={"wanted_while": {"state": "sent"}})
    """Blind index and last digits of the account as it was sent, whatever it is now."""
    account_last4: Mapped[str | None]
    reason_code: Mapped[str | None]
    reason: Mapped[str | None]
    return_file_id: Mapped[uuid.UUID | None]
    return_row: Mapped[int | None]


class PaymentDueRow(Base):
    """Which dues a payment tries to pay. At most one live attempt for each due, ever."""

    __tablename__ = "payment_due"
    __table_args__ = (
        Index("uq_payment_due_live", "due_id", unique=True, postgresql_where=text("live")),
    )

    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payment.id"), primary_key=True)
    due_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("due.id"), primary_key=True)
    fen: Mapped[int] = mapped_column(BigInteger)
    live: Mapped[bool] = mapped_column(server_default=text("true"))


class ReturnFileRow(Base):
    """A return file that was read; the same file again changes nothing."""

    __tablename__ = "return_file"
    __table_args__ = (UniqueConstraint("batch_id", "sha256"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id"))
    file_id: Mapped[uuid.UUID]
    sha256: Mapped[str]
    rows: Mapped[int]
    settled: Mapped[int]
    settled_fen: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int]
    failed_fen: Mapped[int] = mapped_column(BigInteger)
    returned: Mapped[int]
    returned_fen: Mapped[int] = mapped_column(BigInteger)
    unanswered: Mapped[int]
    read_by: Mapped[str]
    read_on: Mapped[date]
    read_at: Mapped[datetime] = mapped_column(server_default=func.now())


# --- money ----------------------------------------------------------------------------------------


class TransferRow(Base):
    """The ledger. Append-only: a trigger refuses UPDATE, DELETE and TRUNCATE."""

    __tablename__ = "transfer"
    __table_args__ = (
        CheckConstraint("fen > 0", name="fen"),
        UniqueConstraint(
            "due_id", "payment_id", "step", "document", postgresql_nulls_not_distinct=True
        ),
        Index("ix_transfer_batch", "batch_id", "step"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    step: Mapped[str]
    debit: Mapped[str]
    credit: Mapped[str]
    fen: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[uuid.UUID | None]
    payment_id: Mapped[uuid.UUID | None]
    due_id: Mapped[int | None] = mapped_column(BigInteger)
    division: Mapped[str]
    document: Mapped[str] = mapped_column(server_default="")
    reason: Mapped[str | None]
    business_on: Mapped[date]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class BudgetLineRow(Base):
    """What a county may spend on a benefit in a budget year. Never below zero."""

    __tablename__ = "budget_line"
    __table_args__ = (
        CheckConstraint("used_fen >= 0 AND used_fen <= allotted_fen", name="not_overdrawn"),
    )

    division: Mapped[str] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    benefit: Mapped[str] = mapped_column(primary_key=True)
    allotted_fen: Mapped[int] = mapped_column(BigInteger)
    used_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")


class FundAccountRow(Base):
    """Cash: the county's 资金账户, and each town's 备用金. Never below zero."""

    __tablename__ = "fund_account"
    __table_args__ = (CheckConstraint("balance_fen >= 0", name="not_overdrawn"),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    """funds or reserve."""
    division: Mapped[str] = mapped_column(primary_key=True)
    balance_fen: Mapped[int] = mapped_column(BigInteger)


class AllotmentRow(Base):
    """Money allotted to a budget line or paid into an account, with its document."""

    __tablename__ = "allotment"
    __table_args__ = (UniqueConstraint("kind", "division", "year", "benefit", "document_no"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    """budget, funds or reserve."""
    division: Mapped[str]
    year: Mapped[int] = mapped_column(SmallInteger)
    benefit: Mapped[str] = mapped_column(server_default="")
    fen: Mapped[int] = mapped_column(BigInteger)
    document_no: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    business_on: Mapped[date]


class ReplenishmentRow(Base):
    """What a replenishment batch brings to a town's 备用金."""

    __tablename__ = "replenishment"
    __table_args__ = (CheckConstraint("fen > 0", name="fen"),)

    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id"), primary_key=True)
    town: Mapped[str] = mapped_column(primary_key=True)
    fen: Mapped[int] = mapped_column(BigInteger)


class RecoveryRow(Base):
    """What was paid too much, to be got back or written off."""

    __tablename__ = "recovery"
    __table_args__ = (
        UniqueConstraint("person_id", "benefit", "month", "cause"),
        CheckConstraint(
            "fen > 0 AND recovered_fen >= 0 AND written_off_fen >= 0"
            " AND recovered_fen + written_off_fen <= fen",
            name="sums",
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    entitlement_id: Mapped[uuid.UUID]
    person_id: Mapped[uuid.UUID]
    household_id: Mapped[uuid.UUID]
    division: Mapped[str]
    benefit: Mapped[str]
    month: Mapped[str]
    cause: Mapped[str]
    reason: Mapped[str]
    fen: Mapped[int] = mapped_column(BigInteger)
    recovered_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    written_off_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cancelled: Mapped[bool] = mapped_column(server_default=text("false"))
    raised_on: Mapped[date]


class RosterImportRow(Base):
    """A roster import seen through its decisions: locked once, or undone before."""

    __tablename__ = "roster_import"

    import_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    locked_batch: Mapped[uuid.UUID | None]
    undone: Mapped[bool] = mapped_column(server_default=text("false"))
