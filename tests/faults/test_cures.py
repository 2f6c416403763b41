"""Defects of nameko and its clients: each shown twice, with our cure and with it taken out.

The rows follow what was found in nameko 2.14.1, kombu 5.7 and py-amqp 5.4. A scenario answers
whether the promise held; the test wants ``True`` with the cure and ``False`` without, so that a
cure that cures nothing fails as surely as one that is gone.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import amqp
import kombu
import pytest
from kombu.serialization import dumps
from nameko.rpc import Responder, RpcConsumer

from services.chassis import amqp_io, topology
from services.chassis.client import Client
from services.chassis.edge import DrainingQueueConsumer, EdgeConsumer
from services.chassis.line import Lines
from services.contracts.actors import Role
from services.contracts.errors import Unavailable
from tests.faults.conftest import Wounded
from tests.integration.chassis.bus import (
    DIVISION,
    QUEUE,
    Room,
    eventually,
    message,
    noted,
)
from tests.integration.chassis.probe.probe import CountEffects, NoteThing

pytestmark = [pytest.mark.timeout(240)]

KEY = f"thing.noted.v1.{DIVISION}"


def within(seconds: float, true: Callable[[], object]) -> bool:
    """Whether it becomes true in time."""
    try:
        eventually(true, seconds)
    except AssertionError:
        return False
    return True


# -- events -------------------------------------------------------------------------------------


def failed_event_is_not_lost(room: Room, cure: str) -> bool:
    """An event whose handler raises is kept until somebody has mended the cause."""
    room.start(uncured=cure).until_ready()
    room.emit([noted(trouble="raise")])
    eventually(lambda: room.pending() == 0 and room.depth(QUEUE) == 0)
    return within(8, lambda: room.depth(f"{QUEUE}.dead") == 1)


def malformed_is_not_lost(room: Room, cure: str) -> bool:
    """A body nobody can read is kept for a person to look at."""
    room.start(uncured=cure).until_ready()
    room.publish((amqp.Message(b"{", message_id=str(uuid.uuid4())), "probe.events", KEY))
    return within(5, lambda: room.depth(f"{QUEUE}.dead") == 1)


def repeated_event_has_one_effect(room: Room, cure: str) -> bool:
    """A delivery that comes again is known."""
    room.start(uncured=cure).until_ready()
    thing = uuid.uuid4()
    room.publish(*[(message(noted(thing)), "probe.events", KEY)] * 2)
    last = uuid.uuid4()
    room.publish((message(noted(last)), "probe.events", KEY))
    eventually(lambda: room.effects([last]))
    return room.effects([thing]) == [thing]


def foreign_message_can_be_put_off(room: Room, cure: str) -> bool:
    """A message with another's ``user_id`` reaches the retry queue (else 406, for ever)."""
    vhost = room.uri.rpartition("/")[2]
    uri = room.servers.broker.add_user(
        "bureau", "bureau", vhost=vhost, configure="", write=".*", read=""
    )
    room.start(uncured=cure).until_ready()
    sent = message(noted(trouble="raise"), user_id="bureau")
    room.publish((sent, "probe.events", KEY), uri=uri)
    if not within(8, lambda: room.depth(f"{QUEUE}.dead") == 1):
        return False
    (letter,) = room.take(f"{QUEUE}.dead")
    return "ordered to fail" in str(letter.headers.get("x-death-reason"))


def only_the_poison_is_laid_aside(room: Room, cure: str) -> bool:
    """The broker's delivery limit hits nobody who was only near when the process died."""
    things = [uuid.uuid4() for _ in range(300)]
    poison = noted(trouble="die")
    room.start(uncured=cure).until_ready().kill()
    room.emit([*(noted(thing) for thing in things[:-1]), poison, noted(things[-1])], bulk=True)
    for _ in range(12):
        process = room.start(uncured=cure)
        eventually(
            lambda process=process: not process.alive() or room.depth(f"{QUEUE}.dead") > 0, 60
        )
        if room.depth(f"{QUEUE}.dead") > 0:
            break
    if not process.alive():
        room.start(uncured=cure)
    eventually(lambda: len(room.effects()) + room.depth(f"{QUEUE}.dead") >= len(things) + 1, 60)
    letters = room.take(f"{QUEUE}.dead")
    return [str(poison.thing_id) in str(letter.body) for letter in letters] == [True]


