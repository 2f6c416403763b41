"""What somebody may do is what both the token and the post of this moment give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.posts import Post, as_of_now
from services.contracts.actors import Actor, Role
from services.contracts.errors import Unauthenticated

PLACES = ("", "42", "421083", "421083108", "421083108204", "421083109", "421003")
places = st.lists(st.sampled_from(PLACES), max_size=3, unique=True).map(tuple)
roles = st.lists(st.sampled_from(list(Role)), max_size=4, unique=True).map(tuple)


def actor(held: tuple[Role, ...], divisions: tuple[str, ...]) -> Actor:
    """Whom a token names."""
    return Actor(id="x", name="郑玉兰", roles=held, divisions=divisions)


@given(roles, places, roles, places)
def test_neither_more_nor_less_than_both(
    held: tuple[Role, ...],
    divisions: tuple[str, ...],
    now: tuple[Role, ...],
    scopes: tuple[str, ...],
) -> None:
    """A role or a place counts when token and post have it; nothing else does."""
    before = actor(held, divisions)
    after = as_of_now(before, Post(active=True, roles=[*map(str, now)], scopes=scopes))
    assert set(after.roles) == set(held) & set(now)
    posted = actor(now, scopes)
    for place in PLACES:
        assert after.covers(place) == (before.covers(place) and posted.covers(place))


def test_a_post_that_has_not_arrived_refuses_nobody() -> None:
    """Somebody new, or of whom only the phone is known yet, acts as the token says."""
    clerk = actor((Role.TOWN_CLERK,), ("421083108",))
    assert as_of_now(clerk, None) == clerk
    assert as_of_now(clerk, Post(active=True, roles=None, scopes=None)) == clerk


def test_without_a_post_there_is_no_way_in() -> None:
    """Whoever left is told so."""
    with pytest.raises(Unauthenticated, match="离岗"):
        as_of_now(actor((Role.LEADER,), ("",)), Post(active=False, roles=[], scopes=[]))
