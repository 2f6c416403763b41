"""Without the inbox, the outbox's transaction or the idempotency key, what guards them fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.taken_out import TAKE_OUT, WITHOUT

PYTEST = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "--tb=no", "-rf"]
A_FEW = "tests/simulation/test_histories.py::test_a_few_histories"
GUARDS = {
    "inbox": [
        A_FEW,
        "tests/integration/chassis/test_any_order.py::test_every_permutation_and_repeat_ends_the_same",
    ],
    "outbox transaction": [
        A_FEW,
        "tests/integration/chassis/test_edge_and_outbox.py::test_what_is_rolled_back_was_never_said",
    ],
    "idempotency key": [
        A_FEW,
        "tests/integration/chassis/test_edge_and_outbox.py::test_the_same_key_is_answered_once",
    ],
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cure", TAKE_OUT)
def test_each_guard_fails_without_what_it_guards(cure: str) -> None:
    """The guards are run again, alone, with the cure out: each of them fails."""
    done = subprocess.run(
        [*PYTEST, "-p", "tests.simulation.taken_out", *GUARDS[cure]],
        env={**os.environ, WITHOUT: cure},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = [guard for guard in GUARDS[cure] if f"FAILED {guard}" in done.stdout]
    assert failed == GUARDS[cure], done.stdout[-2000:] + done.stderr[-1000:]
