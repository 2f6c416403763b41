"""The linters of `make lint` catch what they are for: planted bad files are found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "lint" / "semgrep.yaml"

BAD = """
import pickle

from sqlalchemy import text

from services.chassis.logs import get_logger

log = get_logger(__name__)


def find(session, cursor, person, number):
    session.execute(text(f"SELECT * FROM person WHERE name = '{number}'"))  # raw-sql-from-values
    cursor.execute("SELECT * FROM person WHERE name = '%s'" % number)  # raw-sql-from-values
    log.info("found", who=person.identity_number)  # personal-data-in-log
    log.warning("called", detail=person.phone)  # personal-data-in-log
    log.error("lost", account_number=number)  # personal-field-named-in-log
    return pickle.loads(number)  # other-serialisers-than-json
"""

GOOD = """
from sqlalchemy import text

from services.chassis.logs import get_logger

log = get_logger(__name__)


def find(session, person, number):
    session.execute(text("SELECT * FROM person WHERE name = :name"), {"name": number})
    log.info("found", person_id=person.id, case_id=number)
"""


def test_our_own_rules_catch_what_they_are_for(tmp_path: Path) -> None:
    """Each planted line by the rule it is marked with; the same done right by none."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.fail("uv is needed: `make setup` installs it")
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "good.py").write_text(GOOD)
    done = subprocess.run(
        [
            *(uv, "tool", "run", "--from", "semgrep==1.182.0", "semgrep", "scan", "--json"),
            *("--config", str(RULES), "--metrics", "off", "--disable-version-check"),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found = {
        (Path(each["path"]).name, each["start"]["line"], each["check_id"].rsplit(".", 1)[-1])
        for each in json.loads(done.stdout)["results"]
    }
    expected = {
        ("bad.py", number, line.rpartition("# ")[2])
        for number, line in enumerate(BAD.splitlines(), start=1)
        if "# " in line
    }
    assert expected <= found
    assert not [each for each in found if each[0] == "good.py"]


def test_bandit_and_detect_secrets_catch_what_they_are_for(tmp_path: Path) -> None:
    """A shell with a variable in it, and a password in a file."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import subprocess\n\n\ndef run(name):\n    subprocess.call(name, shell=True)\n"
        'password = "x9f-KJ2!lw0Qz"\n'  # pragma: allowlist secret
    )
    python = Path(sys.executable).parent
    bandit = subprocess.run(
        [python / "bandit", "-q", "-ll", "-f", "json", str(bad)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert {each["test_id"] for each in json.loads(bandit.stdout)["results"]} == {"B602"}
    assert bandit.returncode == 1
    secrets = subprocess.run(
        [python / "detect-secrets", "scan", "--no-verify", str(bad)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(json.loads(secrets.stdout)["results"]) == [str(bad)]
