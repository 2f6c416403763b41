"""Requests that every service answers about itself."""

from __future__ import annotations

from datetime import date
from typing import ClassVar
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
