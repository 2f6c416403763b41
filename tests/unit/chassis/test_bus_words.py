"""Small parts of the bus: retry steps, topic match, ranges of numbers."""

from __future__ import annotations

import itertools

import amqp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import arrivals, topology
from services.chassis.settings import RETRY_STEPS, SettingsError, parse_steps


def test_the_steps_of_production() -> None:
    """1 s, 10 s, 1 min, 10 min, 1 h."""
    steps = parse_steps(RETRY_STEPS)
    assert [step.seconds for step in steps] == [1, 10, 60, 600, 3600]
    assert [step.name for step in steps] == ["1s", "10s", "1m", "10m", "1h"]


@pytest.mark.parametrize("text", ["", "1", "s", "1s,,2s", "1d", "-1s", "1.5s"])
def test_other_steps_are_refused(text: str) -> None:
    """A mistake in the setting stops the start; it does not become another wait."""
    with pytest.raises(SettingsError):
        parse_steps(text)


@pytest.mark.parametrize(
    ("binding", "key", "matches"),
    [
        ("thing.noted.v1.#", "thing.noted.v1.42.10", True),
        ("thing.noted.v1.#", "thing.noted.v1", True),
        ("thing.noted.v1.#", "thing.noted.v10.42", False),
        ("*.*.v1.42.10.83.#", "person.left.v1.42.10.83.108", True),
        ("*.*.v1.42.10.83.#", "person.left.v1.42.10.84.108", False),
        ("#", "anything.at.all", True),
        ("a.*", "a", False),
        ("a.#.z", "a.b.c.z", True),
    ],
)
def test_topics_match_as_the_brokers(binding: str, key: str, matches: bool) -> None:
    """A refill takes what the binding would have taken."""
    assert topology.matches(binding, key) is matches


@given(st.sets(st.integers(1, 200)))
def test_ranges_hold_exactly_their_numbers(numbers: set[int]) -> None:
    """No number is lost or invented, and ranges do not touch."""
    ranges = arrivals._ranges(list(numbers))
    assert {n for first, last in ranges for n in range(first, last + 1)} == numbers
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(ranges))


@pytest.mark.parametrize(
    ("headers", "exchange", "found"),
    [
        ({"cloudEvents:sequence": "421083:7"}, "a.events", ("a.events", "421083", 7)),
        (
            {"cloudEvents:sequence": "421083:7", arrivals.ORIGIN_EXCHANGE: "a.events"},
            "",
            ("a.events", "421083", 7),
        ),
        ({"cloudEvents:sequence": "421083:7"}, "", None),
        ({"cloudEvents:sequence": "421083:x"}, "a.events", None),
        ({}, "bureaus.events", None),
        (None, "bureaus.events", None),
    ],
)
def test_a_message_says_its_number(
    headers: dict[str, str] | None, exchange: str, found: tuple[str, str, int] | None
) -> None:
    """Only what carries a number of ours is counted; a retried copy is not counted twice."""
    message = amqp.Message(b"", application_headers=headers)
    message.delivery_info = {"exchange": exchange}
    label = arrivals.label_of(message)
    if found is None:
        assert label is None
    else:
        assert label is not None
        assert (label[0].exchange, label[0].county, label[1]) == found
