"""Counts for the desk."""

from __future__ import annotations

from sqlalchemy import func, select

from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import ReadRegistryFigures, RegistryFigures
from services.registry import responsibility
from services.registry.models import AccountChange, BureauNotice, Household, Person, Staff
from services.registry.queries.sight import scope, within


def figures(uow: UnitOfWork, query: ReadRegistryFigures) -> RegistryFigures:
    """Counts for the desk."""
    people = uow.session.execute(
        select(
            func.count(Person.id),
            func.count(Person.id).filter(Person.beneficiary),
        ).where(*within(uow, query.division), Person.deceased_on.is_(None))
    ).one()
    households = select(func.count(Household.id)).where(
        ~Household.removed, *scope(uow, Household.division, query.division)
    )
    changes = select(func.count(AccountChange.id)).where(
        AccountChange.state == "requested", *scope(uow, AccountChange.division, query.division)
    )
    notices = select(func.count(BureauNotice.event_id)).where(BureauNotice.state == "waiting")
    return RegistryFigures(
        households=uow.session.scalar(households) or 0,
        people=people[0],
        beneficiaries=people[1],
        uncovered=sum(
            count
            for village, count in responsibility.uncovered(uow, query.division).items()
            if uow.actor.covers(village)
        ),
        account_changes_waiting=uow.session.scalar(changes) or 0,
        notices_waiting=uow.session.scalar(notices) or 0,
        staff=uow.session.scalar(select(func.count(Staff.id)).where(Staff.active)) or 0,
    )
