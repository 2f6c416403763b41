"""An import taken back whole, as long as nothing of it has been locked for payment."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from uuid import UUID

from sqlalchemy import delete, func, select, update

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import ImportView, UndoImport
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.events import Event
from services.contracts.events.registry import HouseholdRecorded, PersonRecorded, RosterImportUndone
from services.registry import beneficiaries
from services.registry.copy_in import copy_events
from services.registry.domain.benefits import KINSHIPS
from services.registry.models import (
    CarriedBenefit,
    HeldBenefit,
    Household,
    Person,
    PersonCategory,
    Responsibility,
    RosterImport,
)
from services.registry.roster_import.imports import view
from services.registry.roster_import.reading import require_scope


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
    require_scope(uow, _divisions_of(uow, row.id))
    _refuse_joined(uow, row.id)
    _remove(uow, row.id)
    row.state, row.undone_at = "undone", uow.machine_now()
    row.undone_by, row.reason = uow.actor.id, command.reason
    uow.session.flush()
    uow.audit("roster.undone", "roster_import", row.id, reason=command.reason)
    copy_events(uow, _removals(uow, row.id))
    uow.emit(RosterImportUndone(import_id=row.id, division=uow.settings.county))
    return view(row)


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
