"""Messages reach a real mail server once, whatever it does, or end as somebody's task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from threading import Timer
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text

from deploy.local import Servers
from services.chassis.models import OutboxRow
from services.chassis.uow import Foundation
from services.contracts.actors import system_actor
from services.notify import delivery, messages
from services.notify.domain.message import Reason, Status
from services.notify.mail import Line
from services.notify.models import Attempt, Message
from tests.builders import notify as build
from tests.builders.notify import Server, smtp_server

SYSTEM = system_actor("notify")


@pytest.fixture
def foundation(foundation_for: Callable[[str], Foundation]) -> Foundation:
    """Notify on a fresh database."""
    return foundation_for("notify")


def tell(foundation: Foundation, *phones: str | None) -> list[UUID]:
    """A settled payment told to one new person for each phone; the messages' ids."""
    with foundation.begin(SYSTEM) as uow:
        officer = build.staff(uow)
        people = [
            build.person(uow, phone=phone, officer_id=officer, name=f"居民{number}")
            for number, phone in enumerate(phones)
        ]
        messages.tell(uow, [build.settled(person) for person in people])
        ids = dict(uow.session.execute(select(Message.person_id, Message.id)).all())
    return [ids[person] for person in people]


def deliver(foundation: Foundation, server: Server) -> int:
    """One round over the given server."""
    return delivery.deliver_due(foundation, SYSTEM, server.gateway())


def standing(foundation: Foundation, message_id: UUID) -> Message:
    """The message as it stands."""
    with foundation.begin(SYSTEM) as uow:
        return uow.session.get_one(Message, message_id)


def outcomes(foundation: Foundation, message_id: UUID) -> list[str | None]:
    """What each attempt came to, in order."""
    with foundation.begin(SYSTEM) as uow:
        return list(
            uow.session.scalars(
                select(Attempt.outcome)
                .where(Attempt.message_id == message_id)
                .order_by(Attempt.number)
            )
        )


def time_passes(foundation: Foundation, by: timedelta) -> None:
    """Move every message's times back: the same as waiting."""
    with foundation.begin(SYSTEM) as uow:
        uow.session.execute(
            text(
                "UPDATE message SET retry_at = retry_at - :by, begun_at = begun_at - :by, "
                "created_at = created_at - :by, claimed_at = claimed_at - :by, "
                "finished_at = finished_at - :by"
            ),
            {"by": by},
        )


def test_a_message_goes_through_the_gateways_mail_form(foundation: Foundation) -> None:
    """The phone is addressed as the gateway wants it, the text is whole, the id is our own."""
    (told,) = tell(foundation, "138 0013 8000")
    with smtp_server() as server:
        assert deliver(foundation, server) == 1
    (arrived,) = server.arrived
    assert arrived.to == "13800138000@sms.example"
    assert arrived.message_id == str(told)
    assert arrived.text == (
        "【洪湖民政】居民0：2026年11月农村低保共660.50元已于11月15日发到您的账户，请查收。"
    )
    message = standing(foundation, told)
    assert (message.status, message.channel, message.attempts) == ("sent", "sms", 1)
    assert (message.shown_to, message.parts) == ("****8000", 1)


def test_many_messages_go_over_few_connections_and_each_once(foundation: Foundation) -> None:
    """Several lines share the work; no message goes out twice or not at all."""
    told = tell(foundation, *(f"138{number:08d}" for number in range(450)))
    with smtp_server() as server:
        while deliver(foundation, server):
            pass
    assert sorted(UUID(mail.message_id) for mail in server.arrived) == sorted(told)
    assert 1 <= server.connections <= 3 * delivery.CONNECTIONS


def test_two_replicas_at_once_send_nothing_twice(foundation: Foundation) -> None:
    """Claims of two workers that overlap are disjoint."""
    tell(foundation, *(f"138{number:08d}" for number in range(30)))
    with smtp_server() as server:
        gateway = server.gateway()
        with foundation.begin(SYSTEM) as one, foundation.begin(SYSTEM) as other:
            first, sent_by_one = delivery.claim(one, gateway, limit=20)
            second, sent_by_other = delivery.claim(other, gateway, limit=20)
    assert (first, second) == (20, 10)
    ids = [envelope.message_id for envelope in sent_by_one + sent_by_other]
    assert len(set(ids)) == 30


def test_who_has_no_mobile_gets_a_letter_by_the_officer(foundation: Foundation) -> None:
    """No phone, a landline: a letter with its text, and nothing goes to the mail server."""
    told = tell(foundation, None, "0716-2422345", "13800138000")
    with smtp_server() as server:
        deliver(foundation, server)
    states = [standing(foundation, message_id) for message_id in told]
    assert [state.status for state in states] == ["pending", "pending", "sent"]
    assert states[0].channel == "letter"
    assert states[0].text is not None
    assert len(server.arrived) == 1


