"""Compute: what is owed becomes dues, dues become payments; one statement each, however many."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.chassis.privileges import refresh_statistics
from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import BatchView, ComputeBatch
from services.contracts.errors import Conflict
from services.funding import batches, policy_book
from services.funding.domain.cycle import Step
from services.funding.models import BatchRow

# The regular dues of every month up to the batch's that an entitlement does not have yet; one that
# was closed under an earlier entitlement (an undone import, say) is owed again under this. Which
# entitlements lag behind is fixed first, so that one granted meanwhile is left to the next compute.
_LAGGING = """
CREATE TEMPORARY TABLE lagging ON COMMIT DROP AS
SELECT e.id, e.benefit, e.division, e.household_id, coalesce(o.through, '') AS through
FROM entitlement e
LEFT JOIN owed o ON o.entitlement_id = e.id
WHERE e.division LIKE :county AND e.state <> 'void' AND NOT e.one_off
  AND e.from_month <= :month AND (o.through IS NULL OR o.through < :month)
  AND (e.last_month IS NULL OR e.last_month > coalesce(o.through, ''))
"""

_MONTHS = """
SELECT to_char(m, 'YYYY-MM')
FROM generate_series(
    (SELECT to_date(min(CASE WHEN l.through > t.from_month THEN l.through ELSE t.from_month END),
                    'YYYY-MM')
       FROM lagging l JOIN term t ON t.entitlement_id = l.id),
    to_date(:month, 'YYYY-MM'), interval '1 month') AS m
"""

_DUES = """
INSERT INTO due (person_id, benefit, month, part, fen, entitlement_id, term_id, division,
                 household_id, budget_year)
SELECT s.person_id, l.benefit, m.month, 'regular', s.fen, l.id, t.id, l.division, l.household_id,
       left(m.month, 4)::smallint
FROM lagging l
JOIN term t ON t.entitlement_id = l.id
JOIN share s ON s.term_id = t.id AND s.fen > 0
JOIN unnest(CAST(:months AS text[])) AS m(month)
  ON m.month >= t.from_month AND (t.to_month IS NULL OR m.month <= t.to_month)
 AND m.month > l.through
ORDER BY l.division, l.benefit, l.id, m.month
ON CONFLICT (person_id, benefit, month, part, cause) DO UPDATE
   SET fen = excluded.fen, entitlement_id = excluded.entitlement_id, term_id = excluded.term_id,
       division = excluded.division, household_id = excluded.household_id,
       state = 'owed', closed_reason = NULL
 WHERE due.state = 'closed' AND due.entitlement_id <> excluded.entitlement_id
   AND NOT EXISTS (SELECT 1 FROM payment_due x WHERE x.due_id = due.id AND x.live)
"""

_OWED = """
INSERT INTO owed (entitlement_id, through) SELECT id, :month FROM lagging
ON CONFLICT (entitlement_id) DO UPDATE SET through = excluded.through
"""

# The dues that no payment carries, counted before they are joined on: the planner cannot know how
# many of a month's are free, and would join a city's as if they were a handful.
_CHOSEN = """
CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS
SELECT d.id, d.entitlement_id, d.month, d.fen
FROM due d
JOIN entitlement e ON e.id = d.entitlement_id
WHERE d.state = :due_state AND d.month <= :month AND d.division LIKE :county
  AND {scope}
  AND NOT EXISTS (SELECT 1 FROM payment_due x WHERE x.due_id = d.id AND x.live)
