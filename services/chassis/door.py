"""The door for what other bureaus say: who speaks, in which form, and nothing personal in clear.

The broker has checked two things already: the first word of the routing key (topic permission)
and ``user_id``, when it is there (it must be the connection's own user). Here the rest is checked,
before anything is written, logged or kept; what does not fit becomes a ``Refused`` for the bureau
and its body is forgotten.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import amqp
import msgspec
from stdnum.iso7064 import mod_11_2

from services.chassis.inbox import Delivery
from services.chassis.redaction import NUMBER, without_numbers
from services.contracts.divisions import path
from services.contracts.events import Event, EventType, event_type
from services.contracts.events.base import ANY_BUREAU

USER = "bureau."
"""How the broker user of a bureau is named: ``bureau.<name>@<vhost>``."""

ORIGIN_USER = "x-origin-user"
ORIGIN_KEY = "x-origin-key"
"""Headers of a copy we moved: the checked sender and the routing key of the original."""

MAX_BODY_BYTES = 64_000

_NAMED = re.compile(r"[a-z][a-z_]{0,40}")
_IDENTITY = re.compile(
    r"(?<![0-9A-Za-z_-])[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[0-9Xx](?![0-9A-Za-z_-])"
)
_MISSING = re.compile(r"missing required field `(\w+)`")
_AT = re.compile(r"at `\$\.?([^`]*)`")
_NOT_OURS = uuid.UUID("2a4c1b1e-7c0d-4b43-9a06-61f5a0c8e5b1")


class Refused(Event, frozen=True, kw_only=True):
    """A bureau's event that was not let in, as the bureau is told."""

    bureau: str
    event_id: str
    type: str
    division: str | None
    code: str
    field: str | None
    reason: str


class _No(Exception):
    def __init__(self, code: str, field: str | None, reason: str) -> None:
        super().__init__(reason)
        self.code, self.field, self.reason = code, field, reason


def read(message: amqp.Message, types: tuple[EventType, ...]) -> Delivery:
    """What a bureau says, as a delivery; its event is a ``Refused`` when it is not let in."""
    body = _body(message)
    headers: Mapping[str, Any] = message.headers or {}
    user, key = _sender(message), routing_key(message)
    said_by = key.partition(".")[0] if _NAMED.fullmatch(key.partition(".")[0]) else None
    bureau = _bureau_of(user) or said_by
    given_id = str(headers.get("cloudEvents:id") or message.properties.get("message_id") or "")
    name = str(headers.get("cloudEvents:type") or message.properties.get("type") or "")
    event: Event
    event_id = _derived_id(given_id, body)
    try:
        event = _read(body, name, given_id, key, user, types)
        event_id = uuid.UUID(given_id)
    except _No as no:
        event = Refused(
            bureau=bureau or "unknown",
            event_id=without_numbers(_IDENTITY.sub(NUMBER, given_id))[:64],
            type=without_numbers(name)[:80],
            division=_division(key),
            code=no.code,
            field=no.field,
            reason=no.reason,
        )
    traceparent = headers.get("cloudEvents:traceparent")
    return Delivery(
        event_id=event_id,
        type=name,
        event=event,
        traceparent=str(traceparent)[:64] if traceparent else None,
        origin_user=user,
    )


def vetted(message: amqp.Message) -> amqp.Message:
    """A copy for the archive: what was checked, and no header but those we read."""
    headers = message.headers or {}
    kept = {
        name: str(headers[f"cloudEvents:{name}"])[:200]
        for name in ("id", "type", "time", "traceparent")
        if headers.get(f"cloudEvents:{name}")
    }
    return amqp.Message(
        _body(message),
        content_type="application/json",
        delivery_mode=2,
        message_id=kept.get("id") or message.properties.get("message_id"),
        type=kept.get("type") or message.properties.get("type"),
        application_headers={
            **{f"cloudEvents:{name}": value for name, value in kept.items()},
            ORIGIN_USER: _sender(message) or "",
            ORIGIN_KEY: routing_key(message),
        },
    )


def forget(message: amqp.Message) -> None:
    """Take the body out of a refused message: wherever it may still go, nothing is in it."""
    message.body = b"{}"


def routing_key(message: amqp.Message) -> str:
    """The key the message was published with, also of a copy we moved."""
    if _moved(message):
        return str((message.headers or {}).get(ORIGIN_KEY) or "")
    return str(message.delivery_info.get("routing_key") or "")


