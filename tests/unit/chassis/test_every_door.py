"""Every command and query of every service, with every role: who gets past the door.

Nothing here names a single door, so a new one is covered the day it is written. What each service
does with the right role in the wrong place is tested beside it (``test_rights.py``).
"""

from __future__ import annotations

from typing import Any

import pytest

from services.chassis.actors import ActorSigner, ActorVerifier, new_signing_key
from services.chassis.discovery import NAMES, service_class
from services.chassis.edge import Endpoint
from services.chassis.service import PUBLIC, endpoints
from services.chassis.uow import Foundation
from services.contracts.actors import Role
from services.contracts.errors import Unauthenticated
from tests.fixtures.services import KEYS, actor, settings_for

DOORS = [
    (service, name, endpoint)
    for service in NAMES
    for name, endpoint in sorted(endpoints(service_class(service)).items())
]
OF_STAFF = [role for role in Role if role is not Role.SERVICE]
ADMINISTRATORS = {Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN}

each_door = pytest.mark.parametrize(
    ("service", "name", "endpoint"), DOORS, ids=[f"{s}.{n}" for s, n, _ in DOORS]
)

OPEN_TO_ALL = {
    "registry": {"sign_in", "list_divisions", "read_clock"},
    "cases": {"list_items", "list_notices", "read_calendar", "read_clock"},
    "funding": {"read_clock"},
    "notify": {"read_clock"},
}
"""Doors without a token, one by one: signing in, and what hangs on the wall of the hall."""

AUDITOR_WRITES = {"change_password"}
"""His own."""

UNSEEN_BY_AUDITORS = {
    "reveal_identity",  # full numbers are for who handles the case, with a purpose
    "find_by_identity",  # finding by a number means knowing it
    "read_intake",  # what the window may start for somebody
    "compare_old_file",  # a file the asker uploaded
}


@pytest.fixture(scope="module")
def tokens() -> dict[Role, str]:
    """A token a role, over the whole county; and one nobody should have."""
    signer = ActorSigner(KEYS["ACTOR_SIGNING_KEY"])
    return {role: signer.token(actor(role)) for role in Role}


def ask(service: str, endpoint: Endpoint, context: dict[str, Any]) -> dict[str, Any]:
    """The answer of the door to a request that says nothing; the database is away."""
    foundation = Foundation.build(settings_for(service, "postgresql://nobody@127.0.0.1:1/x"))
    try:
        return endpoint.answer(
            foundation, lambda *_: pytest.fail("got past"), {"no": "such field"}, context, home=None
        )
    finally:
        foundation.engine.dispose()


@each_door
def test_a_door_opens_to_its_roles_and_no_other(
    service: str, name: str, endpoint: Endpoint, tokens: dict[Role, str]
) -> None:
    """No token, a forged one, each wrong role: refused before the request is even read."""
    if endpoint.access is PUBLIC:
        assert name in OPEN_TO_ALL[service]
        return
    assert endpoint.access, "a door must say who may pass"
    assert not isinstance(endpoint.access, type(PUBLIC))
    assert ask(service, endpoint, {})["error"]["code"] == "unauthenticated"
    forged = tokens[Role.SYSTEM_ADMIN][:-8] + "AAAAAAAA"
    assert ask(service, endpoint, {"actor_token": forged})["error"]["code"] == "unauthenticated"
    for role in Role:
        code = ask(service, endpoint, {"actor_token": tokens[role]})["error"]["code"]
        if role in endpoint.access:
            assert code == "invalid", role  # the door stood open, the request was no request
        else:
            assert code == "forbidden", role


@each_door
def test_no_door_is_for_services_or_the_three_administrators_beside_their_work(
    service: str, name: str, endpoint: Endpoint
) -> None:
    """Nobody signs in as a service; who runs or secures the system decides no case, pays nobody."""
    if endpoint.access is PUBLIC:
        return
    access = set(endpoint.access)  # type: ignore[arg-type]
    assert Role.SERVICE not in access
    if Role.AUDITOR in access and endpoint.writes:
        assert name in AUDITOR_WRITES
    if service in ("cases", "funding", "notify") and endpoint.writes:
        allowed = {"set_clock", "redrive_dead_letters", "load_calendar", "upload_chunk"}
        allowed |= {"rebuild_projection"}  # puts in place what the owners told, nothing else
        assert not ADMINISTRATORS & access or name in allowed


@each_door
def test_an_auditor_may_look_at_everything(service: str, name: str, endpoint: Endpoint) -> None:
    """Every query admits the auditor, but those named with their reason."""
    if endpoint.access is PUBLIC or endpoint.writes:
        return
    looks = Role.AUDITOR in endpoint.access  # type: ignore[operator]
    assert looks != (name in UNSEEN_BY_AUDITORS)


def test_a_token_of_another_signer_opens_nothing() -> None:
    """Well formed, with the right roles, signed by somebody else."""
    stranger = ActorSigner(new_signing_key())
    with pytest.raises(Unauthenticated):
        ActorVerifier(KEYS["ACTOR_PUBLIC_KEYS"]).actor(stranger.token(actor(Role.TOWN_CLERK)))
