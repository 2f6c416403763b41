"""Connections and confirmed publishing, with the client's traps closed.

A confirm and an answer are always waited for with a bound; an unroutable message comes back as an
error; a connection is dropped, not closed politely, when the broker does not answer (a disk alarm
makes ``close`` hang until it clears).

An address begins with ``amqp://`` or, over TLS, with ``amqps://``, and may then end in RabbitMQ's
own parameters: ``?cacertfile=/path/ca.pem`` (who signs the broker's certificate; the machine's own
authorities without it) and ``&server_name_indication=name`` (whose certificate it must be; the host
without it). The certificate is always verified. The nodes of a cluster stand beside one another,
separated by ``;``.
"""

from __future__ import annotations

import random
import re
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import amqp
from amqp import spec
from kombu import Connection

from services.chassis.settings import SettingsError

CONFIRM_TIMEOUT_S = 10.0
HEARTBEAT_S = 20
ANSWER_S = 30.0
"""How long the broker may take over what is asked of it (a queue declared, a channel opened), and
to take in what is written. The client's own bounds are the kernel's, which an eventlet socket never
meets: cut off in silence, a thread would wait until the cut is mended, or for good."""
CORK_BYTES = 64_000
READ_BYTES = 256_000

_FRAME = struct.Struct(">BHI")
FRAME_HEAD = _FRAME.size


class NotConfirmed(Exception):
    """The broker did not take some messages: refused, unroutable or no answer in time."""


def reachable_first(uri: str) -> str:
    """The addresses of a cluster's nodes (``amqp://…;amqp://…``), one that answers in front.

    The order is otherwise by chance, so that processes spread over the nodes.
    """
    nodes = uri.split(";")
    if len(nodes) == 1:
        return uri
    shuffled = random.sample(nodes, len(nodes))
    for position, node in enumerate(shuffled):
        address = urlsplit(node)
        port = address.port or (5671 if address.scheme == "amqps" else 5672)
        try:
            socket.create_connection((address.hostname, port), timeout=2).close()
        except OSError:
            continue
        return ";".join([node, *shuffled[:position], *shuffled[position + 1 :]])
    return uri


def verified(uri: str) -> tuple[str, dict[str, Any] | None]:
    """The client's own form of an address, and how TLS is spoken there (``None``: not at all).

    Raises ``SettingsError`` for a parameter we do not know, and for a cluster over TLS whose nodes
    share no name: the client would hold the second node to the name of the first.
    """
    nodes: list[str] = []
    spoken: set[tuple[str | None, str | None] | None] = set()
    for node in uri.split(";"):
        address = urlsplit(node)
        given = dict(parse_qsl(address.query))
        unknown = given.keys() - {"cacertfile", "server_name_indication"}
        if unknown or (given and address.scheme != "amqps"):
            raise SettingsError(f"AMQP_URI: {address.scheme} takes no {', '.join(sorted(given))}")
        if address.scheme == "amqps":
            spoken.add((given.get("cacertfile"), given.get("server_name_indication")))
        else:
            spoken.add(None)
        nodes.append(urlunsplit(address._replace(query="")))
    if len(spoken) > 1:
        raise SettingsError("AMQP_URI: the nodes of one cluster are reached in one way")
    (way,) = spoken
    if way is None:
        return uri, None
    authority, name = way
    if len(nodes) > 1 and name is None:
        raise SettingsError("AMQP_URI: several nodes over amqps need one server_name_indication")
    tls = {
        "ca_certs": authority,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": name,  # None: the host of the address
        "tls_minimum_version": ssl.TLSVersion.TLSv1_2,
    }
    return ";".join(nodes), tls


def of_nameko(uri: str) -> dict[str, Any]:
    """nameko's configuration of the bus: the address, a node that answers in front, and TLS.

    The transport is named: for plain ``amqp`` kombu looks for librabbitmq on the disk with every
    message that is published.
    """
    address, tls = verified(reachable_first(uri))
    named = re.sub(r"(^|;)amqp://", r"\1pyamqp://", address)
    return {"AMQP_URI": named} | ({"AMQP_SSL": tls} if tls else {})


def connect(uri: str, *, beating: bool = True) -> Connection:
    """A connected AMQP connection, to any of a cluster's nodes that can be had.

    ``beating``: with heartbeats, which somebody must send. Raises ``OSError`` or
    ``amqp.AMQPError`` at once when no node can be had.
    """
    nodes = uri.split(";")
    *others, last = random.sample(nodes, len(nodes))
    for node in others:
        with suppress(OSError, amqp.AMQPError):
            return _connect(node, beating)
    return _connect(last, beating)


def _connect(uri: str, beating: bool) -> Connection:
    address, tls = verified(uri)
    connection = Connection(
        address,
        ssl=tls or False,
        heartbeat=HEARTBEAT_S if beating else 0,
        transport_options={
            "connect_timeout": 5,
            "socket_settings": {socket.TCP_NODELAY: 1},
        },
    )
    connection.connect()
    _protocol(connection).transport.sock.settimeout(ANSWER_S)
    return connection


def drop(connection: Connection) -> None:
    """Cut the socket without waiting for the broker's answer, nor for TLS' farewell."""
    with suppress(Exception):  # the socket may be gone in any way: that is what we want
        transport = connection._connection.transport
        with suppress(OSError):
            transport.sock.shutdown(socket.SHUT_RDWR)
        transport.sock.close()
        transport.sock = None
        transport.connected = False
    connection._connection = None
    connection._closed = True


