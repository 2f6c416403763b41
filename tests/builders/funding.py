"""Builders for funding: households that get something, and the people who sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from services.chassis import files
from services.chassis.crypto import Seals
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Actor, Role
from services.contracts.commands import funding as c
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonDied,
    PersonRecorded,
    StaffAppointed,
)
from services.contracts.ids import new_id
from services.funding import (
    batches,
    budgets,
    checking,
    computing,
    deaths,
    exporting,
    grants,
    locking,
    projections,
    settlement,
    signing,
)
from services.funding.models import FundAccountRow

VILLAGE = "421083108007"
TOWN = "421083108"
COUNTY = "421083"
TODAY = date(2026, 11, 10)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def staff(number: int, *roles: Role, name: str = "") -> Actor:
    """A member of the county's staff."""
    return Actor(
        id=str(UUID(int=number)), name=name or f"职员{number}", roles=roles, divisions=(COUNTY,)
    )


CLERK = staff(0xC1, Role.FUNDING_CLERK)
AUDITOR = staff(0xA1, Role.CIVIL_AUDITOR)
FINANCE = staff(0xF1, Role.FINANCE_OFFICER)
DECIDER = UUID(int=0xD1)
SYSTEM = Actor(id="system:funding", name="系统", roles=(Role.SERVICE,), divisions=("",))

Begin = Callable[..., AbstractContextManager[UnitOfWork]]


@dataclass
class Household:
    """A household as the tests make it: its people, payee first."""

    household_id: UUID
    people: list[UUID]
    accounts: dict[UUID, str] = field(default_factory=dict)

    @property
    def head(self) -> UUID:
        """The head, whose account is paid."""
        return self.people[0]


