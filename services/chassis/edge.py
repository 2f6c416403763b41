"""Commands and queries in: who asks, may they, was it asked before; then one transaction."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from amqp.exceptions import AMQPError
from kombu import Connection
from kombu.exceptions import KombuError
from nameko.exceptions import ContainerBeingKilled, serialize
from nameko.messaging import QueueConsumer
from nameko.rpc import Rpc, RpcConsumer
from sqlalchemy import select
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.chassis import audit, metrics, posts, spans, tracing
from services.chassis.actors import ActorVerifier
from services.chassis.amqp_io import NotConfirmed
from services.chassis.line import AnsweringLine, Lines, TooLong
from services.chassis.logs import get_logger
from services.chassis.models import CommandRow
from services.chassis.posts import CLAIM, Posts
from services.chassis.uow import CommitLost, Foundation, UnitOfWork
from services.contracts.actors import Actor, Role
from services.contracts.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Unauthenticated,
    Unavailable,
    ZhidaError,
)
from services.contracts.requests import Request

log = get_logger(__name__)


class _Public(Enum):
    PUBLIC = "public"


PUBLIC = _Public.PUBLIC
"""Anybody, signed in or not (sign-in itself)."""

Access = tuple[Role, ...] | _Public

BROKER_AWAY = (OSError, AMQPError, KombuError)
"""What the clients raise when the broker is away: the socket's, the protocol's or kombu's own."""

MAX_BODY_BYTES = 6_000_000
"""The longest request there is carries three megabytes of a file, four in base64. The broker itself
takes no message beyond sixteen."""

ANSWERING_LINES = 16
"""Connections a process keeps to answer on."""

_NOBODY = Actor(id="anonymous", name="未登录", roles=(), divisions=())


