"""A roster import undone: what it brought is void."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.chassis.uow import UnitOfWork
from services.funding.models import CoverageRow, DueRow, EntitlementRow, RosterImportRow


def on_import_undone(uow: UnitOfWork, import_ids: Sequence[uuid.UUID]) -> None:
    """An import undone before its first lock: what it brought is void. After that it stands."""
    for import_id in import_ids:
        uow.session.execute(
            upsert(RosterImportRow)
            .values(import_id=import_id, undone=True)
            .on_conflict_do_update(
                index_elements=["import_id"],
                set_={"undone": True},
                where=RosterImportRow.locked_batch.is_(None),
            )
        )
        brought = select(EntitlementRow.id).where(EntitlementRow.import_id == import_id)
        undone = select(RosterImportRow.undone).where(RosterImportRow.import_id == import_id)
        if not uow.session.scalar(undone):
            uow.audit("import_undo_too_late", "roster_import", import_id)
            continue
        uow.session.execute(
            update(CoverageRow).where(CoverageRow.entitlement_id.in_(brought)).values(active=False)
        )
        uow.session.execute(
            update(EntitlementRow)
            .where(EntitlementRow.import_id == import_id)
            .values(state="void", end_reason="花名册导入撤销", end_cause=f"import:{import_id}")
        )
        uow.session.execute(
            update(DueRow)
            .where(DueRow.entitlement_id.in_(brought), DueRow.state == "owed")
            .values(state="closed", closed_reason="花名册导入撤销")
        )
