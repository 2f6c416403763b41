"""Promises of the bus, on the real broker and database, with the probe at work."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import amqp
import pytest

from services.chassis import archive, arrivals, topology
from services.contracts.actors import Role
from services.contracts.commands.common import ListDeadLetters, RedriveDeadLetters
from services.contracts.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from tests.integration.chassis.bus import (
    DIVISION,
    QUEUE,
    STEPS,
    Process,
    Room,
    eventually,
    message,
    noted,
    recorded,
)
from tests.integration.chassis.probe.probe import CountEffects, NoteThing, WeighFile


def test_every_event_takes_effect_once(bus: Room) -> None:
    """A thousand events in one transaction are a thousand effects, and stay so."""
    things = [uuid.uuid4() for _ in range(1000)]
    bus.emit((noted(thing) for thing in things), bulk=True)
    eventually(lambda: len(bus.effects(things)) >= len(things))
    assert sorted(bus.effects(things)) == sorted(things)
    eventually(lambda: bus.pending() == 0)


def test_a_repeated_event_is_ignored(bus: Room, process: Process) -> None:
    """The same event five times over, as after a lost confirm, has one effect."""
    thing = uuid.uuid4()
    repeated = message(noted(thing))
    before = process.metric("zhida_inbox_duplicates_total", subscription=QUEUE)
    bus.publish(*[(repeated, "probe.events", f"thing.noted.v1.{DIVISION}")] * 5)
    eventually(
        lambda: process.metric("zhida_inbox_duplicates_total", subscription=QUEUE) == before + 4
    )
    assert bus.effects([thing]) == [thing]


def test_the_body_is_plain_json_and_the_headers_are_cloudevents(bus: Room) -> None:
    """What other bureaus get needs no library of ours: no tagged types, nine attributes."""
    thing = uuid.uuid4()
    bus.emit([noted(thing)])
    eventually(lambda: bus.effects([thing]))
    sent = _archived(bus, "probe.events")[-1]
    body = json.loads(sent.body)
    assert body["thing_id"] == str(thing)
    assert "__type__" not in json.dumps(body)
    attributes = {name.removeprefix("cloudEvents:") for name in sent.headers}
    assert {"specversion", "id", "source", "type", "subject", "time", "dataschema"} < attributes
    assert sent.headers["cloudEvents:sequence"].startswith("421083:")
    assert sent.properties["message_id"] == sent.headers["cloudEvents:id"]
    assert sent.properties["delivery_mode"] == 2
    assert sent.properties["content_type"] == "application/json"


def test_the_same_key_gives_the_first_answer(bus: Room) -> None:
    """An idempotency key used again gives the first answer; with other arguments an error."""
    client, token, key = bus.client(), bus.token(Role.TOWN_CLERK), str(uuid.uuid4())
    request = NoteThing(thing_id=uuid.uuid4(), amount=7)
    assert [client.call(request, token=token, key=key) for _ in range(3)] == [7, 7, 7]
    with pytest.raises(Conflict) as refused:
        client.call(NoteThing(thing_id=request.thing_id, amount=8), token=token, key=key)
    assert refused.value.reason == "idempotency_key_reused"
    eventually(lambda: bus.effects([request.thing_id]))
    assert bus.effects([request.thing_id]) == [request.thing_id]
    client.close()


def test_rights_are_checked_by_the_service(bus: Room) -> None:
    """No token, another role, a malformed request: refused, in Chinese, and nothing happens."""
    client, thing = bus.client(), uuid.uuid4()
    request = NoteThing(thing_id=thing, amount=1)
    with pytest.raises(Unauthenticated, match="登录"):
        client.call(request)
    with pytest.raises(Unauthenticated, match="登录"):
        client.call(request, token="forged")
    with pytest.raises(Forbidden, match="权限"):
        client.call(request, token=bus.token(Role.AUDITOR))
    malformed = NoteThing(thing_id="nothing", amount="many")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="格式"):
        client.call(malformed, token=bus.token(Role.TOWN_CLERK))
    assert client.call(CountEffects(), token=bus.token(Role.AUDITOR))["effects"] >= 0
    assert bus.effects([thing]) == []
    client.close()


def test_heavy_work_runs_in_a_process_of_its_own(bus: Room) -> None:
    """A file goes up in pieces and is read by a command in an unpatched child process."""
    client, token = bus.client(), bus.token(Role.TOWN_CLERK)
    content = bytes(range(256)) * 20_000
    file_id = client.upload("probe", "册.bin", content, "application/octet-stream", token=token)
    assert client.call(WeighFile(file_id=file_id), token=token) == len(content)
    described, back = client.download("probe", file_id, token=token)
    assert (described.name, back) == ("册.bin", content)
    client.close()


MALFORMED = {
    "no JSON": (b"{", {}, "内容不合格式"),
    "a field missing": (b'{"division": "421083"}', {}, "thing_id"),
    "a field of another type": (
        b'{"thing_id": "01900000-0000-7000-8000-000000000001", "division": "4", "amount": "x"}',
        {},
        "$.amount",
    ),
    "an unknown type": (b"{}", {"cloudEvents:type": "thing.forgotten.v9"}, "thing.forgotten.v9"),
    "no id": (b"{}", {"cloudEvents:id": "first"}, "编号"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_goes_to_the_dead_letters_at_once(bus: Room, process: Process, case: str) -> None:
    """What is no event we know is laid aside with its reason; its neighbours are applied."""
    body, headers, reason = MALFORMED[case]
    good = [uuid.uuid4() for _ in range(3)]
    bad = message(noted())
    bad.body = body
    bad.headers.update(headers)
    _key = f"thing.noted.v1.{DIVISION}"
    bus.publish(
        (message(noted(good[0])), "probe.events", _key),
        (bad, "probe.events", _key),
        (message(noted(good[1])), "probe.events", _key),
        (message(noted(good[2])), "probe.events", _key),
    )
    eventually(lambda: bus.depth(f"{QUEUE}.dead") == 1)
    eventually(lambda: len(bus.effects(good)) == 3)
    client = bus.client()
    (letter,) = client.call(ListDeadLetters(), token=bus.token(Role.AUDITOR), service="probe")
    client.close()
    assert reason in letter.reason
    assert letter.attempts == 0
    assert len(bus.take(f"{QUEUE}.dead")) == 1


def test_a_failing_event_waits_out_its_steps_and_harms_nobody(bus: Room) -> None:
    """Retry steps in order, then the dead letters; the others of the batch are applied at once."""
    good, bad = [uuid.uuid4() for _ in range(20)], uuid.uuid4()
    events = [noted(thing) for thing in good]
    events.insert(10, noted(bad, trouble="raise"))
    bus.emit(events)
    eventually(lambda: len(bus.effects(good)) == 20)
    eventually(lambda: bus.depth(f"{QUEUE}.dead") == 1)
    (letter,) = bus.take(f"{QUEUE}.dead")
    assert letter.headers["x-attempts"] == len(STEPS.split(","))
    waited = sorted(letter.headers["x-death"], key=lambda death: death["time"])
    assert {death["queue"] for death in waited} == {f"{QUEUE}.retry.{s}" for s in STEPS.split(",")}
    assert [death["count"] for death in waited] == [1, 1, 1]
    assert "ValueError: ordered to fail" in letter.headers["x-death-reason"]
    assert json.loads(letter.body)["thing_id"] == str(bad)
    assert bus.effects([bad]) == []
    assert sorted(bus.effects(good)) == sorted(good)


def test_headers_of_others_are_not_trusted(bus: Room) -> None:
    """Nonsense where we keep our counts neither ends the process nor skips an attempt."""
    thing, fine = uuid.uuid4(), uuid.uuid4()
    bad = message(noted(thing, trouble="raise"))
    nonsense = {
        "x-attempts": "many",
        "x-delivery-count": "often",
        "cloudEvents:sequence": "421083:²",
        "cloudEvents:traceparent": "none",
        "x-death": "never",
    }
    bad.headers.update(nonsense)
    bare = message(noted(fine), application_headers=None)
    key = f"thing.noted.v1.{DIVISION}"
    bus.publish((bad, "probe.events", key), (bare, "probe.events", key))
    eventually(lambda: bus.depth(f"{QUEUE}.dead") == 1)
    (letter,) = bus.take(f"{QUEUE}.dead")
    assert letter.headers["x-attempts"] == len(STEPS.split(","))
    eventually(lambda: bus.effects([fine]))
    broken = amqp.Message(b"{", application_headers={"x-attempts": "many"})
    bus.publish((broken, "probe.events", key), (amqp.Message(b"{"), "probe.events", key))
    eventually(lambda: bus.depth(f"{QUEUE}.dead") == 2)
    client, token = bus.client(), bus.token(Role.SYSTEM_ADMIN)
    letters = client.call(ListDeadLetters(), token=token, service="probe")
    assert [letter.attempts for letter in letters] == [0, 0]
    assert client.call(RedriveDeadLetters(queue=QUEUE), token=token, service="probe") == 2
    client.close()
    eventually(lambda: bus.depth(f"{QUEUE}.dead") == 2)
    bus.take(f"{QUEUE}.dead")


def test_dead_letters_are_redriven(bus: Room) -> None:
    """After the cause is mended, one dead letter goes back by id, then the rest; audited."""
    things = [uuid.uuid4() for _ in range(3)]
    bus.emit([noted(thing, trouble="until_calm") for thing in things])
    eventually(lambda: bus.depth(f"{QUEUE}.dead") == 3)
    client, token = bus.client(), bus.token(Role.SYSTEM_ADMIN)
    audited = "SELECT count(*) FROM audit WHERE action = 'dead_letters.redriven'"
    ((before,),) = bus.rows(audited)
    bus.rows("INSERT INTO calm (id) VALUES (1)")
    try:
        letters = client.call(ListDeadLetters(), token=token, service="probe")
        one = RedriveDeadLetters(queue=QUEUE, event_id=letters[1].event_id)
        assert client.call(one, token=token, service="probe") == 1
        eventually(lambda: len(bus.effects(things)) == 1)
        assert client.call(RedriveDeadLetters(queue=QUEUE), token=token, service="probe") == 2
        eventually(lambda: sorted(bus.effects(things)) == sorted(things))
        with pytest.raises(NotFound, match="没有队列"):
            client.call(RedriveDeadLetters(queue="probe.none"), token=token, service="probe")
    finally:
        bus.rows("DELETE FROM calm")
        client.close()
    assert bus.rows(audited) == [(before + 2,)]
    assert bus.depth(f"{QUEUE}.dead") == 0


def test_a_bureaus_event_survives_a_retry(bus: Room) -> None:
    """A message with another's ``user_id`` is put off and applied, its sender still known."""
    vhost = bus.uri.rpartition("/")[2]
    uri = bus.servers.broker.add_user(
        "police", "police", vhost=vhost, configure="", write=".*", read=""
    )
    thing = uuid.uuid4()
    sent = message(noted(thing, trouble="until_calm"), user_id="police")
    bus.publish((sent, "probe.events", f"thing.noted.v1.{DIVISION}"), uri=uri)
    eventually(lambda: bus.depth(f"{QUEUE}.dead") == 1)
    bus.rows("INSERT INTO calm (id) VALUES (1)")
    client = bus.client()
    try:
        redrive = RedriveDeadLetters(queue=QUEUE)
        client.call(redrive, token=bus.token(Role.SYSTEM_ADMIN), service="probe")
        eventually(lambda: bus.effects([thing]))
    finally:
        bus.rows("DELETE FROM calm")
        client.close()
    assert bus.rows("SELECT origin FROM effect WHERE thing_id = %s", str(thing)) == [("police",)]


