"""What a granted benefit amounts to: quoted before, worked out by policy, or as decided."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from services.contracts.errors import Invalid
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.funding import policy_book
from services.funding.domain.entitlement import split, work_out
from services.funding.domain.policy import Version
from services.funding.holdings import People
from services.funding.models import QuoteRow
from services.funding.quotes import working_lines

CARRIED_OVER = "carried_over"
"""Basis of a decision that stands for a benefit granted before Zhida."""


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
