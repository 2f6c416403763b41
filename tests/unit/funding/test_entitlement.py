"""The amount of a benefit, and that no fen is lost between its lines and its shares."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding import policies
from services.funding.domain.entitlement import (
    Covered,
    EntitlementError,
    first_month,
    last_month_after_death,
    split,
    work_out,
)
from services.funding.domain.policy import PolicyError, Version, in_force, read_benefit

HONGHU = "421083108007"


def version(benefit: str, month: str = "2026-11", division: str = HONGHU) -> Version:
    """The real policy of a benefit in a division and month."""
    found = in_force(policies.benefits()[benefit].versions, division, month)
    assert found is not None
    return found


people = st.lists(
    st.builds(
        Covered,
        person_id=st.uuids().map(str),
        age=st.none() | st.integers(0, 110),
        disability_grade=st.none() | st.integers(1, 4),
        categories=st.frozensets(st.sampled_from(["serious_illness", "single_parent"])),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda person: person.person_id,
)


@given(covered=people, income=st.integers(0, 1_200_000))
def test_lines_and_shares_add_up_to_the_amount(covered: list[Covered], income: int) -> None:
    """Every line of a 低保 working is in the amount, and the shares are the amount to the fen."""
    working = work_out(version("urban_dibao"), covered, income_fen=income)
    assert sum(line.fen for line in working.lines) == working.fen >= 0
    assert sum(working.shares.values()) == working.fen
    assert set(working.shares) == {person.person_id for person in covered}
    assert all(share >= 0 for share in working.shares.values())


@given(covered=people, income=st.integers(0, 1_200_000), more=st.integers(0, 50_000))
def test_more_income_never_pays_more(covered: list[Covered], income: int, more: int) -> None:
    """补差 falls as income rises."""
    poorer = work_out(version("rural_dibao"), covered, income_fen=income)
    richer = work_out(version("rural_dibao"), covered, income_fen=income + more)
    assert richer.fen <= poorer.fen


def test_dibao_of_a_household_of_three() -> None:
    """780 × 3 − 1,200.50, 20 % of the standard for severe disability, rounded up to the yuan."""
    covered = [Covered(person_id="a", disability_grade=2), Covered(person_id="b", age=40)]
    covered.append(Covered(person_id="c", age=41))
    working = work_out(version("urban_dibao"), covered, income_fen=120_050)
    assert working.fen == 129_600  # 2,340.00 − 1,200.50 + 156.00 = 1,295.50 → 1,296.00
    assert [line.fen for line in working.lines] == [234_000, -120_050, 15_600, 50]


def test_income_above_the_standard_pays_nothing() -> None:
    """A household over the line gets zero, never a negative amount, and no 分类施保 either."""
    working = work_out(version("urban_dibao"), [Covered(person_id="a", age=80)], income_fen=78_001)
    assert (working.fen, sum(line.fen for line in working.lines)) == (0, 0)


def test_single_person_dibao_counts_own_income_under_the_edge_line() -> None:
    """单人保 looks at the person's own income, and refuses 1.5 times the standard or more."""
    alone = [Covered(person_id="a", disability_grade=1)]
    working = work_out(version("urban_dibao"), alone, income_fen=30_000, single_person=True)
    assert working.fen == 78_000 - 30_000 + 15_600
    with pytest.raises(EntitlementError, match=r"1,170\.00"):
        work_out(version("urban_dibao"), alone, income_fen=117_000, single_person=True)


def test_the_standard_of_the_month_counts() -> None:
    """A raise takes effect in its month, and only in its division."""
    one = [Covered(person_id="a", age=30)]
    assert work_out(version("urban_dibao", "2026-06"), one).fen == 76_000
    assert work_out(version("urban_dibao", "2026-07"), one).fen == 78_000
    assert work_out(version("urban_dibao", "2026-07", "130224001"), one).fen == 76_000


