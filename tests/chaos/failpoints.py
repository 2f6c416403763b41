"""Runs a service that can be ordered to die, fail or dawdle at a named step.

``python -m tests.chaos.failpoints SERVICE`` with ``CHAOS_ORDERS`` naming a folder. An order is a
file ``<service>.<step>``; without one nothing differs from ``services.chassis.runner``. The steps:

``before_commit``   all is written, nothing is committed: kill -9 (the file holds how many commits
                    to let pass first)
``after_commit``    committed; neither acknowledged nor answered nor published: kill -9
``before_ack``      a batch of events is applied and committed, the broker does not know: kill -9
``after_publish``   the broker has confirmed, the outbox does not know: kill -9
``refuse``          reactions and copies of the queue named in the file fail, as long as it stands
``dawdle``          they take the seconds named in the file more for each batch
``hog``             they hold as many bytes more as the file says

``CHAOS_UNCURED`` takes a cure out of the service (``tests.faults.uncured``): then a row must break.
"""

import eventlet

eventlet.monkey_patch()

# ruff: noqa: E402
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from services.chassis import amqp_io, consumer, runner, service
from tests.faults import uncured

FOLDER = Path(os.environ["CHAOS_ORDERS"])


class Points:
    """The failpoints of one process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hoard = b""

    def pass_by(self, step: str) -> None:
        """Die here, if it was ordered and enough have passed."""
        order = FOLDER / f"{self.name}.{step}"
        try:
            left = int(order.read_text())
        except (FileNotFoundError, ValueError):
            return
        if left > 0:
            order.write_text(str(left - 1))
            return
        order.rename(FOLDER / f"done.{self.name}.{step}")
        os.kill(os.getpid(), signal.SIGKILL)

    def in_hand(self, queue: str) -> None:
        """Before a batch of events is handled."""
        refuse, dawdle, hog = (FOLDER / f"{self.name}.{w}" for w in ("refuse", "dawdle", "hog"))
        if refuse.exists() and queue in refuse.read_text():
            raise ValueError("ordered to fail")
        if dawdle.exists():
            eventlet.sleep(float(dawdle.read_text()))
        if hog.exists() and not self.hoard:
            self.hoard = b"x" * int(hog.read_text())


def arm(points: Points) -> None:
    """Set the points into the chassis."""
    event.listen(Session, "before_commit", lambda _: points.pass_by("before_commit"))
    event.listen(Session, "after_commit", lambda _: points.pass_by("after_commit"))

    settle = amqp_io.ConfirmedPublisher.settle

    def settled(self: Any, *given: Any, **named: Any) -> Any:
        taken = settle(self, *given, **named)
        if taken:
            points.pass_by("after_publish")
        return taken

    amqp_io.ConfirmedPublisher.settle = settled

    wait = consumer._Session._wait

    def waited(self: Any, finished: Any) -> Any:
        failure = wait(self, finished)
        if failure is None:
            points.pass_by("before_ack")
        return failure

    consumer._Session._wait = waited

    run_batch = service.Chassis.run_batch

    def run(self: Any, queue: str, deliveries: Any, handle: Any, **named: Any) -> None:
        def handled(uow: Any, chosen: Any) -> None:
            points.in_hand(queue)
            handle(uow, chosen)

        run_batch(self, queue, deliveries, handled, **named)

    service.Chassis.run_batch = run


if __name__ == "__main__":
    if cure := os.environ.get("CHAOS_UNCURED"):
        getattr(uncured, cure)()
    arm(Points(sys.argv[1]))
    sys.exit(runner.main(sys.argv[1]))
