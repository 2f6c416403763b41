"""What an actor may see: their own divisions, and nobody who was removed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import false, or_, true

from services.chassis.uow import UnitOfWork
from services.contracts.errors import NotFound
from services.registry.models import Person


def in_sight(uow: UnitOfWork, person_id: UUID) -> Person:
    """This person. Raises ``NotFound``, or refuses the actor of another place."""
    person = uow.session.get(Person, person_id)
    if person is None or person.removed:
        raise NotFound("没有这个人", field="person_id")
    uow.require(person.division)
    return person


def scope(uow: UnitOfWork, column: Any, division: str) -> list[Any]:
    """Within ``division`` and within the actor's own divisions."""
    own = [column.startswith(scope, autoescape=True) for scope in uow.actor.divisions if scope]
    everywhere = true() if "" in uow.actor.divisions else false()
    wanted = [column.startswith(division, autoescape=True)] if division else []
    return [*wanted, or_(everywhere, *own)]


def within(uow: UnitOfWork, division: str) -> list[Any]:
    """People within ``division`` and within the actor's own divisions."""
    return [~Person.removed, *scope(uow, Person.division, division)]
