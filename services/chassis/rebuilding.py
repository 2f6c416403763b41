"""A projection made anew from the archives beside the standing one; compared, then put in place.

The new one is a temporary table under the same name: it hides the standing one, so the very methods
that keep the live copy fill it, and nothing of theirs is written twice. While the two are compared
(and swapped) the standing table takes no writes: what comes then waits in its queue for a moment,
and whatever was applied before is in the archive, which is read to its end once more. Only rows
that differ are written, in one transaction: readers see the old or the new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import amqp
from sqlalchemy import MetaData, Table, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import DeclarativeBase

from services.chassis import amqp_io, archive, arrivals, inbox, topology
from services.chassis.arrivals import Series
from services.chassis.crypto import CannotOpen, FieldCipher
from services.chassis.inbox import Malformed
from services.chassis.logs import get_logger
from services.chassis.reencryption import encrypted_tables
from services.chassis.topology import WorkQueue
from services.chassis.uow import UnitOfWork
from services.contracts.commands.common import (
    DifferenceKind,
    RebuildProjection,
    RebuiltProjection,
    RowDifference,
)
from services.contracts.errors import NotFound
from services.contracts.events import Event, event_type

log = get_logger(__name__)

AT_ONCE = 1000
"""Events applied together, rows written together."""

SHOWN = 10
"""Differences that are told one by one."""

_CATCH_UPS = 4
_PAUSE_S = 0.5
"""How often the archives are read again, and after which pause, when what stands is ahead of them:
on a cluster a stream may lag behind the queue that got the same event."""

Keep = Callable[[UnitOfWork, list[Event]], None]


@dataclass(frozen=True)
class Projection:
    """A table kept from events, and the methods that keep it, each with its event types."""

    table: Table
    kept_by: tuple[tuple[Keep, tuple[type[Event], ...]], ...]

    @property
    def name(self) -> str:
        """What people call it: the table's name."""
        return str(self.table.name)


def projections(
    methods: Iterable[tuple[Keep, type[DeclarativeBase] | None, tuple[type[Event], ...]]],
) -> dict[str, Projection]:
    """A service's projections by name, from its ``@project`` methods that say which table."""
    found: dict[str, Projection] = {}
    for keep, model, types in methods:
        if model is not None:
            table: Any = model.__table__
            before = found.get(table.name, Projection(table, ())).kept_by
            found[table.name] = Projection(table, (*before, (keep, types)))
    return found


def rebuild(
    uow: UnitOfWork, known: dict[str, Projection], queue: WorkQueue, request: RebuildProjection
) -> RebuiltProjection:
    """Make a projection anew, compare it, and put it in place when that is asked."""
    projection = known.get(request.projection)
    if projection is None:
        raise NotFound(
            f"本服务没有投影 {request.projection}",
            field="projection",
            advice=f"可重建：{'、'.join(sorted(known)) or '无'}",
        )
    beside = _Beside(uow, projection.table)
    reading = _Reading(uow, projection)
    reading.to_the_end()
    beside.hold_still()
    reading.to_the_end()
    for _ in range(_CATCH_UPS):
        if reading.lost() or not beside.stands_ahead():
            break
        time.sleep(_PAUSE_S)
        reading.to_the_end()
    lost = reading.lost()
    found = list(beside.differences())
    wanted, doomed = _choose(found, sure=lost == 0) if request.swap else ([], [])
    beside.swap(wanted, doomed)
    answer = RebuiltProjection(
        service=uow.settings.service,
        projection=projection.name,
        events=reading.applied,
        unreadable=reading.unreadable,
        lost=lost,
        rows=beside.count(),
        differences=len(found),
        first=tuple(each for _, each in found[:SHOWN]),
        written=len(wanted),
        removed=len(doomed),
        waiting=_waiting(uow, queue),
    )
    uow.audit(
        "projection.rebuilt",
        "projection",
        projection.name,
        differences=answer.differences,
        written=answer.written,
        removed=answer.removed,
    )
    log.info("projection_rebuilt", projection=projection.name, differences=answer.differences)
    return answer


def _choose(
    found: Sequence[tuple[Any, RowDifference]], *, sure: bool
) -> tuple[list[Any], list[Any]]:
    """Keys of the rows to write and to remove.

    ``sure``: the archives hold every event there was. Otherwise what only stands, or stands newer,
    may have been told by an event that is lost: it is left.
    """
    wanted, doomed = [], []
    for key, each in found:
        if each.kind == "surplus":
            doomed += [key] if sure else []
        elif each.kind != "newer" or sure:
            wanted.append(key)
    return wanted, doomed


def _waiting(uow: UnitOfWork, queue: WorkQueue) -> int:
    """Events that wait in the queue of the live projection."""
    connection = amqp_io.connect(uow.settings.amqp_uri)
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(queue.name, passive=True).message_count)
    finally:
        amqp_io.drop(connection)


# -- reading ----------------------------------------------------------------------------------


