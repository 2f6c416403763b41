"""The running service as its users meet it: the command line, a bureau's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg2
import pytest

from deploy import bureaus as joining
from deploy.local import Servers
from deploy.local.ports import free_ports
from services.chassis.bureaus import Bureau
from tests.builders.bad_workbooks import far_cell
from tests.builders.roster import identity, row, xlsx
from tests.fixtures.services import KEYS

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "correct horse battery"
OFFICERS = [("HH0204", "李卫", "戴家场镇", "沈庙村", "13700137000")]


def until(what: str, holds: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait for a condition, at most so long; its answer."""
    ends = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < ends, f"{what} did not come in {seconds} s"
        time.sleep(0.05)
    return answer


@dataclass
class Shell:
    """A shell in which somebody types ``zhida`` commands."""

    environment: dict[str, str]
    database_url: str

    def __call__(self, *words: str, code: int = 0, typed: str = "") -> dict[str, Any]:
        """Run a command with --json; its exit code must be this; what it printed."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", "from services.cli import main; main()",
             *words, "--json"],
            env=self.environment, cwd=ROOT, input=typed, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, (done.stdout, done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What stands in registry's database."""
        with (
            closing(psycopg2.connect(self.database_url)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())


@pytest.fixture
def shell(database: Callable[[str], str], amqp_uri: str, tmp_path: Path) -> Iterator[Shell]:
    """Registry running on the real bus, its first administrator, and a shell beside it."""
    (port,) = free_ports(1)
    url = database("registry")
    environment = {
        **os.environ,
        **KEYS,
        "AMQP_URI": amqp_uri,
        "REGISTRY_DATABASE_URL": url,
        "ZHIDA_MODE": "test",
        "HEALTH_ADDRESS": f"127.0.0.1:{port}",
        "ZHIDA_SESSION": str(tmp_path / "session"),
        "ZHIDA_PASSWORD": PASSWORD,
        "REGISTRY_FIRST_ADMIN_PASSWORD": PASSWORD,
    }
    python = [sys.executable, "-W", "ignore", "-m"]
    subprocess.run(
        [*python, "services.registry.first_admin", "--keep-password"],
        env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    service = subprocess.Popen(
        [*python, "services.chassis.runner", "registry"], env=environment, cwd=ROOT
    )

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    try:
        until("registry", ready)
        yield Shell(environment, url)
        service.terminate()
        assert service.wait(timeout=60) == 0
    finally:
        service.kill()
        service.wait()


@pytest.mark.timeout(600)
def test_a_roster_at_the_shell(shell: Shell, tmp_path: Path) -> None:
    """Refused with exit code 2 and nothing written; right, written, found; a bomb harms nobody."""
    shell("login", "admin")
    good, bad, bomb = (tmp_path / name for name in ("good.xlsx", "bad.xlsx", "bomb.xlsx"))
    good.write_bytes(xlsx([row()], officers=OFFICERS))
    wrong = row(户编号="S2", 身份证号="421083195503070010")
    bad.write_bytes(xlsx([row(), wrong], officers=OFFICERS))
    bomb.write_bytes(far_cell(1_048_575, 16_383))
    month = ("--first-month", "2026-11")
    errors = tmp_path / "errors.xlsx"

    refused = shell("registry", "import", str(bad), *month, "--errors", str(errors), code=2)
    assert (refused["rows"], refused["accepted"], refused["rejected"]) == (2, 1, 1)
    (error,) = refused["errors"]
    assert (error["row"], error["column"], error["value"][-4:]) == (3, "身份证号", "0010")
    assert error["problem"]
    assert error["advice"]
    assert errors.read_bytes().startswith(b"PK")
    (whole,) = shell("registry", "import", str(bomb), *month, code=2)["errors"]
    assert (whole["row"], whole["column"]) == (0, "文件")
    assert shell.rows("SELECT count(*) FROM person") == [(0,)]

    checked = shell("registry", "import", str(good), *month, "--check")
    assert (checked["accepted"], checked["import_id"]) == (1, None)
    assert shell.rows("SELECT count(*) FROM person") == [(0,)]
    written = shell("registry", "import", str(good), *month)
    for name in ("rows", "accepted", "people", "households", "carried_over"):
        assert written[name] == 1
    assert shell.rows("SELECT count(*) FROM person") == [(1,)]
    until("the outbox", lambda: shell.rows("SELECT count(*) FROM outbox") == [(0,)])
    undone = shell("registry", "undo", written["import_id"], "--reason", "试导")
    assert undone["state"] == "undoing"


@pytest.mark.timeout(600)
def test_a_bureau_speaks_from_its_own_process(
    shell: Shell, servers: Servers, tmp_path: Path
) -> None:
    """With nothing but its connection sheet its sealed word marks the person."""
    shell("login", "admin")
    roster = tmp_path / "roster.xlsx"
    roster.write_bytes(xlsx([row()], officers=OFFICERS))
    shell("registry", "import", str(roster), "--first-month", "2026-11")
    vhost = shell.environment["AMQP_URI"].rsplit("/", 1)[-1]
    police = Bureau(
        name="public_security",
        title="公安局",
        division="421083",
        may_see=("person.registered",),
    )
    sheet = joining.add(
        servers.broker.management(vhost),
        police,
        address=f"amqp://127.0.0.1:{servers.broker.amqp_port}",
        public_key=KEYS["BUREAU_PUBLIC_KEY"],
    )
    file = tmp_path / "sheet.json"
    file.write_bytes(msgspec.json.encode(sheet))
    sent = subprocess.run(
        [
            *(sys.executable, ROOT / "deploy/samples/python/bureau.py", file, "death"),
            *("--certificate", "GA-1", "--died-on", "2026-09-20", "--division", "421083108204"),
        ],
        input=identity(1), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    event_id = json.loads(sent.stdout)["event_id"]
    kept = f"SELECT state FROM bureau_notice WHERE event_id = '{event_id}'"
    assert until("the notice", lambda: shell.rows(kept)) == [("applied",)]
    assert shell.rows("SELECT deceased_on::text FROM person") == [("2026-09-20",)]


@pytest.mark.timeout(300)
def test_a_release_works_on_the_schema_of_the_next(
    shell: Shell, servers: Servers, tmp_path: Path
) -> None:
    """The next release's migration comes while this one runs: it goes on writing and publishing,
    can be started again (a roll-back), and its own migration job leaves the schema alone."""
    from services.chassis import migrate, schema

    code = schema.expected("registry")
    owner_url = servers.cluster.owner_url("registry", shell.database_url.rpartition("/")[2])
    with closing(psycopg2.connect(owner_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20s'")
            for table in shell.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                if table[0] != "alembic_version":
                    cursor.execute(f"ALTER TABLE {table[0]} ADD COLUMN of_the_next text")
            cursor.execute("CREATE TABLE of_the_next (id bigint PRIMARY KEY)")
            cursor.execute("UPDATE alembic_version SET version_num = %s", (f"{code + 1:04d}",))
    shell("login", "admin")
    good = tmp_path / "good.xlsx"
    good.write_bytes(xlsx([row()], officers=OFFICERS))
    done = shell("registry", "import", str(good), "--first-month", "2026-11")
    assert done["rejected"] == 0
    assert shell.rows("SELECT count(*) FROM person") == [(1,)]
    until("the events", lambda: shell.rows("SELECT count(*) FROM outbox") == [(0,)])
    migrate.upgrade("registry", owner_url)
    assert schema.found(shell.database_url) == code + 1
    schema.require("registry", shell.database_url)
