"""Who decides and within what limit; local rules under the national ceiling."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import msgspec
import pytest

from services.cases import catalogue
from services.cases.domain.policy import Level, Policies, RuleText

RULES = [
    rule
    for path in sorted((catalogue.DATA / "policy").glob("*.toml"))
    for rule in msgspec.convert(tomllib.loads(path.read_text("utf-8"))["rules"], list[RuleText])
]


@pytest.mark.parametrize(
    ("division", "on", "decides", "limit"),
    [
        ("421083108", date(2026, 9, 28), Level.TOWN, 20),
        ("421083108", date(2018, 12, 31), Level.COUNTY, 30),
        ("421083108", date(2019, 1, 1), Level.TOWN, 20),
        ("421003100", date(2026, 9, 28), Level.COUNTY, 30),
    ],
)
def test_honghu_delegates_since_2019_and_others_do_not(
    division: str, on: date, decides: Level, limit: int
) -> None:
    """Honghu: the town, 20 working days since 2019-01; elsewhere and before: county, 30."""
    rule = catalogue.policies().rule("dibao", "ordinary", division, on)
    assert (rule.decides, rule.limit, rule.extended) == (decides, limit, 45)
    assert rule.publicity_days == 7
    assert rule.pauses == ()
    assert rule.sources


@pytest.mark.parametrize(
    "broken",
    [{"limit": 31}, {"extended": 46}, {"publicity_days": 5}, {"refusal_told_within": 5}],
)
def test_no_division_may_be_slower_or_less_open_than_the_law(broken: dict[str, int]) -> None:
    """A local rule beyond the national value does not load."""
    local = RuleText(
        item="dibao", division="421003", effective=date(2026, 1, 1), source="t", **broken
    )
    with pytest.raises(ValueError, match="421003 dibao"):
        Policies([*RULES, local])


def test_small_sums_are_the_towns() -> None:
    """临时救助 in Honghu: up to the small sum the town, above it the county."""
    rule = catalogue.policies().rule("temporary_aid", "urgent", "421083108", date(2026, 9, 28))
    assert rule.decided_by(rule.small_sum_fen) is Level.TOWN
    assert rule.decided_by(rule.small_sum_fen + 1) is Level.COUNTY
    assert rule.papers_within == 5


def test_adding_an_item_is_a_data_file(tmp_path: Path) -> None:
    """A new item, copied from 低保 under another code, is read without code."""
    text = (catalogue.DATA / "catalogue" / "dibao.toml").read_text("utf-8")
    (tmp_path / "edge.toml").write_text(text.replace('code = "dibao"', 'code = "edge"', 1))
    assert catalogue.read_items(tmp_path)["edge"].routes[0].code == "ordinary"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["applicant_name", "members", "amount_fen"]', '["identity_number"]', "may not show"),
        ('after = ["opinion"]', 'after = ["decision"]', "does not stand before it"),
        ('code = "identity"', 'code = "promise"', "stands twice"),
        ('amount = "quote"', 'amount = "guess"', "guess"),
        ('unit = "household"', 'unitt = "household"', "unitt"),
    ],
)
def test_a_wrong_item_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A notice outside the whitelist, steps in a circle, a code twice: named, not loaded."""
    text = (catalogue.DATA / "catalogue" / "dibao.toml").read_text("utf-8")
    assert old in text
    (tmp_path / "dibao.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        catalogue.read_items(tmp_path)
