"""Rosters in: checked first, then all or nothing; taken back whole until the first lock.

Runs in a child process. The whole import is one transaction: officers, households, people, their
numbers under lock and key, responsibility, benefits already granted, and every event of them.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Literal, cast
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text, update

from services.chassis import files, outbox
from services.chassis.tracing import current_traceparent
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    CheckRoster,
    ImportRoster,
    ImportView,
    ListImports,
    RosterProblem,
    RosterReport,
    UndoImport,
)
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.events import Event
from services.contracts.events.funding import ImportLocked
from services.contracts.events.registry import (
    BenefitCarriedOver,
    Category,
    HouseholdRecorded,
    PersonAccountChanged,
    PersonContactChanged,
    PersonRecorded,
    PersonRegistered,
    RosterImportUndone,
)
from services.contracts.ids import new_id
from services.registry import (
    beneficiaries,
    deaths,
    divisions,
    error_workbook,
    policy_files,
    staff,
    workbook,
)
from services.registry.copy_in import NULL, copy_lines, copy_rows
from services.registry.domain import officers as officer_sheet
from services.registry.domain import registered, roster
from services.registry.domain.benefits import HEAD, KINSHIPS, OF_CHILD, OF_HOUSEHOLD
from services.registry.domain.pinyin import initials
from services.registry.models import (
    BureauNotice,
    CarriedBenefit,
    HeldBenefit,
    Household,
    Person,
    PersonCategory,
    Responsibility,
    RosterImport,
    Staff,
)

SHEET = "花名册"
SHOWN_ERRORS, SHOWN_WARNINGS = 10_000, 1_000
"""How many a report holds; the error workbook holds all errors."""

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass
class _Read:
    """A roster as read and checked against the record."""

    file_name: str
    content: bytes
    roster: roster.Roster
    officers: list[officer_sheet.Officer]
    indexes: dict[str, bytes]
    people: dict[str, registered.KnownPerson] = field(default_factory=dict)
    households: dict[str, registered.KnownHousehold] = field(default_factory=dict)


def check(uow: UnitOfWork, command: CheckRoster) -> RosterReport:
    """What the roster says and what is wrong with it. Writes nothing of it."""
    started = time.monotonic()
    read = _read(uow, command.file_id, _first_month(uow, command.first_month))
    return _report(uow, read, started, workbook_too=command.errors_workbook)


def write(uow: UnitOfWork, command: ImportRoster) -> RosterReport:
    """Write all of the roster, when nothing in it is wrong."""
    started = time.monotonic()
    first_month = _first_month(uow, command.first_month)
    uow.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('roster_import'))"))
    read = _read(uow, command.file_id, first_month)
    if read.roster.problems:
        return _report(uow, read, started, workbook_too=command.errors_workbook)
    read.content = b""
    import_id = new_id()
    staff.put_officers_in_post(uow, read.officers)
    _Writer(uow, read, import_id, first_month).write()
    given = read.roster
    uow.session.add(
        RosterImport(
            id=import_id,
            file_id=command.file_id,
            file_name=read.file_name,
            first_month=first_month,
            state="written",
            rows=given.rows,
            people=len(given.people),
            households=len(given.households),
            grants=len(given.grants),
            warnings=len(given.warnings),
            imported_by=uow.actor.id,
            imported_by_name=uow.actor.name,
        )
    )
    uow.audit("roster.imported", "roster_import", import_id, rows=given.rows)
    _match_waiting(uow, import_id)
    return _report(uow, read, started, import_id=import_id)


def undo(uow: UnitOfWork, command: UndoImport) -> ImportView:
    """Take an import back whole."""
    row = uow.session.get(RosterImport, command.import_id, with_for_update=True)
    if row is None:
        raise NotFound("没有这次导入", field="import_id")
    if row.state == "locked":
        raise Conflict(
            "这次导入的待遇已锁定付款，不能撤销", advice="有误的请逐户复核", reason="locked"
        )
    if row.state == "undone":
        raise Conflict("这次导入已经撤销", reason="undone")
    if not command.reason.strip():
        raise Invalid("请写明撤销原因", field="reason")
    _require_scope(uow, _divisions_of(uow, row.id))
    _refuse_joined(uow, row.id)
    _remove(uow, row.id)
    row.state, row.undone_at = "undone", uow.machine_now()
    row.undone_by, row.reason = uow.actor.id, command.reason
    uow.session.flush()
    uow.audit("roster.undone", "roster_import", row.id, reason=command.reason)
    _emit(uow, _removals(uow, row.id))
    uow.emit(RosterImportUndone(import_id=row.id, division=uow.settings.county))
    return _view(row)


def list_imports(uow: UnitOfWork, query: ListImports) -> list[ImportView]:
    """Imports, newest first."""
    rows = uow.session.scalars(
        select(RosterImport).order_by(RosterImport.imported_at.desc()).limit(min(query.limit, 500))
    )
    return [_view(row) for row in rows]


def on_locked(uow: UnitOfWork, events: Iterable[ImportLocked]) -> None:
    """From the first lock on, an import stands."""
    uow.session.execute(
        update(RosterImport)
        .where(
            RosterImport.id.in_({event.import_id for event in events}),
            RosterImport.state == "written",
        )
        .values(state="locked")
    )


# -- reading ----------------------------------------------------------------------------------


def _first_month(uow: UnitOfWork, month: str) -> date:
    match = _MONTH.fullmatch(month)
    if match is None or not 1 <= int(match[2]) <= 12:
        raise Invalid(f"“{month}”不是月份", field="first_month", advice="请填写如 2026-11")
    first, today = date(int(match[1]), int(match[2]), 1), uow.today()
    if abs((first.year - today.year) * 12 + first.month - today.month) > 12:
        raise Invalid("首发月份与今天相差一年以上", field="first_month", advice="请核对年份")
    return first


@contextmanager
def _uncollected() -> Iterator[None]:
    """Half a million objects that all stay: the collector would walk them over and over."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_uncollected()
