"""How one bank wants its file: fields, byte widths, unit, character set, result codes.

A profile is data (``data/bank_profiles/*.toml``). Every line carries our own reference (batch
serial and line number, 12 bytes) in the note field: return files hold no other id of ours.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from services.contracts.errors import Invalid
from services.contracts.money import Fen, fen, yuan

REFERENCE_BYTES = 12
"""What every bank's note field holds."""

Content = Literal["reference", "account", "name", "amount", "result", "reason"]
Reason = Literal[
    "account_missing", "name_mismatch", "account_abnormal", "over_limit", "duplicate", "other"
]

REASON_LABELS: dict[str, str] = {
    "account_missing": "账号不存在",
    "name_mismatch": "户名不符",
    "account_abnormal": "账户状态异常",
    "over_limit": "超限额",
    "duplicate": "重复",
    "other": "其他原因",
}

#: Dots that people type in the names of minorities, all written as U+00B7.
DOTS = str.maketrans(dict.fromkeys("•‧．・∙", "·"))


class BankFileError(Invalid):
    """A line that cannot be written, or a file that cannot be read; the reason is Chinese."""


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of the file. ``bytes`` is its width in fixed text, its limit in a workbook."""

    title: str
    content: Content
    bytes: int


class BankProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bank's format, in one version."""

    code: str
    name: str
    version: int
    source: str
    kind: Literal["xlsx", "fixed"]
    unit: Literal["fen", "yuan"]
    encoding: Literal["gbk", "gb18030", "utf-8"] = "gbk"
    rare: Literal["gb18030", "substitute"] = "substitute"
    substitutes: dict[str, str] = {}
    largest_fen: Fen = 10_000_000_00
    max_lines: int = 1_000_000
    fields: tuple[Field, ...]
    success: str
    results: dict[str, Reason]

    @property
    def suffix(self) -> str:
        """File name extension."""
        return "xlsx" if self.kind == "xlsx" else "txt"

    @property
    def record_bytes(self) -> int:
        """Bytes of a detail record of fixed text, without the line end."""
        return 1 + sum(field.bytes for field in self.fields)


@dataclass(frozen=True, slots=True)
class BankLine:
    """One payment as the bank sees it."""

    reference: str
    account: str
    name: str
    fen: Fen


@dataclass(frozen=True, kw_only=True)
class Header:
    """What stands at the head of a text file."""

    batch_no: str
    lines: int
    total_fen: Fen


def reference(serial: int, line_no: int) -> str:
    """Our id of a line within 12 bytes: ``0007-0000123`` is line 123 of batch 7.

    From batch 10,000 on a line's number gets as many digits less: ``12345-000123``.
    """
    batch = f"{serial:04d}"
    digits = REFERENCE_BYTES - len(batch) - 1
    if serial <= 0 or not 0 < line_no < 10 ** max(0, digits):
        raise BankFileError("批次序号或行号超出银行文件备注栏的位数")
    return f"{batch}-{line_no:0{digits}d}"


def parse_reference(text: str) -> tuple[int, int]:
    """Batch serial and line number of a reference; raises BankFileError."""
    serial, dash, line_no = text.strip().partition("-")
    if not (dash and serial.isdigit() and line_no.isdigit()):
        raise BankFileError(f"备注“{text.strip()}”不是本系统的批次行号")
    return int(serial), int(line_no)


def writable_name(profile: BankProfile, name: str) -> str:
    """The name in characters the bank can take: dots unified, rare characters by the bank's rule.

    Characters outside GBK (䶮, 𬱖 …) go through the substitution list; what is not on it becomes
    ``？`` unless the bank takes GB18030.
    """
    name = unicodedata.normalize("NFC", name.strip()).translate(DOTS)
    if profile.encoding != "gbk" or profile.rare == "gb18030":
        return name
    return "".join(char if _in_gbk(char) else profile.substitutes.get(char, "？") for char in name)


def fixed_text(profile: BankProfile, header: Header, lines: Iterable[BankLine]) -> bytes:
    """A fixed-width text file: one header record, one record a line, CRLF after each."""
    charset = "gb18030" if profile.rare == "gb18030" else profile.encoding
    head = f"H{header.batch_no:<20}{header.lines:08d}{header.total_fen:016d}\r\n"
    records = [head.encode(charset)]
    for line in lines:
        check_line(profile, line)
        cells = (
            _pad(field, _text(profile, field.content, line).encode(charset))
            for field in profile.fields
        )
        records.append(b"D" + b"".join(cells) + b"\r\n")
    return b"".join(records)


