"""The REST API is the contracts, served: one table, typed, with refusals a program can read."""

from __future__ import annotations

import uuid

import pytest
from starlette.testclient import TestClient

from services.contracts.commands.cases import ReadCase, ServeDecision
from services.contracts.commands.funding import ListBatches
from services.contracts.errors import Conflict
from services.portal.api.operations import PERSONAL, Operation, operations
from tests.unit.portal.double import Double

BEARER = {"Authorization": "Bearer token"}
ID = str(uuid.UUID(int=5))


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.path)
def test_every_request_of_the_contracts_has_its_address(
    visitor: TestClient, operation: Operation
) -> None:
    """Nobody writes a route: what stands in the contracts is served, and asks for a token."""
    response = visitor.request(operation.verb, f"/api/v1{operation.path}", json={})
    assert response.status_code in (401, 422), response.text
    assert set(response.json()) == {"code", "reason", "message", "field", "advice"}


def test_a_query_is_answered_with_the_declared_type(visitor: TestClient, services: Double) -> None:
    """The caller's own token goes to the owner of the answer."""
    response = visitor.get("/api/v1/cases/read-case", params={"case_id": ID}, headers=BEARER)
    assert response.status_code == 200
    assert response.json()["case_no"]
    assert services.asked[-1][0] == ReadCase(case_id=uuid.UUID(ID))


def test_a_list_stands_in_an_address_by_repetition(visitor: TestClient, services: Double) -> None:
    """``?states=sent&states=settled`` asks for both."""
    address = "/api/v1/funding/list-batches?month=2026-11&states=sent&states=settled"
    assert visitor.get(address, headers=BEARER).status_code == 200
    assert services.asked[-1][0] == ListBatches(month="2026-11", states=("sent", "settled"))


def test_a_command_needs_a_key_and_passes_it_on(visitor: TestClient, services: Double) -> None:
    """Without Idempotency-Key nothing is asked; with it the service gets the same key."""
    body = {"case_id": ID, "way": "当面送达"}
    refused = visitor.post("/api/v1/cases/serve-decision", json=body, headers=BEARER)
    assert refused.status_code == 422
    assert refused.json()["field"] == "Idempotency-Key"
    assert services.asked == []
    done = visitor.post(
        "/api/v1/cases/serve-decision", json=body, headers={**BEARER, "Idempotency-Key": "k1"}
    )
    assert done.status_code == 200
    assert services.asked == [(ServeDecision(case_id=uuid.UUID(ID), way="当面送达"), "k1")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"way": "当面"}, "case_id"),
        ({"case_id": "x", "way": "当面"}, "case_id"),
        ({"case_id": ID, "way": 5}, "way"),
        ({"case_id": ID, "way": "当面", "extra": 1}, "extra"),
    ],
)
def test_a_wrong_body_names_the_field(
    visitor: TestClient, services: Double, body: dict[str, object], field: str
) -> None:
    """422 with the field's name; the service is not asked."""
    response = visitor.post(
        "/api/v1/cases/serve-decision", json=body, headers={**BEARER, "Idempotency-Key": "k"}
    )
    assert response.status_code == 422
    assert response.json()["field"] == field
    assert services.asked == []


def test_a_body_that_is_not_json_is_refused(visitor: TestClient) -> None:
    """422 with advice, not a fault."""
    response = visitor.post(
        "/api/v1/cases/serve-decision",
        content=b"way=x",
        headers={**BEARER, "Idempotency-Key": "k"},
    )
    assert response.status_code == 422
    assert response.json()["code"] == "invalid"


def test_a_refusal_keeps_its_status_and_words(visitor: TestClient, services: Double) -> None:
    """What the service refuses comes through as it was said."""
    services.refusals[ServeDecision] = Conflict("案件办结", advice="请刷新", reason="wrong_state")
    response = visitor.post(
        "/api/v1/cases/serve-decision",
        json={"case_id": ID, "way": "当面"},
        headers={**BEARER, "Idempotency-Key": "k"},
    )
    assert response.status_code == 409
    assert response.json() == {
        "code": "conflict",
        "reason": "wrong_state",
        "message": "案件办结",
        "field": None,
        "advice": "请刷新",
    }


def test_a_desk_cookie_is_no_token_for_the_api(officer: TestClient) -> None:
    """The API takes bearer tokens only, so no page elsewhere can use a browser's session."""
    assert officer.get("/api/v1/cases/read-desk").status_code == 401


def test_openapi_describes_every_operation(visitor: TestClient) -> None:
    """One document, OpenAPI 3.1, every reference resolved."""
    document = visitor.get("/api/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) >= {operation.path for operation in operations()}
    schemas = document["components"]["schemas"]

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [r for value in node.values() for r in references(value)]
        return [r for value in node for r in references(value)] if isinstance(node, list) else []

    for reference in references(document["paths"]):
        assert reference.rsplit("/", 1)[-1] in schemas


def test_personal_numbers_never_stand_in_an_address() -> None:
    """A query with a personal field is a POST: addresses are kept in logs and histories."""
    for operation in operations():
        if operation.verb == "GET":
            assert not PERSONAL & set(operation.request.__struct_fields__)


def test_files_go_in_and_out(visitor: TestClient) -> None:
    """A file is handed to the service that reads it, and fetched from the one that made it."""
    put = visitor.post(
        "/api/v1/registry/files", params={"name": "花名册.xlsx"}, content=b"PK", headers=BEARER
    )
    assert put.status_code == 201
    got = visitor.get(f"/api/v1/funding/files/{put.json()['file_id']}", headers=BEARER)
    assert got.status_code == 200
    assert got.content == b"%PDF"
    assert visitor.get(f"/api/v1/nowhere/files/{ID}", headers=BEARER).status_code == 404
