"""Lists, the desk, intake's first look, the catalogue for guides."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
)

from services.cases import casework, catalogue, people_at_hand, views, working_calendar
from services.cases.applications import OPEN
from services.cases.domain.case import State
from services.cases.domain.catalogue import Item, Route, StepCode, Unit
from services.cases.domain.judgment import LEVEL_LABELS
from services.cases.models import CaseRow, FactRow, HeldBenefitRow, Person
from services.chassis import tracing
from services.chassis.uow import UnitOfWork
from services.contracts.commands import cases as c
from services.contracts.commands.common import Traced
from services.contracts.errors import Invalid, NotFound

NO_LIMIT = date(9999, 12, 31)
MOST = 200


# -- buckets: one predicate, for the count and for the list ------------------------------------


_UNFINISHED = (*OPEN, State.DECIDED.value)
_ON_THE_DESK = or_(CaseRow.state.in_(_UNFINISHED), CaseRow.returned)


def _at(step: StepCode) -> ColumnElement[bool]:
    return CaseRow.current.contains([step.value])


def buckets(today: date, staff_id: UUID | None) -> dict[str, tuple[str, ColumnElement[bool]]]:
    """The desk's buckets: label and predicate. Counts and lists use the same one."""
    running = CaseRow.due_on.is_not(None)
    hanging = CaseRow.notice_until.is_not(None)
    return {
        "waiting": ("全部待办", true()),
        "due_today": ("今日到期", CaseRow.due_on == today),
        "due_soon": ("3日内到期", and_(CaseRow.warn_on <= today, CaseRow.due_on > today)),
        "overdue": ("已超期", and_(running, CaseRow.due_on < today)),
        "supplementing": ("待补正", CaseRow.state == State.SUPPLEMENTING.value),
        "investigation": ("待调查", _at(StepCode.INVESTIGATION)),
        "means_check": ("待核对", _at(StepCode.MEANS_CHECK)),
        "opinion": ("待初审", _at(StepCode.OPINION)),
        "publicity": ("待公示", and_(_at(StepCode.PUBLICITY), ~hanging, ~CaseRow.objection_open)),
        "on_notice": ("公示中", hanging),
        "objection": ("异议待处理", and_(CaseRow.objection_open)),
        "federation_review": ("待残联审核", _at(StepCode.FEDERATION_REVIEW)),
        "decision": ("待决定", _at(StepCode.DECISION)),
        "papers": ("待补手续", _at(StepCode.PAPERS)),
        "notification": ("待告知", _at(StepCode.NOTIFICATION)),
        "returned": ("决定退回", and_(CaseRow.returned)),
        "review": ("复核待办", and_(CaseRow.kind == "review", CaseRow.state.in_(OPEN))),
        "mine": (
            "我的首问件",
            and_(CaseRow.first_officer_id == staff_id, CaseRow.state.in_(_UNFINISHED)),
        ),
    }


def read_desk(uow: UnitOfWork, query: c.ReadDesk) -> list[c.DeskCount]:
    """Every bucket with its count, in one statement."""
    found = buckets(uow.today(), uow.actor.staff_id)
    counted = select(
        *(func.count().filter(predicate).label(name) for name, (_, predicate) in found.items())
    ).where(_in_sight(uow, query.division), _ON_THE_DESK)
    counts = uow.session.execute(counted).one()
    return [
        c.DeskCount(bucket=name, label=label, count=counts[place])
        for place, (name, (label, _)) in enumerate(found.items())
    ]


def list_cases(uow: UnitOfWork, query: c.ListCases) -> c.CasePage:
    """Cases in sight, the nearest limit first, then by id; a page at a time."""
    limit = max(1, min(query.limit, MOST))
    due = func.coalesce(CaseRow.due_on, NO_LIMIT)
    statement = _filtered(uow, query).order_by(due, CaseRow.id).limit(limit + 1)
    if query.after:
        day, last = _cursor(query.after)
        statement = statement.where(tuple_(due, CaseRow.id) > tuple_(literal(day), literal(last)))
    rows = uow.session.scalars(statement).all()
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        following = _as_cursor(page[-1].due_on or NO_LIMIT, page[-1].id)
    since = min((row.applied_on for row in page if row.due_on), default=None)
    calendar = working_calendar.current(uow, since)
    return c.CasePage(cases=views.lines(uow, page, calendar), next=following)


