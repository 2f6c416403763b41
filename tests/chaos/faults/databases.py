"""Rows 12 and 14: databases stopped, stuck, out of connections."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import Any

from services.contracts.commands.common import ReadClock
from services.contracts.errors import Unavailable
from tests.chaos.faults.broker import frozen, stopped
from tests.chaos.faults.scene import Scene


def stop_database(scene: Scene) -> None:
    """``pg_ctl stop -m immediate``: no checkpoint, every session cut; then started again."""
    with stopped(scene.stage, "postgres", signal.SIGQUIT):
        scene.work_on(0.5, 2)
        scene.alive()


def stuck_database(scene: Scene) -> None:
    """Frozen; a lock not given back; no connection left: an answer in time, never a hang."""
    stage, token = scene.stage, scene.town["admin"].signed_in.token
    with frozen(stage, "postgres"):
        time.sleep(8)
        scene.alive()
    scene.work_on(1, 2)
    with stage.held("registry", "LOCK TABLE person IN ACCESS EXCLUSIVE MODE"):
        began = time.monotonic()
        with contextlib.suppress(Unavailable):
            scene.town.client.call(
                _any_registration(scene), token=scene.town["town_clerk"].signed_in.token, timeout=30
            )
            scene.wrong.append("a request behind a lock was answered with yes")
        waited = time.monotonic() - began
    scene.seen["answer behind a lock s"] = round(waited, 1)
    scene.expect(waited < 20, f"a request behind a lock waited {waited:.0f} s")
    admin = stage.servers.cluster.connect()
    with contextlib.closing(admin), admin.cursor() as cursor:
        cursor.execute("ALTER ROLE zhida_funding CONNECTION LIMIT 1")
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'zhida_funding'"
        )
        try:
            began = time.monotonic()
            answers = []
            for _ in range(4):
                try:
                    scene.town.client.call(ReadClock(), token=token, service="funding", timeout=20)
                    answers.append("ok")
                except Unavailable:
                    answers.append("unavailable")
            scene.seen["without connections"] = ",".join(sorted(set(answers)))
            scene.expect(time.monotonic() - began < 60, "requests hang without connections")
            time.sleep(4)
        finally:
            cursor.execute("ALTER ROLE zhida_funding CONNECTION LIMIT -1")


def _any_registration(scene: Scene) -> Any:
    from services.contracts.commands.registry import NewMember, RegisterHousehold
    from tests.chaos.load import identity_of

    number = identity_of(scene.answered.next_serial())
    member = NewMember(name="试锁", identity_number=number, relation="户主")
    return RegisterHousehold(division=scene.town.village, members=(member,))
