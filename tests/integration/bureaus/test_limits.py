"""Bureaus that read too slowly, send too much or lose a queue: bounded, told, others unharmed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import amqp
import pytest

from deploy import bureaus as joining
from services.chassis import topology
from services.chassis.bureaus import Bureau
from tests.builders.roster import identity
from tests.fixtures.services import KEYS
from tests.integration.bureaus.city import (
    DISTRICT,
    POLICE,
    SLOW,
    City,
    answered,
    connected,
    letter,
    notice,
    send,
    take,
    tell,
)
from tests.integration.chassis.bus import eventually

pytestmark = pytest.mark.timeout(600)

OTHER = Bureau(name="housing", title="住建局", division="421083", may_see=("person.arrived",))


def test_a_bureau_that_does_not_read_takes_bounded_room(city: City) -> None:
    """Its oldest go, its newest stay; the publisher and the others notice nothing."""
    slow, police = city.join(SLOW), city.join(POLICE)
    take(police, police.queue)
    key = "person.registered.v1.42.10.83.108.001"
    for batch in range(5):
        city.publish("registry.events", *((key, {"n": batch * 200 + n}) for n in range(200)))
    heard = take(police, police.queue)
    assert [each["n"] for each in heard] == list(range(1000))

    def left() -> bool:
        with connected(city.uri) as connection, connection.channel() as channel:
            return bool(channel.queue_declare(slow.queue, passive=True).message_count <= 100)

    eventually(left, 60)
    numbers = [each["n"] for each in take(slow, slow.queue)]
    assert 0 < len(numbers) <= 100
    assert numbers == list(range(1000 - len(numbers), 1000))


def test_a_flood_is_refused_by_the_broker_and_harms_nobody(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than may wait: the broker says no, the bureau knows which; others' queues are free."""
    monkeypatch.setattr(topology, "INBOUND_MAX_LENGTH", 50)
    queue = topology.WorkQueue(
        "flood.on_asked",
        (next(t for t in DISTRICT.may_say() if t.name == "bureau.replay_requested.v1"),),
        (),
    )
    with connected(city.uri) as connection, connection.channel() as channel:
        topology.declare_queue(channel, queue, archive_max_bytes=20_000_000_000)
    try:
        town = city.join(DISTRICT)
        asked = [letter(town, b"{", user=town.user_id) for _ in range(400)]
        key = "town_office.replay_requested.v1.42.10.83.108"
        took = send(town, *asked, key=key) + send(town, *asked, key=key)
        assert 50 <= took < 800
        police = city.join(POLICE)
        assert send(police, letter(police, notice(identity(55)))) == 1
    finally:
        with connected(city.uri) as connection, connection.channel() as channel:
            for name in queue.all_names():
                channel.queue_delete(name)


def test_a_flood_is_taken_no_faster_than_agreed_and_others_are_answered(city: City) -> None:
    """Thousands at once from one bureau, all wrong: they are refused at the agreed pace, and what
    another bureau says meanwhile is taken long before the flood has gone through. (A million is
    the same by the two bounds: so many may wait, the broker refuses the rest; so many a second.)"""
    town, police = city.join(DISTRICT), city.join(POLICE)
    flooded = "registry.on_replay_requested"
    key = "town_office.replay_requested.v1.42.10.83.108"
    count = 4000  # ten seconds at the pace of this city's registry
    try:
        assert send(town, *(letter(town, b"{") for _ in range(count)), key=key) == count
        event_id = str(uuid.uuid4())
        send(police, letter(police, notice(identity(56)), event_id=event_id))
        answered(police, police.queue, event_id)
        assert city.waiting(flooded) > 0
    finally:
        with connected(city.uri) as connection, connection.channel() as channel:
            channel.queue_purge(flooded)


def test_a_queue_deleted_by_hand_is_seen_made_again_and_loses_nothing(city: City) -> None:
    """Registry counts it for the alert; nobody else notices; joined again the queue stands under
    the old password, and what went by meanwhile comes by a replay."""
    police, other = city.join(POLICE), city.join(OTHER)
    missing = "zhida_registry_bureau_queues_missing"
    eventually(lambda: city.metric(missing) == 0, 90)
    city.broker.ask("DELETE", "queues", city.broker.vhost, police.queue)
    eventually(lambda: city.metric(missing) == 1, 90)
    tell(city, range(1, 11), "person.arrived.v1")
    heard: list[int] = []

    def all_heard() -> bool:
        heard.extend(each["n"] for each in take(other, other.queue) if "n" in each)
        return heard == list(range(1, 11))

    eventually(all_heard, 60)
    with pytest.raises(amqp.NotFound):
        take(police, police.queue)

    address = f"amqp://127.0.0.1:{city.servers.broker.amqp_port}"
    key = KEYS["BUREAU_PUBLIC_KEY"]
    again = joining.add(city.broker, POLICE, address=address, public_key=key)
    assert again.amqp_uri is None, "the password stands"
    eventually(lambda: city.metric(missing) == 0, 90)
    assert take(police, police.queue) == []
    wish = {
        "division": "421083",
        "from_date": (datetime.now(UTC) - timedelta(days=1)).date().isoformat(),
        "types": ["person.arrived"],
    }
    asked = letter(police, wish, **{"cloudEvents:type": "public_security.replay_requested.v1"})
    send(police, asked, key="public_security.replay_requested.v1.42.10.83")
    seen: list[int] = []

    def replayed() -> bool:
        seen.extend(each["n"] for each in take(police, police.queue) if "n" in each)
        return set(seen) == set(range(1, 11))

    eventually(replayed, 120)
