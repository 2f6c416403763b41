"""People at work while things break: a window, urgent aid, an auditor, a bureau, a month's pay.

Everybody is patient as a person is: a request that is not answered is sent again with the same
idempotency key until it is. What was answered is remembered; the invariants look for it.
"""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec
from stdnum.iso7064 import mod_11_2

from deploy import bureaus as joining
from services.chassis.bureaus import Bureau
from services.chassis.client import Client
from services.chassis.discovery import NAMES
from services.cli import sample_roster
from services.cli.demo import cast, evidence, money
from services.cli.demo.story import SAMPLE
from services.cli.demo.world import Desk, World
from services.contracts.commands import cases, funding, notify
from services.contracts.commands.common import SetClock
from services.contracts.commands.registry import (
    FindByIdentity,
    ImportRoster,
    NewMember,
    RegisterHousehold,
    SignIn,
)
from services.contracts.errors import NotFound, Unavailable, ZhidaError
from services.contracts.requests import Request
from tests.chaos.stage import Stage

R = TypeVar("R")

FIRST_MONTH = (2026, 11)
YEARS = (2026, 2027, 2028)
OPENED_ON = date(2026, 10, 12)
ANSWER_S = 12.0
"""How long one try waits for its answer; mass work is given twice that."""
PATIENCE_S = 900.0
MASS_WORK_S = 60.0
"""Requests whose own patience is longer than this work on a whole city."""
AID_FEN = 30_000
PASSWORD = secrets.token_urlsafe(12)


class Impatient(Exception):
    """A request was refused for good, or nobody answered for minutes."""


@dataclass(frozen=True)
class PatientDesk(Desk):
    """Asks again with the same key until there is an answer."""

    tries: list[float] = field(default_factory=list, compare=False)
    """When a try was in vain."""

    def ask(self, request: Request[R], *, purpose: str | None = None) -> R:
        """Ask until answered."""
        key, deadline = secrets.token_hex(12), time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.client.call(
                    request,
                    token=self.signed_in.token,
                    key=key,
                    purpose=purpose,
                    timeout=ANSWER_S if request.timeout < MASS_WORK_S else 2 * ANSWER_S,
                )
            except ZhidaError as error:
                if not _may_try_again(error) or time.monotonic() > deadline:
                    raise
                self.tries.append(time.monotonic())
                time.sleep(0.3)

    def upload(self, service: str, path: Path) -> UUID:
        """Hand in a file; begun anew when it did not get through."""
        return _patiently(lambda: Desk.upload(self, service, path))

    def download(self, service: str, file_id: UUID, folder: Path) -> Path:
        """Fetch a file."""
        return _patiently(lambda: Desk.download(self, service, file_id, folder))


def _may_try_again(error: ZhidaError) -> bool:
    return isinstance(error, Unavailable) or error.code == ZhidaError.code


def _patiently(work: Callable[[], R]) -> R:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except ZhidaError as error:
            if not _may_try_again(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.3)


class Town(World):
    """The demo's world with patient desks, on the stage that is hurt."""

    def sign_in(self, role: str, account: str, password: str) -> Desk:
        """As in the demo; the desk is patient."""
        signed_in = _patiently(
            lambda: self.client.call(SignIn(account=account, password=password), timeout=ANSWER_S)
        )
        self.passwords[account] = password
        self.desks[role] = PatientDesk(self.client, signed_in)
        return self.desks[role]

    def sign_in_again(self) -> None:
        """Fresh tokens for everybody."""
        for role, account in {"admin": "admin"} | {
            part.desk: part.desk.replace("_", "-") for part in cast.PARTS
        }:
            self.sign_in(role, account, self.passwords[account])

    def set_clock(self, today: date) -> None:
        """Make ``today`` the business date of every service."""
        token = self["admin"].signed_in.token
        for name in NAMES:
            _patiently(
                lambda name=name: self.client.call(  # type: ignore[misc]
                    SetClock(today=today), token=token, service=name, timeout=ANSWER_S
                )
            )


