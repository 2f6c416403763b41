"""What an event type is: its name, who may hear it, what is sealed, which copy it feeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec

from services.contracts.divisions import path


class Audience(StrEnum):
    """The exchange an event goes to, and so who may bind to it."""

    BUREAUS = "bureaus"
    """``<service>.events``: other bureaus. Never a name, number, address, illness or income."""
    IDENTIFIED = "identified"
    """``<service>.identified``: adds the name; bureaus whose entry names a legal basis."""
    INTERNAL = "internal"
    """``<service>.internal``: only our own services' broker users."""
    INBOUND = "inbound"
    """``bureaus.events``: what other bureaus say to us."""


class Privacy(StrEnum):
    """The class of what stands in the body."""

    OPEN = "open"
    ADMINISTRATIVE = "administrative"
    IDENTIFIED = "identified"
    PERSONAL = "personal"


Sealed = Annotated[str, msgspec.Meta(extra_json_schema={"x-sealed": True})]
"""Ciphertext for exactly one receiver; shown as ``[sealed]`` wherever a person could see it."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. Readers ignore fields they do not know (additive evolution)."""


class AuditAnchored(Event, frozen=True, kw_only=True):
    """The head of a service's audit chain: its seal number ``version`` had this ``digest``.

    Each service has a type of its own on this base; another service keeps what it was told.
    """

    service: str
    division: str
    digest: str
    at: datetime
    epoch: int
    version: int


@dataclass(frozen=True)
class EventType:
    """The declaration of an event type, made by ``@event``."""

    name: str
    producer: str
    audience: Audience
    privacy: Privacy
    subject: str
    facet: str | None
    sealed: tuple[tuple[str, str], ...]
    struct: type[Event]
    addressee: str | None = None

    @property
    def purpose(self) -> str:
        """The first paragraph of the struct's docstring."""
        return (self.struct.__doc__ or "").strip().split("\n\n")[0]

    def audience_of(self, event: Event) -> Audience:
        """Where this event goes: everything about a child's benefit is internal."""
        if self.audience is not Audience.INBOUND and getattr(event, "child", False):
            return Audience.INTERNAL
        return self.audience

    def exchange(self, audience: Audience | None = None) -> str:
        """The exchange for ``audience`` (the type's own when not given)."""
        audience = audience or self.audience
        if audience is Audience.INBOUND:
            return "bureaus.events"
        suffix = "events" if audience is Audience.BUREAUS else audience.value
        return f"{self.producer}.{suffix}"

    def subject_of(self, event: Event) -> str:
        """The aggregate the event is about."""
        return str(getattr(event, self.subject))

    def routing_key(self, event: Event) -> str:
        """``person.registered.v1.42.10.83.108.007``; the addressee, if any, stands before it."""
        to = f"{getattr(event, self.addressee)}." if self.addressee else ""
        return f"{self.name}.{to}{path(event.division)}"  # type: ignore[attr-defined]

    @property
    def binding(self) -> str:
        """What a queue for this type binds to: every division, and every bureau that may say it."""
        name = self.name
        if name.startswith(ANY_BUREAU):
            name = f"*.{name.removeprefix(ANY_BUREAU)}"
        return f"{name}.#"


ANY_BUREAU = "bureau."
"""How the name of an inbound type begins that every bureau may say, under its own name."""

_TYPES: dict[str, EventType] = {}
_BY_STRUCT: dict[type[Event], EventType] = {}

E = TypeVar("E", bound=type[Event])


def event(
    name: str,
    *,
    audience: Audience,
    subject: str,
    privacy: Privacy | None = None,
    facet: str | None = None,
    sealed: dict[str, str] | None = None,
    addressee: str | None = None,
) -> Callable[[E], E]:
    """Declare a struct as the event type ``name`` (``<entity>.<past-tense verb>.v<major>``).

    ``subject`` names the field with the aggregate's id. ``facet`` marks an event that carries the
    whole state of one facet of the aggregate, guarded by its fields ``epoch`` and ``version``.
    ``sealed`` maps fields to the one service that may open them. An inbound type is named
    ``<bureau>.<event>.v<major>``, or ``bureau.…`` when every bureau may say it. ``addressee`` names
    the field with the one bureau an event is for.
    """
    implied = {
        Audience.BUREAUS: Privacy.ADMINISTRATIVE,
        Audience.IDENTIFIED: Privacy.IDENTIFIED,
        Audience.INTERNAL: Privacy.PERSONAL,
        Audience.INBOUND: Privacy.PERSONAL,
    }[audience]

    def declare(struct: E) -> E:
        fields = {field.name for field in msgspec.structs.fields(struct)}
        required = {subject, "division", *(sealed or {})}
        if facet:
            required |= {"epoch", "version"}
        if missing := required - fields:
            raise TypeError(f"{name} lacks the fields {sorted(missing)}")
        if name in _TYPES:
            raise TypeError(f"{name} is declared twice")
        declared = EventType(
            name=name,
            producer=struct.__module__.rsplit(".", 1)[-1],
            audience=audience,
            privacy=privacy or implied,
            subject=subject,
            facet=facet,
            sealed=tuple((sealed or {}).items()),
            struct=struct,
            addressee=addressee,
        )
        _TYPES[name] = _BY_STRUCT[struct] = declared
        return struct

    return declare


def event_type(of: str | type[Event] | Event) -> EventType:
    """The declaration for a type name, a struct or an event. Raises ``KeyError`` when unknown."""
    if isinstance(of, str):
        return _TYPES[of] if of in _TYPES else _TYPES[ANY_BUREAU + of.partition(".")[2]]
    return _BY_STRUCT[of if isinstance(of, type) else type(of)]


def event_types() -> list[EventType]:
    """All declared types, by name."""
    return [_TYPES[name] for name in sorted(_TYPES)]


def decode(name: str, body: bytes | str) -> Event:
    """Decode a body of the type ``name``. Raises ``KeyError`` or ``msgspec.ValidationError``."""
    return msgspec.json.decode(body, type=event_type(name).struct)


def json_schema(declared: EventType) -> dict[str, Any]:
    """JSON Schema 2020-12 of the type's body."""
    return msgspec.json.schema(declared.struct)
