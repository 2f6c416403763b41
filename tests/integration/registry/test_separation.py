"""三员分立: system, security and audit administrators exclude one another, whatever is tried."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.contracts.actors import Actor, Role
from services.contracts.commands.registry import AppointStaff, EndAppointment, OpenAccount
from services.contracts.errors import Forbidden, Invalid
from services.registry import staff
from services.registry.domain import separation
from tests.fixtures.services import actor
from tests.integration.registry.conftest import ADMIN, Act

COUNTY = "421083"
PASSWORD = "river-lotus-42"
THREE = (Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDITOR)
SECURITY = actor(Role.SECURITY_ADMIN, staff_id="01900000-0000-7000-8000-0000000000a2")


def post(number: str, *roles: Role, scope: str = COUNTY) -> AppointStaff:
    """An appointment to the county."""
    return AppointStaff(staff_no=number, name="某人", division=COUNTY, roles=roles, scopes=(scope,))


def appoint(act: Act, who: Actor, number: str, *roles: Role) -> Actor:
    """Appoint, and act as whoever was."""
    with act(who) as uow:
        view = staff.appoint(uow, post(number, *roles))
    return actor(*roles, staff_id=view.staff_id)


@pytest.mark.parametrize("pair", list(itertools.combinations(THREE, 2)))
def test_no_two_of_the_three_together(act: Act, pair: tuple[Role, ...]) -> None:
    """Refused by the service, and by the database should the service be got around."""
    with act(SECURITY) as uow, pytest.raises(Invalid, match="三个人分别担任"):
        staff.appoint(uow, post("X1", *pair))
    with pytest.raises(IntegrityError, match="one_administrator"), act(SECURITY) as uow:
        uow.session.execute(
            text("UPDATE staff SET roles = :roles WHERE staff_no = 'HH0204'"),
            {"roles": [role.value for role in pair]},
        )


@pytest.mark.parametrize("role", THREE)
def test_an_administrator_does_no_casework(act: Act, role: Role) -> None:
    """None of the three with any other post."""
    for other in Role:
        if other not in (*THREE, Role.SERVICE):
            assert separation.conflict((role, other)), other
    with act(SECURITY) as uow, pytest.raises(Invalid, match="不得兼任"):
        staff.appoint(uow, post("X1", role, Role.TOWN_CLERK))


def test_the_system_administrator_appoints_the_first_of_each_and_no_more(act: Act) -> None:
    """Afterwards rights over rights are the security administrator's."""
    appoint(act, ADMIN, "SEC", Role.SECURITY_ADMIN)
    appoint(act, ADMIN, "AUD", Role.AUDITOR)
    for number, role in (("S2", Role.SECURITY_ADMIN), ("A2", Role.AUDITOR)):
        with act(ADMIN) as uow, pytest.raises(Forbidden, match="安全管理员任免"):
            staff.appoint(uow, post(number, role))
    appoint(act, SECURITY, "A2", Role.AUDITOR)
    with act(ADMIN) as uow, pytest.raises(Forbidden):
        staff.end_appointment(uow, EndAppointment(staff_no="AUD", reason="x"))
    with act(ADMIN) as uow, pytest.raises(Forbidden):  # out of the way, by another post
        staff.appoint(uow, post("AUD", Role.LEADER))


def test_nobody_gives_himself_rights(act: Act) -> None:
    """Not even the security administrator."""
    security = appoint(act, ADMIN, "SEC", Role.SECURITY_ADMIN)
    with act(security) as uow, pytest.raises(Forbidden, match="给自己"):
        staff.appoint(uow, post("SEC", Role.SECURITY_ADMIN, scope=COUNTY))


def test_nobody_takes_over_another_administrators_account(act: Act) -> None:
    """A first password may come from either; a new one only from the other side."""
    for number, role in (("SEC", Role.SECURITY_ADMIN), ("AUD", Role.AUDITOR)):
        appoint(act, ADMIN, number, role)
        with act(ADMIN) as uow:
            staff.open_account(
                uow, OpenAccount(staff_no=number, account=number.lower(), password=PASSWORD)
            )
    again = OpenAccount(staff_no="AUD", account="aud", password="other-words-77")
    with act(ADMIN) as uow, pytest.raises(Forbidden, match="不能由您重设"):
        staff.open_account(uow, again)
    with act(SECURITY) as uow:
        staff.open_account(uow, again)
    of_security = OpenAccount(staff_no="SEC", account="sec", password="other-words-77")
    with act(SECURITY) as uow, pytest.raises(Forbidden):
        staff.open_account(uow, of_security)
    with act(ADMIN) as uow:
        staff.open_account(uow, of_security)


def test_an_auditor_sees_all_divisions(act: Act) -> None:
    """The post over a single town is refused: what an auditor cannot see, nobody audits."""
    with act(SECURITY) as uow, pytest.raises(Invalid, match="全部区划"):
        staff.appoint(uow, post("AUD", Role.AUDITOR, scope="421083108"))
