"""The services of a city on their own databases, with their events handed over in the open.

Everything is the product's own but the broker: commands enter where the edge lets them in, events
leave the real outboxes and reach the real subscriptions, each claimed in the inbox. What the broker
adds is tested in ``tests/integration/chassis``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import msgspec
from sqlalchemy import select

from services.chassis import inbox
from services.chassis.discovery import service_class
from services.chassis.inbox import Delivery
from services.chassis.models import OutboxRow
from services.chassis.service import Service, endpoints
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Actor, system_actor
from services.contracts.errors import Forbidden
from services.contracts.events import Event
from services.contracts.events.base import decode
from services.contracts.requests import Request

R = TypeVar("R")
E = TypeVar("E", bound=Event)


@dataclass
class City:
    """``today`` is the business date of all services."""

    foundations: dict[str, Foundation]
    today: date
    _told: dict[str, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    """Everything that was said so far, in the order it was handed over."""

    @contextmanager
    def begin(self, service: str, actor: Actor | None = None) -> Iterator[UnitOfWork]:
        """A unit of work of a service on the city's business date."""
        with self.foundations[service].begin(actor or system_actor(service)) as uow:
            uow.clock.set_today(self.today)
            yield uow

    def ask(self, actor: Actor, request: Request[R]) -> R:
        """A request as the edge sends it: the post is checked, the use case runs, all settles."""
        service = type(request).service()
        cls: type[Service] = service_class(service)
        access = endpoints(cls)[request.method()].access
        if isinstance(access, tuple) and not actor.has(*access):
            raise Forbidden("您的岗位没有这项权限")
        body = msgspec.convert(msgspec.to_builtins(request), type(request), strict=False)
        with self.begin(service, actor) as uow:
            answer: R = getattr(cls, request.method()).__wrapped__(cls(), uow, body)
        self.settle()
        return answer

    def settle(self, *, again: bool = False) -> None:
        """Hand all events over until nobody has anything to say; ``again``: each of them twice."""
        while fresh := [each for name in self.foundations for each in self._said(name)]:
            self.events += [delivery.event for delivery in fresh]
            for name in self.foundations:
                self._hear(name, fresh)
                if again:
                    self._hear(name, fresh)

    def said(self, kind: type[E]) -> list[E]:
        """All events of a type so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def _said(self, service: str) -> Sequence[Delivery]:
        with self.begin(service) as uow:
            rows = uow.session.scalars(
                select(OutboxRow)
                .where(OutboxRow.id > self._told.get(service, 0))
                .order_by(OutboxRow.id)
            ).all()
            if rows:
                self._told[service] = rows[-1].id
            return [
                Delivery(row.event_id, row.type, decode(row.type, bytes(row.body)), None, None)
                for row in rows
            ]

    def _hear(self, service: str, deliveries: Sequence[Delivery]) -> None:
        cls: Any = service_class(service)
        for name in dir(cls):
            method = getattr(cls, name)
            kinds = getattr(method, "projects", None) or getattr(method, "reacts_to", None)
            chosen = [d for d in deliveries if kinds and isinstance(d.event, kinds)]
            if not chosen:
                continue
            with self.begin(service) as uow:
                fresh = inbox.claim(uow.session, f"{service}.{name}", (d.event_id for d in chosen))
                chosen = [d for d in chosen if d.event_id in fresh]
                events = [d.event for d in chosen]
                if not events:
                    continue
                uow.deliveries = chosen
                if hasattr(method, "projects"):
                    method(cls(), uow, inbox.newest_by_subject(events))
                else:
                    method.__wrapped__(cls(), uow, events)
