"""Steps of a batch in their order, and signatures by the right two people only."""

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.actors import Actor, Role
from services.funding.domain.cycle import (
    Deputy,
    Seat,
    State,
    Step,
    StepRefusedError,
    advance,
    may_open,
    may_sign,
)
from services.funding.timetable import timetable

DAY = date(2026, 11, 20)
RULE = timetable("421083", DAY)


@given(steps=st.lists(st.sampled_from(list(Step)), max_size=25))
def test_steps_follow_the_order_of_the_work(steps: list[Step]) -> None:
    """Against a plain oracle: nothing is locked without both signatures on the checked content, and
    nothing sent twice or voided after sending."""
    state = State.OPEN
    signatures: list[Step] = []
    checked = locked = sent = voided = False
    for step in steps:
        allowed = {
            Step.COMPUTE: not signatures and not locked and not voided,
            Step.CHECK: not voided and state in (State.COMPUTED, State.CHECKED),
            Step.REVIEW: not voided and checked and not signatures,
            Step.RELEASE: signatures == [Step.REVIEW] and not locked,
            Step.SEND_BACK: bool(signatures) and not locked,
            Step.DISCARD: not signatures and not locked and not voided,
            Step.LOCK: len(signatures) == 2 and not locked,
            Step.VOID: locked and not sent and not voided,
            Step.EXPORT: locked and not sent and not voided,
            Step.SETTLE: sent,
        }[step]
        try:
            state = advance(state, step)
        except StepRefusedError:
            assert not allowed, step
            continue
        assert allowed, step
        match step:
            case Step.COMPUTE:
                checked = False
            case Step.CHECK:
                checked = True
            case Step.REVIEW | Step.RELEASE:
                signatures.append(step)
            case Step.SEND_BACK:
                signatures, checked = [], False
            case Step.LOCK:
                locked = True
            case Step.VOID | Step.DISCARD:
                voided = True
            case Step.EXPORT:
                sent = True


def person(staff_id: str, *roles: Role) -> Actor:
    """A member of staff of the county."""
    return Actor(id=staff_id, name=staff_id, roles=roles, divisions=("421083",))


@given(
    seat=st.sampled_from(list(Seat)),
    staff_id=st.sampled_from("abcd"),
    roles=st.sets(st.sampled_from([Role.CIVIL_AUDITOR, Role.FINANCE_OFFICER, Role.LEADER])),
    involved=st.frozensets(st.sampled_from("abcd")),
    signed_by=st.frozensets(st.sampled_from("abcd")),
    deputy_from=st.dates(date(2026, 11, 1), date(2026, 12, 31)),
    deputy_days=st.integers(0, 60),
    deputy_role=st.sampled_from([Role.CIVIL_AUDITOR, Role.FINANCE_OFFICER]),
)
def test_only_the_right_two_people_sign(
    seat: Seat,
    staff_id: str,
    roles: set[Role],
    involved: frozenset[str],
    signed_by: frozenset[str],
    deputy_from: date,
    deputy_days: int,
    deputy_role: Role,
) -> None:
    """Role or dated deputy, and neither maker, nor involved, nor the other signer."""
    to_day = date.fromordinal(deputy_from.toordinal() + deputy_days)
    deputy = Deputy(staff_id="b", role=deputy_role, from_day=deputy_from, to_day=to_day)
    wanted = Role.CIVIL_AUDITOR if seat.value.endswith("review") else Role.FINANCE_OFFICER
    acting = staff_id == "b" and deputy_role is wanted and deputy_from <= DAY <= to_day
    allowed = (
        (wanted in roles or acting)
        and staff_id != "a"
        and staff_id not in involved
        and staff_id not in signed_by
    )
    try:
        capacity = may_sign(
            seat,
            person(staff_id, *roles),
            maker_id="a",
            involved=involved,
            signed_by=signed_by,
            deputies=[deputy],
            day=DAY,
        )
    except StepRefusedError:
        assert not allowed
    else:
        assert allowed
        assert capacity.role is wanted
        assert capacity.as_deputy is (wanted not in roles)


def test_refusals_say_why() -> None:
    """The words name the rule that was broken."""
    for staff_id, reason in (("maker", "制单人"), ("decider", "个案"), ("first", "两人")):
        with pytest.raises(StepRefusedError, match=reason):
            may_sign(
                Seat.RELEASE,
                person(staff_id, Role.FINANCE_OFFICER),
                maker_id="maker",
                involved=frozenset({"decider"}),
                signed_by=frozenset({"first"}),
                deputies=[],
                day=DAY,
            )
    with pytest.raises(StepRefusedError, match=r"批次已发送代发行，不能作废"):
        advance(State.SENT, Step.VOID)


@pytest.mark.parametrize(
    ("month", "allowed"),
    [
        ("2026-12", True),
        ("2026-11", True),
        ("2025-11", True),
        ("2025-10", False),
        ("2027-01", False),
        ("2099-12", False),
        ("9999-12", False),
    ],
)
def test_a_slip_of_the_year_opens_no_batch(month: str, allowed: bool) -> None:
    """Compute makes the dues of every month up to the batch's: 2099 would owe 73 years."""
    assert may_open(month, DAY, RULE) is allowed


def test_the_window_is_data() -> None:
    """A division's own timetable changes what may be opened, and no code."""
    earlier = msgspec.structs.replace(RULE, months_ahead=2, months_back=0)
    assert may_open("2027-01", DAY, earlier)
    assert not may_open("2026-10", DAY, earlier)
    with pytest.raises(LookupError):
        timetable("421083", date(1990, 1, 1))


def test_over_the_new_year() -> None:
    """January is paid in December, before the holidays."""
    assert may_open("2027-01", date(2026, 12, 30), RULE)
