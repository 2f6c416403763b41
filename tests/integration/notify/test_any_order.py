"""A life told to notify in any order, any batches, any repeats: the same people are told the same.

The handlers of the real service class on the real inbox and database; Hypothesis plays the broker
at its worst.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from deploy.local import Servers
from services.chassis import inbox
from services.chassis.crypto import Seals
from services.chassis.inbox import Delivery
from services.chassis.uow import Foundation
from services.contracts.actors import system_actor
from services.contracts.events import Event, event_type
from services.contracts.events.cases import CaseAccepted, DeadlineNeared
from services.contracts.events.funding import PaymentFailed
from services.contracts.events.registry import (
    PersonContactChanged,
    PersonDied,
    PersonRecorded,
    StaffAppointed,
    StaffContactChanged,
)
from services.notify import delivery, messages, projections
from services.notify.domain.routing import MailForm
from services.notify.models import Message, Person, Staff
from services.notify.settings import GatewaySettings
from tests.builders import notify as build
from tests.fixtures.services import migrated_template, settings_for

SYSTEM = system_actor("notify")
OFFICER, SUCCESSOR, PERSON, NEIGHBOUR = (UUID(int=number) for number in range(1, 5))
PAYMENT, CASE = UUID(int=11), UUID(int=12)
GATEWAY = GatewaySettings(
    host="nowhere",
    port=25,
    scheme="smtp",
    user=None,
    password=None,
    sender="a@b.example",
    form=MailForm("{number}@sms.example"),
    quiet_hours=False,
)
COPIES = {
    PersonRecorded: projections.people,
    PersonContactChanged: projections.contacts,
    StaffAppointed: projections.staff,
    StaffContactChanged: projections.staff_contacts,
}


def recorded(person: UUID, version: int, **facts: Any) -> PersonRecorded:
    """A person's record."""
    return PersonRecorded(
        person_id=person,
        household_id=person,
        division=build.VILLAGE,
        name="陈桂兰",
        sex="2",
        birth_date=None,
        relation="户主",
        is_head=True,
        epoch=0,
        version=version,
        **facts,
    )


def appointed(staff: UUID, name: str, version: int = 1) -> StaffAppointed:
    """A post."""
    return StaffAppointed(
        staff_id=staff,
        staff_no=name,
        name=name,
        division=build.VILLAGE,
        roles=(),
        scopes=(build.VILLAGE,),
        active=True,
        epoch=0,
        version=version,
    )


def life(seals: Seals) -> list[Delivery]:
    """Two officers, a handover; one who is paid, then dies; a neighbour whose payment fails."""

    def phone(person: UUID, number: str | None, version: int) -> PersonContactChanged:
        sealed = seals.seal("notify", number) if number else None
        return PersonContactChanged(
            person_id=person, division=build.VILLAGE, phone=sealed, epoch=0, version=version
        )

    def office(staff: UUID, number: str, version: int) -> StaffContactChanged:
        return StaffContactChanged(
            staff_id=staff,
            division=build.VILLAGE,
            phone=seals.seal("notify", number),
            epoch=0,
            version=version,
        )

    events: list[Event] = [
        appointed(OFFICER, "刘志强"),
        appointed(SUCCESSOR, "王方"),
        appointed(SUCCESSOR, "王芳", 2),
        office(OFFICER, "13900139001", 1),
        office(SUCCESSOR, "13900139002", 1),
        office(SUCCESSOR, "13900139003", 2),
        recorded(PERSON, 1, officer_id=OFFICER),
        recorded(PERSON, 2, officer_id=SUCCESSOR),
        recorded(PERSON, 3, officer_id=SUCCESSOR, deceased_on=date(2026, 12, 3)),
        recorded(NEIGHBOUR, 1, officer_id=OFFICER),
        phone(PERSON, "13800138001", 1),
        phone(NEIGHBOUR, None, 1),
        phone(NEIGHBOUR, "13800138002", 2),
        CaseAccepted(
            case_id=CASE,
            case_no="421083-2026-000012",
            item="dibao",
            applicant_person_id=NEIGHBOUR,
            household_id=NEIGHBOUR,
            division=build.VILLAGE,
            accepted_on=date(2026, 9, 28),
            due_on=date(2026, 11, 3),
            first_officer_id=SUCCESSOR,
        ),
        DeadlineNeared(
            notice_id="n1",
            case_id=CASE,
            case_no="421083-2026-000012",
            division=build.VILLAGE,
            step="办结",
            stage="near",
            due_on=date(2026, 11, 3),
            officer_id=SUCCESSOR,
        ),
        build.settled(PERSON),
        PaymentFailed(
            payment_id=PAYMENT,
            payee_person_id=NEIGHBOUR,
            household_id=NEIGHBOUR,
            division=build.VILLAGE,
            month=date(2026, 11, 1),
            benefits=("elderly",),
            amount_fen=5000,
            reason_code="name",
            reason="户名不符",
        ),
        PersonDied(
            person_id=PERSON,
            household_id=PERSON,
            division=build.VILLAGE,
            died_on=date(2026, 12, 3),
            source="public_security",
            source_event_id="e1",
        ),
    ]
    return [
        Delivery(
            event_id=UUID(int=1000 + number),
            type=event_type(event).name,
            event=event,
            traceparent=None,
            origin_user=None,
        )
        for number, event in enumerate(events)
    ]


