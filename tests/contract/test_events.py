"""Event types: every one has an example that reads and writes back, and papers never stale."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from services.contracts import publish
from services.contracts.events import Audience, EventType
from services.contracts.events.base import decode
from services.contracts.evolution import breaking_changes

TYPES = publish.published_types()
RELEASED = sorted((publish.DOCS / "released").glob("*.json"))

each_type = pytest.mark.parametrize("declared", TYPES, ids=lambda declared: declared.name)


@each_type
def test_the_golden_example_reads_and_writes_back(declared: EventType) -> None:
    """Decoding the example and encoding it again gives the same JSON: nothing lost or invented."""
    given = publish.example(declared)
    event = decode(declared.name, json.dumps(given))
    assert json.loads(msgspec.json.encode(event)) == given
    assert set(given) == set(declared.struct.__struct_fields__)


@each_type
def test_the_golden_example_fits_its_schema(declared: EventType) -> None:
    """A bureau that validates with the published JSON Schema accepts what we send."""
    schema = publish.schema(declared)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(publish.example(declared))


@each_type
def test_readers_ignore_what_they_do_not_know(declared: EventType) -> None:
    """A field added later does not trouble a reader of today."""
    given = publish.example(declared) | {"added_later": {"deep": [1]}}
    assert decode(declared.name, json.dumps(given)) == decode(
        declared.name, json.dumps(publish.example(declared))
    )


@each_type
def test_the_routing_key_holds_type_and_division(declared: EventType) -> None:
    """``<entity>.<verb>.v<major>.<division path>``: what a district bureau binds to."""
    event = decode(declared.name, json.dumps(publish.example(declared)))
    key = declared.routing_key(event)
    to = r"\.[a-z_]+" if declared.addressee else ""
    assert re.fullmatch(rf"[a-z_]+\.[a-z_]+\.v\d+{to}(\.\d{{2,3}}){{3,5}}", key), key


@each_type
def test_sealed_fields_show_nothing(declared: EventType) -> None:
    """What travels sealed looks sealed in the example: no digits of a number, no name."""
    given = publish.example(declared)
    for field, receiver in declared.sealed:
        assert receiver in publish.OWNERS
        assert re.fullmatch(r"[A-Za-z0-9+/=_.-]{40,}", given[field]), field


def test_examples_belong_to_types() -> None:
    """No example is left over from a type that is no more."""
    known = {declared.name for declared in TYPES}
    assert {path.stem for path in publish.EXAMPLES.glob("*.json")} == known


def test_the_published_papers_are_never_stale() -> None:
    """``docs/events`` is what ``python -m services.contracts.publish`` writes today."""
    wanted = dict(publish.documents())
    found = {
        str(path.relative_to(publish.DOCS)): path.read_text(encoding="utf-8")
        for path in publish.DOCS.rglob("*")
        if path.is_file() and "released" not in path.parts
    }
    assert found == wanted


def test_the_asyncapi_document_names_every_type_and_refers_to_what_is_there() -> None:
    """Every reference resolves, inside the document and to the schemas beside it."""
    path = publish.DOCS / "asyncapi.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["asyncapi"] == "3.0.0"
    assert set(document["components"]["messages"]) == {declared.name for declared in TYPES}

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                if reference.startswith("#/"):
                    found = document
                    for word in reference[2:].split("/"):
                        found = found[word]
                else:
                    assert (path.parent / reference).is_file(), reference
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)

    check(document)


# -- who may hear what ---------------------------------------------------------------------------

OPEN_FIELDS = {
    "batch_id", "division", "epoch", "failed_fen", "failed_payments", "kind", "month", "name",
    "parent", "payments", "settled_fen", "settled_payments", "total_fen", "valid_from", "valid_to",
    "version",
}  # fmt: skip
"""Figures and the names of divisions; never a person's."""

ADMINISTRATIVE_FIELDS = {
    "accepted_on", "applicant_person_id", "arrived_on", "benefit", "bureau", "case_id", "case_no",
    "child", "closed_on", "code", "division", "due_on", "entitlement_id", "event_id", "field",
    "first_officer_id", "from_month", "household_id", "item", "last_month", "left_on", "outcome",
    "person_id", "person_ids", "registered_on",
}  # fmt: skip
"""Ids, benefit, state, division and dates."""

