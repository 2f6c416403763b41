"""What one cell says: a number, a month, an amount, a code; or why it says nothing usable.

Each function answers with the value, or tells ``found`` what is wrong with the cell and answers
with nothing. Cells of places and officers, which need the county's divisions, are in ``places``.
"""

from __future__ import annotations

import re
from datetime import date

from services.contracts.errors import Invalid
from services.contracts.money import fen, yuan
from services.registry.domain import identity_number
from services.registry.domain.benefits import (
    BENEFITS,
    CATEGORIES,
    DISABILITY,
    KINSHIP_SPELLINGS,
    SPELLINGS,
)
from services.registry.domain.roster.cells import Cell, amount_text, digits, mangled, one_dot
from services.registry.domain.roster.columns import (
    ACCOUNT,
    AMOUNT,
    BENEFIT,
    CATEGORY,
    HOUSEHOLD,
    IDENTITY,
    KINSHIP,
    NAME,
    PHONE,
    SINCE,
)
from services.registry.domain.roster.problems import Findings

MAX_MONTHLY_FEN = 10_000_000
"""100,000 yuan a month: more for one household or person is a slip of the decimal point."""

_MONTH = re.compile(r"(\d{4})\s*(?:[-/.年]?)\s*(\d{1,2})\s*月?(?:[-/.]?\s*\d{1,2}日?(?:[ T].*)?)?")
_NAME = re.compile(
    r"[\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af·]{2,25}|[A-Za-z][A-Za-z .'-]{1,49}"
)
_PHONE = re.compile(r"1[3-9]\d{9}|0\d{9,11}|[2-8]\d{6,7}")
_ACCOUNT = re.compile(r"\d{8,32}")
_HOUSEHOLD = re.compile(r"[0-9A-Za-z\u4e00-\u9fff_./-]{1,40}")
_SPLIT = re.compile(r"[、,，;；/|\s]+")
_MANGLED = ("单元格是数字格式，末位已被 Excel 抹掉", "请改为文本格式后重新填写")


def is_name(text: str) -> bool:
    """Whether this can be a person's name."""
    return _NAME.fullmatch(text) is not None


def is_phone(number: str) -> bool:
    """Whether this is a mobile or fixed-line number (digits only)."""
    return _PHONE.fullmatch(number) is not None


def is_account(number: str) -> bool:
    """Whether this can be a bank account (digits only)."""
    return _ACCOUNT.fullmatch(number) is not None


# -- who --------------------------------------------------------------------------------------


def household_number(row: int, text: str, found: Findings) -> str:
    """户编号; empty when there is none."""
    if not text:
        found.refuse(row, HOUSEHOLD, "", "户编号为空", "请填写，同一户各行相同")
    elif not _HOUSEHOLD.fullmatch(text):
        found.refuse(row, HOUSEHOLD, text, "户编号含有特殊字符或过长", "只用字母、数字，40 字以内")
        return ""
    return text


def kinship(row: int, text: str, found: Findings) -> str | None:
    """Code of what a person is to the head of the household."""
    code = KINSHIP_SPELLINGS.get(text)
    if code is None:
        found.refuse(
            row,
            KINSHIP,
            text,
            "与户主关系为空" if not text else "不认识的与户主关系",
            "请填写户主、配偶、子、女、孙子女、父母、祖父母、兄弟姐妹或其他",
        )
    return code


def name(row: int, text: str, found: Findings) -> str:
    """A person's name as the identity card has it."""
    given = one_dot(text).replace(" ", "") if not text.isascii() else text
    if not given:
        found.refuse(row, NAME, "", "姓名为空", "请填写姓名")
    elif not _NAME.fullmatch(given):
        found.refuse(row, NAME, text, "姓名含有非文字字符或长度不对", "请按身份证填写姓名")
    return given


def identity(
    row: int, raw: Cell, text: str, today: date, found: Findings
) -> identity_number.IdentityNumber | None:
    """An identity number, its check digit and birth date tried."""
    if not text:
        found.refuse(row, IDENTITY, "", "身份证号为空", "请填写 18 位身份证号")
        return None
    if mangled(raw):
        found.refuse(row, IDENTITY, text, *_MANGLED)
        return None
    try:
        return identity_number.read(text, today)
    except Invalid as wrong:
        found.refuse(row, IDENTITY, text, wrong.message, wrong.advice or "")
        return None


def categories(row: int, text: str, found: Findings) -> tuple[tuple[str, ...], str]:
    """Codes of the categories (a word without a code stands for itself), and the disability."""
    codes: list[str] = []
    disability = ""
    for word in _SPLIT.split(text):
        if match := DISABILITY.fullmatch(word):
            disability = f"{match[1]}{match[2]}级"
        elif word:
            if word not in CATEGORIES:
                found.warn(
                    row, CATEGORY, word, "不在类别表中，按原文保存", "可在类别表中增加后再统计"
                )
            codes.append(CATEGORIES.get(word, word))
    return tuple(codes), disability


# -- where money and word reach them ----------------------------------------------------------


def account(row: int, raw: Cell, text: str, found: Findings) -> str:
    """A bank account; empty when there is none."""
    if not text:
        return ""
    if mangled(raw):
        found.refuse(row, ACCOUNT, text, *_MANGLED)
        return ""
    number = digits(text)
    if not _ACCOUNT.fullmatch(number):
        found.refuse(row, ACCOUNT, text, "银行账号应为 8 至 32 位数字", "请核对存折或社保卡")
        return ""
    return number


def phone(row: int, text: str, found: Findings) -> str:
    """A mobile or fixed-line number; empty when there is none."""
    if not text:
        return ""
    number = digits(text).removeprefix("+86")
    if not _PHONE.fullmatch(number):
        found.refuse(
            row,
            PHONE,
            text,
            "不是手机号或固定电话",
            "请填 11 位手机号或带区号的固话，没有可留空",
        )
        return ""
    return number


# -- what they were granted -------------------------------------------------------------------


def benefit(row: int, text: str, found: Findings) -> str | None:
    """Code of the benefit this row is about, if any."""
    if not text:
        return None
    code = SPELLINGS.get(text)
    if code is None:
        found.refuse(
            row, BENEFIT, text, "不认识的待遇项目", f"请填写：{'、'.join(BENEFITS.values())}"
        )
    return code


def money(row: int, column: int, raw: Cell, text: str, found: Findings) -> int | None:
    """Fen a month of the column 家庭月收入 or 核定金额."""
    if not text:
        return None
    try:
        amount = fen(amount_text(raw, text))
    except Invalid as wrong:
        found.refuse(row, column, text, wrong.message, wrong.advice or "")
        return None
    if amount > MAX_MONTHLY_FEN:
        found.refuse(
            row, column, text, f"每月超过 {yuan(MAX_MONTHLY_FEN)} 元", "请核对小数点，单位是元"
        )
        return None
    if amount == 0 and column == AMOUNT:
        found.refuse(row, column, text, "核定金额为零", "没有待遇的行请把待遇项目和金额都留空")
        return None
    return amount


def since(row: int, text: str, today: date, found: Findings) -> str:
    """The month (YYYY-MM) a benefit began; empty when there is none."""
    if not text:
        return ""
    match = _MONTH.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 12 or not 1949 <= int(match[1]) <= 2999:
        found.refuse(row, SINCE, text, "不是年月", "请填写如 2024-03")
        return ""
    if int(match[1]) > today.year + 1:
        found.refuse(row, SINCE, text, "享受起始月在一年以后", "请核对年份")
    return f"{int(match[1])}-{int(match[2]):02d}"  # full-width digits too