def long_handler_keeps_its_connection(room: Room, cure: str) -> bool:
    """A handler longer than two heartbeats is not interrupted and runs once."""
    process = room.start(uncured=cure).until_ready()
    thing = uuid.uuid4()
    room.emit([noted(thing, trouble="sleep4")])
    eventually(lambda: room.effects([thing]))
    eventually(lambda: room.depth(QUEUE) == 0)
    return not process.logged("consumer_interrupted")


def lost_binding_is_noticed(room: Room, cure: str) -> bool:
    """What was published while the binding was gone arrives."""
    room.start(uncured=cure).until_ready()
    with room.broker() as connection:
        connection.channel().queue_unbind(QUEUE, "probe.events", "thing.noted.v1.#")
    thing = uuid.uuid4()
    room.emit([noted(thing)])
    return within(60 if cure == "nothing" else 12, lambda: room.effects([thing]))


# -- requests -----------------------------------------------------------------------------------


def request_in_hand_is_answered_on_sigterm(room: Room, cure: str) -> bool:
    """SIGTERM in the middle of a request of seven seconds: acknowledged, not run again."""
    process = room.start(uncured=cure).until_ready()
    client = room.client()
    request = NoteThing(thing_id=uuid.uuid4(), amount=1, trouble="sleep7")
    asking = threading.Thread(target=_ask, args=(client, request, room.token(Role.TOWN_CLERK)))
    asking.start()
    eventually(lambda: room.rows("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in%%'"))
    process.signal(signal.SIGTERM)
    process.popen.wait(30)
    asking.join(30)
    client.close()
    return room.depth("rpc-probe") == 0


def database_away_kills_nothing(room: Room, cure: str) -> bool:
    """A request while the database refuses connections is answered; the process lives on."""
    process = room.start(uncured=cure).until_ready()
    name = room.url.rpartition("/")[2]
    client, token = room.client(), room.token(Role.TOWN_CLERK)
    admin = room.servers.cluster.connect()
    with admin.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            with pytest.raises(Unavailable):
                client.call(CountEffects(), token=token, timeout=6)
            return not within(3, lambda: not process.alive())
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            admin.close()
            client.close()


def _ask(client: Client, request: NoteThing, token: str) -> None:
    with suppress(Unavailable):
        client.call(request, token=token)


ROWS = [
    (failed_event_is_not_lost, "ack_on_error", "nothing"),
    (malformed_is_not_lost, "malformed_acked", "nothing"),
    (repeated_event_has_one_effect, "no_inbox", "nothing"),
    (foreign_message_can_be_put_off, "foreign_user_kept", "nothing"),
    (only_the_poison_is_laid_aside, "suspects_in_company", "impatient_suspects"),
    (long_handler_keeps_its_connection, "beatless", "beating"),
    (lost_binding_is_noticed, "no_gaps_seen", "nothing"),
    (request_in_hand_is_answered_on_sigterm, "closing_before_the_end", "nothing"),
    (database_away_kills_nothing, "session_opened_for_every_worker", "nothing"),
]


@pytest.mark.parametrize("cured", [True, False], ids=["cured", "uncured"])
@pytest.mark.parametrize(
    ("scenario", "taken_out", "left_in"), ROWS, ids=lambda row: getattr(row, "__name__", "")
)
def test_service(
    own_room: Room,
    scenario: Callable[[Room, str], bool],
    taken_out: str,
    left_in: str,
    cured: bool,
) -> None:
    """The promise holds with the cure in the running service, and breaks without it."""
    assert scenario(own_room, left_in if cured else taken_out) is cured


