"""Replays: a bureau hears again what it may see, marked, and never faster than it reads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import amqp
import pytest
from kombu import Connection

from deploy import bureaus as joining
from deploy.local import Servers
from services.chassis import amqp_io, replay, rights, topology
from services.chassis.bureaus import Bureau
from services.chassis.models import ReplayRow
from services.chassis.uow import Foundation
from services.contracts.actors import system_actor
from tests.fixtures.services import KEYS, settings_for
from tests.integration.chassis.bus import eventually

pytestmark = pytest.mark.timeout(300)

TOWN = Bureau(
    name="town_office",
    title="戴家场镇社会事务办",
    division="421083108",
    may_see=("person.registered", "division.*"),
    queue_length=100,
)
ACTOR = system_actor("registry")


@dataclass
class Room:
    """A vhost with registry's archive, one bureau, and registry's database."""

    connection: Connection
    foundation: Foundation

    def told(self, numbers: range, *, days_ago: int = 0) -> None:
        """Registry tells of people of two towns in turn: even numbers are of our town."""
        at = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
        messages = []
        for number in numbers:
            headers = {
                "cloudEvents:id": str(uuid.uuid4()),
                "cloudEvents:type": "person.registered.v1",
                "cloudEvents:source": "/zhida/registry",
                "cloudEvents:time": at,
                "cloudEvents:sequence": f"421083:{number}",
            }
            message = amqp.Message(
                json.dumps({"n": number}),
                delivery_mode=2,
                message_id=headers["cloudEvents:id"],
                type=headers["cloudEvents:type"],
                application_headers=headers,
            )
            key = f"person.registered.v1.42.10.83.10{8 + number % 2}.001"
            messages.append((message, "registry.events", key))
        publisher = amqp_io.ConfirmedPublisher(self.connection)
        assert len(publisher.publish(messages)) == len(messages)

    def asked(self, since: date, *types: str, division: str = "421083108") -> uuid.UUID:
        """A wish, as the reaction puts it down."""
        wish = uuid.uuid4()
        with self.foundation.begin(ACTOR) as uow:
            uow.session.add(
                ReplayRow(
                    id=wish,
                    bureau="town_office",
                    division=division,
                    from_date=since,
                    types=list(types),
                    positions={},
                )
            )
        return wish

    def waiting(self) -> int:
        """What lies in the bureau's queue."""
        with self.connection.channel() as channel:
            return int(channel.queue_declare(TOWN.queue, passive=True).message_count)

    def taken(self) -> list[amqp.Message]:
        """All of it, taken out."""
        found = []
        with self.connection.channel() as channel:
            while (message := channel.basic_get(TOWN.queue, no_ack=True)) is not None:
                found.append(message)
        return found

    def finished(self, wish: uuid.UUID) -> bool:
        """Whether the service is done with a wish."""
        with self.foundation.begin(ACTOR) as uow:
            return uow.session.get_one(ReplayRow, wish).finished_at is not None


@contextmanager
def _connected(uri: str) -> Iterator[Connection]:
    connection = amqp_io.connect(uri)
    try:
        yield connection
    finally:
        amqp_io.drop(connection)


@pytest.fixture
def room(
    servers: Servers, amqp_uri: str, database: Callable[[str], str], tmp_path: Path
) -> Iterator[Room]:
    """Registry acts under its own broker user, whose rights must be enough for a replay."""
    vhost = amqp_uri.rpartition("/")[2]
    with _connected(amqp_uri) as connection:
        with connection.channel() as channel:
            for exchange in ("registry.events", "bureaus.events"):
                topology.declare_exchange(channel, exchange, archive_max_bytes=20_000_000_000)
        file = tmp_path / "bureaus.toml"
        joining.write_entry(file, TOWN)
        joining.add(
            servers.broker.management(vhost),
            TOWN,
            address="amqp://127.0.0.1",
            public_key=KEYS["BUREAU_PUBLIC_KEY"],
        )
        given = next(each for each in rights.written() if each.user == "registry")
        mine = replace(given, user=f"registry-{vhost}")
        user = {"name": mine.user, "password": "of-registry", "tags": []}
        servers.broker.define({"users": [user], **mine.definitions(vhost)})
        uri = servers.broker.uri(mine.user, "of-registry", vhost)
        settings = settings_for("registry", database("registry"), uri)
        foundation = Foundation.build(replace(settings, bureaus_file=file))
        yield Room(connection, foundation)
        foundation.engine.dispose()


