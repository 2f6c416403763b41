"""Pinyin initials of names, every reading of the surname: 单桂兰 is found as sgl and as dgl."""

from __future__ import annotations

import os
from functools import cache

os.environ.setdefault("PYPINYIN_NO_PHRASES", "true")  # only single characters are looked up

from pypinyin import Style, pinyin


def initials(name: str) -> str:
    """All ways to key a name by initials, separated by spaces; empty when it has no hanzi."""
    if not name:
        return ""
    given = "".join("".join(_readings(character)[:1]) for character in name[1:])
    return " ".join(sorted(reading + given for reading in _readings(name[0])))


@cache
def _readings(character: str) -> tuple[str, ...]:
    """The initials a character may have, the usual one first."""
    if character.isascii():
        return (character.lower(),) if character.isalnum() else ()
    ways = pinyin(character, style=Style.NORMAL, heteronym=True, errors="ignore")
    return tuple(dict.fromkeys(way[0] for way in ways[0] if way)) if ways else ()