def _filtered(uow: UnitOfWork, query: c.ListCases) -> Select[CaseRow]:
    statement = select(CaseRow).where(_in_sight(uow, query.division))
    if query.bucket is not None:
        known = buckets(uow.today(), uow.actor.staff_id)
        if query.bucket not in known:
            raise Invalid(
                f"没有“{query.bucket}”这个待办分类",
                field="bucket",
                advice=f"可选：{'、'.join(known)}",
            )
        statement = statement.where(known[query.bucket][1], _ON_THE_DESK)
    for column, wanted in (
        (CaseRow.item, query.item),
        (CaseRow.kind, query.kind),
        (CaseRow.state, query.state),
        (CaseRow.outcome, query.outcome),
        (CaseRow.applicant_id, query.applicant_id),
        (CaseRow.household_id, query.household_id),
        (CaseRow.case_no, query.case_no),
    ):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if query.person_id is not None:
        statement = statement.where(CaseRow.person_ids.contains([query.person_id]))
    return statement


def _in_sight(uow: UnitOfWork, division: str) -> ColumnElement[bool]:
    """Within the actor's scopes and, when named, a division."""
    scopes = list(uow.actor.divisions)
    sight = or_(*(CaseRow.division.startswith(scope, autoescape=True) for scope in scopes))
    if not scopes:
        sight = literal(False)
    if division:
        sight = and_(sight, CaseRow.division.startswith(division, autoescape=True))
    return sight


def _as_cursor(day: date, last: UUID) -> str:
    return base64.urlsafe_b64encode(f"{day.isoformat()}/{last}".encode()).decode()


def _cursor(text: str) -> tuple[date, UUID]:
    try:
        day, last = base64.urlsafe_b64decode(text.encode()).decode().split("/")
        return date.fromisoformat(day), UUID(last)
    except (ValueError, binascii.Error) as error:
        raise Invalid("翻页标记无效", field="after", advice="请从第一页重新打开") from error


def read_case(uow: UnitOfWork, query: c.ReadCase) -> c.CaseView:
    """A case by id or number."""
    case_id = query.case_id
    if case_id is None:
        case_id = uow.session.scalar(select(CaseRow.id).where(CaseRow.case_no == query.case_no))
    if case_id is None:
        raise NotFound("没有这个案件", field="case_no", advice="请核对受理编号")
    return views.show(uow, casework.load(uow, case_id, to_change=False))


def trace_case(uow: UnitOfWork, query: c.TraceCase) -> c.CaseTraces:
    """The spans that wrote a case's facts."""
    try:
        named = CaseRow.id == UUID(query.case)
    except ValueError:
        named = CaseRow.case_no == query.case
    row = uow.session.scalars(select(CaseRow).where(named)).one_or_none()
    if row is None:
        raise NotFound("没有这个案件", field="case", advice="请核对受理编号")
    uow.require(row.division)
    facts = uow.session.execute(
        select(FactRow.kind, FactRow.at, FactRow.traceparent)
        .where(FactRow.case_id == row.id, FactRow.traceparent.is_not(None))
        .order_by(FactRow.number)
    )
    traced = []
    for kind, at, traceparent in facts:
        trace_id, span_id = tracing.parts(traceparent or "")
        traced.append(Traced(service="cases", what=kind, at=at, trace_id=trace_id, span_id=span_id))
    return c.CaseTraces(case_id=row.id, case_no=row.case_no, facts=tuple(traced))


# -- intake --------------------------------------------------------------------------------------


def read_intake(uow: UnitOfWork, query: c.ReadIntake) -> c.IntakeView:
    """Person, household, benefits in force, open cases and duplicates, in every town."""
    found = uow.session.get(Person, query.person_id)
    if found is None or found.removed:
        raise NotFound(
            "没有找到此人的档案",
            field="person_id",
            advice="请先在人员档案中登记；刚登记的请稍候几秒再试",
        )
    members = people_at_hand.living_members(uow, found.household_id)
    people = [found.person_id, *(each.person_id for each in members)]
    held = uow.session.scalars(
        select(HeldBenefitRow)
        .where(~HeldBenefitRow.ended, HeldBenefitRow.person_ids.overlap(people))
        .order_by(HeldBenefitRow.benefit, HeldBenefitRow.entitlement_id)
    ).all()
    hanging = uow.session.scalars(
        select(CaseRow)
        .where(CaseRow.state.in_(OPEN), CaseRow.person_ids.overlap(people))
        .order_by(CaseRow.id)
    ).all()
    divisions = [found.division, *(h.division for h in held), *(row.division for row in hanging)]
    places = people_at_hand.places(uow, divisions)
    names = people_at_hand.names(uow, {p for h in held for p in h.person_ids})
    uow.audit("intake.looked_up", "person", found.person_id)
    return c.IntakeView(
        person_id=found.person_id,
        name=found.name,
        household_id=found.household_id,
        division=found.division,
        division_name=people_at_hand.full_name(places, found.division),
        members=len(members),
        deceased=found.deceased_on is not None,
        benefits=tuple(
            c.HeldBenefit(
                benefit=h.benefit,
                benefit_name=catalogue.benefits()[h.benefit].name,
                division=h.division,
                place_name=people_at_hand.full_name(places, h.division),
                person_ids=tuple(h.person_ids),
                person_names=tuple(names.get(p, "") for p in h.person_ids),
                from_month=h.from_month,
                case_id=h.case_id,
            )
            for h in held
        ),
        open_cases=views.lines(uow, hanging, working_calendar.current(uow)),
        warnings=tuple(_warnings(found, held, hanging, places)),
    )


