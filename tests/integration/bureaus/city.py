"""Registry at work on a vhost of its own, and bureaus beside it."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp
import psycopg2
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey
from kombu import Connection

from deploy import bureaus as joining
from deploy.bureaus import Sheet
from deploy.local import Servers
from deploy.management import Management
from services.chassis import amqp_io, rights
from services.chassis.bureaus import Bureau
from tests.builders.roster import identity
from tests.fixtures.services import KEYS
from tests.integration.chassis.bus import eventually

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
    health: str
    """Where registry shows its metrics."""

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

    def metric(self, name: str) -> float:
        """A metric of registry's without labels."""
        with urllib.request.urlopen(f"{self.health}/metrics", timeout=5) as got:
            lines = got.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def waiting(self, queue: str) -> int:
        """Messages ready in a queue."""
        with connected(self.uri) as connection, connection.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

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


def kept_until(connection: Connection, stream: str, last: str) -> list[amqp.Message]:
    """What a stream keeps, from its beginning to the message with this id."""
    found: list[amqp.Message] = []
    with connection.channel() as channel:
        channel.basic_qos(0, 500, False)
        channel.basic_consume(stream, callback=found.append, arguments={"x-stream-offset": "first"})

        def arrived() -> bool:
            amqp_io.drain(connection, 0.5)
            if found:
                channel.basic_ack(found[-1].delivery_tag, multiple=True)
            return any(message.properties.get("message_id") == last for message in found)

        eventually(arrived, 60)
    return found


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


def forbidden(sheet: Sheet, attempt: Callable[[Any], Any]) -> None:
    """The broker refuses what is tried on a fresh channel, and says so."""
    with connected(sheet.amqp_uri) as connection:
        channel = connection.channel()
        channel.confirm_select()
        with pytest.raises((amqp.AccessRefused, amqp.PreconditionFailed)):
            attempt(channel)


def tell(city: City, numbers: range, key: str = "person.registered.v1") -> None:
    """Registry tells of people, numbered as its relay does."""
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
