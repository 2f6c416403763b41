"""What the portal takes in: bounded, JSON where JSON is meant, and headers on everything."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from starlette.responses import Response
from starlette.testclient import TestClient

from services.contracts.requests import Command
from services.portal.app import create_app
from services.portal.bounds import FORM_BYTES
from services.portal.headers import ALWAYS, CONTENT_SECURITY_POLICY
from services.portal.observed import metrics_shown
from services.portal.settings import PortalSettings
from tests.unit.portal.double import Double

JSON = {"Content-Type": "application/json"}


def chunks(size: int) -> Iterator[bytes]:
    """A body whose length nobody declared."""
    for _ in range(size // 65536 + 1):
        yield b"x" * 65536


def test_a_long_body_is_refused_declared_or_not(visitor: TestClient, services: Double) -> None:
    """Neither the form nor the API reads more than it needs; nothing reaches a service."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for address, kind in (("/sign-in", form), ("/api/v1/registry/sign-in", JSON)):
        declared = visitor.post(address, content=b"x" * (FORM_BYTES + 1), headers=kind)
        streamed = visitor.post(address, content=chunks(FORM_BYTES), headers=kind)
        for answer in (declared, streamed):
            assert answer.status_code == 413, answer.text
            assert answer.json()["code"] == "too_large"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert services.asked == []


def test_metrics_are_shown_apart_from_the_pages(visitor: TestClient) -> None:
    """Not where the public comes, but on a port of their own."""
    assert visitor.get("/metrics").status_code == 404
    with metrics_shown("127.0.0.1:0") as port:
        page = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert "zhida_portal_request_seconds_count" in page.text


def test_a_length_that_is_no_number_is_refused(visitor: TestClient) -> None:
    """It is not guessed at."""
    headers = JSON | {"Content-Length": "-5"}
    assert visitor.post("/sign-in", content=b"x", headers=headers).status_code == 413


def test_the_api_takes_json_and_nothing_else(visitor: TestClient, services: Double) -> None:
    """A form of another site can send text or form fields, never JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/x-pickle"):
        answer = visitor.post(
            "/api/v1/registry/sign-in",
            content=b'{"account": "a", "password": "b"}',
            headers={"Content-Type": kind},
        )
        assert answer.status_code == 422, (kind, answer.text)
    assert services.asked == []


def test_a_form_without_the_sessions_token_does_nothing(
    officer: TestClient, services: Double
) -> None:
    """Every room that takes a form: without the CSRF token, and with another session's."""
    from services.portal.rooms import ROOMS

    posts = sorted(
        {
            route.path
            for room in ROOMS
            for route in room.routes
            if "POST" in getattr(route, "methods", ())
        }
    )
    assert len(posts) > 10
    some_id = "01890000-0000-7000-8000-000000000001"
    for path in posts:
        address = path
        while "{" in address:
            before, _, rest = address.partition("{")
            address = before + some_id + rest.partition("}")[2]
        for fields in ({}, {"csrf": "0" * 64}):
            answer = officer.post(address, data=fields)
            assert answer.status_code == 403, (path, answer.status_code)
    assert not [asked for asked, _ in services.asked if isinstance(asked, Command)]


def test_every_answer_carries_the_headers(visitor: TestClient) -> None:
    """Pages, refusals, the API and static files; HSTS only behind TLS."""
    for address in ("/help", "/nowhere", "/api/v1/nowhere", "/static/desk.css"):
        answer = visitor.get(address)
        for name, value in ALWAYS.items():
            assert answer.headers[name] == value, (address, name)
        assert "Strict-Transport-Security" not in answer.headers
    behind = create_app(Double(), PortalSettings(session_secret="s", secure_cookies=True))
    with TestClient(behind) as client:
        page: Response = client.get("/help")  # type: ignore[assignment]
        assert page.headers["Strict-Transport-Security"].startswith("max-age=31536000")


def test_the_policy_allows_no_inline_and_no_foreign_code() -> None:
    """Strict: no unsafe word, nothing from elsewhere, no framing, no other form target."""
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    for directive in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"):
        assert directive in CONTENT_SECURITY_POLICY
