"""The audit chain: whatever a database superuser does to it, the verifier finds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg2
import pytest
from sqlalchemy import make_url, text

from deploy.local import Servers
from services.cases.service import CasesService
from services.chassis import audit, audit_chain, audit_verification, common, metrics
from services.chassis.actors import ActorSigner
from services.chassis.service import endpoints
from services.chassis.uow import Foundation
from services.contracts.actors import Role, system_actor
from services.contracts.commands.common import Anchor, AuditReport, ReadAudit, VerifyAudit
from services.contracts.events.notify import NotifyAuditAnchored
from tests.fixtures.services import KEYS, actor

CLERK = actor(Role.TOWN_CLERK)
AUDITOR = actor(Role.AUDITOR)


class Log:
    """The audit log of cases, as the service writes it and as a superuser could alter it."""

    def __init__(self, foundation: Foundation, servers: Servers) -> None:
        self.foundation = foundation
        self._servers = servers

    def write(self, count: int, start: int = 0) -> None:
        """Audit rows as use cases write them."""
        with self.foundation.begin(CLERK) as uow:
            for number in range(start, start + count):
                uow.audit("case.looked", "case", number, note=f"第{number}件")

    def seal(self) -> int:
        """One round of the timer."""
        with self.foundation.begin(system_actor("cases")) as uow:
            return audit_chain.seal(uow)

    def verify(self, *anchors: Anchor) -> AuditReport:
        """What the verifier says."""
        with self.foundation.begin(AUDITOR) as uow:
            return audit_chain.verify(uow, VerifyAudit(anchors=anchors))

    def tamper(self, *statements: str) -> None:
        """As the cluster's superuser, with all triggers off."""
        database = make_url(self.foundation.settings.database_url).database
        connection = self._servers.cluster.connect(str(database))
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            for statement in statements:
                cursor.execute(statement)
        connection.close()

    def found(self, *anchors: Anchor) -> list[tuple[str, int | None]]:
        """Kinds and rows of the findings."""
        return [(f.kind, f.audit_id) for f in self.verify(*anchors).findings]


@pytest.fixture
def log(foundation_for: Callable[[str], Foundation], servers: Servers) -> Log:
    """Thirty rows under three seals."""
    made = Log(foundation_for("cases"), servers)
    for start in (0, 10, 20):
        made.write(10, start)
        made.seal()
    return made


def test_how_long_rows_wait_for_their_seal_is_measured(log: Log) -> None:
    """The age of the oldest is told while any waits, and is nothing once all are sealed."""
    gauge = metrics.AUDIT_OLDEST_SECONDS.labels("cases")
    log.write(3, 30)
    with log.foundation.begin(system_actor("cases")) as uow:
        common.measure(uow)
    assert gauge._value.get() > 0
    log.seal()
    with log.foundation.begin(system_actor("cases")) as uow:
        common.measure(uow)
    assert gauge._value.get() == 0


def test_an_honest_log_has_no_findings_and_tells_its_tail(log: Log) -> None:
    """Sealed rows are counted, rows not yet sealed are told as the tail, nothing is found."""
    log.write(4, 30)
    report = log.verify()
    assert (report.seals, report.rows, report.unsealed, report.found) == (3, 30, 4, 0)
    assert report.unsealed_since is not None
    assert log.seal() == 4
    assert (log.verify().seals, log.verify().unsealed) == (4, 0)


TAMPERING = {
    "a word of a row": (
        ['UPDATE audit SET detail = \'{"note": "别的"}\' WHERE id = 15'],
        [("changed", 15)],
    ),
    "who it was": (["UPDATE audit SET actor_id = 'x' WHERE id = 1"], [("changed", 1)]),
    "when it was": (
        ["UPDATE audit SET machine_at = machine_at + '1 us' WHERE id = 30"],
        [("changed", 30)],
    ),
    "a row removed": (["DELETE FROM audit WHERE id = 7"], [("removed", 7)]),
    "two rows swapped": (
        [
            "ALTER TABLE audit ALTER id DROP IDENTITY",
            "UPDATE audit SET id = -1 WHERE id = 4",
            "UPDATE audit SET id = 4 WHERE id = 5",
            "UPDATE audit SET id = 5 WHERE id = -1",
        ],
        [("changed", 4), ("changed", 5)],
    ),
    "a row slipped in": (
        [
            (
                "INSERT INTO audit (id, business_on, actor_id, actor_name, action, subject_type, "
                "subject_id, detail) OVERRIDING SYSTEM VALUE VALUES "
                "(999, '2026-01-01', 'x', 'x', 'x', 'x', 'x', '{}')"
            )
        ],
        [("inserted", 999)],
    ),
    "a seal removed with its rows": (
        [
            "DELETE FROM audit WHERE id BETWEEN 11 AND 20",
            "DELETE FROM audit_seal WHERE number = 2",
        ],
        [("seal_missing", None)],
    ),
    "a row removed, and the seal made to say so": (
        [
            "DELETE FROM audit WHERE id = 20",
            (
                "UPDATE audit_seal SET ids = '{[11,20)}', hashes = substr(hashes, 1, 288) "
                "WHERE number = 2"
            ),
        ],
        [("seal_broken", None)],
    ),
    "seals exchanged": (
        [
            "UPDATE audit_seal SET number = 9 WHERE number = 2",
            "UPDATE audit_seal SET number = 2 WHERE number = 3",
            "UPDATE audit_seal SET number = 3 WHERE number = 9",
        ],
        [("seal_broken", None)] * 4,
    ),
    "a changed row sealed anew": (
        [
            "UPDATE audit SET actor_id = 'x' WHERE id = 30",
            "INSERT INTO audit_unsealed VALUES (30)",
        ],
        [("changed", 30)],
    ),
}