def test_a_number_refused_for_good_becomes_a_task(foundation: Foundation) -> None:
    """550 for one reader fails his message at once and touches no other; the officer is told."""
    told = tell(foundation, "13800138000", "13800138001", "13800138002")
    refuse = "550 no such number 13800138001"
    with smtp_server(
        at_rcpt=lambda _, to: refuse if to.startswith("13800138001") else "250 OK"
    ) as server:
        deliver(foundation, server)
    states = [standing(foundation, message_id) for message_id in told]
    assert [state.status for state in states] == ["sent", "permanent-failure", "sent"]
    assert states[1].reason == Reason.REFUSED
    with foundation.begin(SYSTEM) as uow:
        assert uow.session.scalars(select(OutboxRow.type)).all() == ["message.undelivered.v1"]
        (answer,) = uow.session.scalars(select(Attempt.answer).where(Attempt.message_id == told[1]))
    assert answer == "550 no such number [address]"


def test_a_deferred_message_is_tried_again_on_schedule(foundation: Foundation) -> None:
    """4xx waits, is not sent before its time, and goes out when the server is ready."""
    (told,) = tell(foundation, "13800138000")
    answers = iter(["451 later", "250 OK"])
    with smtp_server(at_data=lambda *_: next(answers)) as server:
        deliver(foundation, server)
        assert standing(foundation, told).status == Status.CREATED
        assert deliver(foundation, server) == 0
        time_passes(foundation, timedelta(seconds=31))
        deliver(foundation, server)
    assert outcomes(foundation, told) == ["deferred", "accepted"]
    assert standing(foundation, told).status == Status.SENT
    assert [mail.attempt for mail in server.arrived] == [2]


def test_a_message_that_stays_deferred_ends_on_the_work_list(foundation: Foundation) -> None:
    """After the last planned attempt it is a task, not a loop."""
    (told,) = tell(foundation, "13800138000")
    with smtp_server(at_rcpt=lambda *_: "450 busy") as server:
        for _ in range(20):
            deliver(foundation, server)
            time_passes(foundation, timedelta(hours=4))
    message = standing(foundation, told)
    assert (message.status, message.reason) == ("temporary-failure", Reason.DEFERRED)
    assert message.attempts == 8


def test_a_server_that_is_away_costs_no_attempt(foundation: Foundation) -> None:
    """Nothing is claimed while there is no connection; all goes out once it stands."""
    told = tell(foundation, *(f"138{number:08d}" for number in range(5)))
    with smtp_server() as server:
        pass
    assert delivery.deliver_due(foundation, SYSTEM, server.gateway()) == 0
    assert all(standing(foundation, message_id).attempts == 0 for message_id in told)
    with smtp_server() as server:
        assert deliver(foundation, server) == 5


def test_a_server_that_hangs_up_in_a_batch_delays_the_rest_uncounted(
    foundation: Foundation,
) -> None:
    """The message in hand is counted, those behind it are not; each arrives once in the end."""
    told = tell(foundation, *(f"138{number:08d}" for number in range(40)))
    dropped: set[str] = set()

    def hang_up_once(_server: Server, address: str) -> str | None:
        if address.startswith("13800000007") and address not in dropped:
            dropped.add(address)
            return None
        return "250 OK"

    with smtp_server(at_rcpt=hang_up_once) as server:
        deliver(foundation, server)
        time_passes(foundation, timedelta(minutes=1))
        while deliver(foundation, server):
            pass
    assert sorted(mail.message_id for mail in server.arrived) == sorted(map(str, told))
    counted = [standing(foundation, message_id).tries for message_id in told]
    assert sorted(counted) == [1] * 39 + [2]


def test_a_line_that_breaks_after_the_text_leaves_a_visible_doubt(foundation: Foundation) -> None:
    """The text may have arrived: it goes out again under the same id and says it is the second."""
    (told,) = tell(foundation, "13800138000")
    answers = iter([None, "250 OK"])
    with smtp_server(at_data=lambda *_: next(answers)) as server:
        deliver(foundation, server)
        time_passes(foundation, timedelta(seconds=31))
        deliver(foundation, server)
    assert outcomes(foundation, told) == ["unknown", "accepted"]
    assert [(mail.message_id, mail.attempt) for mail in server.arrived] == [
        (str(told), 1),
        (str(told), 2),
    ]