# -- the client library -------------------------------------------------------------------------


def test_unroutable_does_not_vanish(own_room: Room) -> None:
    """Cured: an event no queue takes is not confirmed. Uncured: it is gone with a confirm."""
    with own_room.broker() as connection:
        connection.channel().exchange_declare("void", "topic", durable=True, auto_delete=False)
        ours = amqp_io.ConfirmedPublisher(connection)
        with pytest.raises(amqp_io.NotConfirmed):
            ours.publish_one(message(noted()), "void", KEY)
        confirmed: list[int] = []
        channel = connection.channel()
        channel.confirm_select()
        channel.events["basic_ack"].add(lambda tag, _multiple: confirmed.append(tag))
        channel.basic_publish(message(noted()), "void", KEY)
        connection.drain_events(timeout=5)
        assert confirmed == [1]


def test_a_full_queue_is_not_taken_for_a_confirm(own_room: Room) -> None:
    """Cured: a nack is a failure. Uncured (any answer will do): the event would be forgotten."""
    with own_room.broker() as connection:
        connection.channel().queue_declare(
            "full",
            durable=True,
            auto_delete=False,
            arguments={
                "x-queue-type": "quorum",
                "x-max-length": 1,
                "x-overflow": "reject-publish",
            },
        )
        ours = amqp_io.ConfirmedPublisher(connection)
        many = [(message(noted()), "", "full") for _ in range(200)]
        ours.publish(many)  # the limit of a quorum queue is taken note of after a moment
        eventually(lambda: len(ours.publish(many)) < 200)
        careless = amqp_io.ConfirmedPublisher(connection)
        careless.channel.events["basic_nack"].clear()
        careless.channel.events["basic_nack"].add(careless._on_ack)
        assert len(careless.publish(many)) == 200


def test_publishing_without_permission_is_said_at_once(own_room: Room) -> None:
    """Refused access is an error at once, not a confirm that never comes."""
    vhost = own_room.uri.rpartition("/")[2]
    with own_room.broker() as connection:
        connection.channel().exchange_declare("ours", "topic", durable=True, auto_delete=False)
    uri = own_room.servers.broker.add_user(
        "mute", "mute", vhost=vhost, configure="", write="^none$", read=""
    )
    with own_room.broker(uri) as connection, pytest.raises(amqp.AccessRefused):
        amqp_io.ConfirmedPublisher(connection).publish_one(message(noted()), "ours", KEY)


@pytest.mark.parametrize(
    ("strategy", "kept"),
    [("at-least-once", 20), ("at-most-once", 0)],
    ids=["cured", "uncured"],
)
def test_a_retried_event_outlives_its_work_queue(own_room: Room, strategy: str, kept: int) -> None:
    """Dead-lettering by default loses what waits in a retry queue when the work queue is gone."""
    with own_room.broker() as connection:
        connection.channel().queue_declare(
            "step",
            durable=True,
            auto_delete=False,
            arguments={
                "x-queue-type": "quorum",
                "x-message-ttl": 1000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "work",
                "x-dead-letter-strategy": strategy,
                "x-overflow": "reject-publish",
            },
        )
        publisher = amqp_io.ConfirmedPublisher(connection)
        publisher.publish([(message(noted()), "", "step") for _ in range(20)])
    assert own_room.depth("step") == 20
    eventually(lambda: own_room.depth("step") == 0)
    vhost = own_room.uri.rpartition("/")[2]

    def held() -> int:
        (queue,) = own_room.servers.broker.queues(vhost)
        return int(queue.get("messages", -1))

    eventually(lambda: held() == kept)


