"""Each row's alert rings in a real Prometheus while the fault lasts, and is silent after it.

``python -m tests.chaos.alarms`` (``make alarms``): the rules of ``deploy/prometheus`` as they are,
waits and all, so it takes most of an hour. An alert may ring two scrapes later than its rule says,
no more. At the end the promises are read, as after every row. Exit code 1 when one did not ring.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import secrets
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from deploy.local.accounts import RESULTS
from deploy.local.monitoring import Prometheus, watching
from services.chassis import amqp_io, archive
from services.chassis.archive import ORIGIN_EXCHANGE
from tests.chaos import invariants
from tests.chaos.faults.broker import alarmed, frozen, full, in_a_mood, stopped
from tests.chaos.faults.matrix import MATRIX
from tests.chaos.faults.partners import poison, redrive
from tests.chaos.faults.resources import locked_out, under_clock
from tests.chaos.faults.scene import Scene
from tests.chaos.faults.wire import delete_queues
from tests.chaos.invariants import Witness
from tests.chaos.load import Answered, Load, settle_in
from tests.chaos.stage import Stage
from tests.chaos.wire import Mood

PACE_S = 5
"""Between two scrapes; a third of a city's."""
LOOKS = 2
"""Scrapes by which an alert may be later than its rule says (and one evaluation)."""
BEAT_S = 0.5

Lasting = Callable[[Scene], AbstractContextManager[None]]


# -- faults that last --------------------------------------------------------------------------


@contextmanager
def ended(scene: Scene) -> Iterator[None]:
    """A service that nobody starts again."""
    scene.stage.keeper.end("notify")
    try:
        yield
    finally:
        scene.stage.keeper.begin("notify")
        scene.stage.until_ready("notify")


@contextmanager
def poisoned(scene: Scene) -> Iterator[None]:
    """Events that cannot be handled, until somebody has dealt with them."""
    poison(scene)
    try:
        yield
    finally:
        redrive(scene)


@contextmanager
def deleted(scene: Scene) -> Iterator[None]:
    """Queues deleted by hand: they are back at once, the alert says that it happened."""
    delete_queues(scene)
    yield


@contextmanager
def an_hour_slow(scene: Scene) -> Iterator[None]:
    """One service under a clock that is not its database's."""
    file = scene.stage.folder / "cases.slow"
    file.write_text("-3600")
    scene.stage.keeper.restart("cases", under_clock(file))
    try:
        yield
    finally:
        scene.stage.keeper.restart("cases")
        scene.stage.until_ready("cases")


@contextmanager
def dawdling(scene: Scene) -> Iterator[None]:
    """A consumer slower than what comes: five seconds a batch with anything new in it, 150 events
    a second."""
    scene.witness.read()
    letters = [
        (archive._copy(message, **{ORIGIN_EXCHANGE: said.exchange}), "", "notify.copies")
        for said, message in scene.witness.latest
        if "notify.copies" in invariants.bound_to(said)
    ]
    over = threading.Event()

    def come() -> None:
        connection = amqp_io.connect(scene.stage.servers.amqp_uri)
        try:
            publisher, endless = amqp_io.ConfirmedPublisher(connection), itertools.cycle(letters)
            while not over.wait(1):
                publisher.publish(list(itertools.islice(endless, 150)))
        finally:
            amqp_io.drop(connection)

    order = scene.stage.order("notify", "dawdle", 5)
    coming = threading.Thread(target=come, daemon=True)
    coming.start()
    try:
        yield
    finally:
        over.set()
        coming.join(60)
        order.unlink()


@dataclass(frozen=True)
class Alarm:
    """A fault that lasts until its alert has rung."""

    row: str
    lasting: Lasting
    reaches_s: float = 0.0
    """How long it takes until what the rule looks at is beyond its bound."""
    clears_s: float = 60.0
    """How long after the fault the alert may still ring."""

    @property
    def alert(self) -> str:
        """The alert that the matrix names."""
        (row,) = [row for row in MATRIX if row.number == self.row]
        return row.alert


WINDOW_S = 15 * 60.0
"""Rules that look a quarter of an hour back ring as long."""

ALARMS = (
    Alarm("9", poisoned, 5, WINDOW_S + 60),
    Alarm("Q", deleted, 15, WINDOW_S + 60),
    Alarm("1", ended),
    Alarm("2", lambda scene: stopped(scene.stage, "rabbitmq", signal.SIGKILL)),
    Alarm("3", lambda scene: frozen(scene.stage, "rabbitmq")),
    Alarm("4", lambda scene: in_a_mood(scene.stage.broker_wire, Mood.SILENCE), 45),
    Alarm("4d", lambda scene: in_a_mood(scene.stage.database_wire, Mood.SILENCE), 60, 6 * 60),
    Alarm("5", lambda scene: alarmed(scene.stage), 10),
    Alarm("6", lambda scene: full(scene.stage), 75),
    Alarm("17", lambda scene: locked_out(scene.stage), 15),
    Alarm("16", an_hour_slow, 20),
    Alarm("12", lambda scene: stopped(scene.stage, "postgres", signal.SIGQUIT), 15, 6 * 60),
    Alarm("11", lambda scene: in_a_mood(scene.stage.mail_wire, Mood.REFUSE), 60, 120),
    Alarm("10", dawdling, 210, 180),  # to 20,000
)


# -- listening ---------------------------------------------------------------------------------


