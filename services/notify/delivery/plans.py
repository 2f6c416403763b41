"""What becomes of a claimed message: its text and its way, or why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.notify import catalogue
from services.notify.domain import routing, templates
from services.notify.domain.message import Channel, Next, Reason, Status
from services.notify.domain.routing import MailForm, Route
from services.notify.domain.templates import Audience
from services.notify.readers import Readers

COPY_MAY_LAG = timedelta(hours=1)
"""How long a message waits for the copy of its reader, which comes by another queue."""
LOOK_AGAIN = timedelta(seconds=5)
FROM_COPIES = ("name", "officer")
"""Fields whose values are not kept with the message but read when it goes out."""
NOBODY = "民政经办人"
"""Named where the officer's name has not come yet."""


@dataclass(frozen=True)
class Plan:
    """What becomes of a claimed message before anything is sent."""

    message_id: UUID
    next: Next
    route: Route | None = None
    text: str | None = None
    shown_to: str | None = None


def plan(row: Row[Any], found: Readers, form: MailForm, now: datetime) -> Plan:
    """What becomes of a message: its text and its way, or why it has none."""
    resident = found.residents.get(row.person_id)
    if row.person_id and resident is None:
        if now - row.created_at < COPY_MAY_LAG:
            return Plan(row.id, Next(Status.CREATED, retry_at=now + LOOK_AGAIN))
        return Plan(row.id, Next(Status.TECHNICAL_FAILURE, reason=Reason.RECIPIENT_UNKNOWN))
    named = found.staff.get(row.named_staff_id)
    template = catalogue.all_templates()[row.template]
    version = template.version(row.version)
    values = {
        **row.personalisation,
        "name": resident.name if resident else "",
        "officer": (named.name if named else None) or NOBODY,
    }
    if templates.lacking(version, values):  # this message's trouble, and not of all that wait
        return Plan(row.id, Next(Status.TECHNICAL_FAILURE, reason=Reason.TEXT_GONE))
    body = templates.render(
        template, version, values, catalogue.fields(), catalogue.signature(row.division)
    )
    route, phone = _route(row, found, form)
    if isinstance(route, Reason):
        return Plan(row.id, Next(Status.TECHNICAL_FAILURE, reason=route), text=body)
    if route.channel is Channel.LETTER:
        return Plan(row.id, Next(Status.PENDING), route, body)
    return Plan(row.id, Next(Status.SENDING), route, body, routing.masked(phone))


def _route(row: Row[Any], found: Readers, form: MailForm) -> tuple[Route | Reason, str | None]:
    """The way to the reader, and the number it leads to."""
    if row.audience == Audience.OFFICER.value:
        staff_id = row.staff_id or found.responsible(row.person_id)
        member = found.staff.get(staff_id) if staff_id else None
        phone = member.phone if member and member.active else None
        return routing.to_officer(routing.Officer(phone), form), phone
    if row.contact_id is not None:
        phone = found.earlier.get(row.contact_id)
        return routing.to_earlier_number(phone, form), phone
    resident = found.residents[row.person_id]
    known = routing.Resident(resident.phone, resident.deceased)
    return routing.to_resident(known, form), resident.phone
