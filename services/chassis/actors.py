"""Actor tokens: short-lived, signed by registry (Ed25519), verified by every service."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from services.contracts.actors import Actor, Role
from services.contracts.errors import Unauthenticated

LIFETIME_S = 8 * 3600
"""A working day; a new sign-in after that."""

REMEMBERED = 4096
"""Tokens whose signature a process remembers to have checked: a city's staff on one day."""


def new_signing_key() -> str:
    """A fresh Ed25519 key pair as JWK JSON (with the private part)."""
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    return json.dumps(key.as_dict(private=True))


def public_keys(signing_key: str) -> str:
    """The JWKS that verifies what ``signing_key`` signs."""
    key = OKPKey.import_key(json.loads(signing_key))
    return json.dumps({"keys": [key.as_dict(private=False)]})


class ActorSigner:
    """Makes tokens. Only registry holds the key."""

    def __init__(self, signing_key: str) -> None:
        self._key = OKPKey.import_key(json.loads(signing_key))

    def token(self, actor: Actor, *, lifetime_s: int = LIFETIME_S) -> str:
        """A token for ``actor``, valid from now (machine time)."""
        now = int(time.time())
        claims = {
            "sub": actor.id,
            "name": actor.name,
            "roles": [str(role) for role in actor.roles],
            "divisions": list(actor.divisions),
            "iat": now,
            "exp": now + lifetime_s,
        }
        header = {"alg": "Ed25519", "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=["Ed25519"])


class ActorVerifier:
    """Checks tokens against registry's public keys."""

    def __init__(self, jwks: str) -> None:
        self._keys = KeySet.import_key_set(json.loads(jwks))
        self._claims = functools.lru_cache(REMEMBERED)(self._read)

    def actor(self, token: str, *, purpose: str | None = None) -> Actor:
        """The actor a token stands for. Raises ``Unauthenticated``."""
        try:
            claims = self._claims(token)
            # When it was issued is not judged: where the clock is slow nobody could sign in.
            end = {name: value for name, value in claims.items() if name == "exp"}
            jwt.JWTClaimsRegistry(exp={"essential": True}).validate(end)
            return Actor(
                id=claims["sub"],
                name=claims["name"],
                roles=tuple(Role(role) for role in claims["roles"]),
                divisions=tuple(claims["divisions"]),
                purpose=purpose,
            )
        except (JoseError, ValueError, KeyError) as error:
            raise Unauthenticated("登录已失效", advice="请重新登录") from error

    def _read(self, token: str) -> dict[str, Any]:
        """What a token claims, its signature checked; not whether it has run out."""
        return jwt.decode(token, self._keys, algorithms=["Ed25519"]).claims
