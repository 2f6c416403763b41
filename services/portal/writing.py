"""Dates, money and numbers as people here write them. Pure functions, used as template filters."""

from __future__ import annotations

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

from services.contracts.money import Fen, yuan

SHANGHAI = ZoneInfo("Asia/Shanghai")
_MONTH = re.compile(r"(\d{4})-(\d{2})")


def money(amount: Fen | None) -> str:
    """Fen as yuan with thousands and two decimals: ``132050`` → ``1,320.50``; none is a dash."""
    return "—" if amount is None else yuan(amount)


def local(moment: datetime) -> datetime:
    """A moment in Shanghai; one without zone is taken to be there already."""
    return moment.astimezone(SHANGHAI) if moment.tzinfo else moment


def day(value: date | datetime | None) -> str:
    """``2026年12月30日``."""
    if value is None:
        return "—"
    value = local(value) if isinstance(value, datetime) else value
    return f"{value.year}年{value.month}月{value.day}日"


def short_day(value: date | datetime | None) -> str:
    """``12月30日``."""
    if value is None:
        return "—"
    value = local(value) if isinstance(value, datetime) else value
    return f"{value.month}月{value.day}日"


def moment(value: datetime | date | None) -> str:
    """``2026-12-30 14:05``; a date alone has no time."""
    if value is None:
        return "—"
    if isinstance(value, datetime):
        return f"{local(value):%Y-%m-%d %H:%M}"
    return f"{value:%Y-%m-%d}"


def month(value: str | date | None) -> str:
    """``2026-11`` (or any day of it) → ``2026年11月``."""
    if value is None:
        return "—"
    if isinstance(value, date):
        return f"{value.year}年{value.month}月"
    found = _MONTH.match(value)
    return f"{found[1]}年{int(found[2])}月" if found else value


def deadline(due: date | datetime | None, days_left: int | None) -> str:
    """``剩 3 个工作日（12月30日前）``, ``今日到期（…）`` or ``已超 2 个工作日（…）``.

    ``days_left`` are working days by the owner's calendar; without them only the date is said.
    """
    if due is None:
        return "—"
    by = f"{short_day(due)}前"
    if days_left is None:
        return by
    if days_left > 0:
        return f"剩 {days_left} 个工作日（{by}）"
    if days_left == 0:
        return f"今日到期（{by}）"
    return f"已超 {-days_left} 个工作日（{by}）"


def urgency(days_left: int | None) -> str:
    """The colour of a deadline: ``calm`` above 3 working days, ``soon``, ``today``, ``over``."""
    if days_left is None or days_left > 3:
        return "calm"
    if days_left > 1:
        return "soon"
    return "today" if days_left >= 0 else "over"


def masked(last_four: str | None) -> str:
    """A number of which only the last four are shown: ``**** 0016``."""
    return f"**** {last_four[-4:]}" if last_four else "—"


def count(number: int | None) -> str:
    """A count with thousands: ``110,000``."""
    return "—" if number is None else f"{number:,}"


def percent(part: int, whole: int) -> str:
    """A share with one decimal: ``93.4%``; of nothing it is a dash."""
    return "—" if whole == 0 else f"{part * 100 / whole:.1f}%"


def size(octets: int) -> str:
    """A file's size: ``11.0 MB``, ``23 KB``."""
    return f"{octets / 1048576:.1f} MB" if octets >= 1048576 else f"{max(1, octets // 1024)} KB"


FILTERS = {
    function.__name__: function
    for function in (money, day, short_day, moment, month, masked, count, size, urgency)
}
