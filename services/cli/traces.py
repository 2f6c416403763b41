"""`zhida trace`: the path of a case through all services, with times.

Each service tells what it did under the case's traces; here the spans are put under the span that
caused them. Of a trace of mass work (an import, a cycle) only the way to this case is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.tree import Tree

from services.chassis.discovery import NAMES
from services.cli import session
from services.cli.output import Json, present
from services.contracts.commands.cases import TraceCase
from services.contracts.commands.common import ReadTraces, SpanView, Traced
from services.contracts.commands.funding import TracePayments
from services.contracts.commands.notify import TraceMessages
from services.contracts.errors import Unavailable

group = typer.Typer()

T = TypeVar("T")

KINDS = {"command": "命令", "reaction": "反应", "copy": "副本", "timer": "定时"}
AT_ONCE = 50
"""Traces asked for in one request."""


class Step(msgspec.Struct, kw_only=True):
    """A span with what it caused. ``waited_ms``: from the event's writing to its handling;
    ``hidden``: spans below it that did not concern this case.
    """

    service: str
    name: str
    kind: str
    span_id: str
    started_at: datetime
    ms: float
    waited_ms: float | None
    events: int
    caller: str | None
    did: list[Traced]
    hidden: int
    caused: list[Step]


class Path(msgspec.Struct, kw_only=True):
    """One click (or timer) and everything that followed from it."""

    trace_id: str
    began_at: datetime
    ended_at: datetime
    services: list[str]
    steps: list[Step]
    did: list[Traced]
    """Of this trace, what no kept span is known for."""


class CasePath(msgspec.Struct, kw_only=True):
    """All traces of a case, oldest first; ``away`` are the services that did not answer."""

    case_id: str
    case_no: str
    services: list[str]
    away: list[str]
    traces: list[Path]


@group.command("trace")
def trace(
    case: Annotated[str, typer.Argument(help="受理编号或案件编号")],
    as_json: Json = False,
) -> None:
    """一个案件经过各服务的路径和用时（系统管理员、审计员）。"""
    present(found := path_of(case), as_json, lambda: _drawn(found))


def path_of(case: str) -> CasePath:
    """Ask every service. Raises when cases does not answer; the others may be away."""
    away: list[str] = []

    def ask(service: str, question: Callable[[], list[T]]) -> list[T]:
        try:
            return question()
        except Unavailable:
            away.append(service)
            return []

    known = session.call(TraceCase(case=case))
    did = [
        *known.facts,
        *ask("funding", lambda: session.call(TracePayments(case_id=known.case_id))),
        *ask("notify", lambda: session.call(TraceMessages(case_id=known.case_id))),
    ]
    ids = sorted({each.trace_id for each in did})
    spans = [
        span
        for name in NAMES
        for start in range(0, len(ids), AT_ONCE)
        for span in ask(name, lambda: _read(name, ids[start : start + AT_ONCE]))  # noqa: B023
    ]
    traces = paths(did, spans)
    return CasePath(
        case_id=str(known.case_id),
        case_no=known.case_no,
        services=sorted({name for path in traces for name in path.services}),
        away=sorted(set(away)),
        traces=traces,
    )


def _read(service: str, ids: Sequence[str]) -> list[SpanView]:
    return session.call(ReadTraces(trace_ids=tuple(ids)), service=service)


def paths(did: Iterable[Traced], spans: Iterable[SpanView]) -> list[Path]:
    """The traces, oldest first, each as a tree of the spans that concern what was done."""
    by_trace: dict[str, tuple[list[Traced], list[SpanView]]] = {}
    for each in did:
        by_trace.setdefault(each.trace_id, ([], []))[0].append(each)
    for span in spans:
        by_trace.setdefault(span.trace_id, ([], []))[1].append(span)
    made = [_path(trace_id, *found) for trace_id, found in by_trace.items()]
    return sorted(made, key=lambda path: path.began_at)


def _path(trace_id: str, did: list[Traced], spans: list[SpanView]) -> Path:
    known = {span.span_id: span for span in spans}
    below: dict[str | None, list[SpanView]] = {}
    for span in sorted(spans, key=lambda span: span.started_at):
        parent = span.parent_id if span.parent_id in known else None
        below.setdefault(parent, []).append(span)
    of_span: dict[str, list[Traced]] = {}
    for each in did:
        if each.span_id in known:
            of_span.setdefault(str(each.span_id), []).append(each)
    shown = _concerned(set(of_span), known, below) if of_span else set(known)

    def steps(parent: str | None) -> list[Step]:
        return [step(span) for span in below.get(parent, []) if span.span_id in shown]

    def step(span: SpanView) -> Step:
        waited: float | None = None
        if span.sent_at:
            waited = max(0.0, (span.started_at - span.sent_at).total_seconds() * 1000)
        return Step(
            service=span.service,
            name=span.name,
            kind=span.kind,
            span_id=span.span_id,
            started_at=span.started_at,
            ms=round((span.ended_at - span.started_at).total_seconds() * 1000, 1),
            waited_ms=None if waited is None else round(waited, 1),
            events=span.events,
            caller=span.caller,
            did=of_span.get(span.span_id, []),
            hidden=sum(each.span_id not in shown for each in below.get(span.span_id, [])),
            caused=steps(span.span_id),
        )

    kept = [known[span_id] for span_id in shown]
    times = [each.at for each in did] + [span.started_at for span in kept]
    ends = [each.ended_at or each.at for each in did] + [span.ended_at for span in kept]
    return Path(
        trace_id=trace_id,
        began_at=min(times),
        ended_at=max(ends),
        services=sorted({span.service for span in kept} | {each.service for each in did}),
        steps=steps(None),
        did=[each for each in did if each.span_id not in known],
    )


def _concerned(
    marked: set[str], known: dict[str, SpanView], below: dict[str | None, list[SpanView]]
) -> set[str]:
    """The marked spans, what led to them and what they caused."""
    shown: set[str] = set()
    for span_id in marked:
        above: str | None = span_id
        while above in known and above not in shown:
            shown.add(above)
            above = known[above].parent_id
    waiting = list(marked)
    while waiting:
        for caused in below.get(waiting.pop(), []):
            if caused.span_id not in marked:
                waiting.append(caused.span_id)
            shown.add(caused.span_id)
    return shown


# -- for people -------------------------------------------------------------------------------


def _drawn(found: CasePath) -> Tree:
    tree = Tree(f"[bold]{found.case_no}[/]　经过 {'、'.join(found.services)}")
    for path in found.traces:
        seconds = (path.ended_at - path.began_at).total_seconds()
        caller = next((step.caller for step in path.steps if step.caller), None)
        head = f"[bold]{path.began_at.astimezone():%m-%d %H:%M:%S}[/] {caller or '系统'}"
        branch = tree.add(f"{head}　[dim]{seconds:.3f} 秒　{path.trace_id}[/]")
        for step in path.steps:
            _draw(branch, step, path.began_at)
        for each in path.did:
            branch.add(_happened(each))
    if found.away:
        tree.add(f"[red]没有应答：{'、'.join(found.away)}；其经过没有列出[/]")
    return tree


def _draw(branch: Tree, step: Step, began_at: datetime) -> None:
    since = (step.started_at - began_at).total_seconds() * 1000
    waited = f"，等待 {step.waited_ms:.0f} 毫秒" if step.waited_ms is not None else ""
    batch = f"，同批 {step.events} 条" if step.events > 1 else ""
    own = branch.add(
        f"+{since:.0f} 毫秒 [cyan]{step.name}[/]　"
        f"[dim]{KINDS.get(step.kind, step.kind)} {step.ms:.0f} 毫秒{waited}{batch}[/]"
    )
    for each in step.did:
        own.add(_happened(each))
    for caused in step.caused:
        _draw(own, caused, began_at)
    if step.hidden:
        own.add(f"[dim]…… 另有 {step.hidden} 步不涉及本案[/]")


def _happened(each: Traced) -> str:
    ended = f"，{each.ended_at.astimezone():%H:%M:%S}" if each.ended_at else ""
    state = f"　{each.state}{ended}" if each.state else ""
    return f"● {each.service} {each.what}　[dim]{each.at.astimezone():%H:%M:%S}[/]{state}"
