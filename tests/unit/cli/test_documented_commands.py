"""What the documents tell a person to type."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from services.cli.app import build

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
TYPED = re.compile(r"(?:^|[`$] ?)zhida((?: [a-z][a-z-]*)+)", re.MULTILINE)


def documented() -> list[tuple[str, str]]:
    """(page, words after ``zhida``) of every command in a document."""
    return sorted(
        {
            (str(page.relative_to(ROOT)), words.strip())
            for page in PAGES
            for words in TYPED.findall(page.read_text(encoding="utf-8"))
        }
    )


def unknown(words: str) -> str:
    """The first word that no group of commands knows; empty when all are known."""
    command: Any = typer.main.get_command(build())
    for word in words.split():
        if not (known := getattr(command, "commands", None)):
            return ""  # what follows is an argument
        if word not in known:
            return word
        command = known[word]
    return ""


@pytest.mark.parametrize(("page", "words"), documented())
def test_every_command_in_a_document_exists(page: str, words: str) -> None:
    """Nobody is sent to a command there is not, in the night least of all."""
    assert unknown(words) == ""


def test_a_command_that_is_not_there_is_found_out() -> None:
    """The check above can fail."""
    assert unknown("disbursement list") == "disbursement"
    assert unknown("funding cycle nothing") == "nothing"
