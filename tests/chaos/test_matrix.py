"""The matrix and what is written about it agree."""

from __future__ import annotations

import re
from pathlib import Path

from tests.chaos.faults import MATRIX, NOT_HERE, SHORT

ROOT = Path(__file__).resolve().parents[2]


def test_every_row_stands_in_the_documentation() -> None:
    """Its number, its title, what happens, and whether it is in the short form."""
    text = (ROOT / "docs/faults.md").read_text("utf-8")
    for row in MATRIX:
        mark = " ●" if row.number in SHORT else ""
        assert f"| {row.number}{mark} | {row.title} | {row.named} |" in text
    assert all(re.search(rf"^\| {number} ", text, re.MULTILINE) for number in NOT_HERE)
