"""Somebody with every role a door admits, but of another place, at every door of a service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from services.chassis.discovery import service_class
from services.chassis.service import PUBLIC, endpoints
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Actor
from services.contracts.errors import Forbidden, NotFound, ZhidaError
from services.contracts.requests import Request

Begin = Callable[[Actor], AbstractContextManager[UnitOfWork]]

_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
  AND table_name NOT LIKE 'audit%' ORDER BY 1
"""


def doors(service: str) -> set[str]:
    """Every command and query of the service's own that needs a token."""
    return {
        name
        for name, door in endpoints(service_class(service)).items()
        if door.request.__module__.endswith(f"commands.{service}") and door.access is not PUBLIC
    }


def walk(
    service: str,
    begin: Begin,
    asked: Mapping[str, Request[Any]],
    *,
    place: str,
    marks: Iterable[object],
) -> list[str]:
    """What a stranger of ``place`` got: doors that showed a mark of what is not theirs, refused for
    another reason than place, or wrote something. ``marks``: ids, names, numbers of the others.
    """
    cls, wrong = service_class(service), []
    hidden = [str(mark) for mark in marks]
    before = _contents(begin)
    for name, request in asked.items():
        roles = tuple(endpoints(cls)[name].access)  # type: ignore[arg-type]
        stranger = Actor(id=str(UUID(int=0x77)), name="外地", roles=roles, divisions=(place,))
        method = getattr(cls, name).__wrapped__
        given = msgspec.convert(msgspec.to_builtins(request), type(request), strict=False)
        try:
            with begin(stranger) as uow:
                said = msgspec.json.encode(method(cls(), uow, given)).decode()
        except (Forbidden, NotFound) as no:
            said = msgspec.json.encode(no.as_dict()).decode()
        except ZhidaError as other:
            wrong.append(f"{name}: {type(other).__name__} {other.message}")
            continue
        # what the stranger said himself may come back
        own = msgspec.json.encode(given).decode()
        if shown := [mark for mark in hidden if mark in said and mark not in own]:
            wrong.append(f"{name} shows {shown}")
        after = _contents(begin)
        if changed := sorted(table for table in after if after[table] != before[table]):
            wrong.append(f"{name} writes {changed}")
            before = after
    return wrong


def _contents(begin: Begin) -> dict[str, str]:
    """A digest of each table but the audit log."""
    nobody = Actor(id=str(UUID(int=0x78)), name="核对", roles=(), divisions=())
    with begin(nobody) as uow:
        tables = uow.session.scalars(text(_TABLES)).all()
        return {
            table: hashlib.sha256(
                "\n".join(
                    uow.session.scalars(text(f'SELECT t::text FROM "{table}" t ORDER BY 1'))
                ).encode()
            ).hexdigest()
            for table in tables
        }