def test_a_silent_server_holds_no_database_connection(foundation: Foundation) -> None:
    """While the server says nothing, no transaction is open; the wait ends and is an unknown."""
    (told,) = tell(foundation, "13800138000")
    open_transactions: list[int] = []

    def look(_server: Server, _address: str) -> str:
        with foundation.engine.connect() as connection:
            open_transactions.append(
                connection.scalar(
                    text(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                        "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
                    )
                )
                or 0
            )
        return "silence"

    with smtp_server(at_data=look) as server:
        gateway = server.gateway()
        with foundation.begin(SYSTEM) as uow:
            _, envelopes = delivery.claim(uow, gateway)
        with Line(gateway, timeout_s=0.3) as line:
            answers = delivery.send(line, envelopes)
        with foundation.begin(SYSTEM) as uow:
            delivery.mark(uow, envelopes, answers)
    assert open_transactions == [0]
    assert outcomes(foundation, told) == ["unknown"]


def test_what_was_sent_is_written_down_when_the_database_is_back(
    foundation: Foundation, servers: Servers
) -> None:
    """It goes away between the text and the mark: the answer is kept, nobody is told twice."""
    (told,) = tell(foundation, "13800138000")
    database = foundation.engine.url.database

    def forbid(connections: bool) -> None:
        with closing(servers.cluster.connect()) as admin, admin.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS {not connections}')
            if connections:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [database],
                )

    def lose_the_database(_server: Server, _address: str) -> str:
        forbid(connections=True)
        Timer(1.0, forbid, kwargs={"connections": False}).start()
        return "250 OK"

    with smtp_server(at_data=lose_the_database) as server:
        assert deliver(foundation, server) == 1
    assert standing(foundation, told).status == Status.SENT
    assert outcomes(foundation, told) == ["accepted"]
    assert len(server.arrived) == 1


KILLED = """
import sys
from services.chassis.settings import Settings
from services.chassis.uow import Foundation
from services.contracts.actors import system_actor
from services.notify import delivery
from services.notify.domain.routing import MailForm
from services.notify.settings import GatewaySettings

delivery.deliver_due(
    Foundation.build(Settings.from_env("notify")),
    system_actor("notify"),
    GatewaySettings(
        host="127.0.0.1", port=int(sys.argv[1]), scheme="smtp", user=None, password=None,
        sender="zhida@civil.example", form=MailForm("{number}@sms.example"), quiet_hours=False,
    ),
)
"""


def test_a_process_killed_between_sending_and_marking_is_no_secret(foundation: Foundation) -> None:
    """kill -9 after the server took the text: the attempt stands as unknown, the repeat says so."""
    from tests.fixtures.services import KEYS

    (told,) = tell(foundation, "13800138000")
    running: list[subprocess.Popen[bytes]] = []

    def kill(_server: Server, _address: str) -> str:
        if running:
            running.pop().kill()
        return "250 OK"

    with smtp_server(at_data=kill) as server:
        environment = {
            **os.environ,
            **KEYS,
            "AMQP_URI": "amqp://nowhere",
            "NOTIFY_DATABASE_URL": foundation.settings.database_url,
            "ZHIDA_MODE": "test",
        }
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", KILLED, str(server.port)], env=environment
        )
        running.append(process)
        assert process.wait(timeout=60) == -signal.SIGKILL
        assert standing(foundation, told).status == Status.SENDING
        assert outcomes(foundation, told) == [None]

        deliver(foundation, server)
        assert len(server.arrived) == 1, "a fresh claim is left to its process"
        time_passes(foundation, delivery.LEASE + timedelta(seconds=1))
        deliver(foundation, server)
        time_passes(foundation, timedelta(seconds=31))
        deliver(foundation, server)
    assert outcomes(foundation, told) == ["unknown", "accepted"]
    assert [(mail.message_id, mail.attempt) for mail in server.arrived] == [
        (str(told), 1),
        (str(told), 2),
    ]


def test_a_late_answer_does_not_overrule_a_later_attempt(foundation: Foundation) -> None:
    """A worker that was frozen past its lease writes its attempt's end, not the message's."""
    (told,) = tell(foundation, "13800138000")
    with smtp_server() as server:
        gateway = server.gateway()
        with foundation.begin(SYSTEM) as uow:
            _, frozen = delivery.claim(uow, gateway)
        time_passes(foundation, delivery.LEASE + timedelta(seconds=1))
        with foundation.begin(SYSTEM) as uow:
            assert delivery.reclaim(uow) == 1
        time_passes(foundation, timedelta(seconds=31))
        with foundation.begin(SYSTEM) as uow:
            _, second = delivery.claim(uow, gateway)
        with Line(gateway) as line:
            late = delivery.send(line, frozen)
        with foundation.begin(SYSTEM) as uow:
            delivery.mark(uow, frozen, late)
    assert [envelope.attempt for envelope in second] == [2]
    assert standing(foundation, told).status == Status.SENDING
    assert outcomes(foundation, told) == ["accepted", None]


