"""Reads one workbook in a process of its own, within 1 GB of memory and a minute of CPU.

A crafted file of one kilobyte makes the parser ask for 549 GB and abort; here it takes only this
process with it. Run as ``python -m services.registry.workbook_reader``: the file on standard input;
on standard output frames of MessagePack, each after its length in four bytes. For each
sheet comes a ``sheet`` and its ``rows``; then ``end``; or an ``error`` takes the place of the rest.
"""

from __future__ import annotations

import io
import resource
import sys
from datetime import date, datetime, time, timedelta
from typing import Any

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 60
ROWS_A_FRAME = 1000


def limit() -> None:
    """Bind this process before it sees the file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Read standard input, write frames."""
    limit()
    import msgspec
    import python_calamine as calamine

    encode = msgspec.msgpack.Encoder().encode

    def send(kind: str, content: Any) -> None:
        frame = encode((kind, content))
        sys.stdout.buffer.write(len(frame).to_bytes(4, "big") + frame)

    wanted, *others = sys.argv[1:]
    try:
        workbook = calamine.load_workbook(io.BytesIO(sys.stdin.buffer.read()))
        visible = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet
            and sheet.visible == calamine.SheetVisibleEnum.Visible
        ]
        names = [name for name in visible if name not in others]
        if not names:
            send("error", "empty")
            return
        chosen = wanted if wanted in names else names[0]
        for name in [*(name for name in others if name in visible), chosen]:
            sheet = workbook.get_sheet_by_name(name)
            left = (sheet.start or (0, 0))[1]
            merged = [(a + 1, b, c + 1, d) for (a, b), (c, d) in sheet.merged_cell_ranges or []]
            send("sheet", {"name": name, "merged": merged})
            frame = []
            for row, cells in enumerate(sheet.iter_rows(), 1):
                frame.append((row, [None] * left + [_plain(cell) for cell in cells]))
                if len(frame) == ROWS_A_FRAME:
                    send("rows", frame)
                    frame = []
            send("rows", frame)
        send("end", None)
    except calamine.PasswordError:
        send("error", "password")
    except (calamine.CalamineError, MemoryError, ValueError):
        send("error", "broken")
    finally:
        sys.stdout.buffer.flush()


def _plain(cell: Any) -> Any:
    if isinstance(cell, (str, float, bool)):
        return cell or None if isinstance(cell, str) else cell
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, (date, time, timedelta)):
        return str(cell)
    return cell


if __name__ == "__main__":
    main()
