"""What registry shows to Prometheus beside the chassis's own."""

from __future__ import annotations

from prometheus_client import Gauge
from sqlalchemy import func, select

from services.chassis import bureaus
from services.chassis.uow import UnitOfWork
from services.registry import responsibility
from services.registry.models import AccountChange, BureauNotice, Person

PEOPLE = Gauge("zhida_registry_people", "People on record who live.")
BENEFICIARIES = Gauge("zhida_registry_beneficiaries", "People who hold a benefit.")
UNCOVERED = Gauge(
    "zhida_registry_uncovered_people", "People out of their responsible officer's reach; must be 0."
)
NOTICES_WAITING = Gauge(
    "zhida_registry_notices_waiting", "Bureaus' notices about people not on record."
)
BUREAU_QUEUES_MISSING = Gauge(
    "zhida_registry_bureau_queues_missing", "Queues of bureaus that are gone; must be 0."
)
ACCOUNT_CHANGES_WAITING = Gauge(
    "zhida_registry_account_changes_waiting", "Changes of account or payee to be confirmed."
)
BUREAU_QUEUE_LIMIT = Gauge(
    "zhida_bureau_queue_limit", "Messages that may lie in a bureau's queue.", ["queue"]
)


def measure(uow: UnitOfWork) -> None:
    """Bring the gauges up to date."""
    people, beneficiaries = uow.session.execute(
        select(func.count(Person.id), func.count(Person.id).filter(Person.beneficiary)).where(
            Person.officer_in_post.is_(True)
        )
    ).one()
    PEOPLE.set(people)
    BENEFICIARIES.set(beneficiaries)
    UNCOVERED.set(sum(responsibility.uncovered(uow).values()))
    waiting = select(func.count(BureauNotice.event_id)).where(BureauNotice.state == "waiting")
    NOTICES_WAITING.set(uow.session.scalar(waiting) or 0)
    asked = select(func.count(AccountChange.id)).where(AccountChange.state == "requested")
    ACCOUNT_CHANGES_WAITING.set(uow.session.scalar(asked) or 0)
    for bureau in bureaus.load(uow.settings.bureaus_file).values():
        BUREAU_QUEUE_LIMIT.labels(bureau.queue).set(bureau.queue_length)
