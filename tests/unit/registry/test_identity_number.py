"""Identity numbers: every valid one is read, every slip of the pen is caught."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.errors import Invalid
from services.registry.domain import identity_number
from services.registry.domain.identity_number import PROVINCES, check_digit, mask, read

TODAY = date(2026, 9, 28)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Valid 18-digit numbers of anybody alive or born since 1900."""
    area = draw(st.sampled_from(sorted(PROVINCES))) + f"{draw(st.integers(0, 9999)):04d}"
    birth = draw(st.dates(date(1900, 1, 1), TODAY))
    first = f"{area}{birth:%Y%m%d}{draw(st.integers(0, 999)):03d}"
    return first + check_digit(first)


@given(numbers())
def test_reads_every_valid_number(number: str) -> None:
    """Whoever was born since 1900, wherever: the county code's own age does not matter."""
    found = read(number, TODAY)
    assert found.number == number
    assert f"{found.birth:%Y%m%d}" == number[6:14]
    assert found.female == (int(number[16]) % 2 == 0)


@given(numbers(), st.integers(0, 17), st.sampled_from("0123456789X"))
def test_refuses_every_single_wrong_character(number: str, place: int, other: str) -> None:
    """MOD 11-2 finds any one wrong character; nothing is read as somebody else."""
    wrong = number[:place] + other + number[place + 1 :]
    if wrong == number:
        return
    with pytest.raises(Invalid):
        read(wrong, TODAY)


@given(numbers(), st.integers(0, 16))
def test_refuses_every_swap_of_neighbours(number: str, place: int) -> None:
    """The commonest slip at a keyboard is two neighbouring characters swapped."""
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    if swapped == number:
        return
    with pytest.raises(Invalid):
        read(swapped, TODAY)


@given(numbers().filter(lambda number: number[6:8] == "19"))
def test_fifteen_digits_become_the_same_eighteen(number: str) -> None:
    """A person found under the old number is the person of the new one."""
    assert read(number[:6] + number[8:17], TODAY).number == number


@given(numbers())
def test_reads_what_people_type(number: str) -> None:
    """Full-width digits, small x, spaces and hyphens are ways of writing, not errors."""
    wide = "".join(chr(ord("０") + int(c)) if c.isdigit() else "ｘ" for c in number)
    spaced = f" {number[:6]}-{number[6:14]} {number[14:].lower()}　"
    assert read(wide, TODAY).number == read(spaced, TODAY).number == number


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("42108319550307001", "17 位"),
        ("4210831955030700160", "19 位"),
        ("", "0 位"),
        ("4210831955O3070016", "字符"),
        ("X2108319550307001X", "字符"),
        ("4２10831955030700①6", "字符"),
        ("42108355030700X", "只能是数字"),
        ("001083195503070016", "省级代码"),
        ("991083195503070016", "省级代码"),
        ("421083195502300016", "出生日期"),
        ("421083189912310016", "早于 1900"),
        ("421083202609290016", "晚于今天"),
        ("421083195503070010", "第 18 位"),
    ],
)
def test_says_which_part_is_wrong(text: str, part: str) -> None:
    """The clerk is told what is wrong and what to do, and which field it is."""
    with pytest.raises(Invalid) as caught:
        read(text, TODAY)
    assert part in caught.value.message
    assert caught.value.field == "身份证号"
    assert caught.value.advice


def test_born_today_is_a_person() -> None:
    """A child registered on the day of birth has a number."""
    first = "42108320260928001"
    assert read(first + check_digit(first), TODAY).birth == TODAY


def test_masks_all_but_the_last_four() -> None:
    """With the area shown too, the birth date beside it would give the number away."""
    assert mask("42108319550307001X") == "**************001X"
    assert mask("123") == "***"


def test_another_county_is_only_a_hint() -> None:
    """Who moved here, or was born before the county was made, is not wrong."""
    first = "13022419480305112"
    number = first + check_digit(first)
    assert read(number, TODAY).number == number
    assert not identity_number.issued_in(number, "421083")


def test_counts_full_years() -> None:
    """Age changes on the birthday, and on 1 March for who was born on 29 February."""
    assert identity_number.age_on(date(1946, 9, 28), TODAY) == 80
    assert identity_number.age_on(date(1946, 9, 29), TODAY) == 79
    assert identity_number.age_on(date(2004, 2, 29), date(2026, 2, 28)) == 21
