"""The length of a text message.

Chinese text travels as UCS-2: one message holds 70 code units, a long one is cut into parts of 67,
because each part then carries the header that lets the phone join them. A character outside the
basic plane (many rare surnames) takes two code units.
"""

SINGLE = 70
PART = 67
ELLIPSIS = "…"


def units(text: str) -> int:
    """UTF-16 code units of a text: what the gateway counts and bills."""
    return len(text.encode("utf-16-le")) // 2


def parts(text: str) -> int:
    """How many parts a text is sent and billed as; the empty text is none."""
    length = units(text)
    if length == 0:
        return 0
    return 1 if length <= SINGLE else -(-length // PART)


def fit(text: str, limit: int) -> str:
    """The text in at most `limit` code units, cut with an ellipsis and never inside a character."""
    if units(text) <= limit:
        return text
    kept = ""
    room = limit - units(ELLIPSIS)
    for character in text:
        room -= units(character)
        if room < 0:
            break
        kept += character
    return kept + ELLIPSIS if limit >= units(ELLIPSIS) else ""
