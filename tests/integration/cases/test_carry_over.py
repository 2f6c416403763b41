"""存量结转: closed cases set-based, once each, and an import taken back."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import event as sa_event
from sqlalchemy import func, select

from services.cases import carry_over
from services.cases.models import CaseRow, FactRow
from services.contracts.commands import cases as c
from services.contracts.events.base import Audience, event_type
from services.contracts.events.cases import CaseDecided
from services.contracts.events.registry import BenefitCarriedOver, RosterImportUndone
from tests.builders import case_world as world
from tests.integration.cases.conftest import Town

IMPORT = UUID(int=0x900)


def carried(number: int, *, benefit: str = "rural_dibao") -> BenefitCarriedOver:
    """A benefit of the roster."""
    person = UUID(int=0x10_000 + number)
    return BenefitCarriedOver(
        grant_id=UUID(int=0x20_000 + number),
        import_id=IMPORT,
        household_id=UUID(int=0x30_000 + number),
        division=world.VILLAGE,
        benefit=benefit,
        covered_person_ids=(person,),
        payee_person_id=person,
        applicant_person_id=person,
        approved_fen=31_000,
        counted_income_fen=20_000,
        decision_no="洪民〔2024〕8号",
        started_month=date(2024, 3, 1),
        first_month=date(2026, 11, 1),
    )


def test_a_carried_over_benefit_is_a_closed_case_with_its_decision(town: Town) -> None:
    """Number, facts and the decision event that funding opens the entitlement from."""
    with town.system() as uow:
        carry_over.handle(uow, [carried(1), carried(2, benefit="orphan")])
    decided = town.told(CaseDecided)
    assert [event.basis for event in decided] == ["carried_over", "carried_over"]
    first = decided[0]
    assert first.decision_no == "洪民〔2024〕8号"
    assert first.import_id == IMPORT
    assert first.benefits[0].amount_fen == 31_000
    assert first.benefits[0].from_month == date(2026, 11, 1)
    assert first.benefits[0].quote_id is None
    assert decided[1].child, "an orphan's benefit stays among our own services"
    view = town.ask(world.CLERK, c.ReadCase(case_id=carried(1).grant_id))
    assert (view.state, view.outcome, view.kind) == ("closed", "granted", "carried_over")
    assert view.timeline[0].detail == "原批准文号 洪民〔2024〕8号；农村最低生活保障 310.00 元"
    assert event_type(CaseDecided).audience is Audience.INTERNAL


def test_told_twice_it_is_one_case_and_one_decision(town: Town) -> None:
    """In one batch and in another: the grant is its own natural key."""
    with town.system() as uow:
        carry_over.handle(uow, [carried(1), carried(1)])
    with town.system() as uow:
        carry_over.handle(uow, [carried(1), carried(2)])
    assert [event.case_id for event in town.told(CaseDecided)] == [
        carried(1).grant_id,
        carried(2).grant_id,
    ]


def test_a_batch_takes_a_few_statements_however_large(town: Town) -> None:
    """300 grants: as many statements as 3."""

    def statements(numbers: range) -> int:
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        with town.system() as uow:
            engine = uow.session.get_bind()
            sa_event.listen(engine, "before_cursor_execute", count)
            try:
                carry_over.handle(uow, [carried(n) for n in numbers])
                uow.session.flush()
            finally:
                sa_event.remove(engine, "before_cursor_execute", count)
        return counted

    few, many = statements(range(3)), statements(range(10, 310))
    assert many <= few + 2
    assert many < 12


def test_an_import_taken_back_ends_its_cases(town: Town) -> None:
    """They end with the reason, and a grant of that import heard later opens nothing."""
    undone = RosterImportUndone(import_id=IMPORT, division=world.COUNTY)
    with town.system() as uow:
        carry_over.handle(uow, [carried(1), undone, carried(2)])
    view = town.ask(world.CLERK, c.ReadCase(case_id=carried(1).grant_id))
    assert (view.state, view.outcome) == ("ended", "granted")
    assert view.timeline[-1].title == "终止"
    with town.system() as uow:
        assert uow.session.scalar(select(func.count()).select_from(CaseRow)) == 1
        assert uow.session.scalar(select(func.count()).select_from(FactRow)) == 2
        row = uow.session.get_one(CaseRow, carried(1).grant_id)
        assert row.outcome is None
