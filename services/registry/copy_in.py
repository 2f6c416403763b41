"""Many rows into a table by COPY: ten times as fast as INSERT, in the caller's transaction.

Only in child processes: COPY does not work under the patched psycopg2.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_ROWS_A_BLOCK = 500


class _Lines(io.RawIOBase):
    """Reads rows as COPY text, made as they are asked for: nothing is held but a block."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._blocks = _blocks(rows)
        self._left = b""
        self.count = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, empty at the end."""
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self.count += block.count(b"\n")
            self._left = block
        if size < 0:
            size = len(self._left)
        given, self._left = self._left[:size], self._left[size:]
        return given


def copy_rows(
    session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """COPY ``rows`` (values in the order of ``columns``) into ``table``; how many they were."""
    lines = _Lines(rows)
    cursor = session.connection().connection.cursor()
    try:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", lines, size=1 << 18)
    finally:
        cursor.close()
    return lines.count


def _blocks(rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    block: list[str] = []
    for row in rows:
        block.append("\t".join(map(_value, row)))
        if len(block) == _ROWS_A_BLOCK:
            yield ("\n".join(block) + "\n").encode()
            block = []
    if block:
        yield ("\n".join(block) + "\n").encode()


def _value(value: Any) -> str:
    return _WRITERS.get(type(value), str)(value)


def _text(value: str) -> str:
    return value.translate(_ESCAPES) if "\\" in value or not value.isprintable() else value


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "\\N",
    str: _text,
    bytes: lambda value: "\\\\x" + value.hex(),
    bool: lambda value: "t" if value else "f",
    UUID: lambda value: value.hex,
    date: date.isoformat,
    datetime: datetime.isoformat,
}
"""How each type is written in COPY's text form; anything else as ``str`` has it."""
