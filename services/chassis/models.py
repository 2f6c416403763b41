"""Tables that stand in every service's database."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def new_metadata() -> MetaData:
    """Metadata with fixed constraint names, so that migrations can name them."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ColumnTypes:
    """How annotations become columns. A service's tables stand on a base of their own::

    class Base(ColumnTypes, DeclarativeBase):
        metadata = new_metadata()
    """

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: String,
        uuid.UUID: Uuid,
        datetime: DateTime(timezone=True),
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
    }


class ChassisBase(ColumnTypes, DeclarativeBase):
    """Base of the tables below."""

    metadata = new_metadata()


class OutboxRow(ChassisBase):
    """An event on its way out: written with the change it tells of, gone once confirmed.

    ``sequence`` counts per exchange, type and county; the relay stamps it before the first publish.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_interactive", "id", postgresql_where=text("NOT bulk")),
        Index("ix_outbox_subject", "subject", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    event_id: Mapped[uuid.UUID]
    type: Mapped[str]
    exchange: Mapped[str]
    routing_key: Mapped[str]
    subject: Mapped[str]
    county: Mapped[str]
    bulk: Mapped[bool]
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    traceparent: Mapped[str | None]
    time: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    body: Mapped[bytes]


class EventSequence(ChassisBase):
    """The last sequence number given per exchange, type and county.

    The exchange is part of it: a bureau must not see a gap where an event about a child went out
    internally.
    """

    __tablename__ = "event_sequence"

    exchange: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    county: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)


class InboxRow(ChassisBase):
    """An event a subscription has taken effect of, claimed in that effect's transaction."""

    __tablename__ = "inbox"
    __table_args__ = (Index("ix_inbox_received", "received_at"),)

    subscription: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SubscriptionRow(ChassisBase):
    """A subscription, and since when it has all that the archives held for it.

    ``refill_began_at`` stands while it lacks some of that, also when a process died over it.
    """

    __tablename__ = "subscription"

    queue: Mapped[str] = mapped_column(primary_key=True)
    filled_at: Mapped[datetime | None]
    refill_began_at: Mapped[datetime | None]


class ArrivalRow(ChassisBase):
    """The sequence numbers that have reached a queue: what is missing shows as a gap."""

    __tablename__ = "arrival"

    queue: Mapped[str] = mapped_column(primary_key=True)
    exchange: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    county: Mapped[str] = mapped_column(primary_key=True)
    seen: Mapped[Any] = mapped_column(INT8MULTIRANGE)


class ReplayRow(ChassisBase):
    """A bureau's wish to hear again what it may see, and how far it has been served.

    ``positions`` maps an exchange to the next offset of its archive.
    """

    __tablename__ = "replay"
    __table_args__ = (
        Index("ix_replay_waiting", "served_at", postgresql_where=text("finished_at IS NULL")),
        Index("ix_replay_bureau", "bureau", "requested_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    bureau: Mapped[str]
    division: Mapped[str]
    from_date: Mapped[date]
    types: Mapped[list[str]] = mapped_column(JSONB)
    positions: Mapped[dict[str, Any]]
    sent: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    served_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class CommandRow(ChassisBase):
    """The first answer to each idempotency key."""

    __tablename__ = "command"
    __table_args__ = (Index("ix_command_at", "at"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str]
    arguments_hash: Mapped[bytes]
    actor_id: Mapped[str]
    answer: Mapped[dict[str, Any] | None]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class SpanRow(ChassisBase):
    """What was done under which trace: see ``spans``. Ids in hexadecimal as in ``traceparent``.

    ``caller`` is what asked (a page, a shell); ``events`` how many a batch held, ``sent_at`` when
    the first of them was written.
    """

    __tablename__ = "span"
    __table_args__ = (Index("ix_span_started", "started_at"),)

    trace_id: Mapped[str] = mapped_column(primary_key=True)
    span_id: Mapped[str] = mapped_column(primary_key=True)
    parent_id: Mapped[str | None]
    kind: Mapped[str]
    name: Mapped[str]
    caller: Mapped[str | None]
    events: Mapped[int] = mapped_column(Integer)
    sent_at: Mapped[datetime | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AuditRow(ChassisBase):
    """Who did or looked at what, and why. Append-only (a trigger refuses change)."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_subject", "subject_type", "subject_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    machine_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    business_on: Mapped[date]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    purpose: Mapped[str | None]
    action: Mapped[str]
    subject_type: Mapped[str]
    subject_id: Mapped[str]
    detail: Mapped[dict[str, Any]]
    trace_id: Mapped[str | None]


class AuditUnsealedRow(ChassisBase):
    """An audit row no seal covers yet. A trigger writes it with the row, the sealer takes it."""

    __tablename__ = "audit_unsealed"

    audit_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class AuditSealRow(ChassisBase):
    """A link of the audit chain: which rows it covers, their hashes, the seal over both.

    ``ids`` are the covered audit ids; ``hashes`` their 32-byte hashes, one after another in the
    order of ids; ``digest`` binds them to ``previous``, the digest of the seal before. Append-only.
    """

    __tablename__ = "audit_seal"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sealed_at: Mapped[datetime]
    ids: Mapped[Any] = mapped_column(INT8MULTIRANGE)
    hashes: Mapped[bytes]
    previous: Mapped[bytes]
    key_id: Mapped[int]
    digest: Mapped[bytes]


class AuditAnchorRow(ChassisBase):
    """The head of a service's audit chain as it was told: our own last one, and others' that we
    bear witness to. ``version`` is the number of the seal."""

    __tablename__ = "audit_anchor"

    service: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    at: Mapped[datetime]
    epoch: Mapped[int]
    version: Mapped[int] = mapped_column(BigInteger)


class ClockRow(ChassisBase):
    """The offset of business time in demo and test mode: one row, whole days."""

    __tablename__ = "business_clock"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    offset_days: Mapped[int]


class FileRow(ChassisBase):
    """A file handed in or made: what it is, who brought it."""

    __tablename__ = "file"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    media_type: Mapped[str]
    chunks: Mapped[int]
    size: Mapped[int | None]
    sha256: Mapped[str | None]
    division: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FileChunkRow(ChassisBase):
    """A piece of a file, encrypted."""

    __tablename__ = "file_chunk"

    file_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]