@dataclass
class Office:
    """Funding on a fresh database, with a day on its calendar."""

    begin_uow: Begin
    registry_seals: Seals
    today: date = TODAY
    serial: int = 0
    clock_set: date | None = None

    @contextmanager
    def uow(self, actor: Actor = SYSTEM) -> Iterator[UnitOfWork]:
        """A unit of work on the office's day."""
        moved = self.today if self.today != self.clock_set else None
        with self.begin_uow("funding", actor=actor, today=moved) as uow:
            yield uow
        self.clock_set = self.today

    # -- who ---------------------------------------------------------------------------------------

    def household(
        self,
        people: int = 1,
        *,
        account: bool = True,
        born: date = date(1980, 5, 1),
        division: str = VILLAGE,
    ) -> Household:
        """A household with copies of its people, head first, and the head's account."""
        made = Household(new_id(), [new_id() for _ in range(people)])
        with self.uow() as uow:
            projections.households(
                uow,
                [
                    HouseholdRecorded(
                        household_id=made.household_id,
                        household_no=f"H{self.serial}",
                        division=division,
                        head_person_id=made.head,
                        payee_person_id=made.head,
                        members=people,
                        epoch=0,
                        version=1,
                    )
                ],
            )
            projections.people(
                uow,
                [
                    PersonRecorded(
                        person_id=person,
                        household_id=made.household_id,
                        division=division,
                        name=f"成员{number}",
                        sex="1",
                        birth_date=born,
                        relation="户主" if number == 0 else "子",
                        is_head=number == 0,
                        epoch=0,
                        version=1,
                    )
                    for number, person in enumerate(made.people)
                ],
            )
        if account:
            self.account(made, made.head)
        return made

    def pay_another(self, household: Household, person: UUID, *, at: datetime) -> None:
        """The household's money goes to another of it, as two persons said at that time."""
        with self.uow() as uow:
            projections.households(
                uow,
                [
                    HouseholdRecorded(
                        household_id=household.household_id,
                        household_no="H",
                        division=VILLAGE,
                        head_person_id=household.head,
                        payee_person_id=person,
                        payee_changed_at=at,
                        members=len(household.people),
                        epoch=0,
                        version=2,
                    )
                ],
            )

    def account(
        self,
        household: Household,
        person: UUID,
        *,
        changed_at: datetime = LONG_AGO,
        carried_over: bool = True,
        version: int = 1,
    ) -> str:
        """Give a person an account; returns its number."""
        self.serial += 1
        number = f"6222{self.serial:012d}"
        household.accounts[person] = number
        with self.uow() as uow:
            projections.accounts(
                uow,
                [
                    PersonAccountChanged(
                        person_id=person,
                        division=VILLAGE,
                        account_name=self.registry_seals.seal("funding", "陈桂兰"),
                        account_number=self.registry_seals.seal("funding", number),
                        changed_at=changed_at,
                        carried_over=carried_over,
                        epoch=0,
                        version=version,
                    )
                ],
            )
        return number

    def appoint(self, actor: Actor) -> None:
        """Copy a member of staff from registry."""
        with self.uow() as uow:
            projections.staff(
                uow,
                [
                    StaffAppointed(
                        staff_id=UUID(actor.id),
                        staff_no="S1",
                        name=actor.name,
                        division=COUNTY,
                        roles=actor.roles,
                        scopes=(COUNTY,),
                        active=True,
                        epoch=0,
                        version=1,
                    )
                ],
            )

    # -- what they get -----------------------------------------------------------------------------

    def decide(self, **change: Any) -> CaseDecided:
        """Take a decision."""
        event = decision(**change)
        with self.uow() as uow:
            grants.on_decided(uow, [event])
        return event

    def grant(
        self,
        household: Household,
        benefit: str = "rural_dibao",
        *,
        fen: int = 66_000,
        covered: Sequence[UUID] | None = None,
        from_month: date = date(2026, 11, 1),
        **change: Any,
    ) -> CaseDecided:
        """Carry a benefit over for a household (all its people when not told)."""
        people = tuple(covered or household.people)
        fields: dict[str, Any] = {
            "benefit": benefit,
            "covered_person_ids": people,
            "payee_person_id": household.head,
            "amount_fen": fen,
            "from_month": from_month,
        }
        benefits = ("payee_person_id", "counted_income_fen", "quote_id", "urgent", "traits")
        for name in (*benefits, "single_person"):
            if name in change:
                fields[name] = change.pop(name)
        return self.decide(household=household, benefits=(BenefitGranted(**fields),), **change)

    def dies(self, household: Household, person: UUID, on: date, *, event_id: str = "") -> str:
        """A death arrives."""
        event = PersonDied(
            person_id=person,
            household_id=household.household_id,
            division=VILLAGE,
            died_on=on,
            source="public_security",
            source_event_id=event_id or str(new_id()),
        )
        with self.uow() as uow:
            deaths.on_died(uow, [event])
        return event.source_event_id

    # -- money -------------------------------------------------------------------------------------

    def money(self, *, budget: int = 10**10, cash: int = 10**10, reserve: int = 0) -> None:
        """Budget for every benefit, cash, and the town's reserve."""
        from services.funding import policies

        with self.uow(FINANCE) as uow:
            for year in (2026, 2027):
                for benefit in policies.benefits():
                    if budget:
                        budgets.allot(
                            uow,
                            c.AllotBudget(
                                year=year, benefit=benefit, fen=budget, document_no=f"预{benefit}"
                            ),
                        )
            if cash:
                budgets.deposit(uow, c.DepositFunds(fen=cash, document_no="拨1"))
            if reserve:
                uow.session.add(FundAccountRow(kind="reserve", division=TOWN, balance_fen=reserve))

    # -- the steps ---------------------------------------------------------------------------------

    def open(self, month: str = "2026-11", kind: Any = "monthly") -> c.BatchView:
        """开期."""
        with self.uow(CLERK) as uow:
            return batches.open_batch(uow, c.OpenBatch(month=month, kind=kind))

    def compute(self, batch: str) -> c.BatchView:
        """计算."""
        with self.uow(CLERK) as uow:
            return computing.compute(uow, c.ComputeBatch(batch=batch))

    def check(self, batch: str) -> c.BatchView:
        """校验."""
        with self.uow(CLERK) as uow:
            return checking.check(uow, c.CheckBatch(batch=batch))

    def sign(
        self, batch: str, seat: Any, actor: Actor | None = None, fen: int | None = None
    ) -> c.BatchView:
        """审核 or 核拨."""
        actor = actor or (AUDITOR if seat == "review" else FINANCE)
        with self.uow(actor) as uow:
            total = batches.find(uow, batch).computed_fen if fen is None else fen
            return signing.sign(
                uow,
                c.SignBatch(batch=batch, seat=seat, total_fen=total, document_no="财社〔2026〕1号"),
            )

    def lock(self, batch: str) -> c.BatchView:
        """锁定."""
        with self.uow(CLERK) as uow:
            return locking.lock(uow, c.LockBatch(batch=batch))

    def export(self, batch: str, profile: str = "fixed_gbk") -> c.BatchView:
        """生成银行文件."""
        with self.uow(CLERK) as uow:
            return exporting.export(uow, c.ExportBatch(batch=batch, profile=profile))

    def view(self, batch: str) -> c.BatchView:
        """The batch as it stands."""
        with self.uow(CLERK) as uow:
            return batches.view(uow, batches.find(uow, batch))

    def file(self, batch: str) -> bytes:
        """The bank file's bytes."""
        with self.uow(CLERK) as uow:
            row = batches.find(uow, batch)
            assert row.file_id is not None
            return files.read(uow, row.file_id)

    def settle(self, batch: str, content: bytes) -> c.ReturnView:
        """读入回盘文件."""
        with self.uow(CLERK) as uow:
            file_id = files.write(uow, "return", content, "text/plain", division=COUNTY)
            return settlement.settle(uow, c.SettleBatch(batch=batch, file_id=file_id))

    def bring_to(self, state: str, batch: str = "2026-11") -> c.BatchView:
        """Take a batch as far as a state (``sent`` uses the fixed-width profile)."""
        steps: list[tuple[str, Callable[[], c.BatchView]]] = [
            ("computed", lambda: self.compute(batch)),
            ("checked", lambda: self.check(batch)),
            ("reviewed", lambda: self.sign(batch, "review")),
            ("released", lambda: self.sign(batch, "release")),
            ("locked", lambda: self.lock(batch)),
            ("sent", lambda: self.export(batch)),
        ]
        view = self.open(batch) if batch == "2026-11" else self.view(batch)
        for name, step in steps:
            if view.state == state:
                break
            view = step()
            assert view.state == name
        return view


