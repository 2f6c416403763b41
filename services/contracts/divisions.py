"""Division codes: 12-digit statistical codes (GB/T 2260 + GB/T 10114 + village), as digit prefixes.

Province ``42``, prefecture ``4210``, county ``421083``, town ``421083108``, village
``421083108007``. A scope is such a prefix; a division lies within a scope when it starts with it.
"""

from __future__ import annotations

from functools import cache

LEVELS = {2: "province", 4: "prefecture", 6: "county", 9: "town", 12: "village"}


def level(code: str) -> str:
    """``province``, ``prefecture``, ``county``, ``town`` or ``village``.

    Raises ``ValueError`` for anything else.
    """
    if not code.isdigit() or len(code) not in LEVELS:
        raise ValueError(f"not a division code: {code!r}")
    return LEVELS[len(code)]


@cache
def path(code: str) -> str:
    """The code as routing-key words: ``421083108007`` → ``42.10.83.108.007``."""
    level(code)
    words = [code[:2], code[2:4], code[4:6], code[6:9], code[9:12]]
    return ".".join(word for word in words if word)


def within(code: str, scope: str) -> bool:
    """Whether ``code`` lies in ``scope`` (itself included)."""
    return code.startswith(scope)


def county(code: str) -> str:
    """The county a town or village belongs to (first six digits)."""
    return code[:6]


def town(code: str) -> str:
    """The town a village belongs to (first nine digits)."""
    return code[:9]