@dataclass(frozen=True)
class Endpoint:
    """One command or query: what it takes, who may ask, how it runs."""

    request: type[Request[Any]]
    access: Access
    writes: bool
    child: bool
    keep_answer: bool
    beside: bool = False
    """It has effects beside the database, which no rollback takes back."""

    def answer(
        self,
        foundation: Foundation,
        handle: Callable[[UnitOfWork, Any], Any],
        body: dict[str, Any],
        context: dict[str, Any],
        *,
        home: str | None,
        staff_posts: Posts | None = None,
    ) -> dict[str, Any]:
        """The answer as it travels: ``{"ok": …}`` or ``{"error": {…}}``. Never raises.

        ``home`` is the service class as ``module:Class``, for a child process to find it; ``None``
        in the child itself. Nobody who may not ask makes a process start. ``staff_posts``
        knows what the asker's post is now.
        """
        service, method = foundation.settings.service, self.request.method()
        started = time.monotonic()
        outcome = "ok"
        in_flight = metrics.REQUESTS_IN_FLIGHT.labels(service)
        in_flight.inc()
        try:
            with tracing.span(f"{service}.{method}", context.get("traceparent")) as span:
                if self.child and home is not None:
                    self._admit(foundation, context)
                    answer = _in_child(home, method, body, context, writes=self.writes)
                    outcome = answer["error"]["code"] if "error" in answer else "ok"
                    return answer
                ask = functools.partial(
                    self._transact, foundation, handle, body, context, span, staff_posts
                )
                return {"ok": self._surely(ask, context)}
        except ZhidaError as error:
            outcome = error.code
            return {"error": error.as_dict()}
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            outcome = "unavailable"
            log.error("database_away", method=method, error=type(error).__name__)
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
            unsure = isinstance(error, CommitLost) or (lost and self.beside)
            return {"error": (_unsure() if unsure and self.writes else _away()).as_dict()}
        except (DataError, OverflowError):  # a number or a day beyond what can be kept
            outcome = Invalid.code
            log.exception("out_of_range", method=method)
            return {"error": _out_of_range().as_dict()}
        except Exception as error:  # the caller gets an answer whatever happens
            outcome = "fault"
            log.exception("request_failed", method=method, error=type(error).__name__)
            fault = ZhidaError(
                "系统内部错误，没有任何改动", advice="请稍后重试；仍不行请联系管理员"
            )
            return {"error": fault.as_dict()}
        finally:
            in_flight.dec()
            metrics.REQUESTS.labels(service, method, outcome).inc()
            metrics.REQUEST_SECONDS.labels(service, method).observe(time.monotonic() - started)

    def _surely(self, ask: Callable[[], Any], context: dict[str, Any]) -> Any:
        """Ask once more, on a new connection, where the server had ended the one that was kept.

        What was done on it is undone; or, when it ended over the commit, known by its key. A
        command whose answer is not kept, that has effects beside the database or runs for long is
        left to the caller.
        """
        try:
            return ask()
        except DBAPIError as error:
            known = self.keep_answer and context.get("idempotency_key")
            again = not self.beside and not self.child and (known or not self.writes)
            if not error.connection_invalidated or not again:
                raise
            log.warning("asked_again", method=self.request.method(), error=type(error).__name__)
            try:
                return ask()
            except (OperationalError, InterfaceError, PoolTimeout) as second:
                if isinstance(error, CommitLost):
                    raise error from second  # what the first time came to is still not known
                raise

    def _transact(
        self,
        foundation: Foundation,
        handle: Callable[[UnitOfWork, Any], Any],
        body: dict[str, Any],
        context: dict[str, Any],
        span: tracing.Span,
        staff_posts: Posts | None,
    ) -> Any:
        actor = self._admit(foundation, context)
        _refuse_nul(body, [])
        try:
            request = msgspec.convert(body, self.request, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid(f"请求内容不合格式：{error}", field=_field(error)) from error
        key = context.get("idempotency_key") if self.writes and self.keep_answer else None
        with foundation.begin(actor) as uow:
            claim = self._claim(uow, str(key), body) if key else None
            ours = self._enter(uow, staff_posts, claim)
            if uow.actor.has(Role.AUDITOR) and not self.writes and self.access is not PUBLIC:
                audit.look(uow, request)
            if not self.writes:
                return msgspec.to_builtins(handle(uow, request))
            if claim and not ours:
                return self._first_answer(uow, claim)
            answer = msgspec.to_builtins(handle(uow, request))
            if claim:
                uow.answer(claim["key"], answer)
            uow.keep(spans.row(span, "command", caller=context.get("caller")))
            return answer

    def _enter(
        self, uow: UnitOfWork, staff_posts: Posts | None, claim: dict[str, Any] | None
    ) -> bool:
        """Let the actor in with what the post gives now; whether the claimed key was free."""
        ours = False
        if staff_posts is None:
            if claim:
                ours = bool(uow.session.connection().execute(CLAIM, claim).rowcount)
            return ours
        if claim:
            post, ours = staff_posts.claim(uow, claim)
        else:
            post = staff_posts.enter(uow)
        uow.actor = posts.as_of_now(uow.actor, post)
        self._require_role(uow.actor)
        return ours

    def _admit(self, foundation: Foundation, context: dict[str, Any]) -> Actor:
        token = context.get("actor_token")
        if not token:
            if self.access is PUBLIC:
                return _NOBODY
            raise Unauthenticated("尚未登录", advice="请先登录")
        verifier = _verifier(foundation.settings.actor_public_keys)
        actor = verifier.actor(str(token), purpose=context.get("purpose"))
        self._require_role(actor)
        return actor

    def _require_role(self, actor: Actor) -> None:
        if not isinstance(self.access, _Public) and not actor.has(*self.access):
            raise Forbidden("您的岗位没有这项权限", advice="请由有权限的岗位办理")

    def _claim(self, uow: UnitOfWork, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """What ``CLAIM`` takes to make the key ours.

        The arguments are kept as a keyed hash: they may hold a password or an identity number.
        """
        arguments = json.dumps([self.request.method(), body], sort_keys=True, default=str)
        return {
            "key": key,
            "method": self.request.method(),
            "arguments_hash": uow.cipher.blind_index(arguments),
            "actor_id": uow.actor.id,
        }

    def _first_answer(self, uow: UnitOfWork, claim: dict[str, Any]) -> Any:
        """What was answered when the key was used before."""
        first = uow.session.scalars(select(CommandRow).where(CommandRow.key == claim["key"])).one()
        known = bytes(first.arguments_hash)  # empty: from before a change of the index key
        if (known and known != claim["arguments_hash"]) or first.actor_id != uow.actor.id:
            raise Conflict(
                "同一个请求编号用在了不同的内容上",
                field="Idempotency-Key",
                advice="请为新的请求使用新的编号",
                reason="idempotency_key_reused",
            )
        return first.answer["answer"] if first.answer else None


_verifier = functools.lru_cache(maxsize=4)(ActorVerifier)
"""One for each set of keys: to read them costs more than to check a token."""


def _field(error: msgspec.ValidationError) -> str | None:
    _, found, path = str(error).rpartition("$.")
    return path.strip("`") if found else None


def _refuse_nul(value: object, path: list[str]) -> None:
    """No column takes U+0000 or half a character: broken scanners and attackers send them."""
    match value:
        case str() if "\0" in value or not _is_text(value):
            raise Invalid(
                "内容中有不可见的控制字符", field=".".join(path) or None, advice="请删去后重新填写"
            )
        case dict():
            for name, inner in value.items():
                _refuse_nul(name, path)
                _refuse_nul(inner, [*path, str(name)])
        case list():
            for inner in value:
                _refuse_nul(inner, path)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _out_of_range() -> Invalid:
    return Invalid("填写的数字或日期超出允许的范围，没有任何改动", advice="请核对后重新填写")


def _too_long() -> Invalid:
    return Invalid(
        f"请求超过 {MAX_BODY_BYTES // 1_000_000} MB，没有接收",
        advice="文件请分块上传，大批内容请分次提交",
        reason="too_long",
    )


def _too_much() -> Invalid:
    return Invalid("查询结果过多，无法一次送达", advice="请缩小范围或减少条数后再查")


def _unsure() -> Unavailable:
    """The connection ended over the commit, or beside what no database takes back."""
    return Unavailable(
        "系统中断，不能确定是否已经办成", advice="请稍后先查询结果，没有办成再重新办理"
    )


def _away() -> Unavailable:
    return Unavailable("系统暂时不可用，没有任何改动", advice="请稍后重试")


def _in_child(
    home: str, method: str, body: dict[str, Any], context: dict[str, Any], *, writes: bool
) -> dict[str, Any]:
    """Run the request in a child process, unpatched, with a transaction of its own."""
    given = json.dumps([body, context], default=str)
    done = subprocess.run(
        [sys.executable, "-m", "services.chassis.child", home, method],
        input=given.encode(),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        log.error("child_failed", method=method, returncode=done.returncode)
        if writes:  # killed before its commit or after, nobody knows
            raise _unsure()
        raise ZhidaError("处理中断，没有任何改动", advice="请检查文件后重试；仍不行请联系管理员")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class DrainingQueueConsumer(QueueConsumer):
    """Keeps the connection until every request in hand is answered and acknowledged.

    nameko closes it about a second after SIGTERM, so a longer request would run twice; and it
    lets a ``ConnectionResetError`` at acknowledgement kill the container.
    """

    def __init__(self) -> None:
        self._in_hand: set[int] = set()
        super().__init__()

    def handle_message(self, provider: Any, body: Any, message: Any) -> None:
        """Count the message in."""
        self._in_hand.add(id(message))
        super().handle_message(provider, body, message)

    def ack_message(self, message: Any) -> None:
        """Acknowledge where the connection still stands; the broker redelivers otherwise."""
        self._in_hand.discard(id(message))
        try:
            super().ack_message(message)
        except BROKER_AWAY:
            log.warning("request_ack_lost")

    def requeue_message(self, message: Any) -> None:
        """Give the message back."""
        self._in_hand.discard(id(message))
        try:
            super().requeue_message(message)
        except BROKER_AWAY:
            log.warning("request_requeue_lost")

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """Connect again within a second of the broker's return: kombu's pauses grow to 30 s."""
        with self.create_connection() as connection:
            connection.ensure_connection(
                self.on_connection_error, interval_start=0.2, interval_step=0.2, interval_max=1.0
            )
            yield connection

    def on_iteration(self) -> None:
        """Stop only when no consumer and no message is left."""
        self._cancel_consumers_if_requested()
        if not self._consumers and not self._in_hand:
            self.should_stop = True

    def on_connection_revived(self) -> None:
        """What was in hand on the old connection comes again: it is not ours to settle."""
        self._in_hand.clear()


class EdgeConsumer(RpcConsumer):
    """The RPC consumer of a service, draining; a reply that cannot be sent kills nothing."""

    queue_consumer = DrainingQueueConsumer()

    def setup(self) -> None:
        """A quorum queue: a classic one is away while the node it stands on is."""
        super().setup()
        self.queue.queue_arguments = {"x-queue-type": "quorum"}
        uri = self.container.config["foundation"].settings.amqp_uri
        opened = functools.partial(AnsweringLine, uri)
        self._lines: Lines[AnsweringLine] = Lines(opened, kept=ANSWERING_LINES)

    def stop(self) -> None:
        """Take no more requests; hang up when the last is answered."""
        super().stop()
        self._lines.close()

    def handle_result(self, message: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        """Reply and acknowledge. Without a broker the caller times out and asks again."""
        try:
            self._answer(message, result, serialize(exc_info[1]) if exc_info else None)
            self.queue_consumer.ack_message(message)
        except (*BROKER_AWAY, NotConfirmed) as error:
            log.warning("reply_lost", error=type(error).__name__)
            self.queue_consumer.requeue_message(message)
        return result, exc_info

    def _answer(self, message: Any, result: Any, error: dict[str, Any] | None) -> None:
        """On a new line where the one that was kept turns out to be broken."""
        try:
            with self._lines.one() as line:
                line.answer(message, result=result, error=error)
        except TooLong:  # it would come again, and never arrive
            log.warning("answer_too_long")
            self._answer(message, {"error": _too_much().as_dict()}, None)
        except BROKER_AWAY:
            self._lines.close()
            with self._lines.one() as line:
                line.answer(message, result=result, error=error)


class EdgeEntrypoint(Rpc):
    """A nameko RPC method that gets the request body and the context headers."""

    rpc_consumer = EdgeConsumer()

    def handle_message(self, body: Any, message: Any) -> None:
        """Spawn a worker for the request."""
        if len(message.body) > MAX_BODY_BYTES:
            log.warning("request_too_long", method=self.method_name, size=len(message.body))
            self.rpc_consumer.handle_result(message, {"error": _too_long().as_dict()}, None)
            return
        context = self.unpack_message_headers(message)
        try:
            self.container.spawn_worker(
                self,
                (body["kwargs"]["body"], {**context, **(body["kwargs"].get("context") or {})}),
                {},
                context_data=context,
                handle_result=lambda ctx, result, exc: self.handle_result(
                    message, ctx, result, exc
                ),
            )
        except ContainerBeingKilled:
            self.rpc_consumer.requeue_message(message)
