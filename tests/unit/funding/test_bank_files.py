"""Bank files written and read back byte for byte, and return files that cannot be believed."""

import dataclasses
import io
from collections.abc import Callable
from datetime import UTC, datetime

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.funding import bank_sheet, policies
from services.funding.domain.bank_profile import (
    BankFileError,
    BankLine,
    Header,
    RawAnswer,
    fixed_text,
    parse_reference,
    read_fixed_text,
    read_table,
    reference,
    writable_name,
)
from services.funding.domain.returns import Outcome, Reading, SentLine, judge

FIXED = policies.bank_profiles()["fixed_gbk"]
SHEET = policies.bank_profiles()["card_xlsx"]
MADE_AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)

names = st.text(st.sampled_from("陈桂兰王小明欧阳尉迟䶮𬱖𫖯㛃买买提·艾力"), min_size=1, max_size=12)
bank_lines = st.lists(
    st.builds(
        BankLine,
        reference=st.just(""),
        account=st.text("0123456789", min_size=12, max_size=19),
        name=names,
        fen=st.integers(1, 9_999_999_999),
    ),
    min_size=1,
    max_size=20,
).map(
    lambda lines: [
        dataclasses.replace(line, reference=reference(7, number))
        for number, line in enumerate(lines, start=1)
    ]
)


def header(lines: list[BankLine]) -> Header:
    """The head record of a batch."""
    return Header(
        batch_no="FF202611-0007", lines=len(lines), total_fen=sum(line.fen for line in lines)
    )


@given(serial=st.integers(1, 99_999), line_no=st.integers(1, 999_999))
def test_a_reference_names_its_line_in_twelve_bytes(serial: int, line_no: int) -> None:
    """Also after ten thousand batches, of which each urgent aid is one, and 110,000 lines."""
    written = reference(serial, line_no)
    assert len(written) == 12
    assert parse_reference(written) == (serial, line_no)


@pytest.mark.parametrize(("serial", "line_no"), [(0, 1), (7, 0), (9_999, 10**7), (10**10, 1)])
def test_a_reference_that_does_not_fit_is_refused(serial: int, line_no: int) -> None:
    """No file is written in which two lines would have the same name."""
    with pytest.raises(BankFileError, match="位数"):
        reference(serial, line_no)


@given(lines=bank_lines)
def test_fixed_text_comes_back_as_it_went(lines: list[BankLine]) -> None:
    """Every line keeps reference, account and fen; records have one length even with rare names."""
    content = fixed_text(FIXED, header(lines), lines)
    assert fixed_text(FIXED, header(lines), lines) == content
    records = content.split(b"\r\n")[1:-1]
    assert {len(record) for record in records} == {FIXED.record_bytes}
    content.decode("gbk")
    head, answers = read_fixed_text(FIXED, content)
    assert head == header(lines)
    assert [(a.reference, a.account, int(a.amount)) for a in answers] == [
        (line.reference, line.account, line.fen) for line in lines
    ]


@settings(deadline=None, max_examples=40)  # a workbook takes its time on a busy machine
@given(lines=bank_lines)
def test_workbook_comes_back_as_it_went(lines: list[BankLine]) -> None:
    """The same for the workbook; amounts survive being cells, equal input gives equal bytes."""
    content = bank_sheet.write(SHEET, header(lines), lines, made_at=MADE_AT)
    assert bank_sheet.write(SHEET, header(lines), lines, made_at=MADE_AT) == content
    answers = read_table(SHEET, bank_sheet.read(content))
    reading = judge(
        SHEET,
        7,
        {n: SentLine(n, line.account, line.fen, "sent") for n, line in enumerate(lines, 1)},
        [dataclasses.replace(answer, result="成功") for answer in answers],
    )
    assert reading.problems == ()
    assert sum(a.fen for a in reading.answers) == sum(line.fen for line in lines)


def test_rare_names_follow_the_banks_list() -> None:
    """Characters outside GBK are substituted, unlisted ones marked, minority dots unified."""
    assert writable_name(FIXED, "王䶮") == "王龚"
    assert writable_name(FIXED, "王𠅤") == "王？"
    assert writable_name(FIXED, "买买提•艾力") == "买买提·艾力"
    assert writable_name(SHEET, "王䶮") == "王䶮"


@pytest.mark.parametrize("fen", [0, -5, 10_000_000_000])
def test_amounts_the_bank_does_not_take_are_refused(fen: int) -> None:
    """Zero, negative and oversized amounts never reach the bank."""
    line = BankLine("0001-0000001", "6222000000000001", "张三", fen)
    with pytest.raises(BankFileError, match="金额"):
        fixed_text(FIXED, header([line]), [line])


