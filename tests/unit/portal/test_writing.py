"""How the portal writes dates, money and masks."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.money import fen
from services.portal import writing


@pytest.mark.parametrize(
    ("days_left", "words"),
    [
        (3, "剩 3 个工作日（12月30日前）"),
        (0, "今日到期（12月30日前）"),
        (-2, "已超 2 个工作日（12月30日前）"),
        (None, "12月30日前"),
    ],
)
def test_a_deadline_says_the_date_beside_the_days(days_left: int | None, words: str) -> None:
    """A person reads by when, not only how long."""
    assert writing.deadline(date(2026, 12, 30), days_left) == words


@pytest.mark.parametrize(
    ("days_left", "colour"),
    [(4, "calm"), (3, "soon"), (2, "soon"), (1, "today"), (0, "today"), (-1, "over")],
)
def test_colour_changes_at_three_one_and_zero(days_left: int, colour: str) -> None:
    """ux: colour at 3, 1 and 0 working days."""
    assert writing.urgency(days_left) == colour


@given(st.integers(min_value=0, max_value=10**13))
def test_money_written_reads_back_to_the_fen(amount: int) -> None:
    """What the desk shows is exactly what is owed."""
    assert fen(writing.money(amount)) == amount


def test_moments_are_shown_in_shanghai() -> None:
    """A UTC moment late in the evening is tomorrow in Honghu."""
    assert writing.moment(datetime(2026, 9, 28, 18, 30, tzinfo=UTC)) == "2026-09-29 02:30"


@given(st.text(alphabet="0123456789X", min_size=1, max_size=25))
def test_a_mask_never_shows_more_than_four(number: str) -> None:
    """Only the last four of an identity number, card or phone are ever shown."""
    assert len(writing.masked(number).lstrip("* ")) <= 4