def _sender(message: amqp.Message) -> str | None:
    """The sender the broker has checked. A header counts only on a copy that we moved ourselves."""
    if _moved(message):
        return str((message.headers or {}).get(ORIGIN_USER) or "") or None
    user = message.properties.get("user_id")
    return str(user) if user else None


def _bureau_of(user: str | None) -> str | None:
    if user is None or not user.startswith(USER):
        return None
    return user.removeprefix(USER).partition("@")[0]


def _moved(message: amqp.Message) -> bool:
    """Whether it came by the default exchange, to which only our own users may publish."""
    return not message.delivery_info.get("exchange")


def _read(
    body: bytes,
    name: str,
    given_id: str,
    key: str,
    user: str | None,
    types: tuple[EventType, ...],
) -> Event:
    fields = _object(body)
    declared = _declared(name, types)
    for field, _ in declared.sealed:
        if not _is_jwe(fields.get(field)):
            raise _No("plain_number", field, "身份证号未加密：应以 JWE 密封给登记服务")
    try:
        uuid.UUID(given_id)
    except ValueError:
        raise _No("schema", "cloudEvents:id", "事件编号不是 UUID") from None
    try:
        event = msgspec.convert(fields, declared.struct)
    except msgspec.ValidationError as error:
        raise _ill_formed(error) from error
    bureau = name.partition(".")[0]
    if bureau + "." == ANY_BUREAU or _bureau_of(user) != bureau:
        raise _No("wrong_sender", "user_id", "事件未带发送单位，或与发送单位不符")
    expected = f"{name}.{path(event.division)}"  # type: ignore[attr-defined]
    if key != expected:
        raise _No("wrong_division", "division", "区划与路由键不符")
    return event


def _declared(name: str, types: tuple[EventType, ...]) -> EventType:
    try:
        declared = event_type(name)
    except KeyError:
        raise _No("unknown_type", "cloudEvents:type", "没有这种事件，请核对事件目录") from None
    if declared not in types:
        raise _No("unknown_type", "cloudEvents:type", "消息头中的事件类型与路由键不符")
    return declared


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise _No("too_large", None, f"正文超过 {MAX_BODY_BYTES // 1000} KB")
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise _No("schema", None, "正文不是 JSON") from None
    if not isinstance(fields, dict):
        raise _No("schema", None, "正文应是一个 JSON 对象")
    if found := next(_clear_numbers(fields), None):
        raise _No("plain_number", found, "出现未加密的身份证号：应以 JWE 密封后放在约定字段")
    return fields


def _clear_numbers(value: Any, at: str = "") -> Iterator[str]:
    """The fields in which an identity number stands in clear (its date and check digit right)."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _clear_numbers(inner, f"{at}.{name}".lstrip(".")[:64])
            if _has_identity(str(name)):
                yield "键名"
    elif isinstance(value, list):
        for inner in value:
            yield from _clear_numbers(inner, at)
    elif _has_identity(str(value)):
        yield "键名" if _has_identity(at) else at


def _has_identity(text: str) -> bool:
    return any(mod_11_2.is_valid(found[0].upper()) for found in _IDENTITY.finditer(text))


def _is_jwe(value: object) -> bool:
    if not isinstance(value, str) or value.count(".") != 4:
        return False
    header = value.partition(".")[0]
    try:
        said = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, binascii.Error):
        return False
    return isinstance(said, dict) and {"alg", "enc"} <= said.keys()


def _ill_formed(error: msgspec.ValidationError) -> _No:
    text = str(error)
    if missing := _MISSING.search(text):
        return _No("schema", missing[1], f"缺少字段 {missing[1]}")
    at = _AT.search(text)
    field = without_numbers(at[1])[:64] if at and at[1] else None
    return _No("schema", field, f"字段 {field} 的内容不合格式" if field else "正文不合格式")


def _division(key: str) -> str | None:
    """The division a routing key ends with; ``None`` when there is none."""
    code = "".join(key.split(".")[3:])
    try:
        path(code)
    except ValueError:
        return None
    return code


def _derived_id(given: str, body: bytes) -> uuid.UUID:
    """The same for a message that comes again, and never the id of another event."""
    return uuid.uuid5(_NOT_OURS, given + hashlib.sha256(body).hexdigest())


def _body(message: amqp.Message) -> bytes:
    body = message.body
    return body.encode() if isinstance(body, str) else bytes(body)
