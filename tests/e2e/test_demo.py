"""The demo, whole, and its checks put to the test themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHAPE = {
    "people",
    "households",
    "cases",
    "cycle",
    "events",
    "messages",
    "death_to_stop_ms",
    "seconds",
    "checks",
}


@pytest.mark.alone
@pytest.mark.xdist_group("demo")
@pytest.mark.timeout(900)
def test_every_check_holds_and_fails_when_its_evidence_is_spoilt(tmp_path: Path) -> None:
    """The main job runs from roster to paid; each check holds, and sees a spoilt row or file."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.e2e.corruptions"],
        env={**os.environ, "ZHIDA_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert {name: [True, False] for name in result["verdicts"]} == result["verdicts"]
    assert set(result["report"]) == SHAPE
    assert result["report"]["events"]["dead_letters"] == 0
    assert result["report"]["cases"]["refused"] == 1
