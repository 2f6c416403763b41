"""The audit chain: every committed audit row is sealed within seconds, and any tampering is found.

The sealer covers the rows that wait with a *seal*: their ids, a hash of each, and a keyed digest
(HMAC-SHA256) over these and the digest of the seal before. The key is the service's, never the
database's: who rules the database can change rows, but cannot make a seal that fits. Now and then
the head is told as an event and kept by another service (``WITNESSES``), so that cutting off the
end is found as well.

The verifier reads everything anew and says which row was changed, which removed, which came in
past the sealer, which seal is broken or gone, and how many rows still wait.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.chassis import metrics
from services.chassis.clock import machine_now
from services.chassis.crypto import current_key
from services.chassis.models import AuditAnchorRow, AuditRow, AuditSealRow, AuditUnsealedRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands.common import (
    Anchor,
    AuditFinding,
    AuditReport,
    Finding,
    ListAnchors,
    VerifyAudit,
)
from services.contracts.events import event_types
from services.contracts.events.base import AuditAnchored

ROWS_A_SEAL = 2000
"""Hashed in some 20 ms: the event loop is not held up."""
SEALS_A_ROUND = 10
SHOWN_FINDINGS = 1000
_GENESIS = bytes(32)
_SEALS_A_PAGE = 500

_TAKE = text(
    "DELETE FROM audit_unsealed WHERE audit_id IN "
    "(SELECT audit_id FROM audit_unsealed ORDER BY audit_id LIMIT :rows) RETURNING audit_id"
)

_SEAL = text(
    "INSERT INTO audit_seal (number, sealed_at, ids, hashes, previous, key_id, digest) VALUES "
    "(:number, :sealed_at, CAST(:ids AS int8multirange), :hashes, :previous, :key_id, :digest)"
)

_ROW = (
    AuditRow.id,
    AuditRow.machine_at,
    AuditRow.business_on,
    AuditRow.actor_id,
    AuditRow.actor_name,
    AuditRow.purpose,
    AuditRow.action,
    AuditRow.subject_type,
    AuditRow.subject_id,
    AuditRow.detail,
    AuditRow.trace_id,
)


# -- sealing ----------------------------------------------------------------------------------


def seal(uow: UnitOfWork) -> int:
    """Seal what waits, and tell the head when the last telling is old; how many rows were sealed.

    One sealer at a time: the timer sees to it, and two would meet at the number of the seal.
    """
    sealed = 0
    for _ in range(SEALS_A_ROUND):
        count = _seal_some(uow)
        sealed += count
        if count < ROWS_A_SEAL:
            break
    waiting = uow.session.scalar(select(func.count()).select_from(AuditUnsealedRow)) or 0
    metrics.AUDIT_UNSEALED.labels(uow.settings.service).set(waiting)
    _anchor(uow)
    return sealed


def _seal_some(uow: UnitOfWork) -> int:
    session = uow.session
    ids = sorted(session.scalars(_TAKE, {"rows": ROWS_A_SEAL}))
    if not ids:
        return 0
    rows = session.execute(select(*_ROW).where(AuditRow.id.in_(ids)))
    known = {row.id: row_hash(row) for row in rows}
    # A row that was removed before it was sealed is covered as well, and so found missing.
    hashes = b"".join(known.get(audit_id, bytes(32)) for audit_id in ids)
    ranges = _ranges(ids)
    head = _head(session)
    number, previous = (head.number + 1, bytes(head.digest)) if head else (1, _GENESIS)
    keys = uow.settings.audit_keys
    key_id = current_key(keys)
    at = machine_now()
    digest = seal_digest(keys[key_id], uow.settings.service, number, at, ranges, hashes, previous)
    session.execute(
        _SEAL,
        {
            "number": number,
            "sealed_at": at,
            "ids": "{" + ",".join(f"[{low},{high})" for low, high in ranges) + "}",
            "hashes": hashes,
            "previous": previous,
            "key_id": key_id,
            "digest": digest,
        },
    )
    return len(ids)


def _anchor(uow: UnitOfWork) -> None:
    declared = _anchor_type(uow.settings.service)
    head = _head(uow.session)
    if declared is None or head is None:
        return
    told = uow.session.get(AuditAnchorRow, uow.settings.service)
    now = machine_now()
    if told is not None:
        fresh = (now - told.at).total_seconds() < uow.settings.audit_anchor_s
        if fresh or told.version >= head.number:
            return
    anchor = declared(
        service=uow.settings.service,
        division=uow.settings.county,
        digest=bytes(head.digest).hex(),
        at=now,
        epoch=uow.epoch,
        version=head.number,
    )
    uow.emit(anchor)
    bear_witness(uow, [anchor])


def _anchor_type(service: str) -> type[AuditAnchored] | None:
    for declared in event_types():
        if declared.producer == service and issubclass(declared.struct, AuditAnchored):
            return declared.struct
    return None


def bear_witness(uow: UnitOfWork, anchors: Sequence[AuditAnchored]) -> None:
    """Keep the newest head told of each chain."""
    statement = insert(AuditAnchorRow)
    fresh = statement.excluded
    columns = ("digest", "at", "epoch", "version")
    for anchor in anchors:
        uow.session.execute(
            statement.values(
                service=anchor.service, **{name: getattr(anchor, name) for name in columns}
            ).on_conflict_do_update(
                index_elements=["service"],
                set_={name: fresh[name] for name in columns},
                where=func.row(AuditAnchorRow.epoch, AuditAnchorRow.version)
                < func.row(fresh.epoch, fresh.version),
            )
        )


def list_anchors(uow: UnitOfWork, _: ListAnchors) -> list[Anchor]:
    """The heads this service bears witness to."""
    return [
        Anchor(service=row.service, number=row.version, digest=row.digest, at=row.at)
        for row in uow.session.scalars(select(AuditAnchorRow).order_by(AuditAnchorRow.service))
        if row.service != uow.settings.service
    ]


# -- hashes -----------------------------------------------------------------------------------


def row_hash(row: Row[Any]) -> bytes:
    """The hash of all that stands in an audit row, its id too: two rows swapped are two changed."""
    written = [
        cell.astimezone(UTC).isoformat(timespec="microseconds")
        if isinstance(cell, datetime)
        else cell
        for cell in row
    ]
    return hashlib.sha256(json.dumps(written, sort_keys=True, default=str).encode()).digest()


def seal_digest(
    key: bytes,
    service: str,
    number: int,
    at: datetime,
    ranges: Iterable[tuple[int, int]],
    hashes: bytes,
    previous: bytes,
) -> bytes:
    """The digest of a seal, under the service's audit key."""
    covered = ",".join(f"{low}-{high}" for low, high in ranges)
    content = [
        service,
        number,
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        covered,
        hashlib.sha256(hashes).hexdigest(),
        previous.hex(),
    ]
    return hmac.new(key, json.dumps(content).encode(), hashlib.sha256).digest()


