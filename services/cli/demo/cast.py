"""The people of the demo: one account a role, signed in with passwords made for this run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from services.cli.demo.world import World
from services.contracts.actors import Role
from services.contracts.commands.registry import AppointStaff, OpenAccount

COUNTY = "421083"


@dataclass(frozen=True)
class Part:
    """A role in the demo: who plays it and over which division."""

    desk: str
    title: str
    name: str
    role: Role
    scope_digits: int


PARTS = (
    Part("village_officer", "村民政专干", "罗小满", Role.VILLAGE_OFFICER, 12),
    Part("town_clerk", "镇经办", "郑玉兰", Role.TOWN_CLERK, 9),
    Part("town_reviewer", "镇初审", "彭立新", Role.TOWN_REVIEWER, 9),
    Part("town_decider", "镇审批", "严国平", Role.TOWN_DECIDER, 9),
    Part("county_window", "市窗口经办", "查荷香", Role.TOWN_CLERK, 6),
    Part("county_decider", "市审批", "付敏", Role.COUNTY_DECIDER, 6),
    Part("federation", "残联审核", "解春桃", Role.FEDERATION_REVIEWER, 6),
    Part("funding_clerk", "资金经办", "易文静", Role.FUNDING_CLERK, 6),
    Part("civil_auditor", "民政审核", "单志刚", Role.CIVIL_AUDITOR, 6),
    Part("finance_officer", "财政核拨", "覃丽华", Role.FINANCE_OFFICER, 6),
    Part("leader", "局领导", "杜建设", Role.LEADER, 6),
    Part("auditor", "审计员", "区少安", Role.AUDITOR, 6),
)


def enter(world: World) -> None:
    """The administrator puts everybody in post and opens their accounts; they sign in."""
    admin = world["admin"]
    for number, part in enumerate(PARTS, start=1):
        scope = world.village[: part.scope_digits]
        staff_no = f"D{number:03d}"
        admin.ask(
            AppointStaff(
                staff_no=staff_no,
                name=part.name,
                division=scope,
                roles=(part.role,),
                scopes=(scope,),
                phone=f"139716500{number:02d}",
            )
        )
        password = secrets.token_urlsafe(12)
        account = part.desk.replace("_", "-")
        admin.ask(
            OpenAccount(staff_no=staff_no, account=account, password=password, must_change=False)
        )
        world.sign_in(part.desk, account, password)
