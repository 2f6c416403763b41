"""Chinese words for the codes of the contracts, in one place."""

from __future__ import annotations

from enum import Enum

WORDS: dict[str, dict[str, str]] = {
    "benefit": {
        "urban_dibao": "城市低保",
        "rural_dibao": "农村低保",
        "tekun": "特困",
        "orphan": "孤儿",
        "de_facto_orphan": "事实无人抚养",
        "disability_living": "困难生活补贴",
        "disability_care": "重度护理补贴",
        "elderly": "高龄津贴",
        "temporary_aid": "临时救助",
    },
    "item": {
        "dibao": "最低生活保障",
        "disability_subsidies": "残疾人两项补贴",
        "temporary_aid": "临时救助",
        "carried_over": "存量结转",
        "review": "复核",
    },
}


def word(code: object, kind: str) -> str:
    """The Chinese word for ``code`` among ``kind``; a code without one stands as it is."""
    if code is None:
        return "—"
    value = str(code.value) if isinstance(code, Enum) else str(code)
    return WORDS[kind].get(value, value)
