"""Nothing is read without end: a body that is too long is refused, declared or not."""

from __future__ import annotations

import json

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORM_BYTES = 1_048_576
"""A form or a JSON request: a household with a dozen members is some five kilobytes."""

_SLACK = 1_048_576
"""The fields and boundaries around a file: the desk says itself which file is too big."""


class BoundedBodies:
    """ASGI middleware: 413 for a body over the limit; what follows is not read."""

    def __init__(self, app: ASGIApp, *, file_bytes: int) -> None:
        self._app = app
        self._file_bytes = file_bytes + _SLACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what is read of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        limit = self._limit(scope["path"], headers.get(b"content-type", ""))
        declared = headers.get(b"content-length", "0")
        if not declared.isdigit() or int(declared) > limit:
            await _refuse(send, limit)
            return
        taken, refused = 0, False

        async def counted() -> Message:
            nonlocal taken, refused
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit and not refused:
                refused = True
                await _refuse(send, limit)
            return {"type": "http.disconnect"} if refused else message

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        try:
            await self._app(scope, counted, unless_refused)
        except ClientDisconnect:
            if not refused:
                raise

    def _limit(self, path: str, content_type: str) -> int:
        is_file = content_type.startswith("multipart/form-data") or (
            path.startswith("/api/") and path.endswith("/files")
        )
        return self._file_bytes if is_file else FORM_BYTES


async def _refuse(send: Send, limit: int) -> None:
    problem = {
        "code": "too_large",
        "message": f"请求超过 {limit // 1048576} MB，没有接收",
        "field": None,
        "advice": "请拆分后分次提交",
    }
    body = json.dumps(problem, ensure_ascii=False).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 413,
            "headers": [
                (b"content-type", b"application/json; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
