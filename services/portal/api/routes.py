"""Serves the table: decodes, asks the owner with the caller's own token, encodes."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.contracts.errors import Invalid, NotFound, Unauthenticated, ZhidaError
from services.portal.api.openapi import document
from services.portal.api.operations import Operation, operations, repeated
from services.portal.desk import Services

log = logging.getLogger("zhida.portal.api")

_AT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]+)`")

Endpoint = Callable[[Request], Awaitable[Response]]


def create_api(services: Services) -> Starlette:
    """The API as an ASGI application, to be mounted at ``/api/v1``."""
    routes = [
        Route(operation.path, _endpoint(services, operation), methods=[operation.verb])
        for operation in operations()
    ]
    return Starlette(
        routes=[
            Route("/openapi.json", _openapi),
            Route("/{service}/files", _take_file(services), methods=["POST"]),
            Route("/{service}/files/{file_id:uuid}", _give_file(services), methods=["GET"]),
            *routes,
        ],
        exception_handlers={
            ZhidaError: _refused,
            HTTPException: _no_such_address,
            Exception: _broken,
        },
    )


def _endpoint(services: Services, operation: Operation) -> Endpoint:
    """The handler of one operation."""

    async def endpoint(request: Request) -> Response:
        token = None if operation.is_open else _bearer(request)
        key = None
        if operation.kind == "command" and not operation.is_open:
            key = request.headers.get("Idempotency-Key")
            if not key:
                raise Invalid(
                    "缺少请求头 Idempotency-Key",
                    field="Idempotency-Key",
                    advice="每条命令用一个不重复的值；同一条命令重试时用同一个值",
                )
        kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip()
        if operation.verb != "GET" and kind != "application/json":
            raise Invalid("请求正文不是 JSON", advice="Content-Type 用 application/json")
        asked = _read(operation, request.query_params, await request.body())
        answer: Any = await run_in_threadpool(services.call, asked, token=token, key=key)
        return _json(answer)

    return endpoint


def _take_file(services: Services) -> Endpoint:
    """Hand a file to a service: the body is its content, ``name`` stands in the address."""

    async def endpoint(request: Request) -> Response:
        token, owner = _bearer(request), _owner(request)
        name = request.query_params.get("name")
        if not name:
            raise Invalid("缺少文件名", field="name", advice="在地址中给出 ?name=花名册.xlsx")
        kind = request.headers.get("Content-Type", "application/octet-stream")
        content = await request.body()
        file_id = await run_in_threadpool(services.upload, owner, name, content, kind, token=token)
        return _json({"file_id": file_id}, 201)

    return endpoint


def _give_file(services: Services) -> Endpoint:
    """A file that a service keeps."""

    async def endpoint(request: Request) -> Response:
        token, owner = _bearer(request), _owner(request)
        described, content = await run_in_threadpool(
            services.download, owner, request.path_params["file_id"], token=token
        )
        return Response(
            content,
            media_type=described.media_type,
            headers={
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(described.name)}"
            },
        )

    return endpoint


def _owner(request: Request) -> str:
    """The service named in the address. Raises ``NotFound``."""
    name = str(request.path_params["service"])
    if name not in {operation.service for operation in operations()}:
        raise NotFound("没有这个服务", field="service", advice="见 /api/v1/openapi.json")
    return name


def _read(operation: Operation, address: QueryParams, body: bytes) -> Any:
    """The request struct, from the address or the JSON body. Raises ``Invalid`` with the field."""
    try:
        if operation.verb == "GET":
            lists = repeated(operation.request)
            given = {
                name: address.getlist(name) if name in lists else address[name] for name in address
            }
            return msgspec.convert(given, operation.request, strict=False)
        return msgspec.json.decode(body or b"{}", type=operation.request)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except msgspec.DecodeError as error:
        raise Invalid("请求正文不是 JSON", advice="Content-Type 用 application/json") from error


def _invalid(words: str) -> Invalid:
    """msgspec's English as a refusal that names the field in Chinese."""
    if missing := _MISSING.match(words):
        return Invalid(f"缺少字段 {missing['field']}", field=missing["field"])
    if unknown := _UNKNOWN.match(words):
        return Invalid(
            f"没有字段 {unknown['field']}", field=unknown["field"], advice="请核对字段名"
        )
    found = _AT.fullmatch(words)
    field = (found["field"] if found else None) or None
    return Invalid(f"字段 {field or '正文'} 的值不合要求", field=field, advice=words)


def _bearer(request: Request) -> str:
    """The caller's actor token. Raises ``Unauthenticated``."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            "缺少令牌", advice="先调用 registry/sign-in，再用 Authorization: Bearer"
        )
    return token.strip()


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def _openapi(_request: Request) -> Response:
    return _json(document())


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ZhidaError)
    return _json(error.as_dict(), error.status)


async def _no_such_address(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = (
        "这个接口不用这种请求方法"
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
        else "没有这个接口"
    )
    refusal = NotFound(words, advice="见 /api/v1/openapi.json")
    return _json(refusal.as_dict(), error.status_code)


async def _broken(_request: Request, error: Exception) -> Response:
    log.error("api request failed", exc_info=error)
    broken = {
        "code": "broken",
        "reason": None,
        "message": "系统出了故障，这条请求可能没有完成",
        "field": None,
        "advice": "用同一个 Idempotency-Key 重试",
    }
    return _json(broken, 500)
