"""A death stops what its person is paid, at whatever state a payment stands.

The stop list is sticky. A dead payee's account is never paid: drafts leave their batch here (or at
check and lock, which join the stop list again), locked payments are withdrawn by a transfer. Months
still owed wait for a new payee. A household that loses a covered member is worked out anew from the
month after the last month owed. What was paid for months after that is listed for recovery.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.chassis.uow import UnitOfWork
from services.contracts.errors import Invalid
from services.contracts.events.funding import EntitlementGranted, EntitlementReopened
from services.contracts.events.registry import PersonDeathRevoked, PersonDied
from services.funding import policy_book, recoveries, terms, withdrawal
from services.funding.domain.entitlement import last_month_after_death, split, work_out
from services.funding.domain.ledger import Step
from services.funding.domain.months import Month, first_day, shift
from services.funding.domain.policy import TopUp
from services.funding.holdings import People
from services.funding.models import (
    CoverageRow,
    EntitlementRow,
    RecoveryRow,
    RevocationRow,
    ShareRow,
    StopRow,
    TermRow,
)
from services.funding.quotes import working_lines

DEATH_REASON = "死亡停发"


def death_cause(source_event_id: str) -> str:
    """How a term, a recovery or an end names the death that caused it."""
    return f"death:{source_event_id}"


def on_died(uow: UnitOfWork, events: Sequence[PersonDied]) -> None:
    """Stop everybody who died, once, whatever order events come in."""
    stopped = [event for event in events if _enlist(uow, event)]
    if not stopped:
        return
    policy_book.install(uow)
    for event in stopped:
        _stop(uow, event)


def on_death_revoked(uow: UnitOfWork, events: Sequence[PersonDeathRevoked]) -> None:
    """Lift the stop that a revocation names; re-open what it ended, with adjustments."""
    for event in events:
        uow.session.execute(
            upsert(RevocationRow)
            .values(
                person_id=event.person_id,
                revokes=event.revokes,
                source_event_id=event.source_event_id,
            )
            .on_conflict_do_nothing()
        )
        lifted = uow.session.scalar(
            update(StopRow)
            .where(
                StopRow.person_id == event.person_id,
                StopRow.source_event_id == event.revokes,
                StopRow.revoked_by.is_(None),
            )
            .values(revoked_by=event.source_event_id)
            .returning(StopRow.person_id)
        )
        if lifted is not None:
            _reopen(uow, event)


def stop_covered(uow: UnitOfWork, person_ids: Collection[uuid.UUID]) -> None:
    """Stop those among some people who are on the stop list and have been granted something."""
    known = uow.session.scalars(
        select(StopRow).where(StopRow.person_id.in_(person_ids), StopRow.revoked_by.is_(None))
    )
    for death in known.all():
        _stop(uow, death)


_PAID_AFTER_DEATH = """
SELECT DISTINCT d.person_id, d.benefit, s.source_event_id
FROM stop s
JOIN due d ON d.person_id = s.person_id AND d.state = 'paid' AND d.part = 'regular'
JOIN term t ON t.id = d.term_id AND t.to_month < d.month
WHERE s.revoked_by IS NULL AND NOT EXISTS (
    SELECT 1 FROM recovery r
    WHERE r.person_id = d.person_id AND r.benefit = d.benefit AND r.month = d.month
      AND NOT r.cancelled)
LIMIT 1000
"""


def list_paid_after_death(uow: UnitOfWork) -> None:
    """Raise what is to be recovered where a death and a settlement committed at the same moment,
    neither seeing the other. Finds nothing otherwise.
    """
    for person, benefit, event_id in uow.session.execute(text(_PAID_AFTER_DEATH)).all():
        terms.reconcile(
            uow, [(person, benefit)], cause=death_cause(event_id), reason="死亡停发后已付"
        )


_ENLIST = """
INSERT INTO stop AS known (person_id, died_on, source, source_event_id)
SELECT :person_id, :died_on, :source, :source_event_id
WHERE NOT EXISTS (
    SELECT 1 FROM revocation r WHERE r.person_id = :person_id AND r.revokes = :source_event_id)
ON CONFLICT (person_id) DO UPDATE
SET died_on = excluded.died_on, source = excluded.source,
    source_event_id = excluded.source_event_id, revoked_by = NULL