def test_our_retry_queues_are_declared_so() -> None:
    """The cure above stands in the topology itself."""
    declared: list[tuple[str, dict[str, object]]] = []

    class Recorder:
        def queue_declare(self, queue: str, **options: dict[str, object]) -> None:
            if not options.get("passive"):
                declared.append((queue, options["arguments"]))

        def exchange_declare(self, *_: object, **__: object) -> None:
            pass

        queue_bind = exchange_declare

    from services.chassis.settings import RETRY_STEPS, parse_steps

    steps = parse_steps(RETRY_STEPS)
    topology.declare_queue(Recorder(), topology.WorkQueue("a.b", (), steps), archive_max_bytes=1)
    waits = {name: found for name, found in declared if ".retry." in name}
    assert [found["x-message-ttl"] for found in waits.values()] == [
        1_000,
        10_000,
        60_000,
        600_000,
        3_600_000,
    ]
    for found in [*waits.values(), dict(declared)["a.b"]]:
        assert found["x-dead-letter-strategy"] == "at-least-once"
        assert found["x-overflow"] == "reject-publish"


def test_the_contract_is_not_kombus_json() -> None:
    """Cured: UUIDs and dates are plain text. Uncured: ``__type__`` that only kombu reads."""
    import msgspec

    event = noted()
    assert b"__type__" not in msgspec.json.encode(event)
    _, _, body = dumps({"id": uuid.uuid4(), "at": datetime.now(UTC)}, serializer="json")
    assert "__type__" in body


class _Broken:
    """A message whose connection has been reset."""

    channel = kombu.Connection("memory://").channel()
    acknowledged = False

    def ack(self) -> None:
        raise ConnectionResetError("reset by peer")

    requeue = ack


def test_a_reset_connection_at_the_acknowledgement_kills_nothing() -> None:
    """Cured: logged; the broker delivers again. Uncured: the error ends the container."""
    from nameko.messaging import QueueConsumer

    consumer = DrainingQueueConsumer()
    consumer.ack_message(_Broken())
    consumer.requeue_message(_Broken())
    with pytest.raises(ConnectionResetError):
        _as_nameko(QueueConsumer)(consumer, _Broken())


def test_a_request_of_a_lost_connection_does_not_end_the_next_ones() -> None:
    """What was in hand before a reconnect settles nothing that came after: SIGTERM still waits."""
    consumer = DrainingQueueConsumer()
    old, new = _Broken(), _Broken()
    consumer._in_hand.add(id(old))
    consumer.on_connection_revived()
    consumer._in_hand.add(id(new))
    consumer.ack_message(old)
    consumer.on_iteration()
    assert not consumer.should_stop
    consumer.ack_message(new)
    consumer.on_iteration()
    assert consumer.should_stop


def _as_nameko(cls: type) -> Callable[..., None]:
    def ack(consumer: object, broken: _Broken) -> None:
        assert cls.ack_message is not DrainingQueueConsumer.ack_message
        broken.ack()

    return ack


