"""The broker's topology as custom resources of the Messaging Topology Operator, from the code.

Every exchange, queue and binding that the services' own declarations make. The services declare
them as well, and find them there; so both must be equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from amqp.protocol import queue_declare_ok_t

from services.chassis import topology
from services.chassis.discovery import NAMES, service_class
from services.chassis.service import work_queues
from services.chassis.settings import RETRY_STEPS, Settings, parse_steps

CLUSTER = "broker"
VHOST = "zhida"

Manifest = dict[str, Any]


@dataclass
class Declared:
    """What was declared on a channel: the declarations of the code are run against this."""

    exchanges: dict[str, Manifest] = field(default_factory=dict)
    queues: dict[str, Manifest] = field(default_factory=dict)
    bindings: set[tuple[str, str, str]] = field(default_factory=set)
    """(exchange, queue, routing key)."""

    def exchange_declare(
        self, exchange: str, kind: str, durable: bool, auto_delete: bool, **more: Any
    ) -> None:
        """As amqp's channel does it."""
        if more:
            raise ValueError(f"exchange {exchange}: {sorted(more)} is not expressed here")
        self.exchanges[exchange] = {"type": kind, "durable": durable, "autoDelete": auto_delete}

    def queue_declare(
        self, queue: str, durable: bool, auto_delete: bool, arguments: Manifest, **more: Any
    ) -> queue_declare_ok_t:
        """As amqp's channel does it."""
        if more:
            raise ValueError(f"queue {queue}: {sorted(more)} is not expressed here")
        rest = dict(arguments)
        self.queues[queue] = {
            "type": rest.pop("x-queue-type"),
            "durable": durable,
            "autoDelete": auto_delete,
            **({"arguments": rest} if rest else {}),
        }
        return queue_declare_ok_t(queue, 0, 0)

    def queue_bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """As amqp's channel does it."""
        self.bindings.add((exchange, queue, routing_key))


def declared() -> Declared:
    """All that the four services declare, with the settings they have unless told otherwise."""
    channel: Any = Declared()
    for name in NAMES:
        for exchange in topology.exchanges_of(name):
            topology.declare_exchange(
                channel, exchange, archive_max_bytes=Settings.archive_max_bytes
            )
        topology.declare_published(channel, name)
        for queue in work_queues(service_class(name), parse_steps(RETRY_STEPS)):
            topology.declare_queue(channel, queue, archive_max_bytes=Settings.archive_max_bytes)
    made: Declared = channel
    return made


def manifests() -> Iterator[Manifest]:
    """The custom resources, in a steady order."""
    found = declared()
    yield _resource("Vhost", VHOST, {"name": VHOST, "defaultQueueType": "quorum"}, in_vhost=False)
    for name, exchange in sorted(found.exchanges.items()):
        yield _resource("Exchange", _dns(name), {"name": name, **exchange})
    for name, queue in sorted(found.queues.items()):
        yield _resource("Queue", _dns(name), {"name": name, **queue, "deletionPolicy": "retain"})
    for source, queue_name, key in sorted(found.bindings):
        spec = {
            "source": source,
            "destination": queue_name,
            "destinationType": "queue",
            "routingKey": key,
        }
        yield _resource("Binding", _dns(f"{queue_name} from {source} {key}"), spec)


def _resource(kind: str, name: str, spec: Manifest, *, in_vhost: bool = True) -> Manifest:
    where: Manifest = {"vhost": VHOST} if in_vhost else {}
    return {
        "apiVersion": "rabbitmq.com/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {**spec, **where, "rabbitmqClusterReference": {"name": CLUSTER}},
    }


def _dns(name: str) -> str:
    """A name of ours as Kubernetes takes it."""
    return re.sub(r"[^a-z0-9]+", "-", name.replace("#", "all").lower()).strip("-")
