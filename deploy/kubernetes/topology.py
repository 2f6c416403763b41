"""The broker's topology as custom resources of the Messaging Topology Operator, from the code.

Every exchange, queue and binding that the services declare, and a user for each process with the
rights that ``services.chassis.rights`` has. The services declare them as well, and find them
there; so both must be equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from services.chassis import rights, topology
from services.chassis.discovery import NAMES, service_class
from services.chassis.service import work_queues
from services.chassis.settings import RETRY_STEPS, Settings, parse_steps
from services.chassis.topology import Layout, WorkQueue

CLUSTER = "broker"
VHOST = "zhida"

Manifest = dict[str, Any]


def queues_of(service: str) -> list[WorkQueue]:
    """What a service consumes, with the waits it has unless told otherwise."""
    return work_queues(service_class(service), parse_steps(RETRY_STEPS))


def layout() -> Layout:
    """All that the four services declare, with the settings they have unless told otherwise."""
    parts = [
        topology.service_layout(name, queues_of(name), archive_max_bytes=Settings.archive_max_bytes)
        for name in NAMES
    ]
    return Layout(
        exchanges=tuple(sorted({name for part in parts for name in part.exchanges})),
        queues={name: arguments for part in parts for name, arguments in part.queues.items()},
        bindings=tuple(sorted({binding for part in parts for binding in part.bindings})),
    )


def manifests() -> Iterator[Manifest]:
    """Vhost, exchanges, queues and bindings, in a steady order."""
    found = layout()
    yield _resource("Vhost", VHOST, {"name": VHOST, "defaultQueueType": "quorum"}, in_vhost=False)
    for name in found.exchanges:
        spec = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
        yield _resource("Exchange", _dns(name), spec)
    for name, arguments in sorted(found.queues.items()):
        rest = dict(arguments)
        queue = {
            "name": name,
            "type": rest.pop("x-queue-type"),
            "durable": True,
            "autoDelete": False,
            **({"arguments": rest} if rest else {}),
            "deletionPolicy": "retain",
        }
        yield _resource("Queue", _dns(name), queue)
    for queue_name, source, key in found.bindings:
        spec = {
            "source": source,
            "destination": queue_name,
            "destinationType": "queue",
            "routingKey": key,
        }
        yield _resource("Binding", _dns(f"{queue_name} from {source} {key}"), spec)


def user_manifests() -> Iterator[Manifest]:
    """Who may do what; the passwords stand in the Secrets ``broker-NAME`` and nowhere here."""
    for user in rights.written():
        credentials = {"importCredentialsSecret": {"name": f"broker-{user.user}"}}
        yield _resource("User", user.user, credentials, in_vhost=False)
        who = {"userReference": {"name": user.user}}
        allowed = {"configure": user.configure, "write": user.write, "read": user.read}
        yield _resource("Permission", user.user, {**who, "permissions": allowed})
        for exchange, (write, read) in sorted(user.topics.items()):
            said = {"exchange": exchange, "write": write, "read": read}
            name = _dns(f"{user.user} on {exchange}")
            yield _resource("TopicPermission", name, {**who, "permissions": said})


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