@pytest.mark.parametrize("error", [ConnectionResetError, kombu.exceptions.OperationalError])
def test_a_reply_that_cannot_be_sent_kills_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Cured: the request goes back. Uncured: the error ends the container."""
    returned: list[object] = []
    request = SimpleNamespace(properties={"content_type": "application/json", "reply_to": "x"})
    queue = SimpleNamespace(requeue_message=returned.append)

    def refuse(*_: object, **__: object) -> Any:
        raise error("reset by peer")

    consumer = EdgeConsumer()
    consumer._lines = Lines(refuse, kept=1)
    monkeypatch.setattr(consumer, "queue_consumer", queue)
    assert consumer.handle_result(request, {"ok": 1}, None) == ({"ok": 1}, None)
    assert returned == [request]

    namekos = RpcConsumer()
    container = SimpleNamespace(config={"AMQP_URI": "amqp://nowhere"})
    monkeypatch.setattr(namekos, "container", container, raising=False)
    monkeypatch.setattr(Responder.publisher_cls, "publish", refuse)
    with pytest.raises(error):
        namekos.handle_result(request, {"ok": 1}, None)


def test_an_unanswered_request_ends(own_room: Room) -> None:
    """Cured: the caller is told in time that nobody answers. Uncured: it waits for ever."""
    with own_room.broker() as connection:
        channel = connection.channel()
        channel.exchange_declare("nameko-rpc", "topic", durable=True, auto_delete=False)
        channel.queue_declare("rpc-probe", durable=True, auto_delete=False)
        channel.queue_bind("rpc-probe", "nameko-rpc", "probe.*")
    client = own_room.client()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="答复"):
        client.call(CountEffects(), token="any", timeout=1)
    assert time.monotonic() - began < 5
    client.close()
    waiting = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WAITING.format(uri=own_room.uri)],
        stderr=subprocess.DEVNULL,
    )
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(6)
    finally:
        waiting.kill()
        waiting.wait()


WAITING = """
from nameko.standalone.rpc import ClusterRpcProxy
with ClusterRpcProxy({{"AMQP_URI": {uri!r}}}) as proxy:
    proxy.probe.count_effects(body={{}}, context={{}})
"""
COOPERATIVE = """
import eventlet
eventlet.monkey_patch({but})
import time
from sqlalchemy import text
from services.chassis.database import engine
made = engine({url!r}, pool_size=4)
def nap(_):
    with made.connect() as connection:
        connection.execute(text("SELECT pg_sleep(0.7)"))
list(eventlet.GreenPool().imap(nap, range(4)))
began = time.monotonic()
list(eventlet.GreenPool().imap(nap, range(4)))
print(time.monotonic() - began)
"""


@pytest.mark.parametrize("patched", [True, False], ids=["cured", "uncured"])
def test_the_database_driver_yields(own_room: Room, patched: bool) -> None:
    """Cured: four naps of 0.7 s take one. Uncured (as psycopg 3): they queue, and block the hub."""
    code = COOPERATIVE.format(but="" if patched else "psycopg=False", url=own_room.url)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (float(done.stdout.split()[-1]) < 2.4) is patched


@pytest.mark.alone
def test_confirms_and_closing_have_a_bound(wounded: Wounded) -> None:
    """Under a disk alarm. Cured: an error in time, and dropped at once. Uncured: both hang."""
    broker = wounded.servers.broker
    broker.ctl("set_disk_free_limit", "100000GB")
    try:
        connection = amqp_io.connect(wounded.servers.amqp_uri)
        publisher = amqp_io.ConfirmedPublisher(connection)
        began = time.monotonic()
        sending = publisher.send([(message(noted()), "", "nowhere")])
        with pytest.raises(amqp_io.NotConfirmed):
            publisher.settle(sending, timeout=2)
        amqp_io.drop(connection)
        assert time.monotonic() - began < 4

        plain = kombu.Connection(
            wounded.servers.amqp_uri, transport_options={"confirm_publish": True}
        )

        def publish() -> None:
            plain.Producer().publish({}, routing_key="nowhere")

        publishing = threading.Thread(target=publish, daemon=True)
        publishing.start()
        publishing.join(4)
        assert publishing.is_alive()

        other = amqp_io.connect(wounded.servers.amqp_uri)
        other.channel().basic_publish(message(noted()), "", "nowhere")
        closing = threading.Thread(target=other.release, daemon=True)
        closing.start()
        closing.join(4)
        assert closing.is_alive()
    finally:
        broker.ctl("set_disk_free_limit", "50MB")
    for stuck in (publishing, closing):
        stuck.join(20)
    for left in (plain, other):
        amqp_io.drop(left)


def test_the_window_of_a_refill_is_shorter_than_the_inbox_remembers() -> None:
    """A refill may bring what is thirty days old: the inbox still knows it."""
    from services.chassis import archive

    assert timedelta(days=30) >= archive.REFILL_WINDOW
