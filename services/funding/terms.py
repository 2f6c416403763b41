"""Amounts over time: a new term replaces the old one from a month on, and months that already have
dues are reconciled with it (more: an adjustment; less: lowered if untried, recovered if paid).
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, text, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import OperationalError

from services.chassis.logs import get_logger
from services.chassis.uow import UnitOfWork
from services.contracts.events.funding import (
    EntitlementClosed,
    EntitlementEnded,
    RecoveryRaised,
)
from services.contracts.ids import new_id
from services.contracts.money import Fen
from services.funding import ledger
from services.funding.domain.dues import Due, Part, difference
from services.funding.domain.ledger import Step
from services.funding.domain.months import Month, first_day, shift, span
from services.funding.models import (
    DueRow,
    EntitlementRow,
    RecoveryRow,
    ShareRow,
    TermRow,
    UnreconciledRow,
)

log = get_logger(__name__)

Pair = tuple[uuid.UUID, str]
"""A covered person and a benefit."""

#: How many noted people and benefits are reconciled in one transaction.
NOTED_AT_ONCE = 500


def replace_from(
    uow: UnitOfWork,
    entitlement_id: uuid.UUID,
    month: Month,
    new: Mapping[str, Any] | None,
    *,
    until: Month | None = None,
) -> None:
    """End the terms of an entitlement before ``month``; begin ``new`` (term values with shares).

    With ``until`` the new term ends with that month, and terms that begin later stand.
    """
    uow.session.execute(
        update(TermRow)
        .where(
            TermRow.entitlement_id == entitlement_id,
            (TermRow.to_month.is_(None)) | (TermRow.to_month >= month),
            TermRow.from_month <= until if until else true(),
        )
        .values(to_month=shift(month, -1))
    )
    if new is None:
        return
    term_id = new_id()
    values = {key: value for key, value in new.items() if key != "shares"}
    uow.session.execute(
        insert(TermRow).values(
            id=term_id, entitlement_id=entitlement_id, from_month=month, to_month=until, **values
        )
    )
    uow.session.execute(
        insert(ShareRow),
        [
            {"term_id": term_id, "person_id": uuid.UUID(person), "fen": fen}
            for person, fen in new["shares"].items()
        ],
    )


@dataclass(frozen=True)
class _Share:
    """What a term gives one person, and up to which month dues of it were made."""

    start: Month
    end: Month | None
    made_through: Month | None
    term_id: uuid.UUID
    entitlement_id: uuid.UUID
    household_id: uuid.UUID
    division: str
    fen: Fen

    def covers(self, month: Month) -> bool:
        """Whether the term is in force in a month."""
        return self.start <= month and (self.end is None or month <= self.end)

    def months_made(self) -> list[Month]:
        """The months of the term that a cycle has already made dues for."""
        if self.made_through is None:
            return []
        last = self.made_through if self.end is None else min(self.made_through, self.end)
        return span(self.start, last)


# One reckoning of a person at a time, until its transaction ends. Rows are not locked: a death must
# not wait for a lock or a settlement under way; what they hold is on its way, and a payment whose
# due changed under it is found at the next step (``checking.CHANGED``).
_TAKE = """
SELECT p FROM unnest(CAST(:persons AS uuid[])) AS p
WHERE pg_try_advisory_xact_lock(hashtextextended(p::text, 0))
"""

_IN_FORCE = """
SELECT e.benefit, s.person_id, t.from_month, t.to_month, o.through, t.id, e.id, e.household_id,
       e.division, s.fen
FROM share s
JOIN term t ON t.id = s.term_id
JOIN entitlement e ON e.id = t.entitlement_id
LEFT JOIN owed o ON o.entitlement_id = e.id
WHERE s.person_id = ANY(:persons) AND e.state <> 'void' AND NOT e.one_off
"""

# Attempts are looked up due by due: of an EXISTS the planner makes a table of all the city's.
_DUES = """
SELECT d.id, d.person_id, d.benefit, d.month, d.part, d.cause, d.fen, d.state, d.entitlement_id,
       d.household_id, d.division, d.budget_year,
       (SELECT pd.live FROM payment_due pd WHERE pd.due_id = d.id AND pd.live) AS attempted
