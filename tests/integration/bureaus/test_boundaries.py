"""Other bureaus at the broker: every way past their own queues, places and names is closed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any

import amqp
import pytest

from deploy import bureaus as joining
from deploy.management import Management
from services.chassis.client import Client
from services.contracts.commands.common import ReadClock
from tests.builders.roster import identity
from tests.integration.bureaus.city import (
    DISTRICT,
    KEY,
    POLICE,
    City,
    connected,
    forbidden,
    kept_until,
    letter,
    notice,
    send,
    take,
    user_of,
)
from tests.integration.chassis.bus import eventually

pytestmark = pytest.mark.timeout(600)

BINDINGS = [
    "#",
    "*.#",
    "*.*.v1.#",
    "person.registered.v1.#",
    "person.registered.v1.42.10.83.#",
    "person.registered.v1.42.10.83.109.#",
    "person.registered.v1.42.10.83.*.#",
    "person.registered.v1.*.*.*.108.#",
    "person.registered.v1.42.10.83.108007",
    "person.registered.v1.42.10.83.108x.#",
    "person.registered.#.42.10.83.108",
    "person.registered.#",
    "person.*.v1.42.10.83.108.#",
    "person.left.v1.42.10.83.108.#",
    "#.42.10.83.108.#",
    "*.*.*.42.10.83.108.#",
    "entitlement.granted.v1.42.10.83.108.#.#",
    "entitlement.granted.v1.42.10.83.108.#\n.#",
    "entitlement.granted.v1.42.10.83.108.#|.*",
    "x|#",
    "",
    "person.registered.v1.42.10.83.108.#.007",
    "bureau_event.refused.v1.#",
    "bureau_event.refused.v1.public_security.#",
]


NOT_HEARD = [
    "cases.events", "registry.internal", "funding.internal", "bureaus.events", "nameko-rpc",
    "amq.topic", "amq.rabbitmq.trace",
]  # fmt: skip


def test_a_district_binds_its_own_division_only(city: City) -> None:
    """Within its patterns and place it may bind as it likes; nothing wider, however written."""
    town = city.join(DISTRICT)
    with connected(town.amqp_uri) as connection:
        channel = connection.channel()
        for key in ("108.#", "108", "108.007", "108.*", "108.007.#"):
            channel.queue_bind(
                town.queue, "registry.events", f"person.registered.v1.42.10.83.{key}"
            )
        channel.queue_bind(town.queue, "funding.events", "entitlement.*.v1.42.10.83.108.#")
    for key in BINDINGS:
        forbidden(town, lambda c, key=key: c.queue_bind(town.queue, "registry.events", key))
    own = "person.registered.v1.42.10.83.108.#"
    for exchange in NOT_HEARD:
        forbidden(town, lambda c, e=exchange: c.queue_bind(town.queue, e, own))


def test_a_district_hears_its_own_division_only(city: City) -> None:
    """What is published of the next town, another kind or the inside does not reach it."""
    town = city.join(DISTRICT)
    take(town, town.queue)
    key = "person.registered.v1.42.10.83"
    city.publish(
        "registry.events",
        (f"{key}.109.001", {"n": 1}),
        (f"{key}.108.001", {"n": 2}),
        (key, {"n": 3}),
        (f"{key}.108", {"n": 4}),
        ("person.left.v1.42.10.83.108.001", {"n": 5}),
        ("person.registered.v1.42.10.84.108.001", {"n": 6}),
    )
    found = eventually(lambda: take(town, town.queue), 30)
    assert [each["n"] for each in found] == [2, 4]


def _read_stream(channel: Any, stream: str) -> None:
    channel.basic_qos(0, 9, False)
    channel.basic_consume(stream, arguments={"x-stream-offset": "first"})


def test_a_bureau_gets_at_nothing_but_its_own(city: City) -> None:
    """Other queues, archives, exchanges, names: every way we could think of is closed."""
    police, town = city.join(POLICE), city.join(DISTRICT)
    body = amqp.Message("{}", user_id=town.user_id)
    forged = amqp.Message("{}", user_id=police.user_id)
    theirs = "town_office.replay_requested.v1.42.10.83.108"
    attempts: list[Callable[[Any], Any]] = [
        # read what is not its own
        lambda c: c.basic_get(police.queue),
        lambda c: c.basic_get(police.refusals),
        lambda c: c.basic_consume(police.queue),
        lambda c: c.basic_get("registry.on_death_registered"),
        lambda c: c.basic_get("registry.on_death_registered.dead"),
        lambda c: _read_stream(c, "registry.events.archive"),
        lambda c: _read_stream(c, "registry.internal.archive"),
        lambda c: _read_stream(c, "bureaus.events.archive"),
        lambda c: c.basic_get("registry.published"),
        lambda c: c.basic_get("rpc-registry"),
        # make, change or take away
        lambda c: c.queue_declare("mine", durable=True, auto_delete=False),
        lambda c: c.queue_declare("bureau.town_office.more", durable=True, auto_delete=False),
        lambda c: c.queue_declare("", exclusive=True),
        lambda c: c.queue_delete(town.queue),
        lambda c: c.queue_delete(police.queue),
        lambda c: c.queue_purge(police.queue),
        lambda c: c.queue_purge("registry.on_death_registered"),
        lambda c: c.exchange_declare("town_office.events", "topic", durable=True),
        lambda c: c.exchange_declare("bureaus.events", "fanout", durable=True),
        lambda c: c.exchange_delete("bureaus.events"),
        lambda c: c.exchange_delete("registry.events"),
        # bind or unbind what is not its own
        lambda c: c.queue_bind(police.queue, "registry.events", theirs),
        lambda c: c.queue_bind(town.refusals, "registry.events", theirs),
        lambda c: c.queue_unbind(police.queue, "registry.events", "person.*.v1.42.10.83.#"),
        lambda c: c.queue_unbind("registry.on_death_registered", "bureaus.events", "#"),
        lambda c: c.exchange_bind("registry.events", "bureaus.events", "#"),
        lambda c: c.exchange_bind("bureaus.events", "registry.events", "#"),
        lambda c: c.exchange_bind("bureaus.events", "cases.events", theirs),
        # speak where or as it may not
        lambda c: c.basic_publish_confirm(body, "", "registry.on_death_registered", timeout=9),
        lambda c: c.basic_publish_confirm(body, "", police.queue, timeout=9),
        lambda c: c.basic_publish_confirm(body, "", town.queue, timeout=9),
        lambda c: c.basic_publish_confirm(body, "registry.events", theirs, timeout=9),
        lambda c: c.basic_publish_confirm(body, "registry.internal", theirs, timeout=9),
        lambda c: c.basic_publish_confirm(body, "nameko-rpc", "registry.sign_in", timeout=9),
        lambda c: c.basic_publish_confirm(body, "amq.direct", "x", timeout=9),
        lambda c: c.basic_publish_confirm(body, "bureaus.events", KEY, timeout=9),
        lambda c: c.basic_publish_confirm(body, "bureaus.events", f"{theirs}.99x", timeout=9),
        lambda c: c.basic_publish_confirm(
            body, "bureaus.events", "town_office.replay_requested.v1.42.10.83", timeout=9
        ),
        lambda c: c.basic_publish_confirm(
            body, "bureaus.events", "town_office.death_registered.v1.42.10.83.108", timeout=9
        ),
        lambda c: c.basic_publish_confirm(
            body, "bureaus.events", "bureau.replay_requested.v1.42.10.83.108", timeout=9
        ),
        lambda c: c.basic_publish_confirm(body, "bureaus.events", "#", timeout=9),
        lambda c: c.basic_publish_confirm(forged, "bureaus.events", theirs, timeout=9),
        lambda c: c.basic_publish_confirm(
            amqp.Message("{}", user_id="zhida"), "bureaus.events", theirs, timeout=9
        ),
    ]  # fmt: skip
    for attempt in attempts:
        forbidden(town, attempt)
    host = f"127.0.0.1:{city.servers.broker.amqp_port}"
    password = str(town.amqp_uri).split(":")[2].partition("@")[0]
    for vhost in ("/", city.servers.broker.vhost):
        with pytest.raises((amqp.AccessRefused, amqp.NotAllowed, OSError)):
            amqp.Connection(host, town.user_id, password, virtual_host=vhost).connect()
    with pytest.raises(joining.ManagementError):
        Management(
            host="127.0.0.1",
            port=city.servers.broker.management_port,
            user=town.user_id,
            password=password,
            vhost=city.broker.vhost,
        ).ask("GET", "whoami")


def test_what_a_bureau_binds_into_its_own_exchange_goes_nowhere(city: City) -> None:
    """It may bind the exchange it speaks on to one it hears: nothing is kept or handled of it."""
    town, police = city.join(DISTRICT), city.join(POLICE)
    key = "person.registered.v1.42.10.83.108.#"
    with connected(town.amqp_uri) as connection, connection.channel() as channel:
        channel.exchange_bind("bureaus.events", "registry.events", key)
    city.publish("registry.events", ("person.registered.v1.42.10.83.108.001", {"n": 1}))
    eventually(lambda: take(town, town.queue), 30)
    last = str(uuid.uuid4())
    send(police, letter(police, notice(identity(4700)), event_id=last))
    with connected(city.uri) as connection:
        kept = kept_until(connection, "bureaus.events.archive", last)
        assert [m for m in kept if m.delivery_info["routing_key"].startswith("person.")] == []
        with connection.channel() as channel:
            channel.exchange_unbind("bureaus.events", "registry.events", key)


def test_the_desk_asks_and_hears_nobody_else(city: City) -> None:
    """The portal's user gets its answers; it cannot listen to others' questions, or speak as us."""
    uri = user_of(city.servers, city.uri, "portal")
    with closing(Client(uri)) as client:
        assert client.call(ReadClock(), service="registry").service == "registry"

    def spy(channel: Any) -> None:
        name = f"rpc.reply-standalone_rpc_proxy-{uuid.uuid4()}"
        channel.queue_declare(name, auto_delete=True)
        channel.queue_bind(name, "nameko-rpc", "#")

    for attempt in (
        spy,
        lambda c: c.basic_get("rpc-registry"),
        lambda c: c.basic_get("registry.on_death_registered"),
        lambda c: c.queue_declare("mine", durable=True, auto_delete=False),
        lambda c: c.basic_publish_confirm(amqp.Message("{}"), "", "rpc-registry", timeout=9),
        lambda c: c.basic_publish_confirm(amqp.Message("{}"), "registry.internal", "x", timeout=9),
        lambda c: c.basic_publish_confirm(amqp.Message("{}"), "bureaus.events", KEY, timeout=9),
    ):
        with connected(uri) as connection:
            channel = connection.channel()
            channel.confirm_select()
            with pytest.raises(amqp.AccessRefused):
                attempt(channel)
