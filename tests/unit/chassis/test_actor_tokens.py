"""A token says who acts, until it ends; whose clock made it does not matter."""

from __future__ import annotations

import time

import pytest

from services.chassis.actors import LIFETIME_S, ActorSigner, ActorVerifier, new_signing_key
from services.chassis.actors import public_keys as public_keys_of
from services.contracts.actors import Role
from services.contracts.errors import Unauthenticated
from tests.fixtures.services import actor

KEY = new_signing_key()
CLERK = actor(Role.TOWN_CLERK)


def token_made(monkeypatch: pytest.MonkeyPatch, seconds: int) -> str:
    """Signed where the clock is so many seconds ahead of here (behind, when negative)."""
    with monkeypatch.context() as there:
        now = time.time()
        there.setattr(time, "time", lambda: now + seconds)
        return ActorSigner(KEY).token(CLERK)


@pytest.mark.parametrize("seconds", [-3600, 0, 3600, 4 * 3600])
def test_clocks_that_are_hours_apart_keep_nobody_out(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """A service whose clock is slow takes tokens that for it were made in the future."""
    assert ActorVerifier(public_keys_of(KEY)).actor(token_made(monkeypatch, seconds)) == CLERK


def test_a_token_ends_with_the_working_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight hours after it was made it opens nothing."""
    late = token_made(monkeypatch, -LIFETIME_S - 1)
    with pytest.raises(Unauthenticated, match="登录已失效"):
        ActorVerifier(public_keys_of(KEY)).actor(late)


def test_a_token_that_was_let_in_before_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """That its signature is remembered makes nobody's day longer."""
    verifier, token = ActorVerifier(public_keys_of(KEY)), token_made(monkeypatch, 0)
    assert verifier.actor(token, purpose="查档").purpose == "查档"
    assert verifier.actor(token).purpose is None
    evening = time.time() + LIFETIME_S + 1
    monkeypatch.setattr(time, "time", lambda: evening)
    with pytest.raises(Unauthenticated, match="登录已失效"):
        verifier.actor(token)
