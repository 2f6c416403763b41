"""Which changes of an event's schema would break a reader of the same major version.

Within a major version only optional fields may be added: a reader ignores what it does not know
and must still find, in the type it knows, what it was promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def breaking_changes(released: dict[str, Any], today: dict[str, Any]) -> list[str]:
    """What a reader of ``released`` would stumble over in bodies of ``today``; empty if nothing."""
    for name in ("x-audience", "x-privacy"):
        if released.get(name) != today.get(name):
            return [f"{name}: {released.get(name)} became {today.get(name)}"]
    return list(_object("$", released, today, released, today))


def _object(
    at: str,
    old: dict[str, Any],
    new: dict[str, Any],
    released: dict[str, Any],
    today: dict[str, Any],
) -> Iterator[str]:
    before, now = old.get("properties", {}), new.get("properties", {})
    for name in sorted(before):
        if name not in now:
            yield f"{at}.{name} was removed"
        else:
            yield from _value(f"{at}.{name}", before[name], now[name], released, today)
    for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
        yield f"{at}.{name} became required"
    for name in sorted(set(old.get("required", [])) - set(new.get("required", []))):
        yield f"{at}.{name} is no longer always there"


def _value(
    at: str,
    old: dict[str, Any],
    new: dict[str, Any],
    released: dict[str, Any],
    today: dict[str, Any],
) -> Iterator[str]:
    old, new = _resolve(old, released), _resolve(new, today)
    if "anyOf" in old or "anyOf" in new:
        variants, others = _variants(old, released), _variants(new, today)
        for kind in sorted(others.keys() - variants.keys()):
            yield f"{at} may now be {kind}"
        for kind in sorted(others.keys() & variants.keys()):
            yield from _value(at, variants[kind], others[kind], released, today)
        return
    if _kind(old) != _kind(new):
        yield f"{at} was {_kind(old)} and became {_kind(new)}"
        return
    for constraint in ("format", "enum", "const", "contentEncoding", "x-sealed"):
        if old.get(constraint) != new.get(constraint) and not _only_narrowed(constraint, old, new):
            yield f"{at}: {constraint} {old.get(constraint)} became {new.get(constraint)}"
    if "properties" in old:
        yield from _object(at, old, new, released, today)
    for inner in ("items", "additionalProperties"):
        if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
            yield from _value(f"{at}[]", old[inner], new[inner], released, today)


def _only_narrowed(constraint: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    return constraint == "enum" and set(new.get("enum", ())) <= set(old.get("enum", ()) or ())


def _resolve(value: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: dict[str, Any] = document["$defs"][value["$ref"].rpartition("/")[2]]
        value = found
    return value


def _variants(value: dict[str, Any], document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = [_resolve(variant, document) for variant in value.get("anyOf", [value])]
    return {_kind(variant): variant for variant in found}


def _kind(value: dict[str, Any]) -> str:
    if "type" in value:
        return str(value["type"])
    return "enum" if "enum" in value else "anything"
