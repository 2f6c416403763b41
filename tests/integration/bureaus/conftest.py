"""A city that other bureaus join."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from deploy.local import Servers
from deploy.local.ports import free_ports
from services.chassis import topology
from tests.fixtures.services import KEYS, migrated_template
from tests.integration.bureaus.city import (
    ROOT,
    City,
    connected,
    user_of,
)
from tests.integration.chassis.bus import eventually


@pytest.fixture(scope="session")
def city(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Registry running in a process of its own, under its own broker user of least privilege."""
    (port,) = free_ports(1)
    file = tmp_path_factory.mktemp("city") / "bureaus.toml"
    with (
        servers.broker.scratch_vhost() as uri,
        servers.cluster.scratch_database("registry", migrated_template(servers, "registry")) as url,
    ):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "services.chassis.runner", "registry"],
            cwd=ROOT,
            env={
                **os.environ,
                **KEYS,
                "AMQP_URI": user_of(servers, uri, "registry"),
                "REGISTRY_DATABASE_URL": url,
                "ZHIDA_MODE": "test",
                "HEALTH_ADDRESS": f"127.0.0.1:{port}",
                "BUREAU_EVENTS_PER_SECOND": "400",
                "ZHIDA_BUREAUS": str(file),
            },
        )

        def ready() -> bool:
            assert process.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as got:
                    return bool(got.status == 200)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        try:
            eventually(ready, 240)
            with connected(uri) as connection, connection.channel() as channel:
                for exchange in ("cases.events", "funding.events", "registry.internal"):
                    topology.declare_exchange(channel, exchange, archive_max_bytes=20_000_000_000)
            vhost = uri.rpartition("/")[2]
            yield City(
                servers,
                uri,
                url,
                servers.broker.management(vhost),
                file,
                f"http://127.0.0.1:{port}",
            )
        finally:
            process.kill()
            process.wait()
