"""The words a service class is written with; its body is its table of contents.

::

    class CasesService(Service):
        name = "cases"

        @project(PersonRecorded, into=Person)
        def copy_people(self, uow, events):
            projections.people(uow, events)

        @react(BenefitCarriedOver)
        def on_carried_over(self, uow, events):
            carry_over.open_closed_cases(uow, events)

        @command(AcceptApplication, roles=(Role.TOWN_CLERK,))
        def accept_application(self, uow, command):
            return applications.accept(uow, command)

        @every(seconds=60)
        def close_publicity(self, uow):
            publicity.close_due(uow)

All projections of a service share one queue ``<service>.copies``; every reaction has its own,
``<service>.<method>``.
"""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import eventlet
from eventlet.event import Event as Finished
from nameko.extensions import DependencyProvider, Entrypoint
from nameko.web.handlers import http
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase
from werkzeug.wrappers import Request as WebRequest
from werkzeug.wrappers import Response

from services.chassis import (
    archive,
    audit,
    audit_chain,
    common,
    database,
    health,
    inbox,
    metrics,
    rebuilding,
    retention,
    spans,
    stock,
    tracing,
)
from services.chassis.archive import Upkeep
from services.chassis.clock import machine_now
from services.chassis.consumer import COPIES_PACE_S, PACE_S, Consumer
from services.chassis.door import Refused
from services.chassis.edge import PUBLIC, Access, EdgeEntrypoint, Endpoint
from services.chassis.hub import HubWatch
from services.chassis.inbox import Delivery
from services.chassis.logs import get_logger
from services.chassis.posts import Posts
from services.chassis.relay import Relay
from services.chassis.settings import RetryStep
from services.chassis.topology import WorkQueue
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Role, system_actor
from services.contracts.commands.common import (
    DescribeFile,
    DownloadChunk,
    ListAnchors,
    ListDeadLetters,
    ReadAudit,
    ReadClock,
    ReadTraces,
    RebuildProjection,
    RedriveDeadLetters,
    SetClock,
    TakeStock,
    UploadChunk,
    VerifyAudit,
)
from services.contracts.events import Event, event_type
from services.contracts.requests import Command, Query

log = get_logger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
Refuse = Callable[[UnitOfWork, list[Refused]], None]

ANYONE = tuple(role for role in Role if role is not Role.SERVICE)
"""Any signed-in member of staff."""

WORKERS = tuple(
    role for role in ANYONE if role not in (Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDITOR)
)
"""Who works with cases and money: not those who run, secure or audit the system."""

OBSERVERS = (Role.SYSTEM_ADMIN, Role.AUDITOR)
"""Posts that see how the system works, and nothing of the people it works for."""


