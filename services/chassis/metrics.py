"""Prometheus metrics every service has. No label ever holds a person, case or batch.

Rate, errors and duration of requests, events and timers; use, saturation and errors of what they
run on (workers, database connections, the event loop; memory, files and processor come with the
library's own ``process_…``). A counter whose first count matters to an alert is shown at zero from
the start: a series that springs up at one has never increased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from services import __version__

disable_created_metrics()  # type: ignore[no-untyped-call]

_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_BATCH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_DELAY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

BUILD = Gauge("zhida_build_info", "1; the version that runs.", ["version"])
BUILD.labels(__version__).set(1)
SCHEMA = Gauge(
    "zhida_schema_info", "1; the migration the database stands on.", ["service", "revision"]
)

# -- requests
REQUESTS = Counter(
    "zhida_requests_total", "Commands and queries answered.", ["service", "method", "outcome"]
)
REQUEST_SECONDS = Histogram(
    "zhida_request_duration_seconds",
    "Time to answer a command or query.",
    ["service", "method"],
    buckets=_REQUEST_BUCKETS,
)
REQUESTS_IN_FLIGHT = Gauge(
    "zhida_requests_in_flight", "Commands and queries being answered.", ["service"]
)

# -- events
EVENTS_APPLIED = Counter(
    "zhida_events_applied_total",
    "Events a subscription took effect of.",
    ["service", "subscription"],
)
EVENT_DELAY_SECONDS = Histogram(
    "zhida_event_delay_seconds",
    "From the change to the effect of the event that tells of it. Lane: interactive, bulk (mass "
    "work, which lets others go first) or refilled (fetched from an archive).",
    ["service", "lane"],
    buckets=_DELAY_BUCKETS,
)
EVENT_DUPLICATES = Counter(
    "zhida_inbox_duplicates_total", "Repeated deliveries ignored.", ["service", "subscription"]
)
EVENT_RETRIES = Counter(
    "zhida_event_retries_total",
    "Deliveries put off to a later attempt.",
    ["service", "subscription"],
)
EVENT_DEAD = Counter(
    "zhida_dead_letters_total", "Deliveries laid aside for a person.", ["service", "subscription"]
)
BUREAU_EVENTS = Counter(
    "zhida_bureau_events_total",
    "What other bureaus said, by what came of it.",
    ["service", "outcome"],
)
BATCH_SECONDS = Histogram(
    "zhida_event_batch_duration_seconds",
    "Time to handle a batch.",
    ["service", "subscription"],
    buckets=_BATCH_BUCKETS,
)
CONSUMING = Gauge(
    "zhida_consumer_connected", "1 while a queue is consumed.", ["service", "subscription"]
)
QUEUE_REFILLS = Counter(
    "zhida_queue_refills_total",
    "Times a queue had lost its place, its binding or its messages and was given them back.",
    ["service", "subscription"],
)
EVENTS_PUBLISHED = Counter(
    "zhida_events_published_total", "Events confirmed by the broker.", ["service"]
)
OUTBOX_PENDING = Gauge("zhida_outbox_pending", "Events not yet confirmed.", ["service"])
OUTBOX_OLDEST_SECONDS = Gauge(
    "zhida_outbox_oldest_seconds", "Age of the oldest event not yet confirmed.", ["service"]
)
RELAY_ACTIVE = Gauge("zhida_relay_active", "1 where this process holds the relay.", ["service"])

# -- what they run on
HUB_LAG_SECONDS = Histogram(
    "zhida_hub_lag_seconds",
    "How late the event loop runs a timer.",
    ["service"],
    buckets=_LAG_BUCKETS,
)
HUB_HELD = Counter(
    "zhida_hub_held_total",
    "Times something of ours held the event loop longer than 0.1 s (waiting for a processor is "
    "not counted).",
    ["service"],
)
AUDIT_UNSEALED = Gauge("zhida_audit_unsealed", "Audit rows that wait for their seal.", ["service"])
AUDIT_OLDEST_SECONDS = Gauge(
    "zhida_audit_unsealed_oldest_seconds",
    "Age of the oldest audit row without a seal.",
    ["service"],
)
CLOCK_SKEW_SECONDS = Gauge(
    "zhida_clock_skew_seconds",
    "How far this process's clock is ahead of its database's (negative: behind).",
    ["service"],
)
RETENTION_REMOVED = Counter(
    "zhida_retention_removed_total", "Rows removed after their period.", ["service", "table"]
)
TIMER_RUNS = Counter("zhida_timer_runs_total", "Timer runs.", ["service", "timer", "outcome"])
TIMER_SECONDS = Counter("zhida_timer_seconds_total", "Time spent in timers.", ["service", "timer"])
WORKERS_BUSY = Gauge("zhida_workers_busy", "Workers with a request, batch or timer.", ["service"])
WORKERS_MAX = Gauge("zhida_workers_max", "Workers there may be.", ["service"])
CONNECTIONS_USED = Gauge(
    "zhida_database_connections_used", "Database connections in use.", ["service"]
)
CONNECTIONS_MAX = Gauge(
    "zhida_database_connections_max", "Database connections there may be.", ["service"]
)

FAILURES = ("fault", "unavailable")
"""Outcomes of a request that are not the asker's doing."""


def show_at_zero(
    service: str, *, methods: Iterable[str], subscriptions: Iterable[str], timers: Iterable[str]
) -> None:
    """Make the series that alerts count on stand before the first count."""
    for method in methods:
        for outcome in FAILURES:
            REQUESTS.labels(service, method, outcome)
    for subscription in subscriptions:
        for counter in (EVENTS_APPLIED, EVENT_DUPLICATES, EVENT_RETRIES, EVENT_DEAD):
            counter.labels(service, subscription)
        CONSUMING.labels(service, subscription).set(0)
    for timer in timers:
        for outcome in ("ok", "failed", "skipped"):
            TIMER_RUNS.labels(service, timer, outcome)
    EVENT_DELAY_SECONDS.labels(service, "interactive")
    for alone in (EVENTS_PUBLISHED, HUB_HELD):
        alone.labels(service)
    RELAY_ACTIVE.labels(service).set(0)


def show_use(
    service: str,
    *,
    workers: Callable[[], float],
    workers_max: int,
    connections: Callable[[], float],
    connections_max: int,
) -> None:
    """Read what is in use at each scrape."""
    WORKERS_BUSY.labels(service).set_function(workers)
    WORKERS_MAX.labels(service).set(workers_max)
    CONNECTIONS_USED.labels(service).set_function(connections)
    CONNECTIONS_MAX.labels(service).set(connections_max)
