"""The bank's workbook format: written with XlsxWriter, read back with calamine.

CPU-heavy at city size: runs in child processes only.
"""

import io
from collections.abc import Iterable, Sequence
from datetime import datetime

import xlsxwriter
from python_calamine import CalamineError, CalamineWorkbook

from services.contracts.money import yuan
from services.funding.domain.bank_profile import (
    BankFileError,
    BankLine,
    BankProfile,
    Header,
    check_line,
    writable_name,
)


def write(
    profile: BankProfile, header: Header, lines: Iterable[BankLine], *, made_at: datetime
) -> bytes:
    """The workbook as bytes: one sheet of lines, one of totals. Equal input, equal bytes."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(
        buffer,
        {"constant_memory": True, "strings_to_formulas": False, "strings_to_numbers": False},
    )
    book.set_properties({"created": made_at.replace(tzinfo=None)})
    money = book.add_format({"num_format": "0.00"})
    sheet = book.add_worksheet("明细")
    text, number = sheet.write_string, sheet.write_number
    for column, field in enumerate(profile.fields):
        text(0, column, field.title)
    at = {field.content: column for column, field in enumerate(profile.fields)}
    wide = {field.content: field.bytes for field in profile.fields}
    in_yuan = profile.unit == "yuan"
    for row, line in enumerate(lines, start=1):
        check_line(profile, line)
        name = writable_name(profile, line.name)
        if len(name.encode("gb18030")) > wide["name"]:
            raise BankFileError(f"行 {line.reference} 户名超过 {wide['name']} 字节")
        cells = {
            "reference": line.reference,
            "account": line.account,
            "name": name,
        }
        for content, column in at.items():
            if content == "amount":
                number(row, column, line.fen / 100 if in_yuan else line.fen, money)
            elif content in cells:
                text(row, column, cells[content])
    summary = book.add_worksheet("汇总")
    for row, (title, value) in enumerate(
        (
            ("批次号", header.batch_no),
            ("笔数", str(header.lines)),
            ("合计金额(元)", yuan(header.total_fen, grouped=False)),
        )
    ):
        summary.write_string(row, 0, title)
        summary.write_string(row, 1, value)
    book.close()
    return buffer.getvalue()


def read(content: bytes) -> Sequence[Sequence[object]]:
    """The rows of the first sheet; raises BankFileError when it is no workbook."""
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError) as error:
        raise BankFileError("文件不是可以读取的工作簿，请确认是银行返回的 xlsx 回盘文件") from error
