"""The last statement of a unit of work: its events, its notes in the audit log, its spans and the
answer to its command, written together.

They are written with every change there is; one statement costs half of what four do.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

Row = dict[str, Any]

_PARTS = {
    "said": """
        INSERT INTO outbox (event_id, type, exchange, routing_key, subject, county, bulk,
                            traceparent, body)
        SELECT event_id, type, exchange, routing_key, subject, county, bulk,
               traceparent, convert_to(body, 'UTF8')
        FROM json_to_recordset(CAST(:said AS json)) AS given (
            event_id uuid, type text, exchange text, routing_key text, subject text, county text,
            bulk boolean, traceparent text, body text)""",
    "noted": """
        INSERT INTO audit (business_on, actor_id, actor_name, purpose, action, subject_type,
                           subject_id, detail, trace_id)
        SELECT * FROM json_to_recordset(CAST(:noted AS json)) AS given (
            business_on date, actor_id text, actor_name text, purpose text, action text,
            subject_type text, subject_id text, detail jsonb, trace_id text)""",
    "kept": """
        INSERT INTO span (trace_id, span_id, parent_id, kind, name, caller, events, sent_at,
                          started_at, ended_at)
        SELECT * FROM json_to_recordset(CAST(:kept AS json)) AS given (
            trace_id text, span_id text, parent_id text, kind text, name text, caller text,
            events integer, sent_at timestamptz, started_at timestamptz, ended_at timestamptz)""",
    "answered": """
        UPDATE command SET answer = CAST(:answered AS jsonb) -> 'answer'
        WHERE key = CAST(:answered AS jsonb) ->> 'key'""",
}


@functools.cache
def _statement(parts: tuple[str, ...]) -> TextClause:
    """The parts that have something to write; each is carried out though nothing reads it."""
    written = ", ".join(" ".join((part, "AS (", _PARTS[part], ")")) for part in parts)
    return text(" ".join(("WITH", written, "SELECT")))


def write(
    session: Session,
    *,
    said: Sequence[Row] = (),
    noted: Sequence[Row] = (),
    kept: Sequence[Row] = (),
    answered: Row | None = None,
) -> None:
    """Write what there is, each kind in its order.

    ``said`` are rows of the outbox (``outbox.rows``), ``noted`` of the audit log (``audit.row``),
    ``kept`` of the spans (``spans.row``); ``answered`` is ``{"key": …, "answer": …}`` of a command
    that was claimed.
    """
    given = {"said": said, "noted": noted, "kept": kept, "answered": answered}
    written = {part: _encode(rows) for part, rows in given.items() if rows}
    if written:
        session.connection().execute(_statement(tuple(written)), written)


_ENCODER = msgspec.json.Encoder()


def _encode(rows: Any) -> str:
    return _ENCODER.encode(rows).decode()
