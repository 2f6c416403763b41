"""People and households on the real database."""

from datetime import date

import pytest

from services.contracts.actors import Role
from services.contracts.commands.registry import AppointStaff, NewMember, RegisterHousehold
from services.registry import people, staff
from tests.fixtures.services import OpenUow, actor, emitted

TODAY = date(2026, 9, 28)


def test_smoke(uow_for: OpenUow) -> None:
    with uow_for("registry", actor=actor(Role.SYSTEM_ADMIN), today=TODAY) as uow:
        staff.appoint(uow, AppointStaff(staff_no="Z1", name="李卫", division="421083108", roles=(Role.VILLAGE_OFFICER,), scopes=("421083108204",), phone="13800138000"))
        view = people.register(uow, RegisterHousehold(division="421083108204", members=(NewMember(name="单桂兰", identity_number="11010519491231002X", relation="户主", categories=("低保对象",), phone="13800138001", account_number="6217991234567890123"),)))
        print(view)
        print(emitted(uow))
