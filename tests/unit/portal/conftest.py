"""The portal in memory, with a stand-in for the services, and a browser that keeps cookies."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from starlette.responses import Response

from services.contracts.actors import Actor, Role
from services.portal.app import create_app
from services.portal.sessions import COOKIE, SessionCookie, fresh
from services.portal.settings import PortalSettings
from tests.unit.portal.double import Double

with warnings.catch_warnings():
    # starlette asks for httpx2 in the place of httpx; httpx is what this project has.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SECRET = "unit-test"


@pytest.fixture
def services() -> Double:
    """The stand-in."""
    return Double()


@pytest.fixture
def visitor(services: Double) -> Iterator[TestClient]:
    """A browser that is not signed in."""
    app = create_app(services, PortalSettings(session_secret=SECRET))
    with TestClient(app, follow_redirects=False, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def officer(visitor: TestClient) -> TestClient:
    """The same browser, signed in with every post, so that every room is open."""
    session = fresh()
    session.token = "token"
    session.actor = Actor(
        id="01890000-0000-7000-8000-000000000001",
        name="李建国",
        roles=tuple(role for role in Role if role is not Role.SERVICE),
        divisions=("421083",),
    )
    response = Response()
    SessionCookie(SECRET, secure=False).write(response, session)
    value = response.headers["set-cookie"].split(";")[0].split("=", 1)[1].strip('"')
    visitor.cookies.set(COOKIE, value)
    return visitor
