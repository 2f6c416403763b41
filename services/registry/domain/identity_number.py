"""Citizen identity numbers (公民身份号码, GB 11643-1999) and how they may be written.

The check digit is ISO 7064 MOD 11-2; the birth date must lie between 1900 and today; the first two
digits must be a province (71 Taiwan, 81/82/83 residents from Hong Kong, Macao and Taiwan, 91–96
foreigners' permanent residence cards). Whether the *county* existed in the birth year is not asked:
codes are retired and re-used, and whoever is old carries an old one. A foreign county is a hint.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from stdnum.iso7064 import mod_11_2

from services.contracts.errors import Invalid

FIELD = "身份证号"

_PROVINCES = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 "
    "61 62 63 64 65 71 81 82 83 91 92 93 94 95 96"
)
PROVINCES = frozenset(_PROVINCES.split())
EARLIEST_BIRTH = date(1900, 1, 1)

_HALF_WIDTH = {ord("０") + n: str(n) for n in range(10)} | {
    ord("Ｘ"): "X",
    ord("ｘ"): "X",
    ord("x"): "X",
    ord("－"): None,
    ord("-"): None,
    ord(" "): None,
    ord("\t"): None,
    ord("\u3000"): None,
    ord("\u00a0"): None,
    ord("\u200b"): None,
    ord("'"): None,
    ord("’"): None,
}


class IdentityNumber(NamedTuple):
    """A valid number in its 18-digit form, with what it says of its bearer."""

    number: str
    birth: date
    female: bool

    @property
    def masked(self) -> str:
        """The only form that may be shown: the last four."""
        return mask(self.number)


def normalize(text: str) -> str:
    """Full-width to half-width, small to capital X, spaces and hyphens dropped. Checks nothing."""
    return text.translate(_HALF_WIDTH)


def check_digit(first_17: str) -> str:
    """The 18th character of the number that begins with these 17 digits."""
    return mod_11_2.calc_check_digit(first_17)


def read(text: str, today: date) -> IdentityNumber:
    """Read an identity number of 18 or 15 digits as its 18-digit form.

    Raises ``Invalid`` (field 身份证号) saying which part is wrong. Numbers of 15 digits were given
    until 1999 to people born in 1900–1999; they become 18 by the century and the check digit.
    """
    number = normalize(text)
    if len(number) == 15:
        if not (number.isascii() and number.isdigit()):
            raise _wrong("15 位身份证号只能是数字", "请核对证件，或填写 18 位号码")
        number = f"{number[:6]}19{number[6:]}"
        number += check_digit(number)
    elif len(number) != 18:
        raise _wrong(f"身份证号应为 18 位，这里是 {len(number)} 位", "请核对证件，补齐号码")
    if not (number.isascii() and number[:17].isdigit() and number[17] in "0123456789X"):
        raise _wrong("身份证号含有数字和末位 X 以外的字符", "请删除多余字符")
    if number[:2] not in PROVINCES:
        raise _wrong(f"身份证号前两位“{number[:2]}”不是省级代码", "请核对证件")
    try:
        birth = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        raise _wrong("身份证号第 7 至 14 位不是有效的出生日期", "请核对证件") from None
    if birth < EARLIEST_BIRTH:
        raise _wrong("身份证号的出生日期早于 1900 年", "请核对证件")
    if birth > today:
        raise _wrong("身份证号的出生日期晚于今天", "请核对证件")
    if mod_11_2.checksum(number) != 1:
        raise _wrong("身份证号第 18 位校验不对", "请核对证件，逐位检查是否录错")
    return IdentityNumber(number, birth, int(number[16]) % 2 == 0)


def issued_in(number: str, county: str) -> bool:
    """Whether the number was first issued in ``county``. ``False`` is a hint, never an error."""
    return number.startswith(county)


def mask(number: str) -> str:
    """Stars for all but the last four; with the first six shown too, the birth date is out."""
    return "*" * max(len(number) - 4, 0) + number[-4:] if len(number) > 4 else "*" * len(number)


def age_on(birth: date, day: date) -> int:
    """Full years of age on ``day``."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def _wrong(problem: str, advice: str) -> Invalid:
    return Invalid(problem, field=FIELD, advice=advice)
