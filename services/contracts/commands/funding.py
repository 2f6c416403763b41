"""What the edge may ask of funding: batches and their steps, payments, budgets, recoveries.

``batch`` is an id, a batch number (``FF202611-0007``) or a month (``2026-11``: that month's cycle).
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from services.contracts.commands.common import Traced
from services.contracts.events.funding import WorkingLine
from services.contracts.requests import Command, Query

# -- batches ---------------------------------------------------------------------------------------

BatchKind = Literal["monthly", "one_off", "repayment", "urgent", "replenishment"]


class SignatureView(msgspec.Struct, frozen=True, kw_only=True):
    """A signature: who, in which seat and role, on exactly what."""

    seat: str
    seat_label: str
    actor_name: str
    role_label: str
    as_deputy: bool
    signed_on: date
    document_no: str | None
    payments: int
    total_fen: int
    content_sha256: str


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many payments stand in a state (or under a heading) and their sum."""

    key: str
    label: str
    payments: int
    fen: int


class FiveSumsView(msgspec.Struct, frozen=True, kw_only=True):
    """The five sums of a batch, in fen; ``agree`` when all that are known are the same."""

    approved_less_withdrawn: int
    lock_transfers_less_withdrawals: int
    bank_file: int | None
    settled: int | None
    failed: int | None
    unanswered: int | None
    agree: bool


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch: what it is, where it stands, what is in it, who signed, whether its sums agree."""

    batch_id: UUID
    batch_no: str
    kind: BatchKind
    kind_label: str
    division: str
    month: str
    state: str
    state_label: str
    next_steps: tuple[str, ...]
    maker_name: str
    opened_on: date
    payments: int
    people: int
    computed_fen: int
    approved_fen: int | None
    by_state: tuple[Tally, ...]
    by_benefit: tuple[Tally, ...]
    findings: tuple[Tally, ...]
    signatures: tuple[SignatureView, ...]
    sums: FiveSumsView | None
    profile: str | None
    file_id: UUID | None
    file_sha256: str | None
    file_lines: int | None
    file_fen: int | None
    of_batch_no: str | None = None


class OpenBatch(Command[BatchView], frozen=True, kw_only=True):
    """Open a month's cycle, or a batch of one-off aid (``kind="one_off"``) on any day."""

    month: str
    kind: Literal["monthly", "one_off"] = "monthly"


class ComputeBatch(Command[BatchView], frozen=True, kw_only=True):
    """Work out dues and payments of a batch, set-based; may be repeated until it is signed."""

    timeout: ClassVar[float] = 600.0

    batch: str


class CheckBatch(Command[BatchView], frozen=True, kw_only=True):
    """Check a computed batch: who cannot be paid and why, what does not fit the budget."""

    timeout: ClassVar[float] = 600.0

    batch: str


class SignBatch(Command[BatchView], frozen=True, kw_only=True):
    """Sign: 审核 (civil affairs) or 核拨 (finance, with a document number).

    ``total_fen`` is the sum the signer saw; another sum is refused.
    """

    timeout: ClassVar[float] = 120.0

    batch: str
    seat: Literal["review", "release"]
    total_fen: int
    document_no: str | None = None


class SendBackBatch(Command[BatchView], frozen=True, kw_only=True):
    """Send a signed, not yet locked batch back to be computed again; its signatures fall away."""

    batch: str
    reason: str


class DiscardBatch(Command[BatchView], frozen=True, kw_only=True):
    """Give up a batch that nobody has signed yet."""

    batch: str
    reason: str


class LockBatch(Command[BatchView], frozen=True, kw_only=True):
    """Lock what both signed: the ledger and the budget take it; the stop list is joined again."""

    timeout: ClassVar[float] = 600.0

    batch: str


class VoidBatch(Command[BatchView], frozen=True, kw_only=True):
    """One of the two signatures that void a locked batch before it is sent."""

    timeout: ClassVar[float] = 600.0

    batch: str
    seat: Literal["review", "release"]
    reason: str


class ExportBatch(Command[BatchView], frozen=True, kw_only=True):
    """Write the bank file and hand the batch over. Asked again: the same file, byte for byte."""

    timeout: ClassVar[float] = 600.0

    batch: str
    profile: str = "card_xlsx"


class ReturnProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a row of a return file cannot be believed."""

    row: int
    field: str
    problem: str
    advice: str


class ReturnView(msgspec.Struct, frozen=True, kw_only=True):
    """What a return file said. With problems nothing was applied."""

    batch_no: str
    applied: bool
    already_read: bool
    rows: int
    settled: int
    settled_fen: int
    failed: int
    failed_fen: int
    returned: int
    returned_fen: int
    unanswered: int
    unanswered_fen: int
    failures: tuple[Tally, ...]
    problems: tuple[ReturnProblem, ...]
    problem_count: int


class SettleBatch(Command[ReturnView], frozen=True, kw_only=True):
    """Read a return file (uploaded before) into a sent batch; all of it or nothing."""

    timeout: ClassVar[float] = 600.0

    batch: str
    file_id: UUID


class OpenRepayment(Command[BatchView], frozen=True, kw_only=True):
    """Open a batch that pays what failed or was returned in ``batch``; then compute it."""

    batch: str


class OpenReplenishment(Command[BatchView], frozen=True, kw_only=True):
    """Open a batch that fills the towns' 备用金 up to the policy; two sign, the lock moves it."""

    towns: tuple[str, ...] = ()


