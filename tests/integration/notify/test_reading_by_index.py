"""The desk's lists and the sender find their messages by index, however many were sent."""

from services.chassis.uow import Foundation
from services.contracts.commands.notify import (
    CountMessages,
    GetMessage,
    ListLetters,
    ListMessages,
    ListUndelivered,
)
from services.notify import delivery, letters, queries
from tests.builders.notify import smtp_server
from tests.fixtures.plans import ReadingWhole
from tests.integration.notify.test_desk import CLERK, SYSTEM, Town, town

__all__ = ["town"]  # the fixture

SMALL = {"staff", "division", "business_clock"}


def test_the_desk_and_the_sender(town: Town, reading_whole: ReadingWhole) -> None:
    """Messages of a place, a person, a status; letters to carry; failures; what is due."""
    foundation: Foundation = town.foundation
    with reading_whole() as whole:
        with foundation.begin(CLERK) as uow:
            queries.list_messages(uow, ListMessages())
            queries.list_messages(uow, ListMessages(person_id=town.refused_person))
            queries.list_messages(uow, ListMessages(status="technical-failure"))
            queries.list_undelivered(uow, ListUndelivered())
            queries.list_undelivered(uow, ListUndelivered(officer_id=town.officer))
            queries.get_message(uow, GetMessage(message_id=town.failed))
            queries.count_messages(uow, CountMessages())
            letters.list_letters(uow, ListLetters())
            letters.list_letters(uow, ListLetters(officer_id=town.officer))
        with smtp_server() as server:
            delivery.deliver_due(foundation, SYSTEM, server.gateway())
    large = {table: whole[table] for table in whole.keys() - SMALL}
    assert not large, "\n".join(f"{t}: {q}" for t, q in large.items())
