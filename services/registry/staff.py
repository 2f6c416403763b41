"""Staff: posts with roles and division scopes, their sign-in accounts, leaving post."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, insert, or_, select

from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    AppointStaff,
    EndAppointment,
    ListStaff,
    OpenAccount,
    ReadStaff,
    StaffPage,
    StaffView,
)
from services.contracts.divisions import level
from services.contracts.errors import Conflict, Forbidden, Invalid, NotFound
from services.contracts.ids import new_id
from services.registry import announcements, responsibility
from services.registry.domain import separation
from services.registry.domain.identity_number import mask
from services.registry.domain.officers import Officer
from services.registry.models import Division, Person, SignInRow, Staff, StaffAccount

_NUMBER = re.compile(r"[0-9A-Za-z-]{2,20}")
_ACCOUNT = re.compile(r"[a-z0-9._-]{3,40}")


def appoint(uow: UnitOfWork, command: AppointStaff) -> StaffView:
    """Put somebody in post, or change the post of a number already given."""
    uow.require(command.division)
    for scope in command.scopes:
        uow.require(scope)
    _may_appoint(uow, command)
    staff = put_in_post(uow, command)
    stranded = responsibility.uncovered(uow, officer_id=staff.id)
    if stranded:
        raise Conflict(
            f"{staff.name}名下有 {sum(stranded.values())} 人不在新的管辖范围内",
            field="scopes",
            advice="请先把这些人移交给当地的责任人",
            reason="people_in_hand",
        )
    uow.audit(
        "staff.appointed",
        "staff",
        staff.id,
        staff_no=staff.staff_no,
        roles=list(staff.roles),
        scopes=list(staff.scopes),
    )
    return staff_view(uow, staff)


def put_in_post(uow: UnitOfWork, post: AppointStaff) -> Staff:
    """Write the post and tell of it, without asking whether the actor may."""
    _check(uow, post)
    staff = uow.session.scalar(select(Staff).where(Staff.staff_no == post.staff_no))
    if staff is None:
        staff = Staff(
            id=new_id(),
            staff_no=post.staff_no,
            since=uow.today(),
            version=0,
            contact_version=0,
            active=True,
        )
        uow.session.add(staff)
    staff.name = post.name.strip()
    staff.division = post.division
    staff.roles = [str(role) for role in post.roles]
    staff.scopes = list(post.scopes)
    staff.active, staff.until = True, None
    staff.version += 1
    if contact := post.phone is not None or staff.contact_version == 0:
        phone = (post.phone or "").strip() or None
        staff.phone = _sealed_phone(uow, staff, phone)
        staff.contact_version += 1
    uow.session.flush()
    uow.emit(announcements.staff_appointed(uow, staff))
    if contact:
        uow.emit(announcements.staff_contact_changed(uow, staff, phone_of(uow, staff)))
    return staff


def put_officers_in_post(uow: UnitOfWork, officers: Sequence[Officer]) -> None:
    """Put the village officers of a roster in post, all at once. Those in post are left alone."""
    known = {
        staff.staff_no: staff
        for staff in uow.session.scalars(
            select(Staff).where(Staff.staff_no.in_([officer.number for officer in officers]))
        )
    }
    phones: dict[UUID, str] = {}
    appointed: list[Staff] = []
    for officer in officers:
        staff = known.get(officer.number) or Staff(
            id=new_id(),
            staff_no=officer.number,
            since=uow.today(),
            version=0,
            contact_version=0,
            active=False,
        )
        if staff.active:
            continue
        staff.name, staff.division = officer.name, officer.division
        staff.roles, staff.scopes = [Role.VILLAGE_OFFICER.value], [officer.division]
        staff.active, staff.until = True, None
        staff.phone = _sealed_phone(uow, staff, officer.phone)
        staff.version += 1
        staff.contact_version += 1
        phones[staff.id] = officer.phone
        appointed.append(staff)
    uow.session.add_all(appointed)
    uow.emit_all(announcements.staff_appointed(uow, staff) for staff in appointed)
    uow.emit_all(
        announcements.staff_contact_changed(uow, staff, phones[staff.id] or None)
        for staff in appointed
    )


def open_account(uow: UnitOfWork, command: OpenAccount) -> StaffView:
    """Give somebody an account, or a new password, which also lifts a lock."""
    from services.registry.sign_in import hashed

    staff = by_number(uow, command.staff_no)
    uow.require(staff.division)
    account = command.account.strip().lower()
    if not _ACCOUNT.fullmatch(account):
        raise Invalid(
            "账号应为 3 至 40 位小写字母、数字、点、横线",
            field="account",
            advice="如 daijiachang.li",
        )
    owner = uow.session.scalar(select(StaffAccount).where(StaffAccount.account == account))
    if owner is not None and owner.staff_id != staff.id:
        raise Conflict(f"账号 {account} 已有人使用", field="account", advice="请换一个")
    row = uow.session.get(StaffAccount, staff.id)
    if row is not None and not separation.may_reset_password(uow.actor.roles, _roles(staff)):
        raise Forbidden(
            "管理员的密码不能由您重设",
            field="staff_no",
            advice="请由安全管理员（安全管理员的由系统管理员）办理",
        )
    row = row or StaffAccount(staff_id=staff.id)
    row.account = account
    row.password_hash = hashed(command.password)
    row.must_change = command.must_change
    row.changed_at = uow.machine_now()
    uow.session.add(row)
    uow.session.execute(insert(SignInRow).values(account=account, outcome="reset"))
    uow.audit("account.opened", "staff", staff.id, account=account)
    return staff_view(uow, staff)


def end_appointment(uow: UnitOfWork, command: EndAppointment) -> StaffView:
    """Take somebody out of post; their people go to the successor in the same moment."""
    staff = by_number(uow, command.staff_no)
    uow.require(staff.division)
    if str(staff.id) == uow.actor.id:
        raise Forbidden("不能给自己办理离岗")
    if not separation.may_appoint(uow.actor.roles, _roles(staff), _roles(staff)):
        raise Forbidden("管理员由安全管理员任免", advice="请由安全管理员办理")
    if not command.reason.strip():
        raise Invalid("请写明离岗原因", field="reason")
    if command.successor_no:
        successor = by_number(uow, command.successor_no)
        responsibility.move(uow, staff, successor, division="", reason=command.reason)
    held = responsibility.in_hands(uow, staff)
    if held:
        raise Conflict(
            f"{staff.name}名下还有 {held} 人",
            field="successor_no",
            advice="请指定接任人，名下人员同时移交",
            reason="people_in_hand",
        )
    staff.active, staff.until = False, uow.today()
    staff.version += 1
    uow.session.flush()
    uow.audit("staff.left", "staff", staff.id, staff_no=staff.staff_no, reason=command.reason)
    uow.emit(announcements.staff_appointed(uow, staff))
    return staff_view(uow, staff)


def by_number(uow: UnitOfWork, staff_no: str) -> Staff:
    """The member of staff with this number. Raises ``NotFound``."""
    staff = uow.session.scalar(select(Staff).where(Staff.staff_no == staff_no.strip()))
    if staff is None:
        raise NotFound(f"没有工号 {staff_no}", field="staff_no", advice="请核对工号")
    return staff


def read_staff(uow: UnitOfWork, query: ReadStaff) -> StaffView:
    """One member of staff."""
    return staff_view(uow, by_number(uow, query.staff_no))


def list_staff(uow: UnitOfWork, query: ListStaff) -> StaffPage:
    """Staff by number, a page at a time."""
    limit = max(1, min(query.limit, 500))
    statement = select(Staff).order_by(Staff.staff_no).limit(limit + 1)
    if query.division:
        above = [query.division[:length] for length in (2, 4, 6, 9, 12)]
        statement = statement.where(
            or_(Staff.division.startswith(query.division), Staff.scopes.overlap(above))
        )
    if query.role is not None:
        statement = statement.where(Staff.roles.contains([query.role.value]))
    if query.active is not None:
        statement = statement.where(Staff.active.is_(query.active))
    if query.after:
        statement = statement.where(Staff.staff_no > query.after)
    found = list(uow.session.scalars(statement))
    page = found[:limit]
    return StaffPage(
        staff=tuple(staff_views(uow, page)),
        next=page[-1].staff_no if len(found) > limit else None,
    )


def staff_view(uow: UnitOfWork, staff: Staff) -> StaffView:
    """A member of staff as shown."""
    return staff_views(uow, [staff])[0]


def staff_views(uow: UnitOfWork, staff: Sequence[Staff]) -> list[StaffView]:
    """Staff as shown, with accounts and how many people are in their hands."""
    ids = [member.id for member in staff]
    accounts = dict(
        uow.session.execute(
            select(StaffAccount.staff_id, StaffAccount.account).where(
                StaffAccount.staff_id.in_(ids)
            )
        ).all()
    )
    people = dict(
        uow.session.execute(
            select(Person.officer_id, func.count())
            .where(Person.officer_id.in_(ids), Person.officer_in_post.is_(True))
            .group_by(Person.officer_id)
        ).all()
    )
    return [
        StaffView(
            staff_id=member.id,
            staff_no=member.staff_no,
            name=member.name,
            division=member.division,
            roles=tuple(Role(role) for role in member.roles),
            scopes=tuple(member.scopes),
            active=member.active,
            since=member.since,
            until=member.until,
            account=accounts.get(member.id),
            phone_masked=mask(phone) if (phone := phone_of(uow, member)) else None,
            people=people.get(member.id, 0),
        )
        for member in staff
    ]


def _roles(staff: Staff) -> tuple[Role, ...]:
    return tuple(Role(role) for role in staff.roles)


def _may_appoint(uow: UnitOfWork, post: AppointStaff) -> None:
    """Nobody appoints himself; administrators are appointed by the security administrator."""
    before = uow.session.scalar(select(Staff).where(Staff.staff_no == post.staff_no))
    if before is not None and str(before.id) == uow.actor.id:
        raise Forbidden("不能给自己任职或变更岗位", advice="请由另一位管理员办理")
    filled = {
        Role(role)
        for roles in uow.session.scalars(select(Staff.roles).where(Staff.active))
        for role in roles
    }
    roles = {*post.roles, *(_roles(before) if before is not None and before.active else ())}
    if not separation.may_appoint(uow.actor.roles, roles, filled):
        raise Forbidden("管理员由安全管理员任免", field="roles", advice="请由安全管理员办理")


def _sealed_phone(uow: UnitOfWork, staff: Staff, phone: str | None) -> bytes | None:
    if not phone:
        return None
    return uow.cipher.encrypt(phone, table="staff", row=staff.id, column="phone")


def phone_of(uow: UnitOfWork, staff: Staff) -> str | None:
    """A member of staff's number in full, for the registry's own use."""
    if staff.phone is None:
        return None
    return uow.cipher.decrypt(staff.phone, table="staff", row=staff.id, column="phone")


def _check(uow: UnitOfWork, post: AppointStaff) -> None:
    if not _NUMBER.fullmatch(post.staff_no):
        raise Invalid("工号应为 2 至 20 位字母、数字", field="staff_no")
    if not post.name.strip():
        raise Invalid("姓名为空", field="name")
    if not post.roles or Role.SERVICE in post.roles:
        raise Invalid("请至少选择一个岗位", field="roles")
    if why := separation.conflict(post.roles):
        raise Invalid(why, field="roles", advice="请分别任命")
    if not post.scopes:
        raise Invalid("请至少选择一个管辖范围", field="scopes")
    for code in (post.division, *post.scopes):
        try:
            level(code)
        except ValueError:
            raise Invalid(f"区划代码 {code} 不对", field="scopes") from None
    if Role.AUDITOR in post.roles and uow.settings.county not in post.scopes:
        raise Invalid(
            "审计员的范围是全部区划",
            field="scopes",
            advice=f"请把管辖范围设为 {uow.settings.county}",
        )
    codes = {post.division, *post.scopes}
    known = uow.session.scalar(
        select(func.count()).select_from(Division).where(Division.code.in_(codes))
    )
    if known != len(codes):
        raise Invalid("管辖范围里有不存在的区划", field="scopes", advice="请从列表中选择")
