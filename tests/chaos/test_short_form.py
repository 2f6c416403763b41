"""The short form of the matrix: kills, a broker that dies and freezes, cuts, repeats, poison."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.faults.matrix import MATRIX, SHORT


@pytest.mark.alone
@pytest.mark.timeout(1800)
def test_seven_faults_and_every_promise_holds(tmp_path: Path) -> None:
    """A city of three hundred at work is hurt in seven ways; nothing is lost, doubled or hung."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.chaos", "--short", "--seed", "20261122"],
        env={**os.environ, "ZHIDA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    rows = json.loads((tmp_path / "chaos-short.json").read_text("utf-8"))["rows"]
    assert [row["row"] for row in rows] == [row.number for row in MATRIX if row.number in SHORT]
    assert all(row["events"] > 0 and row["answers"] > 0 for row in rows)
