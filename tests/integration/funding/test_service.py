"""The running service: events in on the real broker, a month paid over the real edge."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import xlsxwriter
from kombu import Connection, Exchange, Producer

from deploy.local.bank_simulator import answer_text, answer_workbook
from deploy.local.ports import free_ports
from services.chassis.actors import ActorSigner
from services.chassis.client import Client
from services.chassis.crypto import Seals
from services.chassis.keys import SIGNING
from services.cli.session import SignedInHere
from services.contracts.actors import Actor, Role
from services.contracts.commands import funding as c
from services.contracts.commands.common import SetClock
from services.contracts.commands.registry import StaffView
from services.contracts.errors import Conflict, Forbidden
from services.contracts.events import Event, event_type
from services.contracts.events.cases import BenefitGranted
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonDied,
    PersonRecorded,
)
from tests.builders.funding import AUDITOR, CLERK, FINANCE, VILLAGE, Household, decision, staff
from tests.fixtures.services import KEYS, settings_for

ADMIN = staff(0xAD, Role.SYSTEM_ADMIN)


@contextmanager
def running(amqp_uri: str, url: str) -> Iterator[str]:
    """Funding as a process of its own; gives its health address. SIGTERM must end it with 0."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "services.chassis.runner", "funding"],
        env={
            **os.environ,
            **KEYS,
            "AMQP_URI": amqp_uri,
            "FUNDING_DATABASE_URL": url,
            "ZHIDA_MODE": "test",
            "HEALTH_ADDRESS": f"127.0.0.1:{port}",
        },
    )
    try:
        until("readiness", lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()


def until(what: str, holds: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for a condition, at most so long."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"{what} did not come in {seconds} s"
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether a page says 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def publish(amqp_uri: str, events: list[Event]) -> None:
    """Publish events as their owners would, confirmed."""
    with Connection(amqp_uri, transport_options={"confirm_publish": True}) as connection:
        for event in events:
            declared = event_type(event)
            Producer(connection).publish(
                msgspec.json.encode(event),
                exchange=Exchange(declared.exchange(), "topic", durable=True, no_declare=True),
                routing_key=declared.routing_key(event),
                content_type="application/json",
                content_encoding="utf-8",
                headers={"cloudEvents:id": str(uuid4()), "cloudEvents:type": declared.name},
                delivery_mode=2,
                mandatory=True,
                timeout=10,
                confirm_timeout=10,
            )


def household_events(home: Household, seals: Seals, account: str) -> list[Event]:
    """What registry says of a household of one."""
    return [
        HouseholdRecorded(
            household_id=home.household_id,
            household_no="H1",
            division=VILLAGE,
            head_person_id=home.head,
            payee_person_id=home.head,
            members=1,
            epoch=0,
            version=1,
        ),
        PersonRecorded(
            person_id=home.head,
            household_id=home.household_id,
            division=VILLAGE,
            name="王䶮",
            sex="1",
            birth_date=date(1940, 2, 3),
            relation="户主",
            is_head=True,
            epoch=0,
            version=1,
        ),
        PersonAccountChanged(
            person_id=home.head,
            division=VILLAGE,
            account_name=seals.seal("funding", "王䶮"),
            account_number=seals.seal("funding", account),
            changed_at=datetime(2026, 1, 1, tzinfo=UTC),
            carried_over=True,
            epoch=0,
            version=1,
        ),
    ]


@pytest.mark.timeout(300)
def test_a_month_over_the_bus_and_the_edge(amqp_uri: str, database: Callable[[str], str]) -> None:
    """Events make entitlements in any order and however often; commands are answered for the right
    roles only, once for a key; files go up and come down; a death on the bus stops the payment."""
    url = database("funding")
    seals = Seals("registry", settings_for("funding", url).transit_keys)
    signer = ActorSigner(KEYS[SIGNING])
    homes = [Household(uuid4(), [uuid4()]) for _ in range(3)]
    facts: list[Event] = []
    for number, home in enumerate(homes):
        facts += household_events(home, seals, f"62220000000000{number:02d}")
        granted = BenefitGranted(
            benefit="elderly",
            covered_person_ids=(home.head,),
            payee_person_id=home.head,
            amount_fen=5_000 + number,
            from_month=date(2026, 11, 1),
        )
        facts.append(decision(household=home, benefits=(granted,)))
    with running(amqp_uri, url), closing(Client(amqp_uri)) as client:

        def ask(actor: Actor, request: object, **how: str) -> object:
            return client.call(request, token=signer.token(actor), **how)  # type: ignore[arg-type]

        ask(
            ADMIN,
            SetClock(today=date(2026, 11, 10)),
            service="funding",
        )
        publish(amqp_uri, [*reversed(facts), *facts])
        for benefit in ("elderly",):
            ask(FINANCE, c.AllotBudget(year=2026, benefit=benefit, fen=10**8, document_no="预1"))
        ask(FINANCE, c.DepositFunds(fen=10**8, document_no="拨1"))
        ask(CLERK, c.OpenBatch(month="2026-11"), key="open-1")
        again = ask(CLERK, c.OpenBatch(month="2026-11"), key="open-1")
        assert isinstance(again, c.BatchView)
        with pytest.raises(Forbidden):
            ask(staff(5, Role.TOWN_CLERK), c.ComputeBatch(batch="2026-11"))

        def computed() -> bool:
            view = ask(CLERK, c.ComputeBatch(batch="2026-11"))
            assert isinstance(view, c.BatchView)
            return view.payments == 3

        until("the entitlements", computed)
        until("the accounts", lambda: _total(ask(CLERK, c.CheckBatch(batch="2026-11"))) == 15_003)
        publish(
            amqp_uri,
            [
                PersonDied(
                    person_id=homes[2].head,
                    household_id=homes[2].household_id,
                    division=VILLAGE,
                    died_on=date(2026, 10, 2),
                    source="public_security",
                    source_event_id="e1",
                )
            ],
        )
        until("the stop", lambda: _total(ask(CLERK, c.ShowBatch(batch="2026-11"))) == 10_001)
        ask(AUDITOR, c.SignBatch(batch="2026-11", seat="review", total_fen=10_001))
        with pytest.raises(Conflict):
            ask(FINANCE, c.SignBatch(batch="2026-11", seat="release", total_fen=15_003))
        ask(
            FINANCE,
            c.SignBatch(
                batch="2026-11", seat="release", total_fen=10_001, document_no="财社〔2026〕1号"
            ),
        )
        ask(CLERK, c.LockBatch(batch="2026-11"))
        sent = ask(CLERK, c.ExportBatch(batch="2026-11", profile="fixed_gbk"))
        assert isinstance(sent, c.BatchView)
        assert sent.file_id is not None
        _, content = client.download("funding", sent.file_id, token=signer.token(CLERK))
        assert "王龚".encode("gbk") in content
        answer = answer_text(content, seed=1, fail_one_in=0, leave_out=0)
        file_id = client.upload(
            "funding", "return.txt", answer, "text/plain", token=signer.token(CLERK)
        )
        read = ask(CLERK, c.SettleBatch(batch="2026-11", file_id=file_id))
        assert isinstance(read, c.ReturnView)
        assert (read.settled, read.settled_fen, read.unanswered) == (2, 10_001, 0)
        final = ask(CLERK, c.ShowBatch(batch="2026-11"))
        assert isinstance(final, c.BatchView)
        assert final.sums is not None
        assert final.sums.agree


class Shell:
    """The `zhida` command in the hands of signed-in people, as a script would use it."""

    def __init__(self, amqp_uri: str, folder: Path) -> None:
        self._amqp_uri = amqp_uri
        self._folder = folder
        self._signer = ActorSigner(KEYS[SIGNING])

    def run(self, actor: Actor, *words: str, expect: int = 0, as_json: bool = True) -> Any:
        """Run a command; gives its JSON (or its text); its exit code must be as expected."""
        session = self._folder / actor.id
        view = StaffView(
            staff_id=UUID(actor.id),
            staff_no="S1",
            name=actor.name,
            division="421083",
            roles=actor.roles,
            scopes=actor.divisions,
            active=True,
            since=date(2026, 1, 1),
        )
        session.write_bytes(
            msgspec.json.encode(
                SignedInHere(
                    token=self._signer.token(actor),
                    expires_at=datetime.now(UTC) + timedelta(hours=1),
                    account="x",
                    staff=view,
                )
            )
        )
        done = subprocess.run(
            [
                *(sys.executable, "-W", "ignore", "-c", "from services.cli import main; main()"),
                *words,
                *(["--json"] if as_json else []),
            ],
            env={
                **os.environ,
                "AMQP_URI": self._amqp_uri,
                "ZHIDA_SESSION": str(session),
                "COLUMNS": "240",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, done.stderr + done.stdout
        return json.loads(done.stdout) if as_json and expect == 0 else done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_a_month_at_the_shell(
    amqp_uri: str, database: Callable[[str], str], tmp_path: Path
) -> None:
    """`zhida funding` takes a month from opening to re-payment; wrong files exit with 2."""
    url = database("funding")
    seals = Seals("registry", settings_for("funding", url).transit_keys)
    facts: list[Event] = []
    for number in range(3):
        home = Household(uuid4(), [uuid4()])
        facts += household_events(home, seals, f"62220000000000{number:02d}")
        granted = BenefitGranted(
            benefit="elderly",
            covered_person_ids=(home.head,),
            payee_person_id=home.head,
            amount_fen=5_000,
            from_month=date(2026, 11, 1),
        )
        facts.append(decision(household=home, benefits=(granted,)))
    shell = Shell(amqp_uri, tmp_path)
    with running(amqp_uri, url):
        publish(amqp_uri, facts)
        budget = ("funding", "budget")
        shell.run(FINANCE, *budget, "allot", "2026", "elderly", "5000", "--document", "预1")
        shell.run(FINANCE, *budget, "deposit", "5000", "--document", "拨1")
        refused = shell.run(FINANCE, *budget, "deposit", "-5", "--document", "拨2", expect=2)
        assert "5" in refused
        cycle = ("funding", "cycle")
        shell.run(CLERK, *cycle, "open", "2026-11")

        def checked() -> bool:
            shell.run(CLERK, *cycle, "compute", "2026-11")
            return bool(shell.run(CLERK, *cycle, "check", "2026-11")["computed_fen"] == 15_000)

        until("three entitlements with accounts", checked)
        shell.run(AUDITOR, *cycle, "approve", "2026-11", "--total", "150.00")
        wrong = shell.run(FINANCE, *cycle, "approve", "2026-11", "--total", "149.99", expect=2)
        assert "149.99" in wrong
        shell.run(FINANCE, *cycle, "approve", "2026-11", "--total", "150", "--document", "财社1号")
        shell.run(CLERK, *cycle, "lock", "2026-11")
        bank_file, answer = tmp_path / "bank.xlsx", tmp_path / "return.xlsx"
        sent = shell.run(CLERK, *cycle, "export", "2026-11", "--out", str(bank_file))
        assert hashlib.sha256(bank_file.read_bytes()).hexdigest() == sent["file_sha256"]
        spoilt = tmp_path / "spoilt.xlsx"
        spoilt.write_bytes(b"not a workbook")
        refused = shell.run(CLERK, *cycle, "settle", "2026-11", str(spoilt), expect=2)
        assert "回盘文件" in refused
        answer_workbook(bank_file, answer, seed=1, fail_one_in=1, leave_out=0)
        read = shell.run(CLERK, *cycle, "settle", "2026-11", str(answer))
        assert (read["settled"], read["failed"]) == (0, 3)
        again = shell.run(CLERK, *cycle, "repay", "2026-11")
        assert again["kind"] == "repayment"
        page = shell.run(CLERK, *cycle, "payments", "2026-11", "--state", "failed")
        payment = page["payments"][0]["payment_id"]
        chain = shell.run(CLERK, "funding", "payment", payment, as_json=False)
        for words in ("高龄津贴", "洪民〔2025〕8号", "财社1号", "救助支出", "回盘第", "****"):
            assert words in chain, words
        shown = shell.run(CLERK, *cycle, "show", "2026-11", as_json=False)
        assert "相符" in shown
        old = tmp_path / "old.xlsx"
        with xlsxwriter.Workbook(str(old)) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, ["户名", "账号", "金额"])
            sheet.write_row(1, 0, ["王䶮", "6222000000000000", 50])
        compared = shell.run(CLERK, "funding", "compare", str(old), "--batch", "2026-11")
        assert (compared["equal"], compared["differing"]) == (1, 2)
        balances = shell.run(CLERK, *budget, "ledger")
        assert sum(row["balance_fen"] for row in balances) == 0


def _total(view: object) -> int:
    assert isinstance(view, c.BatchView)
    return view.computed_fen
