"""Rows 7, 8 and Q: answers swallowed, deliveries repeated, queues deleted by hand."""

from __future__ import annotations

from services.chassis import amqp_io, archive
from services.chassis.archive import ORIGIN_EXCHANGE
from tests.chaos import invariants
from tests.chaos.faults.scene import Scene
from tests.chaos.wire import Mood


def swallow_answers(scene: Scene) -> None:
    """What is said arrives, the answer does not, then the connection is reset: broker, database."""
    for _ in range(3 if scene.short else 6):
        for wire in (scene.stage.broker_wire, scene.stage.database_wire):
            wire.set(Mood.SWALLOW)
            scene.work_on(0.2, 0.8)
            wire.cut()
            wire.set(Mood.CARRY)
            scene.work_on(0.5, 1.5)


def repeat_under_load(scene: Scene) -> None:
    """Hundreds of old deliveries come again, shuffled, while new ones come."""
    scene.witness.read()
    scene.seen["repeated under load"] = _repeat(scene, 300, times=2)


def repeat_at_rest(scene: Scene) -> None:
    """With nothing else going on everything comes five times, shuffled: no table changes."""
    invariants.until_quiet(scene.stage)
    scene.witness.read()
    before = invariants.fingerprint(scene.stage)
    scene.seen["repeated at rest"] = _repeat(scene, 400 if scene.short else 3000, times=5)
    invariants.until_quiet(scene.stage)
    after = invariants.fingerprint(scene.stage)
    changed = [table for table in before if before[table] != after[table]]
    scene.expect(not changed, f"repeats changed {', '.join(changed)}")
    scene.seen["tables compared"] = len(before)


def _repeat(scene: Scene, events: int, *, times: int) -> int:
    """Send the latest events to their queues again, each so many times, in any order."""
    letters = [
        (archive._copy(message, **{ORIGIN_EXCHANGE: said.exchange}), "", queue)
        for said, message in list(scene.witness.latest)[-events:]
        for queue in invariants.bound_to(said)
        for _ in range(times)
    ]
    scene.rng.shuffle(letters)
    connection = amqp_io.connect(scene.stage.servers.amqp_uri)
    try:
        publisher = amqp_io.ConfirmedPublisher(connection)
        for start in range(0, len(letters), 500):
            publisher.publish(letters[start : start + 500])
    finally:
        amqp_io.drop(connection)
    return len(letters)


def delete_queues(scene: Scene) -> None:
    """By hand: a work queue, a retry queue, a binding."""
    connection = amqp_io.connect(scene.stage.servers.amqp_uri)
    try:
        channel = connection.channel()
        channel.queue_delete("funding.copies")
        channel.queue_delete("cases.copies.retry.500ms")
        channel.queue_unbind("notify.copies", "registry.internal", "person.contact_changed.v1.#")
    finally:
        amqp_io.drop(connection)
    for name in ("funding", "cases", "notify"):
        scene.eventually(
            lambda name=name: scene.stage.metric(name, "zhida_queue_refills_total") > 0,  # type: ignore[misc]
            f"{name} gives its queue back what it lost",
        )
