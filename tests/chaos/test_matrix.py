"""The matrix and what is written about it agree."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.chaos.faults.matrix import MATRIX, NOT_HERE, SHORT

ROOT = Path(__file__).resolve().parents[2]


def test_every_row_stands_in_the_documentation() -> None:
    """Its number, its title, what happens, and whether it is in the short form."""
    text = (ROOT / "docs/faults.md").read_text("utf-8")
    for row in MATRIX:
        mark = " ●" if row.number in SHORT else ""
        assert f"| {row.number}{mark} | {row.title} | {row.named} |" in text
    assert all(re.search(rf"^\| {number} ", text, re.MULTILINE) for number in NOT_HERE)


def test_every_alert_named_is_a_rule() -> None:
    """A row names the rule that calls somebody, or none."""
    rules = set()
    for path in (ROOT / "deploy/prometheus").rglob("*.y*ml"):
        document = yaml.safe_load(path.read_text("utf-8"))
        for group in (document or {}).get("groups", []) if isinstance(document, dict) else []:
            rules |= {rule.get("alert") for rule in group.get("rules", [])}
    assert {row.alert for row in MATRIX if row.alert} <= rules
