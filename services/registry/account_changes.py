"""A change of payee or account: one asks, another confirms; then the money side is told."""

from __future__ import annotations

from typing import Literal, cast
from uuid import UUID

from sqlalchemy import false, or_, select

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    AccountChangeView,
    ConfirmAccountChange,
    ListAccountChanges,
    RequestAccountChange,
    RequestPayeeChange,
)
from services.contracts.errors import Conflict, Forbidden, Invalid, NotFound
from services.contracts.events.registry import AccountChangeConfirmed
from services.contracts.ids import new_id
from services.registry import announcements, people
from services.registry.domain.identity_number import mask
from services.registry.models import AccountChange, Household, Person


def request_account(uow: UnitOfWork, command: RequestAccountChange) -> AccountChangeView:
    """Ask for a new account of a living person."""
    person = people.living(uow, command.person_id)
    number = people.account_number(command.account_number)
    name = command.account_name.strip()
    if number is None or not name:
        raise Invalid("户名和账号都要填写", field="account_number")
    change_id = new_id()

    def sealed(value: str, column: str) -> bytes:
        return uow.cipher.encrypt(value, table="account_change", row=change_id, column=column)

    return _request(
        uow,
        AccountChange(
            id=change_id,
            what="account",
            person_id=person.id,
            household_id=person.household_id,
            division=person.division,
            account_name=sealed(name, "account_name"),
            account_number=sealed(number, "account_number"),
            bank=command.bank,
            reason=command.reason,
        ),
    )


def request_payee(uow: UnitOfWork, command: RequestPayeeChange) -> AccountChangeView:
    """Ask that a living member be paid for the household."""
    person = people.living(uow, command.person_id)
    if person.household_id != command.household_id:
        raise Invalid("领款人应是本户成员", field="person_id")
    return _request(
        uow,
        AccountChange(
            id=new_id(),
            what="payee",
            person_id=person.id,
            household_id=person.household_id,
            division=person.division,
            reason=command.reason,
        ),
    )


def confirm(uow: UnitOfWork, command: ConfirmAccountChange) -> AccountChangeView:
    """Confirm or refuse what somebody else asked for."""
    change = uow.session.get(AccountChange, command.change_id, with_for_update=True)
    if change is None:
        raise NotFound("没有这项变更申请", field="change_id")
    uow.require(change.division)
    if change.state != "requested":
        raise Conflict("该变更已经处理", field="change_id", reason="already_decided")
    if change.requested_by == uow.actor.id:
        raise Forbidden(
            "申请人不能确认自己的申请", advice="请由另一人核对后确认", reason="two_persons"
        )
    if not command.confirm and not (command.reason or "").strip():
        raise Invalid("不予变更应写明原因", field="reason")
    change.state = "confirmed" if command.confirm else "refused"
    change.decided_by, change.decided_by_name = uow.actor.id, uow.actor.name
    change.decided_at = uow.now()
    change.decision_reason = command.reason
    if command.confirm:
        _apply(uow, change)
    uow.audit(f"account_change.{change.state}", "person", change.person_id, what=change.what)
    return _view(uow, change)


def list_changes(uow: UnitOfWork, query: ListAccountChanges) -> list[AccountChangeView]:
    """Changes in a state within the actor's divisions."""
    sight = (
        AccountChange.division.startswith(scope, autoescape=True) for scope in uow.actor.divisions
    )
    rows = uow.session.scalars(
        select(AccountChange)
        .where(
            AccountChange.state == query.state,
            AccountChange.division.startswith(query.division, autoescape=True),
            or_(false(), *sight),  # before the limit, or a town's page would be another's
        )
        .order_by(AccountChange.requested_at)
        .limit(max(1, min(query.limit, 1000)))
    )
    return [_view(uow, row) for row in rows]


def _request(uow: UnitOfWork, change: AccountChange) -> AccountChangeView:
    if not change.reason.strip():
        raise Invalid("请写明变更原因", field="reason")
    waiting = uow.session.scalar(  # the person's row is locked: nobody asks at the same time
        select(AccountChange.id).where(
            AccountChange.person_id == change.person_id,
            AccountChange.what == change.what,
            AccountChange.state == "requested",
        )
    )
    if waiting is not None:
        raise Conflict(
            "该人已有一项待确认的变更", field="person_id", advice="请先处理原申请", reason="pending"
        )
    change.state = "requested"
    change.requested_by, change.requested_by_name = uow.actor.id, uow.actor.name
    change.requested_at = uow.now()
    uow.session.add(change)
    uow.session.flush()
    uow.audit("account_change.requested", "person", change.person_id, what=change.what)
    return _view(uow, change)


def _apply(uow: UnitOfWork, change: AccountChange) -> None:
    person = people.living(uow, change.person_id)
    previous_payee_id = None
    if change.what == "account":
        name, number = (_opened(uow, change, c) for c in ("account_name", "account_number"))
        assert name
        assert number

        def sealed(value: str, column: str) -> bytes:
            return uow.cipher.encrypt(value, table="person", row=person.id, column=column)

        person.account_name = sealed(name, "account_name")
        person.account_number = sealed(number, "account_number")
        person.bank = change.bank
        person.account_version += 1
        uow.session.flush()
        uow.emit(announcements.account_changed(uow, person, name=name, number=number, at=uow.now()))
    else:
        household = uow.session.get_one(Household, change.household_id, with_for_update=True)
        previous_payee_id = household.payee_person_id or household.head_person_id
        household.payee_person_id = person.id
        household.payee_changed_at = uow.now()
        household.version += 1
        uow.session.flush()
        uow.emit(announcements.household_recorded(uow, household))
    uow.emit(
        AccountChangeConfirmed(
            change_id=change.id,
            person_id=person.id,
            household_id=change.household_id,
            division=change.division,
            what=change.what,
            confirmed_on=uow.today(),
            previous_payee_id=previous_payee_id,
        )
    )


def _opened(uow: UnitOfWork, change: AccountChange, column: str) -> str | None:
    data: bytes | None = getattr(change, column)
    if data is None:
        return None
    return uow.cipher.decrypt(data, table="account_change", row=change.id, column=column)


def _view(uow: UnitOfWork, change: AccountChange) -> AccountChangeView:
    number = _opened(uow, change, "account_number")
    return AccountChangeView(
        change_id=change.id,
        what=cast(Literal["account", "payee"], change.what),
        person_id=change.person_id,
        person_name=_name(uow, change.person_id),
        household_id=change.household_id,
        division=change.division,
        account_name=_opened(uow, change, "account_name"),
        account_masked=mask(number) if number else None,
        bank=change.bank,
        reason=change.reason,
        state=cast(Literal["requested", "confirmed", "refused"], change.state),
        requested_by=change.requested_by_name,
        requested_at=change.requested_at,
        decided_by=change.decided_by_name,
        decided_at=change.decided_at,
    )


def _name(uow: UnitOfWork, person_id: UUID) -> str:
    return uow.session.scalar(select(Person.name).where(Person.id == person_id)) or ""
