"""存量结转: benefits granted before Zhida come in through a closed case and its decision event.

A whole city is some 100,000 cases: set-based, a few statements a batch of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import insert, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from services.cases import casework, catalogue, reviews
from services.cases.domain import facts as f
from services.cases.domain.case import State
from services.cases.models import CaseRow, FactRow, UndoneImport
from services.chassis.uow import UnitOfWork
from services.contracts.divisions import county
from services.contracts.events.cases import BenefitGranted, CaseDecided
from services.contracts.events.registry import BenefitCarriedOver, RosterImportUndone

ITEM, ROUTE = "carried_over", "roster"


def handle(uow: UnitOfWork, events: Sequence[BenefitCarriedOver | RosterImportUndone]) -> None:
    """Benefits of imports and imports taken back, in the order they were told."""
    carried: list[BenefitCarriedOver] = []
    for event in events:
        if isinstance(event, BenefitCarriedOver):
            carried.append(event)
            continue
        _open_closed(uow, carried)
        carried = []
        _undo(uow, event)
    _open_closed(uow, carried)


_OPEN = upsert(CaseRow).on_conflict_do_nothing().returning(CaseRow.id, CaseRow.case_no)


def _open_closed(uow: UnitOfWork, events: Sequence[BenefitCarriedOver]) -> None:
    """A closed case for each grant, its one fact, and the decision for funding."""
    if not events:
        return
    undone = _undone(uow, {event.import_id for event in events})
    by_id = {event.grant_id: event for event in events if event.import_id not in undone}
    if not by_id:
        return
    today = uow.today()
    numbers = iter(_numbers(uow, list(by_id.values())))
    rows = [_row(event, next(numbers)) for event in by_id.values()]
    connection = uow.session.connection()  # past the ORM: it would hold the loop twice as long
    kept = connection.execute(_OPEN, rows)
    fresh = dict(kept.all())
    opened = [event for event in by_id.values() if event.grant_id in fresh]
    if not opened:
        return
    connection.execute(
        insert(FactRow),
        [casework.fact_values(event.grant_id, 0, _fact(event, today)) for event in opened],
    )
    uow.emit_all([_decided(event, fresh[event.grant_id]) for event in opened])
    reviews.open_for_earlier_deaths(
        uow, {person for event in opened for person in event.covered_person_ids}
    )


def _undone(uow: UnitOfWork, imports: set[UUID]) -> set[UUID]:
    """Of these imports, those taken back already."""
    return set(
        uow.session.scalars(
            select(UndoneImport.import_id).where(UndoneImport.import_id.in_(imports))
        )
    )


def _numbers(uow: UnitOfWork, events: Sequence[BenefitCarriedOver]) -> list[str]:
    """Case numbers for a batch: one statement a county."""
    counties: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        counties.setdefault(county(event.division), []).append(place)
    numbers = [""] * len(events)
    for code, places in counties.items():
        given = casework.case_numbers(uow, code, len(places))
        for place, number in zip(places, given, strict=True):
            numbers[place] = number
    return numbers


def decision_of(grant_id: UUID) -> UUID:
    """The id of the decision that carries a grant over: always the same for the same grant."""
    return uuid5(grant_id, "decision")


def _row(event: BenefitCarriedOver, case_no: str) -> dict[str, Any]:
    return {
        "id": event.grant_id,
        "case_no": case_no,
        "source_key": f"carried_over:{event.grant_id}",
        "item": ITEM,
        "route": ROUTE,
        "kind": "carried_over",
        "benefits": [event.benefit],
        "division": event.division,
        "household_id": event.household_id,
        "applicant_id": event.applicant_person_id,
        "person_ids": sorted({event.applicant_person_id, *event.covered_person_ids}),
        "minor": False,
        "child": event.child or catalogue.benefits()[event.benefit].child,
        "state": State.CLOSED.value,
        "current": [],
        "outcome": f.Outcome.GRANTED.value,
        "applied_on": event.started_month,
        "decided_on": event.started_month,
        "due_provisional": False,
        "objection_open": False,
        "returned": False,
        "amount_fen": event.approved_fen,
        "decision_id": decision_of(event.grant_id),
        "document_no": event.decision_no,
        "import_id": event.import_id,
        "version": 1,
    }


def _fact(event: BenefitCarriedOver, today: Any) -> f.CarriedOver:
    return f.CarriedOver(
        on=today,
        by="system:cases",
        by_name="系统",
        decision_id=decision_of(event.grant_id),
        document_no=event.decision_no,
        covered=event.covered_person_ids,
        grants=(f.Grant(benefit=event.benefit, amount_fen=event.approved_fen),),
    )


def _decided(event: BenefitCarriedOver, case_no: str) -> CaseDecided:
    return CaseDecided(
        decision_id=decision_of(event.grant_id),
        decision_no=event.decision_no,
        case_id=event.grant_id,
        case_no=case_no,
        item=ITEM,
        basis="carried_over",
        outcome=f.Outcome.GRANTED.value,
        household_id=event.household_id,
        applicant_person_id=event.applicant_person_id,
        division=event.division,
        decided_on=event.started_month,
        benefits=(
            BenefitGranted(
                benefit=event.benefit,
                covered_person_ids=event.covered_person_ids,
                payee_person_id=event.payee_person_id,
                amount_fen=event.approved_fen,
                from_month=event.first_month,
                started_month=event.started_month,
                counted_income_fen=event.counted_income_fen,
            ),
        ),
        import_id=event.import_id,
        child=event.child or catalogue.benefits()[event.benefit].child,
    )


def _undo(uow: UnitOfWork, event: RosterImportUndone) -> None:
    """An import taken back: its cases end, with the fact that says why."""
    uow.session.execute(
        upsert(UndoneImport).values(import_id=event.import_id).on_conflict_do_nothing()
    )
    of_import = CaseRow.import_id == event.import_id
    ended = f.Ended(
        on=uow.today(),
        by="system:cases",
        by_name="系统",
        ground=f.EndGround.IMPORT_UNDONE,
        reason="花名册导入已撤销",
    )
    body = msgspec.to_builtins(ended)
    standing = select(
        CaseRow.id, CaseRow.version, literal(body["type"]), literal(body, JSONB)
    ).where(of_import, CaseRow.state == State.CLOSED.value)
    uow.session.execute(
        insert(FactRow).from_select(["case_id", "number", "kind", "body"], standing)
    )
    uow.session.execute(
        update(CaseRow)
        .where(of_import, CaseRow.state == State.CLOSED.value)
        .values(
            state=State.ENDED.value,
            outcome=None,
            version=CaseRow.version + 1,
        )
        .execution_options(synchronize_session=False)
    )
