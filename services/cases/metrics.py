"""What cases shows to Prometheus beside the chassis's own."""

from __future__ import annotations

from prometheus_client import Gauge

from services.cases import queries, working_calendar
from services.chassis.uow import UnitOfWork

OPEN = Gauge("zhida_cases_open", "Cases in hand, by state.", ["state"])
OVERDUE = Gauge("zhida_cases_overdue", "Cases whose running limit has passed.")
CALENDAR_PUBLISHED = Gauge(
    "zhida_calendar_published",
    "1 where the notice of the year is loaded, 0 where the year is provisional or unknown.",
    ["year"],
)


def measure(uow: UnitOfWork) -> None:
    """Bring the gauges up to date; ``year`` is this or next."""
    counts = queries.overdue_by_state(uow)
    OVERDUE.set(counts.pop("overdue"))
    for state, count in counts.items():
        OPEN.labels(state).set(count)
    calendar = working_calendar.current(uow)
    for label, year in (("this", uow.today().year), ("next", uow.today().year + 1)):
        CALENDAR_PUBLISHED.labels(label).set(year in calendar.published)
