"""Broker and database go and come back: no process dies, nothing is lost, doubled or blamed."""

from __future__ import annotations

import uuid

import pytest

from services.chassis import amqp_io
from services.contracts.actors import Role
from services.contracts.errors import Unavailable
from tests.faults.conftest import Wounded
from tests.integration.chassis.bus import QUEUE, Process, Room, eventually, noted, recorded
from tests.integration.chassis.probe.probe import CountEffects, NoteThing

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

EVENTS = 2000


def emit(room: Room) -> list[uuid.UUID]:
    """Events slow enough to be under way when the fault comes."""
    things = [uuid.uuid4() for _ in range(EVENTS)]
    room.emit((noted(thing, trouble="sleep0.0005") for thing in things), bulk=True)
    room.emit((recorded(thing, "x", 1) for thing in things), bulk=True)
    return things


def all_applied_once(room: Room, process: Process, things: list[uuid.UUID]) -> None:
    """Every thing has one effect and one copy; nothing was laid aside or counted as a failure."""
    eventually(lambda: len(room.effects()) >= EVENTS, 120)
    eventually(lambda: room.rows("SELECT count(*) FROM copy") == [(EVENTS,)], 60)
    assert sorted(room.effects()) == sorted(things)
    assert process.alive()
    assert process.metric("zhida_event_retries_total") == 0
    assert room.depth(f"{QUEUE}.dead") == 0
    eventually(lambda: room.pending() == 0)


def test_broker_killed_and_started_again(wounded: Wounded, fragile: Room) -> None:
    """kill -9 of the broker in the middle of three thousand events."""
    process = fragile.start().until_ready()
    things = emit(fragile)
    eventually(lambda: len(fragile.effects()) > 300)
    wounded.kill_broker()
    wounded.start_broker()
    all_applied_once(fragile, process, things)


def test_database_stopped_immediately_and_started_again(wounded: Wounded, fragile: Room) -> None:
    """The database goes without a word; being away is never an attempt."""
    process = fragile.start().until_ready()
    things = emit(fragile)
    eventually(lambda: len(fragile.effects()) > 300)
    client, token = fragile.client(), fragile.token(Role.TOWN_CLERK)
    wounded.kill_database()
    try:
        with pytest.raises(Unavailable, match="不可用"):
            client.call(NoteThing(thing_id=uuid.uuid4(), amount=1), token=token)
        assert process.answers("/livez") == 200
        assert process.answers("/readyz") == 503
    finally:
        wounded.start_database()
    all_applied_once(fragile, process, things)
    assert client.call(CountEffects(), token=token)["effects"] == EVENTS
    client.close()


def test_connections_cut_again_and_again(wounded: Wounded, fragile: Room) -> None:
    """The broker closes all connections and the database all sessions, three times each."""
    process = fragile.start().until_ready()
    things = emit(fragile)
    for done in (200, 600, 1000):
        eventually(lambda done=done: len(fragile.effects()) > done)  # type: ignore[misc]
        wounded.cut_connections()
        wounded.end_sessions()
    all_applied_once(fragile, process, things)


def test_both_away_at_the_start(wounded: Wounded, fragile: Room) -> None:
    """A service started with neither broker nor database waits for them and then works."""
    things = [uuid.uuid4() for _ in range(10)]
    fragile.emit([noted(thing) for thing in things])
    wounded.kill_broker()
    wounded.kill_database()
    process = fragile.start()
    eventually(lambda: process.logged("consumer_interrupted") or not process.alive())
    try:
        assert process.alive(), process.log.read_text()[-2000:]
    finally:
        wounded.start_database()
        wounded.start_broker()
    process.until_ready()
    eventually(lambda: sorted(fragile.effects()) == sorted(things))


def test_disk_alarm_of_the_broker(wounded: Wounded, fragile: Room) -> None:
    """Under a disk alarm the outbox keeps, closing never hangs; afterwards all arrives."""
    process = fragile.start().until_ready()
    wounded.servers.broker.ctl("set_disk_free_limit", "100000GB")
    try:
        things = [uuid.uuid4() for _ in range(100)]
        fragile.emit([noted(thing) for thing in things])
        eventually(lambda: process.logged("relay_interrupted"), 40)
        assert fragile.pending() == 100
        connection = amqp_io.connect(fragile.uri)
        amqp_io.drop(connection)
        assert process.answers("/livez") == 200
    finally:
        wounded.servers.broker.ctl("set_disk_free_limit", "50MB")
    eventually(lambda: sorted(fragile.effects()) == sorted(things), 60)
    assert process.alive()