def _ranges(ids: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted ids as half-open ranges, as the database keeps them."""
    found = []
    for _, run in groupby(enumerate(ids), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        found.append((members[0], members[-1] + 1))
    return found


def _head(session: Session) -> Row[int, bytes] | None:
    newest = select(AuditSealRow.number, AuditSealRow.digest).order_by(AuditSealRow.number.desc())
    return session.execute(newest.limit(1)).one_or_none()


# -- verifying --------------------------------------------------------------------------------


def verify(uow: UnitOfWork, query: VerifyAudit) -> AuditReport:
    """Read the chain and every row anew. ``query.anchors`` are what others bear witness to."""
    reading = _Reading(uow, {anchor.number: anchor for anchor in query.anchors})
    findings: list[AuditFinding] = []
    count = 0
    for finding in reading.findings():
        count += 1
        if count <= SHOWN_FINDINGS:
            findings.append(finding)
    unsealed, oldest = reading.tail()
    return AuditReport(
        service=uow.settings.service,
        seals=reading.seals,
        rows=reading.rows,
        head=reading.number,
        digest=reading.digest.hex(),
        unsealed=unsealed,
        unsealed_since=oldest,
        found=count,
        findings=tuple(findings),
    )


class _Reading:
    """One pass over the chain."""

    def __init__(self, uow: UnitOfWork, anchors: dict[int, Anchor]) -> None:
        self._session = uow.session
        self._service = uow.settings.service
        self._keys = uow.settings.audit_keys
        self._anchors = anchors
        self.number = 0
        self.digest = _GENESIS
        self.seals = 0
        self.rows = 0

    def findings(self) -> Iterator[AuditFinding]:
        """Everything that is not as it was sealed."""
        while seals := self._next_seals():
            for seal_row in seals:
                yield from self._link(seal_row)
            yield from self._rows(seals)
        for number, anchor in self._anchors.items():
            if number > self.number:
                yield _finding("end_missing", number, None, f"他处于 {anchor.at} 见证过这枚封印")
        for audit_id in self._session.scalars(_NEVER_SEALED, {"shown": SHOWN_FINDINGS}):
            yield _finding("inserted", None, audit_id, "记录从未封存，也不在等待封存之列")

    def tail(self) -> tuple[int, datetime | None]:
        """How many rows still wait for their seal, and since when."""
        waiting = self._session.execute(_TAIL).one()
        return waiting.waiting, waiting.oldest

    def _next_seals(self) -> Sequence[Row[Any]]:
        return self._session.execute(_SEALS, {"after": self.number, "page": _SEALS_A_PAGE}).all()

    def _link(self, seal_row: Row[Any]) -> Iterator[AuditFinding]:
        number = seal_row.number
        if number != self.number + 1:
            gone = f"{self.number + 1}–{number - 1}"
            yield _finding("seal_missing", number, None, f"缺少封印 {gone}")
        elif bytes(seal_row.previous) != self.digest:
            yield _finding("seal_broken", number, None, "与前一枚封印不相接")
        key = self._keys.get(seal_row.key_id)
        if key is None:
            yield _finding("seal_broken", number, None, f"没有编号 {seal_row.key_id} 的审计密钥")
        elif not hmac.compare_digest(
            bytes(seal_row.digest),
            seal_digest(
                key,
                self._service,
                number,
                seal_row.sealed_at,
                _bounds(seal_row),
                bytes(seal_row.hashes),
                bytes(seal_row.previous),
            ),
        ):
            yield _finding("seal_broken", number, None, "封印与其内容不符")
        anchor = self._anchors.get(number)
        if anchor is not None and anchor.digest != bytes(seal_row.digest).hex():
            yield _finding("seal_broken", number, None, f"与他处 {anchor.at} 见证的不同")
        self.number, self.digest = number, bytes(seal_row.digest)
        self.seals += 1

    def _rows(self, seals: Sequence[Row[Any]]) -> Iterator[AuditFinding]:
        sealed: dict[int, tuple[int, bytes]] = {}
        for seal_row in seals:
            hashes = bytes(seal_row.hashes)
            ids = [i for low, high in _bounds(seal_row) for i in range(low, high)]
            for position, audit_id in enumerate(ids):
                if audit_id in sealed:
                    yield _finding("seal_broken", seal_row.number, audit_id, "同一记录封存了两次")
                    continue
                sealed[audit_id] = (seal_row.number, hashes[32 * position : 32 * position + 32])
        if not sealed:
            return
        found = self._session.execute(
            select(*_ROW)
            .where(AuditRow.id.between(min(sealed), max(sealed)))
            .order_by(AuditRow.id)
            .execution_options(yield_per=5000)
        )
        for row in found:
            known = sealed.pop(row.id, None)
            if known is None:
                continue  # of a later seal, or of none: told at the end
            self.rows += 1
            if row_hash(row) != known[1]:
                yield _finding("changed", known[0], row.id, "内容与封存时不同")
        for audit_id, (number, _) in sorted(sealed.items()):
            yield _finding("removed", number, audit_id, "封存过的记录已不在")


_SEALS = text(
    "SELECT number, sealed_at, hashes, previous, key_id, digest, "
    "(SELECT array_agg(lower(part) ORDER BY lower(part)) FROM unnest(ids) AS part) AS lows, "
    "(SELECT array_agg(upper(part) ORDER BY lower(part)) FROM unnest(ids) AS part) AS highs "
    "FROM audit_seal WHERE number > :after ORDER BY number LIMIT :page"
)
_NEVER_SEALED = text(
    "WITH sealed AS (SELECT coalesce(range_agg(ids), '{}') AS ids FROM audit_seal) "
    "SELECT id FROM audit, sealed WHERE NOT audit.id <@ sealed.ids "
    "AND NOT EXISTS (SELECT FROM audit_unsealed WHERE audit_id = audit.id) "
    "ORDER BY id LIMIT :shown"
)
_TAIL = text(
    "SELECT count(*) AS waiting, min(audit.machine_at) AS oldest "
    "FROM audit_unsealed LEFT JOIN audit ON audit.id = audit_id"
)


def _bounds(seal_row: Row[Any]) -> list[tuple[int, int]]:
    return list(zip(seal_row.lows or [], seal_row.highs or [], strict=True))


def _finding(kind: Finding, seal: int | None, audit_id: int | None, detail: str) -> AuditFinding:
    return AuditFinding(kind=kind, seal=seal, audit_id=audit_id, detail=detail)
