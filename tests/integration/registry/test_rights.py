"""Who may ask what of registry, at the door itself; and the import behind the door."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from services.chassis import files
from services.chassis.actors import ActorSigner
from services.chassis.edge import Endpoint
from services.chassis.models import CommandRow
from services.chassis.service import PUBLIC, endpoints
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Actor, Role
from services.contracts.commands.registry import AppointStaff, OpenAccount
from services.registry import sign_in, staff
from services.registry.models import Staff as StaffRow
from services.registry.service import RegistryService
from tests.builders.roster import row, xlsx
from tests.fixtures.services import KEYS
from tests.integration.registry.conftest import ADMIN, Act

HOME = "services.registry.service:RegistryService"
ALL = endpoints(RegistryService)
OWN = {n: e for n, e in ALL.items() if e.request.__module__.endswith("commands.registry")}
STAFF_ROLES = [role for role in Role if role is not Role.SERVICE]


def token(*roles: Role) -> str:
    """A signed token of somebody with these roles over the county."""
    who = Actor(id=str(UUID(int=5)), name="某人", roles=roles, divisions=("421083",))
    return ActorSigner(KEYS["ACTOR_SIGNING_KEY"]).token(who)


def answer(
    endpoint: Endpoint, foundation: Foundation, body: dict[str, Any], actor_token: str | None
) -> dict[str, Any]:
    """What the door answers; whoever gets past it fails the test."""

    def nobody_gets_here(*_: object) -> None:
        pytest.fail("got past the door")

    context: dict[str, Any] = {"actor_token": actor_token} if actor_token else {}
    # home=None: the door of a child is asked itself
    return endpoint.answer(foundation, nobody_gets_here, body, context, home=None)


def test_only_signing_in_and_the_places_are_public() -> None:
    """Everything else needs a token."""
    assert {n for n, e in OWN.items() if e.access is PUBLIC} == {"sign_in", "list_divisions"}


@pytest.mark.parametrize("name", sorted(n for n, e in OWN.items() if e.access is not PUBLIC))
def test_every_door_is_shut_to_other_posts(name: str, foundation: Foundation) -> None:
    """Without a token, with a forged one, and with each post that is not admitted."""
    endpoint = OWN[name]
    assert not isinstance(endpoint.access, type(PUBLIC))
    body: dict[str, Any] = {}
    assert answer(endpoint, foundation, body, None)["error"]["code"] == "unauthenticated"
    forged = token(Role.SYSTEM_ADMIN)[:-4] + "AAAA"
    assert answer(endpoint, foundation, body, forged)["error"]["code"] == "unauthenticated"
    for role in STAFF_ROLES:
        if role not in endpoint.access:
            refused = answer(endpoint, foundation, body, token(role))
            assert refused["error"]["code"] == "forbidden", role


def test_administrators_see_no_people_and_readers_change_nothing() -> None:
    """Three separate powers: who runs the system, who works with people, who looks on."""
    about_people = {
        "read_person", "read_household", "search_people", "find_by_identity", "list_people",
        "reveal_identity", "list_changes", "list_households", "register_household",
    }  # fmt: skip
    for name in about_people:
        assert not {Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN} & set(OWN[name].access), name  # type: ignore[arg-type]
    for name, endpoint in OWN.items():
        if endpoint.writes and endpoint.access is not PUBLIC and name != "change_password":
            assert not {Role.LEADER, Role.AUDITOR} & set(endpoint.access), name  # type: ignore[arg-type]


def test_who_asks_for_an_account_is_not_all_who_may_confirm() -> None:
    """There is always a post that confirms without having asked."""
    asks = set(OWN["request_account_change"].access)  # type: ignore[arg-type]
    confirms = set(OWN["confirm_account_change"].access)  # type: ignore[arg-type]
    assert confirms - asks


def test_an_import_runs_in_a_process_of_its_own(
    act: Act, foundation: Foundation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the door through the child and the reader to the tables; asked twice, done once."""
    monkeypatch.setenv("AMQP_URI", "amqp://nowhere")
    monkeypatch.setenv("REGISTRY_DATABASE_URL", foundation.settings.database_url)
    monkeypatch.setenv("ZHIDA_MODE", "test")
    with act(ADMIN) as uow:
        file_id = files.write(uow, "r.xlsx", xlsx([row()]), "x", division="421083")
    body = {"file_id": str(file_id), "first_month": "2026-11"}
    context = {"actor_token": token(Role.COUNTY_DECIDER), "idempotency_key": "k-1"}
    door = OWN["import_roster"]
    first, again = (
        door.answer(foundation, lambda *_: None, body, context, home=HOME) for _ in range(2)
    )
    assert (first["ok"]["accepted"], first["ok"]["error_count"]) == (1, 0)
    assert again["ok"] == first["ok"]
    other = body | {"first_month": "2026-12"}
    refused = door.answer(foundation, lambda *_: None, other, context, home=HOME)
    assert refused["error"]["reason"] == "idempotency_key_reused"


def test_a_password_leaves_no_trace_beside_its_own_hash(foundation: Foundation, act: Act) -> None:
    """Signing in keeps neither token nor arguments; a key used again simply signs in again."""
    given = {"account": "li.fang", "password": "river-lotus-42"}
    with act(ADMIN) as uow:
        posted = AppointStaff(
            staff_no="T9",
            name="李芳",
            division="421083",
            roles=(Role.TOWN_CLERK,),
            scopes=("421083",),
        )
        staff.appoint(uow, posted)
        staff.open_account(uow, OpenAccount(staff_no="T9", must_change=False, **given))
    door, context = OWN["sign_in"], {"idempotency_key": "k-9"}
    for _ in range(2):
        answered = door.answer(foundation, sign_in.sign_in, given, context, home=None)
        assert answered["ok"]["token"]
    with act(ADMIN) as uow:
        assert uow.session.get(CommandRow, "k-9") is None


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("read_staff", {"staff_no": "HH\x000204"}, "staff_no"),
        ("assign_officer", {"person_ids": [], "officer_no": "H", "reason": "\x00"}, "reason"),
        ("list_staff", {"limit": 10**30}, None),
    ],
)
def test_what_no_column_can_keep_is_the_callers_error(
    name: str, body: dict[str, Any], field: str | None, foundation: Foundation
) -> None:
    """A U+0000 of a broken scanner, a number of thirty digits: refused in words, not a fault."""

    def looks(uow: UnitOfWork, _: object) -> Any:
        return uow.session.scalar(select(StaffRow.name).limit(body["limit"]))

    context = {"actor_token": token(Role.TOWN_CLERK)}
    refused = OWN[name].answer(foundation, looks, body, context, home=None)["error"]
    assert (refused["code"], refused["field"]) == ("invalid", field)
    assert refused["advice"]
