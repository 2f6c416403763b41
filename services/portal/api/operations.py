"""The table of the API: every command and query of the contracts, and where it stands."""

from __future__ import annotations

import inspect
from functools import cache
from types import ModuleType
from typing import Any, Literal

import msgspec

from services.contracts.commands import cases, funding, notify, registry
from services.contracts.requests import Command, Query, Request

OWNERS: tuple[ModuleType, ...] = (registry, cases, funding, notify)

PERSONAL = frozenset({"identity_number", "account", "account_number", "phone", "name", "text", "q"})
"""Fields that must not stand in an address, where proxies and histories keep them."""

OPEN = frozenset({"SignIn"})
"""Operations that need no bearer token: they give one."""


class Operation(msgspec.Struct, frozen=True):
    """One address of the API."""

    service: str
    name: str
    kind: Literal["command", "query"]
    request: type[Request[Any]]
    summary: str

    @property
    def path(self) -> str:
        """``/cases/accept-application``."""
        return f"/{self.service}/{self.name}"

    @property
    def verb(self) -> Literal["GET", "POST"]:
        """``GET`` for a query that fits an address and names nobody, else ``POST``."""
        if self.kind == "command":
            return "POST"
        fields = msgspec.structs.fields(self.request)
        plain = all(f.name not in PERSONAL and _fits_an_address(f.type) for f in fields)
        return "GET" if plain else "POST"

    @property
    def is_open(self) -> bool:
        """Whether it may be called without a token."""
        return self.request.__name__ in OPEN


_STRUCTURES = (
    msgspec.inspect.StructType,
    msgspec.inspect.DictType,
    msgspec.inspect.TupleType,
    msgspec.inspect.BytesType,
)
_SEQUENCES = (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)


def _parts(info: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, ...]:
    """The alternatives of a type."""
    return info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)


def _fits_an_address(kind: Any) -> bool:
    """Whether a field is a plain value, absent, or a list of plain values (named repeatedly)."""
    items = [
        item
        for part in _parts(msgspec.inspect.type_info(kind))
        for item in (_parts(part.item_type) if isinstance(part, _SEQUENCES) else (part,))
    ]
    return not any(isinstance(item, (*_STRUCTURES, *_SEQUENCES)) for item in items)


@cache
def repeated(request: type[Request[Any]]) -> frozenset[str]:
    """The fields that stand in an address once for each value."""
    return frozenset(
        field.name
        for field in msgspec.structs.fields(request)
        if any(
            isinstance(part, _SEQUENCES) for part in _parts(msgspec.inspect.type_info(field.type))
        )
    )


@cache
def operations() -> tuple[Operation, ...]:
    """All operations, by service and name."""
    found = []
    for owner in OWNERS:
        for _, kind in inspect.getmembers(owner, inspect.isclass):
            if kind.__module__ != owner.__name__ or not issubclass(kind, Command | Query):
                continue
            found.append(
                Operation(
                    service=kind.service(),
                    name=kind.method().replace("_", "-"),
                    kind="command" if issubclass(kind, Command) else "query",
                    request=kind,
                    summary=(inspect.getdoc(kind) or "").split("\n", 1)[0],
                )
            )
    return tuple(sorted(found, key=lambda operation: operation.path))
