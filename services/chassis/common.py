"""Use cases every service has: its clock and its files."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from services.chassis import files, metrics
from services.chassis.clock import ZONE, machine_now
from services.chassis.uow import UnitOfWork
from services.contracts.commands.common import (
    ClockReading,
    DescribeFile,
    DownloadChunk,
    FileView,
    ReadClock,
    SetClock,
    UploadChunk,
)


def set_clock(uow: UnitOfWork, command: SetClock) -> ClockReading:
    """Make the given day the business date. Refused in production."""
    uow.clock.set_today(command.today)
    uow.audit("clock.set", "clock", uow.settings.service, today=command.today.isoformat())
    return _reading(uow)


def read_clock(uow: UnitOfWork, _: ReadClock) -> ClockReading:
    """The business date as this service sees it."""
    return _reading(uow)


def _reading(uow: UnitOfWork) -> ClockReading:
    today = uow.today()
    real = machine_now().astimezone(ZONE).date()
    return ClockReading(service=uow.settings.service, today=today, offset_days=(today - real).days)


def upload_chunk(uow: UnitOfWork, command: UploadChunk) -> None:
    """Take a piece of a file."""
    files.receive(
        uow,
        command.file_id,
        name=command.name,
        media_type=command.media_type,
        number=command.number,
        chunks=command.chunks,
        content=command.content,
    )


def describe_file(uow: UnitOfWork, query: DescribeFile) -> FileView:
    """What a stored file is."""
    row = files.describe(uow, query.file_id)
    return FileView(
        file_id=row.id,
        name=row.name,
        media_type=row.media_type,
        chunks=row.chunks,
        size=row.size,
        sha256=row.sha256,
    )


def download_chunk(uow: UnitOfWork, query: DownloadChunk) -> bytes:
    """A piece of a stored file; fetching one is audited once, at the first piece."""
    row = files.describe(uow, query.file_id)
    if query.number == 0:
        uow.audit("file.downloaded", "file", row.id, name=row.name)
    return files.chunk(uow, row.id, query.number)


_OUTBOX = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(time)), 0)
FROM (SELECT time FROM outbox ORDER BY id LIMIT 100000) AS o
"""
_UNSEALED = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - a.machine_at), 0)
FROM audit a WHERE a.id = (SELECT min(audit_id) FROM audit_unsealed)
"""
_STANDS = "SELECT to_regclass('alembic_version') IS NOT NULL"
_REVISION = "SELECT version_num FROM alembic_version"


def measure(uow: UnitOfWork) -> None:
    """What the database knows of the bus and of itself. Counts 100,000 waiting events at most."""
    service = uow.settings.service
    pending, oldest = uow.session.execute(text(_OUTBOX)).one()
    metrics.OUTBOX_PENDING.labels(service).set(pending)
    metrics.OUTBOX_OLDEST_SECONDS.labels(service).set(float(oldest))
    unsealed = uow.session.scalar(text(_UNSEALED)) or 0
    metrics.AUDIT_OLDEST_SECONDS.labels(service).set(float(unsealed))
    metrics.CLOCK_SKEW_SECONDS.labels(service).set(_skew(uow))
    if uow.session.scalar(text(_STANDS)):
        metrics.SCHEMA.clear()  # a process lives through a migration: it sees one at a time
        for revision in uow.session.scalars(text(_REVISION)):
            metrics.SCHEMA.labels(service, revision).set(1)


def _skew(uow: UnitOfWork) -> float:
    """Seconds by which our clock is ahead of the database's, to within half a round trip."""
    asked = machine_now()
    theirs: datetime = uow.session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return (asked + (machine_now() - asked) / 2 - theirs).total_seconds()
