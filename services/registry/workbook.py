"""Workbooks handed in by people: looked over first, parsed by a process that may die.

Two layers, because neither is enough alone: the look-over (``inspect``) can say in words what is
wrong with an .xlsx before anything is parsed, and finds formulas; the reader process (see
``workbook_reader``) bounds what the look-over cannot see into, such as .xls.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any
from xml.etree import ElementTree as ET

import msgspec

from services.contracts.errors import Invalid
from services.registry.domain.roster import Cell

MAX_FILE_BYTES = 40_000_000
MAX_UNPACKED_BYTES = 600_000_000
MAX_CELLS = 5_000_000
MAX_ROWS = 600_000
MAX_COLUMNS = 702
MAX_AREA = 20_000_000
"""Rows times columns of the used range: the parser allots all of it."""
MAX_PARTS = 2_000
MAX_FORMULAS = 100_000
CHUNK_BYTES = 1 << 20

Row = tuple[int, list[Cell]]

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_LOCKED = "EncryptedPackage".encode("utf-16-le")
"""The stream in which Excel keeps a workbook under a password."""
_ROW = re.compile(rb"<(?:\w+:)?row [^>]*?\br=\"(\d+)\"")
_FAR_ROW = re.compile(rb"r=\"[A-Z]+\d{7}")
_COLUMN = re.compile(rb"r=\"([A-Z]+)\d")
_FORMULA = re.compile(rb"<(?:\w+:)?c [^>]*?\br=\"([A-Z]+)(\d+)\"[^>]*>\s*<(?:\w+:)?f[\s>/]")
_RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


@dataclass
class Sheet:
    """One sheet as read: rows by number, cells of a formula, positions within merged cells."""

    name: str
    rows: Iterator[Row]
    merged: dict[int, set[int]] = field(default_factory=dict)
    formulas: set[tuple[int, int]] = field(default_factory=set)


def _refuse(problem: str, advice: str, reason: str) -> Invalid:
    return Invalid(problem, field="文件", advice=advice, reason=reason)


def inspect(content: bytes) -> dict[str, set[tuple[int, int]]]:
    """Look a file over without parsing it; answer the cells with a formula by sheet name.

    Raises ``Invalid`` (field 文件) for what is not a workbook, is too large, or would unpack into
    far more than it shows.
    """
    if len(content) > MAX_FILE_BYTES:
        raise _refuse(
            f"文件有 {len(content) // 1_000_000} MB，超过 {MAX_FILE_BYTES // 1_000_000} MB",
            "请按镇拆分后分别导入",
            "too_large",
        )
    if content.startswith(_OLE):
        if _LOCKED in content:
            raise _password()
        return {}
    if not content.startswith(_ZIP):
        raise _refuse(
            "文件不是 Excel 工作簿", "请用 Excel 或 WPS 打开后另存为 .xlsx 再上传", "not_a_workbook"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            return _inspect_package(package)
    except (zipfile.BadZipFile, ET.ParseError, EOFError, NotImplementedError, KeyError) as error:
        raise _refuse("工作簿已损坏，无法打开", "请重新另存为 .xlsx 再上传", "broken") from error


def _inspect_package(package: zipfile.ZipFile) -> dict[str, set[tuple[int, int]]]:
    parts = package.infolist()
    names = {part.filename for part in parts}
    if "xl/workbook.xml" not in names:
        raise _refuse(
            "文件不是 .xlsx 工作簿", "请用 Excel 或 WPS 另存为 .xlsx 再上传", "not_a_workbook"
        )
    if any(part.flag_bits & 1 for part in parts):
        raise _password()
    unpacked = sum(part.file_size for part in parts)
    if unpacked > MAX_UNPACKED_BYTES or len(parts) > MAX_PARTS:
        raise _refuse(
            f"工作簿展开后有 {unpacked // 1_000_000} MB，超过上限",
            "文件可能已损坏或被人为构造；请重新导出，或按镇拆分",
            "bomb",
        )
    formulas: dict[str, set[tuple[int, int]]] = {}
    titles = _titles(package)
    for part in parts:
        if not part.filename.endswith((".xml", ".rels")):
            continue
        with package.open(part) as stream:
            if part.filename.startswith("xl/worksheets/sheet"):
                extent = _inspect_sheet(stream)
                formulas[titles.get(part.filename, part.filename)] = extent.formulas
            elif b"<!DOCTYPE" in stream.read(CHUNK_BYTES):
                raise _dtd()
    return formulas


class _Extent:
    """How far one sheet reaches, told row by whole row; refuses what is out of range."""

    def __init__(self) -> None:
        self.cells = self.rows = 0
        self.columns = 0
        self.formulas: set[tuple[int, int]] = set()

    def take(self, text: bytes) -> None:
        """Count in a piece of the sheet's XML that ends between two rows."""
        if b"<!DOCTYPE" in text:
            raise _dtd()
        self.cells += sum(map(text.count, (b"<c ", b"<c>", b"<c/", b":c ", b":c>", b":c/")))
        self.rows = max(self.rows, max(map(int, _ROW.findall(text)), default=0))
        if self.rows > MAX_ROWS or _FAR_ROW.search(text):
            raise _refuse(
                f"{MAX_ROWS} 行以后有内容，行号超限", "请删除远处的空行和多余内容", "bomb"
            )
        columns = max(map(_position, set(_COLUMN.findall(text))), default=0) + 1
        self.columns = max(self.columns, columns)
        if self.columns > MAX_COLUMNS:
            raise _refuse(
                f"{MAX_COLUMNS} 列以后有内容，列超限", "请删除远处的空列和多余内容", "bomb"
            )
        if self.rows * self.columns > MAX_AREA:
            raise _refuse(
                f"表格范围过大（{self.rows} 行 × {self.columns} 列）",
                "请删除远处的空行、空列",
                "bomb",
            )
        if self.cells > MAX_CELLS:
            raise _refuse(f"单元格超过 {MAX_CELLS} 个", "请删除多余内容，或按镇拆分", "bomb")
        if b"<f" in text or b":f" in text:
            self.formulas.update((int(m[2]), _position(m[1])) for m in _FORMULA.finditer(text))
        if len(self.formulas) > MAX_FORMULAS:
            raise _refuse("公式过多", "请复制后用“选择性粘贴—数值”改为固定内容", "formulas")