def _read(uow: UnitOfWork, file_id: UUID, first_month: date) -> _Read:
    described = files.describe(uow, file_id)
    content = files.read(uow, file_id)
    places = divisions.gazetteer(uow)
    known = {
        number: tuple(scopes)
        for number, scopes in uow.session.execute(
            select(Staff.staff_no, Staff.scopes).where(
                Staff.active, Staff.roles.overlap([Role.VILLAGE_OFFICER, Role.TOWN_CLERK])
            )
        )
    }
    officers: list[officer_sheet.Officer] = []
    problems: list[roster.Problem] = []
    checked: roster.Roster | None = None
    for sheet in workbook.read(content, sheet=SHEET, others=(officer_sheet.SHEET,)):
        if sheet.name == officer_sheet.SHEET:
            officers, problems = officer_sheet.read(sheet.rows, places)
            officers = [officer for officer in officers if officer.number not in known]
            known |= {officer.number: (officer.division,) for officer in officers}
        else:
            checked = roster.check(
                sheet.rows,
                gazetteer=places,
                officers=known,
                today=uow.today(),
                formulas=sheet.formulas,
                merged=sheet.merged,
                figures=policy_files.figures(uow.settings.county, first_month),
            )
    assert checked is not None
    checked.problems[:0] = problems
    _require_scope(uow, {household.division for household in checked.households})
    index = uow.cipher.blind_index
    read = _Read(
        described.name,
        content,
        checked,
        officers,
        {person.identity: index(person.identity) for person in checked.people},
    )
    if uow.session.scalar(select(exists(select(Person.id)))):
        _compare_with_record(uow, read)
    return read


def _require_scope(uow: UnitOfWork, codes: Iterable[str]) -> None:
    for code in {code for code in codes if code}:
        uow.require(code)


