"""What people see of events and logs."""

import json

from services.chassis.redaction import event_body, without_numbers


def test_sealed_fields_are_shown_as_sealed() -> None:
    """A dead letter never shows ciphertext, and keeps what is not sealed."""
    body = json.dumps({"person_id": "p", "phone": "AbCd==", "division": "421083"})
    shown = json.loads(event_body("person.contact_changed.v1", body))
    assert shown == {"person_id": "p", "phone": "[sealed]", "division": "421083"}


def test_plain_numbers_are_withheld_even_where_nothing_can_be_read() -> None:
    """A body that is no JSON, or of an unknown type, shows no identity number."""
    for type_name in (None, "no.such.v1", "public_security.death_registered.v1"):
        assert "421083196103059511" not in event_body(type_name, "{ 421083196103059511")
    plain = json.dumps({"identity_number": 421083196103059511, "division": "421083"})
    assert "421083196103059511" not in event_body("unknown.v1", plain)


def test_short_numbers_stay() -> None:
    """Division codes up to nine digits and amounts stay readable; a phone does not."""
    assert without_numbers("421083100 13871650001 330000") == "421083100 [number] 330000"