def check_line(profile: BankProfile, line: BankLine) -> None:
    """Raise BankFileError for an amount the bank does not take."""
    if line.fen <= 0:
        raise BankFileError(f"行 {line.reference} 金额须大于零")
    if line.fen > profile.largest_fen:
        raise BankFileError(
            f"行 {line.reference} 金额超过银行单笔上限 {yuan(profile.largest_fen)} 元"
        )


def _text(profile: BankProfile, content: Content, line: BankLine) -> str:
    match content:
        case "reference":
            return line.reference
        case "account":
            return line.account
        case "name":
            return writable_name(profile, line.name)
        case "amount":
            return str(line.fen) if profile.unit == "fen" else yuan(line.fen, grouped=False)
        case _:
            return ""


def _pad(field: Field, raw: bytes) -> bytes:
    if len(raw) > field.bytes:
        raise BankFileError(f"{field.title}超过 {field.bytes} 字节")
    return raw.rjust(field.bytes, b"0") if field.content == "amount" else raw.ljust(field.bytes)


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One line of a return file, as text, with the row a person finds it in."""

    row: int
    reference: str
    account: str
    amount: str
    result: str
    reason: str


def read_fixed_text(profile: BankProfile, content: bytes) -> tuple[Header, list[RawAnswer]]:
    """Take a fixed-width return file apart by bytes; raises BankFileError for anything else."""
    records = content.split(b"\r\n") if b"\r\n" in content else content.split(b"\n")
    records = [record for record in records if record.strip(b" \x1a")]
    if not records or not records[0].startswith(b"H") or len(records[0]) < 45:
        raise BankFileError("第 1 行不是批次头记录，请确认是银行返回的文本回盘文件")
    head = records[0]
    try:
        header = Header(
            batch_no=head[1:21].decode("ascii").strip(),
            lines=int(head[21:29]),
            total_fen=int(head[29:45]),
        )
    except ValueError as error:
        raise BankFileError("第 1 行的批次号、笔数或合计金额不是数字") from error
    answers = []
    for row, record in enumerate(records[1:], start=2):
        if not record.startswith(b"D"):
            raise BankFileError(f"第 {row} 行不是明细记录")
        if len(record) > profile.record_bytes:
            raise BankFileError(f"第 {row} 行长度应为 {profile.record_bytes} 字节")
        cells: dict[str, str] = {}
        at = 1
        for field in profile.fields:
            raw = record[at : at + field.bytes]
            at += field.bytes
            if field.content != "name":
                cells[field.content] = decode(raw, profile).strip()
        answers.append(_raw_answer(row, cells))
    return header, answers


def read_table(profile: BankProfile, rows: Sequence[Sequence[object]]) -> list[RawAnswer]:
    """Take the rows of a returned workbook apart; columns are found by their titles."""
    titles = [str(cell).strip() for cell in rows[0]] if rows else []
    places: dict[str, int] = {}
    for field in profile.fields:
        if field.title not in titles:
            raise BankFileError(f"回盘文件缺少“{field.title}”列")
        places[field.content] = titles.index(field.title)
    answers = []
    for row, cells in enumerate(rows[1:], start=2):
        if any(cell not in ("", None) for cell in cells):
            answers.append(
                _raw_answer(
                    row,
                    {
                        content: _cell(cells[place]) if place < len(cells) else ""
                        for content, place in places.items()
                    },
                )
            )
    return answers


def read_amount(profile: BankProfile, text: str) -> Fen:
    """The amount of a return line in fen; raises ``Invalid`` or ValueError."""
    if profile.unit == "fen":
        if not text.isdigit():
            raise ValueError(f"“{text}”不是以分为单位的整数")
        return int(text)
    return fen(text)


def decode(raw: bytes, profile: BankProfile) -> str:
    """Bank bytes as text; GB18030 reads all of GBK, and what is broken is shown as ``�``."""
    charset = "utf-8" if profile.encoding == "utf-8" else "gb18030"
    return raw.decode(charset, errors="replace")


def _raw_answer(row: int, cells: Mapping[str, str]) -> RawAnswer:
    return RawAnswer(
        row=row,
        reference=cells.get("reference", ""),
        account=cells.get("account", ""),
        amount=cells.get("amount", ""),
        result=cells.get("result", ""),
        reason=cells.get("reason", ""),
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if value != int(value) else str(int(value))
    return "" if value is None else str(value).strip()


def _in_gbk(char: str) -> bool:
    try:
        char.encode("gbk")
    except UnicodeEncodeError:
        return False
    return True