WHERE known.revoked_by IS NOT NULL
RETURNING person_id
"""


def _enlist(uow: UnitOfWork, event: PersonDied) -> bool:
    """Put a person on the stop list; False when already there or revoked before it came."""
    told = {
        "person_id": event.person_id,
        "died_on": event.died_on,
        "source": event.source,
        "source_event_id": event.source_event_id,
    }
    return uow.session.execute(text(_ENLIST), told).first() is not None


def _stop(uow: UnitOfWork, event: PersonDied | StopRow) -> None:
    session = uow.session
    cause = death_cause(event.source_event_id)
    covering = session.scalars(
        select(EntitlementRow)
        .join(CoverageRow, CoverageRow.entitlement_id == EntitlementRow.id)
        .where(
            CoverageRow.person_id == event.person_id,
            CoverageRow.active,
            ~EntitlementRow.one_off,
            EntitlementRow.state == "active",
        )
    ).all()
    changed: list[uuid.UUID] = []
    pairs: set[terms.Pair] = set()
    for entitlement in covering:
        pairs |= set(terms.pairs_of(uow, [entitlement.id]))
        _lose_member(uow, entitlement, event, cause)
        changed.append(entitlement.id)
    session.flush()
    _pull_payments(uow, event.person_id, changed)
    terms.reconcile(uow, pairs, cause=cause, reason=f"{DEATH_REASON}（{event.died_on} 死亡）")
    uow.audit("stopped", "person", event.person_id, died_on=str(event.died_on))


def _lose_member(
    uow: UnitOfWork, entitlement: EntitlementRow, event: PersonDied | StopRow, cause: str
) -> None:
    session = uow.session
    last = last_month_after_death(policy_book.benefit(entitlement.benefit), event.died_on)
    after = max(shift(last, 1), entitlement.from_month)
    session.execute(
        update(CoverageRow)
        .where(
            CoverageRow.entitlement_id == entitlement.id,
            CoverageRow.person_id == event.person_id,
        )
        .values(active=False, last_month=last, end_cause=cause)
    )
    left = session.scalars(
        select(CoverageRow.person_id).where(
            CoverageRow.entitlement_id == entitlement.id, CoverageRow.active
        )
    ).all()
    if left:
        terms.replace_from(
            uow, entitlement.id, after, _without(uow, entitlement, event, left, after, cause)
        )
        return
    terms.replace_from(uow, entitlement.id, after, None)
    entitlement.state, entitlement.last_month = "ended", last
    entitlement.end_reason, entitlement.end_cause = DEATH_REASON, cause
    uow.emit(*terms.ended_events(entitlement, [event.person_id]))


def _without(
    uow: UnitOfWork,
    entitlement: EntitlementRow,
    event: PersonDied | StopRow,
    left: Sequence[uuid.UUID],
    month: Month,
    cause: str,
) -> dict[str, Any]:
    """The term of those who are left: the policy's figure, never more than was paid before."""
    before = _term_of(uow, entitlement.id, month)
    old = dict(
        uow.session.execute(
            select(ShareRow.person_id, ShareRow.fen).where(ShareRow.term_id == before.id)
        ).all()
    )
    gone = old.get(event.person_id, 0)
    version = policy_book.version(entitlement.benefit, entitlement.division, month)
    identity = policy_book.policy_id(entitlement.benefit, version)
    if isinstance(version.rule, TopUp) and entitlement.counted_income_fen is not None:
        people = People(uow, left, on=event.died_on)
        try:
            working = work_out(
                version,
                people.covered(left, entitlement.traits),
                income_fen=entitlement.counted_income_fen,
            )
        except Invalid:
            working = None
        if working is not None:
            fen = min(working.fen, before.fen)
            lines = msgspec.to_builtins(working_lines(working))
            if fen != working.fen:
                source = "重新计算不高于原核定金额，待复核"
                lines.append({"label": "封顶", "source": source, "fen": fen - working.fen})
            shares = split(fen, dict(working.shares)) if fen else dict.fromkeys(working.shares, 0)
            return {
                "fen": fen,
                "policy_id": identity,
                "policy_fen": working.fen,
                "cause": cause,
                "working": lines,
                "shares": shares,
            }
    lines = [
        {"label": "原核定金额", "source": before.cause, "fen": before.fen},
        {"label": "减去死亡成员份额", "source": f"{event.died_on} 死亡", "fen": -gone},
    ]
    return {
        "fen": before.fen - gone,
        "policy_id": identity,
        "policy_fen": None,
        "cause": cause,
        "working": lines,
        "shares": {str(person): old.get(person, 0) for person in left},
    }


