"""An import taken back whole, as long as nothing of it has been locked for payment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from sqlalchemy import delete, func, select, update

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import ImportView, UndoImport
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.events import Event
from services.contracts.events.funding import ImportReleased
from services.contracts.events.registry import (
    RosterImportUndoAsked,
    RosterImportUndone,
)
from services.registry import announcements, beneficiaries
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

PAGE = 500


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
    if import_id is None:
        return
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
            ~Person.removed,
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
    """The last word on everybody taken back, a page at a time: the event loop goes on between."""
    people = select(Person).where(Person.import_id == import_id).order_by(Person.id).limit(PAGE)
    page = uow.session.scalars(people).all()
    while page:
        last = page[-1].id
        yield from announcements.people_recorded(uow, page)
        uow.session.expunge_all()
        page = uow.session.scalars(people.where(Person.id > last)).all()


def _households_removed(uow: UnitOfWork, import_id: UUID) -> Iterator[Event]:
    """The last word on every household taken back, a page at a time."""
    homes = (
        select(Household).where(Household.import_id == import_id).order_by(Household.id).limit(PAGE)
    )
    page = uow.session.scalars(homes).all()
    while page:
        last = page[-1].id
        for home in page:
            yield announcements.household_state(uow, home, members=0)
        uow.session.expunge_all()
        page = uow.session.scalars(homes.where(Household.id > last)).all()
