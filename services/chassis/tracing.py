"""W3C trace context, carried from the click through RPC, outbox, AMQP and inbox to the letter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_provider = TracerProvider()
_tracer = _provider.get_tracer("zhida")


@contextmanager
def span(name: str, traceparent: str | None = None) -> Iterator[None]:
    """A span named ``name``, continuing ``traceparent`` when one is given."""
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with _tracer.start_as_current_span(name, context=context):
        yield


def current_traceparent() -> str | None:
    """The header value that lets the next hop continue this trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def current_trace_id() -> str | None:
    """The trace id in hexadecimal, for logs and audit."""
    context = trace.get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None