def _compare_with_record(uow: UnitOfWork, read: _Read) -> None:
    """Find who of the roster is on record, set-based, and note what does not fit."""
    session = uow.session
    session.execute(
        text(
            "CREATE TEMP TABLE IF NOT EXISTS given"
            " (identity_index bytea PRIMARY KEY, identity text) ON COMMIT DROP;"
            "CREATE TEMP TABLE IF NOT EXISTS given_household"
            " (number text PRIMARY KEY) ON COMMIT DROP;"
            "TRUNCATE given, given_household"
        )
    )
    copy_rows(
        session,
        "given",
        ("identity_index", "identity"),
        ((index, identity) for identity, index in read.indexes.items()),
    )
    copy_rows(
        session, "given_household", ("number",), ((h.number,) for h in read.roster.households)
    )
    rows = session.execute(
        text(
            "SELECT g.identity, p.id, p.name, h.number, p.account_number, p.deceased_on,"
            " array(SELECT benefit FROM carried_benefit c WHERE c.person_id = p.id UNION"
            "       SELECT benefit FROM held_benefit b WHERE b.person_id = p.id AND NOT b.ended)"
            " FROM given g JOIN person p ON p.identity_index = g.identity_index AND NOT p.removed"
            " JOIN household h ON h.id = p.household_id"
        )
    )
    for identity, person_id, name, number, account, deceased_on, benefits in rows:
        read.people[identity] = registered.KnownPerson(
            person_id,
            name,
            number,
            uow.cipher.decrypt(account, table="person", row=person_id, column="account_number")
            if account
            else "",
            deceased_on is not None,
            set(benefits),
        )
    for household_id, number, division, head in session.execute(
        text(
            "SELECT h.id, h.number, h.division, h.head_person_id"
            " FROM given_household g JOIN household h ON h.number = g.number AND NOT h.removed"
        )
    ):
        read.households[number] = registered.KnownHousehold(household_id, division, head)
    given = read.roster
    conflicts = registered.conflicts(given, read.people, read.households)
    if conflicts:
        given.problems.extend(conflicts)
        given.problems.sort(key=lambda problem: problem.row)
        given.accepted = given.rows - len({problem.row for problem in given.problems})


def _report(
    uow: UnitOfWork,
    read: _Read,
    started: float,
    *,
    workbook_too: bool = False,
    import_id: UUID | None = None,
) -> RosterReport:
    given = read.roster
    errors_file = None
    if workbook_too and given.problems:
        name = re.sub(r"\.[^.]*$", "", read.file_name) + "-错误说明.xlsx"
        content = error_workbook.build(read.content, given.problems, sheet=SHEET)
        errors_file = files.write(uow, name, content, _XLSX, division=uow.settings.county)
    return RosterReport(
        rows=given.rows,
        accepted=given.accepted,
        rejected=given.rejected,
        warnings=len(given.warnings),
        people=len(given.people),
        households=len(given.households),
        carried_over=len(given.grants),
        officers=len(read.officers),
        error_count=len(given.problems),
        errors=tuple(RosterProblem(**p._asdict()) for p in given.problems[:SHOWN_ERRORS]),
        notices=tuple(RosterProblem(**p._asdict()) for p in given.warnings[:SHOWN_WARNINGS]),
        errors_file=errors_file,
        import_id=import_id,
        seconds=round(time.monotonic() - started, 1),
    )


# -- writing ----------------------------------------------------------------------------------


