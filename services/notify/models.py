"""Tables of notify: its copies of people and staff, messages, attempts."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.models import ColumnTypes, new_metadata
from services.chassis.tracing import current_traceparent
from services.notify.domain.message import FAILED, Channel, Status


class Base(ColumnTypes, DeclarativeBase):
    """Base of notify's own tables."""

    metadata = new_metadata()


class Person(Base):
    """Notify's copy of a resident: whom to address, who is responsible."""

    __tablename__ = "person"
    __table_args__ = (Index("ix_person_officer", "officer_id"),)

    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    household_id: Mapped[uuid.UUID]
    division: Mapped[str]
    name: Mapped[str]
    officer_id: Mapped[uuid.UUID | None]
    deceased_on: Mapped[date | None]
    removed: Mapped[bool]
    epoch: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)


class Contact(Base):
    """Every telephone number a resident had, encrypted; the highest version is in force.

    The earlier ones stay, because the old number is told when payee or account changes.
    """

    __tablename__ = "contact"
    __table_args__ = (UniqueConstraint("person_id", "epoch", "version"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[uuid.UUID]
    epoch: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
    phone: Mapped[bytes | None] = mapped_column(info={"bound_to": "person_id"})
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Staff(Base):
    """Notify's copy of a member of staff; two facets (post, contact) with a guard each."""

    __tablename__ = "staff"

    staff_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    division: Mapped[str | None]
    roles: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    epoch: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int | None] = mapped_column(BigInteger)
    phone: Mapped[bytes | None]
    contact_epoch: Mapped[int | None] = mapped_column(BigInteger)
    contact_version: Mapped[int | None] = mapped_column(BigInteger)


def _listed(values: Any) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


class Message(Base):
    """One thing told to one person.

    ``personalisation`` holds what the fact says; names are added and ``text`` is written when it
    goes out. ``attempts`` counts all attempts, ``tries`` those since ``begun_at``, where the
    present round began (a person may start another one from the work list). ``shown_to`` is the
    masked number, ``traceparent`` the span that made it. ``text`` and ``personalisation`` are
    emptied after the time of keeping.
    """

    __tablename__ = "message"
    __table_args__ = (
        CheckConstraint(f"status IN ({_listed(Status)})", name="status"),
        CheckConstraint(f"channel IN ({_listed(Channel)})", name="channel"),
        CheckConstraint("(status = 'sending') = (claimed_at IS NOT NULL)", name="claimed"),
        CheckConstraint("person_id IS NOT NULL OR staff_id IS NOT NULL", name="reader"),
        Index(
            "ix_message_due",
            "bulk",
            "retry_at",
            "id",
            postgresql_where=text("status = 'created'"),
        ),
        Index("ix_message_claimed", "claimed_at", postgresql_where=text("status = 'sending'")),
        Index(
            "ix_message_failed",
            "division",
            "id",
            # nosemgrep: raw-sql-from-values (an enum)
            postgresql_where=text(f"status IN ({_listed(FAILED)})"),
        ),
        Index("ix_message_letter", "person_id", postgresql_where=text("status = 'pending'")),
        Index("ix_message_person", "person_id", "created_at"),
        Index("ix_message_listed", "created_at", "id"),
        Index(
            "ix_message_counted",
            "division",
            "status",
            "channel",
            postgresql_ops={"division": "text_pattern_ops"},
        ),
        Index("ix_message_case", "case_id", postgresql_where=text("case_id IS NOT NULL")),
        Index("ix_message_kept", "finished_at", postgresql_where=text("text IS NOT NULL")),
        Index(
            "ix_message_words_kept",
            "finished_at",
            postgresql_where=text("text IS NULL AND personalisation <> '{}'::jsonb"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    template: Mapped[str]
    version: Mapped[int] = mapped_column(SmallInteger)
    audience: Mapped[str]
    division: Mapped[str]
    occasion: Mapped[str]
    person_id: Mapped[uuid.UUID | None]
    staff_id: Mapped[uuid.UUID | None]
    named_staff_id: Mapped[uuid.UUID | None]
    case_id: Mapped[uuid.UUID | None]
    contact_id: Mapped[int | None] = mapped_column(BigInteger)
    personalisation: Mapped[dict[str, Any]]
    bulk: Mapped[bool]
    any_hour: Mapped[bool]
    created_on: Mapped[date]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    begun_at: Mapped[datetime] = mapped_column(server_default=func.now())
    retry_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default=Status.CREATED.value)
    channel: Mapped[str | None]
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    shown_to: Mapped[str | None]
    text: Mapped[str | None]
    parts: Mapped[int | None] = mapped_column(SmallInteger)
    handled_by: Mapped[str | None]
    note: Mapped[str | None]
    traceparent: Mapped[str | None] = mapped_column(default=current_traceparent)


class Attempt(Base):
    """One attempt at sending, written before anything is sent.

    An attempt without an outcome is under way; one whose process died ends as ``unknown``.
    """

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("message_id", "number"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("message.id"))
    number: Mapped[int] = mapped_column(SmallInteger)
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    answer: Mapped[str | None]
