"""Who left post, or lost a role or a place, is refused at once by every service, however long the
token still runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from uuid import UUID

import pytest

from services.chassis.actors import ActorSigner
from services.chassis.discovery import NAMES, service_class
from services.chassis.service import endpoints
from services.chassis.uow import Foundation
from services.contracts.actors import Actor, Role, system_actor
from services.contracts.commands.registry import AppointStaff, EndAppointment
from services.contracts.events.registry import StaffAppointed
from services.contracts.ids import new_id
from services.registry import settings, staff
from tests.fixtures.services import KEYS, OpenUow, actor

TOWN = "421083108"
VILLAGE = "421083108204"


@pytest.mark.parametrize("service", NAMES)
def test_a_token_of_somebody_who_left_opens_nothing(
    service: str,
    foundation_for: Callable[[str], Foundation],
    uow_for: OpenUow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let in while the copy says nothing or in post; refused as soon as it says otherwise."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings.registry_settings.cache_clear()
    cls = service_class(service)
    door = endpoints(cls)["describe_file"]

    def post(
        version: int, active: bool, staff_id: UUID, role: Role = Role.TOWN_CLERK, scope: str = TOWN
    ) -> UUID:
        if service == "registry":
            with uow_for("registry", actor=actor(Role.SYSTEM_ADMIN)) as uow:
                if active:
                    given = AppointStaff(
                        staff_no="HH0001", name="郑玉兰", division=TOWN,
                        roles=(role,), scopes=(scope,),
                    )  # fmt: skip
                    return staff.appoint(uow, given).staff_id
                return staff.end_appointment(
                    uow, EndAppointment(staff_no="HH0001", reason="调离")
                ).staff_id
        appointed = StaffAppointed(
            staff_id=staff_id, staff_no="HH0001", name="郑玉兰", division=TOWN,
            roles=(role,), scopes=(scope,), active=active, epoch=0, version=version,
        )  # fmt: skip
        (copy,) = (
            getattr(cls, name)
            for name in dir(cls)
            if StaffAppointed in getattr(getattr(cls, name), "projects", ())
        )
        with foundation_for(service).begin(system_actor(service)) as uow:
            copy(cls(), uow, [appointed])
        return staff_id

    reached: list[Actor] = []

    def answer(staff_id: UUID) -> str:
        token = ActorSigner(KEYS["ACTOR_SIGNING_KEY"]).token(
            actor(Role.TOWN_CLERK, divisions=(TOWN,), staff_id=staff_id)
        )
        body = {"file_id": str(new_id())}
        handle = cls.describe_file.__wrapped__
        said = door.answer(
            foundation_for(service),
            lambda uow, request: (reached.append(uow.actor), handle(cls(), uow, request)),
            body,
            {"actor_token": token},
            home=None,
            staff_posts=cls.staff_posts,
        )
        return str(said["error"]["code"])

    assert answer(new_id()) == "not_found"
    known = post(1, True, new_id())
    assert answer(known) == "not_found"
    assert (reached[-1].roles, reached[-1].divisions) == ((Role.TOWN_CLERK,), (TOWN,))
    post(2, True, known, scope=VILLAGE)
    assert answer(known) == "not_found"
    assert reached[-1].divisions == (VILLAGE,)
    post(3, True, known, role=Role.TOWN_REVIEWER)
    door = dataclasses.replace(door, access=(Role.TOWN_CLERK,))
    assert answer(known) == "forbidden"
    post(4, False, known)
    assert answer(known) == "unauthenticated"
    assert answer(new_id()) == "not_found"
