"""The door: what bureaus say is let in only whole, sealed, and under their own name."""

from __future__ import annotations

import json
import uuid
from datetime import date
from typing import Any

import amqp
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from services.chassis import door
from services.contracts.events import event_type
from services.contracts.events.bureaus import DeathRegistered, DeathRevoked, ReplayRequested
from tests.builders.roster import identity
from tests.fixtures.services import KEYS

NAME = "public_security.death_registered.v1"
KEY = f"{NAME}.42.10.83.108.007"
USER = "bureau.public_security@zhida"
TYPES = (event_type(DeathRegistered),)
PLAIN = identity(1)


def sealed(number: str = PLAIN) -> str:
    """As a bureau seals it."""
    key = ECKey.import_key(json.loads(KEYS["BUREAU_PUBLIC_KEY"]))
    return jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A256GCM"}, number.encode(), key)


def said(
    changes: dict[str, Any] | None = None,
    *,
    body: bytes | None = None,
    headers: dict[str, Any] | None = None,
    user: str | None = USER,
    key: str = KEY,
    exchange: str = "bureaus.events",
    event_id: str | None = None,
) -> amqp.Message:
    """A death notice as it arrives, changed in some way (``None`` takes a field out)."""
    fields = {
        "certificate_no": "GA-1",
        "division": "421083108007",
        "identity_number": sealed(),
        "died_on": "2026-09-20",
    } | (changes or {})
    event_id = event_id or str(uuid.uuid4())
    attributes = {"cloudEvents:id": event_id, "cloudEvents:type": NAME} | (headers or {})
    message = amqp.Message(
        body or json.dumps({k: v for k, v in fields.items() if v is not None}).encode(),
        application_headers=attributes,
        message_id=event_id,
        **({"user_id": user} if user else {}),
    )
    message.delivery_info = {"exchange": exchange, "routing_key": key}
    return message


def read(message: amqp.Message) -> Any:
    """What the door makes of it."""
    return door.read(message, TYPES).event


def test_a_good_notice_is_let_in() -> None:
    """Under its own id, with the sender the broker has checked."""
    message = said()
    delivery = door.read(message, TYPES)
    assert isinstance(delivery.event, DeathRegistered)
    assert delivery.event.died_on == date(2026, 9, 20)
    assert str(delivery.event_id) == message.properties["message_id"]
    assert delivery.origin_user == USER