def test_sequences_have_no_gaps(bus: Room) -> None:
    """Per exchange, type and county the archive counts 1, 2, 3 …: a child's event leaves none."""
    bus.emit(
        noted(division=division, child=number % 3 == 0)
        for number in range(60)
        for division in ("421083108007", "421083001", "420106")
    )
    eventually(lambda: bus.pending() == 0)
    for exchange in ("probe.events", "probe.internal"):
        series: dict[tuple[str, str], list[int]] = defaultdict(list)
        for sent in _archived(bus, exchange):
            county, _, number = sent.headers["cloudEvents:sequence"].rpartition(":")
            series[sent.headers["cloudEvents:type"], county].append(int(number))
        assert {"421083", "420106"} <= {county for _, county in series}
        for numbers in series.values():
            assert numbers == list(range(1, len(numbers) + 1))


def test_interactive_first_but_an_aggregate_is_never_split(bus: Room) -> None:
    """One urgent event overtakes three thousand of mass work, yet not its own aggregate's."""
    mass = [uuid.uuid4() for _ in range(3000)]
    torn = mass[-1]
    with bus.foundation.begin(archive.system_actor("probe")) as uow:
        uow.emit_all([noted(thing) for thing in mass], bulk=True)
        uow.emit(noted(torn, amount=2))
    eventually(lambda: bus.pending() == 0)
    wanted = {str(thing) for thing in mass}
    order = [
        (body["thing_id"], body["amount"])
        for body in (json.loads(sent.body) for sent in _archived(bus, "probe.events"))
        if body["thing_id"] in wanted
    ]
    assert len(order) == 3001
    position = order.index((str(torn), 2))
    assert position == 1
    assert order[0] == (str(torn), 1)


