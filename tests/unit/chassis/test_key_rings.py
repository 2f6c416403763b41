"""Key rings: at each step those told already and those not yet open what the others closed."""

from __future__ import annotations

import itertools
import json

import pytest

from services.chassis import key_rings, keys
from services.chassis.actors import ActorSigner, ActorVerifier
from services.chassis.crypto import CannotOpen, FieldCipher, Seals
from services.chassis.settings import Settings, SettingsError, parse_keys
from services.contracts.actors import Role
from services.contracts.errors import Unauthenticated
from tests.fixtures.services import actor

PLACE = {"table": "t", "row": 1, "column": "c"}


def cipher(ring: str) -> FieldCipher:
    """A process that was told this ring."""
    return FieldCipher(parse_keys(ring), b"i")


def test_neighbours_in_a_rolling_restart_read_each_other() -> None:
    """Old with new at every step, in both directions; the new key closes only when it is known."""
    first = keys.generate()["CASES_FIELD_KEYS"]
    added = key_rings.add(first)
    active = key_rings.activate(added)
    for one, other in itertools.pairwise((first, added, active)):
        for writer, reader in ((one, other), (other, one)):
            closed = cipher(writer).encrypt("420921196503070011", **PLACE)
            assert cipher(reader).decrypt(closed, **PLACE) == "420921196503070011"
    assert cipher(added).encrypt("x", **PLACE)[0] == 1
    assert cipher(active).encrypt("x", **PLACE)[0] == 2
    retired = key_rings.retire(active)
    with pytest.raises(CannotOpen):
        cipher(retired).decrypt(cipher(first).encrypt("x", **PLACE), **PLACE)


def test_a_step_taken_twice_does_no_harm() -> None:
    """A rotation that was cut short is begun again."""
    first = keys.generate()["CASES_FIELD_KEYS"]
    added = key_rings.add(first)
    assert key_rings.add(added) == added
    assert key_rings.activate(key_rings.activate(added)) == key_rings.activate(added)
    assert key_rings.retire(first) == first
    assert key_rings.retire(added) == added  # nothing in use is ever retired


def test_a_ring_without_a_key_in_use_is_refused() -> None:
    """Only keys in waiting: the process does not start."""
    waiting = key_rings.add(keys.generate()["CASES_FIELD_KEYS"]).split(",")[1]
    with pytest.raises(SettingsError):
        parse_keys(waiting)


def test_transit_keys_rotate_in_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sealed field in the archives opens after the rotation; a new one is under the new key."""
    made = keys.generate()
    sender, receiver = keys.transit_pairs()[0]

    def seals(service: str, material: dict[str, str]) -> Seals:
        addresses = {"AMQP_URI": "x", f"{service.upper()}_DATABASE_URL": "x"}
        for name, value in (material | addresses).items():
            monkeypatch.setenv(name, value)
        return Seals(service, Settings.from_env(service).transit_keys)

    old = seals(sender, made).seal(receiver, "6217991234567890123")
    rotated = made
    for step in ("add", "activate"):
        rotated = key_rings.step("transit", (), step, rotated)
    assert seals(receiver, rotated).open(sender, old) == "6217991234567890123"
    fresh = seals(sender, rotated).seal(receiver, "1")
    with pytest.raises(CannotOpen):
        seals(receiver, made).open(sender, fresh)
    assert {pair.partition("=")[0] for pair in rotated["TRANSIT_KEYS"].split(";")} == {
        f"{a}>{b}" for a, b in keys.transit_pairs()
    }


def test_actor_tokens_outlive_the_change_of_the_key_and_end_with_the_old_one() -> None:
    """Added, verified everywhere, then signed with; a token of before works until it is retired."""
    made = keys.generate()
    who = actor(Role.TOWN_CLERK)
    before = ActorSigner(made["ACTOR_SIGNING_KEY"]).token(who)
    added = key_rings.step("actor", (), "add", made)
    assert added["ACTOR_SIGNING_KEY"] == made["ACTOR_SIGNING_KEY"]
    active = key_rings.step("actor", (), "activate", added)
    after = ActorSigner(active["ACTOR_SIGNING_KEY"]).token(who)
    for ring in (added, active):
        verifier = ActorVerifier(ring["ACTOR_PUBLIC_KEYS"])
        assert verifier.actor(before).id == verifier.actor(after).id == who.id
    retired = key_rings.step("actor", (), "retire", active)
    assert len(json.loads(retired["ACTOR_PUBLIC_KEYS"])["keys"]) == 1
    assert ActorVerifier(retired["ACTOR_PUBLIC_KEYS"]).actor(after).id == who.id
    with pytest.raises(Unauthenticated):
        ActorVerifier(retired["ACTOR_PUBLIC_KEYS"]).actor(before)


def test_the_private_keys_stay_with_registry() -> None:
    """Also the one in waiting."""
    added = key_rings.step("actor", (), "add", keys.generate())
    for service in ("registry", "cases", "portal"):
        assert key_rings.NEXT_SIGNING not in keys.visible_to(service, added)
