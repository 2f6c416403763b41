"""Zhida's side of the sandbox: tells of synthetic people, and answers what bureaus say.

Judged by the code of the city's own door. What is accepted has no effect: nobody is there whom it
could concern. A bureau's patterns, division and limits are those of its entry in the sandbox's
file, read anew for each request.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Signal

import amqp
from kombu import Connection

from deploy.sandbox import people
from deploy.sandbox.voice import Voice, exchanges
from services.chassis import amqp_io, bureaus, door, replay, topology
from services.chassis.bureaus import Bureau
from services.chassis.clock import ZONE
from services.chassis.door import Refused
from services.chassis.inbox import Delivery
from services.chassis.logs import get_logger
from services.chassis.models import ReplayRow
from services.chassis.topology import WorkQueue
from services.contracts.events import Audience, event_types
from services.contracts.events.bureaus import DeathRegistered, DeathRevoked, ReplayRequested
from services.contracts.events.registry import BureauEventAccepted
from services.registry import notices
from services.registry.bureaus import TOO_MANY, No, objection, refusal

log = get_logger(__name__)

QUEUE = "registry.sandbox_door"
FILLED_DAYS = 30
"""How far back the first people's events are dated, so that a replay has days to choose from."""
REMEMBERED = 100_000
"""Event ids that are known to have been answered."""


class Door:
    """Consumes what bureaus say on one vhost and answers as the city does."""

    def __init__(
        self,
        amqp_uri: str,
        *,
        private_key: str,
        bureaus_file: Path,
        county: str,
        people_at_first: int = 200,
        seconds_a_person: float = 30.0,
    ) -> None:
        self._amqp_uri = amqp_uri
        self._private_key = private_key
        self._bureaus_file = bureaus_file
        self._county = county
        self._people_at_first = people_at_first
        self._seconds_a_person = seconds_a_person
        inbound = tuple(each for each in event_types() if each.audience is Audience.INBOUND)
        self._queue = WorkQueue(QUEUE, inbound, ())
        self._answered: dict[uuid.UUID, None] = {}
        self._replays: deque[tuple[Bureau, str, ReplayRow]] = deque()
        self._asked: dict[str, list[float]] = {}
        self._next_person = 0.0
        self.open = Signal()
        """Set while bureaus are answered."""

    def serve(self, stop: Signal) -> None:
        """Answer until told to stop, reconnecting for as long as the broker is away."""
        while not stop.is_set():
            connection: Connection | None = None
            try:
                connection = amqp_io.connect(self._amqp_uri)
                with Voice(self._amqp_uri) as voice:
                    self._fill(voice)
                    self._consume(connection, voice, stop)
            except (OSError, amqp.AMQPError, amqp_io.NotConfirmed) as error:
                log.warning("sandbox_interrupted", error=type(error).__name__)
                stop.wait(1.0)
            finally:
                self.open.clear()
                if connection is not None:
                    amqp_io.drop(connection)

    def _fill(self, voice: Voice) -> None:
        """Tell of the villages and the first people, when nobody was told of yet."""
        if voice.count("person.registered.v1"):
            return
        now, count = datetime.now(UTC), self._people_at_first
        first = now - timedelta(days=FILLED_DAYS)
        voice.tell((event, first) for event in people.places(self._county))
        for number in range(count):
            at = first + timedelta(days=FILLED_DAYS) * number / count
            voice.tell((event, at) for event in people.life(number, self._county))
        log.info("sandbox_filled", people=count)

    def _consume(self, connection: Connection, voice: Voice, stop: Signal) -> None:
        waiting: deque[amqp.Message] = deque()
        channel = connection.channel()
        topology.declare_queue(channel, self._queue, archive_max_bytes=200_000_000)
        channel.basic_qos(0, 100, False)
        channel.basic_consume(self._queue.name, callback=waiting.append)
        self._next_person = time.monotonic() + self._seconds_a_person
        self.open.set()
        while not stop.is_set():
            amqp_io.drain(connection, 0.2)
            connection.heartbeat_check()
            voice.beat()
            while waiting:
                message = waiting.popleft()
                self._answer(voice, message)
                channel.basic_ack(message.delivery_tag)
            self._serve_replay()
            if time.monotonic() >= self._next_person:
                number = voice.count("person.registered.v1")
                voice.say(*people.life(number, self._county))
                self._next_person = time.monotonic() + self._seconds_a_person

    # -- answers ----------------------------------------------------------------------------

    def _answer(self, voice: Voice, message: amqp.Message) -> None:
        delivery = door.read(message, self._queue.types)
        if delivery.event_id in self._answered:
            return  # it came again: it was answered, and takes effect once
        refused = delivery.event if isinstance(delivery.event, Refused) else self._judged(delivery)
        if refused is not None:
            voice.say(refusal(refused, self._county))
        else:
            voice.say(
                BureauEventAccepted(
                    event_id=str(delivery.event_id),
                    bureau=delivery.type.partition(".")[0],
                    division=delivery.event.division,  # type: ignore[attr-defined]
                )
            )
        self._answered[delivery.event_id] = None
        while len(self._answered) > REMEMBERED:
            self._answered.pop(next(iter(self._answered)))
        log.info("sandbox_answered", type=delivery.type, code=refused.code if refused else None)

    def _judged(self, delivery: Delivery) -> Refused | None:
        event, no = delivery.event, None
        if isinstance(event, DeathRegistered | DeathRevoked):
            try:
                notices.number_of(event, self._private_key, datetime.now(ZONE).date())
            except notices.NotTaken as wrong:
                no = (wrong.reason or wrong.code, wrong.field, wrong.message)
        elif isinstance(event, ReplayRequested):
            no = self._take_wish(delivery, event)
        if no is None:
            return None
        code, field, reason = no
        return Refused(
            bureau=delivery.type.partition(".")[0],
            event_id=str(delivery.event_id),
            type=delivery.type,
            division=event.division,  # type: ignore[attr-defined]
            code=code,
            field=field,
            reason=reason,
        )

    def _take_wish(self, delivery: Delivery, event: ReplayRequested) -> No | None:
        name = delivery.type.partition(".")[0]
        entry = bureaus.load(self._bureaus_file).get(name)
        if no := objection(entry, event):
            return no
        assert entry is not None
        now = time.monotonic()
        lately = [at for at in self._asked.get(name, []) if now - at < timedelta(days=1).seconds]
        if len(lately) >= replay.A_DAY:
            return TOO_MANY
        self._asked[name] = [*lately, now]
        for producer in sorted({exchange.partition(".")[0] for exchange in exchanges()}):
            row = ReplayRow(
                id=delivery.event_id,
                bureau=name,
                division=event.division,
                from_date=event.from_date,
                types=list(event.types),
                positions={},
                sent=0,
            )
            self._replays.append((entry, producer, row))
        return None

    def _serve_replay(self) -> None:
        """A slice of the replay that has waited longest."""
        if self._replays:
            entry, producer, row = self._replays.popleft()
            if not replay.send(self._amqp_uri, producer, entry, row):
                self._replays.append((entry, producer, row))
