"""The probe's language: one fact, one facet, one command, one query."""

from __future__ import annotations

from uuid import UUID

from services.contracts.events.base import Audience, Event, event
from services.contracts.requests import Command, Query


@event("thing.noted.v1", audience=Audience.BUREAUS, subject="thing_id")
class ThingNoted(Event, frozen=True, kw_only=True):
    """Something was noted. ``trouble`` tells the handler how to fail."""

    thing_id: UUID
    division: str
    amount: int
    trouble: str = ""
    child: bool = False
    padding: str = ""


@event("thing.recorded.v1", audience=Audience.INTERNAL, subject="thing_id", facet="thing")
class ThingRecorded(Event, frozen=True, kw_only=True):
    """The whole state of a thing."""

    thing_id: UUID
    division: str
    label: str
    epoch: int
    version: int


class NoteThing(Command[int], frozen=True, kw_only=True):
    """Note a thing: emits both events."""

    thing_id: UUID
    amount: int
    trouble: str = ""


class CountEffects(Query[dict[str, int]], frozen=True, kw_only=True):
    """How many effects there are and their sum."""


class WeighFile(Command[int], frozen=True, kw_only=True):
    """The size of a file, weighed in a child process."""

    file_id: UUID