def _inspect_sheet(stream: IO[bytes]) -> _Extent:
    extent = _Extent()
    tail = b""
    while chunk := stream.read(CHUNK_BYTES):
        text = tail + chunk
        cut = max(text.rfind(b"<row"), 0)
        extent.take(text[:cut])
        tail = text[cut:]
        if len(tail) > 8 * CHUNK_BYTES:
            raise _refuse("有一行过长，无法读取", "请重新导出后再上传", "bomb")
    extent.take(tail)
    return extent


def _titles(package: zipfile.ZipFile) -> dict[str, str]:
    """Part → sheet name, from the workbook and its relations."""
    workbook = package.read("xl/workbook.xml")
    relations = package.read("xl/_rels/workbook.xml.rels")
    if b"<!DOCTYPE" in workbook or b"<!DOCTYPE" in relations:
        raise _dtd()
    targets = {
        item.get("Id"): "xl/" + (item.get("Target") or "").removeprefix("/xl/").removeprefix("/")
        for item in ET.fromstring(relations)  # noqa: S314 - entity declarations are refused above
    }
    return {
        targets.get(sheet.get(_RELATIONS), ""): sheet.get("name") or ""
        for sheet in ET.fromstring(workbook).iter()  # noqa: S314 - likewise
        if sheet.tag.endswith("}sheet")
    }


def read(content: bytes, *, sheet: str, others: tuple[str, ...] = ()) -> Iterator[Sheet]:
    """Yield those of ``others`` that are there, then the sheet ``sheet`` (or the first one).

    Hidden sheets are not read. Rows come as the reader process sends them; consume a sheet before
    asking for the next. Raises ``Invalid`` as ``inspect`` does, or when the reader refuses the
    file or dies of it.
    """
    formulas = inspect(content)
    with subprocess.Popen(
        [sys.executable, "-m", "services.registry.workbook_reader", sheet, *others],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            try:
                process.stdin.write(content)
                process.stdin.close()
            except BrokenPipeError:
                raise _broken() from None
            frames = _Frames(process.stdout)
            kind, about = frames.next()
            while kind == "sheet":
                yield Sheet(
                    about["name"],
                    frames.rows(),
                    _positions_of(about["merged"]),
                    formulas.get(about["name"], set()),
                )
                for _ in frames.rows():
                    pass
                kind, about = frames.next()
        finally:
            process.kill()


class _Frames:
    """What the reader process says, frame by frame."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decode = msgspec.msgpack.Decoder().decode
        self._ahead: tuple[str, Any] | None = None

    def next(self) -> tuple[str, Any]:
        """The next frame. Raises ``Invalid`` for an error, or when the process is gone."""
        if self._ahead is not None:
            frame, self._ahead = self._ahead, None
            return frame
        length = self._stream.read(4)
        body = self._stream.read(int.from_bytes(length, "big")) if len(length) == 4 else b""
        if not body:
            raise _broken()
        kind, content = self._decode(body)
        if kind == "error":
            raise {"password": _password, "empty": _empty}.get(content, _broken)()
        return kind, content

    def rows(self) -> Iterator[Row]:
        """The rows of the sheet that has just begun."""
        while True:
            kind, content = self.next()
            if kind != "rows":
                self._ahead = (kind, content)
                return
            yield from map(tuple, content)


def _positions_of(ranges: list[tuple[int, int, int, int]]) -> dict[int, set[int]]:
    """Row → positions within merged cells."""
    positions: dict[int, set[int]] = {}
    area = 0
    for top, left, bottom, right in ranges:
        area += (bottom - top + 1) * (right - left + 1)
        if area > MAX_CELLS // 10:
            raise _refuse("合并单元格过多", "请取消合并，逐行填写", "merged")
        for row in range(top, bottom + 1):
            positions.setdefault(row, set()).update(range(left, right + 1))
    return positions


def _position(letters: bytes) -> int:
    """A → 0, Z → 25, AA → 26."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _password() -> Invalid:
    return _refuse("文件有密码", "请另存为无密码后再上传", "password")


def _empty() -> Invalid:
    return _refuse("工作簿里没有可见的工作表", "请取消隐藏后再上传", "empty")


def _dtd() -> Invalid:
    return _refuse("工作簿含有不允许的实体声明", "请用 Excel 重新另存后再上传", "bomb")


def _broken() -> Invalid:
    return _refuse(
        "文件无法读取：已损坏、过大，或内容被人为构造",
        "请用 Excel 或 WPS 打开后另存为 .xlsx 再上传",
        "broken",
    )
