"""An import taken back whole, as long as nothing of it has been locked for payment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.orm import InstrumentedAttribute

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import ImportView, UndoImport
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.events import Event
from services.contracts.events.funding import ImportReleased
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonRecorded,
    RosterImportUndoAsked,
    RosterImportUndone,
)
from services.registry import beneficiaries
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

PAGE = 1000


def ask_undo(uow: UnitOfWork, command: UndoImport) -> ImportView:
    """Ask for an import to be taken back.

    Funding alone knows what was locked, so it answers first: ``ImportReleased`` once all of it is
    void there (``on_released``), ``ImportLocked`` when it stands. Nobody joins its households
    meanwhile (``refuse_while_undoing``).
    """
    row = uow.session.get(RosterImport, command.import_id, with_for_update=True)
    if row is None:
        raise NotFound("没有这次导入", field="import_id")
    if row.state != "written":
        problem, advice = _NOT_NOW[row.state]
        raise Conflict(problem, advice=advice, reason=row.state)
    if not command.reason.strip():
        raise Invalid("请写明撤销原因", field="reason")
    require_scope(uow, _divisions_of(uow, row.id))
    _refuse_joined(uow, row.id)
    row.state, row.undone_by, row.reason = "undoing", uow.actor.id, command.reason
    uow.audit("roster.undo_asked", "roster_import", row.id, reason=command.reason)
    uow.emit(RosterImportUndoAsked(import_id=row.id, division=uow.settings.county))
    return view(row)


_NOT_NOW = {
    "locked": ("这次导入的待遇已锁定付款，不能撤销", "有误的请逐户复核"),
    "undone": ("这次导入已经撤销", None),
    "undoing": ("这次导入正在撤销", "请稍候查看结果"),
}
"""Why an import in this state cannot be taken back, and what to do."""


def refuse_while_undoing(uow: UnitOfWork, import_id: UUID | None) -> None:
    """Raise ``Conflict`` when the import that brought a household is being taken back."""
    state = uow.session.scalar(
        select(RosterImport.state).where(RosterImport.id == import_id).with_for_update(read=True)
    )
    if state == "undoing":
        raise Conflict("这一户是花名册导入的，该次导入正在撤销", advice="请稍候再登记")


def on_released(uow: UnitOfWork, events: Iterable[ImportReleased]) -> None:
    """None of it was locked and none will be: take the import back whole."""
    for event in events:
        row = uow.session.get(RosterImport, event.import_id, with_for_update=True)
        if row is None or row.state != "undoing":
            continue
        _remove(uow, row.id)
        row.state, row.undone_at = "undone", uow.machine_now()
        uow.audit("roster.undone", "roster_import", row.id, asked_by=row.undone_by)
        uow.emit_all(_people_removed(uow, row.id))
        uow.emit_all(_households_removed(uow, row.id))
        uow.emit(RosterImportUndone(import_id=row.id, division=uow.settings.county))


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


def _people_removed(uow: UnitOfWork, import_id: UUID) -> Iterator[Event]:
    """The last word on everybody taken back, a page at a time."""
    for rows in _pages(
        uow,
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
        ).where(Person.import_id == import_id),
        Person.id,
    ):
        for row in rows:
            yield PersonRecorded(
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


def _households_removed(uow: UnitOfWork, import_id: UUID) -> Iterator[Event]:
    """The last word on every household taken back, a page at a time."""
    for rows in _pages(
        uow,
        select(
            Household.id,
            Household.number,
            Household.division,
            Household.head_person_id,
            Household.payee_person_id,
            Household.version,
        ).where(Household.import_id == import_id),
        Household.id,
    ):
        for row in rows:
            yield HouseholdRecorded(
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


def _pages(
    uow: UnitOfWork, rows: Select[*tuple[Any, ...]], key: InstrumentedAttribute[UUID]
) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    """``rows`` in the order of ``key``, a thousand at a time: the event loop goes on between."""
    after: UUID | None = None
    while page := uow.session.execute(
        rows.where(*([key > after] if after else ())).order_by(key).limit(PAGE)
    ).all():
        yield page
        after = page[-1].id