FROM due d
WHERE d.person_id = ANY(:persons) AND d.part <> 'instalment'
ORDER BY d.id
"""


def reconcile(uow: UnitOfWork, pairs: Iterable[Pair], *, cause: str, reason: str) -> None:
    """Bring months that already have dues to what the terms in force say, for some people.

    Dues in a payment on its way are left as they are; the settlement of that payment reconciles
    them. Recoveries already raised count as paid back. It never waits: whom another transaction
    reckons at this moment (a check of the whole month, say) is noted, and ``reconcile_noted`` takes
    them as soon as they are free.
    """
    wanted = set(pairs)
    free = _free(uow, wanted)
    _reconcile(uow, free, cause, reason)
    if wanted - free:
        uow.session.execute(
            insert(UnreconciledRow),
            [
                {"person_id": person, "benefit": benefit, "cause": cause, "reason": reason}
                for person, benefit in sorted(wanted - free)
            ],
        )


def reconcile_noted(uow: UnitOfWork) -> None:
    """Reconcile those noted whom nobody reckons any more; the others stay noted.

    One whose reckoning fails stays noted too, is logged, and holds up nobody else.
    """
    noted = uow.session.execute(
        select(UnreconciledRow.id, *_NOTED).order_by(func.random()).limit(NOTED_AT_ONCE)
    ).all()
    free = _free(uow, {(row.person_id, row.benefit) for row in noted})
    told: dict[tuple[str, str], dict[Pair, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in noted:
        if (row.person_id, row.benefit) in free:
            told[row.cause, row.reason][row.person_id, row.benefit].append(row.id)
    for (cause, reason), those in told.items():
        if _reconcile_noted(uow, those, cause, reason) is not None:
            for pair, ids in those.items():
                error = _reconcile_noted(uow, {pair: ids}, cause, reason)
                if isinstance(error, OperationalError):  # a lock, or the database: next second
                    return


def _reconcile_noted(
    uow: UnitOfWork, noted: Mapping[Pair, list[int]], cause: str, reason: str
) -> Exception | None:
    """Reconcile these and forget their notes: all, or nothing; why not."""
    ids = [each for those in noted.values() for each in those]
    try:
        with uow.alone():
            _reconcile(uow, set(noted), cause, reason)
            uow.session.execute(delete(UnreconciledRow).where(UnreconciledRow.id.in_(ids)))
    except Exception as error:  # whatever it is, the others are to be reckoned
        one = next(iter(noted)) if len(noted) == 1 else None
        log.exception(
            "reckoning_failed",
            people=len(noted),
            person_id=str(one[0]) if one else None,
            benefit=one[1] if one else None,
            error=type(error).__name__,
        )
        return error
    return None


_NOTED = (
    UnreconciledRow.person_id,
    UnreconciledRow.benefit,
    UnreconciledRow.cause,
    UnreconciledRow.reason,
)


def _persons(pairs: Iterable[Pair]) -> list[uuid.UUID]:
    return sorted({person for person, _ in pairs})


def _free(uow: UnitOfWork, pairs: set[Pair]) -> set[Pair]:
    """Those of some pairs whose person nobody else reckons; nobody else does from now on."""
    if not pairs:
        return set()
    taken = set(uow.session.scalars(text(_TAKE), {"persons": _persons(pairs)}))
    return {pair for pair in pairs if pair[0] in taken}


def _reconcile(uow: UnitOfWork, wanted: set[Pair], cause: str, reason: str) -> None:
    if not wanted:
        return
    persons = _persons(wanted)
    session = uow.session
    shares: dict[Pair, list[_Share]] = defaultdict(list)
    for benefit, person, *share in session.execute(text(_IN_FORCE), {"persons": persons}):
        shares[person, benefit].append(_Share(*share))
    by_pair: dict[Pair, list[Any]] = defaultdict(list)
    for row in session.execute(text(_DUES), {"persons": persons}):
        if (row.person_id, row.benefit) in wanted:
            by_pair[row.person_id, row.benefit].append(row)
    recovered: dict[tuple[uuid.UUID, str, Month], Fen] = defaultdict(int)
    for recovery in session.scalars(
        select(RecoveryRow).where(RecoveryRow.person_id.in_(persons), ~RecoveryRow.cancelled)
    ):
        recovered[recovery.person_id, recovery.benefit, recovery.month] += recovery.fen
    for pair in sorted(wanted):
        _reconcile_pair(uow, pair, by_pair[pair], shares[pair], recovered, cause, reason)


def _reconcile_pair(
    uow: UnitOfWork,
    pair: Pair,
    rows: Sequence[Any],
    shares: Sequence[_Share],
    recovered: Mapping[tuple[uuid.UUID, str, Month], Fen],
    cause: str,
    reason: str,
) -> None:
    person, benefit = pair
    months = {row.month for row in rows} | {m for share in shares for m in share.months_made()}
    current = {month: share for month in months for share in shares if share.covers(month)}
    entitled = {
        (str(person), month): (current[month].fen if month in current else 0)
        + recovered.get((person, benefit, month), 0)
        for month in months
    }
    standing = {(row.month, row.part, row.cause): row for row in rows if row.state != "closed"}
    existing = [
        Due(
            person_id=str(person),
            benefit=benefit,
            month=row.month,
            part=Part(row.part),
            cause=row.cause,
            fen=row.fen,
            attempted=bool(row.attempted),
        )
        for row in standing.values()
    ]
    result = difference(benefit, existing, entitled, decision_id=cause)
    for due, fen in result.lowered:
        lower(uow, standing[due.month, due.part.value, due.cause], fen, cause=cause, reason=reason)
    for added in result.added:
        _add(uow, person, added, current[added.month])
    on_its_way = set()
    for _, month, fen in result.overpaid:
        paid = sum(row.fen for row in rows if row.month == month and row.state == "paid")
        over = min(fen, paid - recovered.get((person, benefit, month), 0))
        if over > 0:
            _raise_recovery(uow, rows[0], month, over, cause, reason)
        if over < fen:
            on_its_way.add(month)
    for month, now in current.items():
        if month in on_its_way:
            continue  # keeps its old term, by which check, lock and settlement find it
        uow.session.execute(
            update(DueRow)
            .where(
                DueRow.person_id == person,
                DueRow.benefit == benefit,
                DueRow.month == month,
                DueRow.part == Part.REGULAR.value,
                DueRow.state != "closed",
                DueRow.term_id != now.term_id,
            )
            .values(term_id=now.term_id, entitlement_id=now.entitlement_id)
        )


def lower(uow: UnitOfWork, row: Any, fen: Fen, *, cause: str, reason: str) -> None:
    """Leave ``fen`` of a due that no payment carries; of nothing left it is closed."""
    cut = row.fen - fen
    if row.state == "payable":  # its 应付 stands since an attempt that failed
        ledger.transfer(
            uow,
            Step.WITHDRAWN,
            cut,
            division=row.division,
            document=cause,
            reason=reason,
            due_id=row.id,
        )
        ledger.release_budget(uow, row.division[:6], {(row.budget_year, row.benefit): cut})
    change: dict[str, Any] = {"fen": fen} if fen else {"state": "closed", "closed_reason": reason}
    uow.session.execute(update(DueRow).where(DueRow.id == row.id).values(**change))


def _add(uow: UnitOfWork, person: uuid.UUID, due: Due, now: _Share) -> None:
    uow.session.execute(
        upsert(DueRow)
        .values(
            person_id=person,
            benefit=due.benefit,
            month=due.month,
            part=due.part.value,
            cause=due.cause,
            fen=due.fen,
            entitlement_id=now.entitlement_id,
            term_id=now.term_id,
            division=now.division,
            household_id=now.household_id,
            budget_year=int(due.month[:4]),
        )
        .on_conflict_do_nothing()
    )


def _raise_recovery(
    uow: UnitOfWork, like: Any, month: Month, fen: Fen, cause: str, reason: str
) -> None:
    recovery_id = new_id()
    # What was on its way when the first was raised is a second one, with a paper of its own.
    again = uow.session.scalar(
        select(RecoveryRow.id).where(
            RecoveryRow.person_id == like.person_id,
            RecoveryRow.benefit == like.benefit,
            RecoveryRow.month == month,
            RecoveryRow.cause == cause,
        )
    )
    raised = uow.session.scalar(
        upsert(RecoveryRow)
        .values(
            id=recovery_id,
            entitlement_id=like.entitlement_id,
            person_id=like.person_id,
            household_id=like.household_id,
            division=like.division,
            benefit=like.benefit,
            month=month,
            cause=f"{cause}/{recovery_id}" if again else cause,
            reason=reason,
            fen=fen,
            raised_on=uow.today(),
        )
        .on_conflict_do_nothing(index_elements=["person_id", "benefit", "month", "cause"])
        .returning(RecoveryRow.id)
    )
    if raised is None:
        return
    ledger.transfer(
        uow,
        Step.RECOVERY_RAISED,
        fen,
        division=like.division,
        document=str(recovery_id),
        reason=reason,
    )
    uow.emit(
        RecoveryRaised(
            recovery_id=recovery_id,
            person_id=like.person_id,
            household_id=like.household_id,
            division=like.division,
            benefit=like.benefit,
            months=(first_day(month),),
            amount_fen=fen,
            reason=reason,
        )
    )


def pairs_of(uow: UnitOfWork, entitlement_ids: Iterable[uuid.UUID]) -> list[Pair]:
    """The people and benefits that dues of some entitlements belong to."""
    ids = list(entitlement_ids)
    if not ids:
        return []
    found = uow.session.execute(
        select(ShareRow.person_id, EntitlementRow.benefit)
        .join(TermRow, TermRow.id == ShareRow.term_id)
        .join(EntitlementRow, EntitlementRow.id == TermRow.entitlement_id)
        .where(EntitlementRow.id.in_(ids))
        .distinct()
    )
    return [(person, benefit) for person, benefit in found]


def ended_events(
    row: EntitlementRow, covered: Iterable[uuid.UUID]
) -> tuple[EntitlementEnded, EntitlementClosed]:
    """The fact that an entitlement ended: with its reason for us, without it for other bureaus."""
    never = row.last_month is None or row.last_month < row.from_month
    ended = EntitlementEnded(
        entitlement_id=row.id,
        case_id=row.case_id,
        household_id=row.household_id,
        person_ids=tuple(covered),
        benefit=row.benefit,
        division=row.division,
        last_month=None if never or row.last_month is None else first_day(row.last_month),
        reason=row.end_reason or "",
        child=row.child,
        end_id=row.end_cause or "",
    )
    closed = EntitlementClosed(
        entitlement_id=ended.entitlement_id,
        household_id=ended.household_id,
        person_ids=ended.person_ids,
        benefit=ended.benefit,
        division=ended.division,
        last_month=ended.last_month,
        child=ended.child,
    )
    return ended, closed
