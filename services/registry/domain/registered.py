"""A checked roster against what is on record already: what does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.registry.domain.benefits import BENEFITS
from services.registry.domain.identity_number import mask
from services.registry.domain.roster import TITLES, Person, Problem, Roster, columns


@dataclass(slots=True)
class KnownPerson:
    """Somebody of the roster who is on record. ``account`` is in full, for comparison only."""

    id: UUID
    name: str
    household: str
    account: str
    deceased: bool
    benefits: set[str] = field(default_factory=set)


@dataclass(slots=True)
class KnownHousehold:
    """A household of the roster that is on record."""

    id: UUID
    division: str
    head: UUID | None


def conflicts(
    given: Roster,
    people: Mapping[str, KnownPerson],
    households: Mapping[str, KnownHousehold],
) -> list[Problem]:
    """What of the roster contradicts the record; ``people`` are by identity number."""
    found = _household_conflicts(given, people, households)
    for person in given.people:
        on_record = people.get(person.identity)
        if on_record is not None:
            found.extend(_differences(person, on_record))
    for grant in given.grants:
        for person in grant.covered:
            on_record = people.get(person.identity)
            if on_record is not None and grant.benefit in on_record.benefits:
                found.append(
                    Problem(
                        grant.row,
                        TITLES[columns.BENEFIT],
                        BENEFITS[grant.benefit],
                        f"{person.name}已在享受该待遇",
                        "请删除该行；调整金额请走复核",
                    )
                )
    return found


def _household_conflicts(
    given: Roster,
    people: Mapping[str, KnownPerson],
    households: Mapping[str, KnownHousehold],
) -> list[Problem]:
    found: list[Problem] = []
    for household in given.households:
        known = households.get(household.number)
        if known is None:
            continue
        if household.division and known.division != household.division:
            found.append(
                Problem(
                    household.row,
                    TITLES[columns.HOUSEHOLD],
                    household.number,
                    "该户编号在册，但属于另一村（社区）",
                    "请核对户编号，或先办迁移",
                )
            )
        head = people.get(household.head.identity) if household.head else None
        if household.head and (head is None or head.id != known.head):
            found.append(
                Problem(
                    household.head.row,
                    TITLES[columns.KINSHIP],
                    "户主",
                    "与在册户主不是同一人",
                    "请核对户主，或先办户主变更",
                )
            )
    return found


def _differences(person: Person, known: KnownPerson) -> list[Problem]:
    found: list[Problem] = []
    masked = mask(person.identity)
    if known.deceased:
        found.append(
            Problem(
                person.row, TITLES[columns.IDENTITY], masked, "此人已登记死亡", "请核实后删除该行"
            )
        )
    if known.household != person.household:
        found.append(
            Problem(
                person.row,
                TITLES[columns.IDENTITY],
                masked,
                f"此人在册，户编号为 {known.household}",
                "一个人只能在一户，请核对",
            )
        )
    if known.name != person.name:
        found.append(
            Problem(
                person.row,
                TITLES[columns.NAME],
                person.name,
                "与在册姓名不同",
                "请核对姓名和身份证号",
            )
        )
    if person.account and known.account and known.account != person.account:
        found.append(
            Problem(
                person.row,
                TITLES[columns.ACCOUNT],
                mask(person.account),
                "与在册账号不同",
                "变更账号须经两人办理，不能用导入代替",
            )
        )
    return found
