"""The path of a case, put together from what the services tell."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from services.chassis.inbox import Delivery
from services.chassis.spans import by_trace
from services.cli.traces import Step, paths
from services.contracts.commands.common import SpanView, Traced
from services.contracts.events.registry import PersonDied

BEGAN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def span(service: str, name: str, span_id: str, parent: str | None, ms: int) -> SpanView:
    """A span that began ``ms`` after the click and took 5 ms; its event was written 2 ms before."""
    at = BEGAN + timedelta(milliseconds=ms)
    return SpanView(
        service=service,
        trace_id="t1",
        span_id=span_id,
        parent_id=parent,
        kind="reaction",
        name=name,
        caller="portal POST /cases/{case_id}/{act}" if parent == "portal" else None,
        events=1,
        sent_at=at - timedelta(milliseconds=2) if parent != "portal" else None,
        started_at=at,
        ended_at=at + timedelta(milliseconds=5),
    )


def did(service: str, what: str, span_id: str | None) -> Traced:
    """Something that happened to the case."""
    return Traced(service=service, what=what, at=BEGAN, trace_id="t1", span_id=span_id)


def flat(steps: list[Step]) -> list[str]:
    """Names from the click on."""
    return [name for step in steps for name in (step.name, *flat(step.caused))]


def test_what_a_click_caused_stands_under_it() -> None:
    """Whatever order the services answer in; the click itself has no row and is the caller."""
    (path,) = paths(
        [did("cases", "decided", "a"), did("notify", "case_decided", "c")],
        [
            span("notify", "notify.tell_of_cases", "c", "a", 40),
            span("cases", "cases.on_entitlements", "d", "b", 60),
            span("funding", "funding.on_case_decided", "b", "a", 20),
            span("cases", "cases.decide", "a", "portal", 0),
        ],
    )
    (decide,) = path.steps
    assert decide.caller == "portal POST /cases/{case_id}/{act}"
    assert flat(path.steps) == [
        "cases.decide",
        "funding.on_case_decided",
        "cases.on_entitlements",
        "notify.tell_of_cases",
    ]
    assert decide.caused[0].waited_ms == 2.0
    assert decide.caused[1].did[0].what == "case_decided"
    assert path.services == ["cases", "funding", "notify"]


def test_of_mass_work_only_the_way_to_the_case_is_shown() -> None:
    """An import has hundreds of batches; this case was in one of them."""
    imported = [span("registry", "registry.import_roster", "a", "zhida", 0)]
    batches = [span("cases", "cases.on_carried_over", f"b{n}", "a", 10 * n) for n in range(300)]
    granted = [
        span("funding", "funding.on_case_decided", f"c{n}", f"b{n}", 10 * n) for n in range(300)
    ]
    (path,) = paths([did("cases", "carried_over", "b7")], [*imported, *batches, *granted])
    assert flat(path.steps) == [
        "registry.import_roster",
        "cases.on_carried_over",
        "funding.on_case_decided",
    ]
    assert path.steps[0].hidden == 299
    assert path.steps[0].caused[0].span_id == "b7"


def test_what_no_span_is_known_for_is_not_lost() -> None:
    """A batch's step has its trace alone; a span that was forgotten leaves its fact."""
    (path,) = paths([did("funding", "batch_locked", None)], [span("funding", "x", "a", None, 0)])
    assert [each.what for each in path.did] == ["batch_locked"]
    assert flat(path.steps) == ["x"]


def delivery(traceparent: str | None) -> Delivery:
    """An event of a click."""
    event = PersonDied(
        person_id=uuid.uuid4(),
        household_id=uuid.uuid4(),
        division="421083108007",
        died_on=BEGAN.date(),
        source="test",
        source_event_id="1",
    )
    return Delivery(uuid.uuid4(), "person.died.v1", event, traceparent, None)


def test_the_effects_of_a_click_stand_under_that_click() -> None:
    """A batch of several clicks is handled click by click, in order; mass work stays one batch."""
    arrived = [delivery(name) for name in ("a", "a", "b", "a", None, None)]
    together = [(name, len(group)) for name, group in by_trace(arrived)]
    assert together == [("a", 2), ("b", 1), ("a", 1), (None, 2)]
    assert [each for _, group in by_trace(arrived) for each in group] == arrived
