"""W3C trace context, carried from the click through RPC, outbox, AMQP and inbox to the letter.

A span that changed something is kept as a row beside the change (``spans``); there is no other
store, and a span that was rolled back never was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_provider = TracerProvider()
_tracer = _provider.get_tracer("zhida")


@dataclass(frozen=True)
class Span:
    """A span under way, its ids in hexadecimal as in ``traceparent``."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@contextmanager
def span(name: str, traceparent: str | None = None) -> Iterator[Span]:
    """A span named ``name``, continuing ``traceparent`` when one is given."""
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    parent = trace.get_current_span(context).get_span_context()
    with _tracer.start_as_current_span(name, context=context) as started:
        own = started.get_span_context()
        yield Span(
            name=name,
            trace_id=format_trace_id(own.trace_id),
            span_id=format_span_id(own.span_id),
            parent_id=format_span_id(parent.span_id) if parent.is_valid else None,
        )


_caller: ContextVar[Callable[[], str] | None] = ContextVar("caller", default=None)


@contextmanager
def called_by(who: Callable[[], str]) -> Iterator[None]:
    """What asks in this block, in words: asked for only when a request goes out."""
    before = _caller.set(who)
    try:
        yield
    finally:
        _caller.reset(before)


def current_caller() -> str | None:
    """What asks, such as ``portal POST /cases/{case_id}/decide``."""
    who = _caller.get()
    return who() if who else None


def parts(traceparent: str) -> tuple[str, str]:
    """Trace id and span id of a ``traceparent``."""
    _, trace_id, span_id, _ = traceparent.split("-")
    return trace_id, span_id


def current_traceparent() -> str | None:
    """The header value that lets the next hop continue this trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def current_trace_id() -> str | None:
    """The trace id in hexadecimal, for logs and audit."""
    context = trace.get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None
