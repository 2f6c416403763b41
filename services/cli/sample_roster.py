"""A synthetic roster (花名册) in a county's real villages: nobody in it exists.

Households, ages and benefits are drawn from a seed, so that the same seed makes the same file to
the byte. Amounts follow the policy files in force, but for a few households still on last year's
standard: the check reports those as differences.
"""

from __future__ import annotations

import csv
import random
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import xlsxwriter
from stdnum import luhn
from stdnum.iso7064 import mod_11_2

AS_OF = date(2026, 9, 28)
MONTH = "2026-11"

HEADERS = (
    "镇", "村", "户编号", "与户主关系", "姓名", "身份证号", "对象类别", "待遇项目",
    "家庭月收入(元)", "核定金额(元/月)", "享受起始月", "批准文号", "开户名", "银行账号",
    "联系电话", "责任人工号",
)  # fmt: skip
OFFICER_HEADERS = ("工号", "姓名", "镇", "村", "联系电话")

_SURNAMES = (
    "陈李王张刘杨周黄吴胡徐朱林何郭罗高谢郑梁宋唐许邓冯韩曹曾彭肖蔡潘田董袁余叶杜苏魏吕丁"
    "沈任姚卢傅钟崔汪范陆廖石金贾夏付方邹熊白孟秦邱江尹薛雷侯龙段汤黎易贺关万严涂单解仇查区"
)
_MALE = "国建文明志德永春华平军伟强勇斌波辉刚涛超林松海云生财福贵祥义礼仁和安成忠良金水木"
_FEMALE = "桂秀兰英红梅玉珍芳菊莲凤霞琴翠香丽娟艳萍燕云春花珠娥美华清秋月荷仙冬银巧"
_YOUNG = "子浩宇轩梓涵欣怡雨诗思佳俊睿泽博文嘉奕晨阳一诺可心语彤乐"
_AREAS = ("421083",) * 17 + ("421023", "421022", "420117")
_GRADES = ("一级", "二级", "三级", "四级")
_KINDS = ("肢体", "肢体", "肢体", "视力", "听力", "智力", "精神", "言语")


class Village(NamedTuple):
    """A village-level unit and the officer who looks after it."""

    code: str
    town: str
    name: str
    urban: bool
    officer: str


class Member(NamedTuple):
    """One person made up."""

    name: str
    identity: str
    kinship: str
    age: int
    disability: str
    ill: bool