def test_fields_added_later_are_ignored() -> None:
    """A bureau's newer version may say more."""
    assert isinstance(read(said({"crematorium": {"no": [1]}})), DeathRegistered)


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (said({"died_on": None}), "schema", "died_on"),
        (said({"died_on": "yesterday"}), "schema", "died_on"),
        (said({"died_on": 20260920}), "schema", "died_on"),
        (said({"certificate_no": ""}), "schema", "certificate_no"),
        (said({"certificate_no": "a\x00b"}), "schema", "certificate_no"),
        (said({"certificate_no": "x" * 65}), "schema", "certificate_no"),
        (said({"division": "42108"}), "schema", "division"),
        (said({"division": "421083108008"}), "wrong_division", "division"),
        (said(body=b"{"), "schema", None),
        (said(body=b"\xff\xfe"), "schema", None),
        (said(body=b"[]"), "schema", None),
        (said(body=b"[" * 50_000), "schema", None),
        (said({"note": "x" * 70_000}), "too_large", None),
        (said({"identity_number": PLAIN}), "plain_number", "identity_number"),
        (said({"identity_number": "a.b.c.d.e"}), "plain_number", "identity_number"),
        (said({"identity_number": f"e30.a.{PLAIN}.d.e"}), "plain_number", "identity_number"),
        (said({"identity_number": 7}), "plain_number", "identity_number"),
        (said({"certificate_no": PLAIN}), "plain_number", "certificate_no"),
        (said({"certificate_no": f"证{PLAIN.lower()}号"}), "plain_number", "certificate_no"),
        (said({"more": [{"deep": f"{PLAIN}"}]}), "plain_number", "more.deep"),
        (said({PLAIN: "x"}), "plain_number", "键名"),
        (said({PLAIN: PLAIN}), "plain_number", "键名"),
        (said({"n": int(PLAIN) if PLAIN.isdigit() else PLAIN}), "plain_number", "n"),
        (said(event_id="42"), "schema", "cloudEvents:id"),
        (said(headers={"cloudEvents:type": "no.such.v1"}), "unknown_type", "cloudEvents:type"),
        (
            said(headers={"cloudEvents:type": "public_security.death_revoked.v1"}),
            "unknown_type",
            "cloudEvents:type",
        ),
        (said(user=None), "wrong_sender", "user_id"),
        (said(user="bureau.housing@zhida"), "wrong_sender", "user_id"),
        (said(user="public_security"), "wrong_sender", "user_id"),
        (said(user=None, headers={"x-origin-user": USER}), "wrong_sender", "user_id"),
        (said(user="registry", headers={"x-origin-user": USER}), "wrong_sender", "user_id"),
        (said(key=f"{KEY}.999"), "wrong_division", "division"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(message: amqp.Message, code: str, field: str | None) -> None:
    """Named by code and field, addressed to who said it, and no number goes on from here."""
    given = bytes(message.body)
    refused = read(message)
    assert isinstance(refused, door.Refused)
    assert (refused.code, refused.field) == (code, field)
    assert refused.reason
    assert refused.bureau in ("public_security", "housing")
    shown = json.dumps([refused.reason, refused.event_id, refused.field, refused.type])
    assert PLAIN not in shown
    assert PLAIN.lower() not in shown
    door.forget(message)
    assert bytes(message.body) == b"{}" != given


def test_an_identity_number_as_id_is_not_repeated() -> None:
    """Not even where the bureau put it into the event's id."""
    refused = read(said(event_id=PLAIN))
    assert (refused.code, refused.field) == ("schema", "cloudEvents:id")
    assert refused.event_id == "[number]"


def test_a_refused_message_that_comes_again_has_the_same_id_and_no_others() -> None:
    """So it is refused once, and its corrected successor is let in."""
    bad, good = said({"died_on": None}, event_id="0" * 32), said(event_id="0" * 32)
    first, again = (door.read(bad, TYPES).event_id for _ in range(2))
    assert first == again != door.read(good, TYPES).event_id == uuid.UUID(int=0)


def test_only_a_copy_of_ours_may_name_its_sender_in_a_header() -> None:
    """What waited in a retry queue, or came from the archive, comes by the default exchange."""
    kept = door.vetted(said())
    kept.delivery_info = {"exchange": "", "routing_key": "registry.on_death_registered"}
    delivery = door.read(kept, TYPES)
    assert isinstance(delivery.event, DeathRegistered)
    assert delivery.origin_user == USER


def test_the_archive_gets_no_header_we_did_not_read() -> None:
    """A bureau cannot hand down what the door has not looked at."""
    kept = door.vetted(said(headers={"x-note": PLAIN, "cloudEvents:subject": PLAIN}))
    assert PLAIN not in json.dumps(kept.headers)


def test_every_bureau_may_ask_for_a_replay_under_its_own_name() -> None:
    """One type, said by many; nobody under another's name, nor under the general one."""
    types = (event_type(ReplayRequested),)

    def asked(name: str, user: str) -> Any:
        body = json.dumps({"division": "421083", "from_date": "2026-01-01"}).encode()
        said_as = said(
            body=body,
            headers={"cloudEvents:type": name},
            user=user,
            key=f"{name}.42.10.83",
        )
        return door.read(said_as, types).event

    assert isinstance(asked("housing.replay_requested.v1", "bureau.housing@zhida"), ReplayRequested)
    for name, user in (
        ("housing.replay_requested.v1", USER),
        ("bureau.replay_requested.v1", "bureau.bureau@zhida"),
    ):
        assert asked(name, user).code == "wrong_sender"


def test_a_revocation_names_what_it_revokes() -> None:
    """Its schema is its own."""
    key = "public_security.death_revoked.v1.42.10.83.108.007"
    message = said(headers={"cloudEvents:type": key.rpartition(".42")[0]}, key=key)
    assert door.read(message, (event_type(DeathRevoked),)).event.field == "revokes"  # type: ignore[attr-defined]
