"""The session: who is signed in, kept in one signed cookie and nowhere else.

The cookie is signed, not encrypted, and ``HttpOnly``: it holds the actor token that registry
signed (each service verifies that again), the name and posts to show, a secret for the CSRF token
and the notice to show on the next page.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Literal

import msgspec
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.responses import Response

from services.contracts.actors import Actor, Role

COOKIE = "zhida_session"
SESSION_HOURS = 9
"""A working day at the window. The actor token inside may expire sooner."""


class Session(msgspec.Struct):
    """What the cookie carries. ``actor`` and ``token`` are ``None`` before sign-in."""

    csrf_secret: str
    token: str | None = None
    actor: Actor | None = None
    staff_no: str | None = None
    notice: str | None = None
    view: Literal["normal", "large"] = "normal"
    shortcuts: bool = True

    def has(self, *roles: Role) -> bool:
        """Whether the signed-in person holds one of ``roles``."""
        return self.actor is not None and self.actor.has(*roles)

    def csrf_token(self) -> str:
        """The value every form of this session carries."""
        return hmac.new(self.csrf_secret.encode(), b"csrf", sha256).hexdigest()

    def owns(self, csrf_token: str) -> bool:
        """Whether ``csrf_token`` came from a form of this session (constant time)."""
        return hmac.compare_digest(self.csrf_token(), csrf_token)


def fresh() -> Session:
    """A session of nobody yet."""
    return Session(csrf_secret=secrets.token_urlsafe(24))


class SessionCookie:
    """Reads and writes the session cookie."""

    def __init__(self, secret: str, *, secure: bool) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="zhida-portal-session")
        self._secure = secure

    def read(self, value: str | None) -> Session:
        """The session in ``value``; a fresh one when there is none, or it is forged or old."""
        if not value:
            return fresh()
        try:
            data = self._signer.loads(value, max_age=SESSION_HOURS * 3600)
            return msgspec.convert(data, Session, strict=False)
        except (BadSignature, msgspec.ValidationError):
            return fresh()

    def write(self, response: Response, session: Session) -> None:
        """Set the cookie: ``HttpOnly``, ``SameSite=Lax``, ``Secure`` behind TLS."""
        response.set_cookie(
            COOKIE,
            str(self._signer.dumps(msgspec.to_builtins(session))),
            max_age=SESSION_HOURS * 3600,
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )
