"""Lines between callers and services: nameko's requests, answered over the caller's connection.

The broker hands an answer straight to the channel that asked (direct reply-to): no queue of replies
is declared, filled and acknowledged, and nobody else can listen to it. A line carries one question
or answer at a time; ``Lines`` keeps those that are idle.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import amqp
import msgspec
from amqp import spec
from nameko.exceptions import deserialize

from services.chassis import amqp_io

EXCHANGE = "nameko-rpc"
DIRECT = "amq.rabbitmq.reply-to"
"""What the broker takes for "answer me here"; the address it makes of it begins so too."""

MAX_ANSWER_BYTES = 15_000_000
"""The broker takes messages up to 16 MiB (``max_message_size``)."""

SILENT_S = 1.0
"""A line that was silent for longer is looked at before it is used: the broker may have gone."""


class NobodyThere(Exception):
    """No process of the service has ever been there to take a request."""


class TooLong(Exception):
    """The broker would take no message of this length."""


class NoAnswer(Exception):
    """None came in time."""


class Line:
    """A connection for one thread at a time, without heartbeats: nobody beats while it is idle."""

    def __init__(self, amqp_uri: str) -> None:
        self._connection = amqp_io.connect(amqp_uri, beating=False)
        self._used_at = time.monotonic()

    def stands(self) -> bool:
        """Whether the line can still be used, as far as this end can know."""
        if time.monotonic() - self._used_at < SILENT_S:
            return True
        try:
            amqp_io.drain(self._connection, 0.001)
        except (OSError, amqp.AMQPError):
            return False
        return True

    def drop(self) -> None:
        """Hang up without waiting for the broker."""
        amqp_io.drop(self._connection)


class AskingLine(Line):
    """A caller's."""

    def __init__(self, amqp_uri: str) -> None:
        super().__init__(amqp_uri)
        self._channel = self._connection.channel()
        self._answers: list[amqp.Message] = []
        self._returned = False
        self._channel.events["basic_return"].add(self._on_return)
        self._channel.basic_consume(DIRECT, callback=self._answers.append, no_ack=True)

    def ask(
        self, service: str, method: str, body: Any, context: dict[str, str], timeout: float
    ) -> Any:
        """The answer of ``service``'s ``method``.

        Raises ``NobodyThere``, ``NoAnswer`` after ``timeout`` seconds, ``OSError`` or
        ``amqp.AMQPError`` when the connection is gone, and what nameko itself refused the
        request with. After any of them the line is of no use: a late answer may come on it.
        """
        asked = str(uuid.uuid4())
        request = amqp.Message(
            msgspec.json.encode({"args": [], "kwargs": {"body": body, "context": context}}),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            reply_to=DIRECT,
            correlation_id=asked,
        )
        deadline = time.monotonic() + timeout
        self._channel.send_method(
            spec.Basic.Publish, "Bssbb", (0, EXCHANGE, f"{service}.{method}", True, False), request
        )
        while not self._answers:
            if self._returned:
                raise NobodyThere(service)
            if (left := deadline - time.monotonic()) <= 0:
                raise NoAnswer(f"{service}.{method}")
            amqp_io.drain(self._connection, left)
        answer = self._answers.pop()
        if answer.properties.get("correlation_id") != asked:
            raise NoAnswer(f"{service}.{method}: the answer to another question")
        self._used_at = time.monotonic()
        said = msgspec.json.decode(answer.body)
        if said["error"] is not None:
            raise deserialize(said["error"])
        return said["result"]

    def _on_return(self, *_: object) -> None:
        self._returned = True


class AnsweringLine(Line):
    """A service's."""

    def __init__(self, amqp_uri: str) -> None:
        super().__init__(amqp_uri)
        self._publisher = amqp_io.ConfirmedPublisher(self._connection)

    def answer(self, request: Any, *, result: Any, error: dict[str, Any] | None) -> None:
        """Answer a request (kombu's message), as nameko does; a caller who has gone hears nothing.

        Nothing is written to disk for an answer: it outlives no broker, and a caller asks again
        with the same key. Raises ``TooLong`` before anything is sent, ``OSError``,
        ``amqp.AMQPError`` or ``NotConfirmed`` when the broker is away.
        """
        reply_to = str(request.properties["reply_to"])
        body = msgspec.json.encode({"result": result, "error": error})
        if len(body) > MAX_ANSWER_BYTES:
            raise TooLong(len(body))
        answer = amqp.Message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=1,
            correlation_id=request.properties.get("correlation_id"),
        )
        exchange = "" if reply_to.startswith(DIRECT) else EXCHANGE  # nameko's own callers
        self._publisher.publish([(answer, exchange, reply_to)])
        self._used_at = time.monotonic()


L = TypeVar("L", bound=Line)


class Lines(Generic[L]):
    """Those that are idle. Safe to share between threads."""

    def __init__(self, opened: Callable[[], L], *, kept: int) -> None:
        self._opened = opened
        self._idle: queue.LifoQueue[L] = queue.LifoQueue(kept)

    @contextmanager
    def one(self) -> Iterator[L]:
        """A line that stands. One on which anything went wrong is dropped."""
        line = self._borrow()
        try:
            yield line
        except BaseException:
            line.drop()
            raise
        try:
            self._idle.put_nowait(line)
        except queue.Full:
            line.drop()

    def _borrow(self) -> L:
        while True:
            try:
                line = self._idle.get_nowait()
            except queue.Empty:
                return self._opened()
            if line.stands():
                return line
            line.drop()

    def close(self) -> None:
        """Hang up those that are idle."""
        while True:
            try:
                self._idle.get_nowait().drop()
            except queue.Empty:
                return