def test_in_quiet_hours_only_protecting_messages_go_out(
    foundation: Foundation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 22:00 a payment notice waits; the notice of a changed account does not."""
    from datetime import time

    from services.notify import catalogue
    from services.notify.domain.quiet_hours import QuietHours

    always = QuietHours(time(0), time.max)
    real = catalogue.delivery()
    monkeypatch.setattr(
        catalogue,
        "delivery",
        lambda: type(real)(real.retry, always, real.number_replaced_within, real.keeps_text_for),
    )
    tell(foundation, "13800138000")
    with smtp_server() as server:
        assert delivery.deliver_due(foundation, SYSTEM, server.gateway(quiet_hours=True)) == 0
        with foundation.begin(SYSTEM) as uow:
            uow.session.execute(text("UPDATE message SET any_hour = true"))
        assert delivery.deliver_due(foundation, SYSTEM, server.gateway(quiet_hours=True)) == 1


def test_a_death_goes_before_a_batch_of_payments(foundation: Foundation) -> None:
    """What is not mass work is claimed first, however many payments wait."""
    tell(foundation, *(f"138{number:08d}" for number in range(20)))
    with foundation.begin(SYSTEM) as uow:
        officer = build.staff(uow)
        person = build.person(uow, officer_id=officer)
        from datetime import date

        from services.contracts.events.registry import PersonDied

        messages.tell(
            uow,
            [
                PersonDied(
                    person_id=person,
                    household_id=person,
                    division=build.VILLAGE,
                    died_on=date(2026, 12, 3),
                    source="public_security",
                    source_event_id="e1",
                )
            ],
        )
    with smtp_server() as server, foundation.begin(SYSTEM) as uow:
        _, envelopes = delivery.claim(uow, server.gateway(), limit=1)
    assert [envelope.address for envelope in envelopes] == ["13900139000@sms.example"]


def test_a_message_waits_for_the_copy_of_its_reader(foundation: Foundation) -> None:
    """The event may come before the reader's record; after an hour without one it is a task."""
    stranger = uuid4()
    with foundation.begin(SYSTEM) as uow:
        messages.tell(uow, [build.settled(stranger)])
        message_id = uow.session.scalars(select(Message.id)).one()
    with smtp_server() as server:
        deliver(foundation, server)
        assert standing(foundation, message_id).status == Status.CREATED
        with foundation.begin(SYSTEM) as uow:
            build.person(uow, person_id=stranger)
        time_passes(foundation, delivery.LOOK_AGAIN)
        deliver(foundation, server)
        assert standing(foundation, message_id).status == Status.SENT

        with foundation.begin(SYSTEM) as uow:
            messages.tell(uow, [build.settled(uuid4())])
        time_passes(foundation, delivery.COPY_MAY_LAG)
        deliver(foundation, server)
    with foundation.begin(SYSTEM) as uow:
        reason = uow.session.scalars(
            select(Message.reason).where(Message.status == Status.TECHNICAL_FAILURE)
        ).one()
    assert reason == Reason.RECIPIENT_UNKNOWN


def test_words_that_never_became_a_text_are_forgotten_too(foundation: Foundation) -> None:
    """Of a message to somebody who never came on record: amounts and places, in no text."""
    with foundation.begin(SYSTEM) as uow:
        messages.tell(uow, [build.settled(uuid4())])
        message_id = uow.session.scalars(select(Message.id)).one()
    time_passes(foundation, delivery.COPY_MAY_LAG)
    with smtp_server() as server:
        deliver(foundation, server)
    assert standing(foundation, message_id).personalisation != {}
    time_passes(foundation, timedelta(days=91))
    with foundation.begin(SYSTEM) as uow:
        assert delivery.forget_old_texts(uow) == 1
    assert standing(foundation, message_id).personalisation == {}


def test_texts_are_forgotten_after_their_time(foundation: Foundation) -> None:
    """What, when and how it ended stays; the text and the personal words go."""
    told, letter = tell(foundation, "13800138000", None)
    with smtp_server() as server:
        deliver(foundation, server)
    with foundation.begin(SYSTEM) as uow:
        assert delivery.forget_old_texts(uow) == 0
    time_passes(foundation, timedelta(days=91))
    with foundation.begin(SYSTEM) as uow:
        assert delivery.forget_old_texts(uow) == 1
        assert uow.session.scalar(select(func.count()).where(Message.text.is_not(None))) == 1
    message = standing(foundation, told)
    assert (message.text, message.personalisation, message.status) == (None, {}, "sent")
    assert standing(foundation, letter).text is not None