@pytest.mark.parametrize(
    ("benefit", "person", "fen"),
    [
        ("tekun", Covered(person_id="a"), 101_400),
        ("tekun", Covered(person_id="a", care_level="total"), 168_400),
        ("disability_care", Covered(person_id="a", disability_grade=1), 15_000),
        (
            "disability_care",
            Covered(person_id="a", disability_grade=3, disability_kind="智力"),
            5_000,
        ),
        ("disability_living", Covered(person_id="a", disability_grade=4), 8_000),
        ("elderly", Covered(person_id="a", age=89), 5_000),
        ("elderly", Covered(person_id="a", age=100), 50_000),
        ("orphan", Covered(person_id="a", age=9, placement="centralised"), 224_900),
        ("de_facto_orphan", Covered(person_id="a", benefits_fen={"rural_dibao": 30_000}), 111_100),
    ],
)
def test_fixed_amounts_by_band(benefit: str, person: Covered, fen: int) -> None:
    """Each fixed benefit pays its band; 事实无人抚养 pays only the difference to what they have."""
    assert work_out(version(benefit), [person]).fen == fen


def test_nobody_outside_the_bands_is_paid() -> None:
    """An unknown or unfitting fact is refused, never guessed."""
    with pytest.raises(EntitlementError, match="不符合"):
        work_out(version("elderly"), [Covered(person_id="a", name="张三", age=79)])
    with pytest.raises(EntitlementError, match="不符合"):
        work_out(version("disability_care"), [Covered(person_id="a", disability_grade=3)])


@pytest.mark.parametrize("asked", [None, 0, -1, 2_000_001])
def test_one_off_aid_keeps_its_ceiling(asked: int | None) -> None:
    """Temporary aid is a positive sum below the ceiling."""
    with pytest.raises(EntitlementError):
        work_out(version("temporary_aid"), [Covered(person_id="a")], asked_fen=asked)


def test_means_that_make_no_sense_are_refused() -> None:
    """No people, one person twice, negative income: an error in words, not a number."""
    one = Covered(person_id="a", age=30)
    for covered, income in (([], 0), ([one, one], 0), ([one], -1)):
        with pytest.raises(EntitlementError):
            work_out(version("urban_dibao"), covered, income_fen=income)


@given(
    fen=st.integers(0, 10**13),
    weights=st.dictionaries(st.text(min_size=1), st.integers(0, 10**6), min_size=1, max_size=12),
)
def test_split_loses_nothing_and_is_fair(fen: int, weights: dict[str, int]) -> None:
    """Largest remainder: the parts add up, and each is within one fen of its exact part."""
    parts = split(fen, weights)
    total = sum(weights.values()) or len(weights)
    assert sum(parts.values()) == fen
    for key, weight in weights.items():
        exact = fen * (weight if sum(weights.values()) else 1)
        assert abs(parts[key] * total - exact) < total


def test_first_and_last_month() -> None:
    """两项补贴 count from the application, 低保 from the month after; death ends with its month."""
    known = policies.benefits()
    applied, decided = date(2026, 9, 28), date(2026, 11, 3)
    when = {"applied_on": applied, "decided_on": decided}
    assert first_month(known["disability_living"], **when) == "2026-09"
    assert first_month(known["urban_dibao"], **when) == "2026-12"
    assert first_month(known["temporary_aid"], **when) == "2026-11"
    assert last_month_after_death(known["elderly"], date(2026, 12, 31)) == "2026-12"


def test_policies_cite_their_source_and_all_nine_are_there() -> None:
    """Every version names source and clause; assumed figures say so."""
    known = policies.benefits()
    assert len(known) == 9
    for benefit in known.values():
        assert in_force(benefit.versions, "421083", "2026-11") is not None
        assert all(v.source and v.clause for v in benefit.versions)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"effective_from": "2026-13"}, "month"),
        ({"source": ""}, "来源"),
        ({"effective_from": "2026-05", "effective_to": "2026-04"}, "早于"),
        ({"rule": {"type": "top_up", "standard_fen": -1}}, "负数"),
        ({"rule": {"type": "top_up", "standard_fen": 1.5}}, "int"),
        ({"standard": 3}, "unknown"),
    ],
)
def test_a_bad_policy_file_is_refused_with_its_name(change: dict[str, object], reason: str) -> None:
    """A policy that makes no sense is refused before anything is worked out from it."""
    text = {
        "division": "",
        "effective_from": "2026-01",
        "source": "x",
        "clause": "y",
        "rule": {"type": "top_up", "standard_fen": 1},
    }
    document = {
        "code": "x",
        "name": "x",
        "priority": 1,
        "unit": "person",
        "counts_from": "month_of_decision",
        "versions": [text | change],
    }
    with pytest.raises(PolicyError, match=rf"x\.toml.*{reason}"):
        read_benefit(document, where="x.toml")
