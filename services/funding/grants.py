"""Decisions become entitlements: the one door through which a benefit comes into funding."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import insert, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.chassis.uow import UnitOfWork
from services.contracts.errors import Invalid
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.contracts.events.funding import (
    EntitlementGranted,
    EntitlementRefused,
)
from services.contracts.ids import new_id
from services.contracts.money import Fen
from services.funding import deaths, policies, policy_book, terms, urgent
from services.funding.domain.entitlement import LARGEST_FEN, split, work_out
from services.funding.domain.exclusions import find
from services.funding.domain.months import Month, first_day, month_of, shift
from services.funding.domain.policy import OneOff, Version
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
from services.funding.quotes import working_lines

CARRIED_OVER = "carried_over"


@dataclass
class _Books:
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


def on_decided(uow: UnitOfWork, events: Sequence[CaseDecided]) -> None:
    """Open, change or end entitlements as a batch of decisions says; each decision once.

    A death may be known before the decision arrives: who is on the stop list is stopped here.
    """
    policy_book.install(uow)
    fresh = _not_yet_taken(uow, events)
    _open_all(uow, [event for event in fresh if _is_plain(event)])
    for event in fresh:
        if _is_plain(event):
            continue
        if event.corrects is not None:
            _void_decision(uow, event)
        if event.outcome == "ended":
            _end(uow, event)
        elif event.basis == "review" and event.outcome == "changed":
            _change(uow, event)
        elif event.outcome == "granted":
            _open_all(uow, [event])
            _reconcile(uow, event)
    uow.session.flush()
    deaths.stop_covered(
        uow,
        {
            person
            for event in fresh
            for granted in event.benefits
            for person in granted.covered_person_ids
        },
    )


def _is_plain(event: CaseDecided) -> bool:
    return (
        event.outcome == "granted"
        and event.corrects is None
        and event.basis in ("application", CARRIED_OVER)
    )


def _not_yet_taken(uow: UnitOfWork, events: Sequence[CaseDecided]) -> list[CaseDecided]:
    known = set(
        uow.session.scalars(
            select(EntitlementRow.decision_id).where(
                EntitlementRow.decision_id.in_([event.decision_id for event in events])
            )
        )
    )
    fresh: dict[uuid.UUID, CaseDecided] = {}
    for event in events:
        if event.decision_id not in known:
            fresh.setdefault(event.decision_id, event)
    return list(fresh.values())


def _open_all(uow: UnitOfWork, events: Sequence[CaseDecided]) -> None:
    if not events:
        return
    books = _load(uow, events)
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
    imports = {event.import_id for event in events if event.import_id} - books.undone
    if imports:
        session.execute(
            upsert(RosterImportRow)
            .values([{"import_id": import_id} for import_id in sorted(imports)])
            .on_conflict_do_nothing()
        )
    carried = all(event.basis == CARRIED_OVER for event in events)
    uow.emit_all([*books.granted, *books.refused], bulk=carried)
    for entitlement_id in books.urgent:
        urgent.pay(uow, entitlement_id)


def _load(uow: UnitOfWork, events: Sequence[CaseDecided]) -> _Books:
    benefits = [granted for event in events for granted in event.benefits]
    quote_ids = {granted.quote_id for granted in benefits if granted.quote_id}
    quotes = uow.session.scalars(select(QuoteRow).where(QuoteRow.id.in_(quote_ids)))
    imports = {event.import_id for event in events if event.import_id}
    undone = uow.session.scalars(
        select(RosterImportRow.import_id).where(
            RosterImportRow.import_id.in_(imports), RosterImportRow.undone
        )
    )
    return _Books(
        people=People(
            uow,
            (person for granted in benefits for person in granted.covered_person_ids),
            on=uow.today(),
        ),
        quotes={quote.id: quote for quote in quotes} if quote_ids else {},
        undone=frozenset(undone) if imports else frozenset(),
    )


def _open(books: _Books, event: CaseDecided, position: int, granted: BenefitGranted) -> None:
    try:
        benefit = policy_book.benefit(granted.benefit)
        month = month_of(granted.from_month or event.decided_on)
        version = policy_book.version(granted.benefit, event.division, month)
        refusal = _refusal(books, event, granted)
    except Invalid as error:
        refusal = (error.message, None)
    if refusal is not None:
        reason, clause = refusal
        books.refused.append(
            EntitlementRefused(
                decision_id=event.decision_id,
                case_id=event.case_id,
                division=event.division,
                benefit=granted.benefit,
                reason=reason,
                clause=clause,
            )
        )
        return
    one_off = isinstance(version.rule, OneOff)
    child = event.child or benefit.child
    entitlement_id = new_id()
    term = term_values(books.people, books.quotes, event, granted, version)
    books.entitlements.append(
        {
            "id": entitlement_id,
            "case_id": event.case_id,
            "case_no": event.case_no,
            "decision_id": event.decision_id,
            "decision_no": event.decision_no,
            "position": position,
            "basis": event.basis,
            "benefit": granted.benefit,
            "household_id": event.household_id,
            "division": event.division,
            "payee_person_id": granted.payee_person_id,
            "one_off": one_off,
            "child": child,
            "from_month": month,
            "state": "active",
            "decided_on": event.decided_on,
            "counted_income_fen": granted.counted_income_fen,
            "single_person": granted.single_person,
            "traits": {key: list(value) for key, value in granted.traits.items()},
            "involved": list(event.involved),
            "quote_id": granted.quote_id,
            "import_id": event.import_id,
        }
    )
    term_id = new_id()
    shares: Mapping[str, Fen] = term.pop("shares")
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
                    "cause": f"{event.case_id}/{position + 1}",
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


def _refusal(
    books: _Books, event: CaseDecided, granted: BenefitGranted
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


def term_values(
    people: People,
    quotes: Mapping[uuid.UUID, QuoteRow],
    event: CaseDecided,
    granted: BenefitGranted,
    version: Version,
) -> dict[str, Any]:
    """Amount, working, policy figure and shares of a granted benefit."""
    persons = [str(person) for person in granted.covered_person_ids]
    identity = policy_book.policy_id(granted.benefit, version)
    values: dict[str, Any] = {
        "fen": granted.amount_fen,
        "policy_id": identity,
        "policy_fen": None,
        "cause": str(event.decision_id),
    }
    item = _quoted(quotes, granted)
    if item is not None:
        lines = list(item["working"])
        if item["fen"] != granted.amount_fen:
            difference = granted.amount_fen - item["fen"]
            source = event.reason or f"决定 {event.decision_no}"
            lines.append({"label": "审核确认调整", "source": source, "fen": difference})
        shares = item["shares"]
        if item["fen"] != granted.amount_fen or set(shares) != set(persons):
            shares = split(
                granted.amount_fen, {person: item["shares"].get(person, 0) for person in persons}
            )
        return values | {
            "policy_id": item["policy_id"],
            "policy_fen": item["fen"],
            "working": lines,
            "shares": shares,
        }
    covered = people.covered(granted.covered_person_ids, granted.traits)
    label = "核定金额（存量结转）" if event.basis == CARRIED_OVER else "审核确认金额"
    line = {"label": label, "source": event.decision_no, "fen": granted.amount_fen}
    weights = dict.fromkeys(persons, 1)
    if granted.counted_income_fen is not None or people.known(granted.covered_person_ids):
        try:
            working = work_out(
                version,
                covered,
                income_fen=granted.counted_income_fen or 0,
                single_person=granted.single_person,
                asked_fen=granted.amount_fen,
            )
        except Invalid:
            pass  # the policy gives this person nothing; the approved amount is paid until a review
        else:
            values["policy_fen"] = working.fen
            weights = dict(working.shares)
            if working.fen == granted.amount_fen:
                policy_lines = msgspec.to_builtins(working_lines(working))
                return values | {"working": policy_lines, "shares": dict(working.shares)}
    return values | {"working": [line], "shares": split(granted.amount_fen, weights)}


def _quoted(quotes: Mapping[uuid.UUID, QuoteRow], granted: BenefitGranted) -> dict[str, Any] | None:
    quote = quotes.get(granted.quote_id) if granted.quote_id else None
    if quote is None:
        return None
    for item in quote.benefits["items"]:
        if item["benefit"] == granted.benefit and item["shares"]:
            found: dict[str, Any] = item
            return found
    return None


# --- changes --------------------------------------------------------------------------------------


def _void_decision(uow: UnitOfWork, event: CaseDecided) -> None:
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


def _end(uow: UnitOfWork, event: CaseDecided) -> None:
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


def _change(uow: UnitOfWork, event: CaseDecided) -> None:
    """A review gives another amount or other people from a month on; dues are reconciled."""
    books = _load(uow, [event])
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
            .on_conflict_do_nothing()
        )
        entitlement.payee_person_id = granted.payee_person_id
        entitlement.involved = sorted({*entitlement.involved, *event.involved})
        uow.session.flush()
        after = terms.pairs_of(uow, [entitlement.id])
        terms.reconcile(uow, {*before, *after}, cause=str(event.decision_id), reason="复核变更")
    if fresh:
        opened = msgspec.structs.replace(event, outcome="granted", benefits=tuple(fresh))
        _open_all(uow, [opened])


def _reconcile(uow: UnitOfWork, event: CaseDecided) -> None:
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


# --- imports --------------------------------------------------------------------------------------


def on_import_undone(uow: UnitOfWork, import_ids: Sequence[uuid.UUID]) -> None:
    """An import undone before its first lock: what it brought is void. After that it stands."""
    for import_id in import_ids:
        uow.session.execute(
            upsert(RosterImportRow)
            .values(import_id=import_id, undone=True)
            .on_conflict_do_update(
                index_elements=["import_id"],
                set_={"undone": True},
                where=RosterImportRow.locked_batch.is_(None),
            )
        )
        brought = select(EntitlementRow.id).where(EntitlementRow.import_id == import_id)
        undone = select(RosterImportRow.undone).where(RosterImportRow.import_id == import_id)
        if not uow.session.scalar(undone):
            uow.audit("import_undo_too_late", "roster_import", import_id)
            continue
        uow.session.execute(
            update(CoverageRow).where(CoverageRow.entitlement_id.in_(brought)).values(active=False)
        )
        uow.session.execute(
            update(EntitlementRow)
            .where(EntitlementRow.import_id == import_id)
            .values(state="void", end_reason="花名册导入撤销", end_cause=f"import:{import_id}")
        )
        uow.session.execute(
            update(DueRow)
            .where(DueRow.entitlement_id.in_(brought), DueRow.state == "owed")
            .values(state="closed", closed_reason="花名册导入撤销")
        )
