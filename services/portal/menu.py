"""The left menu: which rooms a person's posts open. The services decide on rights, not this."""

from __future__ import annotations

import msgspec

from services.contracts.actors import Role

CASEWORK = frozenset(
    {
        Role.VILLAGE_OFFICER,
        Role.TOWN_CLERK,
        Role.TOWN_REVIEWER,
        Role.TOWN_DECIDER,
        Role.COUNTY_DECIDER,
        Role.FEDERATION_REVIEWER,
    }
)
MONEY = frozenset({Role.FUNDING_CLERK, Role.CIVIL_AUDITOR, Role.FINANCE_OFFICER})
WATCHERS = frozenset({Role.LEADER, Role.AUDITOR})
INTAKE = frozenset({Role.VILLAGE_OFFICER, Role.TOWN_CLERK})


class MenuItem(msgspec.Struct, frozen=True):
    """One line of the menu."""

    url: str
    label: str
    icon: str
    roles: frozenset[Role]

    def leads_to(self, path: str) -> bool:
        """Whether ``path`` lies in this room."""
        return path == self.url or (self.url != "/desk" and path.startswith(self.url + "/"))


MENU = (
    MenuItem("/desk", "工作台", "layout-dashboard", frozenset(Role)),
    MenuItem("/desk/intake", "受理窗口", "door-enter", INTAKE),
    MenuItem("/cases", "案件", "clipboard-list", CASEWORK | WATCHERS),
    MenuItem("/households", "家庭与人员", "users", CASEWORK | MONEY | WATCHERS),
    MenuItem("/responsibility", "责任到人", "heart-handshake", CASEWORK | WATCHERS),
    MenuItem("/letters", "送达与书信", "mail", CASEWORK | WATCHERS),
    MenuItem("/disbursements", "资金发放", "report-money", MONEY | WATCHERS),
    MenuItem(
        "/import",
        "花名册导入",
        "upload",
        frozenset({Role.TOWN_CLERK, Role.FUNDING_CLERK, Role.COUNTY_DECIDER, Role.SYSTEM_ADMIN}),
    ),
)


def menu_for(roles: tuple[Role, ...]) -> tuple[MenuItem, ...]:
    """The lines a person with ``roles`` sees."""
    return tuple(item for item in MENU if item.roles & set(roles))
