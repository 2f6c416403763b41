"""Other bureaus: who they are, what they may see and say. One entry in one file for each.

The file is TOML, a table a bureau; ``ZHIDA_BUREAUS`` names it. Everything the broker is told about
a bureau is derived here from its entry and the contracts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from services.chassis import amqp_io, topology
from services.contracts.divisions import path
from services.contracts.errors import Invalid
from services.contracts.events import Audience, EventType, event_type, event_types
from services.contracts.events.base import ANY_BUREAU
from services.contracts.events.bureaus import Code
from services.contracts.events.registry import BureauEventAccepted, BureauEventRefused

Class = Literal["administrative", "identified"]

_NAME = re.compile(r"[a-z][a-z_]{1,30}")
_DIVISION = Annotated[
    str, msgspec.Meta(pattern=r"^([0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12})$")
]
_PATTERN = re.compile(r"(\*|[a-z_]+)\.(\*|[a-z_]+)(\.v[1-9][0-9]?)?")


class Bureau(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bureau's entry. ``name`` is the table's name: the bureau's word in events and queues."""

    name: str
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    """What people call it, in Chinese."""
    division: Code
    privacy: Class = msgspec.field(name="class", default="administrative")
    legal_basis: str = ""
    may_see: tuple[str, ...] = ()
    queue_length: Annotated[int, msgspec.Meta(ge=100, le=10_000_000)] = 500_000
    queue_bytes: Annotated[int, msgspec.Meta(ge=1_000_000, le=100_000_000_000)] = 1_000_000_000
    """What may lie in its queue; beyond it the oldest go, it sees the gap and asks for a replay."""

    @property
    def queue(self) -> str:
        """Where its events wait."""
        return f"bureau.{self.name}"

    @property
    def refusals(self) -> str:
        """Where it reads what we did not take, and why."""
        return f"{self.queue}.refusals"

    def user(self, vhost: str) -> str:
        """Its broker user on ``vhost``: another in the sandbox than in the city."""
        return f"bureau.{self.name}@{vhost}"

    @property
    def patterns(self) -> tuple[str, ...]:
        """``may_see`` in full: ``entity.verb.v1``."""
        return tuple(full(pattern) for pattern in self.may_see)

    def exchanges(self) -> dict[str, list[str]]:
        """Which patterns apply to which exchange (those with an event that matches)."""
        found: dict[str, list[str]] = {}
        for pattern in self.patterns:
            for declared in visible_types(pattern, self.privacy):
                patterns = found.setdefault(declared.exchange(), [])
                if pattern not in patterns:
                    patterns.append(pattern)
        return dict(sorted(found.items()))

    def bindings(self) -> list[tuple[str, str, str]]:
        """(queue, exchange, key) of all it hears."""
        mine = [
            (self.queue, exchange, f"{pattern}.{path(self.division)}.#")
            for exchange, patterns in self.exchanges().items()
            for pattern in patterns
        ]
        for queue, answer in (
            (self.queue, BureauEventAccepted),
            (self.refusals, BureauEventRefused),
        ):
            declared = event_type(answer)
            mine.append((queue, declared.exchange(), f"{declared.name}.{self.name}.#"))
        return mine

    def may_say(self) -> list[EventType]:
        """The types it may send, from the contracts."""
        return [
            declared
            for declared in event_types()
            if declared.audience is Audience.INBOUND
            and declared.name.startswith((f"{self.name}.", ANY_BUREAU))
        ]

    def says(self, declared: EventType) -> str:
        """A type's name as this bureau says it."""
        if declared.name.startswith(ANY_BUREAU):
            return f"{self.name}.{declared.name.removeprefix(ANY_BUREAU)}"
        return declared.name


def queues_missing(amqp_uri: str, entries: Iterable[Bureau]) -> list[str]:
    """Queues of these bureaus that do not stand at the broker: deleted by hand, or never made."""
    connection = amqp_io.connect(amqp_uri)
    try:
        return [
            queue
            for entry in entries
            for queue in (entry.queue, entry.refusals)
            if not topology.exist(connection, [queue])
        ]
    finally:
        amqp_io.drop(connection)


def full(pattern: str) -> str:
    """``entitlement.*`` → ``entitlement.*.v1``. Raises ``Invalid``."""
    found = _PATTERN.fullmatch("*.*" if pattern == "*" else pattern)
    if found is None:
        raise Invalid(
            f"{pattern} 不是事件类型的写法",
            field="may_see",
            advice="如 entitlement.granted、entitlement.*、*.*",
        )
    return found[0] if found[3] else f"{found[0]}.v1"


def is_pattern(pattern: str) -> bool:
    """Whether ``full`` can read it."""
    return pattern == "*" or _PATTERN.fullmatch(pattern) is not None


def visible_types(pattern: str, privacy: Class) -> list[EventType]:
    """The declared types a full pattern stands for, as far as the class reaches."""
    audiences = {Audience.BUREAUS}
    if privacy == "identified":
        audiences.add(Audience.IDENTIFIED)
    return [
        declared
        for declared in event_types()
        if declared.audience in audiences
        and declared.addressee is None
        and topology.matches(pattern, declared.name)
    ]


def check(bureau: Bureau) -> None:
    """Raise ``Invalid`` naming what is wrong with an entry."""
    if not _NAME.fullmatch(bureau.name) or f"{bureau.name}." == ANY_BUREAU:
        raise Invalid("部门名只用小写字母和下划线", field="name", advice="如 public_security")
    if bureau.privacy == "identified" and not bureau.legal_basis.strip():
        raise Invalid("实名类须写明法定依据", field="legal_basis")
    for pattern in bureau.patterns:
        if not visible_types(pattern, bureau.privacy):
            raise Invalid(
                f"没有其他部门可订阅的事件与 {pattern} 相符",
                field="may_see",
                advice="核对事件目录 /dev/events",
            )


def parse(text: str) -> dict[str, Bureau]:
    """The entries of a file by name. Raises ``Invalid``."""
    try:
        tables = msgspec.toml.decode(text, type=dict[str, dict[str, object]])
        found = {name: msgspec.convert({"name": name, **t}, Bureau) for name, t in tables.items()}
    except msgspec.MsgspecError as error:
        raise Invalid(f"部门文件不合格式：{error}") from error
    for bureau in found.values():
        check(bureau)
    return found


def load(file: Path | None) -> dict[str, Bureau]:
    """The entries of ``file``; none when there is no file."""
    if file is None or not file.exists():
        return {}
    return parse(file.read_text(encoding="utf-8"))
