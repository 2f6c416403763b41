"""A message ends told or on somebody's list, after a bounded number of attempts."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.errors import Conflict
from services.notify import catalogue
from services.notify.domain.message import (
    FAILED,
    NAMES,
    REASONS,
    Channel,
    Outcome,
    Reason,
    RetryPolicy,
    Status,
    after_attempt,
    message_id,
    require_failed,
    require_pending_letter,
)

MADE = datetime(2026, 11, 15, 9, tzinfo=UTC)
POLICY = RetryPolicy(
    waits=(timedelta(seconds=30), timedelta(minutes=2)), expires_after=timedelta(hours=72)
)
bad = st.sampled_from([Outcome.DEFERRED, Outcome.UNKNOWN])


@given(st.lists(bad, min_size=10, max_size=10))
def test_attempts_are_bounded_and_end_on_the_work_list(outcomes: list[Outcome]) -> None:
    """Whatever goes wrong, after the last planned wait the message is a failure with a reason."""
    now = MADE
    for made, outcome in enumerate(outcomes, start=1):
        following = after_attempt(outcome, made, MADE, now, POLICY)
        if following.status in FAILED:
            break
        assert following.status is Status.CREATED
        assert following.retry_at is not None
        assert following.retry_at > now
        now = following.retry_at
    assert made == len(POLICY.waits) + 1
    assert following.status in FAILED
    assert following.reason in REASONS


@given(st.integers(min_value=0, max_value=10**6))
def test_a_gateway_that_is_away_uses_up_no_attempt(attempts: int) -> None:
    """A message whose connection broke before it was begun is tried again at once, uncounted."""
    following = after_attempt(Outcome.NOT_TRIED, attempts, MADE, MADE, POLICY)
    assert (following.status, following.retry_at) == (Status.CREATED, MADE)


@pytest.mark.parametrize("outcome", [Outcome.NOT_TRIED, Outcome.DEFERRED, Outcome.UNKNOWN])
def test_what_is_older_than_the_limit_becomes_a_task(outcome: Outcome) -> None:
    """A gateway that stays away for days does not keep the message from the officer's list."""
    following = after_attempt(outcome, 1, MADE, MADE + POLICY.expires_after, POLICY)
    assert (following.status, following.reason) == (Status.TECHNICAL_FAILURE, Reason.EXPIRED)


def test_an_answer_for_good_ends_the_attempts() -> None:
    """Taken is sent, however late; refused for good is a failure at the first attempt."""
    late = MADE + timedelta(days=30)
    assert after_attempt(Outcome.ACCEPTED, 9, MADE, late, POLICY).status is Status.SENT
    refused = after_attempt(Outcome.REFUSED, 1, MADE, MADE, POLICY)
    assert (refused.status, refused.reason) == (Status.PERMANENT_FAILURE, Reason.REFUSED)


def test_the_work_list_says_whether_it_may_have_arrived() -> None:
    """A last attempt that was deferred is told apart from one that nobody answered."""
    last = len(POLICY.waits) + 1
    deferred = after_attempt(Outcome.DEFERRED, last, MADE, MADE, POLICY)
    unknown = after_attempt(Outcome.UNKNOWN, last, MADE, MADE, POLICY)
    assert (deferred.status, deferred.reason) == (Status.TEMPORARY_FAILURE, Reason.DEFERRED)
    assert (unknown.status, unknown.reason) == (Status.TECHNICAL_FAILURE, Reason.UNANSWERED)


def test_the_shipped_waits_grow_and_fit_into_the_limit() -> None:
    """The attempts of data/delivery.toml all lie before the message expires."""
    policy = catalogue.delivery().retry
    assert list(policy.waits) == sorted(policy.waits)
    assert sum(policy.waits, timedelta()) < policy.expires_after


@given(st.uuids(), st.text(), st.text())
def test_the_same_fact_is_the_same_message(person: UUID, template: str, occasion: str) -> None:
    """The id is made of reader, template and fact, and of nothing else."""
    assert message_id(person, template, occasion) == message_id(person, template, occasion)
    assert message_id(person, template, occasion) != message_id(uuid4(), template, occasion)


def test_every_status_has_a_chinese_name_and_every_reason_an_advice() -> None:
    """Nobody reads a code on the desk."""
    assert set(NAMES) == set(Status)
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize("status", sorted(set(Status) - FAILED))
def test_only_a_failed_message_is_tried_again_by_hand(status: Status) -> None:
    """Trying again what is under way or told would tell the person twice."""
    with pytest.raises(Conflict, match="未送达清单"):
        require_failed(status)


def test_only_a_pending_letter_is_reported_delivered() -> None:
    """A text message has no officer to report it, a delivered letter is not delivered again."""
    require_pending_letter(Status.PENDING, Channel.LETTER)
    for status, channel in [
        (Status.DELIVERED, Channel.LETTER),
        (Status.PENDING, Channel.SMS),
        (Status.CREATED, None),
    ]:
        with pytest.raises(Conflict, match="纸质通知"):
            require_pending_letter(status, channel)
