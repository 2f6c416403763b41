"""The right post of another town: no letter or message of here is shown, none is touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from services.chassis.uow import Foundation
from services.contracts.actors import system_actor
from services.contracts.commands import notify as c
from services.contracts.requests import Request
from services.notify import messages
from services.notify.models import Message
from tests.builders import notify as build
from tests.builders.strangers import doors, walk

OPEN_EVERYWHERE = {
    "list_templates": "what letters say is the same everywhere",
    "preview_template": "likewise, with values the asker gives",
}


def test_a_stranger_at_every_door_sees_and_changes_nothing(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """Asked about a letter and a message, by another town's staff."""
    foundation = foundation_for("notify")
    with foundation.begin(system_actor("notify")) as uow:
        officer = build.staff(uow)
        without = build.person(uow, phone=None, officer_id=officer, name="单桂兰")
        reached = build.person(uow, officer_id=officer, name="季荷花")
        messages.tell(uow, [build.settled(person) for person in (without, reached)])
    with foundation.begin(system_actor("notify")) as uow:
        by_person = dict(uow.session.execute(select(Message.person_id, Message.id)).all())
        case = uow.session.scalars(select(Message.case_id)).first()
    letter, message = by_person[without], by_person[reached]
    asked: dict[str, Request[Any]] = {
        "list_messages": c.ListMessages(person_id=reached),
        "get_message": c.GetMessage(message_id=message),
        "trace_messages": c.TraceMessages(case_id=case or reached),
        "count_messages": c.CountMessages(division=build.VILLAGE),
        "list_letters": c.ListLetters(officer_id=officer),
        "mark_letters_delivered": c.MarkLettersDelivered(message_ids=(letter,)),
        "return_letter": c.ReturnLetter(message_id=letter, why="x"),
        "list_undelivered": c.ListUndelivered(officer_id=officer),
        "retry_message": c.RetryMessage(message_id=message),
        "send_as_letter": c.SendAsLetter(message_id=message),
        "mark_told_in_person": c.MarkToldInPerson(message_id=message, note="x"),
    }
    assert set(asked) | set(OPEN_EVERYWHERE) == doors("notify")
    marks = (letter, message, without, reached, "单桂兰", "季荷花", build.PHONE, build.PHONE[-4:])
    assert walk("notify", foundation.begin, asked, place="421083109", marks=marks) == []
