"""What was done under which trace: a row a command, a batch of events, a timer that told something.

The rows stand in each service's own database, written in the transaction of what they tell of:
names, ids and times, nothing about people. Together the services' rows are the path of a click.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import select

from services.chassis import tracing
from services.chassis.clock import machine_now
from services.chassis.models import SpanRow
from services.chassis.tracing import Span
from services.contracts.commands.common import ReadTraces, SpanView

if TYPE_CHECKING:
    from services.chassis.inbox import Delivery
    from services.chassis.uow import UnitOfWork

Kind = Literal["command", "reaction", "copy", "timer"]
Row = dict[str, Any]

SHOWN = 5000
"""Rows of an answer; an import of a whole city has fewer than this in each service."""


def row(
    span: Span,
    kind: Kind,
    *,
    since: datetime | None = None,
    caller: str | None = None,
    events: Sequence[Delivery] = (),
) -> Row:
    """The row of a span that ends now; ``closing`` writes it with the change the span made."""
    sent = [event.time for event in events if event.time]
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "kind": kind,
        "name": span.name,
        "caller": caller[:120] if caller else None,
        "events": len(events),
        "sent_at": min(sent, default=None),
        "started_at": since or span.started_at,
        "ended_at": machine_now(),
    }


def of_copies(name: str, since: datetime, events: Sequence[Delivery]) -> list[Row]:
    """A row for each click whose events a batch of copies held."""
    rows = []
    for traceparent, group in groupby(sorted(events, key=_sender), key=_sender):
        if traceparent:
            with tracing.span(name, traceparent) as span:
                rows.append(row(span, "copy", since=since, events=list(group)))
    return rows


def by_trace(events: Iterable[Delivery]) -> Iterator[tuple[str | None, list[Delivery]]]:
    """Neighbours that continue the same span, in the order they came.

    So the effects of each click stand under that click, and an aggregate's order is kept. Mass
    work is one span and stays one batch.
    """
    for traceparent, group in groupby(events, key=_sender):
        yield traceparent or None, list(group)


def _sender(event: Delivery) -> str:
    return event.traceparent or ""


def read(uow: UnitOfWork, request: ReadTraces) -> list[SpanView]:
    """The spans of these traces in this service, in the order they began."""
    rows = uow.session.scalars(
        select(SpanRow)
        .where(SpanRow.trace_id.in_(request.trace_ids))
        .order_by(SpanRow.started_at, SpanRow.span_id)
        .limit(SHOWN)
    )
    return [
        SpanView(
            service=uow.settings.service,
            trace_id=row.trace_id,
            span_id=row.span_id,
            parent_id=row.parent_id,
            kind=row.kind,
            name=row.name,
            caller=row.caller,
            events=row.events,
            sent_at=row.sent_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
        )
        for row in rows
    ]