def _warnings(
    person: Person,
    held: Sequence[HeldBenefitRow],
    hanging: Sequence[CaseRow],
    places: dict[str, str],
) -> list[c.IntakeWarning]:
    warnings = []
    if person.deceased_on:
        warnings.append(
            c.IntakeWarning(
                item="", message=f"此人已于 {person.deceased_on} 死亡登记", blocking=True
            )
        )
    for row in hanging:
        where = people_at_hand.full_name(places, row.division)
        name = catalogue.item(row.item).name
        warnings.append(
            c.IntakeWarning(
                item=row.item,
                message=f"已在{where}申请“{name}”，正在办理",
                blocking=row.kind == "application",
                case_no=row.case_no,
            )
        )
    for row_held in held:
        where = people_at_hand.full_name(places, row_held.division)
        benefit = catalogue.benefits()[row_held.benefit].name
        for item in catalogue.items().values():
            if item.kind == "application" and row_held.benefit in item.benefits:
                same = item.unit is Unit.HOUSEHOLD or person.person_id in row_held.person_ids
                if same and item.code != "temporary_aid":
                    warnings.append(
                        c.IntakeWarning(
                            item=item.code,
                            message=f"已在{where}享受{benefit}",
                            blocking=len(item.benefits) == 1 or item.unit is Unit.HOUSEHOLD,
                        )
                    )
    return warnings


# -- the catalogue -------------------------------------------------------------------------------


def list_items(uow: UnitOfWork, query: c.ListItems) -> list[c.ItemView]:
    """The guide of every item, with who decides and the limit where the reader lives."""
    today = uow.today()
    return [
        item_view(item, query.division, today)
        for item in catalogue.items().values()
        if query.kind is None or item.kind.value == query.kind
    ]


def item_view(item: Item, division: str, today: date) -> c.ItemView:
    """An item as its guide shows it."""
    benefits = catalogue.benefits()
    return c.ItemView(
        code=item.code,
        name=item.name,
        kind=item.kind.value,
        unit=item.unit.value,
        applicants=item.applicants,
        guide=item.guide.strip(),
        law=tuple(f"《{law.name}》{law.articles}" for law in item.law),
        benefits=tuple(
            c.BenefitName(
                code=code,
                name=benefits[code].name,
                unit=benefits[code].unit.value,
                one_off=benefits[code].counts_from == "one_off",
            )
            for code in item.benefits
        ),
        materials=tuple(views.material_view(material, False) for material in item.materials),
        routes=tuple(_route_view(item, route, division, today) for route in item.routes),
        documents=item.documents,
        publicised=item.publicity is not None,
    )


def _route_view(item: Item, route: Route, division: str, today: date) -> c.RouteView:
    rule = catalogue.policies().rule(item.code, route.code, division, today)
    return c.RouteView(
        code=route.code,
        name=route.name,
        urgent=route.urgent,
        steps=tuple(
            c.StepRuleView(
                code=step.code.value,
                name=step.name,
                by=LEVEL_LABELS[rule.decides] if step.code is StepCode.DECISION else step.by,
                start_within=step.start_within,
                within=step.within,
                article=step.article,
            )
            for step in route.steps
        ),
        decided_by=LEVEL_LABELS[rule.decides],
        limit=rule.limit,
        extended=rule.extended,
        publicity_days=rule.publicity_days if route.has(StepCode.PUBLICITY) else None,
        small_sum_fen=rule.small_sum_fen,
    )


def open_by_state(uow: UnitOfWork) -> dict[str, int]:
    """For the metrics: open cases by state."""
    rows = uow.session.execute(
        select(CaseRow.state, func.count())
        .where(CaseRow.state.in_(_UNFINISHED))
        .group_by(CaseRow.state)
    )
    return dict.fromkeys(_UNFINISHED, 0) | dict(rows.all())


def open_by_limit(uow: UnitOfWork) -> dict[str, int]:
    """For the metrics: open cases whose limit runs, by how near it is."""
    today = uow.today()
    rows = uow.session.execute(
        select(
            case(
                (CaseRow.due_on < today, "passed"),
                (CaseRow.warn_on <= today, "near"),
                else_="far",
            ),
            func.count(),
        )
        .where(CaseRow.state.in_(_UNFINISHED), CaseRow.due_on.is_not(None))
        .group_by(text("1"))
    )
    return {"passed": 0, "near": 0, "far": 0} | dict(rows.all())