def _term_of(uow: UnitOfWork, entitlement_id: uuid.UUID, month: Month) -> TermRow:
    return uow.session.scalars(
        select(TermRow)
        .where(
            TermRow.entitlement_id == entitlement_id,
            TermRow.from_month <= month,
            TermRow.to_month.is_(None) | (TermRow.to_month >= month),
        )
        .order_by(TermRow.from_month.desc())
        .limit(1)
    ).one()


_AFFECTED = """
SELECT p.id, p.state, b.id, b.state
FROM payment p JOIN batch b ON b.id = p.batch_id
WHERE p.state IN ('draft', 'locked')
  AND (p.payee_person_id = :person
       OR (p.entitlement_id = ANY(:changed) AND EXISTS (
             SELECT 1 FROM payment_due pd
             JOIN due d ON d.id = pd.due_id
             JOIN term t ON t.id = d.term_id
             WHERE pd.payment_id = p.id AND pd.live AND t.to_month < d.month)))
FOR UPDATE OF p, b SKIP LOCKED
"""


def _pull_payments(uow: UnitOfWork, person_id: uuid.UUID, changed: Sequence[uuid.UUID]) -> None:
    """Drafts not yet signed leave their batch; locked payments are withdrawn by a transfer.

    Signed drafts stay as they were signed: the lock joins the stop list again and withdraws them.
    So does whatever step has its hands on a batch at this moment, or the next one: a death waits
    for none of its rows, nor for a reckoning of its household (``terms.reconcile``).
    """
    unsigned: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    locked: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    for payment_id, state, batch_id, batch_state in uow.session.execute(
        text(_AFFECTED), {"person": person_id, "changed": list(changed)}
    ):
        if state == "locked":
            locked[batch_id].append(payment_id)
        elif batch_state in ("open", "computed", "checked"):
            unsigned[batch_id].append(payment_id)
    for batch_id, payment_ids in unsigned.items():
        withdrawal.hold(uow, batch_id, payment_ids, "died", DEATH_REASON)
    for batch_id, payment_ids in locked.items():
        withdrawal.withdraw(uow, batch_id, payment_ids, Step.WITHDRAWN, "died", DEATH_REASON)


