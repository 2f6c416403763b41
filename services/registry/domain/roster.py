"""The roster (花名册): one row per person and benefit, checked before anything is written.

``check`` reads rows as they stand in the workbook and answers with what they say (people,
households, benefits already granted) and with every problem by row and column. It is plain loops
over plain values, because a city's roster has 110,000 rows and the clerk waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, Protocol, TypeVar

from services.contracts.errors import Invalid
from services.contracts.money import fen, yuan
from services.registry.domain import identity_number
from services.registry.domain.benefits import (
    ALONE_COVERED,
    BENEFITS,
    CATEGORIES,
    DISABILITY,
    HEAD,
    KINSHIP_SPELLINGS,
    OF_HOUSEHOLD,
    SPELLINGS,
)
from services.registry.domain.divisions import Gazetteer

Cell = str | float | int | bool | None
V = TypeVar("V")

TOWN, VILLAGE, HOUSEHOLD, KINSHIP, NAME, IDENTITY, CATEGORY, BENEFIT = range(8)
INCOME, AMOUNT, SINCE, DOCUMENT, ACCOUNT_NAME, ACCOUNT, PHONE, OFFICER = range(8, 16)

TITLES = (
    "镇", "村", "户编号", "与户主关系", "姓名", "身份证号", "对象类别", "待遇项目",
    "家庭月收入(元)", "核定金额(元/月)", "享受起始月", "批准文号", "开户名", "银行账号",
    "联系电话", "责任人工号",
)  # fmt: skip
"""The columns as the template names them, in the order of the constants above."""

SYNONYMS: dict[int, tuple[str, ...]] = {
    TOWN: ("镇", "乡镇", "镇街", "镇乡", "镇街道", "乡镇街道", "所属镇", "所在镇", "镇办", "镇区"),
    VILLAGE: ("村", "村居", "村社区", "行政村", "所属村", "所在村", "村居委会", "村委会", "社区"),
    HOUSEHOLD: ("户编号", "户号", "家庭编号", "户编码", "家庭户号"),
    KINSHIP: ("与户主关系", "与户主的关系", "家庭关系", "关系", "户主关系"),
    NAME: ("姓名", "人员姓名", "成员姓名", "对象姓名"),
    IDENTITY: ("身份证号", "身份证号码", "身份证", "公民身份号码", "公民身份证号", "证件号码"),
    CATEGORY: ("对象类别", "人员类别", "类别", "救助对象类别", "人员类型"),
    BENEFIT: ("待遇项目", "待遇", "享受待遇", "救助项目", "项目", "享受项目"),
    INCOME: ("家庭月收入", "家庭月收入元", "月收入", "家庭收入"),
    AMOUNT: ("核定金额", "核定金额元月", "月核定金额", "月补助金额", "月保障金额", "补助金额"),
    SINCE: ("享受起始月", "起始月", "享受起始时间", "起始年月", "享受起始年月", "享受开始月"),
    DOCUMENT: ("批准文号", "审批文号", "文号", "批文号", "确认文号"),
    ACCOUNT_NAME: ("开户名", "户名", "账户名", "开户姓名", "账户姓名", "开户人"),
    ACCOUNT: (
        "银行账号",
        "账号",
        "银行卡号",
        "卡号",
        "一卡通账号",
        "社保卡账号",
        "银行帐号",
        "帐号",
    ),
    PHONE: ("联系电话", "电话", "手机", "手机号", "手机号码", "联系方式"),
    OFFICER: ("责任人工号", "责任人", "责任人编号", "工号", "专干工号", "包保责任人工号"),
}
OPTIONAL = frozenset({CATEGORY, PHONE})
"""Columns a roster may lack altogether."""

SEARCHED_ROWS = 20
"""How many rows at the top may be titles and notes before the header."""

MAX_MONTHLY_FEN = 10_000_000
"""100,000 yuan a month: more for one household or person is a slip of the decimal point."""

_SENSITIVE = frozenset({IDENTITY, ACCOUNT, PHONE})
_HEADERS = {name: column for column, names in SYNONYMS.items() for name in names}
_NOT_OF_A_HEADER = re.compile(r"[\s*＊（）()\[\]【】/／、:：·]")
_IN_BRACKETS = re.compile(r"[（(\[【].*?[）)\]】]")
_MONTH = re.compile(r"(\d{4})\s*(?:[-/.年]?)\s*(\d{1,2})\s*月?(?:[-/.]?\s*\d{1,2}日?(?:[ T].*)?)?")
_NAME = re.compile(
    r"[\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af·]{2,25}|[A-Za-z][A-Za-z .'-]{1,49}"
)
_PHONE = re.compile(r"1[3-9]\d{9}|0\d{9,11}|[2-8]\d{6,7}")
_ACCOUNT = re.compile(r"\d{8,32}")
_HOUSEHOLD = re.compile(r"[0-9A-Za-z\u4e00-\u9fff_./-]{1,40}")
_SPLIT = re.compile(r"[、,，;；/|\s]+")
_DOTS = str.maketrans({"•": "·", "‧": "·", "．": "·", "・": "·", "․": "·"})
_DIGITS = {ord("０") + n: str(n) for n in range(10)} | {
    ord(c): None for c in " \t\u3000\u00a0\u200b-－"
}


class Problem(NamedTuple):
    """What is wrong (or, among warnings, odd) in one cell, and what to do about it.

    ``value`` is what stands there; of identity numbers, accounts and phones only the last four.
    """

    row: int
    column: str
    value: str
    problem: str
    advice: str


@dataclass(slots=True)
class Person:
    """One person of the roster, from their first row."""

    row: int
    identity: str
    birth: date
    female: bool
    name: str
    division: str
    household: str
    kinship: str
    categories: tuple[str, ...]
    disability: str
    account_name: str
    account: str
    phone: str
    officer: str


@dataclass(slots=True)
class Household:
    """One household: who belongs to it and what it lives on (fen a month)."""

    row: int
    number: str
    division: str
    head: Person | None = None
    members: list[Person] = field(default_factory=list)
    income_fen: int | None = None
    income_row: int = 0
    broken: bool = False


@dataclass(slots=True)
class Grant:
    """A benefit granted before Zhida, paid on until a review decides it anew.

    ``amount_fen`` is what is paid a month for all ``covered`` together. ``basis`` is ``household``
    or ``person`` (for person benefits, and 低保 of a single member, 单人保).
    """

    row: int
    benefit: str
    basis: str
    household: Household
    payee: Person
    covered: list[Person]
    amount_fen: int
    since: str
    document: str


@dataclass(slots=True)
class Roster:
    """What a checked roster says. Written only when ``problems`` is empty."""

    rows: int
    accepted: int
    people: list[Person]
    households: list[Household]
    grants: list[Grant]
    problems: list[Problem]
    warnings: list[Problem]

    @property
    def rejected(self) -> int:
        """Rows with at least one problem."""
        return self.rows - self.accepted


@dataclass(slots=True)
class _Claim:
    """The benefit cells of one row, kept until the household is complete."""

    row: int
    benefit: str | None
    person: Person
    amount: int | None
    since: str
    document: str


class Figures(Protocol):
    """What policy says of benefits that came with a roster."""

    def fen(self, grant: Grant, others: frozenset[str]) -> int | None:
        """The month's amount; ``None`` when there is no figure for it."""

    def excluded(self, benefits: Iterable[str]) -> list[tuple[str, str, str]]:
        """(benefit, held, clause) of what one person may not hold together."""