class _Writer:
    """Streams a roster into the tables and the outbox; nothing is held twice."""

    def __init__(self, uow: UnitOfWork, read: _Read, import_id: UUID, first_month: date) -> None:
        self.uow = uow
        self.read = read
        self.import_id = import_id
        self.first_month = first_month
        self.today = uow.today()
        self.now = uow.now()
        self.officers: dict[str, UUID] = dict(
            uow.session.execute(select(Staff.staff_no, Staff.id)).all()
        )
        given = read.roster
        self.person_ids = {
            person.identity: known.id if (known := read.people.get(person.identity)) else new_id()
            for person in given.people
        }
        self.household_ids = {
            household.number: there.id
            if (there := read.households.get(household.number))
            else new_id()
            for household in given.households
        }
        self.new_people = [p for p in given.people if p.identity not in read.people]
        self.new_households = [h for h in given.households if h.number not in read.households]
        self.grant_ids = [new_id() for _ in given.grants]
        self.covered = {person.identity for grant in given.grants for person in grant.covered}

    def write(self) -> None:
        """Tables first, then the events."""
        session, copy = self.uow.session, copy_rows
        session.flush()
        copy(session, "household", _HOUSEHOLD, self._households())
        copy(session, "person", _PERSON, self._people())
        copy(session, "person_category", ("person_id", "code", "since"), self._categories())
        copy(session, "responsibility", _RESPONSIBILITY, self._responsibilities())
        copy(session, "carried_benefit", _CARRIED, self._benefits())
        self._mark_known_beneficiaries()
        _emit(self.uow, self._events())

    def _households(self) -> Iterator[tuple[object, ...]]:
        for household in self.new_households:
            assert household.head is not None
            head = self.person_ids[household.head.identity]
            number = household.number
            yield self.household_ids[number], number, household.division, head, head, self.import_id

    def _people(self) -> Iterator[tuple[object, ...]]:
        encrypt = self.uow.cipher.encrypt
        for person in self.new_people:
            key = self.person_ids[person.identity]
            number, phone = person.account, person.phone
            name = (person.account_name or person.name) if number else ""
            yield (
                key,
                self.household_ids[person.household],
                person.division,
                person.name,
                initials(person.name),
                "女" if person.female else "男",
                person.birth,
                encrypt(person.identity, table="person", row=key, column="identity"),
                self.read.indexes[person.identity],
                person.kinship,
                person.kinship == HEAD,
                person.disability or None,
                self.officers[person.officer],
                person.identity in self.covered,
                encrypt(phone, table="person", row=key, column="phone") if phone else None,
                encrypt(name, table="person", row=key, column="account_name") if name else None,
                encrypt(number, table="person", row=key, column="account_number")
                if number
                else None,
                self.today,
                self.import_id,
                1 if number else 0,
                1 if phone else 0,
            )

    def _categories(self) -> Iterator[tuple[object, ...]]:
        for person in self.new_people:
            for code in dict.fromkeys(person.categories):
                yield self.person_ids[person.identity], code, self.today

    def _responsibilities(self) -> Iterator[tuple[object, ...]]:
        for person in self.new_people:
            yield (
                self.person_ids[person.identity],
                self.officers[person.officer],
                self.now,
                "花名册导入",
            )

    def _benefits(self) -> Iterator[tuple[object, ...]]:
        for grant, grant_id in zip(self.read.roster.grants, self.grant_ids, strict=True):
            for person in grant.covered:
                yield self.person_ids[person.identity], grant.benefit, grant_id, self.import_id

    def _mark_known_beneficiaries(self) -> None:
        if self.read.people:
            self.uow.session.execute(
                text(
                    "UPDATE person SET beneficiary = true FROM carried_benefit c"
                    " WHERE c.person_id = person.id AND c.import_id = :import_id"
                    " AND NOT beneficiary"
                ),
                {"import_id": self.import_id},
            )

    # -- events

    def _events(self) -> Iterator[Event]:
        for household in self.new_households:
            yield self._household_recorded(household)
        for person in self.new_people:
            yield from self._person_events(person)
        for grant, grant_id in zip(self.read.roster.grants, self.grant_ids, strict=True):
            yield self._carried_over(grant, grant_id)

    def _household_recorded(self, household: roster.Household) -> Event:
        assert household.head is not None
        head = self.person_ids[household.head.identity]
        return HouseholdRecorded(
            household_id=self.household_ids[household.number],
            household_no=household.number,
            division=household.division,
            head_person_id=head,
            payee_person_id=head,
            members=len(household.members),
            epoch=self.uow.epoch,
            version=1,
        )

    def _person_events(self, person: roster.Person) -> Iterator[Event]:
        epoch, seal = self.uow.epoch, self.uow.seals.seal
        person_id = self.person_ids[person.identity]
        household_id = self.household_ids[person.household]
        yield PersonRecorded(
            person_id=person_id,
            household_id=household_id,
            division=person.division,
            name=person.name,
            sex="女" if person.female else "男",
            birth_date=person.birth,
            relation=KINSHIPS[person.kinship],
            is_head=person.kinship == HEAD,
            categories=tuple(Category(c, self.today) for c in dict.fromkeys(person.categories)),
            disability=person.disability or None,
            officer_id=self.officers[person.officer],
            epoch=epoch,
            version=1,
        )
        yield PersonRegistered(
            person_id=person_id,
            household_id=household_id,
            division=person.division,
            registered_on=self.today,
        )
        if person.account:
            yield PersonAccountChanged(
                person_id=person_id,
                division=person.division,
                account_name=seal("funding", person.account_name or person.name),
                account_number=seal("funding", person.account),
                changed_at=self.now,
                carried_over=True,
                epoch=epoch,
                version=1,
            )
        if person.phone:
            yield PersonContactChanged(
                person_id=person_id,
                division=person.division,
                phone=seal("notify", person.phone),
                epoch=epoch,
                version=1,
            )

    def _carried_over(self, grant: roster.Grant, grant_id: UUID) -> Event:
        household = grant.household
        assert household.head is not None
        child = grant.benefit in OF_CHILD
        payee = self.person_ids[grant.payee.identity]
        head = self.person_ids[household.head.identity]
        return BenefitCarriedOver(
            grant_id=grant_id,
            import_id=self.import_id,
            household_id=self.household_ids[household.number],
            division=household.division,
            benefit=grant.benefit,
            covered_person_ids=tuple(self.person_ids[p.identity] for p in grant.covered),
            payee_person_id=payee,
            applicant_person_id=head if child else payee,
            approved_fen=grant.amount_fen,
            counted_income_fen=household.income_fen if grant.benefit in OF_HOUSEHOLD else None,
            decision_no=grant.document,
            started_month=date.fromisoformat(f"{grant.since}-01"),
            first_month=self.first_month,
            child=child,
        )


