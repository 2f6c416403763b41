"""Writes what other bureaus read about our events: ``python -m services.contracts.publish``.

Into ``docs/events``: a JSON Schema for each event type, one AsyncAPI 3.0 document, a catalogue
page; ``--release VERSION`` also keeps the schemas under ``released/``. All of it is made from the
declarations in ``services.contracts.events`` and the golden examples beside them; a test
compares, so that it is never stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.contracts.events import Audience, Event, EventType, Privacy, event_types
from services.contracts.events.base import decode, json_schema

EXAMPLES = Path(__file__).parent / "examples"
DOCS = Path(__file__).parents[2] / "docs" / "events"

OWNERS = ("registry", "cases", "funding", "notify", "bureaus")
"""The modules whose types are published (tests declare types of their own)."""

AUDIENCES = {
    Audience.BUREAUS: "其他部门可订阅；不含姓名、号码、地址、病情、收入",
    Audience.IDENTIFIED: "有法定依据的部门可订阅；含姓名",
    Audience.INTERNAL: "仅直达各服务",
    Audience.INBOUND: "其他部门发给直达",
}
CLASSES = {
    Privacy.OPEN: "公开",
    Privacy.ADMINISTRATIVE: "行政",
    Privacy.IDENTIFIED: "实名",
    Privacy.PERSONAL: "个人",
}


def published_types() -> list[EventType]:
    """The event types of the published language, by name."""
    return [declared for declared in event_types() if declared.producer in OWNERS]


def schema(declared: EventType) -> dict[str, Any]:
    """JSON Schema 2020-12 of a type's body, self-contained, saying who may hear it."""
    made = json_schema(declared)
    named: dict[str, Any] = made.get("$defs", {})
    body = dict(named.pop(declared.struct.__name__))
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"/events/schemas/{declared.name}.json",
        "title": declared.name,
        "description": declared.purpose,
        "x-audience": declared.audience.value,
        "x-privacy": declared.privacy.value,
        "x-producer": declared.producer,
        "type": "object",
        "properties": body["properties"],
        "required": body.get("required", []),
    }
    if declared.sealed:
        document["x-sealed-for"] = dict(declared.sealed)
    if named:
        document["$defs"] = {
            name: {k: v for k, v in definition.items() if k != "title"}
            for name, definition in sorted(named.items())
        }
    return document


def example(declared: EventType) -> dict[str, Any]:
    """The golden example of a type's body. Raises ``FileNotFoundError`` when there is none."""
    text = (EXAMPLES / f"{declared.name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def decoded(declared: EventType) -> Event:
    """The golden example as an event."""
    return decode(declared.name, json.dumps(example(declared)))


def asyncapi(types: list[EventType]) -> dict[str, Any]:
    """One AsyncAPI 3.0 document: a channel an exchange, a message a type."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for declared in types:
        exchange = declared.exchange()
        key = exchange.replace(".", "-")
        channel = channels.setdefault(
            key,
            {
                "address": exchange,
                "title": exchange,
                "description": AUDIENCES[declared.audience],
                "messages": {},
                "bindings": {
                    "amqp": {
                        "is": "routingKey",
                        "exchange": {
                            "name": exchange,
                            "type": "topic",
                            "durable": True,
                            "autoDelete": False,
                        },
                        "bindingVersion": "0.3.0",
                    }
                },
            },
        )
        channel["messages"][declared.name] = {"$ref": f"#/components/messages/{declared.name}"}
        action = "receive" if declared.audience is Audience.INBOUND else "send"
        operations.setdefault(
            f"{action}-{key}",
            {"action": action, "channel": {"$ref": f"#/channels/{key}"}},
        )
        messages[declared.name] = {
            "name": declared.name,
            "title": declared.purpose.split("：")[0].rstrip("。"),
            "summary": declared.purpose,
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/headers"},
            "payload": {"$ref": f"./schemas/{declared.name}.json"},
            "x-audience": declared.audience.value,
            "x-privacy": declared.privacy.value,
            "examples": [{"name": "golden", "payload": example(declared)}],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "直达事件 Zhida events",
            "version": "1",
            "description": "事件的名称、范围与内容。路由键为 <类型>.<区划路径>，"
            "例如 person.registered.v1.42.10.83.108.007。",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {"headers": HEADERS}},
    }


HEADERS: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0，二进制模式",
    "required": [
        f"cloudEvents:{name}" for name in ("specversion", "id", "source", "type", "subject", "time")
    ],
    "properties": {
        f"cloudEvents:{name}": {"type": "string", "description": meaning}
        for name, meaning in {
            "specversion": "1.0",
            "id": "UUIDv7，与 message_id 相同；用它去重",
            "source": "/zhida/<服务>",
            "type": "事件类型",
            "subject": "事件所说的对象",
            "time": "写下的时刻",
            "dataschema": "正文的 JSON Schema",
            "sequence": "<县>:<序号>，每个交换器、类型与县内连续，断号即有遗漏",
            "traceparent": "W3C 跟踪上下文",
        }.items()
    },
}


def catalogue(types: list[EventType]) -> str:
    """The page a person reads first."""
    lines = [
        "# 事件目录",
        "",
        "由 `python -m services.contracts.publish` 生成，请勿手改。",
        "正文为 JSON，属性按 CloudEvents 1.0 放在消息头里。",
        "机器可读的全貌见 [asyncapi.yaml](asyncapi.yaml)。",
        "",
        "订阅：把自己的队列绑定到交换器，路由键为 `<类型>.<区划路径>`，例如 `*.*.v1.42.10.83.#`。",
        "按 `cloudEvents:id` 去重；`cloudEvents:sequence` 断号即有遗漏。",
    ]
    for audience, meaning in AUDIENCES.items():
        chosen = [declared for declared in types if declared.audience is audience]
        if not chosen:
            continue
        lines += [
            "",
            f"## {meaning}",
            "",
            "| 类型 | 交换器 | 类别 | 说明 |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| [{t.name}](schemas/{t.name}.json) | `{t.exchange()}` | {CLASSES[t.privacy]} "
            f"| {' '.join(t.purpose.split())} |"
            for t in chosen
        ]
    return "\n".join(lines) + "\n"


def documents() -> Iterator[tuple[str, str]]:
    """(path below ``docs/events``, content) of everything published."""
    import yaml  # not there where the portal runs, which shows the same as JSON

    types = published_types()
    for declared in types:
        text = json.dumps(schema(declared), ensure_ascii=False, indent=2)
        yield f"schemas/{declared.name}.json", text + "\n"
    yield "asyncapi.yaml", yaml.safe_dump(asyncapi(types), allow_unicode=True, sort_keys=False)
    yield "README.md", catalogue(types)


def release(version: str) -> None:
    """Keep today's schemas as released: from now on a breaking change of them fails the tests."""
    schemas = {declared.name: schema(declared) for declared in published_types()}
    path = DOCS / "released" / f"{version}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schemas, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write what differs; remove schemas of types that are no more. ``--release VERSION`` too."""
    wanted = dict(documents())
    for stale in (DOCS / "schemas").glob("*.json"):
        if f"schemas/{stale.name}" not in wanted:
            stale.unlink()
    for name, content in wanted.items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
    if arguments[:1] == ["--release"]:
        release(arguments[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
