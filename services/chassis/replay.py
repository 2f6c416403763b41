"""Replays: what a bureau may see, sent once more from the archives into its own queue.

A bureau asks by event; each service serves its own archives, a slice at a time in a child process,
through the bureau's own patterns and division, never faster than the bureau reads. What is sent is
marked; the last message says that it is over.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

import amqp
from kombu import Connection
from sqlalchemy import func, select
from sqlalchemy.orm.attributes import flag_modified

from services.chassis import amqp_io, archive, bureaus, logs, topology
from services.chassis.arrivals import ORIGIN_EXCHANGE
from services.chassis.bureaus import Bureau
from services.chassis.clock import ZONE
from services.chassis.models import ReplayRow
from services.chassis.settings import Settings
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor
from services.contracts.divisions import path
from services.contracts.events.bureaus import ReplayRequested

log = logs.get_logger(__name__)

MARK = "x-replayed-for"
"""Header of what is sent again: the id of the event that asked for it."""

FINISHED = "zhida.replay_finished"
"""Type of the message that ends a service's part of a replay; no event."""

A_DAY = 20
"""Replays a bureau may ask for in a day."""

SLICE_S = 12.0


def note(uow: UnitOfWork, events: Sequence[ReplayRequested]) -> list[bool]:
    """Put wishes down; for each whether it was taken: so many a day, and for types there may be."""
    taken = []
    for delivery, event in zip(uow.deliveries, events, strict=True):
        bureau = delivery.type.partition(".")[0]
        lately = uow.session.scalar(
            select(func.count()).where(
                ReplayRow.bureau == bureau,
                ReplayRow.requested_at > uow.machine_now() - timedelta(days=1),
            )
        )
        taken.append((lately or 0) < A_DAY and all(map(bureaus.is_pattern, event.types)))
        if taken[-1]:
            uow.session.add(
                ReplayRow(
                    id=delivery.event_id,
                    bureau=bureau,
                    division=event.division,
                    from_date=event.from_date,
                    types=list(event.types),
                    positions={},
                )
            )
            uow.session.flush()
    return taken


def serve(uow: UnitOfWork) -> None:
    """Serve a slice where anybody waits, in a process of its own: the event loop goes on."""
    if uow.session.scalar(select(ReplayRow.id).where(ReplayRow.finished_at.is_(None)).limit(1)):
        command = [sys.executable, "-m", "services.chassis.replay", uow.settings.service]
        done = subprocess.run(command, check=False)
        if done.returncode:
            log.error("replay_interrupted", returncode=done.returncode)