def settle_in(stage: Stage, people: int, seed: int) -> Town:
    """Staff in post, money in the budget, a roster imported: the city before anything breaks."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "services.registry.first_admin", "--keep-password"],
        input=PASSWORD + "\n",
        text=True,
        env=stage.environment("registry"),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    admit_public_security(stage, cast.COUNTY)
    town = Town(stage.stack, Client(stage.stack.amqp_uri), stage.files, people, seed)
    town.sign_in("admin", "admin", PASSWORD)
    cast.enter(town)
    town.set_clock(OPENED_ON)
    finance = town["finance_officer"]
    for year in YEARS:
        for benefit in money.BENEFITS:
            finance.ask(
                funding.AllotBudget(
                    year=year, benefit=benefit, fen=money.PLENTY_FEN, document_no=f"{year}{benefit}"
                )
            )
    finance.ask(funding.DepositFunds(fen=money.PLENTY_FEN * 9, document_no="拨付一号"))
    money.replenish(town, "备用金一号")
    roster = stage.files / "roster.xlsx"
    sample_roster.write(people, seed, roster)
    importer = town["county_decider"]
    report = town.client.call(
        ImportRoster(file_id=importer.upload("registry", roster), first_month="2026-11"),
        token=importer.signed_in.token,
    )
    if report.import_id is None:
        raise Impatient(f"the roster was refused: {report.errors[:3]}")
    return town


@dataclass
class Answered:
    """What was answered with yes since the beginning: it must stand in the databases."""

    households: dict[str, UUID] = field(default_factory=dict)
    """Household by the identity number of its head."""
    aids: list[UUID] = field(default_factory=list)
    """Cases of urgent aid that were decided."""
    deaths: dict[str, UUID] = field(default_factory=dict)
    """Person by certificate."""
    bank_files: list[tuple[Path, Path]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What nobody should have been told."""
    asked: int = 0
    """Households asked for so far, answered or not."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_serial(self) -> int:
        """A number for one more household."""
        with self._lock:
            self.asked += 1
            return self.asked


class Load:
    """The work of one row; ``start`` it, hurt something, ``stop`` it."""

    def __init__(self, stage: Stage, town: Town, answered: Answered, rng: random.Random) -> None:
        self.stage = stage
        self.town = town
        self.answered = answered
        self._rng = rng
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failed: list[BaseException] = []
        self._cycle: Callable[[], None] = lambda: None
        self._materials: tuple[str, ...] = ()
        self.last_answer = 0.0
        self.answers = 0
        self.slowest_s = 0.0

    def start(
        self,
        *,
        month: int | None = None,
        leave_out: int = 0,
        deaths: int = 1,
        month_waits: bool = False,
    ) -> None:
        """People begin; ``month`` counts the months since the first, ``None`` for no cycle.

        With ``month_waits`` the cycle begins at ``begin_month``.
        """
        self._run(self._window)
        self._run(self._window)
        self._run(self._urgent_aid)
        self._run(self._audit)
        for _ in range(deaths):
            self._run(self._death)
        if month is not None:
            self._cycle = lambda: self._month(month, leave_out)
            if not month_waits:
                self.begin_month()

    def start_gently(self, pause_s: float) -> None:
        """One window with a pause after each household, and urgent aid: work for an hour."""

        def window() -> None:
            while not self._stop.wait(pause_s):
                self.register()

        self._run(window)
        self._run(self._urgent_aid)

    def begin_month(self) -> None:
        """The month's cycle begins."""
        self._run(self._cycle)

    def stop(self, seconds: float = 900) -> None:
        """Everybody ends what they have in hand; raises what went wrong."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            if thread.is_alive():
                raise Impatient(f"{thread.name} still waits after {seconds:.0f} s")
        if self._failed:
            raise self._failed[0]

    def register(self) -> UUID:
        """One household at the window; its head's id."""
        began = time.monotonic()
        number = identity_of(self.answered.next_serial())
        name = "试" + self._rng.choice("安宁康平和顺")
        household = self.town["town_clerk"].ask(
            RegisterHousehold(
                division=self.town.village,
                members=(
                    NewMember(
                        name=name,
                        identity_number=number,
                        relation="户主",
                        phone=f"138{self._rng.randrange(10**8):08d}",
                        account_name=name,
                        account_number=f"6217{self._rng.randrange(10**12):012d}",
                        bank="农商银行",
                    ),
                ),
            )
        )
        self.answered.households[number] = household.household_id
        self._noted(began)
        return household.members[0].person_id

    def _noted(self, began: float) -> None:
        self.last_answer = time.monotonic()
        self.slowest_s = max(self.slowest_s, self.last_answer - began)
        self.answers += 1

    def _run(self, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except ZhidaError as error:
                self.answered.refused.append(f"{work.__qualname__}: {error}")
            except BaseException as error:  # noqa: BLE001 - told by ``stop``
                self._failed.append(error)

        thread = threading.Thread(target=run, name=work.__qualname__, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _window(self) -> None:
        while not self._stop.is_set():
            self.register()
            self._stop.wait(self._rng.uniform(0.0, 0.1))

    def _audit(self) -> None:
        """Each look is audited, sealed and anchored with the others: so notify, which else says
        next to nothing, publishes too.
        """
        while not self._stop.wait(1.0):
            self.town["auditor"].ask(notify.ListLetters())

    def _urgent_aid(self) -> None:
        while not self._stop.wait(0.5):
            began = time.monotonic()
            person = self.register()
            clerk = self.town["town_clerk"]
            while not self._intake_knows(person):
                time.sleep(0.1)
            case = clerk.ask(
                cases.AcceptApplication(
                    application=cases.Application(
                        item="temporary_aid",
                        applicant_id=person,
                        route="urgent",
                        asked_fen=AID_FEN,
                        materials=self._papers(),
                        circumstance="房屋失火",
                    )
                )
            )
            self.town["town_decider"].ask(
                cases.Decide(
                    case_id=case.case_id,
                    outcome="granted",
                    grants=(cases.Grant(benefit="temporary_aid", amount_fen=AID_FEN),),
                    reason="房屋失火",
                )
            )
            self.answered.aids.append(case.case_id)
            self._noted(began)

    def _papers(self) -> tuple[str, ...]:
        if not self._materials:
            items = self.town["town_clerk"].ask(cases.ListItems(division=self.town.village))
            aid = next(item for item in items if item.code == "temporary_aid")
            self._materials = tuple(paper.code for paper in aid.materials if not paper.shared)
        return self._materials

    def _intake_knows(self, person: UUID) -> bool:
        try:
            self.town["town_clerk"].ask(cases.ReadIntake(person_id=person))
        except NotFound:
            return False
        return True

    def _death(self) -> None:
        """Public security tells of a death, and again until the broker has confirmed it."""
        rows = [
            row
            for row in evidence.sheet(self.stage.files / "roster.xlsx")
            if row["待遇项目"] and row["与户主关系"] != "户主"
        ]
        row = rows[len(self.answered.deaths) % len(rows)]
        number = str(row["身份证号"])
        person = self.town["county_decider"].ask(FindByIdentity(identity_number=number))
        if person is None:
            raise Impatient("a person of the roster is not on record")
        certificate = f"GA-{len(self.answered.deaths):06d}"
        told = {
            "--certificate": certificate,
            "--died-on": OPENED_ON.isoformat(),
            "--division": person.division,
        }
        sheet = self.stage.files / "public_security.json"
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(subprocess.SubprocessError):
                subprocess.run(
                    [sys.executable, str(SAMPLE), str(sheet), "death", *chain(*told.items())],
                    input=number,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                )
                self.answered.deaths[certificate] = person.person_id
                return
            time.sleep(0.5)
        raise Impatient("the bureau's notice was never confirmed")

    def _month(self, since_first: int, leave_out: int) -> None:
        """A month's cycle: computed, checked, signed twice, locked, sent, answered by the bank."""
        month = month_after(since_first)
        year, number = map(int, month.split("-"))
        self.town.set_clock(date(year, number, 10))
        self.town["funding_clerk"].ask(funding.OpenBatch(month=month))
        paid = money.pay(self.town, month, f"洪财社{month}", self.stage.files, leave_out=leave_out)
        self.answered.bank_files.append((paid.bank_file, paid.return_file))


def month_after(since_first: int) -> str:
    """The month that many after the first."""
    year, month = divmod(FIRST_MONTH[0] * 12 + FIRST_MONTH[1] - 1 + since_first, 12)
    return f"{year}-{month + 1:02d}"


def admit_public_security(stage: Stage, county: str) -> None:
    """A connection sheet for the police, whose way to the broker is by the wire."""
    police = Bureau(
        name="public_security", title="公安局", division=county, may_see=("person.registered",)
    )
    sheet = joining.add(
        stage.servers.broker.management(stage.vhost),
        police,
        address=f"amqp://127.0.0.1:{stage.broker_wire.port}",
        public_key=stage.keys["BUREAU_PUBLIC_KEY"],
    )
    (stage.files / "public_security.json").write_bytes(msgspec.json.encode(sheet))


def identity_of(serial: int) -> str:
    """A valid number of somebody who does not exist, never the same twice in a run."""
    sequence, day = divmod(serial, 15_000)
    body = f"420117{date(1950, 1, 1) + timedelta(days=day):%Y%m%d}{sequence:03d}"
    return body + str(mod_11_2.calc_check_digit(body))