@pytest.mark.parametrize("what", sorted(TAMPERING))
def test_the_verifier_finds(log: Log, what: str) -> None:
    """Exactly what was done, and to which row where a row can be named."""
    statements, expected = TAMPERING[what]
    log.tamper(*statements)
    assert log.found() == expected


def test_a_row_removed_before_it_was_sealed_is_found(log: Log) -> None:
    """The note for the sealer stays, and the seal covers a row that is not there."""
    log.write(3, 30)
    log.tamper("DELETE FROM audit WHERE id = 32")
    assert log.seal() == 3
    assert log.found() == [("removed", 32)]


def test_a_row_that_commits_late_is_sealed_late(log: Log) -> None:
    """A long transaction's rows have lower numbers than those sealed meanwhile: not lost."""
    with log.foundation.begin(CLERK) as uow:
        uow.audit("case.looked", "case", "slow")
        uow.session.flush()
        log.write(2, 40)
        assert log.seal() == 2
        assert log.verify().found == 0
    assert log.seal() == 1
    assert (log.verify().rows, log.verify().found) == (33, 0)


def test_the_end_cut_off_is_found_by_the_witness(log: Log) -> None:
    """Cases cuts its own chain short; what another service was told stands against it."""
    log.write(5, 30)
    log.seal()
    with log.foundation.begin(AUDITOR) as uow:
        head = uow.session.execute(
            text("SELECT number, digest, sealed_at FROM audit_seal ORDER BY number DESC LIMIT 1")
        ).one()
    told = Anchor(
        service="cases", number=head.number, digest=bytes(head.digest).hex(), at=head.sealed_at
    )
    assert log.found(told) == []
    log.tamper(
        "DELETE FROM audit_seal WHERE number = 4",
        "DELETE FROM audit WHERE id > 30",
    )
    assert log.found() == []
    assert log.found(told) == [("end_missing", None)]
    log.write(5, 50)
    log.seal()  # the end grown anew, under the true key
    assert log.found(told) == [("seal_broken", None)]


def test_the_head_is_told_once_in_a_while(log: Log) -> None:
    """The first seal is told at once, the next after an hour: one event, whatever happens."""
    with log.foundation.begin(AUDITOR) as uow:
        told = uow.session.execute(
            text("SELECT convert_from(body, 'UTF8') FROM outbox WHERE type LIKE '%anchored%'")
        ).all()
    assert len(told) == 1
    assert '"version":1' in told[0][0]


def test_a_witness_keeps_the_newest_head(log: Log) -> None:
    """Out of order or repeated, the newest stays."""
    with log.foundation.begin(system_actor("cases")) as uow:
        given: dict[str, Any] = {"service": "notify", "division": "421083", "epoch": 0}
        for version in (3, 9, 5):
            anchor = NotifyAuditAnchored(
                **given, digest=f"{version:064x}", at=uow.machine_now(), version=version
            )
            audit_chain.bear_witness(uow, [anchor])
        (kept,) = [a for a in audit_chain.list_anchors(uow, None) if a.service == "notify"]  # type: ignore[arg-type]
    assert kept.number == 9


def test_the_service_itself_cannot_change_its_log(log: Log) -> None:
    """Neither rows nor seals, by update, delete or truncate."""
    url = log.foundation.settings.database_url
    for table in ("audit", "audit_seal"):
        for statement in (
            f"UPDATE {table} SET {'actor_id' if table == 'audit' else 'hashes'} = 'x'",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            connection = psycopg2.connect(url)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as c:
                c.execute(statement)
            connection.close()


def test_an_auditors_look_is_itself_audited(log: Log) -> None:
    """Through the door: the auditor reads the log, and the reading stands in it."""
    door = endpoints(CasesService)["read_audit"]
    context = {"actor_token": ActorSigner(KEYS["ACTOR_SIGNING_KEY"]).token(AUDITOR)}

    def use_case(uow: Any, request: Any) -> Any:
        from services.chassis import audit

        return audit.read(uow, request)

    answer = door.answer(log.foundation, use_case, {"limit": 2}, context, home=None)
    assert [row["action"] for row in answer["ok"]] == ["auditor.looked", "case.looked"]
    assert answer["ok"][0]["subject_type"] == "read_audit"


def test_the_nightly_reading_says_what_it_found_by_its_exit_and_in_the_log(log: Log) -> None:
    """What the CronJob of a city runs: 0 and a report, 1 when a row was changed; that it read is
    itself on record, and sealed like everything else."""
    first, report = nightly(log)
    assert (first, report.found, report.rows) == (0, 0, 30)
    log.seal()
    log.tamper("UPDATE audit SET detail = '{}' WHERE id = (SELECT min(id) FROM audit)")
    second, report = nightly(log)
    assert (second, [f.kind for f in report.findings]) == (1, ["changed"])
    with log.foundation.begin(AUDITOR) as uow:
        rows = audit.read(uow, ReadAudit(action="audit.verified"))
    assert [row.detail["found"] for row in rows] == [1, 0]


def nightly(log: Log) -> tuple[int, AuditReport]:
    """The process as a pod starts it: its exit and its report."""
    url = log.foundation.settings.database_url
    given = {**KEYS, "CASES_DATABASE_URL": url, "AMQP_URI": "amqp://nowhere", "ZHIDA_MODE": "test"}
    done = subprocess.run(
        [sys.executable, "-m", audit_verification.__name__, "cases"],
        env={**os.environ, **given}, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, msgspec.json.decode(done.stdout.splitlines()[-1], type=AuditReport)
