"""KEDA's resources: more consumers of a service while its queues are long, from the code.

A service is scaled as a whole. That is safe for its relay: one process at a time holds the lock and
relays, the others only consume and answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.chassis.discovery import NAMES, service_class
from services.chassis.service import work_queues

Manifest = dict[str, Any]

WAITING_EACH = 2_000
"""Messages waiting for each replica: about a second of work of a handler that writes set-based."""

FEWEST, MOST = 2, 6


def manifests() -> Iterator[Manifest]:
    """For each service who may look at its queues, and how far it may grow."""
    for name in NAMES:
        yield {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "TriggerAuthentication",
            "metadata": {"name": name},
            "spec": {"secretTargetRef": [{"parameter": "host", "name": name, "key": "AMQP_URI"}]},
        }
        yield {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": name},
            "spec": {
                "scaleTargetRef": {"name": name},
                "minReplicaCount": FEWEST,
                "maxReplicaCount": MOST,
                "pollingInterval": 15,
                "cooldownPeriod": 300,
                "advanced": {
                    "horizontalPodAutoscalerConfig": {
                        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}
                    }
                },
                "triggers": [
                    {
                        "type": "rabbitmq",
                        "metadata": {
                            "protocol": "amqp",
                            "queueName": queue.name,
                            "mode": "QueueLength",
                            "value": str(WAITING_EACH),
                        },
                        "authenticationRef": {"name": name},
                    }
                    for queue in work_queues(service_class(name), ())
                ],
            },
        }