def _reopen(uow: UnitOfWork, event: PersonDeathRevoked) -> None:
    """What the death ended goes on as if it had not been told; other deaths are taken anew.

    Where somebody decided anew in between, it goes on until that decision takes effect.
    """
    session = uow.session
    cause = death_cause(event.revokes)
    again = death_cause(event.source_event_id)
    covered = session.execute(
        select(CoverageRow, EntitlementRow)
        .join(EntitlementRow, EntitlementRow.id == CoverageRow.entitlement_id)
        .where(CoverageRow.person_id == event.person_id, CoverageRow.end_cause == cause)
    )
    pairs: set[terms.Pair] = set()
    for coverage, entitlement in covered.all():
        taken = session.scalar(
            select(CoverageRow.entitlement_id).where(
                CoverageRow.person_id == event.person_id,
                CoverageRow.benefit == coverage.benefit,
                CoverageRow.active,
                ~CoverageRow.one_off,
            )
        )
        if taken is not None or coverage.last_month is None:
            continue
        month = max(shift(coverage.last_month, 1), entitlement.from_month)
        others = _other_deaths(uow, entitlement.id, event.person_id)
        told = {cause, *(death_cause(other.source_event_id) for other in others)}
        until = _decided_until(uow, entitlement, month, told)
        if until is not None:
            # What the person is owed from that decision on, the review decides (cases).
            uow.audit("revocation_left_to_review", "entitlement", entitlement.id)
            if until < month or others:
                continue
        before = _term_before(uow, entitlement.id, month, told)
        shares = session.execute(
            select(ShareRow.person_id, ShareRow.fen).where(ShareRow.term_id == before.id)
        )
        terms.replace_from(
            uow,
            entitlement.id,
            month,
            {
                "fen": before.fen,
                "policy_id": before.policy_id,
                "policy_fen": before.policy_fen,
                "cause": again,
                "working": before.working,
                "shares": {str(person): fen for person, fen in shares},
            },
            until=until,
        )
        pairs |= set(terms.pairs_of(uow, [entitlement.id]))
        if until is not None:
            coverage.last_month, coverage.end_cause = until, again
            continue
        coverage.active, coverage.last_month, coverage.end_cause = True, None, None
        if entitlement.end_cause in told:
            uow.emit(
                EntitlementReopened(
                    entitlement_id=entitlement.id,
                    case_id=entitlement.case_id,
                    household_id=entitlement.household_id,
                    person_ids=(event.person_id,),
                    benefit=entitlement.benefit,
                    division=entitlement.division,
                    from_month=first_day(month),
                    end_id=str(entitlement.end_cause),
                    child=entitlement.child,
                )
            )
            entitlement.state, entitlement.last_month = "active", None
            entitlement.end_reason = entitlement.end_cause = None
        session.flush()
        for other in others:
            _lose_member(uow, entitlement, other, death_cause(other.source_event_id))
        session.flush()
        uow.emit(
            EntitlementGranted(
                entitlement_id=entitlement.id,
                case_id=entitlement.case_id,
                household_id=entitlement.household_id,
                person_ids=(event.person_id,),
                benefit=entitlement.benefit,
                division=entitlement.division,
                from_month=first_day(month),
                child=entitlement.child,
            )
        )
    _cancel_recoveries(uow, cause)
    terms.reconcile(uow, pairs, cause=again, reason="死亡登记撤销")
    uow.audit("stop_lifted", "person", event.person_id, revokes=event.revokes)


def _other_deaths(
    uow: UnitOfWork, entitlement_id: uuid.UUID, person_id: uuid.UUID
) -> Sequence[StopRow]:
    """Who else of those covered is dead, the first to die first."""
    return uow.session.scalars(
        select(StopRow)
        .join(CoverageRow, CoverageRow.person_id == StopRow.person_id)
        .where(
            CoverageRow.entitlement_id == entitlement_id,
            CoverageRow.person_id != person_id,
            StopRow.revoked_by.is_(None),
        )
        .order_by(StopRow.died_on, StopRow.person_id)
    ).all()


def _term_before(
    uow: UnitOfWork, entitlement_id: uuid.UUID, month: Month, told: Collection[str]
) -> TermRow:
    """The term that held before any of these deaths changed it."""
    return uow.session.scalars(
        select(TermRow)
        .where(TermRow.entitlement_id == entitlement_id, TermRow.cause.not_in(told))
        .where(TermRow.from_month <= month)
        .order_by(TermRow.from_month.desc(), TermRow.id.desc())
        .limit(1)
    ).one()


def _decided_until(
    uow: UnitOfWork, entitlement: EntitlementRow, month: Month, told: Collection[str]
) -> Month | None:
    """The last month before a decision first changed or ended what these deaths left."""
    changed: Month | None = uow.session.scalar(
        select(func.min(TermRow.from_month)).where(
            TermRow.entitlement_id == entitlement.id,
            TermRow.cause.not_in(told),
            TermRow.from_month >= month,
            TermRow.to_month.is_(None) | (TermRow.to_month >= TermRow.from_month),
        )
    )
    ends = [shift(changed, -1)] if changed else []
    if entitlement.state != "active" and entitlement.end_cause not in told:
        ends.append(entitlement.last_month or shift(month, -1))
    return min(ends, default=None)


def _cancel_recoveries(uow: UnitOfWork, cause: str) -> None:
    """Of what this death raised nothing is to be got back any more."""
    raised = uow.session.scalars(
        select(RecoveryRow).where(
            (RecoveryRow.cause == cause)
            | RecoveryRow.cause.startswith(f"{cause}/", autoescape=True),
            ~RecoveryRow.cancelled,
        )
    ).all()
    for recovery in raised:
        recoveries.cancel(uow, recovery, "死亡登记撤销")