def decision(
    *,
    household: Household,
    benefits: tuple[BenefitGranted, ...] = (),
    basis: str = "carried_over",
    outcome: str = "granted",
    **change: Any,
) -> CaseDecided:
    """A decision of a case."""
    fields: dict[str, Any] = {
        "decision_id": new_id(),
        "decision_no": "洪民〔2025〕8号",
        "case_id": new_id(),
        "case_no": "JZ20250001",
        "item": "carried_over",
        "basis": basis,
        "outcome": outcome,
        "household_id": household.household_id,
        "applicant_person_id": household.head,
        "division": VILLAGE,
        "decided_on": date(2026, 10, 12),
        "benefits": benefits,
        "involved": (DECIDER,),
    }
    return CaseDecided(**(fields | change))


def bank_answers(content: bytes, failures: dict[int, str] | None = None) -> bytes:
    """What a bank makes of a fixed-width file: every line answered, some with a code."""
    failures = failures or {}
    records = content.split(b"\r\n")
    answered = [records[0]]
    for number, record in enumerate(records[1:-1], start=1):
        code = failures.get(number, "0000")
        # D | 12 note | 32 account | 60 name | 14 amount | 4 result | 40 reason
        answered.append(record[:119] + code.encode() + record[123:])
    return b"\r\n".join([*answered, b""])
