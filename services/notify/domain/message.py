"""A message and what may become of it.

The statuses are those of GOV.UK Notify, so that who knows one knows the other:

    created ──► sending ──► sent ──► delivered          by phone or mail
       │           └──► temporary- / technical- / permanent-failure
       └──► pending ──► delivered | permanent-failure   a letter in the officer's hands

A failure is a task of the officer (the list of undelivered messages), never only a line in a log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from services.contracts.errors import Conflict

MESSAGES = UUID("6f6f3a3e-6c1d-5d2b-9b53-3f0a6a1c9d10")
"""The namespace in which the ids of messages are made."""


class Status(StrEnum):
    """Where a message stands."""

    CREATED = "created"
    SENDING = "sending"
    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    TEMPORARY_FAILURE = "temporary-failure"
    PERMANENT_FAILURE = "permanent-failure"
    TECHNICAL_FAILURE = "technical-failure"


FAILED = frozenset({Status.TEMPORARY_FAILURE, Status.PERMANENT_FAILURE, Status.TECHNICAL_FAILURE})
"""The person has not been told, and no further attempt is planned."""

NAMES = {
    Status.CREATED: "待发送",
    Status.SENDING: "发送中",
    Status.PENDING: "待送达",
    Status.SENT: "已发出",
    Status.DELIVERED: "已送达",
    Status.TEMPORARY_FAILURE: "暂时无法送达",
    Status.PERMANENT_FAILURE: "无法送达",
    Status.TECHNICAL_FAILURE: "未能发出",
}


class Channel(StrEnum):
    """The way a message takes."""

    SMS = "sms"
    MAIL = "mail"
    LETTER = "letter"


class Outcome(StrEnum):
    """What one attempt at sending came to."""

    ACCEPTED = "accepted"
    """The mail server took the message."""
    DEFERRED = "deferred"
    """The mail server refused it for now (4xx), or hung up on it before its text was sent."""
    REFUSED = "refused"
    """The mail server refused it for good (5xx)."""
    NOT_TRIED = "not-tried"
    """The connection broke at an earlier message. Not this message's fault."""
    UNKNOWN = "unknown"
    """The connection or this process broke while the text was under way: it may have arrived."""


class Reason(StrEnum):
    """Why a message failed, for the officer who has to tell the person otherwise."""

    REFUSED = "refused"
    DEFERRED = "deferred"
    UNANSWERED = "unanswered"
    EXPIRED = "expired"
    NO_CONTACT = "no-contact"
    RECIPIENT_UNKNOWN = "recipient-unknown"
    LETTER_RETURNED = "letter-returned"
    TEXT_GONE = "text-gone"


REASONS = {
    Reason.REFUSED: "短信平台拒收该号码，请核对号码或上门告知",
    Reason.DEFERRED: "多次发送均被短信平台暂缓，请改用其他方式告知",
    Reason.UNANSWERED: "多次发送未得到短信平台答复，对方可能已收到，请电话确认",
    Reason.EXPIRED: "超过时限仍未能发出，请改用其他方式告知",
    Reason.NO_CONTACT: "未登记可用的联系电话，请补录后重发",
    Reason.RECIPIENT_UNKNOWN: "名册中尚无此人，请核对登记后重发",
    Reason.LETTER_RETURNED: "纸质通知未能送达，请核实本人去向",
    Reason.TEXT_GONE: "消息内容已不完整，无法发送，请当面或电话告知",
}


@dataclass(frozen=True)
class RetryPolicy:
    """How often and for how long a message is tried; data/delivery.toml holds the figures."""

    waits: Sequence[timedelta]
    """The wait before the second, third … attempt; after the last one the message fails."""
    expires_after: timedelta
    """From the message's making to giving up, however few attempts there were."""


@dataclass(frozen=True)
class Next:
    """What follows an attempt."""

    status: Status
    retry_at: datetime | None = None
    reason: Reason | None = None


def message_id(recipient_id: UUID, template: str, occasion: str) -> UUID:
    """The id of the one message that tells a person of an occasion.

    `occasion` names the fact (`payment.settled/<payment id>`), so the same fact, however often and
    under however many event ids it comes, is the same message.
    """
    return uuid5(MESSAGES, f"{recipient_id}/{template}/{occasion}")


def after_attempt(
    outcome: Outcome, attempts: int, created_at: datetime, now: datetime, policy: RetryPolicy
) -> Next:
    """What becomes of a message after an attempt; `attempts` counts those really made.

    A message behind the one at which the connection broke waits for the next round uncounted: a
    mail server that goes away must not use up everybody's attempts.
    """
    if outcome is Outcome.ACCEPTED:
        return Next(Status.SENT)
    if outcome is Outcome.REFUSED:
        return Next(Status.PERMANENT_FAILURE, reason=Reason.REFUSED)
    if now - created_at >= policy.expires_after:
        return Next(Status.TECHNICAL_FAILURE, reason=Reason.EXPIRED)
    if outcome is Outcome.NOT_TRIED:
        return Next(Status.CREATED, retry_at=now)
    if attempts <= len(policy.waits):
        return Next(Status.CREATED, retry_at=now + policy.waits[max(attempts, 1) - 1])
    if outcome is Outcome.DEFERRED:
        return Next(Status.TEMPORARY_FAILURE, reason=Reason.DEFERRED)
    return Next(Status.TECHNICAL_FAILURE, reason=Reason.UNANSWERED)


def require_failed(status: Status) -> None:
    """Only a message that failed may be tried again by hand or settled otherwise."""
    if status not in FAILED:
        raise Conflict(
            f"该消息当前为“{NAMES[status]}”，不在未送达清单中",
            field="message_id",
            advice="请刷新未送达清单后再办理",
        )


def require_pending_letter(status: Status, channel: Channel | None) -> None:
    """Only a letter in the officer's hands can be reported delivered or returned."""
    if channel is not Channel.LETTER or status is not Status.PENDING:
        raise Conflict(
            f"该消息当前为“{NAMES[status]}”，不是待送达的纸质通知",
            field="message_id",
            advice="请刷新送达清单后再登记",
        )
