"""Bank files and return files on a real database: nothing wrong is ever applied."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import xlsxwriter
from sqlalchemy import text

from services.chassis import files
from services.contracts.commands import funding as c
from services.contracts.errors import Conflict, Invalid
from services.funding import budgets, comparison, queries
from tests.builders.funding import CLERK, COUNTY, FINANCE, TODAY, Office, bank_answers
from tests.fixtures.services import emitted


def sent_batch(office: Office, lines: int = 3, profile: str = "fixed_gbk") -> bytes:
    """A batch with the bank; gives its file."""
    office.money()
    for number in range(lines):
        office.grant(office.household(), "elderly", fen=5_000 + number)
    office.bring_to("locked")
    office.export("2026-11", profile)
    return office.file("2026-11")


def change(content: bytes, line: int, at: slice, new: bytes) -> bytes:
    """A return file with some bytes of a line replaced."""
    records = content.split(b"\r\n")
    record = records[line]
    records[line] = record[: at.start] + new + record[at.stop :]
    return b"\r\n".join(records)


LINES = 60
"""So many that the simulator's dice (accounts are drawn anew each run) both pay and refuse."""
REFERENCE, ACCOUNT, AMOUNT = slice(1, 13), slice(13, 45), slice(105, 119)


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda f: change(f, 1, REFERENCE, b"0001-0000009"), "备注"),
        (lambda f: change(f, 1, REFERENCE, b"0009-0000001"), "备注"),
        (lambda f: change(f, 2, REFERENCE, b"0001-0000001"), "备注"),
        (lambda f: change(f, 1, AMOUNT, b"00000000005009"), "金额"),
        (lambda f: change(f, 1, ACCOUNT, b"6222999999999999".ljust(32)), "账号"),
        (lambda f: change(f, 1, slice(119, 123), b"7777"), "处理标志"),
        (lambda f: change(f, 0, slice(29, 45), b"0000000000000001"), "合计金额"),
        (lambda f: b"\r\n".join([*f.split(b"\r\n")[:2], b""]), "笔数"),
    ],
)
def test_a_wrong_return_file_changes_nothing(
    office: Office, spoil: Callable[[bytes], bytes], field: str
) -> None:
    """Unknown lines, wrong sums, accounts, codes, a cut file: refused with row and field."""
    answer = bank_answers(sent_batch(office))
    refused = office.settle("2026-11", spoil(answer))
    assert not refused.applied
    assert field in {problem.field for problem in refused.problems}
    assert all(problem.advice for problem in refused.problems)
    view = office.view("2026-11")
    assert {t.key: t.payments for t in view.by_state} == {"sent": 3}
    with office.uow() as uow:
        steps = set(uow.session.execute(text("SELECT step FROM transfer")).scalars())
    assert steps == {"locked", "sent"}
    assert office.settle("2026-11", answer).settled == 3


def test_missing_lines_stay_alive_and_are_asked_after(office: Office) -> None:
    """What the bank forgot is neither paid nor re-paid; a second file answers it."""
    content = sent_batch(office)
    full = bank_answers(content, {2: "1001"})
    records = full.split(b"\r\n")
    total = sum(int(record[AMOUNT]) for record in records[1:3])
    head = records[0][:21] + b"%08d%016d" % (2, total)
    first = office.settle("2026-11", b"\r\n".join([head, *records[1:3], b""]))
    assert (first.settled, first.failed, first.unanswered) == (1, 1, 1)
    view = office.view("2026-11")
    assert view.state == "sent"
    assert view.sums is not None
    assert view.sums.agree
    assert view.sums.unanswered == 5_002 or view.sums.unanswered in (5_000, 5_001)
    december = office.open("2026-12")
    paid_again = office.compute(december.batch_no)
    assert paid_again.computed_fen == 15_003  # December only: nothing of November is re-paid
    second = office.settle("2026-11", full)
    assert (second.settled, second.failed, second.unanswered) == (1, 0, 0)
    final = office.view("2026-11")
    assert final.state == "settled"
    assert final.sums is not None
    assert final.sums.agree


def test_a_bounce_after_settlement_is_owed_again(office: Office) -> None:
    """退票: the money is back on 资金账户, the due can be re-paid, once."""
    content = sent_batch(office, 1)
    office.settle("2026-11", bank_answers(content))
    bounced = office.settle("2026-11", bank_answers(content, {1: "1003"}))
    assert (bounced.settled, bounced.returned, bounced.returned_fen) == (0, 1, 5_000)
    view = office.view("2026-11")
    assert view.sums is not None
    assert view.sums.agree
    with office.uow(CLERK) as uow:
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
        failed = [body for name, body in emitted(uow) if name == "payment.failed.v1"]
    assert (balances["应付"], balances["资金账户"]) == (-5_000, 0)
    assert [body["reason_code"] for body in failed] == ["account_abnormal"]
    claimed = office.settle("2026-11", bank_answers(content) + b"\r\n")
    assert not claimed.applied
    assert "此前已回报失败" in claimed.problems[0].problem


