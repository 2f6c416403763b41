"""Forms forgive in form and are strict in content."""

from __future__ import annotations

from datetime import date

import pytest
from starlette.datastructures import FormData

from services.contracts.errors import Invalid
from services.portal.forms import Form, Refused, problems_of


def form(**fields: str) -> Form:
    """A submitted form."""
    return Form(FormData(list(fields.items())))


@pytest.mark.parametrize(
    "typed", ["４２１０８３ 19550307 0016", "421083-19550307-0016", " 421083195503070016 "]
)
def test_numbers_may_be_grouped_or_full_width(typed: str) -> None:
    """A pasted, spaced or full-width number is the same number."""
    assert form(id=typed).number("id", "身份证号") == "421083195503070016"


def test_a_small_x_is_the_check_digit_x() -> None:
    """An identity number's last sign is a capital X."""
    assert form(id="42108319550307001x").number("id", "身份证号") == "42108319550307001X"


@pytest.mark.parametrize("typed", ["1,200.5", "１２００.50", "1200.50元", "¥1200.5"])
def test_money_accepts_the_ways_people_type_it(typed: str) -> None:
    """Amounts in yuan, with thousands, one decimal, full width or a unit."""
    assert form(amount=typed).money("amount", "金额") == 120050


@pytest.mark.parametrize("typed", ["1.005", "-3", "三百元", "1e5", "99999999999999"])
def test_what_is_not_an_amount_is_refused_naming_the_field(typed: str) -> None:
    """No fraction of a fen, nothing negative, no words, nothing beyond measure."""
    asked = form(amount=typed)
    asked.money("amount", "金额")
    with pytest.raises(Refused) as refused:
        asked.check()
    assert problems_of(refused.value)[0].field == "amount"


@pytest.mark.parametrize("typed", ["20261230", "2026-12-30", "2026年12月30日", "2026/12/30"])
def test_days_are_typed_as_eight_digits_or_with_signs(typed: str) -> None:
    """Dates are typed, not picked."""
    assert form(day=typed).day("day", "日期") == date(2026, 12, 30)


@pytest.mark.parametrize("typed", ["20260230", "2026", "明天", ""])
def test_a_day_that_does_not_exist_is_refused(typed: str) -> None:
    """30 February is not a day."""
    asked = form(day=typed)
    asked.day("day", "日期")
    with pytest.raises(Refused):
        asked.check()


def test_all_problems_come_at_once() -> None:
    """A person corrects everything in one go."""
    asked = form(name="", amount="x", day="y")
    asked.text("name", "姓名")
    asked.money("amount", "金额")
    asked.day("day", "日期")
    with pytest.raises(Refused) as refused:
        asked.check()
    assert [problem.field for problem in problems_of(refused.value)] == ["name", "amount", "day"]


def test_what_was_typed_is_kept() -> None:
    """A refused form shows what was typed, not what was understood."""
    assert form(amount="1,2x").typed("amount") == "1,2x"


def test_a_service_names_the_cell_of_a_grid() -> None:
    """The error summary leads to the very cell: ``members[2].phone`` stands as ``phone-2``."""
    refusal = Invalid("不是电话号码", field="members[2].phone", advice="请填 11 位手机号")
    assert problems_of(refusal)[0].field == "phone-2"
