"""Schemas grow by expand and contract, so that a release runs on the schema of the next."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import services
from services.chassis.discovery import NAMES

MIGRATIONS = sorted(
    path
    for service in NAMES
    for path in (Path(services.__file__).parent / service / "migrations").glob("0*.py")
    if not path.name.startswith("0001")
)
TAKES_AWAY = {"drop_column", "drop_table", "drop_constraint", "rename_table"}
MARK = "CONTRACTS"
"""A module constant of a migration that takes away: which release stopped using what goes."""


def complaints(source: str) -> list[str]:
    """What a migration does that the release before it would not survive, unless it is marked."""
    tree = ast.parse(source)
    if any(
        isinstance(node, ast.Assign) and any(getattr(t, "id", "") == MARK for t in node.targets)
        for node in tree.body
    ):
        return []
    (upgrade,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "upgrade")
    found = []
    for call in (n for n in ast.walk(upgrade) if isinstance(n, ast.Call)):
        what = getattr(call.func, "attr", "")
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        if what in TAKES_AWAY:
            found.append(f"{what} takes away what the last release uses")
        if what == "alter_column" and (
            given.keys() & {"new_column_name", "type_"} or given.get("nullable") == "False"
        ):
            found.append("alter_column changes what the last release writes")
        if what == "add_column":
            column = next((a for a in call.args if isinstance(a, ast.Call)), None)
            words = {w.arg: ast.unparse(w.value) for w in column.keywords} if column else {}
            if words.get("nullable") == "False" and "server_default" not in words:
                found.append("add_column without a default: the last release leaves it out")
    return found


def test_migrations_only_add() -> None:
    """What takes away says, in ``CONTRACTS``, which release stopped using it."""
    assert {str(path): complaints(path.read_text()) for path in MIGRATIONS} == {
        str(path): [] for path in MIGRATIONS
    }


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ('op.add_column("person", sa.Column("nick", sa.String(), nullable=True))', False),
        ('op.add_column("p", sa.Column("n", sa.Text(), nullable=False, server_default=""))', False),
        ('op.create_table("x", sa.Column("id", sa.Uuid(), nullable=False))', False),
        ('op.add_column("person", sa.Column("nick", sa.String(), nullable=False))', True),
        ('op.drop_column("person", "name")', True),
        ('op.alter_column("person", "name", new_column_name="full_name")', True),
        ('op.alter_column("person", "officer_id", nullable=False)', True),
    ],
)  # fmt: skip
def test_the_rule_sees_what_breaks_the_last_release(line: str, bad: bool) -> None:
    """Planted examples; the mark lets a contraction pass."""
    source = f"def upgrade():\n    {line}\n"
    assert bool(complaints(source)) is bad
    assert complaints(f'CONTRACTS = "0.3.0"\n{source}') == []
