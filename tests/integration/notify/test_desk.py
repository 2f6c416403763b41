"""What officers do with letters and with messages that did not arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from services.chassis.models import AuditRow
from services.chassis.uow import Foundation
from services.contracts.actors import Role, system_actor
from services.contracts.commands.notify import (
    CountMessages,
    GetMessage,
    ListLetters,
    ListMessages,
    ListUndelivered,
    MarkLettersDelivered,
    MarkToldInPerson,
    PreviewTemplate,
    RetryMessage,
    ReturnLetter,
    SendAsLetter,
)
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.events.registry import PersonRecorded
from services.notify import (
    delivery,
    letters,
    messages,
    metrics,
    projections,
    queries,
    undelivered,
)
from services.notify.domain.message import Reason, Status
from services.notify.models import Message
from tests.builders import notify as build
from tests.builders.notify import smtp_server
from tests.fixtures.services import actor

SYSTEM = system_actor("notify")
CLERK = actor(Role.TOWN_CLERK, divisions=("421083108",))
ELSEWHERE = actor(Role.TOWN_CLERK, divisions=("421083109",))


@dataclass(frozen=True)
class Town:
    """A town with one officer, letters to carry and messages that failed."""

    foundation: Foundation
    officer: UUID
    letters: list[UUID]
    failed: UUID
    refused_person: UUID


@pytest.fixture
def town(foundation_for: Callable[[str], Foundation]) -> Town:
    """Two people without a phone, one whose number is refused, one who was reached."""
    foundation = foundation_for("notify")
    with foundation.begin(SYSTEM) as uow:
        officer = build.staff(uow)
        without = [build.person(uow, phone=None, officer_id=officer, name=n) for n in ("甲", "乙")]
        refused = build.person(uow, phone="13800138001", officer_id=officer, name="丙")
        reached = build.person(uow, officer_id=officer, name="丁")
        people = [*without, refused, reached]
        messages.tell(uow, [build.settled(person) for person in people])
    rule = "550 unknown"
    with smtp_server(
        at_rcpt=lambda _, to: rule if to.startswith("13800138001") else "250 OK"
    ) as server:
        delivery.deliver_due(foundation, SYSTEM, server.gateway())
    with foundation.begin(SYSTEM) as uow:
        by_person = dict(uow.session.execute(select(Message.person_id, Message.id)).all())
    return Town(foundation, officer, [by_person[p] for p in without], by_person[refused], refused)


def test_counts_equal_the_lists(town: Town) -> None:
    """What the desk counts is what its lists hold."""
    with town.foundation.begin(CLERK) as uow:
        counts = queries.count_messages(uow, CountMessages())
        assert counts.letters == len(letters.list_letters(uow, ListLetters()).letters) == 2
        failed = queries.list_undelivered(uow, ListUndelivered()).messages
        assert counts.undelivered == len(failed) == 1
        sent = queries.list_messages(uow, ListMessages(status="sent")).messages
        assert counts.sent == len(sent) == 1
        assert sum(count.messages for count in counts.by_status) == 4


def test_nobody_sees_another_towns_messages(town: Town) -> None:
    """Lists are empty, counts are zero, and a single message is not found."""
    with town.foundation.begin(ELSEWHERE) as uow:
        assert queries.list_messages(uow, ListMessages()).messages == ()
        assert letters.list_letters(uow, ListLetters()).letters == ()
        assert queries.count_messages(uow, CountMessages()).by_status == ()
        with pytest.raises(NotFound):
            queries.get_message(uow, GetMessage(message_id=town.failed))
        with pytest.raises(NotFound):
            letters.mark_delivered(uow, MarkLettersDelivered(message_ids=tuple(town.letters)))
        with pytest.raises(NotFound):
            undelivered.retry(uow, RetryMessage(message_id=town.failed))


def test_who_was_moved_sees_nothing_until_his_new_place(town: Town) -> None:
    """His session began elsewhere and holds no place of his post any more: no list, no count."""
    moved = actor(Role.TOWN_CLERK, divisions=())
    with town.foundation.begin(moved) as uow:
        assert queries.list_messages(uow, ListMessages()).messages == ()
        assert queries.list_undelivered(uow, ListUndelivered()).messages == ()
        assert letters.list_letters(uow, ListLetters()).letters == ()
        assert queries.count_messages(uow, CountMessages()).by_status == ()
        with pytest.raises(NotFound):
            queries.get_message(uow, GetMessage(message_id=town.failed))
        with pytest.raises(NotFound):
            letters.mark_delivered(uow, MarkLettersDelivered(message_ids=tuple(town.letters)))


def test_a_message_whose_words_are_forgotten_is_not_sent_again(town: Town) -> None:
    """It is refused to who asks; one that got through all the same holds up no other."""
    with town.foundation.begin(SYSTEM) as uow:
        uow.session.execute(text("UPDATE message SET finished_at = now() - interval '1 year'"))
        assert delivery.forget_old_texts(uow) > 0
    with (
        town.foundation.begin(CLERK) as uow,
        pytest.raises(Conflict, match="已按保存期限清除"),
    ):
        undelivered.retry(uow, RetryMessage(message_id=town.failed))
    with town.foundation.begin(SYSTEM) as uow:
        uow.session.execute(
            text("UPDATE message SET status = 'created', retry_at = now() WHERE id = :id"),
            {"id": town.failed},
        )
        other = build.person(uow, phone="13800138002")
        messages.tell(uow, [build.settled(other)])
    with smtp_server() as server:
        delivery.deliver_due(town.foundation, SYSTEM, server.gateway())
    assert [m.to for m in server.arrived] == ["13800138002@sms.example"]
    with town.foundation.begin(CLERK) as uow:
        detail = queries.get_message(uow, GetMessage(message_id=town.failed)).message
    assert (detail.status, detail.reason) == ("technical-failure", Reason.TEXT_GONE)


def test_pages_hold_every_letter_once(town: Town) -> None:
    """Walking the pages one by one gives what one page gives."""
    with town.foundation.begin(CLERK) as uow:
        whole = letters.list_letters(uow, ListLetters(officer_id=town.officer))
        first = letters.list_letters(uow, ListLetters(officer_id=town.officer, limit=1))
        second = letters.list_letters(
            uow, ListLetters(officer_id=town.officer, limit=1, after=first.next_after)
        )
        assert first.letters + second.letters == whole.letters
        assert second.next_after is None
        walked = []
        after: str | None = None
        while True:
            page = queries.list_messages(uow, ListMessages(limit=1, after=after))
            walked += page.messages
            if (after := page.next_after) is None:
                break
        assert tuple(walked) == queries.list_messages(uow, ListMessages()).messages
        with pytest.raises(Invalid, match="翻页位置"):
            queries.list_messages(uow, ListMessages(after="nonsense"))
        with pytest.raises(Invalid, match="每页条数"):
            queries.list_messages(uow, ListMessages(limit=0))


def test_a_handover_moves_the_letters(town: Town) -> None:
    """Letters belong to whoever is responsible today."""
    with town.foundation.begin(SYSTEM) as uow:
        successor = build.staff(uow, name="王芳")
        letter = letters.list_letters(uow, ListLetters(officer_id=town.officer)).letters[0]
        build.person(
            uow,
            person_id=letter.person_id,
            name=letter.person_name,
            phone=None,
            officer_id=successor,
            version=2,
        )
    with town.foundation.begin(CLERK) as uow:
        moved = letters.list_letters(uow, ListLetters(officer_id=successor)).letters
        assert [entry.message_id for entry in moved] == [letter.message_id]
        assert moved[0].officer_name == "王芳"


def test_who_moves_takes_the_letters_along(town: Town) -> None:
    """The officer of the new town finds the letter on the list and can report it delivered."""
    with town.foundation.begin(CLERK) as uow:
        letter = letters.list_letters(uow, ListLetters()).letters[0]
    with town.foundation.begin(SYSTEM) as uow:
        build.person(
            uow,
            person_id=letter.person_id,
            phone=None,
            officer_id=build.staff(uow),
            division="421083109001",
            version=2,
        )
    with town.foundation.begin(ELSEWHERE) as uow:
        (moved,) = letters.list_letters(uow, ListLetters()).letters
        assert moved.message_id == letter.message_id
        done = MarkLettersDelivered(message_ids=(moved.message_id,))
        assert letters.mark_delivered(uow, done) == 1


def test_handed_over_letters_leave_the_list_and_are_audited(town: Town) -> None:
    """All or none: one that is no letter keeps the others on the list."""
    with town.foundation.begin(CLERK) as uow:
        mixed = MarkLettersDelivered(message_ids=(*town.letters, town.failed))
        with pytest.raises(Conflict, match="纸质通知"):
            letters.mark_delivered(uow, mixed)
        assert len(letters.list_letters(uow, ListLetters()).letters) == 2
        done = MarkLettersDelivered(message_ids=tuple(town.letters), note="当面交付")
        assert letters.mark_delivered(uow, done) == 2
        assert letters.list_letters(uow, ListLetters()).letters == ()
    with town.foundation.begin(CLERK) as uow:
        with pytest.raises(Conflict, match="已送达"):
            letters.mark_delivered(uow, done)
        shown = queries.get_message(uow, GetMessage(message_id=town.letters[0])).message
        assert (shown.status, shown.handled_by, shown.note) == ("delivered", "测试员", "当面交付")
        assert uow.session.scalars(select(AuditRow.action)).all() == ["letters_delivered"]


def test_a_letter_that_comes_back_is_a_task(town: Town) -> None:
    """Moved away, nobody at home: it joins the undelivered with its reason."""
    with town.foundation.begin(CLERK) as uow:
        with pytest.raises(Invalid, match="原因"):
            letters.give_back(uow, ReturnLetter(message_id=town.letters[0], why=" "))
        returned = letters.give_back(uow, ReturnLetter(message_id=town.letters[0], why="外出务工"))
        assert (returned.status, returned.note) == ("permanent-failure", "外出务工")
        listed = queries.list_undelivered(uow, ListUndelivered(officer_id=town.officer)).messages
        assert town.letters[0] in {message.message_id for message in listed}


def test_an_undelivered_message_goes_to_the_number_put_right(town: Town) -> None:
    """After the number was corrected the same message is sent to the new one."""
    with town.foundation.begin(SYSTEM) as uow:
        build.contact(uow, town.refused_person, "13800138009", version=2)
    with town.foundation.begin(CLERK) as uow:
        assert undelivered.retry(uow, RetryMessage(message_id=town.failed)).status == "created"
        with pytest.raises(Conflict, match="未送达清单"):
            undelivered.retry(uow, RetryMessage(message_id=town.failed))
    with smtp_server() as server:
        delivery.deliver_due(town.foundation, SYSTEM, server.gateway())
    assert [(m.to, m.attempt) for m in server.arrived] == [("13800138009@sms.example", 2)]
    with town.foundation.begin(CLERK) as uow:
        detail = queries.get_message(uow, GetMessage(message_id=town.failed))
    assert [attempt.outcome for attempt in detail.attempts] == ["refused", "accepted"]
    assert detail.message.status == "sent"


def test_an_undelivered_message_becomes_a_letter(town: Town) -> None:
    """The officer carries it instead."""
    with town.foundation.begin(CLERK) as uow:
        made = undelivered.send_as_letter(uow, SendAsLetter(message_id=town.failed))
        assert (made.status, made.channel) == ("pending", "letter")
        assert len(letters.list_letters(uow, ListLetters()).letters) == 3


def test_an_undelivered_message_is_told_in_person(town: Town) -> None:
    """Only with a word on how, and it leaves the list."""
    with town.foundation.begin(CLERK) as uow:
        with pytest.raises(Invalid, match="方式"):
            undelivered.mark_told_in_person(uow, MarkToldInPerson(message_id=town.failed, note=""))
        told = undelivered.mark_told_in_person(
            uow, MarkToldInPerson(message_id=town.failed, note="11月16日入户告知")
        )
        assert told.status == Status.DELIVERED
        assert queries.list_undelivered(uow, ListUndelivered()).messages == ()


def test_what_concerns_a_dead_person_is_carried_to_the_family(town: Town) -> None:
    """The number of a dead person is not written to; the letter says that he has died."""
    with town.foundation.begin(SYSTEM) as uow:
        dead = build.person(uow, officer_id=town.officer, deceased_on=date(2026, 12, 3), name="戊")
        messages.tell(uow, [build.settled(dead)])
    with smtp_server() as server:
        delivery.deliver_due(town.foundation, SYSTEM, server.gateway())
    assert server.arrived == []
    with town.foundation.begin(CLERK) as uow:
        listed = letters.list_letters(uow, ListLetters()).letters
    assert [letter.person_name for letter in listed if letter.deceased] == ["戊"]


def test_numbers_are_stored_encrypted_and_shown_masked(town: Town) -> None:
    """No table of notify holds a number in clear, and no view shows more than four digits."""
    with town.foundation.begin(CLERK) as uow:
        for table in ("message", "attempt", "person", "contact", "staff", "outbox", "audit"):
            rows = uow.session.scalars(text(f"SELECT t::text FROM {table} t")).all()
            assert not any("1380013800" in row or "13900139000" in row for row in rows), table
            for row in rows:
                assert b"1380013800".hex() not in row
        shown = [m.shown_to for m in queries.list_messages(uow, ListMessages()).messages]
    assert sorted(filter(None, shown)) == ["****8000", "****8001"]


def test_preview_uses_the_divisions_signature_and_refuses_unknown_fields(town: Town) -> None:
    """The editor sees the real text; an unknown field is named."""
    with town.foundation.begin(CLERK) as uow:
        shown = queries.preview_template(
            uow, PreviewTemplate(template="payment_settled", values={"name": "王五"})
        )
        assert shown.text.startswith("【洪湖民政】王五：")
        with pytest.raises(Invalid, match="identity_number"):
            queries.preview_template(
                uow, PreviewTemplate(template="payment_settled", values={"identity_number": "4"})
            )
        with pytest.raises(NotFound, match="没有名为"):
            queries.preview_template(uow, PreviewTemplate(template="nothing"))


def test_an_older_record_does_not_replace_a_newer_one(town: Town) -> None:
    """People, staff and numbers end the same in whatever order their records come."""
    with town.foundation.begin(SYSTEM) as uow:
        person = uuid4()
        build.person(uow, person_id=person, name="新名", phone="13800138002", version=2)
        build.person(uow, person_id=person, name="旧名", phone="13800138001", version=1)
        messages.tell(uow, [build.settled(person)])
    with smtp_server() as server:
        delivery.deliver_due(town.foundation, SYSTEM, server.gateway())
    assert [mail.to for mail in server.arrived] == ["13800138002@sms.example"]
    assert "新名" in server.arrived[0].text


def test_a_removed_person_is_not_written_to(town: Town) -> None:
    """Who came by an import that was undone gets nothing."""
    with town.foundation.begin(SYSTEM) as uow:
        person = build.person(uow)
        projections.people(
            uow,
            [
                PersonRecorded(
                    person_id=person,
                    household_id=uuid4(),
                    division=build.VILLAGE,
                    name="己",
                    sex="1",
                    birth_date=None,
                    relation="户主",
                    is_head=True,
                    removed=True,
                    epoch=0,
                    version=2,
                )
            ],
        )
        messages.tell(uow, [build.settled(person)])
    with smtp_server() as server:
        delivery.deliver_due(town.foundation, SYSTEM, server.gateway())
    assert server.arrived == []


def test_the_gauges_show_what_waits_for_somebody(town: Town) -> None:
    """Letters and failures are seen from outside, and how long the oldest message waits."""
    with town.foundation.begin(SYSTEM) as uow:
        messages.tell(uow, [build.settled(build.person(uow))])
        uow.session.execute(text("UPDATE message SET retry_at = retry_at - interval '1 minute'"))
        metrics.measure(uow)
    shown = {
        sample.labels["status"]: sample.value
        for family in metrics.MESSAGES.collect()
        for sample in family.samples
    }
    assert shown["pending"] == 2
    assert shown["permanent-failure"] == 1
    assert shown["created"] == 1
    (oldest,) = (
        s.value for family in metrics.OLDEST_WAITING_SECONDS.collect() for s in family.samples
    )
    assert 60 <= oldest < 120
