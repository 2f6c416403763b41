"""What cases shows to Prometheus beside the chassis's own."""

from __future__ import annotations

from prometheus_client import Gauge

from services.cases import queries, working_calendar
from services.chassis.uow import UnitOfWork

OPEN = Gauge("zhida_cases_open", "Cases in hand, by state.", ["state"])
BY_LIMIT = Gauge(
    "zhida_cases_by_limit",
    "Cases in hand whose limit runs: passed, near (an officer was warned) or far.",
    ["limit"],
)
CALENDAR_PUBLISHED = Gauge(
    "zhida_calendar_published",
    "1 where the notice of the year is loaded, 0 where the year is provisional or unknown.",
    ["year"],
)


def measure(uow: UnitOfWork) -> None:
    """Bring the gauges up to date; ``year`` is this or next."""
    for state, count in queries.open_by_state(uow).items():
        OPEN.labels(state).set(count)
    for limit, count in queries.open_by_limit(uow).items():
        BY_LIMIT.labels(limit).set(count)
    calendar = working_calendar.current(uow)
    for label, year in (("this", uow.today().year), ("next", uow.today().year + 1)):
        CALENDAR_PUBLISHED.labels(label).set(year in calendar.published)
