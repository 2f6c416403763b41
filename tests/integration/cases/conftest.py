"""A migrated database of cases with a small town in it, and people acting on it day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import select

from services.cases.service import CasesService
from services.chassis.models import OutboxRow
from services.chassis.service import endpoints
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Actor, system_actor
from services.contracts.errors import Forbidden
from services.contracts.events import Event
from services.contracts.events.base import decode
from services.contracts.requests import Request
from tests.builders import case_world as world

R = TypeVar("R")
E = TypeVar("E", bound=Event)


@dataclass
class Town:
    """The service with a date; ``ask`` acts as a member of staff, roles checked."""

    begin: Callable[..., AbstractContextManager[UnitOfWork]]
    today: date = world.MONDAY

    def ask(self, staff: UUID | Actor, request: Request[R]) -> R:
        """What the entrypoint would do: role, use case, one transaction."""
        actor = world.acting(staff) if isinstance(staff, UUID) else staff
        endpoint = endpoints(CasesService)[request.method()]
        if isinstance(endpoint.access, tuple) and not actor.has(*endpoint.access):
            raise Forbidden("您的岗位没有这项权限")
        body = msgspec.convert(msgspec.to_builtins(request), type(request), strict=False)
        method: Any = getattr(CasesService, request.method()).__wrapped__
        with self.begin("cases", actor=actor, today=self.today) as uow:
            answer: R = method(None, uow, body)
            return answer

    @contextmanager
    def system(self) -> Iterator[UnitOfWork]:
        """A unit of work as reactions and timers have it."""
        with self.begin("cases", actor=system_actor("cases"), today=self.today) as uow:
            yield uow

    def told(self, kind: type[E]) -> list[E]:
        """All events of a type in the outbox, in order, as they would be published."""
        from services.contracts.events import event_type

        with self.system() as uow:
            rows = uow.session.execute(
                select(OutboxRow.body)
                .where(OutboxRow.type == event_type(kind).name)
                .order_by(OutboxRow.id)
            )
            return [decode(event_type(kind).name, bytes(body)) for (body,) in rows]  # type: ignore[misc]


@pytest.fixture
def town(uow_for: Callable[..., AbstractContextManager[UnitOfWork]]) -> Town:
    """Cases with the family Chen and the staff of 螺山镇, on Monday 2026-09-28."""
    made = Town(uow_for)
    with made.system() as uow:
        world.settle(uow)
    return made
