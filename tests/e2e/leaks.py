"""Looks for the numbers of the roster wherever a stack has left anything, and plants some.

Dumps of the four databases, logs, metrics, and every message that lies in a queue, a dead-letter
queue or a stream, headers too. A number is found as digits, as digits in hex (what a dump makes of
bytes), in base64, and in base64 within hex.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import amqp
import httpx
import prometheus_client

from deploy.local.cluster import ADMIN, HOST, Cluster, binary
from deploy.local.stack import OURS, Stack
from services.chassis import amqp_io
from services.chassis.archive import read_stream
from services.cli.demo import story
from services.cli.demo.evidence import Evidence
from services.cli.demo.world import World, eventually
from services.contracts.commands.registry import (
    FindByIdentity,
    NewMember,
    RegisterHousehold,
    SearchPeople,
)
from services.contracts.errors import ZhidaError
from services.contracts.requests import Request

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

WIDTH = 15
"""Digits that must agree: most of an identity number (17 and a check digit) or of an account."""

_DIGITS = re.compile(rb"\d{%d,}" % WIDTH)
_MOBILE = re.compile(rb"(?<!\d)1\d{10}(?!\d)")
_HEX = re.compile(rb"[0-9A-Fa-f]{%d,}" % (2 * WIDTH))
#: Three digits in base64 are four letters, each of a few: whichever way they fall, 15 of 17 do.
_BASE64 = re.compile(rb"(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){%d,}" % (WIDTH // 3))


class Secret:
    """The numbers nobody may find, asked of whatever was found."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        rows = list(rows)
        self.identities = sorted({str(row["身份证号"]).upper() for row in rows})
        accounts = {str(row["银行账号"]) for row in rows if row["银行账号"]}
        self.phones = {str(row["联系电话"]).encode() for row in rows if row["联系电话"]}
        self._windows = {
            window
            for number in (*self.identities, *accounts)
            for window in _windows(number.rstrip("X").encode())
        }
        assert all(len(number) == 18 for number in self.identities)
        assert min(map(len, accounts)) >= WIDTH

    def found_in(self, content: bytes) -> list[str]:
        """What stands there of the secret: pieces of numbers, whole mobile numbers."""
        hexed = b"\n".join(_unhexed(content))
        bare = [content, hexed, *map(_from_base64, (content, hexed))]
        pieces = {
            window
            for text in bare
            for digits in _DIGITS.findall(text)
            for window in _windows(digits)
        } & self._windows
        pieces |= {mobile for text in bare[:2] for mobile in _MOBILE.findall(text)} & self.phones
        return sorted(piece.decode() for piece in pieces)


def _windows(digits: bytes) -> Iterator[bytes]:
    return (digits[at : at + WIDTH] for at in range(len(digits) - WIDTH + 1))


