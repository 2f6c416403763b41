"""Makes a fresh set of keys for an installation, as environment variables.

Every service gets its own field, index and audit keys; each pair that exchanges sealed fields
shares a transit key; registry holds the keys that sign actor tokens and open bureaus' identity
numbers.
"""

from __future__ import annotations

import base64
import json
import os

from joserfc.jwk import ECKey

from services.chassis.actors import new_signing_key, public_keys
from services.chassis.discovery import NAMES
from services.contracts.events import event_types

SIGNING = "ACTOR_SIGNING_KEY"
BUREAU_PRIVATE = "BUREAU_PRIVATE_KEY"
ONLY_REGISTRY = (SIGNING, BUREAU_PRIVATE)


def _key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def transit_pairs() -> list[tuple[str, str]]:
    """(sender, receiver) pairs that exchange sealed fields, from the contracts."""
    return sorted(
        {
            (declared.producer, receiver)
            for declared in event_types()
            for _, receiver in declared.sealed
            if declared.producer in NAMES
        }
    )


def generate() -> dict[str, str]:
    """New keys. Keep them outside the databases; lose them and the sealed columns are lost."""
    signing = new_signing_key()
    bureau = ECKey.generate_key("P-256", auto_kid=True)
    keys = {
        SIGNING: signing,
        "ACTOR_PUBLIC_KEYS": public_keys(signing),
        BUREAU_PRIVATE: json.dumps(bureau.as_dict(private=True)),
        "BUREAU_PUBLIC_KEY": json.dumps(bureau.as_dict(private=False)),
        "PORTAL_SESSION_SECRET": _key(),
        "TRANSIT_KEYS": ";".join(f"{a}>{b}=1:{_key()}" for a, b in transit_pairs()),
    }
    for name in NAMES:
        keys[f"{name.upper()}_FIELD_KEYS"] = f"1:{_key()}"
        keys[f"{name.upper()}_INDEX_KEY"] = _key()
        keys[f"{name.upper()}_AUDIT_KEYS"] = f"1:{_key()}"
    return keys


def visible_to(service: str, keys: dict[str, str]) -> dict[str, str]:
    """The part of the keys that ``service`` may hold (``portal`` is one of them)."""
    own = {"ACTOR_PUBLIC_KEYS"} | {
        f"{service.upper()}_{kind}"
        for kind in ("FIELD_KEYS", "INDEX_KEY", "INDEX_KEY_NEXT", "AUDIT_KEYS")
    }
    if service == "registry":
        own |= {*ONLY_REGISTRY, "BUREAU_PUBLIC_KEY"}
    if service == "portal":
        own = {"PORTAL_SESSION_SECRET"}
    chosen = {name: value for name, value in keys.items() if name in own}
    if service != "portal":
        chosen["TRANSIT_KEYS"] = ";".join(
            part
            for part in keys["TRANSIT_KEYS"].split(";")
            if service in part.split("=", 1)[0].split(">")
        )
    return chosen
