"""A stand-in for the services, for rendering tests only.

It answers every query with an example built from the declared result type, so that a template that
names a field the contract does not have fails here. What the services really do is tested with the
real services.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from services.contracts.commands.common import FileView
from services.contracts.errors import ZhidaError
from services.contracts.requests import Command, Request

R = TypeVar("R")

WORDS = {
    "division": "421083108007",
    "month": "2026-11",
    "from_month": "2026-11",
    "to_month": "2026-12",
    "first_month": "2026-11",
    "state": "checked",
    "code": "421083108007",
    "token": "token",
    "StepView.state": "current",
    "ImportView.state": "written",
}


class Double:
    """Answers with examples; remembers what was asked; refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request[Any], str | None]] = []
        self.answers: dict[type[Request[Any]], Any] = {}
        self.refusals: dict[type[Request[Any]], ZhidaError] = {}

    def call(
        self,
        request: Request[R],
        *,
        token: str | None = None,
        key: str | None = None,
        purpose: str | None = None,
        service: str | None = None,
        timeout: float | None = None,
    ) -> R:
        """An example of the declared answer, or what the test laid down."""
        kind = type(request)
        self.asked.append((request, key))
        if kind in self.refusals:
            raise self.refusals[kind]
        if kind in self.answers:
            answer: R = self.answers[kind]
            return answer
        made: R = example(kind.result_type())
        return made

    def upload(
        self, service: str, name: str, content: bytes, media_type: str, *, token: str
    ) -> uuid.UUID:
        """Take the file."""
        return uuid.UUID(int=7)

    def download(self, service: str, file_id: uuid.UUID, *, token: str) -> tuple[FileView, bytes]:
        """A small file."""
        view = FileView(
            file_id=file_id,
            name="文书.pdf",
            media_type="application/pdf",
            chunks=1,
            size=4,
            sha256=None,
        )
        return view, b"%PDF"

    def commands(self) -> list[Command[Any]]:
        """The commands given so far."""
        return [request for request, _ in self.asked if isinstance(request, Command)]


def example(kind: Any) -> Any:
    """An example of a type: every list has one element, every optional field is filled."""
    return _of(inspect.type_info(kind), "")


PLAIN: dict[type[inspect.Type], Any] = {
    inspect.DateTimeType: datetime(2026, 9, 28, 1, 3, tzinfo=UTC),
    inspect.DateType: date(2026, 9, 28),
    inspect.BoolType: False,
    inspect.IntType: 1,
    inspect.FloatType: 1.0,
    inspect.BytesType: b"",
    inspect.NoneType: None,
    inspect.DictType: {},
}


def _of(info: inspect.Type, name: str) -> Any:
    if type(info) in PLAIN:
        return PLAIN[type(info)]
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            return cls(**{f.name: _of(f.type, f"{cls.__name__}.{f.name}") for f in fields})
        case inspect.UnionType(types=types):
            return _of(next(t for t in types if not isinstance(t, inspect.NoneType)), name)
        case inspect.ListType(item_type=item):
            return [_of(item, name)]
        case inspect.VarTupleType(item_type=item):
            return (_of(item, name),)
        case inspect.UUIDType():
            return uuid.UUID(int=len(name))
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=cls):
            return next(iter(cls))
    field = name.rsplit(".", 1)[-1]
    return WORDS.get(name) or WORDS.get(field) or f"某{field}"


def convert(kind: type[R], **changes: Any) -> R:
    """An example of a struct with some fields changed."""
    made: R = msgspec.structs.replace(example(kind), **changes)
    return made
