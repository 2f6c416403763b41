"""What a command prints: for people by default, for programs with `--json`."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Column, Table

Json = Annotated[bool, typer.Option("--json", help="以 JSON 输出，供程序读取")]
"""The option every command has."""

console = Console(highlight=False)
"""Where commands write for people."""

notes = Console(stderr=True, highlight=False)
"""Where progress and remarks go: never mixed into a command's output."""


def present(answer: Any, as_json: bool, human: Callable[[], RenderableType]) -> None:
    """Print `answer` as one JSON document, or `human()` for a person."""
    if as_json:
        plain = msgspec.to_builtins(answer, str_keys=True)
        sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")
    else:
        console.print(human())


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A plain table; None is shown as a dash. What is long goes on below: nothing is cut off."""
    columns = [Column(heading, overflow="fold") for heading in headings]
    made = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        made.add_row(*("—" if cell is None else str(cell) for cell in row))
    return made
