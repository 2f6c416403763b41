"""Entitlements opened: judged by what people hold, written set by set with terms and dues."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from services.chassis.uow import UnitOfWork
from services.contracts.errors import Invalid
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.contracts.events.funding import EntitlementGranted, EntitlementRefused
from services.contracts.ids import new_id
from services.contracts.money import Fen
from services.funding import policies, policy_book, urgent
from services.funding.domain.entitlement import LARGEST_FEN
from services.funding.domain.exclusions import find
from services.funding.domain.months import first_day, month_of
from services.funding.domain.policy import OneOff
from services.funding.grants.amounts import CARRIED_OVER, term_values
from services.funding.holdings import People
from services.funding.models import (
    CoverageRow,
    DueRow,
    EntitlementRow,
    QuoteRow,
    RosterImportRow,
    ShareRow,
    TermRow,
)


@dataclass
class Books:
    """What a batch of decisions is judged by and what it leads to."""

    people: People
    quotes: Mapping[uuid.UUID, QuoteRow]
    undone: frozenset[uuid.UUID]
    entitlements: list[dict[str, Any]] = field(default_factory=list)
    terms: list[dict[str, Any]] = field(default_factory=list)
    shares: list[dict[str, Any]] = field(default_factory=list)
    coverage: list[dict[str, Any]] = field(default_factory=list)
    dues: list[dict[str, Any]] = field(default_factory=list)
    granted: list[EntitlementGranted] = field(default_factory=list)
    refused: list[EntitlementRefused] = field(default_factory=list)
    urgent: list[uuid.UUID] = field(default_factory=list)


def open_all(uow: UnitOfWork, events: Sequence[CaseDecided]) -> None:
    """Open what these decisions grant, or tell why it cannot be."""
    if not events:
        return
    books = load(uow, events)
    for event in events:
        if event.outcome == "granted" and event.import_id not in books.undone:
            for position, granted in enumerate(event.benefits):
                _open(books, event, position, granted)
    session = uow.session
    for model, rows in (
        (EntitlementRow, books.entitlements),
        (TermRow, books.terms),
        (ShareRow, books.shares),
        (CoverageRow, books.coverage),
        (DueRow, books.dues),
    ):
        if rows:
            session.execute(insert(model), rows)
    carried = all(event.basis == CARRIED_OVER for event in events)
    uow.emit_all([*books.granted, *books.refused], bulk=carried)
    for entitlement_id in books.urgent:
        urgent.pay(uow, entitlement_id)


def load(uow: UnitOfWork, events: Sequence[CaseDecided]) -> Books:
    """What these decisions are judged by: holdings, quotes, imports undone."""
    benefits = [granted for event in events for granted in event.benefits]
    quote_ids = {granted.quote_id for granted in benefits if granted.quote_id}
    quotes = uow.session.scalars(select(QuoteRow).where(QuoteRow.id.in_(quote_ids)))
    return Books(
        people=People(
            uow,
            (person for granted in benefits for person in granted.covered_person_ids),
            on=uow.today(),
        ),
        quotes={quote.id: quote for quote in quotes} if quote_ids else {},
        undone=_undone(uow, {event.import_id for event in events if event.import_id}),
    )


def _undone(uow: UnitOfWork, imports: AbstractSet[uuid.UUID]) -> frozenset[uuid.UUID]:
    """Which of these imports are undone; the others are not undone before this transaction ends."""
    if not imports:
        return frozenset()
    uow.session.execute(
        upsert(RosterImportRow)
        .values([{"import_id": import_id} for import_id in sorted(imports)])
        .on_conflict_do_nothing()
    )
    held = uow.session.execute(
        select(RosterImportRow.import_id, RosterImportRow.undone)
        .where(RosterImportRow.import_id.in_(imports))
        .order_by(RosterImportRow.import_id)
        .with_for_update(read=True)
    )
    return frozenset(import_id for import_id, undone in held if undone)


def _open(books: Books, event: CaseDecided, position: int, granted: BenefitGranted) -> None:
    try:
        benefit = policy_book.benefit(granted.benefit)
        month = month_of(granted.from_month or event.decided_on)
        version = policy_book.version(granted.benefit, event.division, month)
        refusal = _refusal(books, event, granted)
    except Invalid as error:
        refusal = (error.message, None)
    if refusal is not None:
        books.refused.append(_refused(event, granted, *refusal))
        return
    one_off = isinstance(version.rule, OneOff)
    child = event.child or benefit.child
    entitlement_id, term_id = new_id(), new_id()
    term = term_values(books.people, books.quotes, event, granted, version)
    shares: Mapping[str, Fen] = term.pop("shares")
    books.entitlements.append(
        {
            "id": entitlement_id,
            "position": position,
            "from_month": month,
            "one_off": one_off,
            "child": child,
        }
        | _as_decided(event, granted)
    )
    books.terms.append(
        {"id": term_id, "entitlement_id": entitlement_id, "from_month": month, **term}
    )
    for person in granted.covered_person_ids:
        fen = shares[str(person)]
        books.shares.append({"term_id": term_id, "person_id": person, "fen": fen})
        books.coverage.append(
            {
                "entitlement_id": entitlement_id,
                "person_id": person,
                "benefit": granted.benefit,
                "one_off": one_off,
                "active": True,
            }
        )
        if not one_off:
            books.people.add(person, granted.benefit, entitlement_id, fen)
        elif fen > 0:
            books.dues.append(
                {
                    "person_id": person,
                    "benefit": granted.benefit,
                    "month": month,
                    "part": "instalment",
                    "cause": f"{event.decision_id}/{position + 1}",
                    "fen": fen,
                    "entitlement_id": entitlement_id,
                    "term_id": term_id,
                    "division": event.division,
                    "household_id": event.household_id,
                    "budget_year": int(month[:4]),
                }
            )
    if granted.urgent and one_off:
        books.urgent.append(entitlement_id)
    books.granted.append(
        EntitlementGranted(
            entitlement_id=entitlement_id,
            case_id=event.case_id,
            household_id=event.household_id,
            person_ids=granted.covered_person_ids,
            benefit=granted.benefit,
            division=event.division,
            from_month=None if one_off else first_day(month),
            child=child,
        )
    )


def _as_decided(event: CaseDecided, granted: BenefitGranted) -> dict[str, Any]:
    """What an entitlement takes over from its decision."""
    return {
        "case_id": event.case_id,
        "case_no": event.case_no,
        "decision_id": event.decision_id,
        "decision_no": event.decision_no,
        "basis": event.basis,
        "benefit": granted.benefit,
        "household_id": event.household_id,
        "division": event.division,
        "payee_person_id": granted.payee_person_id,
        "state": "active",
        "decided_on": event.decided_on,
        "counted_income_fen": granted.counted_income_fen,
        "single_person": granted.single_person,
        "traits": {key: list(value) for key, value in granted.traits.items()},
        "involved": list(event.involved),
        "quote_id": granted.quote_id,
        "import_id": event.import_id,
    }


def _refused(
    event: CaseDecided, granted: BenefitGranted, reason: str, clause: str | None
) -> EntitlementRefused:
    return EntitlementRefused(
        decision_id=event.decision_id,
        case_id=event.case_id,
        division=event.division,
        benefit=granted.benefit,
        reason=reason,
        clause=clause,
    )


def _refusal(
    books: Books, event: CaseDecided, granted: BenefitGranted
) -> tuple[str, str | None] | None:
    """Why a decision cannot take effect: reason and clause."""
    if not granted.covered_person_ids:
        return "决定没有保障对象", None
    if not 0 < granted.amount_fen <= LARGEST_FEN:
        return "决定金额须大于零且不超过单笔上限 1,000,000.00 元", None
    if granted.benefit == "temporary_aid":
        return None
    persons = granted.covered_person_ids
    for finding in find(
        policies.exclusions(),
        granted.benefit,
        [str(person) for person in persons],
        books.people.held(persons),
    ):
        excluded = finding.effect == "refuse" and event.basis != CARRIED_OVER
        if finding.effect == "duplicate" or excluded:
            held = policy_book.benefit(finding.held).name
            return f"保障对象已在享{held}", finding.clause
    return None
