"""Check: who cannot be paid and why, what changed against last month, what the money allows."""

from __future__ import annotations

from sqlalchemy import text

from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import BatchView, CheckBatch
from services.contracts.errors import Conflict
from services.funding import batches, computing, ledger, terms
from services.funding.domain.cycle import State, Step
from services.funding.domain.months import shift
from services.funding.models import BatchRow

# A decision or a death came after the payment was made: a regular due whose term no longer covers
# its month, or a due that is no longer what the payment was made for.
CHANGED = """EXISTS (
    SELECT 1 FROM payment_due pd
    JOIN due d ON d.id = pd.due_id
    LEFT JOIN term t ON t.id = d.term_id
    LEFT JOIN entitlement e ON e.id = t.entitlement_id
    WHERE pd.payment_id = p.id AND pd.live
      AND (pd.fen <> d.fen OR d.state = 'closed'
           OR d.part = 'regular' AND (t.to_month < d.month OR e.state = 'void')))"""

# On the stop list, changed, without an account, or for whom or to where nobody had a day to look:
# why a payment may not go out. A payee the decision itself names is no change.
BLOCKED = f"""
SELECT p.id,
       CASE WHEN s.person_id IS NOT NULL THEN 'died'
            WHEN {CHANGED} THEN 'changed'
            WHEN a.account_number IS NULL THEN 'no_account'
            WHEN NOT a.account_carried_over
                 AND a.account_changed_at > CAST(:changed_since AS timestamptz)
            THEN 'account_changed'
            WHEN h.household_id IS NOT NULL
                 AND EXISTS (SELECT 1 FROM entitlement e WHERE e.id = p.entitlement_id
                             AND e.payee_person_id <> p.payee_person_id)
            THEN 'payee_changed'
       END AS code, a.account_number, a.account_name, a.account_index, a.account_last4, a.name,
       p.division, p.benefit
FROM payment p
LEFT JOIN stop s ON s.person_id = p.payee_person_id AND s.revoked_by IS NULL
LEFT JOIN person a ON a.person_id = p.payee_person_id
LEFT JOIN household h ON h.household_id = p.household_id
     AND h.payee_person_id = p.payee_person_id
     AND h.payee_changed_at > CAST(:changed_since AS timestamptz)
WHERE p.batch_id = :batch AND p.state = :state
"""  # noqa: S608

REASONS = {
    "died": "领款人已死亡，应发款项待变更领款人后发放",
    "changed": "计算之后待遇有变更，请重新计算",
    "no_account": "领款人没有银行账号，请补录账号",
    "account_changed": "领款账户变更未满 24 小时，核实后下批发放",
    "payee_changed": "领款人变更未满 24 小时，核实后下批发放",
}

REASON_SQL = (
    "CASE code "
    + " ".join(f"WHEN '{code}' THEN '{reason}'" for code, reason in REASONS.items())
    + " END"
)

_HOLD = f"""
WITH blocked AS MATERIALIZED ({BLOCKED}),
held AS (
    UPDATE payment p SET state = 'held', reason_code = b.code, reason = {REASON_SQL}
    FROM blocked b WHERE b.id = p.id AND b.code IS NOT NULL
    RETURNING p.id, p.batch_id, p.payee_person_id, p.division, p.benefit, p.fen, p.reason_code,
              p.reason
), freed AS (
    UPDATE payment_due pd SET live = false FROM held WHERE pd.payment_id = held.id
)
INSERT INTO finding (batch_id, kind, held, payment_id, person_id, division, benefit, fen, message)
SELECT batch_id, reason_code, true, id, payee_person_id, division, benefit, fen, reason FROM held
"""  # noqa: S608

