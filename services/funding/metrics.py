"""What funding shows to Prometheus beside the chassis's own."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

from prometheus_client import Gauge
from sqlalchemy import or_, select, text

from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import FiveSumsView
from services.funding import batches
from services.funding.domain.months import Month, month_of, shift
from services.funding.models import BatchRow
from services.funding.timetable import timetable

PAYMENTS = Gauge(
    "zhida_funding_payments", "Payments of batches not yet settled, by state.", ["state"]
)
MONTH_FEN = Gauge(
    "zhida_funding_month_fen",
    "Payments of the batches opened this business month, by state, in fen.",
    ["state"],
)
OWED_FEN = Gauge("zhida_funding_owed_fen", "Dues made and not yet paid, in fen.")
TO_RECOVER_FEN = Gauge("zhida_funding_to_recover_fen", "Recoveries still open, in fen.")
UNRECONCILED = Gauge(
    "zhida_funding_unreconciled", "People whose dues are still to be brought to their terms."
)
UNRECONCILED_SECONDS = Gauge(
    "zhida_funding_unreconciled_seconds", "How long the one who has waited longest for it waits."
)
BUDGET_LEFT_FEN = Gauge(
    "zhida_funding_budget_left_fen", "What is left of a budget line, in fen.", ["year", "benefit"]
)
EXPECTED = Gauge(
    "zhida_funding_benefits_expected",
    "Monthly benefits whose pay day has come, of the newest such month.",
)
LATE = Gauge("zhida_funding_benefits_late", "Of these, those not settled yet.")
DIFFERENCE_FEN = Gauge(
    "zhida_funding_reconciliation_difference_fen",
    "How far the five sums of batches are apart, in fen; must be 0. Batches that are open or were "
    "opened within 62 days.",
)

RECONCILED = timedelta(days=62)
"""This month's cycle, the one before, and what came back of it."""

STATES = ("draft", "held", "short", "locked", "withdrawn", "voided", "sent", "settled", "failed")
STATES_OF_ALL = (*STATES, "returned")

_PAYMENTS = """
SELECT p.state, count(*) FROM payment p JOIN batch b ON b.id = p.batch_id
WHERE b.state NOT IN ('settled', 'voided') GROUP BY 1
"""

_MONTH = """
SELECT p.state, sum(p.fen) FROM payment p JOIN batch b ON b.id = p.batch_id
WHERE b.opened_on >= :since AND b.state <> 'voided' GROUP BY 1
"""

_OWED = "SELECT coalesce(sum(fen), 0) FROM due WHERE state IN ('owed', 'payable')"

_TO_RECOVER = """
SELECT coalesce(sum(fen - recovered_fen - written_off_fen), 0) FROM recovery WHERE NOT cancelled
"""

_UNRECONCILED = """
SELECT count(DISTINCT person_id),
       coalesce(extract(epoch FROM clock_timestamp() - min(noted_at)), 0)
FROM unreconciled
"""

_BUDGET = "SELECT year, benefit, allotted_fen - used_fen FROM budget_line"

_ON_TIME = """
SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM due d WHERE d.entitlement_id = e.id AND d.month = :month AND d.part = 'regular'
    AND d.state IN ('paid', 'closed')))
FROM entitlement e
WHERE e.state = 'active' AND NOT e.one_off AND e.from_month <= :month
  AND coalesce(e.last_month, :month) >= :month
  AND NOT EXISTS (SELECT FROM stop s
                  WHERE s.person_id = e.payee_person_id AND s.revoked_by IS NULL)
"""


def month_to_be_paid(today: date, day: int) -> Month:
    """The newest month whose pay day is over."""
    return month_of(today) if today.day > day else shift(month_of(today), -1)


def apart(five: FiveSumsView) -> int:
    """How far the sums known so far are apart, in fen."""
    known = [five.approved_less_withdrawn, five.lock_transfers_less_withdrawals]
    if five.bank_file is not None:
        answered = (five.settled or 0) + (five.failed or 0) + (five.unanswered or 0)
        known += [five.bank_file, answered]
    return max(known) - min(known)


def measure(uow: UnitOfWork) -> None:
    """Bring the gauges up to date."""
    session = uow.session
    waiting: dict[str, int] = dict(session.execute(text(_PAYMENTS)).all())
    first = {"since": uow.today().replace(day=1)}
    this_month: dict[str, int] = dict(session.execute(text(_MONTH), first).all())
    for state in STATES_OF_ALL:
        PAYMENTS.labels(state).set(waiting.get(state, 0))
        MONTH_FEN.labels(state).set(float(this_month.get(state, 0)))
    OWED_FEN.set(float(session.scalar(text(_OWED)) or 0))
    TO_RECOVER_FEN.set(float(session.scalar(text(_TO_RECOVER)) or 0))
    people, seconds = session.execute(text(_UNRECONCILED)).one()
    UNRECONCILED.set(people)
    UNRECONCILED_SECONDS.set(float(seconds))
    left: Counter[tuple[str, str]] = Counter()
    for year, benefit, fen in session.execute(text(_BUDGET)):
        left[str(year), benefit] += fen
    for labels, fen in left.items():
        BUDGET_LEFT_FEN.labels(*labels).set(fen)


def reconcile(uow: UnitOfWork) -> None:
    """Whether the money agrees to the fen, and whether it came on time."""
    since = uow.today() - RECONCILED
    recent = select(BatchRow).where(
        or_(BatchRow.opened_on >= since, BatchRow.state.not_in(("settled", "voided")))
    )
    five = batches.sums_of(uow, uow.session.scalars(recent).all())
    DIFFERENCE_FEN.set(sum(apart(each) for each in five))
    month = month_to_be_paid(uow.today(), timetable(uow.settings.county, uow.today()).pay_day)
    expected, late = uow.session.execute(text(_ON_TIME), {"month": month}).one()
    EXPECTED.set(expected)
    LATE.set(late)
