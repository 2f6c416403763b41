"""Files handed in or made, kept encrypted in chunks in the service's own database."""

from __future__ import annotations

import hashlib
import uuid

from sqlalchemy import func, insert, select

from services.chassis.models import FileChunkRow, FileRow
from services.chassis.uow import UnitOfWork
from services.contracts.errors import Conflict, Forbidden, Invalid, NotFound
from services.contracts.ids import new_id

CHUNK_BYTES = 4_000_000
MAX_CHUNKS = 16
"""64 MB: a roster of half a million people. More is refused at the door."""


def write(
    uow: UnitOfWork, name: str, content: bytes, media_type: str, *, division: str
) -> uuid.UUID:
    """Keep a finished file; returns its id."""
    file_id = new_id()
    chunks = [content[i : i + CHUNK_BYTES] for i in range(0, len(content), CHUNK_BYTES)] or [b""]
    uow.session.add(
        FileRow(
            id=file_id,
            name=name,
            media_type=media_type,
            chunks=len(chunks),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            division=division,
            created_by=uow.actor.id,
        )
    )
    uow.session.flush()
    for number, chunk in enumerate(chunks):
        _store(uow, file_id, number, chunk)
    return file_id


def read(uow: UnitOfWork, file_id: uuid.UUID) -> bytes:
    """The whole content. Raises ``NotFound``, or ``Conflict`` when parts are still missing."""
    row = describe(uow, file_id)
    content = b"".join(chunk(uow, file_id, number) for number in range(row.chunks))
    if row.sha256 and hashlib.sha256(content).hexdigest() != row.sha256:
        raise Conflict(f"文件“{row.name}”内容与校验值不符", advice="请重新上传")
    return content


def describe(uow: UnitOfWork, file_id: uuid.UUID) -> FileRow:
    """The file's row. Raises ``NotFound``; ``Forbidden`` outside the actor's divisions."""
    row = uow.session.get(FileRow, file_id)
    if row is None:
        raise NotFound("没有这个文件", field="file_id")
    if row.created_by != uow.actor.id and not uow.actor.covers(row.division):
        raise Forbidden("无权查看这个文件")
    return row


def chunk(uow: UnitOfWork, file_id: uuid.UUID, number: int) -> bytes:
    """One piece of the content. Raises ``NotFound`` when it has not arrived."""
    sealed = uow.session.scalar(
        select(FileChunkRow.content).where(
            FileChunkRow.file_id == file_id, FileChunkRow.number == number
        )
    )
    if sealed is None:
        raise NotFound("文件尚未上传完整", field="file_id", advice="请重新上传")
    return uow.cipher.decrypt_bytes(sealed, table="file_chunk", row=file_id, column=str(number))


def receive(
    uow: UnitOfWork,
    file_id: uuid.UUID,
    *,
    name: str,
    media_type: str,
    number: int,
    chunks: int,
    content: bytes,
) -> None:
    """Take one uploaded piece; the first announces how many there are. Repeats are harmless."""
    if not 0 <= number < chunks:
        raise Invalid("文件分片序号有误", field="number")
    if chunks > MAX_CHUNKS or len(content) > CHUNK_BYTES:
        raise Invalid("文件太大", field="content", advice="单个文件不超过 64 MB，请按镇拆分")
    row = uow.session.get(FileRow, file_id)
    if row is None:
        uow.session.add(
            FileRow(
                id=file_id,
                name=name,
                media_type=media_type,
                chunks=chunks,
                size=None,
                sha256=None,
                division=uow.settings.county,
                created_by=uow.actor.id,
            )
        )
        uow.session.flush()
    elif row.created_by != uow.actor.id:
        raise Forbidden("无权续传这个文件")
    exists = select(func.count()).where(
        FileChunkRow.file_id == file_id, FileChunkRow.number == number
    )
    if not uow.session.scalar(exists):
        _store(uow, file_id, number, content)


def _store(uow: UnitOfWork, file_id: uuid.UUID, number: int, content: bytes) -> None:
    sealed = uow.cipher.encrypt_bytes(content, table="file_chunk", row=file_id, column=str(number))
    uow.session.execute(insert(FileChunkRow).values(file_id=file_id, number=number, content=sealed))