def test_its_own_and_no_more(room: Room) -> None:
    """Its division, its types, from its day on, under the first ids, marked with the wish."""
    room.told(range(10), days_ago=3)
    room.told(range(10, 20))
    first = {m.headers["cloudEvents:id"] for m in room.taken()}
    wish = room.asked(datetime.now(UTC).date() - timedelta(days=1), "person.*")
    replay.serve_slice(room.foundation)
    *again, end = room.taken()
    assert [json.loads(m.body)["n"] for m in again] == [10, 12, 14, 16, 18]
    assert {m.headers["cloudEvents:id"] for m in again} <= first
    assert {m.headers["x-replayed-for"] for m in again} == {str(wish)}
    assert {m.headers["x-origin-exchange"] for m in again} == {"registry.events"}
    assert end.properties["type"] == "zhida.replay_finished"
    assert json.loads(end.body) == {"request": str(wish), "service": "registry", "events": 5}
    assert room.finished(wish)


@pytest.mark.parametrize(
    ("types", "division"),
    [
        (("division.registered",), "421083108"),
        (("case.closed",), "421083108"),
        ((), "421083109"),
        ((), "421083108002"),
        (("entitlement.*",), "4210"),
    ],
)
def test_asking_for_more_gives_no_more(room: Room, types: tuple[str, ...], division: str) -> None:
    """Another town, a type it does not see, a place where nothing was: only the end is said."""
    room.told(range(4))
    room.taken()
    wish = room.asked(date(2020, 1, 1), *types, division=division)
    replay.serve_slice(room.foundation)
    sent = [m for m in room.taken() if m.properties["type"] != replay.FINISHED]
    if division == "421083109":
        # outside of its own division: what it gets is its own
        assert {json.loads(m.body)["n"] for m in sent} == {0, 2}
    else:
        assert sent == []
    assert room.finished(wish)


def test_todays_events_are_never_crowded_out(room: Room) -> None:
    """The queue takes a hundred: more than that of old events come by and by, none is lost."""
    room.told(range(440))
    eventually(lambda: room.waiting() <= 100, 60)
    room.taken()
    wish = room.asked(date(2020, 1, 1))
    got: list[int] = []
    for _ in range(100):
        replay.serve_slice(room.foundation)
        assert room.waiting() <= 51
        got += [json.loads(m.body).get("n", -1) for m in room.taken()]
        if room.finished(wish):
            break
    assert sorted(set(got) - {-1}) == list(range(0, 440, 2))
    assert len(got) == 221


def test_a_wish_for_nothing_there_is_holds_up_no_other(room: Room) -> None:
    """A pattern nobody can read was taken once: it ends, and the next bureau's turn comes."""
    room.told(range(4))
    room.taken()
    senseless = room.asked(date(2020, 1, 1), "person")
    wish = room.asked(date(2020, 1, 1))
    for _ in range(2):
        replay.serve_slice(room.foundation)
    assert room.finished(senseless)
    assert room.finished(wish)
    assert len(room.taken()) == 3


def test_a_bureau_that_left_ends_its_wishes(room: Room) -> None:
    """No entry, no queue: nothing is sent, and nobody waits for ever."""
    room.told(range(4))
    wish = room.asked(date(2020, 1, 1))
    with room.connection.channel() as channel:
        channel.queue_delete(TOWN.queue)
    replay.serve_slice(room.foundation)
    assert room.finished(wish)
