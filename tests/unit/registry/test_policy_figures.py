"""The policy files' figures for a roster's rows: the same as funding's own working of them."""

from datetime import date
from importlib.resources import files

import pytest

from services.funding.domain.entitlement import work_out
from services.funding.domain.policy import read_benefit
from services.funding.domain.traits import covered
from services.registry import policy_files
from services.registry.domain.benefits import OF_HOUSEHOLD
from services.registry.domain.roster import Grant
from tests.builders.roster import checked, identity, row

FIRST = date(2026, 11, 1)
FIGURES = policy_files.figures("421083", FIRST)


def grant(**cells: str) -> Grant:
    """The grant of one right row."""
    found = checked(row(**cells))
    assert not found.problems
    return found.grants[0]


def by_funding(given: Grant) -> int:
    """What funding's rules work out for the same facts."""
    import tomllib

    path = files("services.funding") / "data" / "policies" / f"{given.benefit}.toml"
    benefit = read_benefit(tomllib.loads(path.read_text("utf-8")), where=str(path))
    version = max(
        (
            v
            for v in benefit.versions
            if "421083".startswith(v.division) and v.effective_from <= "2026-11"
        ),
        key=lambda v: (len(v.division), v.effective_from),
    )
    people = [
        covered(
            person.identity,
            name=person.name,
            birth_date=person.birth,
            categories=person.categories,
            disability=person.disability,
            traits=(),
            on=FIRST,
        )
        for person in given.covered
    ]
    income = (given.household.income_fen or 0) if given.benefit in OF_HOUSEHOLD else 0
    return work_out(version, people, income_fen=income).fen


@pytest.mark.parametrize(
    "cells",
    [
        {},
        {"家庭月收入": "0"},
        {"家庭月收入": "617.55"},
        {"家庭月收入": "9000"},
        {"待遇项目": "城市低保"},
        {"对象类别": "低保对象、肢体一级残疾、重病患者"},
        {"身份证号": identity(1, "20160101")},
        {"待遇项目": "特困", "对象类别": "特困人员、完全失能"},
        {"待遇项目": "特困", "对象类别": "特困人员、部分失能、集中供养"},
        {"待遇项目": "高龄津贴", "身份证号": identity(1, "19461101")},
        {"待遇项目": "高龄津贴", "身份证号": identity(1, "19300101")},
        {"待遇项目": "重度护理补贴", "对象类别": "视力二级"},
        {"待遇项目": "重度护理补贴", "对象类别": "智力三级"},
        {"待遇项目": "困难生活补贴", "对象类别": "听力四级"},
        {"待遇项目": "孤儿", "身份证号": identity(1, "20160101"), "享受起始月": "2024-03"},
        {"待遇项目": "事实无人抚养", "身份证号": identity(1, "20160101")},
    ],
)
def test_agrees_with_funding(cells: dict[str, str]) -> None:
    """A warning must not say something else than what a review would decide."""
    given = grant(**cells)
    assert FIGURES.fen(given, frozenset()) == by_funding(given)


def test_no_band_is_no_money() -> None:
    """重度护理补贴 for somebody without a disability on record is a difference."""
    assert FIGURES.fen(grant(待遇项目="重度护理补贴"), frozenset()) == 0


def test_no_figure_where_one_benefit_is_set_off_against_another() -> None:
    """补差 needs the other amount: that is a review's work."""
    child = grant(待遇项目="事实无人抚养", 身份证号=identity(1, "20160101"))
    assert FIGURES.fen(child, frozenset({"rural_dibao"})) is None


@pytest.mark.parametrize("held", ["orphan", "de_facto_orphan", "tekun"])
def test_names_the_clause_of_an_exclusion(held: str) -> None:
    """困难生活补贴 with 孤儿, 事实无人抚养 or 特困: what auditors find first."""
    ((_, _, clause),) = FIGURES.excluded({"disability_living", held})
    assert "〔20" in clause
    assert FIGURES.excluded({"elderly", held}) == []
