"""Keys with overlap: how a new key comes into use, and an old one goes, while everything runs.

A ring is written ``1:<base64>,~2:<base64>``. All its keys open; the highest without ``~`` closes.
So a new key is first *added* in waiting and told to every process, then *activated* and told again,
and the old ones are *retired* when nothing closed with them is left. At no step does any process
meet what it cannot open, whichever of its neighbours was told already.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joserfc.jwk import KeySet, OKPKey

from services.chassis.actors import new_signing_key
from services.chassis.discovery import NAMES
from services.chassis.settings import NEXT_INDEX_KEY, SettingsError

WAITING = "~"
TRANSIT = "TRANSIT_KEYS"
SIGNING, NEXT_SIGNING = "ACTOR_SIGNING_KEY", "ACTOR_SIGNING_KEY_NEXT"
PUBLIC = "ACTOR_PUBLIC_KEYS"


def add(ring: str) -> str:
    """The ring with a fresh key in waiting. Unchanged when one waits already."""
    parts = ring.split(",")
    if any(part.startswith(WAITING) for part in parts):
        return ring
    number = max(_number(part) for part in parts) + 1
    if number > 255:
        raise SettingsError("this ring has used all its 255 numbers")
    return f"{ring},{WAITING}{number}:{base64.b64encode(os.urandom(32)).decode()}"


def activate(ring: str) -> str:
    """The ring with its waiting key in use."""
    return ",".join(part.removeprefix(WAITING) for part in ring.split(","))


def retire(ring: str) -> str:
    """The ring with the key in use, and one in waiting, and no older ones."""
    parts = ring.split(",")
    current = max(_number(part) for part in parts if not part.startswith(WAITING))
    return ",".join(part for part in parts if _number(part) >= current)


def begin_index(service: str, keys: dict[str, str]) -> dict[str, str]:
    """A next index key beside the one in use; that of an attempt that was cut short stays."""
    fresh = base64.b64encode(os.urandom(32)).decode()
    return {NEXT_INDEX_KEY.format(service.upper()): fresh, **keys}


def end_index(service: str, keys: dict[str, str], *, taken: bool) -> dict[str, str]:
    """The next index key in use, or given up."""
    name, following = f"{service.upper()}_INDEX_KEY", NEXT_INDEX_KEY.format(service.upper())
    left = {each: value for each, value in keys.items() if each != following}
    return {**left, name: keys[following]} if taken else left


def in_every_pair(transit: str, step: Callable[[str], str]) -> str:
    """A step taken in each ``sender>receiver=ring`` of ``TRANSIT_KEYS``."""
    pairs = (part.partition("=") for part in transit.split(";") if part)
    return ";".join(f"{pair}={step(ring)}" for pair, _, ring in pairs)


def add_signer(keys: dict[str, str]) -> dict[str, str]:
    """A fresh signing key for actor tokens: all may verify with it, none is signed yet."""
    if NEXT_SIGNING in keys:
        return keys
    fresh = new_signing_key()
    known = json.loads(keys[PUBLIC])["keys"]
    added = OKPKey.import_key(json.loads(fresh)).as_dict(private=False)
    return {**keys, NEXT_SIGNING: fresh, PUBLIC: json.dumps({"keys": [*known, added]})}


def activate_signer(keys: dict[str, str]) -> dict[str, str]:
    """Registry signs with the key that was added."""
    if NEXT_SIGNING not in keys:
        return keys
    return {name: value for name, value in keys.items() if name != NEXT_SIGNING} | {
        SIGNING: keys[NEXT_SIGNING]
    }


def retire_signer(keys: dict[str, str]) -> dict[str, str]:
    """Tokens of older keys are good no more: to be done when those in use have expired."""
    signing = OKPKey.import_key(json.loads(keys[SIGNING])).kid
    in_use = {signing}
    if NEXT_SIGNING in keys:
        in_use.add(OKPKey.import_key(json.loads(keys[NEXT_SIGNING])).kid)
    ring = KeySet.import_key_set(json.loads(keys[PUBLIC]))
    left = [key.as_dict(private=False) for key in ring.keys if key.kid in in_use]
    return {**keys, PUBLIC: json.dumps({"keys": left})}


@dataclass(frozen=True)
class Rotation:
    """How one kind of key is rotated.

    ``holders`` are started anew after each step; ``retire_after`` says when the old keys may go.
    """

    names: tuple[str, ...]
    holders: tuple[str, ...]
    retire_after: str


def rotation(kind: str, services: Sequence[str]) -> Rotation:
    """The rotation of ``fields`` or ``audit`` keys of services, ``transit`` or ``actor`` keys."""
    if kind in ("fields", "audit"):
        suffix = "FIELD_KEYS" if kind == "fields" else "AUDIT_KEYS"
        return Rotation(
            tuple(f"{name.upper()}_{suffix}" for name in services),
            tuple(services),
            "重新加密完成之后" if kind == "fields" else "从不：旧封印要用旧密钥核对",
        )
    if kind == "transit":
        return Rotation((TRANSIT,), NAMES, "事件存档期满（400 天）之后")
    if kind == "actor":
        return Rotation((PUBLIC, SIGNING), NAMES, "旧令牌全部过期（8 小时）之后")
    raise LookupError(kind)


def step(kind: str, services: Sequence[str], name: str, keys: dict[str, str]) -> dict[str, str]:
    """``keys`` after the step ``add``, ``activate`` or ``retire``."""
    if kind == "actor":
        of_signer = {"add": add_signer, "activate": activate_signer, "retire": retire_signer}
        return of_signer[name](keys)
    of_ring = {"add": add, "activate": activate, "retire": retire}[name]
    changed = {}
    for variable in rotation(kind, services).names:
        if kind == "transit":
            changed[variable] = in_every_pair(keys[variable], of_ring)
        else:
            changed[variable] = of_ring(keys[variable])
    return {**keys, **changed}


def _number(part: str) -> int:
    return int(part.removeprefix(WAITING).partition(":")[0])
