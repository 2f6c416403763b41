"""What the other services are told of an import."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from uuid import UUID

from services.chassis.uow import UnitOfWork
from services.contracts.events import Event
from services.contracts.events.registry import (
    BenefitCarriedOver,
    Category,
    HouseholdRecorded,
    PersonAccountChanged,
    PersonContactChanged,
    PersonRecorded,
    PersonRegistered,
)
from services.registry.domain import roster
from services.registry.domain.benefits import HEAD, KINSHIPS, OF_CHILD, OF_HOUSEHOLD
from services.registry.roster_import.plan import Plan


def of_import(uow: UnitOfWork, plan: Plan) -> Iterator[Event]:
    """Every event of an import, households before their people, people before their benefits."""
    for household in plan.new_households:
        yield _household_recorded(uow, plan, household)
    for person in plan.new_people:
        yield from _person_events(uow, plan, person)
    for grant, grant_id in plan.grants():
        yield _carried_over(plan, grant, grant_id)


def _household_recorded(uow: UnitOfWork, plan: Plan, household: roster.Household) -> Event:
    assert household.head is not None
    head = plan.person_ids[household.head.identity]
    return HouseholdRecorded(
        household_id=plan.household_ids[household.number],
        household_no=household.number,
        division=household.division,
        head_person_id=head,
        payee_person_id=head,
        members=len(household.members),
        epoch=uow.epoch,
        version=1,
    )


def _person_events(uow: UnitOfWork, plan: Plan, person: roster.Person) -> Iterator[Event]:
    epoch, seal = uow.epoch, uow.seals.seal
    person_id = plan.person_ids[person.identity]
    household_id = plan.household_ids[person.household]
    yield PersonRecorded(
        person_id=person_id,
        household_id=household_id,
        division=person.division,
        name=person.name,
        sex="女" if person.female else "男",
        birth_date=person.birth,
        relation=KINSHIPS[person.kinship],
        is_head=person.kinship == HEAD,
        categories=tuple(Category(c, plan.today) for c in dict.fromkeys(person.categories)),
        disability=person.disability or None,
        officer_id=plan.officers[person.officer],
        epoch=epoch,
        version=1,
    )
    yield PersonRegistered(
        person_id=person_id,
        household_id=household_id,
        division=person.division,
        registered_on=plan.today,
    )
    if person.account:
        yield PersonAccountChanged(
            person_id=person_id,
            division=person.division,
            account_name=seal("funding", person.account_name or person.name),
            account_number=seal("funding", person.account),
            changed_at=plan.now,
            carried_over=True,
            epoch=epoch,
            version=1,
        )
    if person.phone:
        yield PersonContactChanged(
            person_id=person_id,
            division=person.division,
            phone=seal("notify", person.phone),
            epoch=epoch,
            version=1,
        )


def _carried_over(plan: Plan, grant: roster.Grant, grant_id: UUID) -> Event:
    household = grant.household
    assert household.head is not None
    child = grant.benefit in OF_CHILD
    payee = plan.person_ids[grant.payee.identity]
    head = plan.person_ids[household.head.identity]
    return BenefitCarriedOver(
        grant_id=grant_id,
        import_id=plan.import_id,
        household_id=plan.household_ids[household.number],
        division=household.division,
        benefit=grant.benefit,
        covered_person_ids=tuple(plan.person_ids[p.identity] for p in grant.covered),
        payee_person_id=payee,
        applicant_person_id=head if child else payee,
        approved_fen=grant.amount_fen,
        counted_income_fen=household.income_fen if grant.benefit in OF_HOUSEHOLD else None,
        decision_no=grant.document,
        started_month=date.fromisoformat(f"{grant.since}-01"),
        first_month=plan.first_month,
        child=child,
    )
