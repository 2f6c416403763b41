"""The length of a text message is what the gateway counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import sms


@pytest.mark.parametrize(
    ("length", "parts"),
    [(0, 0), (1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)],
)
def test_parts_change_at_70_and_then_every_67(length: int, parts: int) -> None:
    """A text of up to 70 units is one message; a longer one is cut into parts of 67."""
    assert sms.parts("民" * length) == parts


def test_a_rare_character_counts_two_units() -> None:
    """A surname outside the basic plane takes two code units, as on the wire."""
    assert sms.units("𬱖") == 2
    assert sms.parts("𬱖" * 35) == 1
    assert sms.parts("𬱖" * 35 + "民") == 2


@given(st.text(), st.integers(min_value=0, max_value=80))
def test_fit_never_exceeds_the_limit_and_never_breaks_a_character(text: str, limit: int) -> None:
    """A cut text fits, still encodes, and is the beginning of the original."""
    cut = sms.fit(text, limit)
    assert sms.units(cut) <= limit
    assert cut == text or text.startswith(cut.removesuffix(sms.ELLIPSIS))
    assert (cut == text) == (sms.units(text) <= limit)
