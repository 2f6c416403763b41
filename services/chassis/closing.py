"""The last statement of a unit of work: its new rows, its events, its notes in the audit log, its
spans and the answer to its command, written together.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from services.chassis import rows
from services.chassis.models import AuditRow, OutboxRow, SpanRow
from services.chassis.rows import Row

_ANSWER = """
UPDATE command SET answer = CAST(:given AS jsonb) -> 'answer'
WHERE key = CAST(:given AS jsonb) ->> 'key'
"""


def write(
    session: Session,
    *,
    put: rows.Rows | None = None,
    said: Sequence[Row] = (),
    noted: Sequence[Row] = (),
    kept: Sequence[Row] = (),
    answered: Row | None = None,
) -> None:
    """Write what there is, each kind in its order.

    ``put`` are rows of the service's own tables; ``said`` of the outbox (``outbox.rows``),
    ``noted`` of the audit log (``audit.row``), ``kept`` of the spans (``spans.row``); ``answered``
    is ``{"key": …, "answer": …}`` of a command that was claimed.
    """
    then = [(_ANSWER, answered)] if answered else []
    rows.write(session, {**(put or {}), OutboxRow: said, AuditRow: noted, SpanRow: kept}, *then)
