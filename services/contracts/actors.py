"""Who acts: a signed-in member of staff, or a service itself."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

import msgspec

from services.contracts.divisions import within


class Role(StrEnum):
    """Posts that carry rights. Values are stable; labels are in ``ROLE_LABELS``."""

    VILLAGE_OFFICER = "village_officer"
    TOWN_CLERK = "town_clerk"
    TOWN_REVIEWER = "town_reviewer"
    TOWN_DECIDER = "town_decider"
    COUNTY_DECIDER = "county_decider"
    FEDERATION_REVIEWER = "federation_reviewer"
    FUNDING_CLERK = "funding_clerk"
    CIVIL_AUDITOR = "civil_auditor"
    FINANCE_OFFICER = "finance_officer"
    LEADER = "leader"
    SYSTEM_ADMIN = "system_admin"
    SECURITY_ADMIN = "security_admin"
    AUDITOR = "auditor"
    SERVICE = "service"


ROLE_LABELS: dict[Role, str] = {
    Role.VILLAGE_OFFICER: "村（社区）民政专干",
    Role.TOWN_CLERK: "镇经办",
    Role.TOWN_REVIEWER: "镇初审",
    Role.TOWN_DECIDER: "镇审批",
    Role.COUNTY_DECIDER: "县（市）审批",
    Role.FEDERATION_REVIEWER: "残联审核",
    Role.FUNDING_CLERK: "资金经办",
    Role.CIVIL_AUDITOR: "民政审核",
    Role.FINANCE_OFFICER: "财政核拨",
    Role.LEADER: "局领导",
    Role.SYSTEM_ADMIN: "系统管理员",
    Role.SECURITY_ADMIN: "安全管理员",
    Role.AUDITOR: "审计员",
    Role.SERVICE: "系统",
}


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """The person (or service) behind a command.

    ``divisions`` are scopes (code prefixes). ``purpose`` is why personal data is looked at.
    """

    id: str
    name: str
    roles: tuple[Role, ...]
    divisions: tuple[str, ...]
    purpose: str | None = None

    def has(self, *roles: Role) -> bool:
        """Whether the actor holds any of ``roles``."""
        return bool(set(roles) & set(self.roles))

    def covers(self, division: str) -> bool:
        """Whether ``division`` lies within one of the actor's scopes."""
        return any(within(division, scope) for scope in self.divisions)

    @property
    def staff_id(self) -> UUID | None:
        """The member of staff, or ``None`` when a service acts."""
        return None if Role.SERVICE in self.roles else UUID(self.id)


def system_actor(service: str) -> Actor:
    """The actor for timers and reactions of ``service``: ``system:<service>``, all divisions."""
    return Actor(id=f"system:{service}", name="系统", roles=(Role.SERVICE,), divisions=("",))
