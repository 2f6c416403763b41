"""For developers of other bureaus: the event catalogue, made from the contracts at every look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from services.chassis import topology
from services.chassis.settings import RETRY_STEPS, RetryStep, parse_steps
from services.contracts import publish
from services.contracts.errors import NotFound
from services.contracts.events import Audience, EventType
from services.portal.desk import Anyone

room = APIRouter(prefix="/dev")

SHOWN = (Audience.BUREAUS, Audience.IDENTIFIED, Audience.INBOUND)
"""What concerns other bureaus; the services' own language stands in the repository."""

FORMS = {
    "string": "文本",
    "integer": "整数",
    "number": "数",
    "boolean": "真假",
    "array": "列表",
    "object": "对象",
    "null": "空",
}
FORMATS = {"date": "日期", "date-time": "时刻", "uuid": "UUID"}


class Field(NamedTuple):
    """A field of an event's body, as the page shows it."""

    name: str
    form: str
    required: bool
    sealed: bool
    limits: str


class Attempt(NamedTuple):
    """A row of the retry table."""

    number: int
    after: str
    queue: str


@room.get("/events")
def catalogue(desk: Anyone) -> Response:
    """All event types a bureau may hear or say."""
    groups = [
        (publish.AUDIENCES[audience], [t for t in _shown() if t.audience is audience])
        for audience in SHOWN
    ]
    return desk.page(
        "developers/catalogue.html",
        groups=[(meaning, types) for meaning, types in groups if types],
        classes=publish.CLASSES,
        attempts=list(_attempts(parse_steps(RETRY_STEPS))),
        inbound_length=topology.INBOUND_MAX_LENGTH,
        inbound_megabytes=topology.INBOUND_MAX_BYTES // 1_000_000,
        archive_days=int(topology.ARCHIVE_MAX_AGE.removesuffix("D")),
    )


@room.get("/events/asyncapi.json")
def asyncapi() -> Response:
    """The same for programs: AsyncAPI 3.0; its schemas are below ``schemas/``."""
    return JSONResponse(publish.asyncapi(list(_shown())))


@room.get("/events/schemas/{name}.json")
def schema(_desk: Anyone, name: str) -> Response:
    """JSON Schema of a type's body."""
    return JSONResponse(publish.schema(_named(name)))


@room.get("/events/{name}")
def event(desk: Anyone, name: str) -> Response:
    """One type: purpose, producer, fields, example, class, how surely it arrives."""
    declared = _named(name)
    example = publish.example(declared)
    return desk.page(
        "developers/event.html",
        event=declared,
        title=declared.purpose.split("：")[0].rstrip("。"),
        remarks=(declared.struct.__doc__ or "").strip().split("\n\n")[1:],
        audience=publish.AUDIENCES[declared.audience],
        privacy=publish.CLASSES[declared.privacy],
        fields=list(_fields(declared)),
        example=json.dumps(example, ensure_ascii=False, indent=2),
        key=declared.routing_key(publish.decoded(declared)),
        inbound=declared.audience is Audience.INBOUND,
    )


def _shown() -> Iterator[EventType]:
    return (t for t in publish.published_types() if t.audience in SHOWN)


def _named(name: str) -> EventType:
    for declared in _shown():
        if declared.name == name:
            return declared
    raise NotFound("没有这种事件", advice="请从事件目录进入")


def _fields(declared: EventType) -> Iterator[Field]:
    document = publish.schema(declared)
    for name, given in document["properties"].items():
        resolved = _resolved(given, document)
        yield Field(
            name=name,
            form=_form(given, document),
            required=name in document["required"],
            sealed=name in dict(declared.sealed),
            limits=_limits(resolved),
        )


def _resolved(given: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    reference = given.get("$ref")
    if reference is None:
        return given
    found: dict[str, Any] = document["$defs"][reference.rpartition("/")[2]]
    return found


def _form(given: dict[str, Any], document: dict[str, Any]) -> str:
    given = _resolved(given, document)
    if variants := given.get("anyOf"):
        return "或".join(_form(each, document) for each in variants)
    if values := given.get("enum"):
        return "、".join(map(str, values))
    if given.get("type") == "array" and isinstance(inner := given.get("items"), dict):
        return f"{_form(inner, document)}的列表"
    return FORMATS.get(given.get("format", "")) or FORMS.get(given.get("type", ""), "任意")


def _limits(given: dict[str, Any]) -> str:
    found = []
    if "maxLength" in given:
        found.append(f"至多 {given['maxLength']} 字符")
    if "maxItems" in given:
        found.append(f"至多 {given['maxItems']} 项")
    if "pattern" in given:
        found.append(given["pattern"])
    return "；".join(found)


def _attempts(steps: tuple[RetryStep, ...]) -> Iterator[Attempt]:
    yield Attempt(1, "立即", "<服务>.<订阅>")
    for number, step in enumerate(steps, start=2):
        yield Attempt(number, step.name, f"<服务>.<订阅>.retry.{step.name}")
