"""Answers to assessments: amount, working, and what stands against it, for a case to decide on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.dialects.postgresql import insert

from services.chassis.uow import UnitOfWork
from services.contracts.events.cases import AssessmentRequested, BenefitAsked
from services.contracts.events.funding import (
    EntitlementQuoted,
    Obstacle,
    QuotedBenefit,
    WorkingLine,
)
from services.contracts.ids import new_id
from services.funding import policies, policy_book
from services.funding.domain.entitlement import EntitlementError, Working, first_month, work_out
from services.funding.domain.exclusions import Finding, find
from services.funding.domain.policy import OneOff
from services.funding.holdings import People
from services.funding.models import QuoteRow


def answer(uow: UnitOfWork, events: Sequence[AssessmentRequested]) -> None:
    """Quote each assessment once (a case and round have one quote)."""
    policy_book.install(uow)
    persons = {
        person
        for event in events
        for asked in event.benefits
        for person in asked.covered_person_ids
    }
    people = People(uow, persons, on=uow.today())
    quotes = [_quote(uow, event, people) for event in events]
    stored = uow.session.scalars(
        insert(QuoteRow)
        .values([row for row, _ in quotes])
        .on_conflict_do_nothing(index_elements=["case_id", "round"])
        .returning(QuoteRow.id)
    ).all()
    uow.emit(*(quoted for row, quoted in quotes if row["id"] in set(stored)))


def working_lines(working: Working) -> tuple[WorkingLine, ...]:
    """A working as it is published and stored."""
    return tuple(
        WorkingLine(label=line.label, source=line.formula, fen=line.fen) for line in working.lines
    )


def _quote(
    uow: UnitOfWork, event: AssessmentRequested, people: People
) -> tuple[dict[str, Any], EntitlementQuoted]:
    quoted: list[QuotedBenefit] = []
    obstacles: list[Obstacle] = []
    items: list[dict[str, Any]] = []
    for asked in event.benefits:
        benefit = policy_book.benefit(asked.benefit)
        month = first_month(benefit, applied_on=event.applied_on, decided_on=uow.today())
        version = policy_book.version(asked.benefit, event.division, month)
        identity = policy_book.policy_id(asked.benefit, version)
        found = find(
            policies.exclusions(),
            asked.benefit,
            [str(person) for person in asked.covered_person_ids],
            people.held(asked.covered_person_ids),
        )
        obstacles += [_obstacle(finding) for finding in found]
        try:
            working = work_out(
                version,
                people.covered(asked.covered_person_ids, asked.traits),
                income_fen=_income(event),
                single_person=event.means.single_person,
                asked_fen=asked.asked_fen,
            )
        except EntitlementError as error:
            obstacles.append(_unfit(asked, version.clause, error))
            working = Working(lines=(), fen=0, shares={})
        lines = working_lines(working)
        quoted.append(
            QuotedBenefit(
                benefit=asked.benefit,
                amount_fen=working.fen,
                one_off=isinstance(version.rule, OneOff),
                policy_id=identity,
                working=lines,
            )
        )
        items.append(
            {
                "benefit": asked.benefit,
                "fen": working.fen,
                "policy_id": identity,
                "working": msgspec.to_builtins(lines),
                "shares": dict(working.shares),
            }
        )
    quote_id = new_id()
    row = {
        "id": quote_id,
        "case_id": event.case_id,
        "round": event.round,
        "division": event.division,
        "benefits": {"items": items},
    }
    return row, EntitlementQuoted(
        quote_id=quote_id,
        case_id=event.case_id,
        round=event.round,
        division=event.division,
        benefits=tuple(quoted),
        obstacles=tuple(obstacles),
        child=event.child,
    )


def _income(event: AssessmentRequested) -> int:
    means = event.means
    income = means.person_income_fen if means.single_person else means.household_income_fen
    return income or 0


def _obstacle(finding: Finding) -> Obstacle:
    mine, other = policy_book.names([finding.benefit, finding.held])
    message = {
        "duplicate": f"已在享{other}，不能重复享受",
        "refuse": f"已享受{other}，不能再享受{mine}",
        "top_up": f"已享受{other}，{mine}只补差额",
    }.get(finding.effect, f"已享受{other}，请核实")
    return Obstacle(
        benefit=finding.benefit,
        person_id=UUID(finding.person_id),
        other_benefit=finding.held,
        clause=finding.clause,
        blocking=finding.blocking,
        message=message,
    )


def _unfit(asked: BenefitAsked, clause: str, error: EntitlementError) -> Obstacle:
    return Obstacle(
        benefit=asked.benefit,
        person_id=asked.covered_person_ids[0] if asked.covered_person_ids else UUID(int=0),
        other_benefit="",
        clause=clause,
        blocking=True,
        message=error.message,
    )
