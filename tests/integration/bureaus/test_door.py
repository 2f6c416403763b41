"""What becomes of what a bureau sends: taken, or refused to it; nothing in clear is kept."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from typing import Any

import amqp
import pytest
from kombu import Connection

from services.chassis import amqp_io
from tests.builders.roster import identity
from tests.integration.bureaus.city import (
    PLAIN,
    POLICE,
    VILLAGE,
    City,
    answered,
    connected,
    letter,
    notice,
    send,
    take,
)
from tests.integration.chassis.bus import eventually

pytestmark = pytest.mark.timeout(600)


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
