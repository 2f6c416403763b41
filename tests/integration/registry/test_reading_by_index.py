"""What a window or an event asks for is found by index, however many people are on record."""

from sqlalchemy import text

from services.contracts.commands.registry import (
    AddMember,
    FindByIdentity,
    ListChanges,
    ListHouseholds,
    ListPeople,
    ReadHousehold,
    ReadPerson,
    SearchPeople,
)
from services.registry import people, queries, responsibility
from tests.builders.roster import identity
from tests.fixtures.plans import ReadingWhole
from tests.integration.registry.conftest import VILLAGE, Act, member, register
from tests.integration.registry.test_deaths import death, deliver

SMALL = {"staff", "division", "business_clock"}


def test_whoever_is_registered_or_dies(act: Act, reading_whole: ReadingWhole) -> None:
    """A household, one more member, a bureau's word of a death."""
    with reading_whole() as whole, act() as uow:
        household, *_ = register(uow)
        people.add_member(
            uow, AddMember(household_id=household, member=member(2, "子"), reason="出生登记")
        )
        deliver(uow, death())
        register(uow, member(3))  # looked for among what bureaus told
        responsibility.officer_of(uow, VILLAGE)
        responsibility.village_and_officer(uow, VILLAGE)
    large = {table: whole[table] for table in whole.keys() - (SMALL - {"staff"})}
    assert not large, "\n".join(f"{t}: {q}" for t, q in large.items())


def test_whoever_is_looked_up(act: Act, reading_whole: ReadingWhole) -> None:
    """By number, name or id; the household; a page of the ledger; what was changed."""
    with act() as uow:
        household, head = register(uow)
    with reading_whole() as whole, act() as uow:
        queries.find_by_identity(uow, FindByIdentity(identity_number=identity(1)))
        queries.search(uow, SearchPeople(text="单桂兰"))
        queries.search(uow, SearchPeople(text="sgl"))
        queries.read_person(uow, ReadPerson(person_id=head))
        found = queries.read_household(uow, ReadHousehold(household_id=household))
        queries.read_household(uow, ReadHousehold(household_no=found.household_no))
        queries.list_changes(uow, ListChanges(person_id=head))
        for division in ("", VILLAGE):
            queries.list_people(uow, ListPeople(division=division))
            queries.list_people(uow, ListPeople(division=division, officer_no="HH0204"))
            queries.list_people(uow, ListPeople(division=division, category="dibao"))
            queries.list_people(uow, ListPeople(division=division, beneficiary=True))
            queries.list_households(uow, ListHouseholds(division=division))
    large = {table: whole[table] for table in whole.keys() - SMALL}
    assert not large, "\n".join(f"{t}: {q}" for t, q in large.items())


def test_a_table_read_from_end_to_end_is_seen(act: Act, reading_whole: ReadingWhole) -> None:
    """What these tests rest on: the condition of a partial index in other words uses no index."""
    by_number = "SELECT id FROM person WHERE identity_index = :index AND "
    with act() as uow:
        register(uow)
    for condition, seen in (("removed IS FALSE", {"person"}), ("NOT removed", set())):
        with reading_whole() as whole, act() as uow:
            uow.session.execute(text(by_number + condition), {"index": b"x"})
        assert whole.keys() - SMALL == seen
