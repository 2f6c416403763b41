"""Other bureaus at the broker: what they may do there, and what becomes of what they send."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp
import msgspec
import psycopg2
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey
from kombu import Connection

from deploy import bureaus as joining
from deploy.bureaus import Sheet
from deploy.local import Servers
from deploy.local.ports import free_ports
from deploy.management import Management
from services.chassis import amqp_io, rights, topology
from services.chassis.bureaus import Bureau
from services.chassis.client import Client
from services.contracts.commands.common import ReadClock
from services.contracts.errors import Conflict, Invalid
from tests.builders.roster import identity
from tests.fixtures.services import KEYS, migrated_template
from tests.integration.chassis.bus import eventually

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[3]
TOWN = "421083108"
VILLAGE = "421083108007"
PLAIN = identity(1)
POLICE = Bureau(
    name="public_security", title="洪湖市公安局", division="421083", may_see=("person.*",)
)
DISTRICT = Bureau(
    name="town_office",
    title="戴家场镇社会事务办",
    division=TOWN,
    may_see=("entitlement.*", "person.registered"),
)
SLOW = Bureau(
    name="slow",
    title="慢的部门",
    division="421083",
    may_see=("person.registered",),
    queue_length=100,
    queue_bytes=1_000_000,
)


@dataclass
class City:
    """Registry at work on a vhost of its own, with bureaus beside it."""

    servers: Servers
    uri: str
    database_url: str
    broker: Management
    file: Path

    def join(self, bureau: Bureau) -> Sheet:
        """Add a bureau as the command does; its user is made anew, so the sheet has a password."""
        with suppress(Exception):
            self.broker.ask("DELETE", "users", bureau.user(self.broker.vhost))
        address = f"amqp://127.0.0.1:{self.servers.broker.amqp_port}"
        joined = joining.add(
            self.broker, bureau, address=address, public_key=KEYS["BUREAU_PUBLIC_KEY"]
        )
        joining.write_entry(self.file, bureau)
        return joined

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What stands in registry's database."""
        connection = psycopg2.connect(self.database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def publish(self, exchange: str, *sent: tuple[str, dict[str, Any]]) -> None:
        """Publish as one of our services does."""
        with connected(self.uri) as connection:
            messages = [
                (amqp.Message(json.dumps(body), delivery_mode=2), exchange, key)
                for key, body in sent
            ]
            assert len(amqp_io.ConfirmedPublisher(connection).publish(messages)) == len(sent)


@contextmanager
def connected(uri: str | None) -> Iterator[Connection]:
    """A connection, cut at the end."""
    assert uri is not None
    connection = amqp_io.connect(uri)
    try:
        yield connection
    finally:
        amqp_io.drop(connection)


def user_of(servers: Servers, uri: str, name: str) -> str:
    """One of our own users, as the local stack makes it, on this vhost; its address."""
    vhost = uri.rpartition("/")[2]
    given = next(each for each in rights.written() if each.user == name)
    mine = replace(given, user=f"{name}@{vhost}")
    password = servers.broker.password_of(mine.user)
    user = {"name": mine.user, "password": password, "tags": []}
    servers.broker.define({"users": [user], **mine.definitions(vhost)})
    return servers.broker.uri(quote(mine.user), password, vhost)


@pytest.fixture(scope="module")
def city(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Registry running in a process of its own, under its own broker user of least privilege."""
    (port,) = free_ports(1)
    file = tmp_path_factory.mktemp("city") / "bureaus.toml"
    with (
        servers.broker.scratch_vhost() as uri,
        servers.cluster.scratch_database("registry", migrated_template(servers, "registry")) as url,
    ):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "services.chassis.runner", "registry"],
            cwd=ROOT,
            env={
                **os.environ,
                **KEYS,
                "AMQP_URI": user_of(servers, uri, "registry"),
                "REGISTRY_DATABASE_URL": url,
                "ZHIDA_MODE": "test",
                "HEALTH_ADDRESS": f"127.0.0.1:{port}",
                "BUREAU_EVENTS_PER_SECOND": "400",
                "ZHIDA_BUREAUS": str(file),
            },
        )

        def ready() -> bool:
            assert process.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as got:
                    return bool(got.status == 200)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        try:
            eventually(ready, 240)
            with connected(uri) as connection, connection.channel() as channel:
                for exchange in ("cases.events", "funding.events", "registry.internal"):
                    topology.declare_exchange(channel, exchange, archive_max_bytes=20_000_000_000)
            vhost = uri.rpartition("/")[2]
            yield City(servers, uri, url, servers.broker.management(vhost), file)
        finally:
            process.kill()
            process.wait()


def sealed(number: str = PLAIN) -> str:
    """As a bureau seals it, with the key on its sheet."""
    key = ECKey.import_key(json.loads(KEYS["BUREAU_PUBLIC_KEY"]))
    return jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A256GCM"}, number.encode(), key)


def notice(number: str = PLAIN, **changes: Any) -> dict[str, Any]:
    """The body of a death notice."""
    return {
        "certificate_no": "GA-1",
        "division": VILLAGE,
        "identity_number": sealed(number),
        "died_on": "2026-09-20",
    } | changes


def letter(
    sheet: Sheet, body: Any, *, event_id: str = "", user: str | None = "", **headers: Any
) -> amqp.Message:
    """A death notice as an AMQP message."""
    event_id = event_id or str(uuid.uuid4())
    return amqp.Message(
        body if isinstance(body, bytes) else json.dumps(body).encode(),
        delivery_mode=2,
        content_type="application/json",
        message_id=event_id,
        application_headers={
            "cloudEvents:id": event_id,
            "cloudEvents:type": "public_security.death_registered.v1",
            **headers,
        },
        **({"user_id": user or sheet.user_id} if user is not None else {}),
    )


KEY = "public_security.death_registered.v1.42.10.83.108.007"


def send(sheet: Sheet, *messages: amqp.Message, key: str = KEY) -> int:
    """Publish as the bureau; how many the broker took."""
    with connected(sheet.amqp_uri) as connection:
        wanted = [(message, "bureaus.events", key) for message in messages]
        return len(amqp_io.ConfirmedPublisher(connection).publish(wanted))


def take(sheet: Sheet, queue: str) -> list[dict[str, Any]]:
    """What the bureau finds in one of its queues, taken out."""
    found = []
    with connected(sheet.amqp_uri) as connection:
        channel = connection.channel()
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append(json.loads(message.body))
    return found


def answered(sheet: Sheet, queue: str, event_id: str) -> dict[str, Any]:
    """The answer to an event, awaited."""
    seen: list[dict[str, Any]] = []

    def found() -> Any:
        seen.extend(take(sheet, queue))
        return next((each for each in seen if each.get("event_id") == event_id), None)

    answer: dict[str, Any] = eventually(found, 120)
    return answer


def test_a_notice_is_taken_and_said_so(city: City) -> None:
    """Sealed and under the bureau's own name: kept, and the bureau hears that it was taken."""
    police = city.join(POLICE)
    event_id = str(uuid.uuid4())
    assert send(police, letter(police, notice(identity(7)), event_id=event_id)) == 1
    answer = answered(police, police.queue, event_id)
    assert answer == {"event_id": event_id, "bureau": "public_security", "division": VILLAGE}
    assert city.rows("SELECT state FROM bureau_notice WHERE event_id = %s", event_id) == [
        ("waiting",)
    ]


@pytest.mark.parametrize(
    ("body", "headers", "user", "code", "field"),
    [
        (b"{", {}, "", "schema", None),
        (notice(died_on=None), {}, "", "schema", "died_on"),
        ({"division": VILLAGE}, {}, "", "plain_number", "identity_number"),
        (notice(identity_number=PLAIN), {}, "", "plain_number", "identity_number"),
        (notice(certificate_no=PLAIN), {}, "", "plain_number", "certificate_no"),
        (notice("421083195503070010"), {}, "", "bad_identity_number", "identity_number"),
        (notice(), {"cloudEvents:type": "x.y.v1"}, "", "unknown_type", "cloudEvents:type"),
        (
            notice(),
            {"x-origin-user": "bureau.public_security@zhida"},
            None,
            "wrong_sender",
            "user_id",
        ),
        (notice(division="420106001001"), {}, "", "wrong_division", "division"),
        (notice(padding="长" * 30_000), {}, "", "too_large", None),
    ],
)
def test_what_does_not_fit_is_refused_to_the_bureau(
    city: City, body: Any, headers: dict[str, Any], user: str | None, code: str, field: str | None
) -> None:
    """Malformed, ill-formed, unsealed, unsigned: code, field, Chinese reason and the event's id."""
    police = city.join(POLICE)
    event_id = str(uuid.uuid4())
    assert send(police, letter(police, body, event_id=event_id, user=user, **headers)) == 1
    refused = answered(police, police.refusals, event_id)
    assert (refused["bureau"], refused["code"], refused["field"]) == (
        "public_security",
        code,
        field,
    )
    assert any("\u4e00" <= letter <= "\u9fff" for letter in refused["reason"])


def test_a_plain_number_stays_nowhere(city: City) -> None:
    """Not in the database, an archive, a queue, a dead letter: what was sent in clear is gone."""
    number = identity(4321)
    police = city.join(POLICE)
    event_id = str(uuid.uuid4())
    send(
        police,
        letter(police, notice(identity_number=number, certificate_no=number), event_id=number),
        letter(
            police,
            notice(identity_number=number),
            event_id=event_id,
            **{"cloudEvents:subject": number},
        ),
    )
    answered(police, police.refusals, event_id)
    eventually(lambda: city.rows("SELECT count(*) FROM outbox") == [(0,)])
    dump = subprocess.run(
        ["pg_dump", "--data-only", "--inserts", city.database_url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "bureau_event.refused" in dump
    assert number not in dump
    with connected(city.uri) as connection:
        for queue in sorted(city.broker.names("queues")):
            for message in _all(connection, queue):
                body = message.body if isinstance(message.body, str) else message.body.decode()
                assert number not in body + json.dumps(message.headers or {}, default=str)
                assert number not in json.dumps(message.properties, default=str)


def _all(connection: Connection, queue: str) -> list[amqp.Message]:
    """What lies in a queue or stream, looked at."""
    channel = connection.channel()
    count = channel.queue_declare(queue, passive=True).message_count
    found: list[amqp.Message] = []
    if queue.endswith((".archive", ".published")):
        channel.basic_qos(0, 500, False)
        channel.basic_consume(queue, callback=found.append, arguments={"x-stream-offset": "first"})
        ends = time.monotonic() + 30
        while len(found) < count and time.monotonic() < ends:
            amqp_io.drain(connection, 0.5)
            if found:
                channel.basic_ack(found[-1].delivery_tag, multiple=True)
    else:
        while (message := channel.basic_get(queue, no_ack=False)) is not None:
            found.append(message)
    channel.close()
    return found


def test_yesterdays_death_twice(city: City) -> None:
    """The same event again takes effect once; told anew under another id it changes nothing."""
    police = city.join(POLICE)
    number, event_id, other = identity(99), str(uuid.uuid4()), str(uuid.uuid4())
    again = letter(police, notice(number), event_id=event_id)
    send(police, again, again, letter(police, notice(number), event_id=other))
    answered(police, police.queue, other)
    send(police, again)
    last = str(uuid.uuid4())
    send(police, letter(police, b"{", event_id=last))
    answered(police, police.refusals, last)
    kept = "SELECT count(*) FROM bureau_notice WHERE event_id::text = ANY(%s)"
    assert city.rows(kept, [event_id, other]) == [(2,)]
    assert take(police, police.queue) == []


# -- getting past it --------------------------------------------------------------------------


def _forbidden(sheet: Sheet, attempt: Callable[[Any], Any]) -> None:
    """The broker refuses what is tried on a fresh channel, and says so."""
    with connected(sheet.amqp_uri) as connection:
        channel = connection.channel()
        channel.confirm_select()
        with pytest.raises((amqp.AccessRefused, amqp.PreconditionFailed)):
            attempt(channel)


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
        _forbidden(town, lambda c, key=key: c.queue_bind(town.queue, "registry.events", key))
    own = "person.registered.v1.42.10.83.108.#"
    for exchange in NOT_HEARD:
        _forbidden(town, lambda c, e=exchange: c.queue_bind(town.queue, e, own))


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
        _forbidden(town, attempt)
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
    town = city.join(DISTRICT)
    stored = "bureaus.events.archive"
    with connected(city.uri) as connection, connection.channel() as channel:
        before = channel.queue_declare(stored, passive=True).message_count
    key = "person.registered.v1.42.10.83.108.#"
    with connected(town.amqp_uri) as connection, connection.channel() as channel:
        channel.exchange_bind("bureaus.events", "registry.events", key)
    city.publish("registry.events", ("person.registered.v1.42.10.83.108.001", {"n": 1}))
    eventually(lambda: take(town, town.queue), 30)
    with connected(city.uri) as connection, connection.channel() as channel:
        assert channel.queue_declare(stored, passive=True).message_count == before
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


# -- too much, too slow -----------------------------------------------------------------------


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


# -- a bureau's own program --------------------------------------------------------------------

SAMPLES = ROOT / "deploy" / "samples"


@dataclass
class Program:
    """A sample client in a folder of its own: its libraries, a sheet, nothing else of ours."""

    command: list[str]
    folder: Path

    def __call__(self, *words: str, typed: str = "") -> list[dict[str, Any]]:
        """Run it to its end; the JSON lines it printed."""
        done = subprocess.run(
            [*self.command, "sheet.json", *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            input=typed,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=["python", "node"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The sample, copied away from our code."""
    if request.param == "python":
        shutil.copy(SAMPLES / "python" / "bureau.py", tmp_path)
        return Program([sys.executable, "-I", "bureau.py"], tmp_path)
    for name in ("bureau.mjs", "package.json", "package-lock.json"):
        shutil.copy(SAMPLES / "node" / name, tmp_path)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=110,
    )
    return Program(["node", "bureau.mjs"], tmp_path)


def _told(city: City, numbers: range) -> None:
    """Registry tells of new people, numbered as its relay does."""
    key = "person.registered.v1"
    with connected(city.uri) as connection:
        messages = []
        for number in numbers:
            event_id = str(uuid.uuid4())
            headers = {
                "cloudEvents:specversion": "1.0",
                "cloudEvents:id": event_id,
                "cloudEvents:source": "/zhida/registry",
                "cloudEvents:type": key,
                "cloudEvents:time": datetime.now(UTC).isoformat(),
                "cloudEvents:sequence": f"421083:{number}",
            }
            message = amqp.Message(
                json.dumps({"n": number}),
                content_type="application/json",
                delivery_mode=2,
                message_id=event_id,
                type=key,
                application_headers=headers,
            )
            messages.append((message, "registry.events", f"{key}.42.10.83.108.{number % 999:03}"))
        assert len(amqp_io.ConfirmedPublisher(connection).publish(messages)) == len(messages)


def test_a_bureaus_own_program_receives_misses_replays_and_sends(
    city: City, program: Program, request: pytest.FixtureRequest
) -> None:
    """Given the sheet alone: it takes each event once, sees what never came, gets it by a replay,
    tells of a death and hears that it was taken, and reads why another was not."""
    police = city.join(POLICE)
    take(police, police.queue)
    sheet = program.folder / "sheet.json"
    sheet.write_bytes(msgspec.json.encode(police))
    while program("receive", "events", "--idle", "1") != [{"stored": 0}]:
        pass  # what was on its way to the police before this test
    # the second program goes on where the first ended: a replay brings it both
    first, person = (1040, 50) if "node" in request.node.name else (1000, 10)
    _told(city, range(first, first + 20))
    assert program("receive", "events", "--idle", "1") == [{"stored": 20}]
    _told(city, range(first + 20, first + 30))
    assert len(take(police, police.queue)) == 10  # lost on their way into the bureau's systems
    _told(city, range(first + 30, first + 40))
    program("receive", "events", "--idle", "1")
    (gap,) = program("gaps", "events")
    assert gap == {
        "type": "person.registered.v1",
        "county": "421083",
        "missing": list(range(first + 20, first + 30)),
    }

    today = datetime.now(UTC).date() - timedelta(days=1)
    (asked,) = program("replay", "--since", today.isoformat(), "--type", "person.registered")

    def replayed() -> Any:
        said = program("receive", "events", "--idle", "1")
        ends = [line["replayed"] for line in said if "replayed" in line]
        return any(end["request"] == asked["event_id"] for end in ends)

    eventually(replayed, 240)
    assert program("gaps", "events") == []
    stored = [json.loads(line) for line in (program.folder / "events").read_text().splitlines()]
    ids = [event["id"] for event in stored]
    assert len(ids) == len(set(ids))
    mine = {
        e["data"]["n"]: e["replayed"] for e in stored if first <= e["data"].get("n", 0) < first + 40
    }
    assert {n for n, again in mine.items() if again} == set(range(first + 20, first + 30))
    assert set(mine) == set(range(first, first + 40))

    dead = ("--certificate", "GA-9", "--died-on", "2026-09-20", "--division", VILLAGE)
    (good,) = program("death", *dead, typed=identity(person))
    (bad,) = program("death", *dead, typed="421083195503070010")

    def answered_both() -> Any:
        program("receive", "events", "--idle", "0.5")
        answers = (program.folder / "events").read_text()
        return good["event_id"] in answers

    eventually(answered_both, 120)
    seen: list[dict[str, Any]] = []

    def refused() -> Any:
        seen.extend(program("refusals"))
        return [each for each in seen if each["event_id"] == bad["event_id"]]

    (refusal,) = eventually(refused, 120)
    assert (refusal["code"], refusal["field"]) == ("bad_identity_number", "identity_number")


# -- joining and leaving ----------------------------------------------------------------------


def test_joining_may_be_repeated_narrowed_renewed_and_undone(city: City) -> None:
    """The password is shown once; what the entry no longer allows goes; a leaver leaves nothing."""
    wide = Bureau(
        name="housing", title="住建局", division="421083", may_see=("person.*", "entitlement.*")
    )
    first = city.join(wide)
    address = f"amqp://127.0.0.1:{city.servers.broker.amqp_port}"
    given = {"address": address, "public_key": KEYS["BUREAU_PUBLIC_KEY"]}
    assert joining.add(city.broker, wide, **given).amqp_uri is None
    assert take(first, first.queue) == []

    narrow = Bureau(name="housing", title="住建局", division=TOWN, may_see=("person.left",))
    joining.add(city.broker, narrow, **given)
    bound = {(b["source"], b["routing_key"]) for b in city.broker.bindings("bureau.housing")}
    assert bound == {
        ("registry.events", "person.left.v1.42.10.83.108.#"),
        ("registry.events", "bureau_event.accepted.v1.housing.#"),
    }
    gone = "entitlement.granted.v1.42.10.83.108.#"
    for exchange in ("funding.events", "registry.events"):
        _forbidden(first, lambda c, e=exchange: c.queue_bind("bureau.housing", e, gone))

    renewed = joining.rotate(city.broker, narrow, **given)
    assert renewed.amqp_uri != first.amqp_uri
    with pytest.raises((amqp.AccessRefused, OSError)):
        amqp_io.connect(str(first.amqp_uri))
    with connected(renewed.amqp_uri) as connection:
        last = joining.rotate(city.broker, narrow, **given, now=True)
        with pytest.raises((OSError, amqp.AMQPError)):
            _listen(connection)
    assert take(last, last.queue) == []

    other = Bureau(name="housing", title="住建局", division=TOWN, may_see=("person.left",),
                   queue_length=1000)  # fmt: skip
    with pytest.raises(Conflict, match="限额不同"):
        joining.add(city.broker, other, **given)
    joining.remove(city.broker, narrow)
    joining.remove(city.broker, narrow)
    assert narrow.user(city.broker.vhost) not in city.broker.users()
    assert "bureau.housing" not in city.broker.names("queues")


def _listen(connection: Connection) -> None:
    """Half a minute of it."""
    for _ in range(60):
        amqp_io.drain(connection, 0.5)


def test_the_file_is_the_entry(tmp_path: Path) -> None:
    """Written by the command, readable by hand, comments kept; a wrong entry is refused whole."""
    file = tmp_path / "bureaus.toml"
    joining.write_entry(file, POLICE)
    file.write_text(file.read_text() + "\n# 人工备注\n")
    joining.write_entry(file, DISTRICT)
    assert joining.bureaus.load(file) == {"public_security": POLICE, "town_office": DISTRICT}
    assert "人工备注" in file.read_text()
    joining.drop_entry(file, "public_security")
    assert joining.bureaus.load(file) == {"town_office": DISTRICT}
    before = file.read_text()
    for wrong in (
        Bureau(name="x", title="x", division="42", may_see=()),
        Bureau(name="bureau", title="x", division="42", may_see=()),
        Bureau(name="spies", title="x", division="42", may_see=("case.decided",)),
        Bureau(name="spies", title="x", division="42", may_see=("bureau_event.refused",)),
        Bureau(name="spies", title="x", division="42", may_see=("person.#",)),
        Bureau(name="spies", title="x", division="42", privacy="identified"),
    ):
        with pytest.raises(Invalid):
            joining.write_entry(file, wrong)
    assert file.read_text() == before