def test_another_batchs_file_is_refused(office: Office) -> None:
    """A file is read into its own batch only, and only once it is sent."""
    content = sent_batch(office, 1)
    office.bring_to("checked", office.open("2026-12").batch_no)
    with pytest.raises(Conflict, match="不能读入回盘"):
        office.settle("2026-12", bank_answers(content))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04rubbish", "你好".encode()])
@pytest.mark.parametrize("profile", ["fixed_gbk", "card_xlsx"])
def test_what_is_no_return_file_is_refused(office: Office, content: bytes, profile: str) -> None:
    """Anything else is refused in words."""
    sent_batch(office, 1, profile)
    with pytest.raises(Invalid, match="回盘文件"):
        office.settle("2026-11", content)


@pytest.mark.parametrize("profile", ["fixed_gbk", "card_xlsx"])
def test_a_bank_that_sees_only_the_file(office: Office, profile: str, tmp_path: Path) -> None:
    """The simulator's return settles every line; some fail; asked again it says the same."""
    bank_file, answer = tmp_path / "bank", tmp_path / "return"
    bank_file.write_bytes(sent_batch(office, LINES, profile))
    answers = []
    for _ in range(2):
        program = [sys.executable, "-m", "deploy.local.bank_simulator"]
        choices = ["--seed", "5", "--fail-one-in", "2"]
        subprocess.run([*program, bank_file, answer, *choices], check=True)
        answers.append(answer.read_bytes())
    read = office.settle("2026-11", answers[0])
    assert (read.settled + read.failed, read.unanswered) == (LINES, 0)
    assert 0 < read.failed < LINES
    if profile == "fixed_gbk":
        assert answers[0] == answers[1]
    view = office.view("2026-11")
    assert view.sums is not None
    assert view.sums.agree


def test_an_account_changed_within_a_day_of_the_lock_is_not_paid(office: Office) -> None:
    """Held at the lock or, when it changed after, at the file; paid a day later."""
    office.money()
    early, late, calm = office.household(), office.household(), office.household()
    for home in (early, late, calm):
        office.grant(home, "elderly", fen=5_000)
    office.bring_to("released")
    with office.uow() as uow:
        now = uow.now()
    office.account(
        early, early.head, changed_at=now - timedelta(hours=23), carried_over=False, version=2
    )
    office.account(
        calm, calm.head, changed_at=now - timedelta(hours=25), carried_over=False, version=2
    )
    locked = office.lock("2026-11")
    assert {t.key: t.payments for t in locked.by_state} == {"locked": 2, "withdrawn": 1}
    office.account(late, late.head, changed_at=now, carried_over=False, version=2)
    sent = office.export("2026-11")
    assert (sent.file_lines, sent.file_fen) == (1, 5_000)
    assert sent.sums is not None
    assert sent.sums.agree
    assert calm.accounts[calm.head].encode() in office.file("2026-11")
    office.today = TODAY + timedelta(days=30)
    december = office.bring_to("sent", office.open("2026-12").batch_no)
    assert december.file_fen == 5 * 5_000


def test_a_payee_changed_within_a_day_of_the_lock_is_not_paid(office: Office) -> None:
    """Withdrawn at the lock; what is the new payee's own anyway is paid, and what was drawn up for
    the one before."""
    office.money()
    early, late, calm = (office.household(2) for _ in range(3))
    for home in (early, late, calm):
        office.account(home, home.people[1])
        office.grant(home, "rural_dibao", fen=50_000)
    own = early.people[1]
    office.grant(early, "elderly", fen=5_000, covered=[own], payee_person_id=own)
    with office.uow() as uow:
        now = uow.now()
    office.pay_another(early, early.people[1], at=now - timedelta(hours=23))
    office.pay_another(calm, calm.people[1], at=now - timedelta(hours=25))
    office.bring_to("released")
    locked = office.lock("2026-11")
    assert {t.key: t.payments for t in locked.by_state} == {"locked": 3, "withdrawn": 1}
    with office.uow() as uow:
        withdrawn = text("SELECT reason_code FROM payment WHERE state = 'withdrawn'")
        assert uow.session.scalars(withdrawn).all() == ["payee_changed"]
    office.pay_another(late, late.people[1], at=now)
    assert office.export("2026-11").file_lines == 3


