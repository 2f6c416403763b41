"""What notify says: messages that could not be delivered."""

from __future__ import annotations

from uuid import UUID

from services.contracts.events.base import Audience, AuditAnchored, Event, Privacy, event


@event("message.undelivered.v1", audience=Audience.INTERNAL, subject="message_id")
class MessageUndelivered(Event, frozen=True, kw_only=True):
    """消息未送达：转责任人上门告知。"""

    message_id: UUID
    person_id: UUID | None
    division: str
    template: str
    officer_id: UUID | None


@event(
    "notify_audit.anchored.v1",
    audience=Audience.INTERNAL,
    privacy=Privacy.OPEN,
    subject="service",
    facet="audit",
)
class NotifyAuditAnchored(AuditAnchored, frozen=True, kw_only=True):
    """告知服务审计链的链头，交另一服务见证。"""
