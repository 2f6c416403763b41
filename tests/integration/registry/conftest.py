"""A registry with staff in post, and units of work for those who act in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from uuid import UUID

import pytest

from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Actor, Role
from services.contracts.commands.registry import AppointStaff, NewMember, RegisterHousehold
from services.registry import people, settings, staff
from tests.builders.roster import TODAY, identity
from tests.fixtures.services import KEYS, OpenUow, actor

VILLAGE = "421083108204"
NEIGHBOUR = "421083108203"

ADMIN = actor(Role.SYSTEM_ADMIN)
CLERK = actor(
    Role.TOWN_CLERK,
    divisions=("421083108",),
    staff_id="01900000-0000-7000-8000-000000000002",
    name="郑玉兰",
)
REVIEWER = actor(
    Role.TOWN_REVIEWER,
    divisions=("421083108",),
    staff_id="01900000-0000-7000-8000-000000000003",
    name="彭立新",
)
ELSEWHERE = actor(
    Role.TOWN_CLERK,
    divisions=("421083001",),
    staff_id="01900000-0000-7000-8000-000000000004",
    name="严国平",
)

Act = Callable[..., AbstractContextManager[UnitOfWork]]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings.registry_settings.cache_clear()


@pytest.fixture
def act(uow_for: OpenUow) -> Act:
    """`with act(CLERK) as uow:` on 2026-09-28, in a registry with two officers in post."""

    def begin(who: Actor = CLERK, today: date = TODAY) -> AbstractContextManager[UnitOfWork]:
        return uow_for("registry", actor=who, today=today)

    with begin(ADMIN) as uow:
        for number, village in (("HH0204", VILLAGE), ("HH0203", NEIGHBOUR)):
            staff.appoint(
                uow,
                AppointStaff(
                    staff_no=number,
                    name=f"专干{number[-1]}",
                    division=village,
                    roles=(Role.VILLAGE_OFFICER,),
                    scopes=(village,),
                    phone="13800138009",
                ),
            )
    return begin


@pytest.fixture
def foundation(foundation_for: Callable[[str], Foundation]) -> Foundation:
    """What lies below `act`."""
    return foundation_for("registry")


def member(number: int = 1, relation: str = "户主", **changes: object) -> NewMember:
    """Somebody to be registered."""
    given: dict[str, object] = {
        "name": "单桂兰",
        "identity_number": identity(number),
        "relation": relation,
        "categories": ("低保对象",),
        "phone": "13800138001",
        "account_number": "6217991234567890123",
    }
    return NewMember(**(given | changes))  # type: ignore[arg-type]


def register(uow: UnitOfWork, *members: NewMember, village: str = VILLAGE) -> tuple[UUID, ...]:
    """Register a household: its id, then the ids of its members, the head first."""
    view = people.register(uow, RegisterHousehold(division=village, members=members or (member(),)))
    return (view.household_id, *(person.person_id for person in view.members))
