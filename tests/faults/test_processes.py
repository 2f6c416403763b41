"""Processes are killed, frozen and stopped in the middle: every effect happens once."""

from __future__ import annotations

import signal
import threading
import time
import uuid

import pytest

from services.contracts.actors import Role
from tests.chaos.faults.resources import faketime_library
from tests.integration.chassis.bus import (
    DIVISION,
    LATE,
    QUEUE,
    Room,
    eventually,
    message,
    noted,
    recorded,
)
from tests.integration.chassis.probe.probe import NoteThing

pytestmark = [pytest.mark.timeout(300)]

KILLS = 20
KEY = f"thing.noted.v1.{DIVISION}"


def test_twenty_kills_with_full_hands(own_room: Room) -> None:
    """kill -9 twenty times with a full prefetch: no dead letter, every effect once."""
    things = [uuid.uuid4() for _ in range(4000)]
    own_room.start().until_ready().kill()
    own_room.emit((noted(thing, trouble="sleep0.001") for thing in things), bulk=True)
    for _ in range(KILLS):
        before = len(own_room.effects())
        process = own_room.start()
        eventually(lambda before=before: len(own_room.effects()) > before, 60)  # type: ignore[misc]
        process.kill()
    process = own_room.start().until_ready()
    eventually(lambda: len(own_room.effects()) >= len(things), 120)
    assert sorted(own_room.effects()) == sorted(things)
    eventually(lambda: own_room.depth(QUEUE) == 0)
    assert own_room.depth(f"{QUEUE}.dead") == 0


def test_a_frozen_relay_is_replaced(own_room: Room) -> None:
    """The holder stops breathing in mid-work: another replica relays within fifteen seconds."""
    first = own_room.start().until_ready()
    eventually(lambda: first.metric("zhida_relay_active") == 1)
    second = own_room.start().until_ready()
    things = [uuid.uuid4() for _ in range(6000)]
    own_room.emit((noted(thing) for thing in things), bulk=True)
    eventually(lambda: len(own_room.effects()) > 500)
    first.signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    eventually(lambda: second.metric("zhida_relay_active") == 1, 20)
    assert time.monotonic() - frozen_at < 15
    eventually(lambda: own_room.pending() == 0, 60)
    first.signal(signal.SIGCONT)
    eventually(lambda: len(own_room.effects()) >= len(things), 60)
    eventually(lambda: first.logged("relay_interrupted"), 30)
    assert sorted(own_room.effects()) == sorted(things)
    assert first.alive()
    assert own_room.depth(f"{QUEUE}.dead") == 0
    fresh = uuid.uuid4()
    own_room.emit([noted(fresh)])
    eventually(lambda: own_room.effects([fresh]))


def test_sigterm_lets_a_batch_and_a_request_end(own_room: Room) -> None:
    """On SIGTERM what is in hand is finished and acknowledged; the rest waits for the next."""
    process = own_room.start().until_ready()
    in_hand, request = uuid.uuid4(), NoteThing(thing_id=uuid.uuid4(), amount=3, trouble="sleep3")
    answers: list[int] = []
    client = own_room.client()
    asking = threading.Thread(
        target=lambda: answers.append(client.call(request, token=own_room.token(Role.TOWN_CLERK)))
    )
    asking.start()
    own_room.emit([noted(in_hand, trouble="sleep3")])
    eventually(lambda: own_room.pending() == 0 and own_room.depth(QUEUE) == 0)
    assert process.stop() == 0
    asking.join(10)
    assert answers == [3]
    assert own_room.effects([in_hand]) == [in_hand]
    assert own_room.depth("rpc-probe") == 0
    process = own_room.start().until_ready()
    eventually(lambda: sorted(own_room.effects()) == sorted([in_hand, request.thing_id]))
    client.close()


