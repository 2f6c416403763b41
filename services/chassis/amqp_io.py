"""Connections and confirmed publishing, with the client's traps closed.

A confirm is always waited for with a bound; an unroutable message comes back as an error; a
connection is dropped, not closed politely, when the broker does not answer (a disk alarm makes
``close`` hang until it clears).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import amqp
from kombu import Connection

CONFIRM_TIMEOUT_S = 10.0
HEARTBEAT_S = 20


class NotConfirmed(Exception):
    """The broker did not take some messages: refused, unroutable or no answer in time."""


def connect(uri: str) -> Connection:
    """A connected AMQP connection. Raises ``OSError`` or ``amqp.AMQPError`` at once when away."""
    connection = Connection(
        uri,
        heartbeat=HEARTBEAT_S,
        transport_options={
            "connect_timeout": 5,
            "read_timeout": 30,
            "write_timeout": 10,
            "socket_settings": {socket.TCP_NODELAY: 1},
        },
    )
    connection.connect()
    return connection


def drop(connection: Connection) -> None:
    """Cut the socket without waiting for the broker's answer."""
    try:
        transport = connection.connection.transport
        if transport is not None:
            transport.close()
    except Exception:  # the socket may be gone in any way: that is what we want
        pass
    connection._connection = None
    connection._closed = True


class ConfirmedPublisher:
    """Publishes messages pipelined and waits for all confirms together."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.channel = connection.channel()
        self.channel.confirm_select()
        self._waiting: dict[int, int] = {}
        self._next_tag = 1
        self._failed: list[int] = []
        self._returned: set[str] = set()
        self.channel.events["basic_ack"].add(self._on_ack)
        self.channel.events["basic_nack"].add(self._on_nack)
        self.channel.events["basic_return"].add(self._on_return)

    def publish(
        self,
        messages: Iterable[tuple[amqp.Message, str, str]],
        *,
        timeout: float = CONFIRM_TIMEOUT_S,
        before: Callable[[], None] | None = None,
    ) -> list[int]:
        """Publish (message, exchange, routing key) triples; the positions the broker confirmed.

        A message that was nacked or came back unroutable is not among them. Raises ``OSError`` or
        ``amqp.AMQPError`` when the connection breaks or the confirms do not come in time: then
        the fate of the batch is unknown and it must be sent again.
        """
        self._waiting.clear()
        self._failed.clear()
        self._returned.clear()
        ids: list[str] = []
        for position, (message, exchange, key) in enumerate(messages):
            self._waiting[self._next_tag] = position
            self._next_tag += 1
            ids.append(str(message.properties.get("message_id")))
            self.channel.basic_publish(message, exchange, key, mandatory=True)
        deadline = time.monotonic() + timeout
        while self._waiting:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise NotConfirmed(f"{len(self._waiting)} messages without a confirm")
            try:
                self._connection.drain_events(timeout=min(remaining, 1.0))
            except socket.timeout:
                continue
        failed = set(self._failed)
        return [
            position
            for position, message_id in enumerate(ids)
            if position not in failed and message_id not in self._returned
        ]

    def publish_one(self, message: amqp.Message, exchange: str, key: str) -> None:
        """Publish one message; raises ``NotConfirmed`` unless the broker took it."""
        if not self.publish([(message, exchange, key)]):
            raise NotConfirmed("the broker refused the message")

    def _settle(self, tag: int, multiple: bool) -> list[int]:
        if not multiple:
            position = self._waiting.pop(tag, None)
            return [] if position is None else [position]
        tags = [known for known in self._waiting if known <= tag]
        return [self._waiting.pop(known) for known in tags]

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        self._settle(delivery_tag, multiple)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        self._failed.extend(self._settle(delivery_tag, multiple))

    def _on_return(self, _error: Exception, _exchange: str, _key: str, message: Any) -> None:
        self._returned.add(str(message.properties.get("message_id")))
