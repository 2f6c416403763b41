"""The portal seen from outside: ``/metrics``, ``/livez``, ``/readyz``."""

from __future__ import annotations

import time

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.contracts.commands.common import ReadClock
from services.contracts.errors import Unavailable, ZhidaError
from services.portal.desk import Services

READY_WITHIN_S = 2.0

SECONDS = Histogram(
    "zhida_portal_request_seconds",
    "Time to answer a request, by route and status",
    ("method", "route", "status"),
)


class Observed:
    """ASGI middleware: rate, errors and duration of every route (never of an address)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how long its answer took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            SECONDS.labels(scope["method"], route, status).observe(time.perf_counter() - begun)


def observation(services: Services) -> APIRouter:
    """The three addresses that Prometheus and Kubernetes read."""
    router = APIRouter()

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/livez")
    def livez() -> Response:
        return PlainTextResponse("ok")

    @router.get("/readyz")
    def readyz() -> Response:
        """Ready when registry answers; being refused for want of a token is an answer."""
        try:
            services.call(ReadClock(), service="registry", timeout=READY_WITHIN_S)
        except Unavailable as error:
            return PlainTextResponse(error.message, status_code=503)
        except ZhidaError:
            pass
        return PlainTextResponse("ok")

    return router