@dataclass
class Bell:
    """Which alerts ring now, and when each fell silent."""

    prometheus: Prometheus
    ringing: set[str] = field(default_factory=set)
    ended: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ask each second, in a thread of its own."""
        thread = threading.Thread(target=self._listen, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(30)

    def waits_s(self) -> dict[str, float]:
        """The ``for`` of every rule."""
        return {rule["name"]: float(rule.get("duration", 0)) for rule in self.prometheus.rules()}

    def until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Whether something came true in that time."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _listen(self) -> None:
        while not self._over.wait(1):
            with suppress(OSError, ValueError, RuntimeError):
                found = self.prometheus.query('ALERTS{alertstate="firing"}')
                now = {each["metric"]["alertname"] for each in found}
                for alert in self.ringing - now:
                    self.ended[alert].append(time.monotonic())
                self.ringing = now

    def silent_after(self, alert: str, since: float) -> float | None:
        """Seconds from ``since`` until the alert first fell silent; ``None`` while it rings."""
        ends = [at - since for at in self.ended[alert] if at >= since]
        return min(ends, default=None if alert in self.ringing else 0.0)


def ring(alarm: Alarm, scene: Scene, bell: Bell) -> dict[str, Any]:
    """Let the fault last until its alert rings; what came of it."""
    alert, allowed = alarm.alert, alarm.reaches_s + bell.waits_s()[alarm.alert]
    allowed += (LOOKS + 1) * PACE_S
    quiet = bell.until(lambda: alert not in bell.ringing, 20 * 60)
    scene.expect(quiet, f"row {alarm.row}: {alert} rings before anything is hurt")
    others = set(bell.ringing)
    began = time.monotonic()
    with alarm.lasting(scene):
        rang = bell.until(lambda: alert in bell.ringing, allowed + 120)
        took = time.monotonic() - began
        beside = sorted(bell.ringing - others - {alert})
    scene.expect(rang and took <= allowed, f"row {alarm.row}: {alert} {took:.0f} s > {allowed:.0f}")
    return {
        "row": alarm.row, "alert": alert, "allowed_s": round(allowed), "rang_s": round(took, 1),
        "rang": rang, "over": time.monotonic(), "beside": beside,
    }  # fmt: skip


def clear(alarm: Alarm, found: dict[str, Any], scene: Scene, bell: Bell) -> None:
    """Wait until the alert is silent, and note how long after the fault that was."""
    over = found.pop("over")
    left = over + alarm.clears_s - time.monotonic()
    bell.until(lambda: bell.silent_after(alarm.alert, over) is not None, left)
    silent = bell.silent_after(alarm.alert, over)
    within = silent is not None and silent <= alarm.clears_s
    scene.expect(within, f"row {alarm.row}: {alarm.alert} silent after {silent} s")
    found["silent_s"] = None if silent is None else round(silent, 1)


def play(alarms: Sequence[Alarm], people: int, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """All of them one after the other over one city; what came of each, what was wrong."""
    rng = random.Random(seed)
    with Stage() as stage:
        answered, witness = Answered(), Witness(stage)
        stage.begin()
        town = settle_in(stage, people, seed)
        invariants.until_quiet(stage)
        load = Load(stage, town, answered, rng)
        scene = Scene(stage, town, load, answered, witness, rng, short=False)
        outcomes = []
        with watching(stage.stack, stage.folder / "prometheus", every_s=PACE_S) as prometheus:
            bell = Bell(prometheus)
            # a count that grew before it was looked at has not grown
            bell.until(lambda: bool(prometheus.query("min(count_over_time(up[5m])) >= 3")), 120)
            with bell.listening():
                load.start_gently(BEAT_S)
                for alarm in alarms:
                    outcomes.append(ring(alarm, scene, bell))
                    if alarm.clears_s < WINDOW_S:  # else the others go on meanwhile
                        clear(alarm, outcomes[-1], scene, bell)
                    print(line(outcomes[-1]), flush=True)
                for alarm, found in zip(alarms, outcomes, strict=True):
                    if "over" in found:
                        clear(alarm, found, scene, bell)
                load.stop()
        invariants.until_quiet(stage)
        scene.wrong += invariants.contradictions(stage, answered, witness)
        town.client.close()
    return outcomes, scene.wrong


def line(found: dict[str, Any]) -> str:
    """One line for the terminal."""
    silent = f", silent {found['silent_s']} s after" if "silent_s" in found else ""
    beside = f"  (also {', '.join(found['beside'])})" if found["beside"] else ""
    return (
        f"{found['row']:>4}  {found['alert']:<16} rang after {found['rang_s']:6.1f} s"
        f" of {found['allowed_s']} s{silent}{beside}"
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos.alarms")
    parser.add_argument("--rows", default="", help="some rows only, as 2,3,Q")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    wanted = given.rows.split(",") if given.rows else None
    alarms = [alarm for alarm in ALARMS if wanted is None or alarm.row in wanted]
    began = time.monotonic()
    outcomes, wrong = play(alarms, given.people, given.seed)
    print()
    for found in outcomes:
        print(line(found))
    for words in wrong:
        print(f"  ✗ {words}")
    RESULTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = {"alarms": outcomes, "wrong": wrong, "seconds": round(time.monotonic() - began)}
    shown = json.dumps(told, ensure_ascii=False, indent=2)
    (RESULTS / "alarms.json").write_text(shown + "\n", encoding="utf-8")
    print(f"{told['seconds']} s, {'BROKEN' if wrong else 'all rang and fell silent'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