def _unhexed(content: bytes) -> Iterator[bytes]:
    for run in _HEX.findall(content):
        for shifted in (run, run[1:]):
            yield bytes.fromhex(shifted[: len(shifted) // 2 * 2].decode())


def _from_base64(content: bytes) -> bytes:
    return b"\n".join(map(base64.b64decode, _BASE64.findall(content)))


# -- where to look ----------------------------------------------------------------------------


def look(here: Stack, found: Evidence, secret: Secret, extra: str | None = None) -> dict[str, Any]:
    """Places that hold one of the numbers, with what they hold; and how much was looked through.

    ``extra``: the address of one more process that shows metrics.
    """
    held: dict[str, list[str]] = {}
    seen: dict[str, int] = {}
    for kind, place, content in _places(here, found, extra):
        seen[kind] = seen.get(kind, 0) + len(content)
        if pieces := secret.found_in(content):
            held[f"{kind} {place}"] = pieces
    return {"held": held, "bytes": seen}


def _places(here: Stack, found: Evidence, extra: str | None) -> Iterator[tuple[str, str, bytes]]:
    assert here.cluster is not None
    for service in here.database_urls:
        yield "dump", service, _dump(here.cluster, f"zhida_{service}")
    for path in sorted(each for each in found.logs.rglob("*") if each.is_file()):
        content = path.read_bytes()
        yield "log", path.name, gzip.decompress(content) if path.suffix == ".gz" else content
    addresses = {name: f"http://{HOST}:{here.metrics_port(name)}" for name in OURS}
    if extra:
        addresses["extra"] = extra
    for name, address in addresses.items():
        answer = httpx.get(f"{address}/metrics", timeout=30)
        assert answer.status_code == 200, name
        yield "metrics", name, answer.content
    for queue in found.broker.queues(found.vhost):
        name = queue["name"]
        ways = {".archive": _in_stream, ".published": _counts}
        read = next((way for end, way in ways.items() if name.endswith(end)), _lying)
        whole = b"\n".join(map(_whole, read(here.owner_uri, name)))
        yield ("queue" if read is _lying else "stream"), name, whole


def _in_stream(amqp_uri: str, name: str) -> Iterator[amqp.Message]:
    return (message for chunk in read_stream(amqp_uri, name, LONG_AGO) for message in chunk)


def _counts(amqp_uri: str, name: str) -> list[amqp.Message]:
    """What stands in a stream of counts. Its readers go by the last message: no mark of ours may
    be put behind it, so the end is where nothing comes any more.
    """
    connection = amqp_io.connect(amqp_uri)
    try:
        told: list[amqp.Message] = []
        channel = connection.channel()
        channel.basic_qos(0, 500, False)
        channel.basic_consume(name, callback=told.append, arguments={"x-stream-offset": "first"})
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            before = len(told)
            amqp_io.drain(connection, 0.3)
            if told:
                channel.basic_ack(told[-1].delivery_tag, multiple=True)
                if len(told) == before:
                    break
        return told
    finally:
        amqp_io.drop(connection)


def _lying(amqp_uri: str, queue: str) -> list[amqp.Message]:
    """The messages of a queue, which stay there."""
    connection = amqp_io.connect(amqp_uri)
    try:
        with connection.channel() as channel:
            taken = []
            while (message := channel.basic_get(queue)) is not None:
                taken.append(message)
            for message in taken:
                channel.basic_reject(message.delivery_tag, requeue=True)
            return taken
    finally:
        amqp_io.drop(connection)


def _whole(message: amqp.Message) -> bytes:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    return body + repr((message.headers, message.properties)).encode()


def _dump(cluster: Cluster, database: str) -> bytes:
    """A backup as an administrator would make it: text, bytes in hex."""
    at = ["--host", HOST, "--port", str(cluster.port), "--username", ADMIN]
    environment = {"PGPASSWORD": cluster.admin_password, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [binary("pg_dump"), *at, database], env=environment, capture_output=True, check=True
    )
    return done.stdout


# -- ways on which a number could get out -----------------------------------------------------


def stir(world: World, found: Evidence, secret: Secret) -> dict[str, int]:
    """Refusals with a number in hand, an event that nobody can open, a bureau that seals nothing.

    How many requests were refused and what came to lie where dead letters do.
    """
    taken, other = secret.identities[0], secret.identities[1]
    refused = 0
    for asked in (
        _household(world, taken),  # registered already
        _household(world, other[:-1] + ("0" if other[-1] != "0" else "1")),  # wrong check digit
        _household(world, taken, phone=f"{taken}{other}"),
        SearchPeople(text=f"{taken} {other}", after="nowhere"),
        FindByIdentity(identity_number=f"{taken}{other}"),
    ):
        refused += _is_refused(lambda asked=asked: world["town_clerk"].ask(asked))  # type: ignore[misc]
    headers = {"Authorization": f"Bearer {world['town_clerk'].signed_in.token}"}
    for verb, path, body in (
        ("GET", f"/api/v1/registry/people/{taken}", None),
        ("GET", f"/households/{taken}?q={other}", None),
        ("POST", "/api/v1/registry/register-household", {"identity_number": taken}),
        ("POST", "/api/v1/registry/find-by-identity", {"identity_number": [other]}),
    ):
        answer = httpx.request(
            verb, world.stack.portal_url + path, json=body, headers=headers, timeout=30
        )
        refused += answer.status_code >= 300
    _unreadable(world.stack, found, taken)
    _unsealed(world.stack, taken)
    eventually("死信到达", lambda: _dead(found) >= 1 or None, patience_s=120)
    story._settle_down(world)
    return {"refused": refused, "dead": _dead(found)}


def _household(world: World, number: str, phone: str = "13971650099") -> RegisterHousehold:
    member = NewMember(name="单桂兰", identity_number=number, relation="户主", phone=phone)
    return RegisterHousehold(division=world.village, members=(member,))


def _is_refused(ask: Callable[[], Request[Any]]) -> bool:
    try:
        ask()
    except ZhidaError:
        return True
    return False


def _unreadable(here: Stack, found: Evidence, number: str) -> None:
    """One of registry's own events comes again with its sealed fields spoilt: a dead letter."""
    type_name = "person.account_changed.v1"
    event = next(
        message
        for message in _in_stream(here.owner_uri, "registry.internal.archive")
        if message.properties.get("type") == type_name
    )
    fields = json.loads(event.body)
    fields["account_number"] = base64.b64encode(b"\x09" + number.encode()[::-1]).decode()
    headers = dict(event.headers) | {"cloudEvents:id": str(uuid.uuid4()), "x-attempts": 99}
    spoilt = amqp.Message(
        json.dumps(fields).encode(),
        content_type="application/json",
        delivery_mode=2,
        message_id=headers["cloudEvents:id"],
        type=type_name,
        application_headers=headers,
    )
    _publish(here, spoilt, "", "funding.copies")


def _unsealed(here: Stack, number: str) -> None:
    """A bureau tells of a death with the number in clear."""
    told = amqp.Message(
        json.dumps({"identity_number": number, "division": "421083100205"}).encode(),
        content_type="application/json",
        delivery_mode=2,
        message_id=f"{uuid.uuid4()}",
        type="public_security.death_registered.v1",
        application_headers={"cloudEvents:subject": number},
    )
    key = "public_security.death_registered.v1.421083.100.205"
    _publish(here, told, "bureaus.events", key)


def _publish(here: Stack, message: amqp.Message, exchange: str, key: str) -> None:
    connection = amqp_io.connect(here.owner_uri)
    try:
        amqp_io.ConfirmedPublisher(connection).publish_one(message, exchange, key)
    finally:
        amqp_io.drop(connection)


def _dead(found: Evidence) -> int:
    return sum(lying for name, lying in found.queues().items() if name.endswith(".dead"))


# -- the search, searched ---------------------------------------------------------------------


@contextlib.contextmanager
def planted(here: Stack, found: Evidence, secret: Secret) -> Iterator[tuple[set[str], str]]:
    """Numbers where they must not be, one in each kind of place and in each dress.

    Yields the places, and the address of a process with a number in a label.
    """
    assert here.cluster is not None
    numbers = iter(secret.identities)
    letters = base64.b64encode(f'{{"who":"{next(numbers)}"}}'.encode()).decode()
    dresses = {
        "registry": ("text", f"他的证件号是{next(numbers)}。"),
        "cases": ("bytea", next(numbers).encode()),
        "funding": ("text", letters),
        "notify": ("bytea", letters.encode()),
    }
    for service, (kind, value) in dresses.items():
        with (
            contextlib.closing(here.cluster.connect(f"zhida_{service}")) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"CREATE TABLE forgotten AS SELECT %s::{kind} AS note", [value])
    (found.logs / "planted.log").write_text(f'{{"event": "x", "detail": "{next(numbers)}"}}\n')
    dead = next(name for name in found.queues() if name.endswith(".dead"))
    work = next(name for name in found.queues() if name.endswith(".dead") and name != dead)
    for queue, body, headers in (
        (dead, next(numbers), {}),
        (work, "{}", {"error": f"no such person: {next(numbers)}"}),
        ("cases.events.archive", letters, {}),
    ):
        message = amqp.Message(body, delivery_mode=2, application_headers=headers)
        _publish(here, message, "", queue)
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("planted", "…", ["who"], registry=registry)
    counter.labels(next(numbers)).inc()
    with _showing(registry) as address:
        yield (
            {f"dump {service}" for service in dresses}
            | {"log planted.log", "metrics extra"}
            | {f"queue {dead}", f"queue {work}", "stream cases.events.archive"},
            address,
        )


@contextlib.contextmanager
def _showing(registry: prometheus_client.CollectorRegistry) -> Iterator[str]:
    handler = prometheus_client.MetricsHandler.factory(registry)
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def search(world: World, found: Evidence) -> dict[str, Any]:
    """Stir, look, plant, look again: for the report."""
    secret = Secret(found.roster_rows)
    stirred = stir(world, found, secret)
    clean = look(world.stack, found, secret)
    with planted(world.stack, found, secret) as (places, address):
        again = look(world.stack, found, secret, extra=address)
    print(f"searched {clean['bytes']}", file=sys.stderr)
    return {
        "numbers": len(secret.identities),
        "stirred": stirred,
        "clean": clean,
        "planted": sorted(places),
        "found": sorted(again["held"]),
    }
