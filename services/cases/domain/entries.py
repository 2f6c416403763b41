"""What a person enters: texts, amounts, people, papers. Refused in Chinese, naming the field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from uuid import UUID

from services.cases.domain.catalogue import Item
from services.contracts.errors import Invalid
from services.contracts.money import MAX_FEN

MINIMUM_INVESTIGATORS = 2
"""《最低生活保障审核确认办法》第十六条: 调查人员不得少于二人."""


def written(text: str, what: str, field: str, *, late_by: date | None = None) -> str:
    """``text`` trimmed; refused when nothing is written."""
    if said := text.strip():
        return said
    if late_by:
        raise Invalid(
            f"办理期限已于 {late_by:%Y-%m-%d} 届满，须写明{what}",
            field=field,
            advice="请填写超期原因后再作决定",
            reason="late",
        )
    raise Invalid(f"没有填写{what}", field=field, advice=f"请填写{what}")


def amount(value: int | None, field: str, what: str) -> int | None:
    """An amount in fen that is not negative and not absurd."""
    if value is None:
        return None
    if value < 0:
        raise Invalid(f"{what}是负数", field=field, advice=f"{what}不能小于零")
    if value > MAX_FEN:
        raise Invalid(f"{what}超出上限", field=field, advice="请核对小数点和单位")
    return value


def positive(value: int, field: str) -> None:
    amount(value, field, "金额")
    if value == 0:
        raise Invalid("金额为零", field=field, advice="请填写大于零的金额")


def two_different(people: Sequence[UUID], field: str, what: str) -> None:
    if len(set(people)) != len(people):
        raise Invalid(f"{what}填写重复", field=field, advice=f"{what}应为不同的人")
    if len(people) < MINIMUM_INVESTIGATORS:
        raise Invalid(
            f"{what}不足二人",
            field=field,
            advice=f"{what}不得少于二人",
            reason="too_few",
        )


def known_materials(item: Item, codes: Iterable[str]) -> None:
    """Refuses a paper that the item does not list, naming it."""
    listed = {material.code for material in item.materials}
    for index, code in enumerate(codes):
        if code not in listed:
            raise Invalid(
                f"“{item.name}”的材料清单里没有“{code}”",
                field=f"materials[{index}]",
                advice="请从材料清单中选择",
            )
