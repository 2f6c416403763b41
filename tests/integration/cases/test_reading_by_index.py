"""Desk, lists and a death's reaction find their cases by index, however many there are."""

from services.cases import reviews
from services.contracts.commands import cases as c
from services.contracts.events.registry import PersonDied
from tests.builders import case_world as world
from tests.fixtures.plans import ReadingWhole
from tests.integration.cases.conftest import Town

SMALL = {"staff", "division", "business_clock", "calendar_year"}


def test_the_desk_and_its_lists(town: Town, reading_whole: ReadingWhole) -> None:
    """Counts, every bucket's page, the filters, one case, what is known at intake."""
    made = town.ask(world.CLERK, c.AcceptApplication(application=world.application()))
    with reading_whole() as whole:
        desk = town.ask(world.CLERK, c.ReadDesk())
        for bucket in desk:
            town.ask(world.CLERK, c.ListCases(bucket=bucket.bucket))
        town.ask(world.CLERK, c.ListCases())
        town.ask(world.CLERK, c.ListCases(household_id=world.HOUSEHOLD))
        town.ask(world.CLERK, c.ListCases(person_id=world.HEAD))
        town.ask(world.CLERK, c.ListCases(case_no=made.case_no))
        town.ask(world.CLERK, c.ReadCase(case_id=made.case_id))
        town.ask(world.CLERK, c.ReadIntake(person_id=world.HEAD))
    large = {table: whole[table] for table in whole.keys() - SMALL}
    assert not large, "\n".join(f"{t}: {q}" for t, q in large.items())


def test_a_death(town: Town, reading_whole: ReadingWhole) -> None:
    """The reviews that a death opens."""
    town.ask(world.CLERK, c.AcceptApplication(application=world.application()))
    with reading_whole() as whole, town.system() as uow:
        reviews.handle_deaths(
            uow,
            [
                PersonDied(
                    person_id=world.HEAD,
                    household_id=world.HOUSEHOLD,
                    division=world.VILLAGE,
                    died_on=world.MONDAY,
                    source="public_security",
                    source_event_id="1",
                    officer_id=world.CLERK,
                )
            ],
        )
    large = {table: whole[table] for table in whole.keys() - SMALL}
    assert not large, "\n".join(f"{t}: {q}" for t, q in large.items())
