"""The two commands of a roster: look what is wrong with it, and take it in whole."""

from __future__ import annotations

import time
from uuid import UUID

from sqlalchemy import select, text

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import CheckRoster, ImportRoster, RosterReport
from services.contracts.ids import new_id
from services.registry import deaths, staff
from services.registry.copy_in import copy_events
from services.registry.models import BureauNotice, Person, RosterImport
from services.registry.roster_import import events, tables
from services.registry.roster_import.plan import Plan
from services.registry.roster_import.reading import first_month, read
from services.registry.roster_import.report import report


def check(uow: UnitOfWork, command: CheckRoster) -> RosterReport:
    """What the roster says and what is wrong with it. Writes nothing of it."""
    started = time.monotonic()
    given = read(uow, command.file_id, first_month(uow, command.first_month))
    return report(uow, given, started, workbook_too=command.errors_workbook)


def write(uow: UnitOfWork, command: ImportRoster) -> RosterReport:
    """Write all of the roster, when nothing in it is wrong."""
    started = time.monotonic()
    first = first_month(uow, command.first_month)
    uow.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('roster_import'))"))
    given = read(uow, command.file_id, first)
    if given.roster.problems:
        return report(uow, given, started, workbook_too=command.errors_workbook)
    given.content = b""
    import_id = new_id()
    staff.put_officers_in_post(uow, given.officers)
    plan = Plan(uow, given, import_id, first)
    tables.fill(uow, plan)
    copy_events(uow, events.of_import(uow, plan))
    _note(uow, command, plan)
    _match_waiting(uow, import_id)
    return report(uow, given, started, import_id=import_id)


def _note(uow: UnitOfWork, command: ImportRoster, plan: Plan) -> None:
    given = plan.given.roster
    uow.session.add(
        RosterImport(
            id=plan.import_id,
            file_id=command.file_id,
            file_name=plan.given.file_name,
            first_month=plan.first_month,
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
    uow.audit("roster.imported", "roster_import", plan.import_id, rows=given.rows)


def _match_waiting(uow: UnitOfWork, import_id: UUID) -> None:
    """Whoever came in by the roster may be somebody a bureau told of before."""
    waiting = select(BureauNotice.identity_index).where(BureauNotice.state == "waiting")
    found = uow.session.scalars(
        select(Person).where(Person.import_id == import_id, Person.identity_index.in_(waiting))
    ).all()
    if found:
        deaths.match_waiting(uow, found)
