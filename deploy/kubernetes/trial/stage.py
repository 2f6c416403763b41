"""Where the trial plays, seen from the pod ``outside``: the cluster's broker and databases.

The pod's folder ``ZHIDA_HOME`` stands for that of a local stack; what the director hands over
(addresses, passwords) is kept there as ``given.json``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Self

import msgspec

from deploy.local.accounts import RESULTS
from deploy.local.broker import Broker
from deploy.local.stack import KEYS, Stack

GIVEN = RESULTS / "given.json"
TOLD = RESULTS / "told.json"
FILES = RESULTS / "files"
STATISTICS_S = 1.0
"""Twice the interval at which the trial's broker renews its statistics."""


class ClusterBroker(Broker, frozen=True, kw_only=True):
    """The cluster's broker: there is no ``rabbitmqctl`` here, the management port must do."""

    def queues(self, vhost: str) -> list[dict[str, Any]]:
        """The queues and their messages, no older than this call."""
        time.sleep(STATISTICS_S)
        found: list[dict[str, Any]] = self.management().ask("GET", "queues", vhost)
        return found


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the director hands over. Secrets: the file is its owner's alone."""

    amqp_uri: str
    broker_admin_password: str
    database_urls: dict[str, str]
    bureau_public_key: str
    admin_password: str
    people: int
    seed: int

    @classmethod
    def read(cls) -> Self:
        """As it was handed over."""
        return msgspec.json.decode(GIVEN.read_bytes(), type=cls)

    def keep(self) -> None:
        """Write it where ``read`` finds it, and the key where a local stack has its keys."""
        keep(GIVEN, msgspec.json.encode(self))
        keep(KEYS, f"BUREAU_PUBLIC_KEY={self.bureau_public_key}\n".encode())

    def broker(self) -> ClusterBroker:
        """The cluster's broker, at the name of its Service."""
        return ClusterBroker(
            host="broker",
            home="/tmp",  # noqa: S108  (it has none here)
            amqp_port=5672,
            management_port=15672,
            prometheus_port=15692,
            distribution_port=25672,
            epmd_port=4369,
            cookie="",
            password="",
            admin_password=self.broker_admin_password,
        )

    def stack(self) -> Stack:
        """The cluster in the words of a local stack."""
        return Stack(
            amqp_uri=self.amqp_uri,
            database_urls=self.database_urls,
            ports={},
            mode="demo",
            broker=self.broker(),
            cluster=None,
        )


def keep(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
