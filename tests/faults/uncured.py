"""Runs a service with one cure taken out: ``python -m tests.faults.uncured CURE module:Class``.

Each function here undoes one cure of the chassis, so that a test can show that the defect is real
and that nothing else hides it.
"""

import eventlet

eventlet.monkey_patch()

# ruff: noqa: E402
import sys
from typing import Any

from nameko.messaging import QueueConsumer
from nameko.rpc import RpcConsumer
from sqlalchemy import text

from services.chassis import amqp_io, consumer, edge, inbox, runner, service, topology


def nothing() -> None:
    """All cures in place."""


def ack_on_error() -> None:
    """As nameko: an event whose handler raised is acknowledged and gone."""
    consumer._Session._put_off = lambda *_: None


def malformed_acked() -> None:
    """As kombu: what cannot be decoded is acknowledged and gone."""
    consumer._Session._lay_aside = lambda *_: None


def no_inbox() -> None:
    """Every delivery counts as the first."""
    inbox.claim = lambda _session, _subscription, ids: set(ids)


def closing_before_the_end() -> None:
    """As nameko: the connection closes when the consumers are cancelled, whoever still works."""
    edge.DrainingQueueConsumer.on_iteration = QueueConsumer.on_iteration


def session_opened_for_every_worker() -> None:
    """As nameko's providers: what fails before the handler kills the container."""

    def get_dependency(self: Any, _context: Any) -> Any:
        with self.foundation.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return self

    service.Chassis.get_dependency = get_dependency


def foreign_user_kept() -> None:
    """A moved message keeps its ``user_id``: the broker answers 406 and closes the channel."""
    send = amqp_io.ConfirmedPublisher.publish_one

    def publish_one(self: Any, message: Any, exchange: str, key: str) -> None:
        if user := (message.headers or {}).get("x-origin-user"):
            message.properties["user_id"] = user
        send(self, message, exchange, key)

    amqp_io.ConfirmedPublisher.publish_one = publish_one


def suspects_in_company() -> None:
    """As usual: a low delivery limit, and full prefetch whatever has happened before."""
    consumer.SUSPECT_AFTER = 10**9
    topology.DELIVERY_LIMIT = 2


def impatient_suspects() -> None:
    """All cures in place, but the broker's limit low, so that the test need not kill so often."""
    topology.DELIVERY_LIMIT = 6


def beatless() -> None:
    """As a handler that blocks the loop: no heartbeat while a batch is handled."""
    amqp_io.HEARTBEAT_S = 1
    consumer._Session._wait = lambda _self, finished: finished.wait()


def beating() -> None:
    """All cures in place, with as short a heartbeat."""
    amqp_io.HEARTBEAT_S = 1


def replies_must_arrive() -> None:
    """As nameko: a reply that cannot be sent kills the container."""
    edge.EdgeConsumer.handle_result = RpcConsumer.handle_result


def no_gaps_seen() -> None:
    """Queues are declared again, but what was missed meanwhile is not looked for."""
    from services.chassis.arrivals import Arrivals

    Arrivals.missing = lambda *_: []


def main() -> int:
    """Take the cure out and run the service."""
    globals()[sys.argv[1]]()
    return runner.main(sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