def serve_slice(foundation: Foundation) -> None:
    """Go on with the replay that has waited longest; what was sent is written down at the end.

    Killed on the way it is sent again: the bureau knows events by their ids.
    """
    settings = foundation.settings
    with foundation.begin(system_actor(settings.service)) as uow:
        row = uow.session.scalar(
            select(ReplayRow)
            .where(ReplayRow.finished_at.is_(None))
            .order_by(ReplayRow.served_at.asc().nulls_first(), ReplayRow.requested_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return
        bureau = bureaus.load(settings.bureaus_file).get(row.bureau)
        if bureau is None or not all(map(bureaus.is_pattern, row.types)):
            over = True  # nobody to tell, or nothing there is: it holds up no other
        else:
            over = send(settings.amqp_uri, settings.service, bureau, row)
        flag_modified(row, "positions")
        row.served_at = uow.machine_now()
        if over:
            row.finished_at = row.served_at
            log.info("replay_finished", bureau=row.bureau, events=row.sent)


class _Full(Exception):
    """The bureau's queue holds enough for now, or the slice's time is over."""


def send(amqp_uri: str, service: str, bureau: Bureau, row: ReplayRow) -> bool:
    """Send what fits into this slice of a service's archives; whether that was all.

    How far it came is noted in ``row``.
    """
    connection = amqp_io.connect(amqp_uri)
    try:
        if not topology.exist(connection, [bureau.queue]):
            return True
        room = _Room(connection, bureau)
        publisher = amqp_io.ConfirmedPublisher(connection)
        try:
            for exchange in bureau.exchanges():
                if exchange in topology.exchanges_of(service):
                    _send_archive(amqp_uri, bureau, row, exchange, room, publisher)
        except _Full:
            return False
        said = {"request": str(row.id), "service": service, "events": row.sent}
        end = amqp.Message(
            json.dumps(said),
            delivery_mode=2,
            content_type="application/json",
            type=FINISHED,
            application_headers={MARK: str(row.id)},
        )
        publisher.publish_one(end, "", bureau.queue)
        return True
    finally:
        amqp_io.drop(connection)


def _send_archive(
    amqp_uri: str,
    bureau: Bureau,
    row: ReplayRow,
    exchange: str,
    room: _Room,
    publisher: amqp_io.ConfirmedPublisher,
) -> None:
    since = datetime.combine(row.from_date, time_of_day(), ZONE).astimezone(UTC)
    wanted = _wanted(bureau, row, exchange)
    stored = topology.archive(exchange)
    for chunk in archive.read_stream(amqp_uri, stored, row.positions.get(exchange, since)):
        for part in _parts(chunk, room.at_once):
            copies = [
                (_copy(message, exchange, row), "", bureau.queue)
                for message in part
                if wanted.fullmatch(message.delivery_info["routing_key"])
                and (sent_at := _sent_at(message)) is not None
                and sent_at >= since
            ]
            room.await_for(copies)
            if copies and len(publisher.publish(copies)) < len(copies):
                raise amqp_io.NotConfirmed("the broker refused a replay")
            row.sent += len(copies)
            row.positions[exchange] = int(part[-1].headers["x-stream-offset"]) + 1


def _parts(chunk: Sequence[amqp.Message], size: int) -> Iterator[Sequence[amqp.Message]]:
    for start in range(0, len(chunk), size):
        yield chunk[start : start + size]


class _Room:
    """What may be put into a bureau's queue: never more than half, the rest is for today's."""

    def __init__(self, connection: Connection, bureau: Bureau) -> None:
        self._connection = connection
        self._bureau = bureau
        self._ends = time.monotonic() + SLICE_S
        self.at_once = max(1, min(500, bureau.queue_length // 4))
        self._count = self._bytes = 0

    def await_for(self, copies: Sequence[tuple[amqp.Message, str, str]]) -> None:
        """Raise ``_Full`` when these should wait."""
        if time.monotonic() > self._ends:
            raise _Full
        if not copies:
            return
        self._count += len(copies)
        self._bytes += sum(len(copy.body) for copy, _, _ in copies)
        with self._connection.channel() as channel:
            waiting = channel.queue_declare(self._bureau.queue, passive=True).message_count
        each = self._bytes / self._count
        after = waiting + len(copies)
        too_many = after > self._bureau.queue_length // 2
        if (too_many or after * each > self._bureau.queue_bytes / 2) and waiting:
            raise _Full


def _wanted(bureau: Bureau, row: ReplayRow, exchange: str) -> re.Pattern[str]:
    """Routing keys that the bureau may see and asked for, within the division it named."""
    asked = [bureaus.full(pattern) for pattern in row.types] or ["*.*.*"]
    place = re.escape(path(row.division))
    if not row.division.startswith(bureau.division):
        place = re.escape(path(bureau.division))
    types = [
        declared.name
        for pattern in bureau.exchanges().get(exchange, ())
        for declared in bureaus.visible_types(pattern, bureau.privacy)
        if any(topology.matches(each, declared.name) for each in asked)
    ]
    return re.compile(rf"(?:{'|'.join(map(re.escape, types)) or '$^'})\.{place}(?:\..*)?")


def _sent_at(message: amqp.Message) -> datetime | None:
    """When an event was said; None for what is no event of ours."""
    said = (message.headers or {}).get("cloudEvents:time")
    try:
        return datetime.fromisoformat(str(said))
    except ValueError:
        return None


def _copy(message: amqp.Message, exchange: str, row: ReplayRow) -> amqp.Message:
    headers = {k: v for k, v in message.headers.items() if k.startswith("cloudEvents:")}
    body = message.body
    return amqp.Message(
        body.encode() if isinstance(body, str) else bytes(body),
        delivery_mode=2,
        content_type="application/json",
        message_id=message.properties["message_id"],
        type=message.properties["type"],
        application_headers={**headers, ORIGIN_EXCHANGE: exchange, MARK: str(row.id)},
    )


def main(service: str) -> int:
    """One slice. The service's own class is not loaded: this is a child that lives for seconds."""
    logs.configure(service)
    foundation = Foundation.build(Settings.from_env(service))
    serve_slice(foundation)
    foundation.engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
