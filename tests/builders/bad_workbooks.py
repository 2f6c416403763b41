"""Files that are not what they seem: bombs, locked and broken workbooks."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable

import xlsxwriter
import xlwt


def far_cell(row: int, column: int) -> bytes:
    """A workbook of two cells, the second far away: the parser would allot all between."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    page = book.add_worksheet("花名册")
    page.write_string(0, 0, "镇")
    page.write_string(row, column, "村")
    book.close()
    return buffer.getvalue()


def replaced(workbook: bytes, part: str, content: bytes) -> bytes:
    """The workbook with one part replaced."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, content if name == part else source.read(name))
    return buffer.getvalue()


def many_cells(workbook: bytes, cells: int) -> bytes:
    """The workbook with a sheet of so many empty cells: small packed, large unpacked."""
    row = b"<row>" + b"<c/>" * 1000 + b"</row>"
    body = row * (cells // 1000 + 1)
    return replaced(
        workbook, "xl/worksheets/sheet1.xml", b"<worksheet><sheetData>" + body + b"</sheetData>"
    )


def lying_size(workbook: bytes, size: int) -> bytes:
    """The workbook claiming that its sheet unpacks to ``size`` bytes."""
    spoilt = bytearray(workbook)
    at = 0
    while (at := spoilt.find(b"PK\x01\x02", at)) >= 0:
        length = struct.unpack_from("<H", spoilt, at + 28)[0]
        if bytes(spoilt[at + 46 : at + 46 + length]) == b"xl/worksheets/sheet1.xml":
            struct.pack_into("<I", spoilt, at + 24, size)
        at += 4
    return bytes(spoilt)


def with_password_flag(workbook: bytes) -> bytes:
    """The workbook with its parts marked as encrypted."""
    spoilt = bytearray(workbook)
    at = 0
    while (at := spoilt.find(b"PK\x01\x02", at)) >= 0:
        spoilt[at + 8] |= 1
        at += 4
    return bytes(spoilt)


def locked_by_excel() -> bytes:
    """What Excel writes under a password: a compound file with the stream EncryptedPackage."""
    free, end, fat = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"",
        0, 1, 1, 0, 4096, end, 0, end, 0, 0,
    )  # fmt: skip
    header += struct.pack("<I", 0xFFFFFFFF) * 0
    header = (header + b"\xff" * 512)[:512]
    chain = [fat, end, *range(3, 10), end]
    table = struct.pack(f"<{len(chain)}I", *chain) + struct.pack("<I", free) * (128 - len(chain))

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        encoded = name.encode("utf-16-le") + b"\0\0"
        return struct.pack(
            "<64sHBBIII16sIQQIQ",
            encoded, len(encoded), kind, 1, free, free, child, b"", 0, 0, 0, start, size,
        )  # fmt: skip

    directory = entry("Root Entry", 5, 1, end, 0) + entry("EncryptedPackage", 2, free, 2, 4096)
    directory += (b"\0" * 128) * 2
    return header + table + directory + b"\xaa" * 4096


def old_xls(rows: Iterable[Iterable[object]], name: str = "花名册") -> bytes:
    """An .xls of Excel 97."""
    book = xlwt.Workbook(encoding="utf-8")
    page = book.add_sheet(name)
    for number, cells in enumerate(rows):
        for position, cell in enumerate(cells):
            page.write(number, position, cell)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()
