"""Households read and listed."""

from __future__ import annotations

from sqlalchemy import func, select

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    HouseholdLine,
    HouseholdPage,
    HouseholdView,
    ListHouseholds,
    ReadHousehold,
)
from services.contracts.errors import Invalid, NotFound
from services.registry import divisions
from services.registry.models import Household, Person, Staff
from services.registry.queries.sight import scope
from services.registry.queries.views import household_view


def read_household(uow: UnitOfWork, query: ReadHousehold) -> HouseholdView:
    """One household by id or number."""
    if query.household_id is not None:
        household = uow.session.get(Household, query.household_id)
    elif query.household_no:
        household = uow.session.scalar(
            select(Household).where(Household.number == query.household_no, ~Household.removed)
        )
    else:
        raise Invalid("请给出户编号", field="household_no")
    if household is None or household.removed:
        raise NotFound("没有这一户", field="household_id")
    uow.require(household.division)
    return household_view(uow, household)


def list_households(uow: UnitOfWork, query: ListHouseholds) -> HouseholdPage:
    """Households by number."""
    limit = max(1, min(query.limit, 500))
    members = (
        select(func.count(Person.id))
        .where(Person.household_id == Household.id, ~Person.removed)
        .correlate(Household)
        .scalar_subquery()
    )
    statement = (
        select(Household, Person.name, Staff.name, members)
        .outerjoin(Person, Person.id == Household.head_person_id)
        .outerjoin(Staff, Staff.id == Person.officer_id)
        .where(~Household.removed, *scope(uow, Household.division, query.division))
        .order_by(Household.number)
        .limit(limit + 1)
    )
    if query.after:
        statement = statement.where(Household.number > query.after)
    found = uow.session.execute(statement).all()
    names = divisions.named(uow, (row[0].division for row in found))
    lines = tuple(
        HouseholdLine(
            household_id=household.id,
            household_no=household.number,
            division=household.division,
            division_name=names.get(household.division, household.division),
            head_name=head,
            members=count,
            officer_name=officer,
        )
        for household, head, officer, count in found[:limit]
    )
    return HouseholdPage(
        households=lines, next=lines[-1].household_no if len(found) > limit else None
    )
