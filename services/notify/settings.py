"""Where notify sends: the mail server and the SMS gateway's mail form, from the environment.

``NOTIFY_SMTP_URL``: ``smtp://[user:password@]host:port``, ``smtps://…``, or ``smtp+starttls://…``.
``NOTIFY_SMS_MAIL_FORM``: how a phone is addressed, e.g. ``{number}@sms.example.cn``.
``NOTIFY_MAIL_FROM``: the sender. ``NOTIFY_QUIET_HOURS``: ``on`` or, outside production, ``off``.

Outside production they may be missing: then the local stack's mailbox is meant, and since a demo is
shown at any hour, there are no quiet hours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from services.chassis.settings import Mode, SettingsError
from services.notify.domain.routing import MAIL, MailForm

OUTSIDE_PRODUCTION = {
    "NOTIFY_SMTP_URL": "smtp://127.0.0.1:2525",
    "NOTIFY_SMS_MAIL_FORM": "{number}@sms.zhida.example",
    "NOTIFY_MAIL_FROM": "zhida@civil.zhida.example",
    "NOTIFY_QUIET_HOURS": "off",
}
PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


@dataclass(frozen=True)
class GatewaySettings:
    """How the mail server is reached and addressed."""

    host: str
    port: int
    scheme: str
    user: str | None
    password: str | None = field(repr=False)
    sender: str
    form: MailForm
    quiet_hours: bool = True

    @classmethod
    def from_env(cls, mode: Mode) -> GatewaySettings:
        """Read the settings. Raises ``SettingsError`` naming what is wrong."""
        given = {} if mode == "production" else OUTSIDE_PRODUCTION
        given = {**given, **os.environ}
        url = urlsplit(given.get("NOTIFY_SMTP_URL", ""))
        if url.scheme not in PORTS or not url.hostname:
            raise SettingsError("NOTIFY_SMTP_URL must be smtp://, smtps:// or smtp+starttls:// URL")
        form = MailForm(given.get("NOTIFY_SMS_MAIL_FORM", ""))
        if form.pattern.count("{number}") != 1 or not MAIL.fullmatch(form.address("13800138000")):
            raise SettingsError("NOTIFY_SMS_MAIL_FORM must be an address with {number} in it")
        sender = given.get("NOTIFY_MAIL_FROM", "")
        if not MAIL.fullmatch(sender):
            raise SettingsError("NOTIFY_MAIL_FROM must be a mail address")
        quiet = given.get("NOTIFY_QUIET_HOURS", "on")
        if quiet not in ("on", "off") or (quiet == "off" and mode == "production"):
            raise SettingsError("NOTIFY_QUIET_HOURS must be on (off only in demo and test mode)")
        return cls(
            host=url.hostname,
            port=url.port or PORTS[url.scheme],
            scheme=url.scheme,
            user=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            sender=sender,
            form=form,
            quiet_hours=quiet == "on",
        )
