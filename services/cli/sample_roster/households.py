"""Households made up: the old alone, grandparents with orphans, the aged, families on 低保."""

from __future__ import annotations

import random
from collections.abc import Iterator

from services.cli.sample_roster.people import Member, People
from services.cli.sample_roster.policy import Policy
from services.cli.sample_roster.sheet import HouseholdSheet
from services.cli.sample_roster.villages import Village


class Households:
    """Makes the households of one county, one random source for all."""

    def __init__(
        self, source: random.Random, people: People, policy: Policy, villages: list[Village]
    ) -> None:
        self.random = source
        self.people = people
        self.policy = policy
        self.villages = villages
        self._numbers: dict[str, int] = {}

    def rows(self, people: int) -> Iterator[list[str | float]]:
        """The rows of whole households until exactly ``people`` persons are in, by village."""
        plan: dict[str, int] = {}
        weights = [self.random.uniform(0.5, 1.5) for _ in self.villages]
        for village in self.random.choices(self.villages, weights, k=people):
            plan[village.code] = plan.get(village.code, 0) + 1
        for village in self.villages:
            left = plan.get(village.code, 0)
            while left > 0:
                count, rows = self._household(village, left)
                left -= count
                yield from rows

    def _sheet(
        self, village: Village, members: list[Member], income: int | None = None
    ) -> HouseholdSheet:
        """The rows of a new household, under the next number (户编号) of the village."""
        count = self._numbers[village.code] = self._numbers.get(village.code, 0) + 1
        return HouseholdSheet(self.people, village, f"{village.code}{count:04d}", members, income)

    def _household(self, village: Village, room: int) -> tuple[int, list[list[str | float]]]:
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
        head = self.people.member("户主", age, female=self.random.random() < 0.15)
        care = self.random.choices(("", "partial", "total"), (80, 14, 6))[0]
        amount = self.policy.flat("tekun", head, care_level=care)
        words = ["特困人员", {"partial": "部分失能", "total": "完全失能"}.get(care, "")]
        sheet = self._sheet(village, [head])
        sheet.add(head, "特困", amount, words)
        if age >= 80:
            sheet.add(head, "高龄津贴", self.policy.flat("elderly", head), words)
        return 1, sheet.rows

    def _children(self, village: Village, room: int) -> tuple[int, list[list[str | float]]]:
        female = self.random.random() < 0.5
        head = self.people.member("户主", self.random.randint(58, 79), female=female)
        orphan = self.random.random() < 0.45
        children = [
            self.people.member(
                "孙子女",
                self.random.randint(3, 17),
                female=self.random.random() < 0.5,
                surname=head.name[0],
            )._replace(disability="", ill=False)
            for _ in range(min(room - 1, self.random.choice((1, 1, 2))))
        ]
        benefit, title = ("orphan", "孤儿") if orphan else ("de_facto_orphan", "事实无人抚养")
        sheet = self._sheet(village, [head, *children])
        sheet.add(head, "", 0, ["困难群众"])
        for child in children:
            word = "孤儿" if orphan else "事实无人抚养儿童"
            sheet.add(child, title, self.policy.flat(benefit, child), [word])
        return 1 + len(children), sheet.rows

    def _elders(self, village: Village, room: int) -> tuple[int, list[list[str | float]]]:
        female = self.random.random() < 0.55
        age = self.random.choices((82, 86, 91, 95, 101), (55, 30, 10, 4, 1))[0]
        head = self.people.member("户主", age + self.random.randint(-2, 1), female=female)
        members = [head]
        if room > 1 and self.random.random() < 0.5:
            members.append(
                self.people.member("配偶", head.age - self.random.randint(0, 6), female=not female)
            )
        sheet = self._sheet(village, members)
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
        sheet = self._sheet(village, members, income)
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
        head = self.people.member("户主", age, female=head_female, ill=0.15)
        family = [head]
        surname = head.name[0]
        spouse = self.random.random() < 0.7
        while len(family) < size:
            kind = self.random.random()
            female = self.random.random() < 0.5
            if spouse:
                other = max(24, age + self.random.randint(-5, 3))
                family.append(self.people.member("配偶", other, female=not head_female))
                spouse = False
            elif kind < 0.7 or age > 68:
                child = max(1, min(age - 23 - self.random.randint(0, 9), 45))
                family.append(
                    self.people.member(
                        "女" if female else "子", child, female=female, surname=surname
                    )
                )
            else:
                parent = min(97, age + self.random.randint(20, 27))
                family.append(
                    self.people.member(
                        "父母", parent, female=female, surname="" if female else surname
                    )
                )
        return family

    def _person_benefits(
        self, sheet: HouseholdSheet, member: Member, words: list[str], *, poor: bool
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