@dataclass
class _Seen:
    """Which numbers of a series were read: ``first`` to ``last`` without a hole, and others."""

    first: int
    last: int
    others: set[int] = field(default_factory=set)

    def note(self, number: int) -> None:
        if number == self.last + 1:
            self.last = number
            while self.last + 1 in self.others:
                self.last += 1
                self.others.discard(self.last)
        elif not self.first <= number <= self.last:
            self.others.add(number)

    def lacks(self, told: int) -> int:
        """How many of the numbers from 1 to the highest (``told``, or read) were not read."""
        highest = max(told, self.last, *self.others)
        return highest - (self.last - self.first + 1) - len(self.others)


class _Reading:
    """The archives' events for a projection, applied in order; goes on where it ended."""

    def __init__(self, uow: UnitOfWork, projection: Projection) -> None:
        self.applied = self.unreadable = 0
        self._uow = uow
        self._kept_by = projection.kept_by
        declared = [event_type(struct) for _, types in projection.kept_by for struct in types]
        self._types = {each.name for each in declared}
        self._queue = WorkQueue("", tuple(declared), ())
        self._positions = {exchange: 0 for exchange, _ in self._queue.bindings()}
        self._seen: dict[Series, _Seen] = {}
        self._told: dict[Series, int] = {}

    def to_the_end(self) -> None:
        """Read what the archives hold now."""
        uri = self._uow.settings.amqp_uri
        connection = amqp_io.connect(uri)
        try:
            self._told = arrivals.published_by(connection, arrivals.producers_of(self._queue))
            standing = [
                e for e in self._positions if topology.exist(connection, [topology.archive(e)])
            ]
        finally:
            amqp_io.drop(connection)
        for exchange in standing:
            batch: list[Event] = []
            stream = topology.archive(exchange)
            for chunk in archive.read_stream(uri, stream, self._positions[exchange]):
                for message in chunk:
                    self._positions[exchange] = int(message.headers["x-stream-offset"]) + 1
                    event = self._read(exchange, message)
                    batch += [event] if event is not None else []
                if len(batch) >= AT_ONCE:
                    self._apply(batch)
                    batch = []
            self._apply(batch)

    def lost(self) -> int:
        """How many events that were published the archives no longer hold."""
        wanted = {
            series: told
            for series, told in self._told.items()
            if series.type in self._types and series.exchange in self._positions
        }
        return sum(seen.lacks(wanted.get(series, 0)) for series, seen in self._seen.items()) + sum(
            told for series, told in wanted.items() if series not in self._seen
        )

    def _read(self, exchange: str, message: amqp.Message) -> Event | None:
        headers = message.headers or {}
        if headers.get("cloudEvents:type") not in self._types:
            return None
        message.delivery_info["exchange"] = exchange
        if label := arrivals.label_of(message):
            series, number = label
            self._seen.setdefault(series, _Seen(number, number)).note(number)
        body = message.body
        raw = body.encode() if isinstance(body, str) else bytes(body)
        properties = message.properties
        try:
            return inbox.decode(
                properties.get("message_id"), properties.get("type"), raw, headers, None
            ).event
        except Malformed:
            self.unreadable += 1
            return None

    def _apply(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            self._keep(events)
        except (ValueError, DataError, IntegrityError):
            for event in events:  # as live: one by one, and what cannot be taken is laid aside
                try:
                    self._keep([event])
                except (ValueError, DataError, IntegrityError):
                    self.unreadable += 1

    def _keep(self, events: list[Event]) -> None:
        with self._uow.session.begin_nested():
            for keep, types in self._kept_by:
                chosen = [event for event in events if isinstance(event, types)]
                if chosen:
                    keep(self._uow, inbox.newest_by_subject(chosen))
        self.applied += len(events)


# -- beside one another -----------------------------------------------------------------------


class _Beside:
    """The standing table and the new one, which hides it in this transaction.

    What stands in the two statements that are put together here is a table's name from our models.
    """

    def __init__(self, uow: UnitOfWork, table: Table) -> None:
        self._session = uow.session
        self._cipher: FieldCipher = uow.cipher
        schema = str(self._session.scalar(text("SELECT current_schema()")))
        self._standing = table.to_metadata(MetaData(), schema=schema)
        self._new = table.to_metadata(MetaData(), schema="pg_temp")
        (self._key,) = (column.name for column in table.primary_key.columns)
        self._names = [column.name for column in table.columns if column.name != self._key]
        secret = encrypted_tables(_only(table))
        self._encrypted = set(secret[0].columns) if secret else set()
        self._bound_to = secret[0].bound_to if secret else self._key
        self._guards = [
            (name.removesuffix("version") + "epoch", name)
            for name in self._names
            if name == "version" or name.endswith("_version")
        ]
        quote = self._session.get_bind().dialect.identifier_preparer.quote
        self._quoted = f"{quote(schema)}.{quote(table.name)}"
        hidden_by = (
            f"CREATE TEMP TABLE {quote(table.name)} (LIKE {self._quoted} INCLUDING ALL) "
            "ON COMMIT DROP"
        )
        self._session.execute(text(hidden_by))

    def hold_still(self) -> None:
        """Nobody writes into the standing table until this transaction ends; reading goes on."""
        still = f"LOCK TABLE {self._quoted} IN SHARE ROW EXCLUSIVE MODE"
        self._session.execute(text(still))

    def count(self) -> int:
        """Rows of the new one."""
        return self._session.scalar(select(func.count()).select_from(self._new)) or 0

    def stands_ahead(self) -> bool:
        """Whether a standing row is newer than what the archives told so far, or only stands."""
        old, new = self._standing.c, self._new.c
        newer = or_(
            new[self._key].is_(None),
            *(
                func.row(func.coalesce(old[epoch], -1), func.coalesce(old[version], -1))
                > func.row(func.coalesce(new[epoch], -1), func.coalesce(new[version], -1))
                for epoch, version in self._guards
            ),
        )
        joined = self._standing.outerjoin(self._new, old[self._key] == new[self._key])
        return (
            self._session.scalar(select(old[self._key]).select_from(joined).where(newer).limit(1))
            is not None
        )

    def differences(self) -> Iterator[tuple[Any, RowDifference]]:
        """Rows in which the two differ: the key, and how."""
        old, new = self._standing.c, self._new.c
        plain = [name for name in self._names if name not in self._encrypted]
        differs = [old[name].is_distinct_from(new[name]) for name in plain]
        if self._encrypted:  # only opened can they be compared
            differs.append(or_(*(old[name].is_not(None) for name in sorted(self._encrypted))))
            differs.append(or_(*(new[name].is_not(None) for name in sorted(self._encrypted))))
        rows = self._session.execute(
            select(*_labelled(self._standing, "old"), *_labelled(self._new, "new"))
            .select_from(
                self._standing.join(self._new, old[self._key] == new[self._key], full=True)
            )
            .where(or_(old[self._key].is_(None), new[self._key].is_(None), *differs))
            .order_by(func.coalesce(old[self._key], new[self._key])),
            execution_options={"yield_per": AT_ONCE},
        )
        for row in rows.mappings():
            before = {name: row[f"old_{name}"] for name in (self._key, *self._names)}
            after = {name: row[f"new_{name}"] for name in (self._key, *self._names)}
            if found := self._difference(before, after):
                yield (before[self._key] or after[self._key]), found

    def swap(self, wanted: Sequence[Any], doomed: Sequence[Any]) -> None:
        """Put the new rows ``wanted`` in place and remove the standing rows ``doomed``."""
        columns = [self._key, *self._names]
        for keys in _parts(wanted):
            rows = select(*(self._new.c[name] for name in columns)).where(
                self._new.c[self._key].in_(keys)
            )
            statement = insert(self._standing).from_select(columns, rows)
            fresh = statement.excluded
            self._session.execute(
                statement.on_conflict_do_update(
                    index_elements=[self._key],
                    set_={name: fresh[name] for name in self._names},
                )
            )
        for keys in _parts(doomed):
            self._session.execute(
                delete(self._standing).where(self._standing.c[self._key].in_(keys))
            )

    def _difference(self, before: dict[str, Any], after: dict[str, Any]) -> RowDifference | None:
        if before[self._key] is None:
            return RowDifference(key=str(after[self._key]), kind="missing", columns=())
        if after[self._key] is None:
            return RowDifference(key=str(before[self._key]), kind="surplus", columns=())
        columns = tuple(name for name in self._names if not self._same(name, before, after))
        if not columns:
            return None
        return RowDifference(
            key=str(before[self._key]), kind=self._kind(before, after), columns=columns
        )

    def _kind(self, before: dict[str, Any], after: dict[str, Any]) -> DifferenceKind:
        pairs = [
            (_guard(before, epoch, version), _guard(after, epoch, version))
            for epoch, version in self._guards
        ]
        if any(stands > told for stands, told in pairs):
            return "newer"
        return "older" if any(stands < told for stands, told in pairs) else "differs"

    def _same(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        one, other = before[name], after[name]
        if name not in self._encrypted or one is None or other is None:
            return bool(one == other)
        try:
            return self._opened(name, before) == self._opened(name, after)
        except CannotOpen:
            return False

    def _opened(self, name: str, row: dict[str, Any]) -> bytes:
        place = {"table": self._standing.name, "row": row[self._bound_to], "column": name}
        return self._cipher.decrypt_bytes(row[name], **place)


def _only(table: Table) -> MetaData:
    alone = MetaData()
    table.to_metadata(alone)
    return alone


def _labelled(table: Table, prefix: str) -> list[Any]:
    return [column.label(f"{prefix}_{column.name}") for column in table.columns]


def _guard(row: dict[str, Any], epoch: str, version: str) -> tuple[int, int]:
    """What a facet is guarded by; before any that was told when it never was."""
    return (
        -1 if row[epoch] is None else row[epoch],
        -1 if row[version] is None else row[version],
    )


def _parts(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