def _protocol(connection: Connection) -> Any:
    """The client's own connection. kombu would quietly open another for one that is gone."""
    protocol = connection._connection
    if protocol is None or not protocol.connected:
        raise ConnectionResetError("the connection is gone")
    return protocol


def drain(connection: Connection, timeout: float) -> None:
    """Take in whatever the broker has sent, waiting at most ``timeout`` for the first of it.

    One read for many frames, where the client's own ``drain_events`` makes three for each.
    Raises ``OSError`` or ``amqp.AMQPError`` when the connection is gone.
    """
    protocol = _protocol(connection)
    transport = protocol.transport
    with transport.having_timeout(timeout):
        try:
            arrived = transport.sock.recv(READ_BYTES)
        except (TimeoutError, BlockingIOError):
            return
    if not arrived:
        raise ConnectionResetError("the broker closed the connection")
    data = transport._read_buffer + arrived
    transport._read_buffer = b""
    at, end = 0, len(data)
    while end - at >= FRAME_HEAD:
        kind, channel, size = _FRAME.unpack_from(data, at)
        following = at + FRAME_HEAD + size + 1
        if following > end:
            break
        payload, at = data[at + FRAME_HEAD : following - 1], following
        try:
            protocol.on_inbound_frame((kind, channel, payload))
        except BaseException:
            transport._read_buffer = data[at:]
            raise
    transport._read_buffer = data[at:]


@contextmanager
def corked(connection: Connection) -> Iterator[None]:
    """Send what is written within the block in one piece: far cheaper for both ends."""
    transport = _protocol(connection).transport
    send, pending = transport._write, bytearray()

    def flush() -> None:
        if pending:
            send(bytes(pending))
            pending.clear()

    def hold(data: bytes) -> None:
        pending.extend(data)
        if len(pending) > CORK_BYTES:
            flush()

    transport._write = hold
    try:
        yield
        flush()
    finally:
        transport._write = send


def beat(connection: Connection) -> None:
    """Take in what has come and show the broker that we live; often enough, in long work."""
    drain(connection, 0.001)
    connection.heartbeat_check()


def count(message: amqp.Message, header: str) -> int:
    """A header that counts something; nonsense of a foreign publisher counts nothing."""
    value = (message.headers or {}).get(header)
    return value if isinstance(value, int) and value >= 0 else 0


class Sending:
    """Messages on their way: which of them the broker has not settled, and which it refused."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.unsettled = 0
        self.refused: set[int] = set()


class ConfirmedPublisher:
    """Publishes messages pipelined: many are on their way before the first confirm comes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.channel = connection.channel()
        self.channel.confirm_select()
        self._unsettled: dict[int, tuple[Sending, int]] = {}
        self._next_tag = 1
        self._returned: set[str] = set()
        self.channel.events["basic_ack"].add(self._on_ack)
        self.channel.events["basic_nack"].add(self._on_nack)
        self.channel.events["basic_return"].add(self._on_return)

    def send(self, messages: Iterable[tuple[amqp.Message, str, str]]) -> Sending:
        """Put (message, exchange, routing key) triples on their way without waiting."""
        sending = Sending()
        with corked(self._connection):
            for position, (message, exchange, key) in enumerate(messages):
                self._unsettled[self._next_tag] = (sending, position)
                self._next_tag += 1
                sending.unsettled += 1
                sending.ids.append(str(message.properties.get("message_id")))
                self.channel.send_method(
                    spec.Basic.Publish, "Bssbb", (0, exchange, key, True, False), message
                )
        return sending

    def settle(self, sending: Sending, *, timeout: float = CONFIRM_TIMEOUT_S) -> list[int]:
        """Wait for the confirms; the positions the broker took.

        A message that was nacked or came back unroutable is not among them. Raises ``OSError``,
        ``amqp.AMQPError`` or ``NotConfirmed`` when the connection breaks or the confirms do not
        come in time: then the fate of the messages is unknown and they must be sent again.
        """
        deadline = time.monotonic() + timeout
        while sending.unsettled:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise NotConfirmed(f"{sending.unsettled} messages without a confirm")
            drain(self._connection, min(remaining, 1.0))
        taken = [
            position
            for position, message_id in enumerate(sending.ids)
            if position not in sending.refused and message_id not in self._returned
        ]
        if len(taken) < len(sending.ids):
            self._returned.difference_update(sending.ids)
        return taken

    def publish(self, messages: Iterable[tuple[amqp.Message, str, str]]) -> list[int]:
        """Send and settle."""
        return self.settle(self.send(messages))

    def publish_one(self, message: amqp.Message, exchange: str, key: str) -> None:
        """Publish one message; raises ``NotConfirmed`` unless the broker took it."""
        if not self.publish([(message, exchange, key)]):
            raise NotConfirmed("the broker refused the message")

    def _settled(self, tag: int, multiple: bool) -> list[tuple[Sending, int]]:
        if not multiple:
            found = self._unsettled.pop(tag, None)
            settled = [] if found is None else [found]
        else:
            # tags stand in ascending order
            tags = list(takewhile(lambda known: known <= tag, self._unsettled))
            settled = [self._unsettled.pop(known) for known in tags]
        for sending, _ in settled:
            sending.unsettled -= 1
        return settled

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        self._settled(delivery_tag, multiple)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        for sending, position in self._settled(delivery_tag, multiple):
            sending.refused.add(position)

    def _on_return(self, _error: Exception, _exchange: str, _key: str, message: Any) -> None:
        self._returned.add(str(message.properties.get("message_id")))
