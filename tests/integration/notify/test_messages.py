"""One message for each fact and reader, however often and in whatever company the fact comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, func, select, text

from services.chassis.uow import Foundation
from services.contracts.actors import system_actor
from services.contracts.events.registry import AccountChangeConfirmed, PersonDied
from services.notify import delivery, messages
from services.notify.models import Message
from tests.builders import notify as build
from tests.builders.notify import smtp_server

SYSTEM = system_actor("notify")


@pytest.fixture
def foundation(foundation_for: Callable[[str], Foundation]) -> Foundation:
    """Notify on a fresh database."""
    return foundation_for("notify")


def changed(person_id: UUID) -> AccountChangeConfirmed:
    """A change of account that two persons confirmed."""
    return AccountChangeConfirmed(
        change_id=uuid4(),
        person_id=person_id,
        household_id=uuid4(),
        division=build.VILLAGE,
        what="account",
        confirmed_on=date(2026, 11, 2),
    )


def count(foundation: Foundation) -> int:
    """How many messages stand."""
    with foundation.begin(SYSTEM) as uow:
        return uow.session.scalar(select(func.count()).select_from(Message)) or 0


def test_the_same_fact_again_makes_no_second_message(foundation: Foundation) -> None:
    """Repeated in the batch, in a later one, and after it was sent."""
    with foundation.begin(SYSTEM) as uow:
        person = build.person(uow)
        fact = build.settled(person)
        messages.tell(uow, [fact, fact])
    with foundation.begin(SYSTEM) as uow:
        messages.tell(uow, [fact])
    with smtp_server() as server:
        delivery.deliver_due(foundation, SYSTEM, server.gateway())
        with foundation.begin(SYSTEM) as uow:
            messages.tell(uow, [fact])
        delivery.deliver_due(foundation, SYSTEM, server.gateway())
    assert count(foundation) == 1
    assert len(server.arrived) == 1


def test_a_batch_costs_as_many_statements_as_one_message(foundation: Foundation) -> None:
    """A settled cycle is written set-based: statements do not grow with the payees."""
    statements: list[str] = []
    event.listen(
        foundation.engine,
        "before_cursor_execute",
        lambda _conn, _cursor, statement, *_: statements.append(statement),
    )

    def cost(facts: int) -> int:
        statements.clear()
        with foundation.begin(SYSTEM) as uow:
            messages.tell(uow, [build.settled(uuid4()) for _ in range(facts)])
        return len(statements)

    assert cost(1) == cost(500)
    assert count(foundation) == 501


def test_an_account_change_is_told_to_the_old_number_too(foundation: Foundation) -> None:
    """Who changes the phone first and the account then does not silence the owner."""
    with foundation.begin(SYSTEM) as uow:
        person = build.person(uow, phone="13800138001", version=1)
        build.contact(uow, person, "13800138002", version=2)
        messages.tell_account_changes(uow, [changed(person)])
    with smtp_server() as server:
        delivery.deliver_due(foundation, SYSTEM, server.gateway())
    assert sorted(mail.to for mail in server.arrived) == [
        "13800138001@sms.example",
        "13800138002@sms.example",
    ]
    assert all("领款账户已于11月2日变更" in mail.text for mail in server.arrived)


def test_a_number_replaced_long_ago_is_left_in_peace(foundation: Foundation) -> None:
    """After the days of data/delivery.toml the earlier number is a stranger's."""
    with foundation.begin(SYSTEM) as uow:
        person = build.person(uow, phone="13800138001", version=1)
        build.contact(uow, person, "13800138002", version=2)
        uow.session.execute(
            text("UPDATE contact SET received_at = received_at - :by"), {"by": timedelta(days=31)}
        )
        messages.tell_account_changes(uow, [changed(person)])
    with smtp_server() as server:
        delivery.deliver_due(foundation, SYSTEM, server.gateway())
    assert [mail.to for mail in server.arrived] == ["13800138002@sms.example"]


def test_a_death_is_told_to_the_officer_responsible_now(foundation: Foundation) -> None:
    """By name, to the officer's number; an officer who has left gets nothing and it is listed."""
    with foundation.begin(SYSTEM) as uow:
        officer = build.staff(uow, phone="13900139000")
        person = build.person(uow, officer_id=officer, name="陈桂兰")
        messages.tell(
            uow,
            [
                PersonDied(
                    person_id=person,
                    household_id=uuid4(),
                    division=build.VILLAGE,
                    died_on=date(2026, 12, 3),
                    source="public_security",
                    source_event_id="e1",
                )
            ],
        )
    with smtp_server() as server:
        delivery.deliver_due(foundation, SYSTEM, server.gateway())
    (mail,) = server.arrived
    assert mail.to == "13900139000@sms.example"
    assert "您负责的陈桂兰已登记死亡（12月3日）" in mail.text
