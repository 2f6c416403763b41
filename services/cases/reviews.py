"""复核: a running benefit looked at again, opened by a death or by an officer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from services.cases import casework, catalogue, held_benefits, views, working_calendar
from services.cases.domain import facts as f
from services.cases.domain import intake
from services.cases.domain.case import Case, State
from services.cases.models import CaseRow, DeathTold, HeldBenefitRow, Person
from services.chassis.uow import UnitOfWork
from services.contracts.commands.cases import CaseView, OpenReview
from services.contracts.errors import Conflict
from services.contracts.events.cases import ReviewOpened
from services.contracts.events.registry import PersonDeathRevoked, PersonDied
from services.contracts.ids import new_id

DEATH, DEATH_REVOKED = "death", "death_revoked"
ONE_OFF = "temporary_aid"

TOOK_AWAY = (f.Outcome.ENDED.value, f.Outcome.CHANGED.value)

CAUSES = {
    DEATH: "成员死亡",
    DEATH_REVOKED: "死亡登记撤销",
    "periodic": "定期复核",
    "income_changed": "收入变化",
    "members_changed": "家庭人口变化",
    "reported": "群众反映",
    "expired": "待遇到期",
}


def handle_deaths(uow: UnitOfWork, events: Sequence[PersonDied | PersonDeathRevoked]) -> None:
    """A death opens a review of each running benefit's case; its revocation ends the review.

    Where that was decided already, and took something away, the benefit is looked at anew. What was
    told is kept, so that the order in which deaths, revocations and benefits are heard of
    makes no difference.
    """
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        revoked = isinstance(event, PersonDeathRevoked)
        source = event.revokes if isinstance(event, PersonDeathRevoked) else event.source_event_id
        row = rows.setdefault(source, _told(event.person_id, source))
        if isinstance(event, PersonDied):
            row |= {"died_on": event.died_on, "officer_id": event.officer_id}
        row["revoked"] = row["revoked"] or revoked
    statement = insert(DeathTold)
    fresh = statement.excluded
    uow.session.execute(
        statement.on_conflict_do_update(
            index_elements=[DeathTold.source_event_id],
            set_={
                "died_on": func.coalesce(DeathTold.died_on, fresh.died_on),
                "officer_id": func.coalesce(DeathTold.officer_id, fresh.officer_id),
                "revoked": DeathTold.revoked | fresh.revoked,
            },
        ),
        list(rows.values()),
    )
    deaths = _deaths(uow, DeathTold.source_event_id.in_(rows))
    _open_for(uow, [death for death in deaths if not death.revoked])
    _take_back(uow, [death for death in deaths if death.revoked])


def open_for_earlier_deaths(uow: UnitOfWork, people: Collection[UUID]) -> None:
    """Benefits that came to be known after the death of somebody they cover."""
    _open_for(uow, _deaths(uow, DeathTold.person_id.in_(people) & ~DeathTold.revoked))


def _told(person_id: UUID, source: str) -> dict[str, Any]:
    return {
        "source_event_id": source,
        "person_id": person_id,
        "died_on": None,
        "officer_id": None,
        "revoked": False,
    }


def _deaths(uow: UnitOfWork, which: ColumnElement[bool]) -> Sequence[DeathTold]:
    found = select(DeathTold).where(which).order_by(DeathTold.source_event_id)
    return uow.session.scalars(found.execution_options(populate_existing=True)).all()


def _open_for(uow: UnitOfWork, deaths: Sequence[DeathTold]) -> None:
    """One review a death and granted case, whether funding has stopped the money yet or not."""
    dead = [death.person_id for death in deaths]
    if not dead:
        return
    running = uow.session.scalars(
        select(CaseRow)
        .where(
            CaseRow.outcome == "granted",
            CaseRow.item != ONE_OFF,
            held_benefits.running(or_ended_by=DEATH),
            CaseRow.person_ids.overlap(dead),
        )
        .order_by(CaseRow.id)
    ).all()
    wanted = {
        f"{DEATH}:{death.source_event_id}:{case.id}": (death, case)
        for death in deaths
        for case in running
        if death.person_id in case.person_ids
    }
    known = set(
        uow.session.scalars(select(CaseRow.source_key).where(CaseRow.source_key.in_(wanted)))
    )
    for key, (death, case) in wanted.items():
        if key not in known:
            review = _open(
                uow,
                case,
                DEATH,
                f"{death.died_on} 死亡登记",
                key=key,
                event_id=death.source_event_id,
                dead=frozenset(dead),
            )
            _announce(uow, review, death.person_id, DEATH, death.source_event_id, death.officer_id)


def open_review(uow: UnitOfWork, command: OpenReview) -> CaseView:
    """An officer looks at a granted benefit again."""
    case = casework.load(uow, command.case_id, to_change=False).row
    still = select(CaseRow.id).where(CaseRow.id == case.id, held_benefits.running())
    if case.outcome != "granted" or case.item == ONE_OFF or not uow.session.scalar(still):
        raise Conflict(
            "这个案件没有正在享受的待遇，不能发起复核",
            field="case_id",
            advice="请选择已经审核确认、仍在享受的案件",
            reason="nothing_running",
        )
    hanging = uow.session.scalars(
        select(CaseRow.case_no).where(
            CaseRow.reviews == case.id, CaseRow.state == State.IN_PROGRESS.value
        )
    ).first()
    if hanging:
        raise Conflict(
            f"已有正在办理的复核（{hanging}）",
            field="case_id",
            advice="请办理该复核",
            reason="open_case",
        )
    review = _open(uow, case, command.cause, command.reason)
    uow.audit("case.review_opened", "case", review.id, case_no=review.case_no)
    _announce(uow, review, case.applicant_id, command.cause, str(review.id), None)
    return views.read(uow, review.id)


def _open(
    uow: UnitOfWork,
    case: CaseRow,
    cause: str,
    reason: str,
    *,
    key: str | None = None,
    event_id: str = "",
    dead: frozenset[UUID] = frozenset(),
    revived: frozenset[UUID] = frozenset(),
) -> CaseRow:
    """A review of what a case granted: the same benefit, the people who still live."""
    item = catalogue.item("review")
    route = item.routes[0]
    today = uow.today()
    covered = _covered(uow, case, dead, revived)
    opened = f.ReviewOpened(
        on=today,
        by=uow.actor.id,
        by_name=uow.actor.name,
        asked=tuple(f.Asked(benefit=benefit, covered=covered) for benefit in case.benefits),
        cause=cause,
        cause_event_id=event_id,
        reason=f"{CAUSES[cause]}：{reason}" if reason else CAUSES[cause],
    )
    rule = catalogue.policies().rule(item.code, route.code, case.division, today)
    values: dict[str, Any] = {
        "id": new_id(),
        "case_no": casework.case_numbers(uow, case.division)[0],
        "source_key": key,
        "item": item.code,
        "route": route.code,
        "kind": item.kind.value,
        "benefits": list(case.benefits),
        "division": case.division,
        "household_id": case.household_id,
        "applicant_id": case.applicant_id,
        "person_ids": list(case.person_ids),
        "minor": case.minor,
        "child": case.child,
        "first_officer_id": None,
        "applied_on": today,
        "reviews": case.id,
    }
    review = Case(item, route, rule, case.division, (opened,), case.minor)
    return casework.add(uow, values, review, working_calendar.current(uow))


def _covered(
    uow: UnitOfWork, case: CaseRow, dead: frozenset[UUID], revived: frozenset[UUID]
) -> tuple[UUID, ...]:
    """Who the benefit covers and still lives; the case's people where nobody does.

    ``dead`` and ``revived``: deaths just told or taken back, which the copy of people may not show
    yet.
    """
    covered = uow.session.scalar(
        select(HeldBenefitRow.person_ids).where(HeldBenefitRow.case_id == case.id).limit(1)
    )
    people = covered or case.person_ids
    living = set(
        uow.session.scalars(
            select(Person.person_id).where(
                Person.person_id.in_(people), Person.deceased_on.is_(None), ~Person.removed
            )
        )
    )
    living = living - dead | revived
    return tuple(person for person in people if person in living) or tuple(people)


def _announce(
    uow: UnitOfWork,
    review: CaseRow,
    person_id: UUID,
    cause: str,
    cause_event_id: str,
    officer_id: UUID | None,
) -> None:
    if officer_id is None:
        about = uow.session.get(Person, person_id)
        officer_id = about.officer_id if about else None
    review.first_officer_id = officer_id
    uow.emit(
        ReviewOpened(
            case_id=review.id,
            case_no=review.case_no,
            division=review.division,
            person_id=person_id,
            cause=cause,
            cause_event_id=cause_event_id,
            officer_id=officer_id,
            opened_on=uow.today(),
        )
    )


def _take_back(uow: UnitOfWork, deaths: Sequence[DeathTold]) -> None:
    """Deaths registered wrongly: their reviews end undecided, or are held again if decided."""
    if not deaths:
        return
    told = {f"{DEATH}:{death.source_event_id}:": death for death in deaths}
    opened = uow.session.scalars(
        select(CaseRow)
        .where(or_(*(CaseRow.source_key.startswith(key, autoescape=True) for key in told)))
        .order_by(CaseRow.id)
    ).all()
    _end_hanging(uow, [row.id for row in opened if row.state == State.IN_PROGRESS.value])
    for review in opened:
        if review.outcome in TOOK_AWAY:
            key = str(review.source_key)
            _hold_again(uow, review, told[key.removesuffix(key.rpartition(":")[2])])


def _end_hanging(uow: UnitOfWork, hanging: Sequence[UUID]) -> None:
    today = uow.today()
    ground, reason = f.EndGround.DEATH_REVOKED, "死亡登记已被撤销"
    casework.keep_all(
        uow,
        [
            (opened, intake.end(opened.case, uow.actor, today, ground, reason))
            for opened in casework.load_many(uow, hanging)
        ],
    )


def _hold_again(uow: UnitOfWork, review: CaseRow, death: DeathTold) -> None:
    """A decision stands until another is made: so a review of the same benefit, once a death."""
    key = f"{DEATH_REVOKED}:{death.source_event_id}:{review.reviews}"
    if uow.session.scalar(select(CaseRow.id).where(CaseRow.source_key == key)):
        return
    again = _open(
        uow,
        uow.session.get_one(CaseRow, review.reviews),
        DEATH_REVOKED,
        f"复核 {review.case_no} 依据的死亡登记有误",
        key=key,
        event_id=death.source_event_id,
        revived=frozenset({death.person_id}),
    )
    _announce(uow, again, death.person_id, DEATH_REVOKED, death.source_event_id, death.officer_id)
