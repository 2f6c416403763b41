"""Settings of one service process, read once from the environment and checked at start.

Names: ``AMQP_URI`` (over TLS: ``amqp_io``); ``<SERVICE>_DATABASE_URL`` (over TLS:
``?sslmode=verify-full&sslrootcert=/path/ca.pem``), ``<SERVICE>_FIELD_KEYS``,
``<SERVICE>_INDEX_KEY``, ``<SERVICE>_AUDIT_KEYS``; ``TRANSIT_KEYS``; ``ACTOR_PUBLIC_KEYS`` (and,
for registry alone, ``ACTOR_SIGNING_KEY``); ``ZHIDA_MODE``; ``HEALTH_ADDRESS``;
``EVENT_RETRY_STEPS``; ``BUREAU_EVENTS_PER_SECOND`` (taken from one queue of a bureau's);
``ZHIDA_BUREAUS`` (their file).
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.contracts.divisions import county

Mode = Literal["production", "demo", "test"]


REFUSED = 3
"""Exit code of a process that did not start: a setting is missing or wrong, or the schema is."""


class SettingsError(RuntimeError):
    """A setting is missing or malformed; the process does not start."""


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise SettingsError(f"environment variable {name} is not set")
    return value


class Keys(dict[int, bytes]):
    """Keys by their numbers: all of them open, ``current`` closes."""

    current: int


def parse_keys(text: str) -> Keys:
    """Keys as ``<id>:<base64>`` separated by commas; the highest id is the one in use.

    One written ``~<id>:…`` waits: it opens, but does not close yet (see ``key_rings``).
    """
    keys = Keys()
    for part in filter(None, text.split(",")):
        number, _, encoded = part.removeprefix("~").partition(":")
        keys[int(number)] = base64.b64decode(encoded)
        if not part.startswith("~"):
            keys.current = max(int(number), getattr(keys, "current", 0))
    if not hasattr(keys, "current") or any(
        not 0 < number < 256 or len(key) != 32 for number, key in keys.items()
    ):
        raise SettingsError("keys must be <1..255>:<base64 of 32 bytes>, separated by commas")
    return keys


@dataclass(frozen=True)
class RetryStep:
    """One wait between two attempts at an event; ``name`` is part of its queue's name."""

    name: str
    seconds: float


NEXT_INDEX_KEY = "{}_INDEX_KEY_NEXT"
"""The variable of a key that is to take the place of a service's index key (``reindexing``)."""

RETRY_STEPS = "1s,10s,1m,10m,1h"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_steps(text: str) -> tuple[RetryStep, ...]:
    """Waits as ``<number><ms|s|m|h>`` separated by commas."""
    steps = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(ms|s|m|h)", part.strip())
        if found is None:
            raise SettingsError("EVENT_RETRY_STEPS must look like 1s,10s,1m,10m,1h")
        steps.append(RetryStep(found[0], int(found[1]) * _UNITS[found[2]]))
    return tuple(steps)


@dataclass(frozen=True)
class Settings:
    """What a service process needs to know. Secrets never appear in ``repr``."""

    service: str
    amqp_uri: str = field(repr=False)
    database_url: str = field(repr=False)
    field_keys: dict[int, bytes] = field(repr=False)
    index_key: bytes = field(repr=False)
    transit_keys: dict[tuple[str, str], dict[int, bytes]] = field(repr=False)
    actor_public_keys: str = field(repr=False)
    audit_keys: dict[int, bytes] = field(repr=False)
    mode: Mode = "production"
    county: str = "421083"
    health_address: str = "127.0.0.1:0"
    epoch: int = 0
    max_workers: int = 40
    archive_max_bytes: int = 20_000_000_000
    retry_steps: tuple[RetryStep, ...] = parse_steps(RETRY_STEPS)
    topology_check_s: float = 10.0
    audit_anchor_s: float = 3600.0
    bureau_events_per_second: float = 200.0
    bureaus_file: Path | None = None

    @classmethod
    def from_env(cls, service: str) -> Settings:
        """Read the settings of ``service``. Raises ``SettingsError`` naming what is wrong."""
        prefix = service.upper()
        if os.environ.get(NEXT_INDEX_KEY.format(prefix)):
            raise SettingsError(
                f"{NEXT_INDEX_KEY.format(prefix)} is set: a change of the index key was begun and "
                "not finished; run `zhida keys rotate index` again"
            )
        mode = os.environ.get("ZHIDA_MODE", "production")
        if mode not in ("production", "demo", "test"):
            raise SettingsError("ZHIDA_MODE must be production, demo or test")
        transit: dict[tuple[str, str], dict[int, bytes]] = {}
        if mode == "production" and "TRANSIT_KEYS" not in os.environ:  # empty: it seals nothing
            raise SettingsError("environment variable TRANSIT_KEYS is not set")
        for part in filter(None, os.environ.get("TRANSIT_KEYS", "").split(";")):
            pair, _, keys = part.partition("=")
            sender, _, receiver = pair.partition(">")
            transit[sender, receiver] = parse_keys(keys)
        return cls(
            service=service,
            amqp_uri=_required("AMQP_URI"),
            database_url=_required(f"{prefix}_DATABASE_URL"),
            field_keys=parse_keys(_required(f"{prefix}_FIELD_KEYS")),
            index_key=base64.b64decode(_required(f"{prefix}_INDEX_KEY")),
            transit_keys=transit,
            actor_public_keys=_required("ACTOR_PUBLIC_KEYS"),
            audit_keys=parse_keys(_required(f"{prefix}_AUDIT_KEYS")),
            mode=mode,  # type: ignore[arg-type]
            county=county(os.environ.get("ZHIDA_COUNTY", "421083")),
            health_address=os.environ.get("HEALTH_ADDRESS", "127.0.0.1:0"),
            epoch=int(os.environ.get(f"{prefix}_EPOCH", "0")),
            max_workers=int(os.environ.get("MAX_WORKERS", "40")),
            archive_max_bytes=int(os.environ.get("ARCHIVE_MAX_BYTES", "20000000000")),
            retry_steps=parse_steps(os.environ.get("EVENT_RETRY_STEPS", RETRY_STEPS)),
            topology_check_s=float(os.environ.get("TOPOLOGY_CHECK_S", "10")),
            audit_anchor_s=float(os.environ.get("AUDIT_ANCHOR_S", "3600")),
            bureau_events_per_second=float(os.environ.get("BUREAU_EVENTS_PER_SECOND", "200")),
            bureaus_file=Path(file) if (file := os.environ.get("ZHIDA_BUREAUS")) else None,
        )
