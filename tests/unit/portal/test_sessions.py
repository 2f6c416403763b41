"""The session cookie is signed and its forms carry its own token."""

from __future__ import annotations

from starlette.responses import Response

from services.contracts.actors import Actor, Role
from services.portal.sessions import SessionCookie, fresh


def written(cookie: SessionCookie, token: str) -> tuple[str, str]:
    """The cookie's value and its whole header."""
    session = fresh()
    session.token = token
    session.actor = Actor(id="1", name="王芳", roles=(Role.TOWN_CLERK,), divisions=("421083108",))
    response = Response()
    cookie.write(response, session)
    header = response.headers["set-cookie"]
    return header.split(";")[0].split("=", 1)[1].strip('"'), header


def test_what_is_written_reads_back() -> None:
    """Token, name and posts survive the browser."""
    cookie = SessionCookie("secret", secure=True)
    value, header = written(cookie, "t")
    session = cookie.read(value)
    assert session.token == "t"
    assert session.actor is not None and session.actor.has(Role.TOWN_CLERK)
    assert "HttpOnly" in header and "SameSite=lax" in header and "Secure" in header


def test_a_forged_cookie_is_nobody() -> None:
    """A changed byte, or another portal's secret, signs nobody in."""
    value, _ = written(SessionCookie("secret", secure=False), "t")
    assert SessionCookie("other", secure=False).read(value).token is None
    flipped = ("B" if value[5] != "B" else "C").join((value[:5], value[6:]))
    assert SessionCookie("secret", secure=False).read(flipped).token is None


def test_a_form_of_another_session_is_not_ours() -> None:
    """The CSRF token of one session does not open another."""
    ours, theirs = fresh(), fresh()
    assert ours.owns(ours.csrf_token())
    assert not ours.owns(theirs.csrf_token())
    assert not ours.owns("")
