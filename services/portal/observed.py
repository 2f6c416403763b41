"""The portal seen by those who run it: ``/livez``, ``/readyz``, metrics on a port of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter
from prometheus_client import Gauge, Histogram, start_http_server
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis import metrics as _build  # noqa: F401 - the version that runs
from services.chassis import tracing
from services.contracts.commands.common import ReadClock
from services.contracts.errors import Unavailable, ZhidaError
from services.portal.desk import Services

READY_WITHIN_S = 2.0

SECONDS = Histogram(
    "zhida_portal_request_seconds",
    "Time to answer a request, by route and status",
    ("method", "route", "status"),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
IN_FLIGHT = Gauge("zhida_portal_requests_in_flight", "Requests being answered.")


class Observed:
    """ASGI middleware: rate, errors and duration of every route (never of an address).

    Each request is a span; who sends ``traceparent`` continues a trace of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how long its answer took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500

        def asked() -> str:
            route = getattr(scope.get("route"), "path", scope["path"])
            return f"portal {scope['method']} {scope.get('root_path', '')}{route}"

        given = dict(scope["headers"]).get(b"traceparent")

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        IN_FLIGHT.inc()
        try:
            with (
                tracing.span("portal", given.decode("latin-1") if given else None),
                tracing.called_by(asked),
            ):
                await self._app(scope, receive, note)
        finally:
            IN_FLIGHT.dec()
            route = getattr(scope.get("route"), "path", "none")
            SECONDS.labels(scope["method"], route, status).observe(time.perf_counter() - begun)


@contextmanager
def metrics_shown(address: str) -> Iterator[int]:
    """``/metrics`` at ``host:port`` within the block; never where the public comes. The port."""
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), host)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def observation(services: Services) -> APIRouter:
    """The two addresses that Kubernetes reads."""
    router = APIRouter()

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
