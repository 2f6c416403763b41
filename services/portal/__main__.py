"""``python -m services.portal``: serves the desk and the API with uvicorn."""

from __future__ import annotations

from services.chassis import loading  # isort: skip

import sys
from contextlib import nullcontext

import uvicorn

from services.chassis import logs
from services.chassis.client import Client
from services.chassis.settings import REFUSED, SettingsError
from services.portal.app import create_app
from services.portal.observed import metrics_shown
from services.portal.settings import PortalSettings

log = logs.get_logger(__name__)


def main() -> int:
    """Serve until told to stop; the exit code."""
    logs.configure("portal")
    try:
        settings = PortalSettings.from_env()
        client = Client(settings.amqp_uri, pool_size=40)
    except SettingsError as error:
        log.error("service_refuses_to_start", reason=str(error))
        return REFUSED
    shown = metrics_shown(settings.metrics_address) if settings.metrics_address else nullcontext()
    loading.done()
    try:
        with shown:
            uvicorn.run(
                create_app(client, settings),
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=True,
            )
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
