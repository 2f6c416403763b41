"""Puts the portal together: rooms, API, headers, refusals, metrics."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from services.contracts.errors import NotFound, Unauthenticated, ZhidaError
from services.portal import api
from services.portal.bounds import BoundedBodies
from services.portal.desk import Desk, Services
from services.portal.headers import SafeHeaders
from services.portal.observed import Observed, observation
from services.portal.places import Gazetteer
from services.portal.rendering import STATIC, environment
from services.portal.rooms import ROOMS
from services.portal.sessions import SessionCookie
from services.portal.settings import PortalSettings

log = logging.getLogger("zhida.portal")


class Broken(ZhidaError):
    """Something of ours failed; the details are in the log, not on the page."""

    code = "broken"
    status = 500


def create_app(services: Services, settings: PortalSettings) -> ASGIApp:
    """The portal as an ASGI application, asking ``services`` for everything."""
    app = FastAPI(title="直达", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    app.state.cookie = SessionCookie(settings.session_secret, secure=settings.secure_cookies)
    app.state.gazetteer = Gazetteer()
    app.state.templates = environment(settings)
    app.state.upload_limit = settings.upload_megabytes * 1048576
    for room in ROOMS:
        app.include_router(room)
    app.include_router(observation(services))
    app.mount("/api/v1", api.create_api(services))
    app.mount("/static", GZipMiddleware(StaticFiles(directory=STATIC)), name="static")
    app.add_exception_handler(ZhidaError, _refused)
    app.add_exception_handler(HTTPException, _no_such_page)
    app.add_exception_handler(RequestValidationError, _no_such_page)
    app.add_exception_handler(Exception, _broken)
    bounded = BoundedBodies(app, file_bytes=settings.upload_megabytes * 1048576)
    return Observed(SafeHeaders(bounded, behind_tls=settings.secure_cookies))


def _refused(request: Request, error: Exception) -> Response:
    """A refusal becomes the same page with an error summary; no sign-in becomes the door."""
    assert isinstance(error, ZhidaError)
    desk: Desk = request.state.desk
    if isinstance(error, Unauthenticated) and request.url.path != "/sign-in":
        expired = desk.session.token is not None
        desk.sign_out()
        back = request.url.path if request.method == "GET" else "/desk"
        return desk.go(f"/sign-in?back={back}", "登录已过期，请重新登录" if expired else None)
    return desk.refused(error)


def _no_such_page(request: Request, error: Exception) -> Response:
    """An address that leads nowhere, or one with a malformed identifier."""
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    return _desk_of(request).refused(
        NotFound("没有这个页面", advice="请核对网址，或从左侧菜单进入")
        if status == HTTPStatus.NOT_FOUND
        else Broken("这个地址不接受这样的请求", advice="请从左侧菜单进入")
    )


def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours: said plainly on the page, whole in the log."""
    log.error("request failed", exc_info=error)
    return _desk_of(request).refused(
        Broken(
            "系统出了故障，刚才的操作可能没有完成",
            advice="请稍后核对结果再重试；仍不行请告知管理员",
        )
    )


def _desk_of(request: Request) -> Desk:
    """The request's desk; one is made for a request that never reached a handler."""
    found: Desk | None = getattr(request.state, "desk", None)
    return found or Desk.of(request)
