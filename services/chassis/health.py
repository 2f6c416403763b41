"""Answers for the kubelet and Prometheus: alive, ready, measured."""

from __future__ import annotations

import json
import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from werkzeug.wrappers import Response

from services.chassis.uow import Foundation

STALE_AFTER_S = 90
"""A consumer loop that has not turned for this long is stuck (it turns twice a second)."""


def metrics() -> Response:
    """All metrics of this process in the text format."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def live(container: Any) -> Response:
    """200 while the event loop and every consumer loop turn. Tests neither broker nor database."""
    now = time.monotonic()
    stuck = [
        consumer.queue.name
        for consumer in _consumers(container)
        if now - consumer.last_beat > STALE_AFTER_S
    ]
    return _json({"stuck": stuck}, 503 if stuck else 200)


def ready(container: Any, foundation: Foundation) -> Response:
    """200 while every consumer is connected and the database answers."""
    away = [c.queue.name for c in _consumers(container) if not c.connected]
    problems = [f"queue {name} is not consumed" for name in away]
    try:
        with foundation.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready
        problems.append(f"database: {type(error).__name__}")
    return _json({"problems": problems}, 503 if problems else 200)


def _consumers(container: Any) -> list[Any]:
    return [
        entrypoint.consumer
        for entrypoint in container.entrypoints
        if getattr(entrypoint, "consumer", None) is not None
    ]


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/json")