REFUSALS = "bureau_event.refused.v1"
"""Its ``reason`` is a sentence of our own about the bureau's own event."""

PERSONAL = re.compile(
    r"name|phone|mobile|e_?mail|address|identity|account|bank|income|means|disab|ill|disease"
    r"|diagnos|birth|reason|remark|note|amount|relation|trait|sealed"
)


def _fields(schema: dict[str, Any]) -> set[str]:
    """Every property name at any depth."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.update(value.get("properties", {}))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(schema)
    return found


def _leaks(name: str, privacy: str, fields: set[str]) -> set[str]:
    allowed = OPEN_FIELDS if privacy == "open" else ADMINISTRATIVE_FIELDS
    if name == REFUSALS:
        allowed = allowed | {"reason"}
    return fields - allowed


@each_type
def test_what_bureaus_hear_holds_nothing_personal(declared: EventType) -> None:
    """A field of a bureaus-audience event is on the list of its class, or the test fails."""
    if declared.audience is not Audience.BUREAUS:
        assert declared.exchange() in (f"{declared.producer}.internal", "bureaus.events")
        return
    assert _leaks(declared.name, declared.privacy, _fields(publish.schema(declared))) == set()
    assert not declared.sealed


def test_the_lists_themselves_hold_nothing_personal() -> None:
    """Nobody has put a name, number, illness, income or a free text on the lists."""
    assert [f for f in ADMINISTRATIVE_FIELDS if PERSONAL.search(f)] == []
    assert [f for f in OPEN_FIELDS - {"name"} if PERSONAL.search(f)] == []


@pytest.mark.parametrize("planted", ["name", "phone", "reason", "household_income_fen"])
def test_a_planted_personal_field_is_found(planted: str) -> None:
    """The check above would see a field somebody adds, at any depth."""
    schema = {"properties": {"case_id": {}, "x": {"items": {"properties": {planted: {}}}}}}
    assert planted in _leaks("case.accepted.v1", "administrative", _fields(schema))


# -- what may not change -------------------------------------------------------------------------


def test_something_is_released() -> None:
    """There is a released set to compare with."""
    assert RELEASED


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_no_breaking_change_of_a_released_type(path: Path) -> None:
    """Within a major version: no type or field removed, retyped or newly required."""
    today = {declared.name: publish.schema(declared) for declared in TYPES}
    released = json.loads(path.read_text(encoding="utf-8"))
    found = [f"{name} is gone" for name in released if name not in today]
    for name in released.keys() & today.keys():
        found += [f"{name}: {what}" for what in breaking_changes(released[name], today[name])]
    assert found == []


def _remove(schema: dict[str, Any]) -> None:
    del schema["properties"]["decision_no"]


def _retype(schema: dict[str, Any]) -> None:
    schema["properties"]["decision_no"] = {"type": "integer"}


def _require(schema: dict[str, Any]) -> None:
    schema["properties"]["new"] = {"type": "string"}
    schema["required"].append("new")


def _loosen(schema: dict[str, Any]) -> None:
    schema["required"].remove("decision_no")


def _may_be_null(schema: dict[str, Any]) -> None:
    schema["properties"]["decision_no"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def _reformat(schema: dict[str, Any]) -> None:
    schema["properties"]["decided_on"]["format"] = "date-time"


def _deep(schema: dict[str, Any]) -> None:
    del schema["$defs"]["BenefitGranted"]["properties"]["amount_fen"]


def _audience(schema: dict[str, Any]) -> None:
    schema["x-audience"] = "bureaus"


@pytest.mark.parametrize(
    "change", [_remove, _retype, _require, _loosen, _may_be_null, _reformat, _deep, _audience]
)
def test_a_planted_breaking_change_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    """Each way to break a reader is seen by the gate."""
    released = next(publish.schema(t) for t in TYPES if t.name == "case.decided.v1")
    today = copy.deepcopy(released)
    change(today)
    assert breaking_changes(released, today)


def test_an_optional_field_may_be_added() -> None:
    """The one change that is allowed."""
    released = next(publish.schema(t) for t in TYPES if t.name == "case.decided.v1")
    today = copy.deepcopy(released)
    today["properties"]["new"] = {"type": "string", "default": ""}
    today["$defs"]["BenefitGranted"]["properties"]["new"] = {"type": "integer", "default": 0}
    assert breaking_changes(released, today) == []