class Policy:
    """What the shipped policy files pay in ``MONTH``: only as much as a made-up roster needs."""

    def __init__(self, county: str) -> None:
        self._rules: dict[str, Mapping[str, Any]] = {}
        self._last_year: dict[str, Mapping[str, Any]] = {}
        for path in (files("services.funding") / "data" / "policies").iterdir():
            document = tomllib.loads(path.read_text("utf-8"))
            versions = [
                version
                for version in document["versions"]
                if county.startswith(version["division"]) and version["effective_from"] <= MONTH
            ]
            versions.sort(key=lambda version: (version["division"], version["effective_from"]))
            self._rules[document["code"]] = versions[-1]["rule"]
            self._last_year[document["code"]] = versions[-2 if len(versions) > 1 else -1]["rule"]

    def dibao(self, benefit: str, covered: list[Member], income_fen: int, *, old: bool) -> int:
        """A household's 低保 in fen; with ``old`` by the standard before."""
        rule = (self._last_year if old else self._rules)[benefit]
        standard: int = rule["standard_fen"]
        amount = max(0, standard * len(covered) - income_fen)
        if amount == 0:
            return 0
        for member in covered:
            for line in rule.get("supplements", ()):
                if _meets(line["when"], member):
                    amount += standard * line["share_bp"] // 10_000
        unit: int = rule.get("rounding", {}).get("unit_fen", 1)
        return -(-amount // unit) * unit

    def flat(self, benefit: str, member: Member, **facts: str) -> int:
        """A person's fixed amount in fen; 0 when no band is meant for them."""
        rule = self._rules[benefit]
        for band in rule["bands"]:
            if _meets(band.get("when", {}), member, facts):
                return int(band["fen"]) + sum(
                    int(line["fen"])
                    for line in rule.get("additions", ())
                    if _meets(line["when"], member, facts)
                )
        return 0


def _meets(when: Mapping[str, Any], member: Member, facts: Mapping[str, str] | None = None) -> bool:
    facts = facts or {}
    grade = next((n for n, word in enumerate(_GRADES, 1) if word in member.disability), None)
    return (
        when.get("age_from", 0) <= member.age <= when.get("age_to", 200)
        and ("disability_grades" not in when or grade in when["disability_grades"])
        and ("disability_kinds" not in when or member.disability[:2] in when["disability_kinds"])
        and ("category" not in when or (when["category"] == "serious_illness" and member.ill))
        and when.get("placement", facts.get("placement")) == facts.get("placement")
        and when.get("care_level", facts.get("care_level")) == facts.get("care_level")
    )


class Town:
    """Makes the households of one county, one random source for all."""

    def __init__(self, county: str, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - invented people, not secrets
        self.policy = Policy(county)
        self.villages = self._read_villages(county)
        self.officers = self._appoint()
        self._taken: set[str] = set()
        self._accounts: set[str] = set()
        self._numbers: dict[str, int] = {}

    def _read_villages(self, county: str) -> list[Village]:
        path = files("services.registry") / "data" / "divisions" / f"{county}.csv"
        names: dict[str, str] = {}
        villages: list[Village] = []
        for row in csv.DictReader(path.read_text("utf-8").splitlines()):
            code = row["code"]
            names[code] = row["name"]
            if len(code) == 12:
                name = row["name"].removesuffix("村民委员会").removesuffix("居委会")
                urban = int(code[9:]) < 200
                officer = f"HH{len(villages) + 1:04d}"
                villages.append(Village(code, names[code[:9]], name, urban, officer))
        return villages

    def _appoint(self) -> list[tuple[str, ...]]:
        return [
            (village.officer, self.name(female=n % 2 == 0, age=35), village.town, village.name,
             self.mobile())
            for n, village in enumerate(self.villages)
        ]  # fmt: skip

    # -- people ---------------------------------------------------------------------------

    def name(self, *, female: bool, age: int, surname: str = "") -> str:
        """A name of the generation."""
        given = (_FEMALE if female else _MALE) if age > 28 else _YOUNG
        count = 1 if self.random.random() < 0.18 else 2
        return (surname or self.random.choice(_SURNAMES)) + "".join(
            self.random.choice(given) for _ in range(count)
        )

    def identity(self, age: int, *, female: bool) -> str:
        """A valid number nobody else in this roster has; born so many full years ago."""
        while True:
            born = date(AS_OF.year - age, 1, 1).toordinal() + self.random.randrange(270)
            number = (
                f"{self.random.choice(_AREAS)}{date.fromordinal(born):%Y%m%d}"
                f"{self.random.randrange(1, 500) * 2 - (not female):03d}"
            )
            if number not in self._taken:
                self._taken.add(number)
                return number + mod_11_2.calc_check_digit(number)

    def member(
        self, kinship: str, age: int, *, female: bool, surname: str = "", ill: float = 0.06
    ) -> Member:
        """A made-up member of a household."""
        disability = ""
        if self.random.random() < 0.1:
            disability = (
                f"{self.random.choice(_KINDS)}{self.random.choices(_GRADES, (2, 3, 3, 2))[0]}"
            )
        return Member(
            self.name(female=female, age=age, surname=surname),
            self.identity(age, female=female),
            kinship,
            age,
            disability,
            self.random.random() < ill,
        )

    def account(self) -> str:
        """A 19-digit card number with its check digit."""
        while True:
            number = f"621799{self.random.randrange(10**12):012d}"
            if number not in self._accounts:
                self._accounts.add(number)
                return number + str(luhn.calc_check_digit(number))

    def mobile(self) -> str:
        """A mobile number of a Chinese operator's range."""
        prefix = self.random.choice(("134", "135", "138", "150", "158", "166", "177", "189", "199"))
        return f"{prefix}{self.random.randrange(10**8):08d}"

    # -- households -----------------------------------------------------------------------

    def rows(self, people: int) -> Iterator[list[str | float]]:
        """The rows of whole households until exactly ``people`` persons are in, by village."""
        plan: dict[str, int] = {}
        weights = [self.random.uniform(0.5, 1.5) for _ in self.villages]
        for village in self.random.choices(self.villages, weights, k=people):
            plan[village.code] = plan.get(village.code, 0) + 1
        for village in self.villages:
            left = plan.get(village.code, 0)
            while left > 0:
                count, rows = self.household(village, left)
                left -= count
                yield from rows

    def household_number(self, village: Village) -> str:
        """The next number (户编号) of the village."""
        count = self._numbers[village.code] = self._numbers.get(village.code, 0) + 1
        return f"{village.code}{count:04d}"

    def household(self, village: Village, room: int) -> tuple[int, list[list[str | float]]]:
        """A household of at most ``room`` people: how many they are, and their rows."""
        draw = self.random.random()
        if draw < 0.16:
            return self._alone(village)
        if draw < 0.185 and room > 1:
            return self._children(village, room)
        if draw < 0.38:
            return self._elders(village, room)
        return self._low_income(village, room)

    def _alone(self, village: Village) -> tuple[int, list[list[str | float]]]:
        age = self.random.randint(60, 94)
        head = self.member("户主", age, female=self.random.random() < 0.15)
        care = self.random.choices(("", "partial", "total"), (80, 14, 6))[0]
        amount = self.policy.flat("tekun", head, care_level=care)
        words = ["特困人员", {"partial": "部分失能", "total": "完全失能"}.get(care, "")]
        sheet = _Sheet(self, village, [head])
        sheet.add(head, "特困", amount, words)
        if age >= 80:
            sheet.add(head, "高龄津贴", self.policy.flat("elderly", head), words)
        return 1, sheet.rows

    def _children(self, village: Village, room: int) -> tuple[int, list[list[str | float]]]:
        female = self.random.random() < 0.5
        head = self.member("户主", self.random.randint(58, 79), female=female)
        orphan = self.random.random() < 0.45
        children = [
            self.member(
                "孙子女",
                self.random.randint(3, 17),
                female=self.random.random() < 0.5,
                surname=head.name[0],
            )._replace(disability="", ill=False)
            for _ in range(min(room - 1, self.random.choice((1, 1, 2))))
        ]
        benefit, title = ("orphan", "孤儿") if orphan else ("de_facto_orphan", "事实无人抚养")
        sheet = _Sheet(self, village, [head, *children])
        sheet.add(head, "", 0, ["困难群众"])
        for child in children:
            word = "孤儿" if orphan else "事实无人抚养儿童"
            sheet.add(child, title, self.policy.flat(benefit, child), [word])
        return 1 + len(children), sheet.rows

    def _elders(self, village: Village, room: int) -> tuple[int, list[list[str | float]]]:
        female = self.random.random() < 0.55
        age = self.random.choices((82, 86, 91, 95, 101), (55, 30, 10, 4, 1))[0]
        head = self.member("户主", age + self.random.randint(-2, 1), female=female)
        members = [head]
        if room > 1 and self.random.random() < 0.5:
            members.append(
                self.member("配偶", head.age - self.random.randint(0, 6), female=not female)
            )
        sheet = _Sheet(self, village, members)
        for member in members:
            words = ["高龄老人"] if member.age >= 80 else ["一般居民"]
            granted = self._person_benefits(sheet, member, words, poor=False)
            if not granted:
                sheet.add(member, "", 0, words)
        return len(members), sheet.rows

    def _low_income(self, village: Village, room: int) -> tuple[int, list[list[str | float]]]:
        members = self._family(
            min(room, self.random.choices(range(1, 7), (30, 27, 20, 14, 6, 3))[0])
        )
        benefit = "urban_dibao" if village.urban else "rural_dibao"
        title = "城市低保" if village.urban else "农村低保"
        covered = members
        if len(members) > 2 and self.random.random() < 0.12:
            covered = members[1:]
        income = self.random.randrange(0, 38) * 1000 * len(members)
        old = self.random.random() < 0.03
        amount = self.policy.dibao(benefit, covered, income, old=old)
        if amount == 0:
            income, amount = 0, self.policy.dibao(benefit, covered, 0, old=old)
        sheet = _Sheet(self, village, members, income=income)
        first = True
        for member in members:
            if member in covered:
                words = ["低保对象"]
                sheet.add(
                    member, title, amount if first or self.random.random() < 0.5 else 0, words
                )
                first = False
                self._person_benefits(sheet, member, words, poor=True)
            else:
                sheet.add(member, "", 0, ["一般居民"])
        return len(members), sheet.rows

    def _family(self, size: int) -> list[Member]:
        head_female = self.random.random() < 0.25
        age = self.random.randint(34, 76)
        head = self.member("户主", age, female=head_female, ill=0.15)
        family = [head]
        surname = head.name[0]
        spouse = self.random.random() < 0.7
        while len(family) < size:
            kind = self.random.random()
            female = self.random.random() < 0.5
            if spouse:
                other = max(24, age + self.random.randint(-5, 3))
                family.append(self.member("配偶", other, female=not head_female))
                spouse = False
            elif kind < 0.7 or age > 68:
                child = max(1, min(age - 23 - self.random.randint(0, 9), 45))
                family.append(
                    self.member("女" if female else "子", child, female=female, surname=surname)
                )
            else:
                parent = min(97, age + self.random.randint(20, 27))
                family.append(
                    self.member("父母", parent, female=female, surname="" if female else surname)
                )
        return family

    def _person_benefits(
        self, sheet: _Sheet, member: Member, words: list[str], *, poor: bool
    ) -> bool:
        granted = False
        offers = [("elderly", "高龄津贴"), ("disability_care", "重度护理补贴")]
        if poor:
            offers.append(("disability_living", "困难生活补贴"))
        for benefit, title in offers:
            if benefit.startswith("disability") and not member.disability:
                continue
            amount = self.policy.flat(benefit, member)
            if amount:
                sheet.add(member, title, amount, words)
                granted = True
        return granted


class _Sheet:
    """The rows of one household as they will stand in the workbook."""

    def __init__(
        self, town: Town, village: Village, members: list[Member], income: int | None = None
    ) -> None:
        self.town = town
        self.village = village
        self.number = town.household_number(village)
        self.income = income
        self.rows: list[list[str | float]] = []
        self.contacts = {
            member.identity: (
                town.account(),
                town.mobile() if member.age >= 12 and town.random.random() < 0.85 else "",
            )
            for member in members
        }

    def add(self, member: Member, title: str, amount: int, words: list[str]) -> None:
        """One row: a person, and one benefit or none."""
        pick = self.town.random
        account, phone = self.contacts[member.identity]
        words = [*words, member.disability and f"{member.disability}残疾", "重病患者" * member.ill]
        year = pick.randint(max(2016, AS_OF.year - member.age), 2026)
        month = pick.randint(1, 8 if year == 2026 else 12)
        if year == AS_OF.year - member.age or title == "高龄津贴":
            year, month = 2026, max(month, 7)
        known = self.income is not None and title.endswith("低保")
        self.rows.append(
            [
                self.village.town,
                self.village.name,
                self.number,
                member.kinship,
                member.name,
                member.identity,
                "、".join(word for word in words if word),
                title,
                (self.income or 0) / 100 if known else "",
                amount / 100 if amount else "",
                self._since(title, year, month),
                self._document(title, year),
                member.name,
                account,
                phone,
                self.village.officer,
            ]
        )

    def _since(self, title: str, year: int, month: int) -> str:
        if title.endswith("低保"):
            first = next((row for row in self.rows if str(row[7]).endswith("低保")), None)
            return str(first[10]) if first else f"{max(year, 2018)}-{month:02d}"
        return f"{year}-{month:02d}" if title else ""

    def _document(self, title: str, year: int) -> str:
        if not title:
            return ""
        if title.endswith("低保"):
            first = next((row for row in self.rows if str(row[7]).endswith("低保")), None)
            if first:
                return str(first[11])
        word = {"特困": "特", "孤儿": "儿", "事实无人抚养": "儿", "高龄津贴": "老"}.get(title, "助")
        return f"洪民{word}〔{year}〕{self.town.random.randint(1, 980)}号"


def write(people: int, seed: int, out: Path, *, county: str = "421083") -> dict[str, int]:
    """Write the workbook: sheets 花名册 and 责任人. Returns counts of rows, people and officers."""
    town = Town(county, seed)
    workbook = xlsxwriter.Workbook(str(out), {"constant_memory": True})
    workbook.set_properties({"created": datetime(2026, 9, 28, tzinfo=UTC), "comments": "虚构数据"})
    bold = workbook.add_format({"bold": True})
    roster = workbook.add_worksheet("花名册")
    roster.freeze_panes(1, 0)
    roster.set_column(0, 15, 14)
    _write_row(roster, 0, HEADERS, bold)
    count = 0
    for count, row in enumerate(town.rows(people), 1):
        _write_row(roster, count, row)
    officers = workbook.add_worksheet("责任人")
    _write_row(officers, 0, OFFICER_HEADERS, bold)
    for number, officer in enumerate(town.officers, 1):
        _write_row(officers, number, officer)
    workbook.close()
    return {"rows": count, "people": people, "officers": len(town.officers)}


def _write_row(sheet: Any, number: int, cells: Any, style: Any = None) -> None:
    for column, cell in enumerate(cells):
        if isinstance(cell, str):
            if cell:
                sheet.write_string(number, column, cell, style)
        else:
            sheet.write_number(number, column, cell, style)
