"""The first administrator of an empty registry: ``python -m services.registry.first_admin``.

Run once where registry runs (its environment, its database), after the migrations. The password is
read from ``REGISTRY_FIRST_ADMIN_PASSWORD`` or standard input, never from the command line. All
other accounts are opened by this one through commands: first a security administrator and an
auditor, who must be other persons. Refused once anybody has an account.
"""

from __future__ import annotations

import argparse
import os
import sys

from sqlalchemy import func, select

from services.chassis.settings import Settings
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Role, system_actor
from services.contracts.commands.registry import AppointStaff, OpenAccount, StaffView
from services.contracts.errors import Conflict, ZhidaError
from services.registry import staff
from services.registry.models import StaffAccount

PASSWORD = "REGISTRY_FIRST_ADMIN_PASSWORD"  # noqa: S105 - the name of the variable


def appoint(
    uow: UnitOfWork, *, staff_no: str, name: str, account: str, password: str, must_change: bool
) -> StaffView:
    """Put the first administrator in post. Raises ``Conflict`` when there is an account already."""
    if uow.session.scalar(select(func.count()).select_from(StaffAccount)):
        raise Conflict("已有账号，不能再设首位管理员", advice="请由现有系统管理员办理")
    of_county = uow.settings.county
    staff.put_in_post(
        uow,
        AppointStaff(
            staff_no=staff_no,
            name=name,
            division=of_county,
            roles=(Role.SYSTEM_ADMIN,),
            scopes=(of_county,),
        ),
    )
    return staff.open_account(
        uow,
        OpenAccount(staff_no=staff_no, account=account, password=password, must_change=must_change),
    )


def main() -> int:
    """The command line; 0 done, 2 refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--staff-no", default="ADMIN")
    parser.add_argument("--name", default="系统管理员")
    parser.add_argument("--account", default="admin")
    parser.add_argument("--keep-password", action="store_true", help="do not ask for a new one")
    given = parser.parse_args()
    password = os.environ.get(PASSWORD) or sys.stdin.readline().rstrip("\n")
    foundation = Foundation.build(Settings.from_env("registry"))
    try:
        with foundation.begin(system_actor("registry")) as uow:
            appoint(
                uow,
                staff_no=given.staff_no,
                name=given.name,
                account=given.account,
                password=password,
                must_change=not given.keep_password,
            )
    except ZhidaError as refused:
        sys.stderr.write(f"{refused.message}；{refused.advice or ''}\n")
        return 2
    sys.stdout.write(f"{given.account}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