class ShowBatch(Query[BatchView], frozen=True, kw_only=True):
    """A batch with its tallies, signatures and five sums."""

    timeout: ClassVar[float] = 60.0

    batch: str


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """A batch in a list."""

    batch_id: UUID
    batch_no: str
    kind: str
    kind_label: str
    month: str
    state: str
    state_label: str
    payments: int
    people: int
    computed_fen: int
    opened_on: date


class ListBatches(Query[list[BatchRow]], frozen=True, kw_only=True):
    """Batches, newest first; ``before_serial`` pages on."""

    month: str | None = None
    states: tuple[str, ...] = ()
    before_serial: int | None = None
    limit: int = 50


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of a check."""

    finding_id: int
    kind: str
    kind_label: str
    held: bool
    payment_id: UUID | None
    person_id: UUID | None
    person_name: str | None
    division: str | None
    benefit: str | None
    fen: int | None
    message: str


class ListFindings(Query[list[FindingView]], frozen=True, kw_only=True):
    """Findings of a batch's check, by kind; ``after`` is the last ``finding_id`` seen."""

    batch: str
    kind: str | None = None
    after: int = 0
    limit: int = 100


# -- payments --------------------------------------------------------------------------------------


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment; the account shows its last four digits only."""

    payment_id: UUID
    batch_id: UUID
    batch_no: str
    payee_person_id: UUID
    payee_name: str | None
    household_id: UUID
    division: str
    benefit: str
    benefit_name: str
    month: str
    fen: int
    state: str
    state_label: str
    line_no: int | None
    account_masked: str
    reason_code: str | None
    reason: str | None


class PaymentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of payments and how many there are in all; ``after`` goes into the next query."""

    payments: tuple[PaymentView, ...]
    total: int
    total_fen: int
    after: UUID | None


class ListPayments(Query[PaymentPage], frozen=True, kw_only=True):
    """Payments of a batch or of a household, by id."""

    batch: str | None = None
    household_id: UUID | None = None
    state: str | None = None
    after: UUID | None = None
    limit: int = 50


class DueView(msgspec.Struct, frozen=True, kw_only=True):
    """A due within a payment."""

    due_id: int
    person_id: UUID
    person_name: str | None
    month: str
    part: str
    part_label: str
    cause: str
    fen: int
    state: str


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """Transfers of a payment, by step."""

    step: str
    debit: str
    credit: str
    fen: int
    count: int
    business_on: date
    reason: str | None


class TermView(msgspec.Struct, frozen=True, kw_only=True):
    """An amount with its working and the policy it rests on."""

    from_month: str
    to_month: str | None
    fen: int
    policy_id: str | None
    policy_fen: int | None
    policy_source: str | None
    policy_clause: str | None
    working: tuple[WorkingLine, ...]


class EntitlementView(msgspec.Struct, frozen=True, kw_only=True):
    """An entitlement: the decision it rests on, its people, its amounts over time."""

    entitlement_id: UUID
    case_id: UUID
    case_no: str
    decision_id: UUID
    decision_no: str
    decided_on: date
    basis: str
    basis_label: str
    benefit: str
    benefit_name: str
    household_id: UUID
    division: str
    payee_person_id: UUID
    payee_name: str | None
    covered: tuple[UUID, ...]
    covered_names: tuple[str, ...]
    from_month: str
    last_month: str | None
    state: str
    state_label: str
    end_reason: str | None
    fen: int
    terms: tuple[TermView, ...]


class PaymentChain(msgspec.Struct, frozen=True, kw_only=True):
    """A payment from policy to return: each yuan's reasons, in order."""

    payment: PaymentView
    entitlement: EntitlementView
    dues: tuple[DueView, ...]
    batch: BatchRow
    signatures: tuple[SignatureView, ...]
    transfers: tuple[TransferView, ...]
    file_name: str | None
    file_sha256: str | None
    return_file_sha256: str | None
    return_row: int | None
    attempts: tuple[PaymentView, ...]
    """All payments that ever tried the same dues, this one included."""


class ShowPayment(Query[PaymentChain], frozen=True, kw_only=True):
    """The whole chain of one payment."""

    payment_id: UUID


class ListEntitlements(Query[list[EntitlementView]], frozen=True, kw_only=True):
    """Entitlements of a case, a household or a person (one of them must be given)."""

    case_id: UUID | None = None
    household_id: UUID | None = None
    person_id: UUID | None = None


