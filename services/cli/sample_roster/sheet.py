"""The rows of one household, one for each person and benefit."""

from __future__ import annotations

from services.cli.sample_roster.people import AS_OF, Member, People
from services.cli.sample_roster.villages import Village


class HouseholdSheet:
    """The rows of one household as they will stand in the workbook."""

    def __init__(
        self,
        people: People,
        village: Village,
        number: str,
        members: list[Member],
        income: int | None,
    ) -> None:
        self.random = people.random
        self.village = village
        self.number = number
        self.income = income
        self.rows: list[list[str | float]] = []
        self.contacts = {
            member.identity: (
                people.account(),
                people.mobile() if member.age >= 12 and people.random.random() < 0.85 else "",
            )
            for member in members
        }

    def add(self, member: Member, title: str, amount: int, words: list[str]) -> None:
        """One row: a person, and one benefit or none."""
        pick = self.random
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
        return f"洪民{word}〔{year}〕{self.random.randint(1, 980)}号"
