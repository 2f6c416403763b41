"""Who is responsible for whom (责任直达): one officer for each person, moved all at once."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, bindparam, func, insert, select, update

from services.chassis.planned import PLANNED
from services.chassis.rows import Row
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    AssignOfficer,
    CoverageLine,
    HandOver,
    ReadCoverage,
)
from services.contracts.errors import Conflict, Invalid, NotFound
from services.registry import announcements, divisions
from services.registry.models import Division, Person, Responsibility, Staff

_BELOW = {2: 4, 4: 6, 6: 9, 9: 12}
_PAGE = 2000


def hand_over(uow: UnitOfWork, command: HandOver) -> int:
    """Move everybody in one officer's hands, within a division, to another."""
    leaving = _officer(uow, command.from_no)
    taking = _officer(uow, command.to_no)
    uow.require(command.division or leaving.division)
    if not command.reason.strip():
        raise Invalid("请写明移交原因", field="reason")
    return move(uow, leaving, taking, division=command.division, reason=command.reason)


def assign(uow: UnitOfWork, command: AssignOfficer) -> int:
    """Give these people to an officer."""
    taking = _officer(uow, command.officer_no)
    if not command.reason.strip():
        raise Invalid("请写明调整原因", field="reason")
    divisions = uow.session.scalars(
        select(Person.division).where(Person.id.in_(command.person_ids)).distinct()
    )
    for division in divisions:
        uow.require(division)
    return _move(uow, taking, list(command.person_ids), command.reason)


def move(uow: UnitOfWork, leaving: Staff, taking: Staff, *, division: str, reason: str) -> int:
    """All who live and are in ``leaving``'s hands go to ``taking``; how many."""
    if leaving.id == taking.id:
        raise Invalid("移交的双方是同一人", field="to_no")
    people = uow.session.scalars(
        select(Person.id)
        .where(
            Person.officer_id == leaving.id,
            Person.officer_in_post.is_(True),
            Person.division.startswith(division),
        )
        .order_by(Person.id)
        .with_for_update()
    )
    return _move(uow, taking, list(people), reason)


def in_hands(uow: UnitOfWork, staff: Staff) -> int:
    """How many living people are in this officer's hands."""
    return (
        uow.session.scalar(
            select(func.count(Person.id)).where(
                Person.officer_id == staff.id, Person.officer_in_post.is_(True)
            )
        )
        or 0
    )


def uncovered(
    uow: UnitOfWork, division: str = "", officer_id: UUID | None = None
) -> dict[str, int]:
    """Living people whose officer's scopes do not reach them, by village. Must be empty.

    That everybody has an officer in post the database holds; that the officer looks after the
    place, a change of post could break.
    """
    statement = (
        select(Person.division, Staff.scopes, func.count(Person.id))
        .join(Staff, Staff.id == Person.officer_id)
        .where(Person.officer_in_post.is_(True), Person.division.startswith(division))
        .group_by(Person.division, Staff.id)
    )
    if officer_id is not None:
        statement = statement.where(Staff.id == officer_id)
    found: dict[str, int] = {}
    for village, scopes, people in uow.session.execute(statement):
        if not any(village.startswith(scope) for scope in scopes):
            found[village] = found.get(village, 0) + people
    return found


_LOOKS_AFTER = and_(
    Staff.active,
    Staff.scopes.overlap(bindparam("scopes")),
    Staff.roles.contains([Role.VILLAGE_OFFICER.value]),
)
_LOOKING_AFTER = (
    select(Staff).where(_LOOKS_AFTER).order_by(Staff.staff_no).execution_options(**PLANNED)
)
_VILLAGE_AND_OFFICERS = (
    select(Division, Staff)
    .outerjoin(Staff, _LOOKS_AFTER)
    .where(Division.code == bindparam("village"))
    .order_by(Staff.staff_no)
    .execution_options(**PLANNED)
)


def officer_of(uow: UnitOfWork, village: str) -> Staff:
    """The officer whose scope is this village, or the narrowest above it.

    Raises ``Conflict`` when nobody looks after the village.
    """
    scopes = _scopes(village)
    return _narrowest(list(uow.session.scalars(_LOOKING_AFTER, {"scopes": scopes})), scopes)


def village_and_officer(uow: UnitOfWork, code: str) -> tuple[Division, Staff]:
    """``divisions.village`` and ``officer_of``, with one query."""
    scopes = _scopes(code)
    found = uow.session.execute(_VILLAGE_AND_OFFICERS, {"village": code, "scopes": scopes}).all()
    village = divisions.require_village(found[0].Division if found else None, code)
    return village, _narrowest([row.Staff for row in found if row.Staff], scopes)


def _scopes(village: str) -> list[str]:
    return [village[:length] for length in (12, 9, 6)]


