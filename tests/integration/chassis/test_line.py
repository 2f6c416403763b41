"""A question and its answer: over one connection, heard by nobody else, whatever becomes of it."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace

import amqp
import pytest
from nameko.standalone.rpc import ClusterRpcProxy

from services.chassis import amqp_io, line
from services.chassis.client import Client
from services.chassis.edge import EdgeConsumer
from services.chassis.line import AnsweringLine, AskingLine, Line, Lines, NoAnswer
from services.contracts.actors import Role
from services.contracts.errors import Unavailable
from tests.integration.chassis.bus import Room, eventually
from tests.integration.chassis.probe.probe import CountEffects, NoteThing


def cut(room: Room, used: Line) -> None:
    """Let the broker close the connection of a line."""
    port = used._connection._connection.transport.sock.getsockname()[1]
    found = f"[{{pid, P}}, {{peer_port, {port}}}] <- "
    all_of_them = "rabbit_networking:connection_info_all([pid, peer_port])"
    close = f'[rabbit_networking:close_connection(P, "a test") || {found}{all_of_them}].'
    assert room.servers.broker.ctl("eval", close).strip() == "[ok]"


def test_no_queue_of_answers_stands_on_the_broker(bus: Room) -> None:
    """The answer comes to the channel that asked: there is nothing anybody could listen to."""
    with closing(bus.client()) as client:
        client.call(CountEffects(), token=bus.token(Role.TOWN_CLERK))
        queues = [each["name"] for each in bus.servers.broker.queues(bus.uri.rpartition("/")[2])]
    assert "rpc-probe" in queues
    assert not [name for name in queues if "reply" in name]


def test_a_line_cut_while_it_was_idle_is_not_used(
    bus: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks after a quiet night notices nothing of a broker that was started again."""
    monkeypatch.setattr(line, "SILENT_S", 0.0)
    with closing(bus.client()) as client:
        token = bus.token(Role.TOWN_CLERK)
        client.call(CountEffects(), token=token)
        with client._lines.one() as kept:
            pass
        cut(bus, kept)
        assert not kept.stands()
        client.call(CountEffects(), token=token)


def test_a_line_cut_while_it_is_used_is_said_to_the_caller(bus: Room) -> None:
    """Whether the request arrived is not known: the caller asks again with the same key."""
    with closing(bus.client()) as client:
        token = bus.token(Role.TOWN_CLERK)
        client.call(CountEffects(), token=token)
        with client._lines.one() as kept:
            pass
        amqp_io.drop(kept._connection)
        kept._used_at += 60  # it was used this instant, as far as it knows
        with pytest.raises(Unavailable, match="没有及时答复"):
            client.call(CountEffects(), token=token)
        client.call(CountEffects(), token=token)


def test_a_late_answer_is_nobody_elses(bus: Room) -> None:
    """The line on which an answer was given up is dropped: the next question gets its own."""
    with closing(Client(bus.uri, pool_size=1)) as client:
        token = bus.token(Role.TOWN_CLERK)
        slow = NoteThing(thing_id=uuid.uuid4(), amount=1, trouble="sleep2")
        with pytest.raises(Unavailable, match="没有及时答复"):
            client.call(slow, token=token, timeout=0.2)
        assert "effects" in client.call(CountEffects(), token=token)


def test_an_answer_to_another_question_is_refused(own_room: Room) -> None:
    """Whatever the broker hands to a line, it takes only the answer it waits for."""
    with _served(own_room) as requests, closing(own_room.client()) as client:
        with client._lines.one() as used:
            used._answers.append(amqp.Message("{}", correlation_id="earlier"))
        with pytest.raises(NoAnswer, match="another question"):
            used.ask("probe", "count_effects", {}, {}, 5)
        assert _arrived(requests)


@pytest.mark.parametrize("declared", [False, True], ids=["nothing stands", "no queue"])
def test_a_service_that_never_started_is_named(own_room: Room, declared: bool) -> None:
    """At once, and not after the whole patience of the caller."""
    if declared:
        with own_room.broker() as connection:
            connection.channel().exchange_declare(
                line.EXCHANGE, "topic", durable=True, auto_delete=False
            )
    with closing(own_room.client()) as client, pytest.raises(Unavailable, match="没有启动"):
        client.call(CountEffects(), token="x", timeout=60)


def test_namekos_own_callers_are_answered(bus: Room) -> None:
    """Also a portal of the release before, which listens to a queue of its own."""
    with ClusterRpcProxy({"AMQP_URI": bus.uri}) as proxy:
        context = {"actor_token": bus.token(Role.TOWN_CLERK)}
        assert "ok" in proxy.probe.count_effects(body={}, context=context)


def test_a_service_answers_on_another_line_when_its_own_was_cut(own_room: Room) -> None:
    """The caller waits no longer because a connection had ended unnoticed."""
    with _served(own_room) as requests, closing(own_room.client()) as client:
        with client._lines.one() as asking, pytest.raises(NoAnswer):
            asking.ask("probe", "count_effects", {}, {}, 0.0)
        request = _arrived(requests)
        edge = EdgeConsumer()
        edge._lines = Lines(functools.partial(AnsweringLine, own_room.uri), kept=1)
        with edge._lines.one() as kept:
            pass
        cut(own_room, kept)
        kept._used_at += 60  # it was used this instant, as far as it knows
        edge._answer(request, {"ok": 1}, None)
        edge._lines.close()


def test_an_answer_no_broker_takes_is_told_as_such(own_room: Room) -> None:
    """Sent, it would end the line, the request would come again, and so on for ever."""
    with _served(own_room) as requests, closing(own_room.client()) as client:
        with client._lines.one() as asking, pytest.raises(NoAnswer):
            asking.ask("probe", "count_effects", {}, {}, 0.0)
        edge = EdgeConsumer()
        edge._lines = Lines(functools.partial(AnsweringLine, own_room.uri), kept=1)
        edge._answer(_arrived(requests), {"ok": "x" * 17_000_000}, None)
        edge._lines.close()
        eventually(lambda: amqp_io.drain(asking._connection, 1) or asking._answers)
        told = json.loads(asking._answers[0].body)["result"]["error"]
    assert "结果过多" in told["message"]


def test_who_hung_up_is_answered_without_complaint(own_room: Room) -> None:
    """A caller who gave up is no reason to do the work again."""
    with _served(own_room) as requests:
        gone = AskingLine(own_room.uri)
        with pytest.raises(NoAnswer):
            gone.ask("probe", "count_effects", {}, {}, 0.0)
        gone.drop()
        request = _arrived(requests)
        answering = AnsweringLine(own_room.uri)
        answering.answer(request, result={"ok": 1}, error=None)
        answering.drop()


def _arrived(requests: amqp.Channel) -> SimpleNamespace:
    """The request that was just sent, as kombu would hand it over."""
    return SimpleNamespace(
        properties=eventually(lambda: requests.basic_get("rpc-probe")).properties
    )


@contextmanager
def _served(room: Room) -> Iterator[amqp.Channel]:
    """A queue where requests to the probe wait; the channel it is read on."""
    with room.broker() as connection:
        channel = connection.channel()
        channel.exchange_declare(line.EXCHANGE, "topic", durable=True, auto_delete=False)
        channel.queue_declare("rpc-probe", exclusive=True)
        channel.queue_bind("rpc-probe", line.EXCHANGE, "probe.*")
        yield channel
