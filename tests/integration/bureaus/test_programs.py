"""A bureau's own program, with nothing of ours but the connection sheet."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.builders.roster import identity
from tests.integration.bureaus.city import (
    POLICE,
    ROOT,
    VILLAGE,
    City,
    take,
    tell,
)
from tests.integration.chassis.bus import eventually

pytestmark = pytest.mark.timeout(600)

SAMPLES = ROOT / "deploy" / "samples"


@dataclass
class Program:
    """A sample client in a folder of its own: its libraries, a sheet, nothing else of ours."""

    command: list[str]
    folder: Path

    def __call__(self, *words: str, typed: str = "") -> list[dict[str, Any]]:
        """Run it to its end; the JSON lines it printed."""
        done = subprocess.run(
            [*self.command, "sheet.json", *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            input=typed,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=["python", "node"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The sample, copied away from our code."""
    if request.param == "python":
        shutil.copy(SAMPLES / "python" / "bureau.py", tmp_path)
        return Program([sys.executable, "-I", "bureau.py"], tmp_path)
    for name in ("bureau.mjs", "package.json", "package-lock.json"):
        shutil.copy(SAMPLES / "node" / name, tmp_path)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=110,
    )
    return Program(["node", "bureau.mjs"], tmp_path)


def test_a_bureaus_own_program_receives_misses_replays_and_sends(
    city: City, program: Program, request: pytest.FixtureRequest
) -> None:
    """Given the sheet alone: it takes each event once, sees what never came, gets it by a replay,
    tells of a death and hears that it was taken, and reads why another was not."""
    police = city.join(POLICE)
    take(police, police.queue)
    sheet = program.folder / "sheet.json"
    sheet.write_bytes(msgspec.json.encode(police))
    while program("receive", "events", "--idle", "1") != [{"stored": 0}]:
        pass  # what was on its way to the police before this test
    # the second program goes on where the first ended: a replay brings it both
    first, person = (1040, 50) if "node" in request.node.name else (1000, 10)
    tell(city, range(first, first + 20))
    assert program("receive", "events", "--idle", "1") == [{"stored": 20}]
    tell(city, range(first + 20, first + 30))
    assert len(take(police, police.queue)) == 10  # lost on their way into the bureau's systems
    tell(city, range(first + 30, first + 40))
    program("receive", "events", "--idle", "1")
    (gap,) = program("gaps", "events")
    assert gap == {
        "type": "person.registered.v1",
        "county": "421083",
        "missing": list(range(first + 20, first + 30)),
    }

    today = datetime.now(UTC).date() - timedelta(days=1)
    (asked,) = program("replay", "--since", today.isoformat(), "--type", "person.registered")

    def replayed() -> Any:
        said = program("receive", "events", "--idle", "1")
        ends = [line["replayed"] for line in said if "replayed" in line]
        return any(end["request"] == asked["event_id"] for end in ends)

    eventually(replayed, 240)
    assert program("gaps", "events") == []
    stored = [json.loads(line) for line in (program.folder / "events").read_text().splitlines()]
    ids = [event["id"] for event in stored]
    assert len(ids) == len(set(ids))
    mine = {
        e["data"]["n"]: e["replayed"] for e in stored if first <= e["data"].get("n", 0) < first + 40
    }
    assert {n for n, again in mine.items() if again} == set(range(first + 20, first + 30))
    assert set(mine) == set(range(first, first + 40))

    dead = ("--certificate", "GA-9", "--died-on", "2026-09-20", "--division", VILLAGE)
    (good,) = program("death", *dead, typed=identity(person))
    (bad,) = program("death", *dead, typed="421083195503070010")

    def answered_both() -> Any:
        program("receive", "events", "--idle", "0.5")
        answers = (program.folder / "events").read_text()
        return good["event_id"] in answers

    eventually(answered_both, 120)
    seen: list[dict[str, Any]] = []

    def refused() -> Any:
        seen.extend(program("refusals"))
        return [each for each in seen if each["event_id"] == bad["event_id"]]

    (refusal,) = eventually(refused, 120)
    assert (refusal["code"], refusal["field"]) == ("bad_identity_number", "identity_number")
