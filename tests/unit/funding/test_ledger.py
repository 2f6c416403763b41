"""The books of a batch: a random life of its payments against a plain-Python oracle."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.funding.domain.ledger import Account, FiveSums, Step, Transfer, balances


class LifeOfPayments(RuleBasedStateMachine):
    """Payments are locked, withdrawn, sent, settled, failed, returned; each step is a transfer."""

    def __init__(self) -> None:
        super().__init__()
        self.payments: dict[int, tuple[str, int]] = {}
        self.transfers: list[Transfer] = []
        self.cash_out = 0

    def _move(self, before: str, after: str, step: Step) -> None:
        for number, (state, fen) in self.payments.items():
            if state == before:
                self.payments[number] = (after, fen)
                self.transfers.append(Transfer(step=step, fen=fen))
                return

    @rule(fen=st.integers(1, 10**9))
    def lock(self, fen: int) -> None:
        self.payments[len(self.payments)] = ("locked", fen)
        self.transfers.append(Transfer(step=Step.LOCKED, fen=fen))

    @rule(step=st.sampled_from([Step.WITHDRAWN, Step.VOIDED]))
    def withdraw(self, step: Step) -> None:
        self._move("locked", "withdrawn", step)

    @rule()
    def send(self) -> None:
        self._move("locked", "sent", Step.SENT)

    @rule()
    def settle(self) -> None:
        self._move("sent", "settled", Step.SETTLED)

    @rule()
    def fail(self) -> None:
        self._move("sent", "failed", Step.FAILED)

    @rule()
    def give_back(self) -> None:
        self._move("settled", "returned", Step.RETURNED)

    @invariant()
    def books_say_what_happened(self) -> None:
        """Zero-sum, and each account equals what the states of the payments imply."""
        sums = balances(self.transfers)
        by_state = dict.fromkeys(
            ("locked", "withdrawn", "sent", "settled", "failed", "returned"), 0
        )
        for state, fen in self.payments.values():
            by_state[state] += fen
        owed = by_state["locked"] + by_state["sent"] + by_state["failed"] + by_state["returned"]
        assert sum(sums.values()) == 0
        assert -sums[Account.PAYABLE] == owed
        assert sums[Account.IN_TRANSIT] == by_state["sent"]
        assert -sums[Account.FUNDS] == by_state["sent"] + by_state["settled"]
        assert sums[Account.AID] == owed + by_state["settled"]


LifeOfPayments.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestLifeOfPayments = LifeOfPayments.TestCase


@pytest.mark.parametrize("fen", [0, -1])
def test_a_transfer_is_more_than_zero(fen: int) -> None:
    """Nothing moves nothing, and nothing moves backwards."""
    with pytest.raises(ValueError, match="大于零"):
        Transfer(step=Step.SENT, fen=fen)


def test_one_wrong_sum_is_seen() -> None:
    """The five sums agree only when every one of them does."""
    sums = {
        "approved_less_withdrawn": 10,
        "lock_transfers_less_withdrawals": 10,
        "bank_file": 10,
        "answered": 7,
        "unanswered": 3,
    }
    assert FiveSums(**sums).agree
    for name, fen in sums.items():
        assert not FiveSums(**(sums | {name: fen + 1})).agree, name
