"""A bank for demos and tests: reads the disbursement file it was handed, writes its return file.

    python -m deploy.local.bank_simulator BANK_FILE RETURN_FILE [--seed N] [--fail-one-in N]

It is a program of its own and knows nothing of Zhida but the two file formats that were agreed on
(the workbook 户名、账号、应发金额… and the fixed-width GBK text). It answers every line; which
lines fail, and why, follows from the line and the seed alone: the same file, the same answer.
``--leave-out N`` leaves the last N lines unanswered, as banks sometimes do.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xlsxwriter
from python_calamine import CalamineWorkbook

ACCOUNT = slice(13, 45)
RESULT = slice(119, 123)
REASON = slice(123, 163)
RECORD = 163
"""The text format's detail record: D, 12 note, 32 account, 60 name, 14 fen, 4 result, 40 reason."""

FAILURES: tuple[tuple[str, str], ...] = (
    ("1001", "账号不存在"),
    ("1002", "户名不符"),
    ("1003", "账户异常"),
    ("9999", "失败"),
)


def verdict(account: str, reference: str, seed: int, fail_one_in: int) -> tuple[str, str] | None:
    """Why a line fails (code and words), or ``None``: it is credited."""
    digest = hashlib.sha256(f"{seed}|{reference}|{account}".encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    if fail_one_in <= 0 or number % fail_one_in:
        return None
    return FAILURES[digest[8] % len(FAILURES)]


def answer_text(content: bytes, seed: int, fail_one_in: int, leave_out: int) -> bytes:
    """Answer a fixed-width GBK file: result code and reason in their own columns."""
    records = [record for record in content.split(b"\r\n") if record]
    head, details = records[0], records[1:]
    if leave_out:
        details = details[:-leave_out]
    answered = []
    total = 0
    for record in details:
        if len(record) != RECORD or not record.startswith(b"D"):
            raise SystemExit(f"bank_simulator: a record of {len(record)} bytes is none of ours")
        account = record[ACCOUNT].decode("ascii").strip()
        failed = verdict(account, record[1:13].decode("ascii"), seed, fail_one_in)
        code, words = failed or ("0000", "")
        total += int(record[105:119])
        written = words.encode("gbk").ljust(40)
        answered.append(record[: RESULT.start] + code.encode("ascii") + written)
    head = head[:21] + b"%08d%016d" % (len(answered), total)
    return b"\r\n".join([head, *answered, b""])


def answer_workbook(path: Path, out: Path, seed: int, fail_one_in: int, leave_out: int) -> None:
    """Answer a workbook: the same sheet with 处理标志 and 失败原因 filled in."""
    rows = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()
    titles = [str(title) for title in rows[0]]
    note, account, result, reason = (
        titles.index(title) for title in ("备注", "账号", "处理标志", "失败原因")
    )
    lines: list[list[Any]] = [list(row) for row in rows[1:]]
    if leave_out:
        lines = lines[:-leave_out]
    with xlsxwriter.Workbook(
        str(out), {"constant_memory": True, "strings_to_formulas": False}
    ) as book:
        sheet = book.add_worksheet("回盘")
        sheet.write_row(0, 0, titles)
        for number, line in enumerate(lines, start=1):
            failed = verdict(str(line[account]), str(line[note]), seed, fail_one_in)
            line[result], line[reason] = ("成功", "") if failed is None else (failed[1], failed[1])
            for column, cell in enumerate(line):
                if isinstance(cell, float):
                    sheet.write_number(number, column, cell)
                else:
                    sheet.write_string(number, column, str(cell))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bank_file", type=Path)
    parser.add_argument("return_file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fail-one-in", type=int, default=97, metavar="N")
    parser.add_argument("--leave-out", type=int, default=0, metavar="N")
    given = parser.parse_args(arguments)
    choices = (given.seed, given.fail_one_in, given.leave_out)
    content = given.bank_file.read_bytes()
    if content.startswith(b"PK"):
        answer_workbook(given.bank_file, given.return_file, *choices)
    else:
        given.return_file.write_bytes(answer_text(content, *choices))
    return 0


if __name__ == "__main__":
    sys.exit(main())