class Chassis(DependencyProvider):
    """Holds what the process shares; opens units of work for entrypoints; runs the relay."""

    foundation: Foundation

    def setup(self) -> None:
        """Build engine and ciphers (connects lazily: a database that is away kills nothing)."""
        self.foundation = self.container.config["foundation"]
        self.relay = Relay(self.foundation)
        self.actor = system_actor(self.foundation.settings.service)
        self._show()

    def start(self) -> None:
        """Start the relay and the watch over the event loop."""
        self._relaying = self.container.spawn_managed_thread(self.relay.run)
        watch = HubWatch(self.foundation.settings.service)
        self.container.spawn_managed_thread(watch.run)

    def stop(self) -> None:
        """Let the relay finish its batch."""
        self.relay.stop()
        with eventlet.Timeout(15, False):
            self._relaying.wait()

    def get_dependency(self, _worker_ctx: Any) -> Chassis:
        """The chassis itself; no I/O here, since an error would kill the container."""
        return self

    def run_batch(
        self,
        queue: str,
        deliveries: list[Delivery],
        handle: Callable[[UnitOfWork, list[Delivery]], None],
        *,
        copies: bool = False,
    ) -> None:
        """Claim deliveries for a subscription and handle the new ones, in one transaction.

        Neighbours of one trace are handled together, so that what follows from a click stands
        under that click; copies, which tell nobody anything, are handled all at once.
        """
        labels = (self.foundation.settings.service, queue)
        started, since = time.monotonic(), machine_now()
        with self.foundation.begin(self.actor) as uow:
            fresh = inbox.claim(uow.session, queue, (d.event_id for d in deliveries))
            chosen = []
            for delivery in deliveries:
                if delivery.event_id in fresh:
                    fresh.discard(delivery.event_id)
                    chosen.append(delivery)
            if copies and chosen:
                handle(uow, chosen)
                uow.keep(*spans.of_copies(queue, since, chosen))
            elif chosen:
                for traceparent, together in spans.by_trace(chosen):
                    with tracing.span(queue, traceparent) as span:
                        handle(uow, together)
                        uow.keep(spans.row(span, "reaction", events=together))
        now = machine_now()
        for delivery in chosen:
            if delivery.time:
                delay = (now - delivery.time).total_seconds()
                metrics.EVENT_DELAY_SECONDS.labels(labels[0], delivery.lane).observe(delay)
        metrics.EVENTS_APPLIED.labels(*labels).inc(len(chosen))
        metrics.EVENT_DUPLICATES.labels(*labels).inc(len(deliveries) - len(chosen))
        metrics.BATCH_SECONDS.labels(*labels).observe(time.monotonic() - started)

    def _show(self) -> None:
        service, cls = self.foundation.settings.service, self.container.service_cls
        pool: Any = self.foundation.engine.pool
        metrics.show_at_zero(
            service,
            methods=endpoints(cls),
            subscriptions=subscriptions(cls),
            timers=[name for name, _ in _marked(cls, "timer")],
        )
        metrics.show_use(
            service,
            workers=lambda: float(self.container._worker_pool.running()),  # noqa: SLF001
            workers_max=self.container.max_workers,
            connections=lambda: float(pool.checkedout()),
            connections_max=database.POOL_SIZE,
        )