def find_header(rows: Sequence[tuple[int, Sequence[Cell]]]) -> tuple[int, dict[int, int]]:
    """Find the header among the first rows: its row number, and column → position.

    Headers may stand in any order and be written with synonyms, stars, brackets and units.
    Raises ``Invalid`` when no row looks like one, a needed column is missing, or one occurs twice.
    """
    for row, cells in rows[:SEARCHED_ROWS]:
        found: dict[int, int] = {}
        twice: list[str] = []
        for position, cell in enumerate(cells):
            column = _column(str(cell or ""))
            if column is None:
                continue
            if column in found:
                twice.append(TITLES[column])
            found.setdefault(column, position)
        if len(found) < 5:
            continue
        if twice:
            raise Invalid(
                f"第 {row} 行表头中“{twice[0]}”出现了两次",
                field=twice[0],
                advice="请只保留一列",
                reason="header",
            )
        missing = [TITLES[c] for c in range(16) if c not in found and c not in OPTIONAL]
        if missing:
            raise Invalid(
                f"第 {row} 行表头缺少列：{'、'.join(missing)}",
                field=missing[0],
                advice="请下载模板，按模板补齐列名",
                reason="header",
            )
        return row, found
    raise Invalid(
        f"前 {SEARCHED_ROWS} 行里没有找到表头",
        field="表头",
        advice="表头应含“镇、村、户编号、姓名、身份证号、待遇项目”等列名，可下载模板对照",
        reason="header",
    )


