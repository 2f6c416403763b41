"""Requests that every service answers about itself."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

from services.contracts.requests import Command, Query


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """A service's business date and how far it stands from the machine's."""

    service: str
    today: date
    offset_days: int


class SetClock(Command[ClockReading], frozen=True, kw_only=True):
    """Make ``today`` the business date of the service (demo and test mode only)."""

    today: date


class ReadClock(Query[ClockReading], frozen=True, kw_only=True):
    """The service's business date."""


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """A stored file: ``chunks`` pieces to fetch one by one."""

    file_id: UUID
    name: str
    media_type: str
    chunks: int
    size: int | None
    sha256: str | None


class UploadChunk(Command[None], frozen=True, kw_only=True):
    """Hand in piece ``number`` of ``chunks`` of a file whose id the caller made."""

    timeout: ClassVar[float] = 60.0

    file_id: UUID
    name: str
    media_type: str
    number: int
    chunks: int
    content: bytes


class DescribeFile(Query[FileView], frozen=True, kw_only=True):
    """What a stored file is."""

    file_id: UUID


class DownloadChunk(Query[bytes], frozen=True, kw_only=True):
    """Piece ``number`` of a stored file."""

    timeout: ClassVar[float] = 60.0

    file_id: UUID
    number: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message no handler could take: ``position`` in its queue; sealed fields stay sealed."""

    queue: str
    position: int
    event_id: str | None
    type: str | None
    reason: str
    died_at: str
    attempts: int
    body: str


class ListDeadLetters(Query[list[DeadLetter]], frozen=True, kw_only=True):
    """The dead letters of this service, at most ``limit`` a queue."""

    limit: int = 50


class RedriveDeadLetters(Command[int], frozen=True, kw_only=True):
    """Send dead letters back to their queue; all of them, or the one with ``event_id``."""

    queue: str
    event_id: str | None = None


# -- audit ------------------------------------------------------------------------------------


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did or looked at what, when and why."""

    id: int
    machine_at: datetime
    business_on: date
    actor_id: str
    actor_name: str
    purpose: str | None
    action: str
    subject_type: str
    subject_id: str
    detail: dict[str, Any]
    trace_id: str | None


class ReadAudit(Query[list[AuditEntry]], frozen=True, kw_only=True):
    """The newest audit rows of this service, before the id ``before``; of one actor or subject."""

    before: int | None = None
    actor_id: str | None = None
    subject_id: str | None = None
    action: str | None = None
    limit: int = 100


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a service's audit chain as another service was told it."""

    service: str
    number: int
    digest: str
    at: datetime


class ListAnchors(Query[list[Anchor]], frozen=True, kw_only=True):
    """The heads of other services' audit chains that this service bears witness to."""


Finding = Literal["changed", "removed", "inserted", "seal_broken", "seal_missing", "end_missing"]


class AuditFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the audit log that is not as it was sealed."""

    kind: Finding
    seal: int | None
    audit_id: int | None
    detail: str


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying a chain found. ``found`` counts all findings, of which the first are listed;
    ``unsealed`` rows wait for their seal."""

    service: str
    seals: int
    rows: int
    head: int
    digest: str
    unsealed: int
    unsealed_since: datetime | None
    found: int
    findings: tuple[AuditFinding, ...]


class VerifyAudit(Query[AuditReport], frozen=True, kw_only=True):
    """Read the audit chain and every row anew, against the heads others bear witness to."""

    timeout: ClassVar[float] = 1800.0

    anchors: tuple[Anchor, ...] = ()


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a thing a service holds; equal digests mean the same ids at the same versions."""

    name: str
    owner: str
    count: int
    digest: str


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Two sums of one service that must be equal, in fen."""

    name: str
    left: int
    right: int


class Counted(msgspec.Struct, frozen=True):
    """How many events of a series a service has published."""

    exchange: str
    type: str
    county: str
    last: int


class Arrived(msgspec.Struct, frozen=True):
    """How many events of a series have reached a queue."""

    queue: str
    exchange: str
    type: str
    county: str
    count: int


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """What one service holds: `zhida reconcile` compares those of all."""

    service: str
    epoch: int
    schema_revision: str
    outbox: int
    tallies: list[Tally]
    balances: list[Balance]
    published: list[Counted]
    arrived: list[Arrived]
    takes: dict[str, list[str]]
    """Of each queue the types of events that it takes."""


class TakeStock(Query[Stock], frozen=True, kw_only=True):
    """Count what this service holds."""

    timeout: ClassVar[float] = 120.0


class SpanView(msgspec.Struct, frozen=True, kw_only=True):
    """Something a service did under a trace. Ids in hexadecimal as in W3C ``traceparent``.

    ``kind``: command, reaction, copy or timer. ``caller`` is what gave a command (a page, a
    shell); ``events`` how many events a batch held, ``sent_at`` when the first was written.
    """

    service: str
    trace_id: str
    span_id: str
    parent_id: str | None
    kind: str
    name: str
    caller: str | None
    events: int
    sent_at: datetime | None
    started_at: datetime
    ended_at: datetime


class ReadTraces(Query[list[SpanView]], frozen=True, kw_only=True):
    """What this service did under these traces; nothing about people."""

    trace_ids: tuple[str, ...]


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a case, and the span it happened in; nothing about people.

    ``what`` is a code (a fact's kind, a batch's step, a message's template); ``state`` how it
    stands now, ``ended_at`` when that came about, where it is known. Without ``span_id`` only the
    trace is known.
    """

    service: str
    what: str
    at: datetime
    trace_id: str
    span_id: str | None = None
    state: str | None = None
    ended_at: datetime | None = None


DifferenceKind = Literal["missing", "surplus", "older", "newer", "differs"]
"""How a standing row stands to what the archives tell: it is not there, only it is there, it is
behind, ahead, or other at the same version."""


class RowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a projection that is not as the archives tell it; nothing of what stands in it."""

    key: str
    kind: DifferenceKind
    columns: tuple[str, ...]


class RebuiltProjection(msgspec.Struct, frozen=True, kw_only=True):
    """A projection made anew: from how many events, and how it differs from the one that stands.

    ``lost`` events were published but are no longer in the archives, ``unreadable`` ones could not
    be applied. ``waiting`` events are still in the live projection's queue: a row may be missing or
    older for that alone. ``rows`` are those of the new one; ``written`` and ``removed`` those that
    were changed in the standing one.
    """

    service: str
    projection: str
    events: int
    unreadable: int
    lost: int
    rows: int
    differences: int
    first: tuple[RowDifference, ...]
    written: int
    removed: int
    waiting: int


class RebuildProjection(Command[RebuiltProjection], frozen=True, kw_only=True):
    """Make a projection anew from the archives and compare it; ``swap`` puts it in place.

    With events lost, what only stands or stands newer is left as it is.
    """

    timeout: ClassVar[float] = 1800.0

    projection: str
    swap: bool = False
