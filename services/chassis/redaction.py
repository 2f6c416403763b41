"""What a person may see of a log line or an event: no personal number, nothing sealed."""

from __future__ import annotations

import json
import re

from services.contracts.events import event_type

SEALED = "[sealed]"
NUMBER = "[number]"

_LONG_NUMBER = re.compile(r"(?<![0-9A-Za-z-])\d{11,19}[Xx]?(?![0-9A-Za-z-])")


def without_numbers(text: str) -> str:
    """The text with whatever looks like an identity, account or phone number taken out."""
    return _LONG_NUMBER.sub(NUMBER, text)


def event_body(type_name: str | None, body: str) -> str:
    """An event's body with its sealed fields shown as ``[sealed]`` and no long number.

    A body that cannot be read, or of a type we do not know, only loses its numbers.
    """
    try:
        fields = json.loads(body)
        for name, _ in event_type(type_name or "").sealed:
            if fields.get(name):
                fields[name] = SEALED
    except (ValueError, KeyError, AttributeError, TypeError):
        return without_numbers(body)
    return without_numbers(json.dumps(fields, ensure_ascii=False))
