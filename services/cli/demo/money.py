"""The money of the demo: budget, a whole cycle with its bank, re-payment, the next month."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from stdnum import luhn

from services.cli.demo.world import World
from services.contracts.commands import funding
from services.contracts.commands.registry import ConfirmAccountChange, RequestAccountChange
from services.contracts.errors import Conflict

BENEFITS = (
    "urban_dibao",
    "rural_dibao",
    "tekun",
    "orphan",
    "de_facto_orphan",
    "disability_living",
    "disability_care",
    "elderly",
    "temporary_aid",
)
YEAR = 2026
PLENTY_FEN = 2_000_000_00 * 1_000
CYCLE = "2026-11"
FAIL_ONE_IN = 60
"""How many lines of the cycle the bank refuses; none of those whose account was put right."""
NEXT_CYCLE = "2026-12"
LOOKS = 5
"""How often a signer looks again at a sum that goes on changing."""
COMPUTED_ON = date(2026, 11, 10)
RETURNED_ON = date(2026, 11, 12)
REPAID_ON = date(2026, 11, 16)
NEXT_COMPUTED_ON = date(2026, 12, 8)


@dataclass
class Paid:
    """A batch that went through the bank: its last view and its files."""

    batch: funding.BatchView
    bank_file: Path
    return_file: Path
    answer: funding.ReturnView


def endow(world: World) -> None:
    """The year's budget, cash, and the town's 备用金."""
    finance = world["finance_officer"]
    for benefit in BENEFITS:
        finance.ask(
            funding.AllotBudget(
                year=YEAR,
                benefit=benefit,
                fen=PLENTY_FEN,
                document_no=f"洪财社〔2026〕1号-{benefit}",
            )
        )
    finance.ask(
        funding.DepositFunds(fen=PLENTY_FEN * len(BENEFITS), document_no="洪财库〔2026〕1号")
    )
    replenish(world, "洪财社〔2026〕2号")


def replenish(world: World, document_no: str) -> funding.BatchView:
    """Fill the town's 备用金 up by a batch with both signatures."""
    clerk = world["funding_clerk"]
    opened = clerk.ask(funding.OpenReplenishment(towns=(world.village[:9],)))
    return _lock(world, opened, document_no)


def pay(
    world: World,
    batch: str,
    document_no: str,
    folder: Path,
    *,
    fail_one_in: int = FAIL_ONE_IN,
    leave_out: int = 0,
) -> Paid:
    """Compute, check, sign twice, lock, write the file, let the bank answer, read the answer."""
    clerk = world["funding_clerk"]
    _lock(world, compute(world, batch), document_no)
    exported = clerk.ask(funding.ExportBatch(batch=batch))
    assert exported.file_id is not None
    bank_file = clerk.download("funding", exported.file_id, folder)
    return_file = folder / f"return-{exported.batch_no}.xlsx"
    bank(bank_file, return_file, world.seed, fail_one_in, leave_out)
    file_id = clerk.upload("funding", return_file)
    answer = clerk.ask(funding.SettleBatch(batch=batch, file_id=file_id))
    return Paid(clerk.ask(funding.ShowBatch(batch=batch)), bank_file, return_file, answer)


def compute(world: World, batch: str) -> funding.BatchView:
    """Compute and check only."""
    clerk = world["funding_clerk"]
    clerk.ask(funding.ComputeBatch(batch=batch))
    return clerk.ask(funding.CheckBatch(batch=batch))


def mend_accounts(world: World, batch: str) -> int:
    """For each failed payment a new account, asked for by one person and confirmed by another."""
    clerk, mended = world["funding_clerk"], 0
    after = None
    while True:
        page = clerk.ask(funding.ListPayments(batch=batch, state="failed", after=after, limit=200))
        for payment in page.payments:
            change = world["county_window"].ask(
                RequestAccountChange(
                    person_id=payment.payee_person_id,
                    account_name=payment.payee_name or "",
                    account_number=_new_card(mended),
                    bank="农商银行",
                    reason=f"银行退回：{payment.reason}",
                )
            )
            world["county_decider"].ask(ConfirmAccountChange(change_id=change.change_id))
            mended += 1
        if page.after is None or not page.payments:
            return mended
        after = page.after


def _lock(world: World, checked: funding.BatchView, document_no: str) -> funding.BatchView:
    """Both signatures under the sum they saw, then the lock."""
    batch, total = checked.batch_no, _reviewed(world, checked)
    world["finance_officer"].ask(
        funding.SignBatch(batch=batch, seat="release", total_fen=total, document_no=document_no)
    )
    return world["funding_clerk"].ask(funding.LockBatch(batch=batch))


def _reviewed(world: World, checked: funding.BatchView) -> int:
    """审核 under the sum shown, or the new one when a death changed it meanwhile."""
    auditor, batch, total = world["civil_auditor"], checked.batch_no, checked.computed_fen
    for _ in range(LOOKS):
        try:
            auditor.ask(funding.SignBatch(batch=batch, seat="review", total_fen=total))
        except Conflict as refused:
            if refused.reason != "total_changed":
                raise
            total = auditor.ask(funding.ShowBatch(batch=batch)).computed_fen
        else:
            return total
    raise RuntimeError(f"批次 {batch} 的金额一直在变")


def bank(
    bank_file: Path, return_file: Path, seed: int, fail_one_in: int, leave_out: int = 0
) -> None:
    """The bank: a program of its own that sees only the file; it may leave lines unanswered."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "deploy.local.bank_simulator",
            str(bank_file),
            str(return_file),
            "--seed",
            str(seed),
            "--fail-one-in",
            str(fail_one_in),
            "--leave-out",
            str(leave_out),
        ],
        check=True,
    )


def _new_card(number: int) -> str:
    body = f"62179990{number:010d}"
    return body + str(luhn.calc_check_digit(body))