def test_nobody_without_an_account_is_sent(office: Office) -> None:
    """Missing accounts are listed and wait; with an account they are paid in the next batch."""
    office.money()
    home = office.household(account=False)
    office.grant(home, "elderly", fen=5_000)
    checked = office.bring_to("checked")
    assert [(t.key, t.payments) for t in checked.findings] == [("no_account", 1)]
    office.account(home, home.head)
    assert office.check("2026-11").computed_fen == 5_000


def test_cash_is_never_overdrawn_when_the_file_is_written(office: Office) -> None:
    """Cash spent by another batch since the check: no file, nothing sent."""
    office.money(cash=6_000)
    office.grant(office.household(), "elderly", fen=5_000)
    office.bring_to("locked")
    with office.uow() as uow:
        uow.session.execute(text("UPDATE fund_account SET balance_fen = 4999"))
    with pytest.raises(Conflict, match="资金账户余额不足"):
        office.export("2026-11")
    assert office.view("2026-11").state == "locked"
    with office.uow(FINANCE) as uow:
        budgets.deposit(uow, c.DepositFunds(fen=1, document_no="拨9"))
    assert office.export("2026-11").file_fen == 5_000


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (c.AllotBudget(year=2026, benefit="rural_dibao", fen=-1, document_no="a"), "大于零"),
        (c.AllotBudget(year=2026, benefit="rural_dibao", fen=10**14, document_no="a"), "上限"),
        (c.AllotBudget(year=2026, benefit="gold", fen=1, document_no="a"), "没有待遇项目"),
        (c.AllotBudget(year=26, benefit="rural_dibao", fen=1, document_no="a"), "预算年度"),
        (c.AllotBudget(year=2026, benefit="rural_dibao", fen=1, document_no=" "), "文号"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(
    office: Office, request_: c.AllotBudget, words: str
) -> None:
    """Each wrong field is named in Chinese."""
    with pytest.raises(Invalid, match=words), office.uow(FINANCE) as uow:
        budgets.allot(uow, request_)


def workbook(rows: list[list[object]]) -> bytes:
    """A small workbook."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    return buffer.getvalue()


def test_the_old_systems_file_is_compared_account_by_account(office: Office) -> None:
    """Equal accounts are counted, each other one has its reason, no full number is shown."""
    office.money()
    same, other, dead, new = (office.household() for _ in range(4))
    for home, fen in ((same, 5_000), (other, 6_000), (dead, 7_000)):
        office.grant(home, "elderly", fen=fen)
    office.grant(new, "elderly", fen=8_000, basis="application")
    office.bring_to("computed")
    office.dies(dead, dead.head, TODAY.replace(month=9))
    office.check("2026-11")
    rows: list[list[object]] = [["姓名", "账号", "金额"]]
    for home, amount in ((same, 50.0), (other, 55.5), (dead, 70)):
        rows.append(["某人", home.accounts[home.head], amount])
    rows.append(["无此人", "6222999999999999", "30.00"])
    with office.uow(CLERK) as uow:
        file_id = files.write(uow, "old.xlsx", workbook(rows), "x", division=COUNTY)
        answer = comparison.compare_old_file(
            uow, c.CompareOldFile(batch="2026-11", file_id=file_id)
        )
    assert (answer.old_lines, answer.equal, answer.differing) == (4, 1, 4)
    reasons = {d.account_masked: (d.kind, d.reason) for d in answer.differences}
    assert reasons[f"****{dead.accounts[dead.head][-4:]}"] == ("only_old", "领款人已死亡，停发")
    assert reasons[f"****{new.accounts[new.head][-4:]}"] == ("only_new", "本系统新批准")
    assert reasons[f"****{other.accounts[other.head][-4:]}"][0] == "amount"
    assert "花名册" in reasons["****9999"][1]
    assert same.accounts[same.head] not in str(answer)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["某人", 6.222e15, 50], "第 2 行账号是数字格式"),
        (["某人", "", 50], "第 2 行没有账号"),
        (["某人", "6222", "三百元"], "第 2 行"),
        (["某人", "6222", "-5"], "第 2 行.*负数"),
    ],
)
def test_a_wrong_row_of_the_old_file_is_named(
    office: Office, row: list[object], words: str
) -> None:
    """Row and column are named; nothing is guessed."""
    office.money()
    office.open()
    content = workbook([["户名", "账号", "金额"], row])
    with office.uow(CLERK) as uow:
        file_id = files.write(uow, "old.xlsx", content, "x", division=COUNTY)
    query = c.CompareOldFile(batch="2026-11", file_id=file_id)
    with pytest.raises(Invalid, match=words), office.uow(CLERK) as uow:
        comparison.compare_old_file(uow, query)
