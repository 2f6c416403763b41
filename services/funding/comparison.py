"""``CompareOldFile``: the parallel month of a go-live. Runs in a child process."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.commands.funding import (
    CompareOldFile,
    OldFileComparison,
    OldFileDifference,
)
from services.contracts.money import Fen
from services.funding import bank_sheet, batches, policies
from services.funding.domain.comparison import Absent, NewSum, compare, read_old_lines

_NEW = """
SELECT encode(coalesce(p.account_index, a.account_index), 'hex') AS key,
       max(a.name) AS name, max(a.account_last4) AS last4, sum(p.fen)::bigint AS fen,
       max(p.division) AS division, array_agg(DISTINCT p.benefit) AS benefits,
       bool_or(e.basis <> 'carried_over') AS new,
       bool_or(EXISTS (SELECT 1 FROM term t WHERE t.entitlement_id = e.id
                        AND t.from_month > e.from_month AND t.from_month <= p.month)) AS changed
FROM payment p
JOIN entitlement e ON e.id = p.entitlement_id
LEFT JOIN person a ON a.person_id = p.payee_person_id
WHERE p.batch_id = :batch AND p.state NOT IN ('held', 'short', 'withdrawn', 'voided')
  AND coalesce(p.account_index, a.account_index) IS NOT NULL
GROUP BY 1
"""

_KNOWN = """
SELECT encode(a.account_index, 'hex') AS key, a.division,
       (SELECT 'stop' FROM stop s WHERE s.person_id = a.person_id AND s.revoked_by IS NULL) AS stop,
       (SELECT coalesce(p.reason, p.reason_code) FROM payment p
         WHERE p.batch_id = :batch AND p.payee_person_id = a.person_id
           AND p.state IN ('held', 'short', 'withdrawn') LIMIT 1) AS left_out,
       (SELECT e.end_reason FROM entitlement e
         WHERE e.payee_person_id = a.person_id AND e.state = 'ended'
         ORDER BY e.last_month DESC LIMIT 1) AS ended
FROM person a WHERE a.account_index IS NOT NULL
"""


def compare_old_file(uow: UnitOfWork, query: CompareOldFile) -> OldFileComparison:
    """Compare a batch with the old system's file, account by account."""
    batch = batches.find(uow, query.batch)
    lines = read_old_lines(bank_sheet.read(files.read(uow, query.file_id)))
    old: dict[str, tuple[str, str, Fen]] = {}
    for line in lines:
        key = uow.cipher.blind_index(line.account).hex()
        name, last4, before = old.get(key, (line.name, line.account[-4:], 0))
        old[key] = (name, last4, before + line.fen)
    new = {row.key: _new_sum(row) for row in uow.session.execute(text(_NEW), {"batch": batch.id})}
    absent = {
        row.key: _absent(row)
        for row in uow.session.execute(text(_KNOWN), {"batch": batch.id})
        if row.key in old and row.key not in new
    }
    differences = compare(old, new, absent)
    names = policies.benefits()
    uow.audit("old_file_compared", "batch", batch.id, lines=len(lines))
    return OldFileComparison(
        batch_no=batch.batch_no,
        old_lines=len(lines),
        old_fen=sum(line.fen for line in lines),
        new_lines=len(new),
        new_fen=sum(row.fen for row in new.values()),
        equal=sum(1 for key, row in new.items() if key in old and old[key][2] == row.fen),
        differing=len(differences),
        differences=tuple(
            OldFileDifference(
                kind=_kind(found.kind),
                name=found.name,
                account_masked=f"****{found.last4}",
                old_fen=found.old_fen,
                new_fen=found.new_fen,
                reason=found.reason,
                division=found.division,
                benefits=tuple(names[code].name for code in found.benefits),
            )
            for found in differences[: min(query.limit, _MOST)]
        ),
    )


_MOST = 5000


def _kind(kind: str) -> Any:
    return kind


def _new_sum(row: Any) -> NewSum:
    return NewSum(
        name=row.name or "",
        last4=row.last4 or "",
        fen=row.fen,
        division=row.division,
        benefits=tuple(row.benefits),
        new=row.new,
        members_changed=row.changed,
    )


def _absent(row: Any) -> Absent:
    if row.stop:
        reason = "领款人已死亡，停发"
    elif row.left_out:
        reason = f"本期未发：{row.left_out}"
    elif row.ended:
        reason = f"待遇已终止：{row.ended}"
    else:
        reason = "账号在册，但本期没有应发待遇"
    return Absent(reason=reason, division=row.division)