_HOUSEHOLD = ("id", "number", "division", "head_person_id", "payee_person_id", "import_id")
_PERSON = (
    "id",
    "household_id",
    "division",
    "name",
    "initials",
    "sex",
    "birth_date",
    "identity",
    "identity_index",
    "relation",
    "is_head",
    "disability",
    "officer_id",
    "beneficiary",
    "phone",
    "account_name",
    "account_number",
    "registered_on",
    "import_id",
    "account_version",
    "contact_version",
)
_RESPONSIBILITY = ("person_id", "officer_id", "since", "reason")
_CARRIED = ("person_id", "benefit", "grant_id", "import_id")
_OUTBOX = (
    "event_id",
    "type",
    "exchange",
    "routing_key",
    "subject",
    "county",
    "bulk",
    "traceparent",
    "body",
)


def _emit(uow: UnitOfWork, events: Iterable[Event]) -> None:
    """Into the outbox by COPY, on the bulk lane. No field but the body can need escaping."""
    traceparent = current_traceparent()
    lines = (
        f"{row['event_id'].hex}\t{row['type']}\t{row['exchange']}\t{row['routing_key']}"
        f"\t{row['subject']}\t{row['county']}\tt\t{traceparent or NULL}"
        f"\t\\\\x{row['body'].hex()}"
        for row in outbox.rows(events, bulk=True, traceparent=traceparent)
    )
    uow.emitted += copy_lines(uow.session, "outbox", _OUTBOX, lines)


def _match_waiting(uow: UnitOfWork, import_id: UUID) -> None:
    """Whoever came in by the roster may be somebody a bureau told of before."""
    waiting = select(BureauNotice.identity_index).where(BureauNotice.state == "waiting")
    found = uow.session.scalars(
        select(Person).where(Person.import_id == import_id, Person.identity_index.in_(waiting))
    ).all()
    if found:
        deaths.match_waiting(uow, found)


# -- taking back ------------------------------------------------------------------------------


def _divisions_of(uow: UnitOfWork, import_id: UUID) -> set[str]:
    rows = uow.session.scalars(
        select(Person.division).where(Person.import_id == import_id).distinct()
    )
    return set(rows)