def _column(header: str) -> int | None:
    """The column a header means, with or without what stands in brackets: 身份证号（18位）."""
    for text in (header, _IN_BRACKETS.sub("", header)):
        column = _HEADERS.get(_NOT_OF_A_HEADER.sub("", text))
        if column is not None:
            return column
    return None


def check(
    rows: Iterable[tuple[int, Sequence[Cell]]],
    *,
    gazetteer: Gazetteer,
    officers: Mapping[str, Collection[str]],
    today: date,
    formulas: Collection[tuple[int, int]] = frozenset(),
    merged: Mapping[int, Collection[int]] | None = None,
    figures: Figures | None = None,
) -> Roster:
    """Check a roster.

    ``rows`` are (row number, cells) as the workbook counts them; ``officers`` gives each officer's
    number the divisions they look after; ``formulas`` are (row, position) of cells that hold a
    formula and ``merged`` the positions within merged cells by row; ``figures`` what policy says.
    Raises ``Invalid`` when the sheet has no usable header or no rows.
    """
    iterator = iter(rows)
    top: list[tuple[int, Sequence[Cell]]] = []
    for numbered in iterator:
        top.append(numbered)
        if len(top) == SEARCHED_ROWS:
            break
    header, positions = find_header(top)
    checker = _Checker(
        positions, gazetteer, officers, today, frozenset(formulas), merged or {}, figures
    )
    for row, cells in top:
        if row > header:
            checker.add(row, cells)
    for row, cells in iterator:
        checker.add(row, cells)
    return checker.finish()