# A person may not have both: the due of the benefit that has to give way leaves its payment. Where
# each excludes the other, the later decision gives way. A benefit paid as a difference stands.
_EXCLUDED = """
WITH several AS MATERIALIZED (
    SELECT person_id FROM coverage GROUP BY 1 HAVING count(*) > 1
), hit AS MATERIALIZED (
    SELECT DISTINCT ON (pd.payment_id, pd.due_id)
           pd.payment_id, pd.due_id, pd.fen, d.person_id, p.division, p.benefit, x.held, x.clause
    FROM several
    JOIN due d ON d.person_id = several.person_id AND d.part <> 'instalment'
    JOIN payment_due pd ON pd.due_id = d.id AND pd.live
    JOIN payment p ON p.id = pd.payment_id
    JOIN exclusion x ON x.benefit = p.benefit AND x.effect = 'refuse'
    JOIN coverage c ON c.person_id = d.person_id AND c.benefit = x.held
                   AND (c.active OR c.last_month >= d.month)
    JOIN entitlement other ON other.id = c.entitlement_id AND other.state <> 'void'
                          AND other.from_month <= d.month
    WHERE p.batch_id = :batch AND p.state = 'draft'
      AND (NOT EXISTS (SELECT 1 FROM exclusion r WHERE r.benefit = x.held AND r.held = x.benefit
                                                  AND r.effect = 'refuse')
           OR c.entitlement_id < p.entitlement_id)
      AND NOT EXISTS (SELECT 1 FROM term t
                       WHERE t.entitlement_id = c.entitlement_id AND t.from_month <= d.month
                         AND (t.to_month IS NULL OR t.to_month >= d.month)
                         AND t.working @> jsonb_build_array(jsonb_build_object(
                               'label', '已享受待遇（' || p.benefit || '）')))
    ORDER BY pd.payment_id, pd.due_id, x.held
), freed AS (
    UPDATE payment_due pd SET live = false FROM hit
    WHERE pd.payment_id = hit.payment_id AND pd.due_id = hit.due_id
), less AS (
    SELECT payment_id, sum(fen)::bigint AS fen FROM hit GROUP BY 1
), lowered AS (
    UPDATE payment p SET
        fen = CASE WHEN p.fen > less.fen THEN p.fen - less.fen ELSE p.fen END,
        state = CASE WHEN p.fen > less.fen THEN 'draft' ELSE 'held' END,
        reason_code = CASE WHEN p.fen > less.fen THEN NULL ELSE 'excluded' END,
        reason = CASE WHEN p.fen > less.fen THEN NULL ELSE '与在享待遇互斥，不予叠加' END
    FROM less WHERE p.id = less.payment_id
)
INSERT INTO finding (batch_id, kind, held, payment_id, person_id, division, benefit, fen, message)
SELECT :batch, 'excluded', true, hit.payment_id, hit.person_id, hit.division, hit.benefit, hit.fen,
       '已享受' || b.name || '，本期不予叠加：' || hit.clause
FROM hit JOIN benefit b ON b.code = hit.held
"""

# Entitlements of the month whose people already had that month's due from elsewhere.
_DUPLICATES = """
INSERT INTO finding (batch_id, kind, held, person_id, division, benefit, fen, message)
SELECT :batch, 'duplicate', true, s.person_id, e.division, e.benefit, s.fen,
       '同一人同一月份已有' || b.name || '应发款，未重复计算'
FROM entitlement e
JOIN benefit b ON b.code = e.benefit
JOIN term t ON t.entitlement_id = e.id AND t.from_month <= :month
           AND (t.to_month IS NULL OR t.to_month >= :month)
JOIN share s ON s.term_id = t.id AND s.fen > 0
JOIN due d ON d.person_id = s.person_id AND d.benefit = e.benefit AND d.month = :month
          AND d.part = 'regular' AND d.entitlement_id <> e.id AND d.state <> 'closed'
WHERE e.division LIKE :county AND e.state = 'active' AND NOT e.one_off
"""

_SAME_ACCOUNT = """
INSERT INTO finding (batch_id, kind, held, payment_id, person_id, division, benefit, fen, message)
SELECT :batch, 'same_account', false, p.id, p.payee_person_id, p.division, p.benefit, p.fen,
       '与另一领款人使用同一银行账号，请核实'
FROM payment p
JOIN person a ON a.person_id = p.payee_person_id
WHERE p.batch_id = :batch AND p.state = 'draft' AND a.account_index IN (
    SELECT a.account_index
    FROM (SELECT DISTINCT payee_person_id FROM payment
           WHERE batch_id = :batch AND state = 'draft') x
    JOIN person a ON a.person_id = x.payee_person_id
    GROUP BY 1 HAVING count(*) > 1)
"""

_POLICY_DIFFERS = """
INSERT INTO finding (batch_id, kind, held, payment_id, person_id, division, benefit, fen, message)
SELECT :batch, 'policy_differs', false, p.id, p.payee_person_id, p.division, p.benefit, t.fen,
       '核定 ' || to_char(t.fen / 100.0, 'FM999999990.00') || ' 元，按政策 '
       || to_char(t.policy_fen / 100.0, 'FM999999990.00') || ' 元；复核前按核定金额发放'
FROM payment p
JOIN term t ON t.entitlement_id = p.entitlement_id AND t.from_month <= :month
           AND (t.to_month IS NULL OR t.to_month >= :month)
WHERE p.batch_id = :batch AND p.state = 'draft' AND t.policy_fen <> t.fen
"""