class Subscription(Entrypoint):
    """A queue consumed in batches; each batch is one nameko worker."""

    consumer: Consumer | None = None

    def __init__(
        self, types: tuple[type[Event], ...] = (), *, keeps: bool = False, **kwargs: Any
    ) -> None:
        self._types = types
        self._keeps = keeps
        super().__init__(**kwargs)

    def work_queue(self) -> WorkQueue | None:
        """The queue of this subscription."""
        name = f"{self.container.service_name}.{self.method_name}"
        return self._queue(name, self._types)

    def _queue(self, name: str, types: Iterable[type[Event]]) -> WorkQueue:
        steps = self.container.config["foundation"].settings.retry_steps
        return WorkQueue(name, tuple(event_type(struct) for struct in types), steps)

    def start(self) -> None:
        """Consume in a thread of the container's."""
        queue = self.work_queue()
        if queue is None:
            return
        foundation: Foundation = self.container.config["foundation"]
        self._done = Finished()
        self.consumer = Consumer(
            self.container.service_name,
            foundation.settings.amqp_uri,
            Upkeep(
                foundation,
                queue,
                siblings=subscriptions(self.container.service_cls),
                is_projection=isinstance(self, Copies),
            ),
            self._spawn,
            keeps=self._keeps,
            pace_s=COPIES_PACE_S if isinstance(self, Copies) else PACE_S,
        )
        self.container.spawn_managed_thread(self._run)

    def stop(self) -> None:
        """Drain: what is in hand is handled and acknowledged before the container goes on."""
        if self.consumer is not None:
            self.consumer.stop()
            self._done.wait()

    def _run(self) -> None:
        assert self.consumer is not None
        try:
            self.consumer.run()
        finally:
            self._done.send()

    def _spawn(self, deliveries: list[Delivery]) -> Finished:
        finished = Finished()

        def handle_result(_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
            finished.send(exc_info[1] if exc_info else None)
            return result, exc_info

        self.container.spawn_worker(self, (deliveries,), {}, handle_result=handle_result)
        return finished


class Copies(Subscription):
    """The one queue all projections of a service share."""

    def work_queue(self) -> WorkQueue | None:
        """``<service>.copies``, bound to all that the service's projections copy."""
        types = dict.fromkeys(
            struct
            for _, method in _marked(self.container.service_cls, "projects")
            for struct in method.projects
        )
        if not types:
            return None
        return self._queue(f"{self.container.service_name}.copies", types)


class Every(Entrypoint):
    """A timer that runs on one replica at a time (an advisory lock in its transaction)."""

    def __init__(self, seconds: float, **kwargs: Any) -> None:
        self._seconds = seconds
        self._stop = Finished()
        self._done = Finished()
        super().__init__(**kwargs)

    def start(self) -> None:
        """Tick in a thread of the container's."""
        self.container.spawn_managed_thread(self._run)

    def stop(self) -> None:
        """End after the run in hand."""
        if not self._stop.ready():
            self._stop.send()
        self._done.wait()

    def _run(self) -> None:
        seconds = self._seconds * random.random()  # noqa: S311 - not all timers at once
        try:
            while not self._stop.ready():
                with eventlet.Timeout(seconds, False):
                    self._stop.wait()
                seconds = self._seconds
                if not self._stop.ready():
                    self._tick()
        finally:
            self._done.send()

    def _tick(self) -> None:
        finished = Finished()

        def handle_result(_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
            finished.send()
            return result, exc_info

        self.container.spawn_worker(self, (), {}, handle_result=handle_result)
        finished.wait()


def project(*types: type[Event], into: type[DeclarativeBase] | None = None) -> Callable[[F], F]:
    """Keep a local copy: the method gets each batch collapsed to the newest a subject.

    The types must be facets (whole state, guarded by epoch and version). Emits nothing. ``into`` is
    the table it keeps, when nothing but such methods writes there: that one can be made anew from
    the archives (see ``rebuilding``).
    """
    for struct in types:
        if event_type(struct).facet is None:
            raise TypeError(f"{event_type(struct).name} carries no facet: use @react")

    def decorate(method: F) -> F:
        method.projects = types  # type: ignore[attr-defined]
        method.into = into  # type: ignore[attr-defined]
        return method

    return decorate


def react(*types: type[Event], refuse: Refuse | None = None) -> Callable[[F], Any]:
    """Cause an effect, once for each event; the method gets a batch in order of arrival.

    ``uow.deliveries`` holds the envelopes (event id, sender) in the same order. ``refuse`` makes
    it the door for a type that bureaus say: what was not let in is given to it, the rest is kept in
    the archive.
    """

    def decorate(method: F) -> Any:
        @functools.wraps(method)
        def run(self: Service, deliveries: list[Delivery]) -> None:
            queue = f"{self.name}.{method.__name__}"

            def handle(uow: UnitOfWork, chosen: list[Delivery]) -> None:
                refused = [d.event for d in chosen if isinstance(d.event, Refused)]
                uow.deliveries = [d for d in chosen if not isinstance(d.event, Refused)]
                if refused and refuse is not None:
                    refuse(uow, refused)
                if uow.deliveries:
                    method(self, uow, [delivery.event for delivery in uow.deliveries])

            self.chassis.run_batch(queue, deliveries, handle)

        run.reacts_to = types  # type: ignore[attr-defined]
        return Subscription.decorator(types, keeps=refuse is not None)(run)

    return decorate


def every(*, seconds: float) -> Callable[[F], Any]:
    """Run the method each ``seconds``, as ``system:<service>``, on one replica at a time."""

    def decorate(method: F) -> Any:
        @functools.wraps(method)
        def run(self: Service) -> None:
            chassis = self.chassis
            labels = (self.name, method.__name__)
            started = time.monotonic()
            outcome = "skipped"  # another replica is at it
            try:
                with (
                    tracing.span(f"{self.name}.{method.__name__}") as span,
                    chassis.foundation.begin(chassis.actor) as uow,
                ):
                    lock = text("SELECT pg_try_advisory_xact_lock(hashtext(:name))")
                    if uow.session.scalar(lock, {"name": f"timer:{method.__name__}"}):
                        method(self, uow)
                        outcome = "ok"
                    if uow.emitted:
                        uow.keep(spans.row(span, "timer"))
                metrics.TIMER_RUNS.labels(*labels, outcome).inc()
            except Exception as error:  # a timer that failed runs again
                metrics.TIMER_RUNS.labels(*labels, "failed").inc()
                log.exception("timer_failed", timer=method.__name__, error=type(error).__name__)
            metrics.TIMER_SECONDS.labels(*labels).inc(time.monotonic() - started)

        run.timer = True  # type: ignore[attr-defined]
        return Every.decorator(seconds)(run)

    return decorate


def command(
    request: type[Command[Any]],
    *,
    roles: Access,
    child: bool = False,
    keep_answer: bool = True,
    beside: bool = False,
) -> Callable[[F], Any]:
    """Answer a command: actor and roles checked, one transaction, idempotent by the caller's key.

    ``child`` runs it in an unpatched child process (COPY, files, heavy computing).
    ``keep_answer=False`` for answers that must not be stored (a token): asked again with the same
    key, it is done again. ``beside`` for effects that no rollback takes back.
    """
    endpoint = Endpoint(
        request, roles, writes=True, child=child, keep_answer=keep_answer, beside=beside
    )
    return _endpoint(endpoint)


def query(request: type[Query[Any]], *, roles: Access, child: bool = False) -> Callable[[F], Any]:
    """Answer a query: actor and roles checked; writes nothing but the audit log."""
    return _endpoint(Endpoint(request, roles, writes=False, child=child, keep_answer=False))


def _endpoint(endpoint: Endpoint) -> Callable[[F], Any]:
    def decorate(method: F) -> Any:
        if method.__name__ != endpoint.request.method():
            raise TypeError(f"{endpoint.request.__name__} is answered by a method of that name")

        @functools.wraps(method)
        def run(self: Service, body: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
            handle = functools.partial(method, self)
            home = f"{type(self).__module__}:{type(self).__qualname__}"
            return endpoint.answer(
                self.chassis.foundation,
                handle,
                body,
                context,
                home=home,
                staff_posts=self.staff_posts,
            )

        run.endpoint = endpoint  # type: ignore[attr-defined]
        return EdgeEntrypoint.decorator()(run)

    return decorate


def _marked(service: type[Any], mark: str) -> Iterator[tuple[str, Any]]:
    for name, member in inspect.getmembers(service, inspect.isfunction):
        if hasattr(member, mark):
            yield name, member


def endpoints(service: type[Service]) -> dict[str, Endpoint]:
    """Every command and query a service answers, by method name."""
    return {name: method.endpoint for name, method in _marked(service, "endpoint")}


class Service:
    """Base of the four services: what each answers about itself, and its health."""

    name: str
    chassis = Chassis()
    kept: tuple[stock.Kept, ...] = ()
    books: tuple[stock.Books, ...] = ()
    staff_posts: Posts | None = None
    """Knows what the post of a member of staff is now."""

    @Copies.decorator
    def apply_copies(self, deliveries: list[Delivery]) -> None:
        """Hand each type's newest events to the method that keeps its copy."""

        def handle(uow: UnitOfWork, chosen: list[Delivery]) -> None:
            for _, method in _marked(type(self), "projects"):
                events = [d.event for d in chosen if isinstance(d.event, method.projects)]
                if events:
                    method(self, uow, inbox.newest_by_subject(events))

        self.chassis.run_batch(f"{self.name}.copies", deliveries, handle, copies=True)

    @every(seconds=5)
    def measure_outbox(self, uow: UnitOfWork) -> None:
        """How much waits to be published, and on which schema; also while the broker is away."""
        common.measure(uow)

    @command(SetClock, roles=(Role.SYSTEM_ADMIN,))
    def set_clock(self, uow: UnitOfWork, request: SetClock) -> Any:
        """Set the business date (demo and test)."""
        return common.set_clock(uow, request)

    @query(ReadClock, roles=PUBLIC)
    def read_clock(self, uow: UnitOfWork, request: ReadClock) -> Any:
        """Read the business date."""
        return common.read_clock(uow, request)

    @command(UploadChunk, roles=(*WORKERS, Role.SYSTEM_ADMIN))
    def upload_chunk(self, uow: UnitOfWork, request: UploadChunk) -> None:
        """Take a piece of a file."""
        common.upload_chunk(uow, request)

    @query(DescribeFile, roles=ANYONE)
    def describe_file(self, uow: UnitOfWork, request: DescribeFile) -> Any:
        """Describe a file."""
        return common.describe_file(uow, request)

    @query(DownloadChunk, roles=ANYONE)
    def download_chunk(self, uow: UnitOfWork, request: DownloadChunk) -> bytes:
        """Give a piece of a file."""
        return common.download_chunk(uow, request)

    @query(TakeStock, roles=(Role.SYSTEM_ADMIN, Role.AUDITOR))
    def take_stock(self, uow: UnitOfWork, request: TakeStock) -> Any:  # noqa: ARG002
        """Count what is held."""
        queues = work_queues(type(self), uow.settings.retry_steps)
        return stock.take(uow, self.kept, self.books, queues)

    @query(ReadTraces, roles=OBSERVERS)
    def read_traces(self, uow: UnitOfWork, request: ReadTraces) -> Any:
        """What was done here under these traces."""
        return spans.read(uow, request)

    @query(ListDeadLetters, roles=(Role.SYSTEM_ADMIN, Role.AUDITOR))
    def list_dead_letters(self, uow: UnitOfWork, request: ListDeadLetters) -> Any:
        """List dead letters."""
        return archive.list_dead_letters(uow.settings, subscriptions(type(self)), request.limit)

    @command(RedriveDeadLetters, roles=(Role.SYSTEM_ADMIN,), beside=True)
    def redrive_dead_letters(self, uow: UnitOfWork, request: RedriveDeadLetters) -> int:
        """Send dead letters back to their queue."""
        return archive.redrive(uow, subscriptions(type(self)), request)

    @command(RebuildProjection, roles=(Role.SYSTEM_ADMIN,), child=True)
    def rebuild_projection(self, uow: UnitOfWork, request: RebuildProjection) -> Any:
        """Make a copy of others' state anew from the archives and compare."""
        kept = rebuilding.projections(
            (getattr(self, name), method.into, method.projects)
            for name, method in _marked(type(self), "projects")
        )
        queue = WorkQueue(f"{self.name}.copies", (), ())
        return rebuilding.rebuild(uow, kept, queue, request)

    @every(seconds=5)
    def seal_audit(self, uow: UnitOfWork) -> None:
        """Seal the audit rows of the last seconds."""
        audit_chain.seal(uow)

    @every(seconds=60)
    def sweep(self, uow: UnitOfWork) -> None:
        """Remove what is over its period."""
        retention.sweep(uow)

    @query(VerifyAudit, roles=(Role.AUDITOR,), child=True)
    def verify_audit(self, uow: UnitOfWork, request: VerifyAudit) -> Any:
        """Find what was changed in the audit log."""
        return audit_chain.verify(uow, request)

    @query(ListAnchors, roles=(Role.AUDITOR,))
    def list_anchors(self, uow: UnitOfWork, request: ListAnchors) -> Any:
        """Heads of other services' audit chains."""
        return audit_chain.list_anchors(uow, request)

    @query(ReadAudit, roles=(Role.AUDITOR,))
    def read_audit(self, uow: UnitOfWork, request: ReadAudit) -> Any:
        """Who did or looked at what."""
        return audit.read(uow, request)

    @http("GET", "/metrics")
    def metrics(self, _request: WebRequest) -> Response:
        """Prometheus scrape."""
        return health.metrics()

    @http("GET", "/livez")
    def livez(self, _request: WebRequest) -> Response:
        """The event loop turns and every consumer's loop turns; tests no other party."""
        return health.live(self.chassis.container)

    @http("GET", "/readyz")
    def readyz(self, _request: WebRequest) -> Response:
        """Consumers connected, database answers, schema is ours."""
        return health.ready(self.chassis.container, self.chassis.foundation)


def work_queues(service: type[Service], steps: tuple[RetryStep, ...]) -> list[WorkQueue]:
    """The queues a service consumes, by name, with what each is bound to."""
    types = {
        f"{service.name}.{name}": tuple(method.reacts_to)
        for name, method in _marked(service, "reacts_to")
    }
    copied = dict.fromkeys(
        struct for _, method in _marked(service, "projects") for struct in method.projects
    )
    if copied:
        types[f"{service.name}.copies"] = tuple(copied)
    return [
        WorkQueue(name, tuple(event_type(struct) for struct in structs), steps)
        for name, structs in sorted(types.items())
    ]


def subscriptions(service: type[Service]) -> list[str]:
    """The queue names a service consumes."""
    return [queue.name for queue in work_queues(service, ())]


__all__ = [
    "ANYONE",
    "OBSERVERS",
    "PUBLIC",
    "WORKERS",
    "Service",
    "command",
    "every",
    "project",
    "query",
    "react",
]
