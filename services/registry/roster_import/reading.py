"""A roster file read and checked: by its own rules, and against what is on record."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from sqlalchemy import exists, select

from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.errors import Invalid
from services.registry import divisions, policy_files, workbook
from services.registry.domain import officers as officer_sheet
from services.registry.domain import registered, roster
from services.registry.models import Person, Staff
from services.registry.roster_import import record

SHEET = "花名册"

_MONTH = re.compile(r"(\d{4})-(\d{2})")


@dataclass
class Given:
    """A roster as given: its file, what it says, and whom of it the record knows.

    ``indexes`` are blind indexes and ``people`` the known, both by identity number; ``households``
    the known by 户编号.
    """

    file_name: str
    content: bytes
    roster: roster.Roster
    officers: list[officer_sheet.Officer]
    indexes: dict[str, bytes]
    people: dict[str, registered.KnownPerson] = field(default_factory=dict)
    households: dict[str, registered.KnownHousehold] = field(default_factory=dict)


def first_month(uow: UnitOfWork, month: str) -> date:
    """The first day of the first month paid by Zhida, from YYYY-MM."""
    match = _MONTH.fullmatch(month)
    if match is None or not 1 <= int(match[2]) <= 12:
        raise Invalid(f"“{month}”不是月份", field="first_month", advice="请填写如 2026-11")
    first, today = date(int(match[1]), int(match[2]), 1), uow.today()
    if abs((first.year - today.year) * 12 + first.month - today.month) > 12:
        raise Invalid("首发月份与今天相差一年以上", field="first_month", advice="请核对年份")
    return first


def require_scope(uow: UnitOfWork, codes: Iterable[str]) -> None:
    """Each of these divisions is in the actor's care."""
    for code in {code for code in codes if code}:
        uow.require(code)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Half a million objects that all stay: the collector would walk them over and over."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_uncollected()
def read(uow: UnitOfWork, file_id: UUID, first_month: date) -> Given:
    """Read and check the file, its amounts beside the policy of ``first_month``."""
    described = files.describe(uow, file_id)
    content = files.read(uow, file_id)
    checked, officers = _checked(uow, content, first_month)
    require_scope(uow, {household.division for household in checked.households})
    index = uow.cipher.blind_index
    given = Given(
        described.name,
        content,
        checked,
        officers,
        {person.identity: index(person.identity) for person in checked.people},
    )
    if uow.session.scalar(select(exists(select(Person.id)))):
        found = record.find(uow, given.indexes, (house.number for house in checked.households))
        given.people, given.households = found
        _refuse_conflicts(given)
    return given


def _checked(
    uow: UnitOfWork, content: bytes, first_month: date
) -> tuple[roster.Roster, list[officer_sheet.Officer]]:
    """The roster by its own rules, and the officers its sheet 责任人 adds to those in post."""
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
    return checked, officers


def _refuse_conflicts(given: Given) -> None:
    """Add to the problems what contradicts the record."""
    checked = given.roster
    conflicts = registered.conflicts(checked, given.people, given.households)
    if conflicts:
        checked.problems.extend(conflicts)
        checked.problems.sort(key=lambda problem: problem.row)
        checked.accepted = checked.rows - len({problem.row for problem in checked.problems})
