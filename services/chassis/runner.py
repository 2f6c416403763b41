"""Runs one service: ``python -m services.chassis.runner registry``.

nameko's own command line needs ``pkg_resources``; this is all it would do for us.
"""

from services.chassis import loading  # isort: skip

import eventlet

eventlet.monkey_patch()  # before anything else is imported

# ruff: noqa: E402
import os
import signal
import sys
from typing import Any

from nameko.containers import ServiceContainer

from services.chassis import amqp_io, logs, schema
from services.chassis.discovery import NAMES, service_class
from services.chassis.settings import REFUSED, Settings, SettingsError
from services.chassis.uow import Foundation

log = logs.get_logger(__name__)

DRAIN_SECONDS = 50
"""Less than the patience of the local supervisor (60) and of the kubelet (90)."""


def container(name: str, settings: Settings) -> ServiceContainer:
    """The nameko container of a service, not started."""
    config: dict[str, Any] = {
        **amqp_io.of_nameko(settings.amqp_uri),
        "WEB_SERVER_ADDRESS": settings.health_address,
        "max_workers": settings.max_workers,
        "serializer": "json",
        "HEARTBEAT": 20,
        "foundation": Foundation.build(settings),
    }
    return ServiceContainer(service_class(name), config)


def drain(running: ServiceContainer) -> None:
    """Finish what is in hand and end, within ``DRAIN_SECONDS``.

    A broker that is away would be waited for without end (kombu reconnects for ever, and nameko
    waits for kombu). What is given up is delivered again; the inbox knows what was done.
    """
    eventlet.spawn_after(DRAIN_SECONDS, _give_up)
    running.stop()


def _give_up() -> None:
    log.error("drain_given_up", seconds=DRAIN_SECONDS)
    sys.stdout.flush()
    os._exit(1)


def main(name: str) -> int:
    """Run until SIGTERM or SIGINT, then drain; the exit code (``REFUSED``: it did not start)."""
    service: str = service_class(name).name
    logs.configure(service)
    try:
        settings = Settings.from_env(service)
        if name in NAMES:
            schema.require(name, settings.database_url)
        running = container(name, settings)
        signal.signal(signal.SIGTERM, lambda *_: eventlet.spawn_n(drain, running))
        signal.signal(signal.SIGINT, lambda *_: eventlet.spawn_n(drain, running))
        loading.done()
        running.start()
    except (SettingsError, schema.WrongSchema) as error:
        log.error("service_refuses_to_start", reason=str(error))
        return REFUSED
    log.info("service_started")
    running.wait()
    log.info("service_stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