class _Checker:
    """Holds what has been read while the rows go by."""

    def __init__(
        self,
        positions: dict[int, int],
        gazetteer: Gazetteer,
        officers: Mapping[str, Collection[str]],
        today: date,
        formulas: frozenset[tuple[int, int]],
        merged: Mapping[int, Collection[int]],
        figures: Figures | None,
    ) -> None:
        self.positions = [positions.get(column, -1) for column in range(16)]
        self.gazetteer = gazetteer
        self.officers = officers
        self.looked_after = {scope for scopes in officers.values() for scope in scopes}
        self.staffed: dict[str, bool] = {}
        self.today = today
        self.formulas = formulas
        self.merged = merged
        self.figures = figures
        self.rows = 0
        self.bad_rows: set[int] = set()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.people: dict[str, Person] = {}
        self.households: dict[str, Household] = {}
        self.claims: dict[str, list[_Claim]] = {}
        self.claimed: dict[tuple[str, str], int] = {}
        self.accounts: dict[str, tuple[str, int]] = {}
        self.places: dict[tuple[str, str], tuple[str | None, str | None]] = {}
        self.categories: dict[str, tuple[tuple[str, ...], str]] = {}

    # -- reading one row ------------------------------------------------------------------

    def add(self, row: int, cells: Sequence[Cell]) -> None:
        """Take in one data row; blank rows do not count."""
        width = len(cells)
        raw = [cells[p] if 0 <= p < width else None for p in self.positions]
        text = [cell_text(cell) for cell in raw]
        if not any(text):
            return
        self.rows += 1
        self._refuse_formulas_and_merges(row, text)
        division = self._place(row, text)
        number = self._household_number(row, text[HOUSEHOLD])
        household = self._household(row, number, division, text[VILLAGE]) if number else None
        benefit = self._benefit(row, text[BENEFIT])
        income = self._money(row, INCOME, raw[INCOME], text[INCOME])
        amount = self._money(row, AMOUNT, raw[AMOUNT], text[AMOUNT])
        since = self._since(row, text[SINCE])
        if household is not None and income is not None:
            self._income(row, household, income, text[INCOME])
        person = self._person(row, raw, text, division, number)
        if household is None:
            return
        if person is None or row in self.bad_rows:
            household.broken = True
            return
        known = self._member(household, person, text)
        if known is None:
            household.broken = True
            return
        self._claim(number, _Claim(row, benefit, known, amount, since, text[DOCUMENT]), text)

    def _person(
        self, row: int, raw: list[Cell], text: list[str], division: str | None, number: str
    ) -> Person | None:
        kinship = self._kinship(row, text[KINSHIP])
        name = self._name(row, text[NAME])
        identity = self._identity(row, raw[IDENTITY], text[IDENTITY])
        officer = self._officer(row, text[OFFICER], division)
        account = self._account(row, raw[ACCOUNT], text[ACCOUNT])
        phone = self._phone(row, text[PHONE])
        categories, disability = self._categories(row, text[CATEGORY])
        if identity is None or kinship is None:
            return None
        return Person(
            row,
            identity.number,
            identity.birth,
            identity.female,
            name,
            division or "",
            number,
            kinship,
            categories,
            disability,
            text[ACCOUNT_NAME].translate(_DOTS),
            account,
            phone,
            officer,
        )

    def _member(self, household: Household, person: Person, text: list[str]) -> Person | None:
        """The person as first met: new to the household, or met before on an equal row."""
        known = self.people.get(person.identity)
        if known is not None:
            return known if self._same_person(person.row, known, person, text) else None
        self.people[person.identity] = person
        household.members.append(person)
        if person.kinship == HEAD:
            if household.head is None:
                household.head = person
            else:
                self._problem(
                    person.row,
                    KINSHIP,
                    text[KINSHIP],
                    f"户 {household.number} 有两个户主（第 {household.head.row} 行已有）",
                    "请只保留一个户主，其余改为与户主的关系",
                )
        if person.account:
            self._note_account(person.row, person.account, household.number)
        return person

    def _claim(self, number: str, claim: _Claim, text: list[str]) -> None:
        if claim.benefit is None and claim.amount is None:
            return
        if claim.benefit is not None:
            key = (claim.person.identity, claim.benefit)
            first = self.claimed.setdefault(key, claim.row)
            if first != claim.row:
                self._problem(
                    claim.row,
                    BENEFIT,
                    text[BENEFIT],
                    f"同一人同一待遇重复（第 {first} 行已有）",
                    "请删除其中一行",
                )
                return
            born = f"{claim.person.birth:%Y-%m}"
            if claim.benefit not in OF_HOUSEHOLD and claim.since and claim.since < born:
                self._problem(
                    claim.row, SINCE, text[SINCE], "享受起始月早于出生月", "请核对起始月和身份证号"
                )
        self.claims.setdefault(number, []).append(claim)

    def _refuse_formulas_and_merges(self, row: int, text: list[str]) -> None:
        if self.formulas:
            for column, position in enumerate(self.positions):
                if (row, position) in self.formulas:
                    self._problem(
                        row,
                        column,
                        text[column],
                        "单元格是公式",
                        "请复制后用“选择性粘贴—数值”改为固定内容",
                    )
        if self.merged and row in self.merged:
            within = self.merged[row]
            for column, position in enumerate(self.positions):
                if position in within:
                    self._problem(
                        row, column, text[column], "单元格是合并单元格", "请取消合并，逐行填写"
                    )

    def _place(self, row: int, text: list[str]) -> str | None:
        written = (text[TOWN], text[VILLAGE])
        try:
            town, village = self.places[written]
        except KeyError:
            town = self.gazetteer.town(written[0]) if written[0] else None
            village = self.gazetteer.village(town, written[1]) if town and written[1] else None
            self.places[written] = (town, village)
        if village is not None:
            return village
        if not written[0]:
            self._problem(row, TOWN, "", "镇为空", "请填写镇（街道）名称")
        elif town is None:
            self._problem(
                row,
                TOWN,
                written[0],
                "区划中没有这个镇",
                "请用全称，如“戴家场镇”，或填 9 位区划代码",
            )
        elif not written[1]:
            self._problem(row, VILLAGE, "", "村为空", "请填写村（社区）名称")
        else:
            name = self.gazetteer.divisions[town].short_name
            self._problem(
                row,
                VILLAGE,
                written[1],
                f"{name}没有这个村（社区），或有重名",
                "请用全称，如“沈庙村”“戴市社区”，或填 12 位区划代码",
            )
        return None

    def _household_number(self, row: int, text: str) -> str:
        if not text:
            self._problem(row, HOUSEHOLD, "", "户编号为空", "请填写，同一户各行相同")
        elif not _HOUSEHOLD.fullmatch(text):
            self._problem(
                row, HOUSEHOLD, text, "户编号含有特殊字符或过长", "只用字母、数字，40 字以内"
            )
            return ""
        return text

    def _kinship(self, row: int, text: str) -> str | None:
        code = KINSHIP_SPELLINGS.get(text)
        if code is None:
            self._problem(
                row,
                KINSHIP,
                text,
                "与户主关系为空" if not text else "不认识的与户主关系",
                "请填写户主、配偶、子、女、孙子女、父母、祖父母、兄弟姐妹或其他",
            )
        return code

    def _name(self, row: int, text: str) -> str:
        name = text.translate(_DOTS).replace(" ", "") if not text.isascii() else text
        if not name:
            self._problem(row, NAME, "", "姓名为空", "请填写姓名")
        elif not _NAME.fullmatch(name):
            self._problem(row, NAME, text, "姓名含有非文字字符或长度不对", "请按身份证填写姓名")
        return name

    def _identity(self, row: int, raw: Cell, text: str) -> identity_number.IdentityNumber | None:
        if not text:
            self._problem(row, IDENTITY, "", "身份证号为空", "请填写 18 位身份证号")
            return None
        if _mangled(raw):
            self._problem(
                row,
                IDENTITY,
                text,
                "单元格是数字格式，末位已被 Excel 抹掉",
                "请改为文本格式后重新填写",
            )
            return None
        try:
            return identity_number.read(text, self.today)
        except Invalid as wrong:
            self._problem(row, IDENTITY, text, wrong.message, wrong.advice or "")
            return None

    def _benefit(self, row: int, text: str) -> str | None:
        if not text:
            return None
        code = SPELLINGS.get(text)
        if code is None:
            self._problem(
                row, BENEFIT, text, "不认识的待遇项目", f"请填写：{'、'.join(BENEFITS.values())}"
            )
        return code

    def _officer(self, row: int, text: str, division: str | None) -> str:
        if division is None:
            return text
        if not self._has_officer(division):
            name = self.gazetteer.divisions[division].short_name
            self._problem(
                row, OFFICER, text, f"{name}还没有责任人", "请先任命该村（社区）的民政专干，再导入"
            )
        elif not text:
            self._problem(row, OFFICER, "", "责任人工号为空", "请填写该村（社区）民政专干的工号")
        else:
            scopes = self.officers.get(text)
            if scopes is None:
                self._problem(row, OFFICER, text, "没有这个工号，或已离岗", "请核对工号，或先任命")
            elif not any(division.startswith(scope) for scope in scopes):
                name = self.gazetteer.divisions[division].short_name
                self._problem(
                    row, OFFICER, text, f"该工号不负责{name}", "请填写负责该村（社区）的工号"
                )
        return text

    def _has_officer(self, division: str) -> bool:
        known = self.staffed.get(division)
        if known is None:
            known = any(division[:n] in self.looked_after for n in (12, 9, 6))
            self.staffed[division] = known
        return known

    def _account(self, row: int, raw: Cell, text: str) -> str:
        if not text:
            return ""
        if _mangled(raw):
            self._problem(
                row,
                ACCOUNT,
                text,
                "单元格是数字格式，末位已被 Excel 抹掉",
                "请改为文本格式后重新填写",
            )
            return ""
        account = text.translate(_DIGITS)
        if not _ACCOUNT.fullmatch(account):
            self._problem(row, ACCOUNT, text, "银行账号应为 8 至 32 位数字", "请核对存折或社保卡")
            return ""
        return account

    def _phone(self, row: int, text: str) -> str:
        if not text:
            return ""
        phone = text.translate(_DIGITS).removeprefix("+86")
        if not _PHONE.fullmatch(phone):
            self._problem(
                row,
                PHONE,
                text,
                "不是手机号或固定电话",
                "请填 11 位手机号或带区号的固话，没有可留空",
            )
            return ""
        return phone

    def _money(self, row: int, column: int, raw: Cell, text: str) -> int | None:
        if not text:
            return None
        try:
            amount = fen(_decimal(raw) if isinstance(raw, float) else text.translate(_DIGITS_KEEP))
        except Invalid as wrong:
            self._problem(row, column, text, wrong.message, wrong.advice or "")
            return None
        if amount > MAX_MONTHLY_FEN:
            self._problem(
                row,
                column,
                text,
                f"每月超过 {yuan(MAX_MONTHLY_FEN)} 元",
                "请核对小数点，单位是元",
            )
            return None
        if amount == 0 and column == AMOUNT:
            self._problem(row, column, text, "核定金额为零", "没有待遇的行请把待遇项目和金额都留空")
            return None
        return amount

    def _since(self, row: int, text: str) -> str:
        if not text:
            return ""
        match = _MONTH.fullmatch(text)
        if match is None or not 1 <= int(match[2]) <= 12 or not 1949 <= int(match[1]) <= 2999:
            self._problem(row, SINCE, text, "不是年月", "请填写如 2024-03")
            return ""
        month = f"{match[1]}-{int(match[2]):02d}"
        if int(match[1]) > self.today.year + 1:
            self._problem(row, SINCE, text, "享受起始月在一年以后", "请核对年份")
        return month

    def _categories(self, row: int, text: str) -> tuple[tuple[str, ...], str]:
        """Codes of the categories (a word without a code stands for itself), and the disability."""
        if text in self.categories:
            return self.categories[text]
        codes: list[str] = []
        disability = ""
        for word in _SPLIT.split(text):
            if match := DISABILITY.fullmatch(word):
                disability = f"{match[1]}{match[2]}级"
            elif word:
                if word not in CATEGORIES:
                    self._warn(
                        row, CATEGORY, word, "不在类别表中，按原文保存", "可在类别表中增加后再统计"
                    )
                codes.append(CATEGORIES.get(word, word))
        self.categories[text] = (tuple(codes), disability)
        return self.categories[text]

    # -- across rows ----------------------------------------------------------------------

    def _household(self, row: int, number: str, division: str | None, village: str) -> Household:
        household = self.households.get(number)
        if household is None:
            household = Household(row, number, division or "")
            self.households[number] = household
        elif division is not None:
            if not household.division:
                household.division = division
            elif household.division != division:
                there = self.gazetteer.divisions[household.division].short_name
                self._problem(
                    row,
                    VILLAGE,
                    village,
                    f"户 {number} 在第 {household.row} 行属于{there}",
                    "同一户应在同一村；不同的户请用不同的户编号",
                )
        return household

    def _income(self, row: int, household: Household, income: int, text: str) -> None:
        if household.income_fen is None:
            household.income_fen, household.income_row = income, row
        elif household.income_fen != income:
            self._problem(
                row,
                INCOME,
                text,
                f"与同户第 {household.income_row} 行的家庭月收入不一致",
                "家庭月收入是全户的，只填一行，或各行相同",
            )

    def _same_person(self, row: int, known: Person, again: Person, text: list[str]) -> bool:
        if known.household != again.household:
            self._problem(
                row,
                IDENTITY,
                text[IDENTITY],
                f"同一身份证号已在第 {known.row} 行户 {known.household} 中",
                "一个人只能在一户，请核对",
            )
            return False
        same = True
        for column, before, now in (
            (NAME, known.name, again.name),
            (KINSHIP, known.kinship, again.kinship),
            (CATEGORY, known.categories, again.categories),
            (CATEGORY, known.disability, again.disability),
            (ACCOUNT_NAME, known.account_name, again.account_name),
            (ACCOUNT, known.account, again.account),
            (PHONE, known.phone, again.phone),
            (OFFICER, known.officer, again.officer),
        ):
            if now != before and now:
                self._problem(
                    row,
                    column,
                    text[column],
                    f"与第 {known.row} 行同一人的{TITLES[column]}不一致",
                    "同一人的各行除待遇各列外应相同",
                )
                same = False
        return same

    def _note_account(self, row: int, account: str, household: str) -> None:
        first = self.accounts.setdefault(account, (household, row))
        if first[0] != household:
            self._warn(
                row,
                ACCOUNT,
                account,
                f"与第 {first[1]} 行另一户的账号相同",
                "请核对是否代持他人存折、卡",
            )

    def finish(self) -> Roster:
        """The rules that need whole households, then the answer."""
        if self.rows == 0:
            raise Invalid(
                "表头下面没有数据行", field="文件", advice="请填写后再上传", reason="empty"
            )
        grants: list[Grant] = []
        for household in self.households.values():
            if household.head is None and not household.broken:
                self._problem(
                    household.row,
                    HOUSEHOLD,
                    household.number,
                    f"户 {household.number} 没有户主",
                    "请把其中一人的与户主关系填为户主；户主没有待遇也要列一行",
                )
        for number, claims in self.claims.items():
            grants.extend(self._grants(self.households[number], claims))
        if self.figures is not None and not self.problems:
            self._compare_with_policy(grants)
        self.problems.sort(key=lambda problem: problem.row)
        self.warnings.sort(key=lambda warning: warning.row)
        return Roster(
            rows=self.rows,
            accepted=self.rows - len(self.bad_rows),
            people=list(self.people.values()),
            households=list(self.households.values()),
            grants=grants,
            problems=self.problems,
            warnings=self.warnings,
        )

    def _grants(self, household: Household, claims: list[_Claim]) -> list[Grant]:
        grants: list[Grant] = []
        shared = [c for c in claims if c.benefit is None or c.benefit in OF_HOUSEHOLD]
        covered = [c for c in shared if c.benefit is not None]
        if covered:
            grant = self._household_grant(household, covered, shared)
            if grant is not None:
                grants.append(grant)
        else:
            for claim in shared:
                self._problem(
                    claim.row,
                    BENEFIT,
                    "",
                    "有核定金额而没有待遇项目",
                    "请填写待遇项目，或清空核定金额",
                )
        for claim in claims:
            if claim.benefit is None or claim.benefit in OF_HOUSEHOLD:
                continue
            if claim.amount is None and claim.row not in self.bad_rows:
                self._problem(claim.row, AMOUNT, "", "核定金额为空", "请填写每月金额（元）")
            if not claim.since and claim.row not in self.bad_rows:
                self._problem(claim.row, SINCE, "", "享受起始月为空", "请填写如 2024-03")
            if not claim.document and claim.row not in self.bad_rows:
                self._problem(claim.row, DOCUMENT, "", "批准文号为空", "请填写批准该待遇的文号")
            if claim.row in self.bad_rows or claim.amount is None:
                continue
            grants.append(
                Grant(
                    claim.row,
                    claim.benefit,
                    "person",
                    household,
                    claim.person,
                    [claim.person],
                    claim.amount,
                    claim.since,
                    claim.document,
                )
            )
            self._consider_account(claim.row, claim.person)
        return grants

    def _household_grant(
        self, household: Household, covered: list[_Claim], shared: list[_Claim]
    ) -> Grant | None:
        first = covered[0]
        assert first.benefit is not None
        for claim in covered[1:]:
            if claim.benefit != first.benefit:
                self._problem(
                    claim.row,
                    BENEFIT,
                    BENEFITS[claim.benefit or ""],
                    f"同一户第 {first.row} 行是{BENEFITS[first.benefit]}",
                    "一户只能有一种低保",
                )
        amount = self._agreed(shared, AMOUNT, lambda c: c.amount, lambda v: yuan(v, grouped=False))
        since = self._agreed(covered, SINCE, lambda c: c.since or None, str)
        document = self._agreed(covered, DOCUMENT, lambda c: c.document or None, str)
        if household.broken or any(claim.row in self.bad_rows for claim in shared):
            return None
        for column, value, advice in (
            (AMOUNT, amount, "请在其中一行填写全户每月金额（元）"),
            (SINCE, since, "请在其中一行填写如 2024-03"),
            (DOCUMENT, document, "请在其中一行填写批准文号"),
            (INCOME, household.income_fen, "请在其中一行填写全户月收入，没有收入填 0"),
        ):
            if value is None:
                title = TITLES[column].split("(")[0]
                self._problem(
                    first.row, column, "", f"低保户 {household.number} 各行的{title}都为空", advice
                )
        if household.head is None or first.row in self.bad_rows:
            return None
        if amount is None or since is None or document is None:
            return None
        alone = (
            len(covered) == 1
            and len(household.members) > 1
            and CATEGORIES[ALONE_COVERED] in first.person.categories
        )
        self._consider_account(first.row, household.head)
        return Grant(
            first.row,
            first.benefit,
            "person" if alone else "household",
            household,
            household.head,
            [claim.person for claim in covered],
            amount,
            since,
            document,
        )

    def _agreed(
        self,
        claims: list[_Claim],
        column: int,
        value: Callable[[_Claim], V | None],
        show: Callable[[V], str],
    ) -> V | None:
        agreed: V | None = None
        where = 0
        for claim in claims:
            given = value(claim)
            if given is None:
                continue
            if agreed is None:
                agreed, where = given, claim.row
            elif given != agreed:
                self._problem(
                    claim.row,
                    column,
                    show(given),
                    f"与同户第 {where} 行的{TITLES[column].split('(')[0]}不一致",
                    "低保按户核定，只填一行，或各行相同",
                )
        return agreed

    def _consider_account(self, row: int, payee: Person) -> None:
        if not payee.account:
            self._warn(
                row,
                ACCOUNT,
                "",
                f"领款人{payee.name}没有银行账号",
                "可以导入，发放前须补录，否则列入缺账号名单",
            )
        elif payee.account_name and payee.account_name != payee.name:
            self._warn(
                row,
                ACCOUNT_NAME,
                payee.account_name,
                f"开户名与领款人{payee.name}不同",
                "请核对是否监护人或代管账户",
            )

    def _compare_with_policy(self, grants: list[Grant]) -> None:
        assert self.figures is not None
        held: dict[str, dict[str, int]] = {}
        for grant in grants:
            for person in grant.covered:
                held.setdefault(person.identity, {})[grant.benefit] = grant.row
        for grant in grants:
            others = frozenset(held[grant.covered[0].identity]) - {grant.benefit}
            figure = self.figures.fen(grant, others)
            if figure is not None and figure != grant.amount_fen:
                self._warn(
                    grant.row,
                    AMOUNT,
                    yuan(grant.amount_fen, grouped=False),
                    f"与现行政策计算的 {yuan(figure, grouped=False)} 元不同",
                    "按核定金额发放，到复核或提标时重新核定",
                )
        for benefits in held.values():
            for benefit, other, clause in self.figures.excluded(benefits):
                self._warn(
                    max(benefits[benefit], benefits[other]),
                    BENEFIT,
                    BENEFITS[benefit],
                    f"不得与{BENEFITS[other]}同时享受：{clause}",
                    "请复核后停发其中一项",
                )

    # -- reporting ------------------------------------------------------------------------

    def _problem(self, row: int, column: int, value: str, problem: str, advice: str) -> None:
        self.bad_rows.add(row)
        self.problems.append(Problem(row, TITLES[column], _shown(column, value), problem, advice))

    def _warn(self, row: int, column: int, value: str, problem: str, advice: str) -> None:
        self.warnings.append(Problem(row, TITLES[column], _shown(column, value), problem, advice))


