"""Where the portal listens and whom it asks. All from the environment."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field

from services.chassis.settings import SettingsError


def _passing_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class PortalSettings:
    """``AMQP_URI``, and ``PORTAL_*`` for the rest."""

    amqp_uri: str = field(default="amqp://guest:guest@127.0.0.1:5672/", repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    metrics_address: str = ""
    """``host:port`` where Prometheus reads, beside the public port; unset: nowhere."""
    session_secret: str = field(default_factory=_passing_secret, repr=False)
    """Signs the session cookie. Left unset, sessions end with the process (and replicas differ)."""
    secure_cookies: bool = False
    """Set behind TLS: the cookie is then never sent over plain HTTP."""
    upload_megabytes: int = 64
    """The largest file the desk takes (a roster of 110,000 rows is 11 MB)."""
    hotline: str = "12349"
    """The supervision telephone in the footer."""
    bureau: str = "洪湖市民政局"
    """Whose desk this is."""

    @classmethod
    def from_env(cls) -> PortalSettings:
        """Read the environment; what is not set keeps its default.

        Behind TLS (``PORTAL_SECURE_COOKIES``) it is an installation with replicas: the broker's
        address and the session secret must then be given. Raises ``SettingsError``.
        """
        env = os.environ
        secure = env.get("PORTAL_SECURE_COOKIES", "") not in ("", "0", "false")
        for name in ("AMQP_URI", "PORTAL_SESSION_SECRET"):
            if secure and not env.get(name):
                raise SettingsError(f"environment variable {name} is not set")
        return cls(
            amqp_uri=env.get("AMQP_URI", cls.amqp_uri),
            host=env.get("PORTAL_HOST", cls.host),
            port=int(env.get("PORTAL_PORT", cls.port)),
            metrics_address=env.get("PORTAL_METRICS_ADDRESS", cls.metrics_address),
            session_secret=env.get("PORTAL_SESSION_SECRET") or _passing_secret(),
            secure_cookies=secure,
            upload_megabytes=int(env.get("PORTAL_UPLOAD_MEGABYTES", cls.upload_megabytes)),
            hotline=env.get("PORTAL_HOTLINE", cls.hotline),
            bureau=env.get("PORTAL_BUREAU", cls.bureau),
        )
