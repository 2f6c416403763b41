"""Prometheus metrics every service has. No label ever holds a person, case or batch."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "zhida_requests_total", "Commands and queries answered.", ["service", "method", "outcome"]
)
REQUEST_SECONDS = Histogram(
    "zhida_request_duration_seconds", "Time to answer a command or query.", ["service", "method"]
)
EVENTS_APPLIED = Counter(
    "zhida_events_applied_total",
    "Events a subscription took effect of.",
    ["service", "subscription"],
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
    "zhida_event_batch_duration_seconds", "Time to handle a batch.", ["service", "subscription"]
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
HUB_LAG_SECONDS = Gauge(
    "zhida_hub_lag_seconds", "How late the event loop runs a timer.", ["service"]
)
AUDIT_UNSEALED = Gauge("zhida_audit_unsealed", "Audit rows that wait for their seal.", ["service"])
RETENTION_REMOVED = Counter(
    "zhida_retention_removed_total", "Rows removed after their period.", ["service", "table"]
)
TIMER_RUNS = Counter("zhida_timer_runs_total", "Timer runs.", ["service", "timer", "outcome"])