def _narrowest(officers: Sequence[Staff], scopes: Sequence[str]) -> Staff:
    ranked = sorted(
        officers, key=lambda s: -max(len(scope) for scope in s.scopes if scope in scopes)
    )
    if not ranked:
        raise Conflict(
            "该村（社区）还没有责任人",
            field="officer_no",
            advice="请先任命民政专干",
            reason="no_officer",
        )
    return ranked[0]


def require_covering(officer: Staff, division: str) -> None:
    """Raise ``Invalid`` unless the officer is in post and looks after ``division``."""
    if not officer.active:
        raise Invalid(f"{officer.name}已离岗", field="officer_no")
    if not any(division.startswith(scope) for scope in officer.scopes):
        raise Invalid(
            f"{officer.name}不负责该村（社区）", field="officer_no", advice="请换一个工号"
        )


def read_coverage(uow: UnitOfWork, query: ReadCoverage) -> list[CoverageLine]:
    """The responsibility map one level below a place (a village is shown by itself)."""
    width = _BELOW.get(len(query.division), 12)
    place = func.substr(Person.division, 1, width)
    counts = {
        code: (people, beneficiaries)
        for code, people, beneficiaries in uow.session.execute(
            select(
                place,
                func.count(),
                func.count().filter(Person.beneficiary),
            )
            .where(Person.officer_in_post.is_(True), Person.division.startswith(query.division))
            .group_by(place)
        )
    }
    scope = func.unnest(Staff.scopes).label("scope")
    posts = select(Staff.id, scope).where(
        Staff.active, Staff.roles.contains([Role.VILLAGE_OFFICER.value])
    )
    inner = posts.subquery()
    at = func.substr(inner.c.scope, 1, width)
    officers: dict[str, int] = dict(
        uow.session.execute(select(at, func.count(inner.c.id.distinct())).group_by(at)).all()
    )
    stranded = uncovered(uow, query.division)
    rows = uow.session.scalars(
        select(Division)
        .where(
            Division.code.startswith(query.division),
            func.length(Division.code) == width,
            Division.valid_to.is_(None),
        )
        .order_by(Division.code)
    )
    return [
        CoverageLine(
            division=row.code,
            name=row.short_name,
            officers=officers.get(row.code, 0),
            people=counts.get(row.code, (0, 0))[0],
            beneficiaries=counts.get(row.code, (0, 0))[1],
            uncovered=sum(n for code, n in stranded.items() if code.startswith(row.code)),
        )
        for row in rows
    ]


def first(uow: UnitOfWork, people: Sequence[Person], reason: str) -> list[Row]:
    """The rows that say who became responsible for newly registered people."""
    return [
        {
            "person_id": person.id,
            "officer_id": person.officer_id,
            "since": uow.now(),
            "reason": reason,
        }
        for person in people
    ]


def _move(uow: UnitOfWork, taking: Staff, people: list[UUID], reason: str) -> int:
    if not people:
        return 0
    _check_scope(uow, taking, people)
    now = uow.now()
    moved = list(
        uow.session.scalars(
            update(Person)
            .where(
                Person.id.in_(people),
                Person.officer_id != taking.id,
                Person.officer_in_post.is_(True),
            )
            .values(officer_id=taking.id, version=Person.version + 1)
            .returning(Person.id)
        )
    )
    uow.session.execute(
        update(Responsibility)
        .where(Responsibility.person_id.in_(moved), Responsibility.until.is_(None))
        .values(until=now)
    )
    if moved:
        uow.session.execute(
            insert(Responsibility),
            [
                {"person_id": p, "officer_id": taking.id, "since": now, "reason": reason}
                for p in moved
            ],
        )
    uow.session.expire_all()
    uow.audit(
        "responsibility.moved",
        "staff",
        taking.id,
        to=taking.staff_no,
        people=len(moved),
        reason=reason,
    )
    for start in range(0, len(moved), _PAGE):
        rows = uow.session.scalars(
            select(Person).where(Person.id.in_(moved[start : start + _PAGE])).order_by(Person.id)
        )
        uow.emit_all(announcements.people_recorded(uow, list(rows)), bulk=len(moved) > _PAGE)
    return len(moved)


def _check_scope(uow: UnitOfWork, taking: Staff, people: list[UUID]) -> None:
    divisions = uow.session.scalars(select(Person.division).where(Person.id.in_(people)).distinct())
    for division in divisions:
        require_covering(taking, division)


def _officer(uow: UnitOfWork, staff_no: str) -> Staff:
    staff = uow.session.scalar(select(Staff).where(Staff.staff_no == staff_no.strip()))
    if staff is None:
        raise NotFound(f"没有工号 {staff_no}", field="officer_no", advice="请核对工号")
    return staff
