"""Money is a whole number of fen (1 yuan = 100 fen). Never a float."""

from __future__ import annotations

import re
from decimal import Decimal

from services.contracts.errors import Invalid

Fen = int

MAX_FEN = 10**13
"""Upper bound of any single amount: 100 billion yuan. More is a mistake, not money."""

_YUAN = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?|-?\d+(\.\d+)?")


def fen(text: str | int | Decimal, *, field: str | None = None) -> Fen:
    """Read an amount of yuan (``"1,200.5"``) as fen.

    Raises ``Invalid`` for what is not a number, is negative, has more than two decimals or is
    beyond ``MAX_FEN``.
    """
    raw = str(text).strip().removeprefix("¥").removesuffix("元").strip()
    if not _YUAN.fullmatch(raw):
        raise Invalid(
            f"“{text}”不是金额", field=field, advice="请填写以元为单位的数字，如 660 或 660.50"
        )
    amount = Decimal(raw.replace(",", "")) * 100
    if amount != amount.to_integral_value():
        raise Invalid(f"金额“{text}”不足一分", field=field, advice="金额最多两位小数")
    if amount < 0:
        raise Invalid(f"金额“{text}”是负数", field=field, advice="金额不能小于零")
    if amount > MAX_FEN:
        raise Invalid(f"金额“{text}”超出上限", field=field, advice="请核对小数点和单位")
    return int(amount)


def yuan(amount: Fen, *, grouped: bool = True) -> str:
    """Write fen as yuan with two decimals: ``66050`` → ``"660.50"``."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, rest = divmod(amount, 100)
    return f"{sign}{whole:,}.{rest:02d}" if grouped else f"{sign}{whole}.{rest:02d}"
