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
from tests.chaos.wire import Mood, Wire


@contextlib.contextmanager
def stopped(stage: Stage, server: str, number: signal.Signals) -> Iterator[None]:
    """A server ended by a signal, and the same one again."""
    stage.end_server(server, number)
    try:
        yield
    finally:
        stage.start_server(server)


def kill_broker(scene: Scene) -> None:
    """kill -9, and the same node again."""
    with stopped(scene.stage, "rabbitmq", signal.SIGKILL):
        scene.work_on(0.5, 2)


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


@contextlib.contextmanager
def in_a_mood(wire: Wire, mood: Mood) -> Iterator[None]:
    """A wire that does not carry."""
    wire.set(mood)
    try:
        yield
    finally:
        wire.set(Mood.CARRY)


def cut_off_broker(scene: Scene) -> None:
    """Nothing passes between services and broker, and nobody is told."""
    with in_a_mood(scene.stage.broker_wire, Mood.SILENCE):
        time.sleep(20)
        scene.alive()


def cut_off_database(scene: Scene) -> None:
    """Nothing passes between services and databases, and nobody is told; then it is cut."""
    with in_a_mood(scene.stage.database_wire, Mood.SILENCE):
        time.sleep(15)
        scene.alive()
    scene.stage.database_wire.cut()


@contextlib.contextmanager
def alarmed(stage: Stage) -> Iterator[None]:
    """A broker that believes its disk to be full."""
    try:
        stage.ctl("set_disk_free_limit", "100000GB")
        yield
    finally:
        stage.ctl("set_disk_free_limit", "50MB")


def disk_alarm(scene: Scene) -> None:
    """The broker takes nothing in until the alarm clears."""
    with alarmed(scene.stage):
        began = time.monotonic()
        connection = amqp_io.connect(scene.stage.servers.amqp_uri)
        amqp_io.drop(connection)
        scene.expect(time.monotonic() - began < 15, "dropping a connection hangs under the alarm")
        time.sleep(15)
        scene.alive()
        for name in SERVICES:
            scene.expect(scene.stage.answers(name) == 200, f"{name} says it is not ready")


@contextlib.contextmanager
def full(stage: Stage) -> Iterator[None]:
    """Funding is down and its queue takes twenty messages."""
    policy = {
        "vhost": stage.vhost,
        "name": "chaos-full",
        "pattern": "^funding\\.copies$",
        "apply-to": "queues",
        "priority": 10,
        "definition": {"max-length": 20},
    }
    stage.servers.broker.define({"policies": [policy]})
    stage.keeper.end("funding")
    try:
        yield
    finally:
        stage.ctl("clear_policy", "-p", stage.vhost, "chaos-full")
        stage.keeper.begin("funding")
        stage.until_ready("funding")


def fill_a_queue(scene: Scene) -> None:
    """Registry keeps what the queue does not take."""
    stage, waiting = scene.stage, "SELECT count(*) FROM outbox"
    with full(stage):
        kept = scene.eventually(
            lambda: stage.number("registry", waiting) > 10,
            "registry's outbox keeps what the queue refuses",
            120,
        )
        if kept:
            scene.seen["kept"] = stage.number("registry", waiting)