def test_the_newest_facet_wins_whatever_the_order(bus: Room) -> None:
    """A copy shows the highest version, even when it arrives first, twice and in one batch."""
    thing = uuid.uuid4()
    for batch in ([3, 1], [2, 3], [1]):
        bus.emit([recorded(thing, f"v{version}", version) for version in batch])
    eventually(lambda: bus.pending() == 0)
    find = "SELECT label FROM copy WHERE thing_id = %s"
    eventually(lambda: bus.rows(find, str(thing)) == [("v3",)])
    bus.emit([recorded(thing, "restored", 1, epoch=1)])
    eventually(lambda: bus.rows(find, str(thing)) == [("restored",)])


def test_a_deleted_queue_is_made_again_and_refilled(bus: Room, process: Process) -> None:
    """Deleted by hand while connected: events of before and meanwhile arrive, none twice."""
    before, after = ([uuid.uuid4() for _ in range(50)] for _ in range(2))
    bus.emit([noted(thing) for thing in before])
    eventually(lambda: len(bus.effects(before)) == 50)
    refills = len(process.logged("queue_refilled"))
    with bus.broker() as connection:
        connection.channel().queue_delete(QUEUE)
    bus.emit([noted(thing) for thing in after])
    eventually(lambda: sorted(bus.effects(after)) == sorted(after))
    eventually(lambda: len(process.logged("queue_refilled")) > refills)
    eventually(lambda: bus.depth(QUEUE) == 0)
    assert sorted(bus.effects([*before, *after])) == sorted([*before, *after])


