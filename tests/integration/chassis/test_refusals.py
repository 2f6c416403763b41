"""What a process does when its schema or a secret is not there: it says so and does not start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import psycopg2

from services.chassis import schema
from services.chassis.settings import REFUSED
from tests.fixtures.services import KEYS


def refusal(module: str, *arguments: str, **environment: str) -> str:
    """Start a process that must refuse; why, as its log has it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        env={"PATH": os.environ["PATH"], "AMQP_URI": "amqp://nowhere", **KEYS, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == REFUSED, done.stdout + done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (reason,) = [entry["reason"] for entry in said if entry["event"] == "service_refuses_to_start"]
    return str(reason)


def test_no_service_starts_on_a_schema_that_is_not_there(
    scratch_database: Callable[..., str],
) -> None:
    """Nor on one it does not know any more: nothing is consumed, the migration job is named."""
    url = scratch_database("cases")
    runner = "services.chassis.runner"
    assert "run the migration job" in refusal(runner, "cases", CASES_DATABASE_URL=url)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        ahead = schema.expected("cases") + schema.AHEAD + 1
        cursor.execute("INSERT INTO alembic_version VALUES (%s)", (f"{ahead:04d}",))
    assert "deploy a newer version" in refusal(runner, "cases", CASES_DATABASE_URL=url)


def test_a_portal_without_its_session_secret_does_not_start() -> None:
    """Two replicas with secrets of their own would sign each other's people out."""
    assert "PORTAL_SESSION_SECRET" in refusal(
        "services.portal", PORTAL_SECURE_COOKIES="1", PORTAL_SESSION_SECRET=""
    )