"""

# One payment for each entitlement, to the account that is paid now: the household's payee for a
# household's benefit, else the payee of the decision; the household's payee again when that one
# is on the stop list (a new payee there is set by two persons). Ids begin with the time (UUIDv7),
# so that those of a batch lie together in their indexes.
_PAYMENTS = """
WITH made AS (
    INSERT INTO payment (id, batch_id, entitlement_id, payee_person_id, household_id, division,
                         benefit, month, fen, child, state)
    SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)), 12, '0')
                || '7' || substr(replace(CAST(gen_random_uuid() AS text), '-', ''), 14) AS uuid),
           :batch, e.id,
           CASE WHEN stopped.person_id IS NULL THEN base.payee
                WHEN h.payee_person_id IS NOT NULL AND h_stopped.person_id IS NULL
                THEN h.payee_person_id
                ELSE base.payee END,
           e.household_id, e.division, e.benefit, c.month, c.fen, e.child, 'draft'
    FROM (SELECT entitlement_id, max(month) AS month, sum(fen)::bigint AS fen
            FROM chosen GROUP BY 1) c
    JOIN entitlement e ON e.id = c.entitlement_id
    JOIN benefit b ON b.code = e.benefit
    LEFT JOIN household h ON h.household_id = e.household_id
    CROSS JOIN LATERAL (SELECT CASE WHEN b.unit = 'household'
                                    THEN coalesce(h.payee_person_id, e.payee_person_id)
                                    ELSE e.payee_person_id END AS payee) base
    LEFT JOIN stop stopped
           ON stopped.person_id = base.payee AND stopped.revoked_by IS NULL
    LEFT JOIN stop h_stopped
           ON h_stopped.person_id = h.payee_person_id AND h_stopped.revoked_by IS NULL
    ORDER BY e.division, e.benefit, e.id
    RETURNING id, entitlement_id
)
INSERT INTO payment_due (payment_id, due_id, fen)
SELECT m.id, c.id, c.fen FROM chosen c JOIN made m USING (entitlement_id)
"""

_SCOPES = {
    "monthly": "NOT e.one_off",
    "one_off": "e.one_off",
    "repayment": """EXISTS (
        SELECT 1 FROM payment_due pd JOIN payment p ON p.id = pd.payment_id
        WHERE pd.due_id = d.id AND p.batch_id = :of_batch AND p.state IN ('failed', 'returned'))""",
}

_DROP_ATTEMPTS = """
DELETE FROM payment_due pd USING payment p WHERE p.id = pd.payment_id AND p.batch_id = :batch
"""

_COUNTS = """
UPDATE batch SET
    payments = counted.payments, computed_fen = counted.fen,
    people = (SELECT count(DISTINCT d.person_id) FROM payment p
              JOIN payment_due pd ON pd.payment_id = p.id AND pd.live
              JOIN due d ON d.id = pd.due_id
              WHERE p.batch_id = :batch AND p.state = 'draft')
FROM (SELECT count(*) AS payments, coalesce(sum(fen), 0)::bigint AS fen
        FROM payment WHERE batch_id = :batch AND state = 'draft') counted
WHERE batch.id = :batch
"""


def compute(uow: UnitOfWork, command: ComputeBatch) -> BatchView:
    """Compute a batch; computing again starts from what holds now and gives nothing twice."""
    batch = batches.find(uow, command.batch, lock=True)
    if batch.kind not in _SCOPES:
        raise Conflict("此类批次不需要计算", advice="请直接校验或签署")
    batches.advance(batch, Step.COMPUTE)
    policy_book.install(uow)
    make_payments(uow, batch)
    uow.audit("batch_computed", "batch", batch.id, fen=batch.computed_fen)
    return batches.view(uow, batch)


def make_payments(uow: UnitOfWork, batch: BatchRow) -> None:
    """Drop the batch's drafts and make them anew."""
    session = uow.session
    session.flush()
    place = {"batch": batch.id}
    session.execute(text("DELETE FROM finding WHERE batch_id = :batch"), place)
    session.execute(text(_DROP_ATTEMPTS), place)
    session.execute(text("DELETE FROM payment WHERE batch_id = :batch"), place)
    county = {"county": batch.division + "%", "month": batch.month}
    look_at(uow, "entitlement", "term", "share", "coverage", "person", "household", "stop", "owed")
    if batch.kind == "monthly":
        _make_dues(uow, county)
    # Not at ``payment`` before it is filled again: how full a table is everybody sees at once, and
    # deaths that come meanwhile would be looked up as in an empty one.
    look_at(uow, "due")
    of_batch = {"of_batch": batch.of_batch} if batch.kind == "repayment" else {}
    session.execute(text("DROP TABLE IF EXISTS pg_temp.chosen"))
    session.execute(
        # nosemgrep: raw-sql-from-values (the scopes are constants above)
        text(_CHOSEN.format(scope=_SCOPES[batch.kind])),
        county | of_batch | {"due_state": "payable" if batch.kind == "repayment" else "owed"},
    )
    session.execute(text("ANALYZE chosen"))
    try:
        with session.begin_nested():
            session.execute(text(_PAYMENTS), place)
    except IntegrityError as error:
        raise Conflict("有款项正被另一批次占用", advice="请待另一批次计算完成后重新计算") from error
    look_at(uow, "payment", "payment_due")
    count(uow, batch)


def look_at(uow: UnitOfWork, *tables: str) -> None:
    """Let the planner see how full tables are: it would nest loops over a hundred thousand rows."""
    refresh_statistics(uow.session, *tables)


def count(uow: UnitOfWork, batch: BatchRow) -> None:
    """Refresh the batch's counts from its drafts."""
    uow.session.execute(text(_COUNTS), {"batch": batch.id})
    uow.session.refresh(batch, ["payments", "people", "computed_fen"])


def _make_dues(uow: UnitOfWork, county: dict[str, str]) -> None:
    session = uow.session
    session.execute(text("DROP TABLE IF EXISTS pg_temp.lagging"))
    session.execute(text(_LAGGING), county)
    months = list(session.scalars(text(_MONTHS), county))
    if months:
        session.execute(text("ANALYZE lagging"))
        session.execute(text(_DUES), {"months": months})
        session.execute(text(_OWED), county)
