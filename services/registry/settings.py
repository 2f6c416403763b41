"""What registry alone needs to know: the keys that sign actor tokens and open bureaus' numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache

from services.chassis.keys import BUREAU_PRIVATE, SIGNING
from services.chassis.settings import SettingsError


@dataclass(frozen=True)
class RegistrySettings:
    """``ACTOR_SIGNING_KEY`` and ``BUREAU_PRIVATE_KEY``: JWK as JSON, held by no other service."""

    signing_key: str = field(repr=False)
    bureau_key: str = field(repr=False)

    @classmethod
    def from_env(cls) -> RegistrySettings:
        """Read the settings. Raises ``SettingsError`` naming what is missing."""
        values = [os.environ.get(name, "") for name in (SIGNING, BUREAU_PRIVATE)]
        if not all(values):
            raise SettingsError(f"{SIGNING} and {BUREAU_PRIVATE} must be set for registry")
        return cls(*values)


@cache
def registry_settings() -> RegistrySettings:
    """The settings of this process."""
    return RegistrySettings.from_env()
