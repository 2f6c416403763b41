"""What funding shows to Prometheus beside the chassis's own."""

from __future__ import annotations

from prometheus_client import Gauge
from sqlalchemy import text

from services.chassis.uow import UnitOfWork

PAYMENTS = Gauge(
    "zhida_funding_payments", "Payments of batches not yet settled, by state.", ["state"]
)
OWED_FEN = Gauge("zhida_funding_owed_fen", "Dues made and not yet paid, in fen.")
TO_RECOVER_FEN = Gauge("zhida_funding_to_recover_fen", "Recoveries still open, in fen.")
BUDGET_LEFT_FEN = Gauge(
    "zhida_funding_budget_left_fen", "What is left of a budget line, in fen.", ["year", "benefit"]
)

_PAYMENTS = """
SELECT p.state, count(*) FROM payment p JOIN batch b ON b.id = p.batch_id
WHERE b.state NOT IN ('settled', 'voided') GROUP BY 1
"""

_OWED = "SELECT coalesce(sum(fen), 0) FROM due WHERE state IN ('owed', 'payable')"

_TO_RECOVER = """
SELECT coalesce(sum(fen - recovered_fen - written_off_fen), 0) FROM recovery WHERE NOT cancelled
"""

_BUDGET = "SELECT year, benefit, allotted_fen - used_fen FROM budget_line"


def measure(uow: UnitOfWork) -> None:
    """Bring the gauges up to date."""
    session = uow.session
    PAYMENTS.clear()
    for state, payments in session.execute(text(_PAYMENTS)):
        PAYMENTS.labels(state).set(payments)
    OWED_FEN.set(float(session.scalar(text(_OWED)) or 0))
    TO_RECOVER_FEN.set(float(session.scalar(text(_TO_RECOVER)) or 0))
    for year, benefit, left in session.execute(text(_BUDGET)):
        BUDGET_LEFT_FEN.labels(str(year), benefit).set(left)
