"""Rows 2 to 6: the broker is away, frozen, cut off, alarmed, full."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from deploy.local.servers import SERVICES
from services.chassis import amqp_io
from tests.chaos.faults.scene import Scene
from tests.chaos.stage import Stage
from tests.chaos.wire import Mood


def kill_broker(scene: Scene) -> None:
    """kill -9, and the same node again."""
    scene.stage.end_server("rabbitmq", signal.SIGKILL)
    scene.work_on(0.5, 2)
    scene.stage.start_server("rabbitmq")


@contextlib.contextmanager
def frozen(stage: Stage, server: str) -> Iterator[None]:
    """SIGSTOP to a server and all its children; SIGCONT at the end."""
    family = stage.family(server)
    try:
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def freeze_broker(scene: Scene) -> None:
    """The broker neither answers nor goes."""
    before = {name: scene.stage.log(name).count("relay_interrupted") for name in SERVICES}
    with frozen(scene.stage, "rabbitmq"):
        time.sleep(13 if scene.short else 20)
        scene.alive()
        gave_up = [n for n in SERVICES if scene.stage.log(n).count("relay_interrupted") > before[n]]
        scene.expect("registry" in gave_up, "registry's relay still waits for a confirm")


def cut_off_broker(scene: Scene) -> None:
    """Nothing passes between services and broker, and nobody is told."""
    scene.stage.broker_wire.set(Mood.SILENCE)
    time.sleep(20)
    scene.alive()
    scene.stage.broker_wire.set(Mood.CARRY)


def cut_off_database(scene: Scene) -> None:
    """Nothing passes between services and databases, and nobody is told; then it is cut."""
    scene.stage.database_wire.set(Mood.SILENCE)
    time.sleep(15)
    scene.alive()
    scene.stage.database_wire.set(Mood.CARRY)
    scene.stage.database_wire.cut()


def disk_alarm(scene: Scene) -> None:
    """The broker takes nothing in until the alarm clears."""
    try:
        scene.stage.ctl("set_disk_free_limit", "100000GB")
        began = time.monotonic()
        connection = amqp_io.connect(scene.stage.servers.amqp_uri)
        amqp_io.drop(connection)
        scene.expect(time.monotonic() - began < 15, "dropping a connection hangs under the alarm")
        time.sleep(15)
        scene.alive()
        for name in SERVICES:
            scene.expect(scene.stage.answers(name) == 200, f"{name} says it is not ready")
    finally:
        scene.stage.ctl("set_disk_free_limit", "50MB")


def fill_a_queue(scene: Scene) -> None:
    """Funding is down and its queue takes twenty messages: registry keeps the rest."""
    stage, broker = scene.stage, scene.stage.servers.broker
    policy = {
        "vhost": stage.vhost,
        "name": "chaos-full",
        "pattern": "^funding\\.copies$",
        "apply-to": "queues",
        "priority": 10,
        "definition": {"max-length": 20},
    }
    broker.define({"policies": [policy]})
    stage.keeper.end("funding")
    try:
        kept = scene.eventually(
            lambda: stage.number("registry", "SELECT count(*) FROM outbox") > 10,
            "registry's outbox keeps what the queue refuses",
            120,
        )
        if kept:
            scene.seen["kept"] = stage.number("registry", "SELECT count(*) FROM outbox")
    finally:
        stage.ctl("clear_policy", "-p", stage.vhost, "chaos-full")
        stage.keeper.begin("funding")
        stage.until_ready("funding")