# The difference to last month, entitlement by entitlement, with its reason.
_DIFFERENCE = """
WITH now AS (
    SELECT d.entitlement_id, sum(d.fen)::bigint AS fen
    FROM due d WHERE d.month = :month AND d.part = 'regular' AND d.state <> 'closed'
      AND d.division LIKE :county GROUP BY 1
), before AS (
    SELECT d.entitlement_id, sum(d.fen)::bigint AS fen
    FROM due d WHERE d.month = :before AND d.part = 'regular' AND d.state <> 'closed'
      AND d.division LIKE :county GROUP BY 1
)
INSERT INTO finding (batch_id, kind, held, person_id, division, benefit, fen, message)
SELECT :batch,
       CASE WHEN before.fen IS NULL THEN 'new' WHEN now.fen IS NULL THEN 'gone' ELSE 'amount' END,
       false, e.payee_person_id, e.division, e.benefit,
       coalesce(now.fen, 0) - coalesce(before.fen, 0),
       CASE WHEN before.fen IS NULL
            THEN CASE e.basis WHEN 'carried_over' THEN '存量结转' ELSE '新批准' END
                 || '（' || e.decision_no || '）'
            WHEN now.fen IS NULL THEN coalesce(e.end_reason, '停发')
            WHEN t.cause LIKE 'death:%' THEN '家庭成员死亡，重新计算'
            ELSE '待遇变更（' || coalesce(t.cause, '') || '）' END
FROM now FULL JOIN before USING (entitlement_id)
JOIN entitlement e ON e.id = entitlement_id
LEFT JOIN term t ON t.entitlement_id = e.id AND t.from_month <= :month
                AND (t.to_month IS NULL OR t.to_month >= :month)
WHERE now.fen IS DISTINCT FROM before.fen
"""

# What a batch pays for months before its own, so that a sum above the month's is explained.
_ARREARS = """
INSERT INTO finding (batch_id, kind, held, payment_id, person_id, division, benefit, fen, message)
SELECT :batch, 'arrears', false, p.id, p.payee_person_id, p.division, p.benefit,
       sum(pd.fen)::bigint, '含以前月份应发款：' || string_agg(DISTINCT d.month, '、')
FROM payment p
JOIN payment_due pd ON pd.payment_id = p.id AND pd.live
JOIN due d ON d.id = pd.due_id AND d.month < :month
WHERE p.batch_id = :batch AND p.state = 'draft'
GROUP BY p.id
"""

_FIRST = """
INSERT INTO finding (batch_id, kind, held, division, fen, message)
SELECT :batch, 'first', false, :division, sum(fen)::bigint,
       '首期：' || count(*) || ' 笔，无上月可比'
FROM payment WHERE batch_id = :batch AND state = 'draft' HAVING count(*) > 0
"""