def test_a_deleted_binding_is_noticed_and_what_was_missed_is_fetched(bus: Room) -> None:
    """Nobody is told when a binding goes; the numbers show what never came."""
    lost = [uuid.uuid4() for _ in range(30)]
    with bus.broker() as connection:
        connection.channel().queue_unbind(QUEUE, "probe.events", "thing.noted.v1.#")
    bus.emit([noted(thing) for thing in lost])
    eventually(lambda: sorted(bus.effects(lost)) == sorted(lost), 40)
    kept = uuid.uuid4()
    bus.emit([noted(kept)])
    eventually(lambda: bus.effects([kept]))


def test_readers_of_the_counts_do_not_hide_them_from_each_other(bus: Room) -> None:
    """Many queues look at the same moment: each sees how far the producer has counted."""
    bus.emit([noted()])

    def counted() -> int:
        with bus.broker() as connection:
            found = arrivals.published_by(connection, ["probe"])
        return sum(last for series, last in found.items() if series.type == "thing.noted.v1")

    eventually(counted)
    with ThreadPoolExecutor(8) as readers:
        seen = list(readers.map(lambda _: counted(), range(40)))
    assert all(seen)


def test_deleted_retry_queues_are_made_again(bus: Room) -> None:
    """The queues beside a work queue are looked after too."""
    gone = [f"{QUEUE}.retry.50ms", f"{QUEUE}.dead"]
    with bus.broker() as connection:
        for queue in gone:
            connection.channel().queue_delete(queue)
    eventually(lambda: all(bus.depth(queue) == 0 for queue in gone))


def _archived(bus: Room, exchange: str) -> list[amqp.Message]:
    """What our relay published, in order."""
    since = datetime.now(UTC) - timedelta(hours=1)
    chunks = archive.read_stream(bus.uri, topology.archive(exchange), since)
    return [sent for chunk in chunks for sent in chunk if "cloudEvents:dataschema" in sent.headers]


def test_a_count_that_nobody_can_read_ends_nobody(own_room: Room) -> None:
    """What a stranger leaves in a stream of counts says nothing; what others tell is read."""
    garbled = (b"", b"no json", b'[["a"], 7]', b'{"a": 1}', b"[[1, 2]]")
    names = [f"stranger_{number}" for number in range(len(garbled))]
    told = {arrivals.Series("e", "t", "421083"): 7}
    with own_room.broker() as connection:
        with connection.channel() as channel:
            for name in (*names, "told"):
                topology.declare_published(channel, name)
            own_room.publish(
                *(
                    (amqp.Message(body, delivery_mode=2), "", topology.published(name))
                    for name, body in zip(names, garbled, strict=True)
                ),
                (amqp.Message(b'[["e", "t", "421083", 7]]', delivery_mode=2), "", "told.published"),
            )
            for name in (*names, "told"):
                eventually(lambda name=name: topology.declare_published(channel, name), 60)  # type: ignore[misc]
        assert arrivals.published_by(connection, [*names, "told"]) == told


def test_a_right_clock_shows_no_skew(process: Process) -> None:
    """Measured against the database's; both run on this machine."""
    eventually(lambda: process.metric("zhida_clock_skew_seconds") != 0, 60)
    assert abs(process.metric("zhida_clock_skew_seconds")) < 3


def test_a_request_that_is_too_long_is_refused_at_the_door(bus: Room, process: Process) -> None:
    """Beyond what a piece of a file needs the service says no; beyond that the broker hangs up.
    Nothing is written, and the next request is answered.
    """
    client, token, thing = bus.client(), bus.token(Role.TOWN_CLERK), uuid.uuid4()
    with pytest.raises(Invalid) as refused:
        client.call(NoteThing(thing_id=thing, amount=1, trouble="x" * 7_000_000), token=token)
    assert refused.value.reason == "too_long"
    with pytest.raises(Unavailable):
        client.call(NoteThing(thing_id=thing, amount=1, trouble="x" * 17_000_000), token=token)
    assert client.call(NoteThing(thing_id=uuid.uuid4(), amount=4), token=token) == 4
    assert process.logged("request_too_long")
    assert bus.effects([thing]) == []
    assert process.alive()
    client.close()
