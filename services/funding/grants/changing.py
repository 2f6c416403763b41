"""What reviews and corrections do to entitlements that are held already."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from sqlalchemy import bindparam, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.chassis.uow import UnitOfWork
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.contracts.events.funding import EntitlementRefused
from services.contracts.money import Fen, yuan
from services.funding import policy_book, terms
from services.funding.domain.months import Month, first_day, month_of, shift
from services.funding.grants.amounts import term_values
from services.funding.grants.opening import load, open_all
from services.funding.models import CoverageRow, DueRow, EntitlementRow

_AID = (
    select(DueRow.fen, DueRow.state, EntitlementRow.benefit)
    .join(EntitlementRow, EntitlementRow.id == DueRow.entitlement_id)
    .where(
        EntitlementRow.case_id == bindparam("case"),
        EntitlementRow.one_off,
        EntitlementRow.state != "void",
    )
    .order_by(DueRow.id)
    .with_for_update(of=DueRow)  # a lock of the batch comes before this transaction, or after it
)


def refuse_where_spent(uow: UnitOfWork, event: CaseDecided) -> bool:
    """Whether aid that is given once was locked or paid already: then a correction changes nothing,
    and unless it says what was given anyway, the desk is told.

    The case is asked, not the decision: a correction of a refused correction would pay twice.
    """
    spent: dict[str, Fen] = defaultdict(int)
    for fen, state, benefit in uow.session.execute(_AID, {"case": event.case_id}):
        if state in ("payable", "paid"):
            spent[benefit] += fen
    wanted = {granted.benefit: granted.amount_fen for granted in event.benefits}
    if wanted != spent:
        uow.emit(*(_already_spent(event, benefit, fen) for benefit, fen in spent.items()))
    return bool(spent)


def _already_spent(event: CaseDecided, benefit: str, fen: Fen) -> EntitlementRefused:
    given = f"{policy_book.benefit(benefit).name} {yuan(fen)} 元已锁定或已发放"
    return EntitlementRefused(
        decision_id=event.decision_id,
        case_id=event.case_id,
        division=event.division,
        benefit=benefit,
        reason=f"{given}，不能更正：请将决定更正回原金额，多发的另行追回，少发的另行申请",
    )


def void_decision(uow: UnitOfWork, event: CaseDecided) -> None:
    """What a corrected decision gave never was: its entitlements are void."""
    old = uow.session.scalars(
        select(EntitlementRow).where(
            EntitlementRow.decision_id == event.corrects, EntitlementRow.state != "void"
        )
    ).all()
    pairs = terms.pairs_of(uow, [row.id for row in old])
    for row in old:
        _stop(uow, row, None, "void", f"更正：{event.decision_no}", str(event.decision_id))
    uow.session.flush()
    if event.outcome != "granted":
        terms.reconcile(uow, pairs, cause=str(event.decision_id), reason="决定更正")


def end(uow: UnitOfWork, event: CaseDecided) -> None:
    """A review ends what its person has, or the named benefits of those named, from next month."""
    named = [granted.benefit for granted in event.benefits]
    covering = select(CoverageRow.entitlement_id).where(
        CoverageRow.person_id == event.applicant_person_id, CoverageRow.active
    )
    statement = select(EntitlementRow).where(
        EntitlementRow.household_id == event.household_id,
        EntitlementRow.state == "active",
        ~EntitlementRow.one_off,
    )
    if named:
        people = {person for granted in event.benefits for person in granted.covered_person_ids}
        held = select(CoverageRow.entitlement_id).where(
            CoverageRow.person_id.in_(people), CoverageRow.active
        )
        statement = statement.where(
            EntitlementRow.benefit.in_(named), EntitlementRow.id.in_(held) if people else true()
        )
    else:
        statement = statement.where(
            EntitlementRow.id.in_(covering)
            | (EntitlementRow.payee_person_id == event.applicant_person_id)
        )
    ended = uow.session.scalars(statement).all()
    last = month_of(event.decided_on)
    pairs = terms.pairs_of(uow, [row.id for row in ended])
    for row in ended:
        _stop(uow, row, last, "ended", event.reason or "复核终止", str(event.decision_id))
    uow.session.flush()
    terms.reconcile(uow, pairs, cause=str(event.decision_id), reason=event.reason or "复核终止")


def change(uow: UnitOfWork, event: CaseDecided) -> None:
    """A review gives another amount or other people from a month on; dues are reconciled."""
    books = load(uow, [event])
    fresh: list[BenefitGranted] = []
    for granted in event.benefits:
        held = {
            books.people.holder.get((person, granted.benefit))
            for person in granted.covered_person_ids
        } - {None}
        if len(held) != 1:
            fresh.append(granted)
            continue
        entitlement = uow.session.get_one(EntitlementRow, held.pop())
        month = month_of(granted.from_month or first_day(shift(month_of(event.decided_on), 1)))
        version = policy_book.version(granted.benefit, event.division, month)
        before = terms.pairs_of(uow, [entitlement.id])
        values = term_values(books.people, books.quotes, event, granted, version)
        terms.replace_from(uow, entitlement.id, month, values)
        uow.session.execute(
            update(CoverageRow)
            .where(
                CoverageRow.entitlement_id == entitlement.id,
                CoverageRow.person_id.notin_(granted.covered_person_ids),
                CoverageRow.active,
            )
            .values(active=False, last_month=shift(month, -1), end_cause=str(event.decision_id))
        )
        uow.session.execute(
            upsert(CoverageRow)
            .values(
                [
                    {
                        "entitlement_id": entitlement.id,
                        "person_id": person,
                        "benefit": granted.benefit,
                        "one_off": False,
                        "active": True,
                    }
                    for person in granted.covered_person_ids
                ]
            )
            .on_conflict_do_update(  # also who was left out before, or counted as dead
                index_elements=[CoverageRow.entitlement_id, CoverageRow.person_id],
                set_={"active": True, "last_month": None, "end_cause": None},
            )
        )
        entitlement.payee_person_id = granted.payee_person_id
        # A death after this is reckoned with what the review found, not with the first decision's.
        entitlement.counted_income_fen = granted.counted_income_fen
        entitlement.single_person = granted.single_person
        entitlement.traits = {key: list(value) for key, value in granted.traits.items()}
        entitlement.quote_id = granted.quote_id
        entitlement.involved = sorted({*entitlement.involved, *event.involved})
        uow.session.flush()
        after = terms.pairs_of(uow, [entitlement.id])
        terms.reconcile(uow, {*before, *after}, cause=str(event.decision_id), reason="复核变更")
    if fresh:
        opened = msgspec.structs.replace(event, outcome="granted", benefits=tuple(fresh))
        open_all(uow, [opened])


def reconcile(uow: UnitOfWork, event: CaseDecided) -> None:
    """What is owed follows a decision that corrects another or was corrected."""
    pairs = [
        (person, granted.benefit)
        for granted in event.benefits
        for person in granted.covered_person_ids
    ]
    if event.corrects is not None:
        old = select(EntitlementRow.id).where(EntitlementRow.decision_id == event.corrects)
        pairs += terms.pairs_of(uow, uow.session.scalars(old))
    terms.reconcile(uow, pairs, cause=str(event.decision_id), reason=event.reason or "决定更正")


def _stop(
    uow: UnitOfWork,
    row: EntitlementRow,
    last: Month | None,
    state: str,
    reason: str,
    cause: str,
) -> None:
    covered = list(
        uow.session.scalars(
            select(CoverageRow.person_id).where(CoverageRow.entitlement_id == row.id)
        )
    )
    row.state, row.end_reason, row.end_cause, row.last_month = state, reason, cause, last
    start = row.from_month if last is None else max(shift(last, 1), row.from_month)
    terms.replace_from(uow, row.id, start, None)
    uow.session.execute(
        update(CoverageRow)
        .where(CoverageRow.entitlement_id == row.id, CoverageRow.active)
        .values(active=False, last_month=last, end_cause=cause)
    )
    if row.one_off:
        uow.session.execute(
            update(DueRow)
            .where(DueRow.entitlement_id == row.id, DueRow.state == "owed")
            .values(state="closed", closed_reason=reason)
        )
    uow.emit(*terms.ended_events(row, covered))