def test_a_late_service_takes_everything_from_the_archives(own_room: Room) -> None:
    """A service first started long after hears all that was ever said, once, in every queue."""
    producer = own_room.start().until_ready()
    things = [uuid.uuid4() for _ in range(800)]
    own_room.emit((noted(thing) for thing in things), bulk=True)
    own_room.emit((recorded(thing, "x", 1) for thing in things), bulk=True)
    eventually(lambda: len(own_room.effects()) == 800 and own_room.pending() == 0)
    producer.stop()
    for table in ("effect", "copy", "inbox", "subscription", "arrival"):
        own_room.rows(f"DELETE FROM {table}")
    late = own_room.start(LATE).until_ready()
    eventually(lambda: len(own_room.effects()) >= 800, 60)
    eventually(lambda: own_room.rows("SELECT count(*) FROM copy") == [(800,)], 60)
    eventually(lambda: late.metric("zhida_events_applied_total") == 1600)
    assert sorted(own_room.effects()) == sorted(things)


def test_a_reaction_added_later_begins_with_what_comes(own_room: Room) -> None:
    """A reaction of a new version does nothing about the past: nobody gets a month's letters."""
    first = own_room.start().until_ready()
    past = [uuid.uuid4() for _ in range(30)]
    own_room.emit(noted(thing) for thing in past)
    eventually(lambda: len(own_room.effects()) == 30 and own_room.pending() == 0)
    first.stop()
    with own_room.broker() as connection:
        for name in (QUEUE, *(f"{QUEUE}.retry.{step}ms" for step in (50, 100, 150))):
            connection.channel().queue_delete(name)
    own_room.rows("DELETE FROM effect")
    own_room.rows("DELETE FROM inbox WHERE subscription = %s", QUEUE)
    for table in ("subscription", "arrival"):
        own_room.rows(f"DELETE FROM {table} WHERE queue = %s", QUEUE)
    second = own_room.start().until_ready()
    fresh = uuid.uuid4()
    own_room.emit([noted(fresh)])
    eventually(lambda: own_room.effects([fresh]))
    assert own_room.effects() == [fresh]
    assert not [entry for entry in second.logged("queue_refilled") if entry["queue"] == QUEUE]


def test_what_kills_its_reader_does_not_stop_a_refill(own_room: Room) -> None:
    """The process dies over an event of the archive: the next copies them into the queue, where
    the broker counts; everything else takes effect, once."""
    first = own_room.start().until_ready()
    known = [uuid.uuid4() for _ in range(100)]
    own_room.emit(noted(thing) for thing in known)
    eventually(lambda: len(own_room.effects()) == 100 and own_room.pending() == 0)
    first.stop()
    with own_room.broker() as connection:
        connection.channel().queue_delete(QUEUE)
    deadly, lost = noted(trouble="die"), [uuid.uuid4() for _ in range(20)]
    said = [message(deadly), *(message(noted(thing)) for thing in lost)]
    own_room.publish(*((each, "probe.events", KEY) for each in said))
    assert own_room.start().popen.wait(60) == -signal.SIGKILL
    assert not own_room.started[-1].logged("queue_refilled")
    for _ in range(6):
        assert own_room.start().popen.wait(60) == -signal.SIGKILL
    assert sorted(own_room.effects()) == sorted([*known, *lost])
    (refilled,) = own_room.started[2].logged("queue_refilled")
    assert refilled["careful"]
    (left,) = own_room.take(QUEUE)
    assert left.properties["message_id"] == said[0].properties["message_id"]


def test_a_clock_an_hour_off_is_measured(own_room: Room) -> None:
    """A process whose machine is an hour slow shows it (the alert ClockSkewed), and works on."""
    slow = own_room.start(
        LD_PRELOAD=faketime_library(),
        FAKETIME="-3600s",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        DONT_FAKE_MONOTONIC="1",
    ).until_ready()
    eventually(lambda: slow.metric("zhida_clock_skew_seconds") < 0, 60)
    assert -3660 < slow.metric("zhida_clock_skew_seconds") < -3540
    thing = uuid.uuid4()
    own_room.emit([noted(thing)])
    eventually(lambda: own_room.effects([thing]), 60)
