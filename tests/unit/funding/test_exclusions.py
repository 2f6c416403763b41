"""Benefits that may not be held together are found with their clause."""

import pytest

from services.funding import policies
from services.funding.domain.exclusions import find


@pytest.mark.parametrize("held", ["orphan", "de_facto_orphan", "tekun"])
def test_living_subsidy_is_refused_with_the_clause(held: str) -> None:
    """The audited double payment: 困难生活补贴 beside 孤儿, 事实无人抚养 or 特困 is blocked."""
    found = find(policies.exclusions(), "disability_living", ["a", "b"], {"a": frozenset({held})})
    assert [(f.person_id, f.held, f.blocking) for f in found] == [("a", held, True)]
    assert "困难残疾人生活补贴" in found[0].clause


def test_the_same_benefit_twice_is_a_duplicate() -> None:
    """One person has one of each benefit."""
    found = find(policies.exclusions(), "elderly", ["a"], {"a": frozenset({"elderly"})})
    assert [f.effect for f in found] == ["duplicate"]
    assert found[0].blocking


def test_care_subsidy_stands_beside_de_facto_orphan_support() -> None:
    """民发〔2019〕62号: the care subsidy may be had as well."""
    held = {"a": frozenset({"de_facto_orphan", "disability_living"})}
    assert find(policies.exclusions(), "disability_care", ["a"], held) == []


def test_top_up_pays_the_difference_and_does_not_block() -> None:
    """事实无人抚养 beside 低保 is paid as a difference."""
    found = find(policies.exclusions(), "de_facto_orphan", ["a"], {"a": frozenset({"rural_dibao"})})
    assert [(f.effect, f.blocking) for f in found] == [("top_up", False)]