def _refuse_joined(uow: UnitOfWork, import_id: UUID) -> None:
    joined = uow.session.scalar(
        select(func.count(Person.id))
        .join(Household, Household.id == Person.household_id)
        .where(
            Household.import_id == import_id,
            Person.removed.is_(False),
            Person.import_id.is_distinct_from(import_id),
        )
    )
    if joined:
        raise Conflict(
            f"导入之后有 {joined} 人登记到这些户中，不能整批撤销",
            advice="请先处理这些成员",
            reason="joined",
        )


def _remove(uow: UnitOfWork, import_id: UUID) -> None:
    session, now = uow.session, uow.now()
    gone = select(Person.id).where(Person.import_id == import_id)
    session.execute(
        update(Responsibility)
        .where(Responsibility.person_id.in_(gone), Responsibility.until.is_(None))
        .values(until=now)
    )
    session.execute(
        update(PersonCategory)
        .where(PersonCategory.person_id.in_(gone), PersonCategory.until.is_(None))
        .values(until=uow.today())
    )
    staying = session.scalars(
        select(CarriedBenefit.person_id)
        .join(Person, Person.id == CarriedBenefit.person_id)
        .where(CarriedBenefit.import_id == import_id, Person.import_id.is_distinct_from(import_id))
    ).all()
    session.execute(
        update(HeldBenefit)
        .where(
            HeldBenefit.person_id == CarriedBenefit.person_id,
            HeldBenefit.benefit == CarriedBenefit.benefit,
            CarriedBenefit.import_id == import_id,
        )
        .values(ended=True)
    )
    session.execute(delete(CarriedBenefit).where(CarriedBenefit.import_id == import_id))
    beneficiaries.settle(uow, set(staying))
    session.execute(
        update(Person)
        .where(Person.import_id == import_id)
        .values(removed=True, beneficiary=False, version=Person.version + 1)
    )
    session.execute(
        update(Household)
        .where(Household.import_id == import_id)
        .values(removed=True, version=Household.version + 1)
    )
    session.expire_all()


def _removals(uow: UnitOfWork, import_id: UUID) -> Iterator[Event]:
    """The last word on everybody taken back. Read whole before COPY has the connection."""
    people_gone = uow.session.execute(
        select(
            Person.id,
            Person.household_id,
            Person.division,
            Person.name,
            Person.sex,
            Person.birth_date,
            Person.relation,
            Person.is_head,
            Person.disability,
            Person.officer_id,
            Person.deceased_on,
            Person.version,
        ).where(Person.import_id == import_id)
    ).all()
    households_gone = uow.session.execute(
        select(
            Household.id,
            Household.number,
            Household.division,
            Household.head_person_id,
            Household.payee_person_id,
            Household.version,
        ).where(Household.import_id == import_id)
    ).all()
    return chain(
        (
            PersonRecorded(
                person_id=row.id,
                household_id=row.household_id,
                division=row.division,
                name=row.name,
                sex=row.sex,
                birth_date=row.birth_date,
                relation=KINSHIPS[row.relation],
                is_head=row.is_head,
                disability=row.disability,
                officer_id=row.officer_id,
                deceased_on=row.deceased_on,
                removed=True,
                epoch=uow.epoch,
                version=row.version,
            )
            for row in people_gone
        ),
        (
            HouseholdRecorded(
                household_id=row.id,
                household_no=row.number,
                division=row.division,
                head_person_id=row.head_person_id,
                payee_person_id=row.payee_person_id,
                members=0,
                removed=True,
                epoch=uow.epoch,
                version=row.version,
            )
            for row in households_gone
        ),
    )


def _view(row: RosterImport) -> ImportView:
    return ImportView(
        import_id=row.id,
        file_name=row.file_name,
        first_month=f"{row.first_month:%Y-%m}",
        state=cast(Literal["written", "locked", "undone"], row.state),
        rows=row.rows,
        people=row.people,
        households=row.households,
        carried_over=row.grants,
        warnings=row.warnings,
        imported_by=row.imported_by_name,
        imported_at=row.imported_at,
        undone_at=row.undone_at,
    )
