"""The audit log: who did or looked at what, when (both clocks) and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from services.chassis.models import AuditRow
from services.chassis.tracing import current_trace_id
from services.contracts.actors import Actor
from services.contracts.commands.common import AuditEntry, ReadAudit
from services.contracts.requests import Request

if TYPE_CHECKING:
    from services.chassis.uow import UnitOfWork

REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""


def append_only(table: str) -> str:
    """DDL for migrations: no row of ``table`` is ever updated, deleted or truncated."""
    return (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


NOTE_UNSEALED = """
CREATE OR REPLACE FUNCTION note_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (audit_id) SELECT id FROM added;
    RETURN NULL;
END $$
"""
"""With each audit row, in its transaction, a note for the sealer: whenever that commits, it finds
the row, also one whose number is lower than those it has sealed."""

UNSEALED_TRIGGER = (
    "CREATE TRIGGER audit_unsealed AFTER INSERT ON audit REFERENCING NEW TABLE AS added "
    "FOR EACH STATEMENT EXECUTE FUNCTION note_unsealed()"
)


def guard_audit() -> tuple[str, ...]:
    """DDL for migrations: audit rows and seals are append-only, new rows wait to be sealed."""
    return (
        REFUSE_CHANGE,
        append_only("audit"),
        append_only("audit_seal"),
        NOTE_UNSEALED,
        UNSEALED_TRIGGER,
    )


Row = dict[str, Any]


def row(
    actor: Actor,
    business_on: date,
    action: str,
    subject_type: str,
    subject_id: object,
    detail: dict[str, Any],
) -> Row:
    """One row of the log; ``closing`` writes it. ``detail`` never holds a personal number."""
    return {
        "business_on": business_on,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "purpose": actor.purpose,
        "action": action,
        "subject_type": subject_type,
        "subject_id": str(subject_id),
        "detail": detail,
        "trace_id": current_trace_id(),
    }


def look(uow: UnitOfWork, request: Request[Any]) -> None:
    """Note that an auditor asked: the query, and the ids and places it names, never a number."""
    named = {
        name: str(value)
        for name in request.__struct_fields__
        if isinstance(value := getattr(request, name), UUID)
        or (name in _PLACES and isinstance(value, str))
    }
    subject = next(iter(named.values()), "")
    uow.audit("auditor.looked", request.method(), subject, **named)


_PLACES = ("division", "scope", "parent")


def read(uow: UnitOfWork, query: ReadAudit) -> list[AuditEntry]:
    """The newest rows that fit, newest first."""
    uow.write_down()
    statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(min(query.limit, 1000))
    for column, wanted in (
        (AuditRow.actor_id, query.actor_id),
        (AuditRow.subject_id, query.subject_id),
        (AuditRow.action, query.action),
    ):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if query.before is not None:
        statement = statement.where(AuditRow.id < query.before)
    rows: Iterable[AuditRow] = uow.session.scalars(statement)
    return [
        AuditEntry(**{name: getattr(row, name) for name in AuditEntry.__struct_fields__})
        for row in rows
    ]