def test_a_formula_in_a_name_stays_text() -> None:
    """A name that starts with = is text in the workbook."""
    line = BankLine("0001-0000001", "6222000000000001", "=1+1", 100)
    book = openpyxl.load_workbook(
        io.BytesIO(bank_sheet.write(SHEET, header([line]), [line], made_at=MADE_AT))
    )
    assert book.worksheets[0]["B2"].data_type == "s"


SENT = {
    1: SentLine(1, "6222000000000001", 66_050, "sent"),
    2: SentLine(2, "6222000000000002", 8_000, "sent"),
    3: SentLine(3, "6222000000000003", 5_000, "settled"),
    4: SentLine(4, "6222000000000004", 5_000, "failed"),
}


def answer(line_no: int, **change: object) -> RawAnswer:
    """A row that the bank answers with success."""
    line = SENT[line_no]
    good = RawAnswer(
        row=line_no + 1,
        reference=reference(7, line_no),
        account=line.account,
        amount=str(line.fen),
        result="0000",
        reason="",
    )
    return dataclasses.replace(good, **change)


def read(*rows: RawAnswer, fen: int | None = None, lines: int | None = None) -> Reading:
    """Judge rows as the return of batch 7."""
    return judge(FIXED, 7, SENT, rows, announced_fen=fen, announced_lines=lines)


def test_every_line_gets_its_outcome_and_missing_ones_are_asked_after() -> None:
    """Success, failure with reason, a bounce after settlement, and a line the bank forgot."""
    reading = read(answer(1, result="1002"), answer(3, result="1003"), answer(4, result="1001"))
    assert [(a.line_no, a.outcome, a.reason_code) for a in reading.answers] == [
        (1, Outcome.FAILED, "name_mismatch"),
        (3, Outcome.RETURNED, "account_abnormal"),
        (4, Outcome.REPEATED, "account_missing"),
    ]
    assert reading.unanswered == (2,)
    assert reading.problems == ()


def test_a_file_read_twice_changes_nothing() -> None:
    """The answer to a settled line is a repetition."""
    assert [a.outcome for a in read(answer(3)).answers] == [Outcome.REPEATED]


@pytest.mark.parametrize(
    ("reading", "field", "words"),
    [
        (lambda: read(answer(1, reference="0007-0000009")), "备注", "没有第 9 笔"),
        (lambda: read(answer(1, reference="0008-0000001")), "备注", "批次 8"),
        (lambda: read(answer(1, reference="谢谢")), "备注", "不是本系统"),
        (lambda: read(answer(1), answer(1, row=9)), "备注", "第 2 行已出现"),
        (lambda: read(answer(1, amount="66051")), "金额", "660.51"),
        (lambda: read(answer(1, amount="660.5")), "金额", "整数"),
        (lambda: read(answer(1, amount="-66050")), "金额", "整数"),
        (lambda: read(answer(1, account="6222000000000009")), "账号", "不一致"),
        (lambda: read(answer(1, result="8888")), "处理标志", "8888"),
        (lambda: read(answer(4)), "处理标志", "此前已回报失败"),
        (lambda: read(answer(1), lines=2), "笔数", "2 笔"),
        (lambda: read(answer(1), fen=1), "合计金额", "0.01"),
        (read, "文件", "没有明细"),
    ],
)
def test_a_row_that_cannot_be_believed_is_named(
    reading: Callable[[], Reading], field: str, words: str
) -> None:
    """Each kind of wrong row is refused with the field and the reason in Chinese."""
    problems = reading().problems
    assert [problem.field for problem in problems] == [field]
    assert words in problems[0].problem
    assert problems[0].advice


@pytest.mark.parametrize("content", [b"", b"hello", b"H123", b"H" + b"x" * 44 + b"\r\n"])
def test_what_is_no_return_file_is_refused(content: bytes) -> None:
    """Anything else is refused in words."""
    with pytest.raises(BankFileError, match="第 1 行"):
        read_fixed_text(FIXED, content)


def test_what_is_no_workbook_is_refused() -> None:
    """A text file given as a workbook, and a workbook without our columns."""
    with pytest.raises(BankFileError, match="工作簿"):
        bank_sheet.read(b"PK nothing")
    with pytest.raises(BankFileError, match="备注"):
        read_table(SHEET, [["户名"]])
