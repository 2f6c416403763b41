"""Where the portal listens and whom it asks. All from the environment."""

from __future__ import annotations

import secrets

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PortalSettings(BaseSettings):
    """``AMQP_URI`` and ``PORTAL_*``."""

    model_config = SettingsConfigDict(env_prefix="PORTAL_", populate_by_name=True)

    amqp_uri: str = Field("amqp://guest:guest@127.0.0.1:5672/", validation_alias="AMQP_URI")
    host: str = "127.0.0.1"
    port: int = 8000
    session_secret: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    """Signs the session cookie. Left unset, sessions end with the process (and replicas differ)."""
    secure_cookies: bool = False
    """Set behind TLS: the cookie is then never sent over plain HTTP."""
    upload_megabytes: int = 64
    """The largest file the desk takes (a roster of 110,000 rows is 11 MB)."""
    hotline: str = "12349"
    """The supervision telephone in the footer."""
    bureau: str = "洪湖市民政局"
    """Whose desk this is."""