def apply(foundation: Foundation, batch: list[Delivery]) -> None:
    """As the chassis does: copies collapsed to the newest, reactions claimed once."""
    for subscription, facets in (("notify.copies", True), ("notify.tell", False)):
        mine = {d.event_id: d for d in batch if (type(d.event) in COPIES) is facets}
        if not mine:
            continue
        with foundation.begin(SYSTEM) as uow:
            fresh = inbox.claim(uow.session, subscription, mine)
            events = [mine[event_id].event for event_id in mine if event_id in fresh]
            if not facets:
                messages.tell(uow, events)
                continue
            for kind, keep in COPIES.items():
                kept = [event for event in events if type(event) is kind]
                if kept:
                    keep(uow, inbox.newest_by_subject(kept))  # type: ignore[operator]


def told(foundation: Foundation) -> tuple[object, ...]:
    """The copies, and what would go out now: to which address in which words, or as a letter."""
    with foundation.begin(SYSTEM) as uow:
        _, envelopes = delivery.claim(uow, GATEWAY)
        people = select(Person.person_id, Person.officer_id, Person.deceased_on)
        staff = select(Staff.staff_id, Staff.name, Staff.active)
        stands = select(Message.id, Message.template, Message.status, Message.text)
        rows = [
            tuple(map(tuple, uow.session.execute(each.order_by(key)).all()))
            for each, key in (
                (people, Person.person_id),
                (staff, Staff.staff_id),
                (stands, Message.id),
            )
        ]
    return (*rows, sorted((str(e.message_id), e.address, e.text) for e in envelopes))


@pytest.fixture(scope="module")
def foundation(servers: Servers) -> Iterator[Foundation]:
    """Notify on a database that the tests of this module empty before each telling."""
    template = migrated_template(servers, "notify")
    with servers.cluster.scratch_database("notify", template) as url:
        built = Foundation.build(settings_for("notify", url))
        yield built
        built.engine.dispose()


@pytest.fixture(scope="module")
def reference(foundation: Foundation) -> tuple[list[Delivery], tuple[object, ...]]:
    """The life, and what stands after it was told once and in order."""
    deliveries = life(Seals("registry", foundation.settings.transit_keys))
    clear(foundation)
    for each in deliveries:
        apply(foundation, [each])
    return deliveries, told(foundation)


def clear(foundation: Foundation) -> None:
    """An empty database."""
    with foundation.begin(SYSTEM) as uow:
        uow.session.execute(
            text("TRUNCATE person, contact, staff, attempt, message, inbox, outbox")
        )


def test_in_the_order_it_happened(
    reference: tuple[list[Delivery], tuple[object, ...]],
) -> None:
    """Six messages: the dead are written to by letter, the successor and the officer by phone."""
    *_, stands, envelopes = reference[1]
    assert isinstance(stands, tuple)
    assert len(stands) == 6
    assert [row[1] for row in stands if row[2] == "pending"] == ["payment_settled"]
    assert isinstance(envelopes, list)
    assert sorted(address.partition("@")[0] for _, address, _ in envelopes) == [
        "13800138002",
        "13800138002",
        "13900139001",
        "13900139003",
        "13900139003",
    ]
    assert any("首问责任人王芳" in words for _, _, words in envelopes)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_in_any_order_with_any_repeats(
    data: st.DataObject,
    foundation: Foundation,
    reference: tuple[list[Delivery], tuple[object, ...]],
) -> None:
    """Every event at least once, some again, cut into batches anywhere."""
    deliveries, expected = reference
    repeated = data.draw(st.lists(st.sampled_from(deliveries), max_size=10))
    order = data.draw(st.permutations([*deliveries, *repeated]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=5)))
    clear(foundation)
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        apply(foundation, list(order[start:end]))
    assert told(foundation) == expected
