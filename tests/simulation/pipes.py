"""Between a change and its effect: the real outbox, relay and inbox, and a played broker."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import event as hook
from sqlalchemy.orm import Session

from services.chassis import outbox
from services.chassis.edge import PUBLIC, Endpoint
from services.chassis.inbox import Delivery
from services.chassis.relay import Relay
from services.chassis.service import Chassis
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor
from services.contracts.events import Event
from services.contracts.events.base import decode
from services.contracts.requests import Command


class Crash(BaseException):
    """The process is gone: whatever was not committed with it."""


class Say(Command[int], frozen=True, kw_only=True):
    """Say what is listed under ``page``; the answer is how much that was."""

    page: int

    @classmethod
    def service(cls) -> str:
        """The producer."""
        return "registry"


class Bench:
    """What a service class needs of its chassis; batches are the real ``run_batch``."""

    run_batch = Chassis.run_batch

    def __init__(self, foundation: Foundation, service: type[Any]) -> None:
        self.foundation = foundation
        self.actor = system_actor(service.name)


@dataclass(frozen=True)
class Queue:
    """A subscription: which events go there, and the real entrypoint that takes them."""

    name: str
    types: tuple[type[Event], ...]
    take: Callable[[list[Delivery]], None]


def queue(
    service: type[Any], method: str, types: tuple[type[Event], ...], foundation: Foundation
) -> Queue:
    """The subscription of a service's method (``apply_copies`` for all its projections)."""
    standing = service()
    standing.chassis = Bench(foundation, service)
    name = f"{service.name}.{'copies' if method == 'apply_copies' else method}"
    return Queue(name, types, getattr(standing, method))


@dataclass
class Producer:
    """A service with its real outbox, told by commands what to say; and its real relay."""

    foundation: Foundation
    pages: list[list[Event]] = field(default_factory=list)
    _crash: str | None = None

    def __post_init__(self) -> None:
        self._endpoint = Endpoint(Say, PUBLIC, writes=True, child=False, keep_answer=True)
        self._relay = Relay(self.foundation)
        self._confirmed: list[int] = []

    def say(self, page: int, *, key: str) -> int:
        """One command by way of the real edge: its actor, key, transaction, outbox."""
        answer = self._endpoint.answer(
            self.foundation, self._write, {"page": page}, {"idempotency_key": key}, home=None
        )
        return int(answer["ok"])

    def _write(self, uow: UnitOfWork, request: Say) -> int:
        return len(uow.emit_all(self.pages[request.page]))

    def relay(self, *, forgetful: Callable[[], bool]) -> Iterator[list[outbox.Envelope]]:
        """Batches as the real relay takes them, until the outbox is empty.

        Where ``forgetful``, the relay dies after the broker has confirmed and before the rows are
        forgotten: the next one takes them again.
        """
        with closing(self._relay._open_session()) as session:
            confirmed: list[int] = []
            while rows := self._relay._take(session, confirmed, ()):
                yield rows
                confirmed = [] if forgetful() else [row.id for row in rows]
            self._relay._take(session, confirmed, ())


@contextmanager
def dying(when: str | None) -> Iterator[None]:
    """Within the block the process dies before a commit, or after it."""
    if when is None:
        yield
        return

    def die(_session: Session) -> None:
        raise Crash(when)

    hook.listen(Session, when, die)
    try:
        yield
    finally:
        hook.remove(Session, when, die)


def delivery(row: outbox.Envelope, known: dict[str, Event]) -> Delivery:
    """A row as it reaches a consumer."""
    event = known.get(row.event_id)
    if event is None:
        event = known[row.event_id] = decode(row.type, bytes(row.body))
    return Delivery(UUID(row.event_id), row.type, event, row.traceparent, None)


class Broker:
    """The queues of every world; it repeats, loses and reorders as the dice say."""

    def __init__(self, queues: Sequence[Queue], world_of: Callable[[Event], int]) -> None:
        self.queues = {each.name: each for each in queues}
        self._world_of = world_of
        self._known: dict[str, Event] = {}
        self.waiting: dict[int, dict[str, list[Delivery]]] = defaultdict(lambda: defaultdict(list))
        """By world and queue, in the order of arrival."""
        self.archive: dict[int, dict[str, list[Delivery]]] = defaultdict(lambda: defaultdict(list))
        """All that ever went to a queue of a world."""

    def publish(self, rows: Sequence[outbox.Envelope]) -> set[int]:
        """Take a batch of the relay's; whose worlds it was about."""
        told = set()
        for row in rows:
            arrived = delivery(row, self._known)
            world = self._world_of(arrived.event)
            told.add(world)
            for each in self.queues.values():
                if isinstance(arrived.event, each.types):
                    self.waiting[world][each.name].append(arrived)
                    kept = self.archive[world][each.name]
                    if arrived not in kept:
                        kept.append(arrived)
        return told

    def redeliver(self, world: int, rng: random.Random) -> bool:
        """An old delivery comes again."""
        places = [name for name, kept in self.archive[world].items() if kept]
        if not places:
            return False
        name = rng.choice(places)
        self.waiting[world][name].append(rng.choice(self.archive[world][name]))
        return True

    def lose_queue(self, world: int, name: str) -> None:
        """A queue is gone with all that waited; it is made again and refilled from the archive."""
        self.waiting[world][name] = list(self.archive[world][name])
