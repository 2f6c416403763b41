"""What the services remember about a household, gathered for its page.

Each part may be missing while its service is away; the page then says so and shows the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

from services.contracts.commands.cases import CaseLine, CaseView, ListCases, ReadCase
from services.contracts.commands.funding import (
    EntitlementView,
    ListBatches,
    ListEntitlements,
    ListPayments,
    ListRecoveries,
    PaymentView,
    RecoveryView,
)
from services.contracts.commands.notify import ListMessages, MessageView
from services.contracts.commands.registry import ChangeLine, HouseholdView, ListChanges
from services.portal.desk import Desk
from services.portal.timelines import Entry, merged
from services.portal.writing import money, month

SHOWN = 60
"""Entries of the timeline on the page; all changes have a page of their own."""

LOOKS = frozenset({"person.looked_up", "person.revealed"})
"""Somebody looked: kept in the audit log and under 变更记录, but nothing that happened to them."""

CASES_TOLD = 5
"""How many of the latest cases are told step by step; older ones by a line."""


def household_history(desk: Desk, household: HouseholdView) -> dict[str, Any]:
    """Entitlements, cases, payments, recoveries and the one timeline of a household."""
    household_id = household.household_id
    entitlements = desk.try_ask(ListEntitlements(household_id=household_id)) or []
    paid = desk.try_ask(ListPayments(household_id=household_id, limit=100))
    payments = paid.payments if paid else ()
    recoveries = desk.try_ask(ListRecoveries(household_id=household_id)) or []
    found = desk.try_ask(ListCases(household_id=household_id))
    cases = found.cases if found else ()
    messages = [each for member in household.members for each in _messages(desk, member.person_id)]
    return {
        "entitlements": entitlements,
        "payments": payments,
        "recoveries": recoveries,
        "cases": cases,
        "timeline": merged(
            _changed(desk.try_ask(ListChanges(household_id=household_id)) or []),
            _worked(desk, cases),
            _granted(entitlements),
            _paid(payments, _batch_days(desk) if payments else {}),
            _recovered(recoveries),
            _told(messages),
        )[:SHOWN],
    }


def case_timeline(case: CaseView) -> list[Entry]:
    """What happened in one case, newest first."""
    return merged(_steps_of(case))


def _messages(desk: Desk, person_id: UUID) -> tuple[MessageView, ...]:
    page = desk.try_ask(ListMessages(person_id=person_id, limit=20))
    return page.messages if page else ()


def _batch_days(desk: Desk) -> dict[UUID, date]:
    """The day each recent batch was opened: a payment itself carries only its month."""
    batches = desk.try_ask(ListBatches(limit=100)) or []
    return {batch.batch_id: batch.opened_on for batch in batches}


def _changed(changes: list[ChangeLine]) -> Iterator[Entry]:
    for line in changes:
        if line.action in LOOKS:
            continue
        said = "" if line.detail.isascii() else line.detail  # a bare code or count says nothing
        detail = "　".join(part for part in (said, line.actor) if part)
        yield Entry(
            at=line.at,
            on=line.business_on,
            title=line.title,
            detail=detail,
            source="registry",
            icon="id",
        )


def _worked(desk: Desk, cases: tuple[CaseLine, ...]) -> Iterator[Entry]:
    """The steps of the latest cases; older ones and carried-over ones are told by a line."""
    latest = sorted(cases, key=lambda line: line.applied_on, reverse=True)
    for place, line in enumerate(latest):
        whole = desk.try_ask(ReadCase(case_id=line.case_id)) if place < CASES_TOLD else None
        if whole is not None:
            yield from _steps_of(whole)
            continue
        yield Entry(
            at=line.applied_on,
            title=f"{line.item_name}（{line.outcome_label or line.state_label}）",
            detail=line.case_no,
            source="cases",
            icon="clipboard-list",
            url=f"/cases/{line.case_id}",
        )


def _steps_of(case: CaseView) -> Iterator[Entry]:
    for line in case.timeline:
        yield Entry(
            at=line.at,
            on=line.on,
            order=line.number,
            title=line.title,
            detail="　".join(part for part in (line.detail, line.by) if part),
            source="cases",
            icon="clipboard-list",
            url=f"/cases/{case.case_id}",
        )


def _granted(entitlements: list[EntitlementView]) -> Iterator[Entry]:
    for each in entitlements:
        yield Entry(
            at=each.decided_on,
            title=f"{each.benefit_name} {money(each.fen)} 元，{month(each.from_month)}起",
            detail=f"{each.basis_label}　{each.decision_no}　{'、'.join(each.covered_names)}",
            source="funding",
            icon="scale",
            url=f"/cases/{each.case_id}",
        )


def _paid(payments: tuple[PaymentView, ...], opened: dict[UUID, date]) -> Iterator[Entry]:
    for each in payments:
        failed = each.state in ("failed", "returned")
        yield Entry(
            at=opened.get(each.batch_id) or date.fromisoformat(f"{each.month[:7]}-01"),
            title=f"{month(each.month)}{each.benefit_name} {money(each.fen)} 元 {each.state_label}",
            detail="　".join(part for part in (each.batch_no, each.reason or "") if part),
            source="warning" if failed else "funding",
            icon="cash",
            url=f"/disbursements/payments/{each.payment_id}",
        )


def _recovered(recoveries: list[RecoveryView]) -> Iterator[Entry]:
    for each in recoveries:
        yield Entry(
            at=each.raised_on,
            title=f"应追回 {money(each.fen)} 元",
            detail=f"{each.benefit_name}　{month(each.month)}　{each.reason}",
            source="warning",
            icon="arrow-back-up",
        )


def _told(messages: list[MessageView]) -> Iterator[Entry]:
    for each in messages:
        yield Entry(
            at=each.created_at,
            on=each.created_on,
            title=f"{each.title}（{each.status_name}）",
            detail=each.text or "",
            source="notify",
            icon="mail",
            url=f"/letters/messages/{each.message_id}",
        )
