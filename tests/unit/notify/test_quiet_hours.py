"""Nobody is written to in the quiet hours."""

from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify import catalogue
from services.notify.domain.quiet_hours import QuietHours


@pytest.mark.parametrize(
    ("at", "quiet"),
    [
        (time(20, 59, 59), False),
        (time(21), True),
        (time(0), True),
        (time(7, 59, 59), True),
        (time(8), False),
        (time(12), False),
    ],
)
def test_the_shipped_quiet_hours_last_from_21_to_8(at: time, quiet: bool) -> None:
    """They begin at 21:00 sharp, pass midnight and end at 8:00 sharp."""
    assert catalogue.delivery().quiet_hours.covers(at) is quiet


@given(st.times(), st.times(), st.times())
def test_quiet_hours_and_their_reverse_share_the_day(begins: time, ends: time, at: time) -> None:
    """Every moment is either in the quiet hours or in the hours from their end to their begin."""
    if begins != ends:
        assert QuietHours(begins, ends).covers(at) != QuietHours(ends, begins).covers(at)


@given(st.times(), st.times())
def test_equal_times_switch_quiet_hours_off(at: time, moment: time) -> None:
    """A bureau that wants no quiet hours sets both to the same time."""
    assert not QuietHours(at, at).covers(moment)
