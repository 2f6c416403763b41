"""Chinese words for the codes of the contracts, and the tone they are shown in, in one place."""

from __future__ import annotations

from enum import Enum
from typing import Literal

Tone = Literal["plain", "good", "bad", "wait", "run"]

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
    "batch": {
        "open": "已开期",
        "computed": "已计算",
        "checked": "已校验",
        "reviewed": "已审核",
        "released": "已核拨",
        "locked": "已锁定",
        "sent": "已发送代发行",
        "settled": "对账完成",
        "voided": "已作废",
    },
    "case": {
        "supplementing": "待补正",
        "in_progress": "办理中",
        "decided": "已决定",
        "closed": "办结",
        "not_accepted": "不予受理",
        "ended": "终止",
    },
    "channel": {"sms": "短信", "mail": "邮件", "letter": "书信"},
    "service": {"registry": "档案", "cases": "案件", "funding": "资金", "notify": "送达"},
}

TONES: dict[str, dict[str, Tone]] = {
    "batch": {
        "checked": "wait",
        "reviewed": "wait",
        "released": "wait",
        "locked": "run",
        "sent": "run",
        "settled": "good",
        "voided": "bad",
    },
    "payment": {
        "sent": "run",
        "locked": "run",
        "settled": "good",
        "failed": "bad",
        "returned": "bad",
        "held": "wait",
        "withdrawn": "wait",
        "voided": "bad",
    },
    "case": {
        "supplementing": "wait",
        "in_progress": "run",
        "decided": "good",
        "not_accepted": "bad",
        "ended": "bad",
    },
    "outcome": {
        "granted": "good",
        "kept": "good",
        "changed": "run",
        "refused": "bad",
        "ended": "bad",
    },
    "bucket": {"overdue": "bad", "today": "wait", "soon": "wait"},
    "message": {
        "sending": "run",
        "pending": "wait",
        "sent": "run",
        "delivered": "good",
        "temporary-failure": "bad",
        "permanent-failure": "bad",
        "technical-failure": "bad",
    },
}


def _code(code: object) -> str:
    return str(code.value) if isinstance(code, Enum) else str(code)


def word(code: object, kind: str) -> str:
    """The Chinese word for ``code`` among ``kind``; a code without one stands as it is."""
    return "—" if code is None else WORDS[kind].get(_code(code), _code(code))


def tone(code: object, kind: str) -> Tone:
    """The tone a state is shown in; the words beside it say the same."""
    return TONES[kind].get(_code(code), "plain")
