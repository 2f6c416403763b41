"""The mail server: one connection over which many messages go, each answered on its own."""

from __future__ import annotations

import base64
import smtplib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime
from functools import cache
from types import TracebackType
from typing import Self
from uuid import UUID

from services.notify.domain.message import Outcome
from services.notify.settings import GatewaySettings

TIMEOUT_S = 10
"""Seconds without an answer after which the server counts as gone."""

OK = 250
CLOSING = 421


class GatewayError(Exception):
    """The mail server cannot be reached or does not let us in; nothing was sent."""


@dataclass(frozen=True)
class Envelope:
    """What is sent: one attempt at one message."""

    message_id: UUID
    attempt: int
    address: str
    subject: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What came of it: the outcome and the server's own words, without any address."""

    outcome: Outcome
    words: str = ""


class Line:
    """An open connection to the mail server; `broken` once the server has hung up."""

    def __init__(self, settings: GatewaySettings, timeout_s: float = TIMEOUT_S) -> None:
        self._settings = settings
        self._domain = settings.sender.rpartition("@")[2]
        self.broken = False
        try:
            self._smtp = self._connect(timeout_s)
        except (OSError, smtplib.SMTPException) as error:
            raise GatewayError(f"{settings.host}:{settings.port}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self.broken:
                self._smtp.quit()
        except (OSError, smtplib.SMTPException):
            pass
        finally:
            self._smtp.close()

    def send(self, envelope: Envelope) -> Answer:
        """Send one message and say what came of it; never raises for what the server does.

        Message-ID is the message's own id in every attempt, so a gateway (or a person reading the
        mailbox) can tell a repeated message from a second one.
        """
        if self.broken:
            return Answer(Outcome.NOT_TRIED)
        body = self._compose(envelope)
        try:
            code, words = self._smtp.mail(self._settings.sender)
            if code != OK:  # it refuses us, not the reader: never for good
                return self._refused(code, words, envelope, for_good=False)
            code, words = self._smtp.rcpt(envelope.address)
            if code != OK:
                return self._refused(code, words, envelope)
        except (OSError, smtplib.SMTPException):
            self.broken = True
            return Answer(Outcome.DEFERRED, "connection lost before the text was sent")
        try:
            code, words = self._smtp.data(body)
        except smtplib.SMTPDataError as error:
            return self._refused(error.smtp_code, error.smtp_error, envelope)
        except (OSError, smtplib.SMTPException):
            self.broken = True
            return Answer(Outcome.UNKNOWN, "connection lost while the text was under way")
        if code != OK:
            return self._refused(code, words, envelope)
        return Answer(Outcome.ACCEPTED, self._plain(words, envelope))

    def _connect(self, timeout_s: float) -> smtplib.SMTP:
        settings = self._settings
        if settings.scheme == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host,
                settings.port,
                local_hostname=self._domain,
                timeout=timeout_s,
                context=ssl.create_default_context(),
            )
        else:
            smtp = smtplib.SMTP(
                settings.host, settings.port, local_hostname=self._domain, timeout=timeout_s
            )
        try:
            if settings.scheme == "smtp+starttls":
                smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo_or_helo_if_needed()
            if settings.user and settings.password:
                smtp.login(settings.user, settings.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _compose(self, envelope: Envelope) -> bytes:
        """The mail as it goes over the line; every header is ASCII and on one line."""
        head = (
            f"Message-ID: <{envelope.message_id}@{self._domain}>",
            f"Date: {format_datetime(datetime.now(UTC))}",
            f"From: {self._settings.sender}",
            f"To: {envelope.address}",
            f"Subject: {_encoded(envelope.subject)}",
            "Auto-Submitted: auto-generated",
            f"X-Zhida-Attempt: {envelope.attempt}",
            "MIME-Version: 1.0",
            'Content-Type: text/plain; charset="utf-8"',
            "Content-Transfer-Encoding: base64",
            "",
            "",
        )
        body = base64.encodebytes(envelope.text.encode()).replace(b"\n", b"\r\n")
        return "\r\n".join(head).encode("ascii") + body

    def _refused(
        self, code: int, words: bytes | str, envelope: Envelope, *, for_good: bool = True
    ) -> Answer:
        if code in (CLOSING, -1):
            self.broken = True
        else:
            try:
                self._smtp.rset()
            except (OSError, smtplib.SMTPException):
                self.broken = True
        outcome = Outcome.REFUSED if code >= 500 and for_good else Outcome.DEFERRED
        return Answer(outcome, f"{code} {self._plain(words, envelope)}")

    @staticmethod
    def _plain(words: bytes | str, envelope: Envelope) -> str:
        """The server's words for the log of attempts: short, and never with the number in them."""
        text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        return text.replace(envelope.address, "[address]").replace(
            envelope.address.partition("@")[0], "[address]"
        )[:200]


@cache
def _encoded(title: str) -> str:
    """A template's title as a mail header takes it."""
    return Header(title, "utf-8", maxlinelen=900).encode()
