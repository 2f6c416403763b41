"""Places change: new ones come, old ones end, and nothing that refers to them breaks."""

import pytest

from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.registry import ListDivisions, LoadDivisions, ReadPerson
from services.contracts.errors import Forbidden, Invalid
from services.registry import divisions, queries
from tests.builders.roster import HONGHU
from tests.fixtures.services import actor, emitted
from tests.integration.registry.conftest import ADMIN, VILLAGE, Act, register

HEADER = "code,name,as_of,source"


def load(uow: UnitOfWork, lines: list[str]) -> int:
    """Load a data file of these lines."""
    content = "\n".join([HEADER, *lines]).encode()
    file_id = files.write(uow, "421083.csv", content, "text/csv", division="421083")
    return divisions.load(uow, LoadDivisions(file_id=file_id))


def honghu() -> list[str]:
    """The shipped file's lines."""
    return [f"{d.code},{d.name},{d.as_of},{d.source}" for d in HONGHU.divisions.values()]


def test_the_same_file_again_changes_nothing(act: Act) -> None:
    """Loading is repeatable, and nobody is told of what did not change."""
    with act(ADMIN) as uow:
        before = len(emitted(uow))
        assert load(uow, honghu()) == 323
        assert len(emitted(uow)) == before


def test_places_come_go_and_are_renamed(act: Act) -> None:
    """A village merged away ends today; its people keep their place until they are moved."""
    with act() as uow:
        _, head = register(uow)
    lines = [line for line in honghu() if not line.startswith(VILLAGE)]
    lines = [line.replace("榨台村村民委员会", "榨台新村村民委员会") for line in lines]
    lines.append("421083108299,沈绍村村民委员会,2026-09-01,县民政局")
    with act(ADMIN) as uow:
        before = len(emitted(uow))
        load(uow, lines)
        told = {body["division"]: body for name, body in emitted(uow)[before:]}
        names = {
            place.code: place.short_name
            for place in divisions.list_below(uow, ListDivisions(parent="421083108"))
        }
    assert names["421083108200"] == "榨台新村"
    assert names["421083108299"] == "沈绍村"
    assert VILLAGE not in names
    assert set(told) == {"421083108200", "421083108299", VILLAGE}
    assert told[VILLAGE]["valid_to"] == "2026-09-28"
    with act() as uow:
        assert queries.read_person(uow, ReadPerson(person_id=head)).division_name == "沈庙村"
        with pytest.raises(Invalid, match="没有区划代码"):
            register(uow)


@pytest.mark.parametrize(
    "lines", [["421083,洪湖市"], ["4210831,洪湖市,2026-09-01,x"], ["421083,洪湖市,昨天,x"], []]
)
def test_a_file_that_is_none_is_refused(act: Act, lines: list[str]) -> None:
    """Whole, with the reason."""
    with act(ADMIN) as uow, pytest.raises(Invalid) as caught:
        load(uow, lines)
    assert caught.value.field == "文件"


def test_another_countys_places_are_another_administrators(act: Act) -> None:
    """Scope holds for places as for people."""
    elsewhere = actor(Role.SYSTEM_ADMIN, divisions=("330402",))
    with act(elsewhere) as uow, pytest.raises(Forbidden):
        load(uow, honghu())