# -- the old system's file -------------------------------------------------------------------------


class OldFileDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One account whose sum differs between the old system's file and our batch."""

    kind: Literal["only_old", "only_new", "amount"]
    name: str
    account_masked: str
    old_fen: int | None
    new_fen: int | None
    reason: str
    division: str | None = None
    benefits: tuple[str, ...] = ()


class OldFileComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The parallel month of a go-live: what differs, person by person."""

    batch_no: str
    old_lines: int
    old_fen: int
    new_lines: int
    new_fen: int
    equal: int
    differing: int
    differences: tuple[OldFileDifference, ...]


class CompareOldFile(Query[OldFileComparison], frozen=True, kw_only=True):
    """Compare a computed batch with the old system's last bank file (uploaded before).

    The workbook has columns 户名 (or 姓名), 账号 (or 卡号) and 金额; at most ``limit`` differences
    come back, the largest first.
    """

    timeout: ClassVar[float] = 300.0

    batch: str
    file_id: UUID
    limit: int = 1000


# -- deputies, budgets, cash, recoveries -----------------------------------------------------------


class DeputyView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign for a role between two days."""

    deputy_id: UUID
    staff_id: str
    staff_name: str | None
    role: str
    role_label: str
    from_day: date
    to_day: date
    document_no: str


class AppointDeputy(Command[DeputyView], frozen=True, kw_only=True):
    """Let a member of staff sign for 民政审核 or 财政核拨 between two days (both included)."""

    staff_id: UUID
    role: Literal["civil_auditor", "finance_officer"]
    from_day: date
    to_day: date
    document_no: str


class ListDeputies(Query[list[DeputyView]], frozen=True, kw_only=True):
    """Deputies, newest first."""


class BudgetLineView(msgspec.Struct, frozen=True, kw_only=True):
    """A budget line of the county for a benefit and year."""

    year: int
    benefit: str
    benefit_name: str
    allotted_fen: int
    used_fen: int
    left_fen: int


class FundAccountView(msgspec.Struct, frozen=True, kw_only=True):
    """资金账户 of the county or 备用金 of a town."""

    kind: Literal["funds", "reserve"]
    kind_label: str
    division: str
    balance_fen: int


class BudgetView(msgspec.Struct, frozen=True, kw_only=True):
    """All lines of a year, and the accounts."""

    year: int
    lines: tuple[BudgetLineView, ...]
    accounts: tuple[FundAccountView, ...]


class AllotBudget(Command[BudgetView], frozen=True, kw_only=True):
    """Add to a budget line. The same document number for the same line counts once."""

    year: int
    benefit: str
    fen: int
    document_no: str


class DepositFunds(Command[BudgetView], frozen=True, kw_only=True):
    """Money arrives on 资金账户. The same document number counts once."""

    fen: int
    document_no: str


class ShowBudget(Query[BudgetView], frozen=True, kw_only=True):
    """Budget lines of a year and account balances."""

    year: int


class AccountBalance(msgspec.Struct, frozen=True, kw_only=True):
    """Debits less credits of a ledger account."""

    account: str
    debit_fen: int
    credit_fen: int
    balance_fen: int


class ShowLedger(Query[list[AccountBalance]], frozen=True, kw_only=True):
    """Balances of the ledger, of all of it or of one batch."""

    timeout: ClassVar[float] = 60.0

    batch: str | None = None


class RecoveryView(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid too much to a person for a month."""

    recovery_id: UUID
    person_id: UUID
    person_name: str | None
    household_id: UUID
    division: str
    benefit: str
    benefit_name: str
    month: str
    fen: int
    recovered_fen: int
    written_off_fen: int
    open_fen: int
    reason: str
    cancelled: bool
    raised_on: date


class ListRecoveries(Query[list[RecoveryView]], frozen=True, kw_only=True):
    """Recoveries in the actor's sight, oldest first; ``after`` is the last one seen."""

    household_id: UUID | None = None
    only_open: bool = False
    after: UUID | None = None
    limit: int = 100


class RecordRecovery(Command[RecoveryView], frozen=True, kw_only=True):
    """Money came back: 资金账户 takes it. The same document number counts once."""

    recovery_id: UUID
    fen: int
    document_no: str


class WriteOffRecovery(Command[RecoveryView], frozen=True, kw_only=True):
    """What cannot be got back is written off (核销), with its document."""

    recovery_id: UUID
    fen: int
    document_no: str


class CloseHeldDues(Command[int], frozen=True, kw_only=True):
    """Close what is still owed to the household of somebody who died; gives how many dues."""

    household_id: UUID
    reason: str
    document_no: str


class TracePayments(Query[list[Traced]], frozen=True, kw_only=True):
    """The steps of the batches that paid a case's benefits, and their traces."""

    case_id: UUID
