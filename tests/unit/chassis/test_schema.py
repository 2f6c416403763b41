"""Which schemas a release works on: its own and the next one's."""

from __future__ import annotations

from pathlib import Path

import pytest

import services
from services.chassis import schema
from services.chassis.discovery import NAMES


@pytest.mark.parametrize(
    ("at", "code", "why"),
    [
        (None, 3, "no schema"),
        (2, 3, "older than this code"),
        (3, 3, None),
        (4, 3, None),
        (5, 3, "too new"),
    ],
)
def test_a_release_works_on_its_own_schema_and_the_next(
    at: int | None, code: int, why: str | None
) -> None:
    """N-1 runs on schema N (a rollout, a roll-back) and refuses N+1, an older one and none."""
    said = schema.verdict(at, code)
    assert (said is None) if why is None else (said is not None and why in said)


@pytest.mark.parametrize("service", NAMES)
def test_the_code_knows_its_newest_revision(service: str) -> None:
    """As many as there are files, numbered without a gap."""
    folder = Path(services.__file__).parent / service / "migrations"
    assert schema.expected(service) == len(list(folder.glob("*.py")))
