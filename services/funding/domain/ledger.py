"""The ledger: append-only transfers between accounts, each with a debit, a credit and fen > 0.

A transfer is balanced by construction, so the books cannot fail to balance; what can be wrong is a
missing or a doubled step, and ``(payment, due, step)`` is unique.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from services.contracts.money import Fen


class Account(StrEnum):
    """The accounts of the books; the value is the name on the page."""

    AID = "救助支出"
    PAYABLE = "应付"
    IN_TRANSIT = "在途"
    FUNDS = "资金账户"
    RESERVE = "备用金"
    RECEIVABLE = "应收"
    WRITTEN_OFF = "核销"


class Step(StrEnum):
    """Why money moves between two accounts."""

    LOCKED = "locked"
    VOIDED = "voided"
    RELOCKED = "relocked"
    """A due whose 应付 stands (its payment failed) moves into a re-payment batch."""
    WITHDRAWN = "withdrawn"
    SENT = "sent"
    SETTLED = "settled"
    FAILED = "failed"
    RETURNED = "returned"
    RECOVERY_RAISED = "recovery_raised"
    RECOVERY_CANCELLED = "recovery_cancelled"
    RECOVERED = "recovered"
    WRITTEN_OFF = "written_off"
    WRITE_OFF_REVERSED = "write_off_reversed"
    """What was written off turns out to be rightly his who had it."""
    PAID_FROM_RESERVE = "paid_from_reserve"
    RESERVE_REPLENISHED = "reserve_replenished"


ENTRIES: dict[Step, tuple[Account, Account]] = {
    Step.LOCKED: (Account.AID, Account.PAYABLE),
    Step.RELOCKED: (Account.PAYABLE, Account.PAYABLE),
    Step.VOIDED: (Account.PAYABLE, Account.AID),
    Step.WITHDRAWN: (Account.PAYABLE, Account.AID),
    Step.SENT: (Account.IN_TRANSIT, Account.FUNDS),
    Step.SETTLED: (Account.PAYABLE, Account.IN_TRANSIT),
    Step.FAILED: (Account.FUNDS, Account.IN_TRANSIT),
    Step.RETURNED: (Account.FUNDS, Account.PAYABLE),
    Step.RECOVERY_RAISED: (Account.RECEIVABLE, Account.AID),
    Step.RECOVERY_CANCELLED: (Account.AID, Account.RECEIVABLE),
    Step.RECOVERED: (Account.FUNDS, Account.RECEIVABLE),
    Step.WRITTEN_OFF: (Account.WRITTEN_OFF, Account.RECEIVABLE),
    Step.WRITE_OFF_REVERSED: (Account.RECEIVABLE, Account.WRITTEN_OFF),
    Step.PAID_FROM_RESERVE: (Account.PAYABLE, Account.RESERVE),
    Step.RESERVE_REPLENISHED: (Account.RESERVE, Account.FUNDS),
}
"""Debit and credit of each step."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One transfer of the ledger."""

    step: Step
    fen: Fen

    def __post_init__(self) -> None:
        if self.fen <= 0:
            raise ValueError("分录金额须大于零")

    @property
    def debit(self) -> Account:
        """The account that is debited."""
        return ENTRIES[self.step][0]

    @property
    def credit(self) -> Account:
        """The account that is credited."""
        return ENTRIES[self.step][1]


def balances(transfers: Iterable[Transfer]) -> dict[Account, Fen]:
    """Debits less credits of every account; they always add up to zero."""
    sums = dict.fromkeys(Account, 0)
    for transfer in transfers:
        sums[transfer.debit] += transfer.fen
        sums[transfer.credit] -= transfer.fen
    return sums


@dataclass(frozen=True, kw_only=True)
class FiveSums:
    """The five sums of a batch that must agree to the fen."""

    approved_less_withdrawn: Fen
    lock_transfers_less_withdrawals: Fen
    bank_file: Fen | None
    answered: Fen | None
    unanswered: Fen | None

    @property
    def agree(self) -> bool:
        """Whether all sums known so far are the same."""
        known = {self.approved_less_withdrawn, self.lock_transfers_less_withdrawals}
        if self.bank_file is not None:
            known.add(self.bank_file)
            known.add((self.answered or 0) + (self.unanswered or 0))
        return len(known) == 1