# By priority, oldest month first, then division and entitlement: on each budget line, then for the
# cash, until the first that does not fit. Tests hold it to the rule in plain Python.
_SHORT = """
WITH need AS MATERIALIZED (
    SELECT p.id, b.priority, p.benefit, p.division, p.entitlement_id, p.fen AS cash,
           min(d.month) AS oldest, d.budget_year AS year,
           coalesce(sum(pd.fen) FILTER (WHERE d.state = 'owed'), 0)::bigint AS fen
    FROM payment p
    JOIN benefit b ON b.code = p.benefit
    JOIN payment_due pd ON pd.payment_id = p.id AND pd.live
    JOIN due d ON d.id = pd.due_id
    WHERE p.batch_id = :batch AND p.state = 'draft'
    GROUP BY p.id, b.priority, d.budget_year
), ordered AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY priority, min(oldest), division, entitlement_id) AS n,
           max(cash) AS cash
    FROM need GROUP BY id, priority, division, entitlement_id
), over_budget AS MATERIALIZED (
    SELECT DISTINCT used.id
    FROM (SELECT need.id, need.benefit, need.year, need.fen,
                 sum(need.fen) OVER (PARTITION BY need.benefit, need.year ORDER BY o.n) AS total
            FROM need JOIN ordered o USING (id)) used
    LEFT JOIN budget_line l ON l.division = :division AND l.year = used.year
                           AND l.benefit = used.benefit
    WHERE used.fen > 0 AND used.total > coalesce(l.allotted_fen - l.used_fen, 0)
), over_cash AS (
    SELECT id FROM (SELECT o.id, sum(o.cash) OVER (ORDER BY o.n) AS total
                      FROM ordered o LEFT JOIN over_budget b USING (id) WHERE b.id IS NULL) spent
    WHERE total > :cash
), short AS (
    UPDATE payment p SET state = 'short', reason_code = s.code,
        reason = CASE s.code WHEN 'budget_short' THEN '预算余额不足，按优先顺序缓发，仍为应付未付'
                             ELSE '资金账户余额不足，按优先顺序缓发，仍为应付未付' END
    FROM (SELECT id, 'budget_short' AS code FROM over_budget
          UNION ALL SELECT id, 'cash_short' FROM over_cash) s
    WHERE p.id = s.id
    RETURNING p.id, p.payee_person_id, p.division, p.benefit, p.fen, p.reason_code, p.reason
), freed AS (
    UPDATE payment_due pd SET live = false FROM short WHERE pd.payment_id = short.id
)
INSERT INTO finding (batch_id, kind, held, payment_id, person_id, division, benefit, fen, message)
SELECT :batch, reason_code, true, id, payee_person_id, division, benefit, fen, reason FROM short
"""

_HASH = """
UPDATE batch SET content_sha256 = coalesce((
    SELECT encode(sha256(string_agg(
        p.id::text || ' ' || p.payee_person_id::text || ' ' || p.fen::text, E'\\n' ORDER BY p.id
        )::bytea), 'hex')
    FROM payment p WHERE p.batch_id = :batch AND p.state = 'draft'), '')
WHERE id = :batch RETURNING content_sha256
"""


def check(uow: UnitOfWork, command: CheckBatch) -> BatchView:
    """Check a batch. Repeated, it starts from a fresh compute, so nothing old is left over."""
    batch = batches.find(uow, command.batch, lock=True)
    again = batch.state == State.CHECKED.value
    batches.advance(batch, Step.CHECK)
    if batch.kind == "replenishment":
        raise Conflict("备用金补充批次不需要校验", advice="请直接签署")
    if again:
        computing.make_payments(uow, batch)
    find_all(uow, batch)
    uow.audit("batch_checked", "batch", batch.id, fen=batch.computed_fen)
    return batches.view(uow, batch)


def find_all(uow: UnitOfWork, batch: BatchRow) -> None:
    """Everything a check looks at, in the order in which a payment can be left out."""
    session = uow.session
    session.flush()
    place = {
        "batch": batch.id,
        "state": "draft",
        "changed_since": "infinity",  # decided by the lock, 24 hours before its own time
        "month": batch.month,
        "before": shift(batch.month, -1),
        "county": batch.division + "%",
        "division": batch.division,
        "cash": ledger.balance(uow, "funds", batch.division),
    }
    session.execute(text(_HOLD), place)
    _reconcile_changed(uow, batch)
    session.execute(text(_EXCLUDED), place)
    if batch.kind == "monthly":
        session.execute(text(_DUPLICATES), place)
        session.execute(text(_POLICY_DIFFERS), place)
        session.execute(text(_ARREARS), place)
        last = session.scalar(
            text("SELECT 1 FROM due WHERE month = :before AND division LIKE :county LIMIT 1"),
            place,
        )
        session.execute(text(_DIFFERENCE if last else _FIRST), place)
    session.execute(text(_SAME_ACCOUNT), place)
    session.execute(text(_SHORT), place)
    computing.count(uow, batch)
    batch.content_sha256 = content_hash(uow, batch)


def content_hash(uow: UnitOfWork, batch: BatchRow) -> str:
    """A digest of exactly which payments, payees and sums stand in the batch."""
    uow.session.flush()
    return str(uow.session.scalar(text(_HASH), {"batch": batch.id}))


def _reconcile_changed(uow: UnitOfWork, batch: BatchRow) -> None:
    changed = uow.session.scalars(
        text(
            "SELECT entitlement_id FROM payment"
            " WHERE batch_id = :batch AND state = 'held' AND reason_code IN ('died', 'changed')"
        ),
        {"batch": batch.id},
    ).all()
    terms.reconcile(
        uow, terms.pairs_of(uow, changed), cause=f"batch:{batch.id}", reason="计算之后待遇变更"
    )
