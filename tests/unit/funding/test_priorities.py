"""Short money: never an overdraft, nobody overtaken."""

from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.priorities import Candidate, fit

candidates = st.lists(
    st.builds(
        Candidate,
        payment_id=st.uuids().map(str),
        priority=st.integers(1, 3),
        oldest_month=st.sampled_from(["2026-10", "2026-11"]),
        position=st.integers(1, 10**6),
        needs=st.dictionaries(st.sampled_from("xyz"), st.integers(1, 100), min_size=1, max_size=2),
        fen=st.integers(1, 200),
    ),
    max_size=30,
    unique_by=(lambda c: c.payment_id, lambda c: c.position),
)


@given(
    wanted=candidates,
    lines=st.dictionaries(st.sampled_from("xy"), st.integers(0, 600)),
    cash=st.integers(0, 900),
)
def test_short_money_is_never_overdrawn(
    wanted: list[Candidate], lines: dict[str, int], cash: int
) -> None:
    """Budget lines and cash stay at or above zero, and on a line the order is kept."""
    short = fit(wanted, lines, cash)
    paid = [c for c in wanted if c.payment_id not in short]
    assert sum(c.fen for c in paid) <= cash
    for line in "xyz":
        assert sum(c.needs.get(line, 0) for c in paid) <= lines.get(line, 0)
    order = sorted(wanted, key=lambda c: (c.priority, c.oldest_month, c.position))
    for line in "xyz":
        left_out = False
        for candidate in (c for c in order if set(c.needs) == {line}):
            reason = short.get(candidate.payment_id)
            left_out = left_out or reason == "budget_short"
            assert not left_out or reason == "budget_short"


@given(wanted=candidates)
def test_enough_money_pays_everybody(wanted: list[Candidate]) -> None:
    """With budget and cash for all, nobody is left out."""
    total = sum(c.fen for c in wanted)
    needed = sum(sum(c.needs.values()) for c in wanted)
    assert fit(wanted, dict.fromkeys("xyz", needed), total) == {}
