"""A roster import to be undone: what it brought is void, unless some of it was locked before."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.chassis.uow import UnitOfWork
from services.contracts.events import Event
from services.contracts.events.funding import ImportLocked, ImportReleased
from services.contracts.events.registry import RosterImportUndoAsked
from services.funding import terms
from services.funding.models import CoverageRow, DueRow, EntitlementRow, RosterImportRow

PAGE = 500


def on_undo_asked(uow: UnitOfWork, events: Iterable[RosterImportUndoAsked]) -> None:
    """Void what each import brought and release it; of one that was locked say so again.

    The import's row is what a lock and an undo both take first (``locking.lock``), so one of the
    two comes first and the other sees it.
    """
    for event in events:
        locked_batch = _claim(uow, event.import_id)
        if locked_batch is None:
            _void(uow, event.import_id)
            uow.emit_all(_endings(uow, event.import_id))
            uow.audit("import_released", "roster_import", event.import_id)
            uow.emit(ImportReleased(import_id=event.import_id, division=event.division))
        else:
            uow.audit("import_undo_refused", "roster_import", event.import_id)
            uow.emit(
                ImportLocked(
                    import_id=event.import_id, division=event.division, batch_id=locked_batch
                )
            )


def _claim(uow: UnitOfWork, import_id: uuid.UUID) -> uuid.UUID | None:
    """Mark the import undone, unless a batch locked it first; returns that batch."""
    uow.session.execute(
        upsert(RosterImportRow)
        .values(import_id=import_id, undone=True)
        .on_conflict_do_update(
            index_elements=["import_id"],
            set_={"undone": True},
            where=RosterImportRow.locked_batch.is_(None),
        )
    )
    return uow.session.scalar(
        select(RosterImportRow.locked_batch).where(RosterImportRow.import_id == import_id)
    )


def _endings(uow: UnitOfWork, import_id: uuid.UUID) -> Iterator[Event]:
    """That each of them ended before it was ever owed, a page at a time: the loop goes on between.

    Without it the others would hold people for beneficiaries of what never was.
    """
    covered = (
        select(func.array_agg(CoverageRow.person_id))
        .where(CoverageRow.entitlement_id == EntitlementRow.id)
        .scalar_subquery()
    )
    brought = (
        select(*EntitlementRow.__table__.columns, covered.label("covered"))
        .where(EntitlementRow.import_id == import_id)
        .order_by(EntitlementRow.id)
        .limit(PAGE)
    )
    page: Sequence[Any] = uow.session.execute(brought).all()
    while page:
        for row in page:
            yield from terms.ended_events(row, row.covered or ())
        page = uow.session.execute(brought.where(EntitlementRow.id > page[-1].id)).all()


def _void(uow: UnitOfWork, import_id: uuid.UUID) -> None:
    brought = select(EntitlementRow.id).where(EntitlementRow.import_id == import_id)
    uow.session.execute(
        update(CoverageRow).where(CoverageRow.entitlement_id.in_(brought)).values(active=False)
    )
    uow.session.execute(
        update(EntitlementRow)
        .where(EntitlementRow.import_id == import_id)
        .values(
            state="void",
            end_reason="花名册导入撤销",
            end_cause=f"import:{import_id}",
            last_month=None,  # also of what had ended before: nobody gets a letter of it
        )
    )
    uow.session.execute(
        update(DueRow)
        .where(DueRow.entitlement_id.in_(brought), DueRow.state == "owed")
        .values(state="closed", closed_reason="花名册导入撤销")
    )
