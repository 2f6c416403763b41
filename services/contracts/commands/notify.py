"""What the edge asks of notify: messages, letters to carry, messages that did not arrive."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import msgspec

from services.contracts.commands.common import Traced
from services.contracts.requests import Command, Query


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at sending; without an outcome while it is under way."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    answer: str | None


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the desk shows it.

    ``status`` and ``reason`` are codes with their Chinese beside them. ``shown_to`` is the masked
    number. ``text`` is None before it goes out and after the time of keeping.
    """

    message_id: UUID
    template: str
    title: str
    audience: str
    division: str
    person_id: UUID | None
    person_name: str | None
    staff_id: UUID | None
    case_id: UUID | None
    created_on: date
    created_at: datetime
    finished_at: datetime | None
    status: str
    status_name: str
    channel: str | None
    reason: str | None
    advice: str | None
    attempts: int
    shown_to: str | None
    text: str | None
    parts: int | None
    handled_by: str | None
    note: str | None


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of messages; pass ``next_after`` on as ``after`` for the following one."""

    messages: tuple[MessageView, ...]
    next_after: str | None


class MessageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A message with all its attempts."""

    message: MessageView
    attempts: tuple[AttemptView, ...]


class StatusCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages stand at a status."""

    status: str
    status_name: str
    channel: str | None
    messages: int


class MessageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts within the reader's divisions; they equal the lists of the same filter.

    ``letters`` are to be carried, ``undelivered`` to be settled, ``sent`` went to the mail server.
    """

    by_status: tuple[StatusCount, ...]
    letters: int
    undelivered: int
    sent: int


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message to carry to a resident without a mobile phone, or to the family of a dead one."""

    message_id: UUID
    person_id: UUID
    person_name: str
    household_id: UUID
    division: str
    officer_id: UUID | None
    officer_name: str | None
    deceased: bool
    title: str
    text: str
    created_on: date


class LetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of letters, by village and person, so that one walk does them."""

    letters: tuple[Letter, ...]
    next_after: str | None


class TemplateVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One wording and the day it came into force."""

    version: int
    since: date
    text: str
    fields: tuple[str, ...]


class TemplateView(msgspec.Struct, frozen=True, kw_only=True):
    """A template with its wordings."""

    template: str
    title: str
    audience: str
    any_hour: bool
    versions: tuple[TemplateVersionView, ...]


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """A text as the reader would get it; ``length`` in UCS-2 units, ``parts`` as billed."""

    text: str
    length: int
    parts: int


class ListMessages(Query[MessagePage], frozen=True, kw_only=True):
    """Messages, newest first, of a person, a case, a division, a status or a template."""

    person_id: UUID | None = None
    case_id: UUID | None = None
    division: str | None = None
    status: str | None = None
    template: str | None = None
    after: str | None = None
    limit: int = 50


class GetMessage(Query[MessageDetail], frozen=True, kw_only=True):
    """A message with its attempts."""

    message_id: UUID


class CountMessages(Query[MessageCounts], frozen=True, kw_only=True):
    """Counts for the desk, of a division or of all the reader's divisions."""

    division: str | None = None


class ListLetters(Query[LetterPage], frozen=True, kw_only=True):
    """Letters to carry: those of an officer (``officer_id``), or all of a division."""

    officer_id: UUID | None = None
    division: str | None = None
    after: str | None = None
    limit: int = 50


class MarkLettersDelivered(Command[int], frozen=True, kw_only=True):
    """The officer handed these letters over; the number marked. All or none."""

    message_ids: tuple[UUID, ...]
    note: str | None = None


class ReturnLetter(Command[MessageView], frozen=True, kw_only=True):
    """The officer could not hand the letter over, and why."""

    message_id: UUID
    why: str


class ListUndelivered(Query[MessagePage], frozen=True, kw_only=True):
    """Messages that did not arrive and wait for an officer: the work list, oldest first."""

    officer_id: UUID | None = None
    division: str | None = None
    after: str | None = None
    limit: int = 50


class RetryMessage(Command[MessageView], frozen=True, kw_only=True):
    """Send an undelivered message again, for instance after the number was put right."""

    message_id: UUID


class SendAsLetter(Command[MessageView], frozen=True, kw_only=True):
    """Put an undelivered message to a resident on the officer's letter list."""

    message_id: UUID


class MarkToldInPerson(Command[MessageView], frozen=True, kw_only=True):
    """The officer told the person himself; ``note`` says how and when."""

    message_id: UUID
    note: str


class ListTemplates(Query[tuple[TemplateView, ...]], frozen=True, kw_only=True):
    """All templates with their wordings."""


class PreviewTemplate(Query[PreviewView], frozen=True, kw_only=True):
    """A template's text under a division's signature; fields not given show their samples."""

    template: str
    version: int | None = None
    division: str = "421083"
    values: dict[str, str] = msgspec.field(default_factory=dict)


class TraceMessages(Query[list[Traced]], frozen=True, kw_only=True):
    """The messages of a case and the spans that made them; no text, no number."""

    case_id: UUID