_DIGITS_KEEP = {ord("０") + n: str(n) for n in range(10)} | {
    ord("．"): ".",
    ord("，"): ",",
    ord("－"): "-",
    ord(" "): None,
    ord("\u3000"): None,
}


def _shown(column: int, value: str) -> str:
    return identity_number.mask(value) if column in _SENSITIVE else value[:60]


def cell_text(cell: Cell) -> str:
    """What a cell shows: text stripped, whole numbers without a point, nothing for empty."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.strip(" \t\r\n\u3000\u00a0\u200b\ufeff")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell)


def _mangled(cell: Cell) -> bool:
    """A number that Excel can no longer hold exactly: its last digits are lost."""
    return isinstance(cell, (int, float)) and not isinstance(cell, bool) and abs(cell) >= 1e15


def _decimal(cell: float) -> str:
    """A spreadsheet's float as the decimal people see (15 significant digits)."""
    return format(cell, ".15g") if abs(cell) < 1e15 else format(cell, ".0f")


def is_name(text: str) -> bool:
    """Whether this can be a person's name."""
    return _NAME.fullmatch(text) is not None


def is_phone(digits: str) -> bool:
    """Whether this is a mobile or fixed-line number (digits only)."""
    return _PHONE.fullmatch(digits) is not None


def is_account(digits: str) -> bool:
    """Whether this can be a bank account (digits only)."""
    return _ACCOUNT.fullmatch(digits) is not None
