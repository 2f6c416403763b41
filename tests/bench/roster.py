"""The roster of a city: checked and stored with its events in the outbox, in one process.

The import runs as in production: a process of its own, one transaction. Its time runs from the
command to the commit (the file is uploaded before), its memory is the peak of that process and of
any it starts. What it leaves (registry's outbox) is the input of the bench of money.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg2

from deploy.local import PrivateServers
from services.chassis import files, migrate
from services.chassis.uow import Foundation
from services.contracts.actors import Role
from services.contracts.commands.registry import ImportRoster
from tests.bench.events import ROOT
from tests.fixtures.services import actor, settings_for

PEOPLE = 110_000
SEED = 1
FIRST_MONTH = "2026-11"


def make_roster(people: int, seed: int, path: Path) -> None:
    """A synthetic roster with officers, as ``zhida sample roster`` writes it."""
    from services.cli import sample_roster

    sample_roster.write(people, seed, path)


def load(url: str, path: Path) -> dict[str, Any]:
    """Import the roster into a migrated registry database; seconds and peak memory."""
    from services.registry import roster_import

    foundation = Foundation.build(settings_for("registry", url))
    clerk = actor(Role.TOWN_CLERK, Role.SYSTEM_ADMIN)
    with foundation.begin(clerk) as uow:
        file_id = files.write(uow, path.name, path.read_bytes(), "x", division="421083")
    began = time.perf_counter()
    with foundation.begin(clerk) as uow:
        report = roster_import.write(uow, ImportRoster(file_id=file_id, first_month=FIRST_MONTH))
    seconds = time.perf_counter() - began
    assert report.rejected == 0, report.errors[:5]
    peaks = [
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return {
        "seconds": round(seconds, 1),
        "mb": round(max(peaks)),
        "rows": report.rows,
        "people": report.people,
    }


def load_in_a_process(url: str, path: Path) -> dict[str, Any]:
    """As ``load``, in a fresh process, so that memory is the import's alone."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.bench.roster", url, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def outbox_size(url: str) -> int:
    """Events waiting."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM outbox")
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


def measure() -> dict[str, dict[str, Any]]:
    """The import of 110,000 people."""
    with tempfile.TemporaryDirectory() as folder, PrivateServers() as servers:
        path = Path(folder) / "roster.xlsx"
        make_roster(PEOPLE, SEED, path)
        url = servers.database_url("registry")
        owner_url = servers.cluster.owner_url("registry")
        migrate.upgrade("registry", owner_url, runtime=migrate.runtime_role(url, owner_url))
        found = load_in_a_process(url, path)
        events = outbox_size(url)
    facts = {"rows": found["rows"], "people": found["people"], "events": events}
    return {
        "import_110k_s": {"value": found["seconds"], **facts},
        "import_110k_mb": {"value": found["mb"]},
    }


if __name__ == "__main__":
    print(json.dumps(load(sys.argv[1], Path(sys.argv[2]))))
