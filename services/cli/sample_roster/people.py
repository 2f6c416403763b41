"""People made up: names of their generation, valid numbers that nobody has twice."""

from __future__ import annotations

import random
from datetime import date
from typing import NamedTuple

from stdnum import luhn
from stdnum.iso7064 import mod_11_2

AS_OF = date(2026, 9, 28)

_SURNAMES = (
    "陈李王张刘杨周黄吴胡徐朱林何郭罗高谢郑梁宋唐许邓冯韩曹曾彭肖蔡潘田董袁余叶杜苏魏吕丁"
    "沈任姚卢傅钟崔汪范陆廖石金贾夏付方邹熊白孟秦邱江尹薛雷侯龙段汤黎易贺关万严涂单解仇查区"
)
_MALE = "国建文明志德永春华平军伟强勇斌波辉刚涛超林松海云生财福贵祥义礼仁和安成忠良金水木"
_FEMALE = "桂秀兰英红梅玉珍芳菊莲凤霞琴翠香丽娟艳萍燕云春花珠娥美华清秋月荷仙冬银巧"
_YOUNG = "子浩宇轩梓涵欣怡雨诗思佳俊睿泽博文嘉奕晨阳一诺可心语彤乐"
_AREAS = ("421083",) * 17 + ("421023", "421022", "420117")
GRADES = ("一级", "二级", "三级", "四级")
_KINDS = ("肢体", "肢体", "肢体", "视力", "听力", "智力", "精神", "言语")


class Member(NamedTuple):
    """One person made up."""

    name: str
    identity: str
    kinship: str
    age: int
    disability: str
    ill: bool


class People:
    """Makes people from one source of chance, and remembers what has been given out."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self._taken: set[str] = set()
        self._accounts: set[str] = set()

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
                f"{self.random.choice(_KINDS)}{self.random.choices(GRADES, (2, 3, 3, 2))[0]}"
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
