"""The imports there have been, and whether each still may be taken back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from sqlalchemy import select, update

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import ImportView, ListImports
from services.contracts.events.funding import ImportLocked
from services.registry.models import RosterImport


def list_imports(uow: UnitOfWork, query: ListImports) -> list[ImportView]:
    """Imports, newest first."""
    rows = uow.session.scalars(
        select(RosterImport).order_by(RosterImport.imported_at.desc()).limit(min(query.limit, 500))
    )
    return [view(row) for row in rows]


def on_locked(uow: UnitOfWork, events: Iterable[ImportLocked]) -> None:
    """From the first lock on, an import stands; who asked for it to be taken back came too late."""
    uow.session.execute(
        update(RosterImport)
        .where(
            RosterImport.id.in_({event.import_id for event in events}),
            RosterImport.state.in_(("written", "undoing")),
        )
        .values(state="locked")
    )


def view(row: RosterImport) -> ImportView:
    """An import as shown."""
    return ImportView(
        import_id=row.id,
        file_name=row.file_name,
        first_month=f"{row.first_month:%Y-%m}",
        state=cast(Literal["written", "undoing", "locked", "undone"], row.state),
        rows=row.rows,
        people=row.people,
        households=row.households,
        carried_over=row.grants,
        warnings=row.warnings,
        imported_by=row.imported_by_name,
        imported_at=row.imported_at,
        undone_at=row.undone_at,
    )
