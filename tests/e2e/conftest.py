"""A city of registry, cases and funding, with its places told and its staff in post."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from services.chassis.uow import Foundation
from services.contracts.actors import Actor, Role
from services.contracts.commands.registry import AppointStaff
from services.registry import divisions, settings
from tests.builders.city import City
from tests.fixtures.services import KEYS, actor

TOWN, VILLAGE = "421083108", "421083108204"
OTHER_TOWN = "421083109"

POSTS: dict[str, tuple[Role, str]] = {
    "village_officer": (Role.VILLAGE_OFFICER, VILLAGE),
    "clerk": (Role.TOWN_CLERK, TOWN),
    "reviewer": (Role.TOWN_REVIEWER, TOWN),
    "decider": (Role.TOWN_DECIDER, TOWN),
    "other_clerk": (Role.TOWN_CLERK, OTHER_TOWN),
    "county": (Role.COUNTY_DECIDER, "421083"),
    "federation": (Role.FEDERATION_REVIEWER, "421083"),
    "funding_clerk": (Role.FUNDING_CLERK, "421083"),
    "auditor": (Role.CIVIL_AUDITOR, "421083"),
    "finance": (Role.FINANCE_OFFICER, "421083"),
}


@pytest.fixture
def services() -> tuple[str, ...]:
    """Which services the city runs."""
    return ("registry", "cases", "funding")


@pytest.fixture
def city(
    foundation_for: Callable[[str], Foundation],
    monkeypatch: pytest.MonkeyPatch,
    services: tuple[str, ...],
) -> City:
    """Monday 2026-09-28 in Honghu."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings.registry_settings.cache_clear()
    made = City({name: foundation_for(name) for name in services}, date(2026, 9, 28))
    with made.begin("registry") as uow:
        divisions.tell_seeded(uow)
    made.settle()
    return made


@pytest.fixture
def staff(city: City) -> dict[str, Actor]:
    """Everybody in post, by desk."""
    admin = actor(Role.SYSTEM_ADMIN)
    people = {}
    for number, (desk, (role, scope)) in enumerate(POSTS.items(), 1):
        view = city.ask(
            admin,
            AppointStaff(
                staff_no=f"HH{number:04d}",
                name=f"职员{'一二三四五六七八九十'[number - 1]}",
                division=scope,
                roles=(role,),
                scopes=(scope,),
                phone="13800138009",
            ),
        )
        people[desk] = Actor(
            id=str(view.staff_id), name=view.name, roles=(role,), divisions=(scope,)
        )
    return people
