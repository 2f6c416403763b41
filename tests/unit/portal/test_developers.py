"""The event catalogue: whole, for anybody, and nothing of the services' own language."""

from __future__ import annotations

import html

import jsonschema
import pytest
from starlette.testclient import TestClient

from services.contracts import publish
from services.contracts.events import Audience

SHOWN = [t for t in publish.published_types() if t.audience in (Audience.BUREAUS, Audience.INBOUND)]
HIDDEN = [t for t in publish.published_types() if t.audience is Audience.INTERNAL]


def test_the_catalogue_lists_what_bureaus_may_hear_and_say(visitor: TestClient) -> None:
    """Without signing in; with the retry table that the services use; nothing internal."""
    page = visitor.get("/dev/events")
    assert page.status_code == 200
    for declared in SHOWN:
        assert f"/dev/events/{declared.name}" in page.text
    for declared in HIDDEN:
        assert declared.name not in page.text
    for step in ("1s", "10s", "1m", "10m", "1h"):
        assert f".retry.{step}" in page.text


@pytest.mark.parametrize("declared", SHOWN, ids=lambda declared: declared.name)
def test_each_event_has_its_page_and_schema(visitor: TestClient, declared: object) -> None:
    """Every field with its example, every header; the schema fits it."""
    assert isinstance(declared, publish.EventType)
    page = html.unescape(visitor.get(f"/dev/events/{declared.name}").text)
    example = publish.example(declared)
    for field, value in example.items():
        assert f"<code>{field}</code>" in page
        if isinstance(value, str):
            assert value in page
    assert declared.exchange() in page
    told = {"user_id"} if declared.audience is Audience.INBOUND else {"cloudEvents:sequence"}
    for header in {"cloudEvents:id", "cloudEvents:type", "cloudEvents:time"} | told:
        assert f"<code>{header}</code>" in page
    schema = visitor.get(f"/dev/events/schemas/{declared.name}.json").json()
    jsonschema.Draft202012Validator(schema).validate(example)


def test_the_inside_is_not_shown(visitor: TestClient) -> None:
    """Neither by page nor by schema nor in the document for programs."""
    for declared in HIDDEN:
        assert visitor.get(f"/dev/events/{declared.name}").status_code == 404
        assert visitor.get(f"/dev/events/schemas/{declared.name}.json").status_code == 404
    document = visitor.get("/dev/events/asyncapi.json").json()
    assert set(document["components"]["messages"]) == {declared.name for declared in SHOWN}
