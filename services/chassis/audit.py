"""The audit log: who did or looked at what, when (both clocks) and why."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from services.chassis.models import AuditRow
from services.chassis.tracing import current_trace_id
from services.contracts.actors import Actor

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


def write(
    session: Session,
    actor: Actor,
    business_on: date,
    action: str,
    subject_type: str,
    subject_id: object,
    detail: dict[str, Any],
) -> None:
    """Add one row in the current transaction. ``detail`` never holds a personal number."""
    session.add(
        AuditRow(
            business_on=business_on,
            actor_id=actor.id,
            actor_name=actor.name,
            purpose=actor.purpose,
            action=action,
            subject_type=subject_type,
            subject_id=str(subject_id),
            detail=detail,
            trace_id=current_trace_id(),
        )
    )
