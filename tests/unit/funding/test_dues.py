"""Dues: every owed month once, and differences that always end at the entitlement."""

from hypothesis import given
from hypothesis import strategies as st

from services.funding.domain.dues import Due, Part, difference
from services.funding.domain.months import shift, span
from tests.oracles.dues import Term, regular_dues

MONTHS = span("2026-01", "2027-12")
months = st.sampled_from(MONTHS)


@given(
    start=months,
    end=st.none() | months,
    cycles=st.lists(months, min_size=1, max_size=8),
    died=st.none() | months,
)
def test_cycles_in_any_order_owe_each_month_once(
    start: str, end: str | None, cycles: list[str], died: str | None
) -> None:
    """However cycles are run, months owed = the months of the term up to the latest cycle."""
    term = Term(from_month=start, to_month=end, shares={"a": 100, "b": 0})
    last = {"a": died} if died else {}
    owed: list[Due] = []
    through = None
    for cycle in cycles:
        if through is None or cycle > through:
            owed += regular_dues(
                "x", [term], already_through=through, through=cycle, last_months=last
            )
            through = cycle
    expected = [
        month
        for month in MONTHS
        if start <= month <= (end or month) and month <= max(cycles) and month <= (died or month)
    ]
    assert [due.month for due in owed] == expected
    assert {due.person_id for due in owed} <= {"a"}
    assert len({due.key for due in owed}) == len(owed)


due_lists = st.lists(
    st.builds(
        Due,
        person_id=st.sampled_from("ab"),
        benefit=st.just("x"),
        month=st.sampled_from(["2026-11", "2026-12"]),
        part=st.sampled_from([Part.REGULAR, Part.ADJUSTMENT]),
        cause=st.sampled_from(["d1", "d2"]),
        fen=st.integers(1, 1000),
        attempted=st.booleans(),
    ),
    unique_by=lambda due: due.key,
    max_size=8,
)


@given(
    existing=due_lists,
    entitled=st.dictionaries(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["2026-11", "2026-12"])),
        st.integers(0, 2000),
        min_size=1,
    ),
)
def test_difference_ends_at_the_entitlement(
    existing: list[Due], entitled: dict[tuple[str, str], int]
) -> None:
    """Owed before + added − lowered − overpaid = entitled; what is being paid is never lowered."""
    result = difference("x", existing, entitled, decision_id="d9")
    for key, fen in entitled.items():
        before = sum(due.fen for due in existing if (due.person_id, due.month) == key)
        added = sum(due.fen for due in result.added if (due.person_id, due.month) == key)
        cut = sum(due.fen - new for due, new in result.lowered if (due.person_id, due.month) == key)
        over = sum(fen for person, month, fen in result.overpaid if (person, month) == key)
        assert before + added - cut - over == fen
        assert 0 in (added, cut + over)
    assert all(not due.attempted and 0 <= new < due.fen for due, new in result.lowered)
    assert all(due.cause == "d9" and due.part is Part.ADJUSTMENT for due in result.added)


def test_months_shift_over_new_year() -> None:
    """Month arithmetic crosses the year in both directions."""
    assert shift("2026-12", 1) == "2027-01"
    assert shift("2026-01", -1) == "2025-12"
    assert shift("2026-11", 14) == "2028-01"
