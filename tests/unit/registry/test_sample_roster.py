"""The made-up roster: right by the registry's own rules, and the same for the same seed."""

from datetime import date
from pathlib import Path

import pytest

from services.cli import sample_roster
from services.registry import policy_files, workbook
from services.registry.domain import officers as officer_sheet
from services.registry.domain.benefits import BENEFITS
from services.registry.domain.roster import Roster, check
from tests.builders.roster import HONGHU, TODAY

PEOPLE = 1500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Roster, list[officer_sheet.Officer]]:
    """A roster of some size, written, read back and checked."""
    path = tmp_path_factory.mktemp("sample") / "roster.xlsx"
    sample_roster.write(PEOPLE, 7, path)
    officers: list[officer_sheet.Officer] = []
    found: Roster | None = None
    for page in workbook.read(path.read_bytes(), sheet="花名册", others=("责任人",)):
        if page.name == "责任人":
            officers, problems = officer_sheet.read(page.rows, HONGHU)
            assert not problems
        else:
            found = check(
                page.rows,
                gazetteer=HONGHU,
                officers={o.number: (o.division,) for o in officers},
                today=TODAY,
                figures=policy_files.figures("421083", date(2026, 11, 1)),
            )
    assert found is not None
    return found, officers


def test_nothing_in_it_is_refused(made: tuple[Roster, list[officer_sheet.Officer]]) -> None:
    """Every row passes the check, and there are exactly as many people as were asked for."""
    found, _ = made
    assert found.problems == []
    assert len(found.people) == PEOPLE


def test_a_few_households_are_on_last_years_standard(
    made: tuple[Roster, list[officer_sheet.Officer]],
) -> None:
    """The check has something to say, and most amounts are what the policy files give."""
    found, _ = made
    different = [w for w in found.warnings if w.column.startswith("核定金额")]
    assert 0 < len(different) < len(found.grants) * 0.05


def test_every_village_has_an_officer(made: tuple[Roster, list[officer_sheet.Officer]]) -> None:
    """All 300 village-level units, whether or not anybody of the sample lives there."""
    _, officers = made
    assert {o.division for o in officers} == {d.code for d in HONGHU.villages()}


def test_all_eight_benefits_occur(made: tuple[Roster, list[officer_sheet.Officer]]) -> None:
    """A demo that pays only some of them would show only some of the work."""
    found, _ = made
    assert {grant.benefit for grant in found.grants} == set(BENEFITS)


def test_most_have_a_phone_and_all_an_account(
    made: tuple[Roster, list[officer_sheet.Officer]],
) -> None:
    """Some are told by letter; everybody can be paid."""
    found, _ = made
    phones = sum(bool(person.phone) for person in found.people) / len(found.people)
    assert 0.7 < phones < 0.9
    assert all(person.account for person in found.people)


def test_the_same_seed_makes_the_same_file(tmp_path: Path) -> None:
    """To the byte: a figure in the docs can be made again."""
    for name in ("a", "b"):
        sample_roster.write(60, 3, tmp_path / name)
    sample_roster.write(60, 4, tmp_path / "c")
    first, same, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == same
    assert first != other
