"""The edge's client: asks the one service that owns the answer, over nameko RPC.

Each call borrows a line, with the request's own timeout.
"""

from __future__ import annotations

import functools
import uuid
from typing import Any, TypeVar

import msgspec
from amqp.exceptions import AMQPError
from amqp.exceptions import NotFound as NoExchange

from services.chassis import amqp_io
from services.chassis.line import AskingLine, Lines, NoAnswer, NobodyThere
from services.chassis.tracing import current_caller, current_traceparent
from services.contracts.commands.common import DescribeFile, DownloadChunk, FileView, UploadChunk
from services.contracts.errors import Unavailable, from_dict
from services.contracts.ids import new_id
from services.contracts.requests import Command, Request

R = TypeVar("R")

UPLOAD_CHUNK_BYTES = 3_000_000


class Client:
    """Calls services. Safe to share between threads."""

    def __init__(self, amqp_uri: str, *, pool_size: int = 16) -> None:
        amqp_io.verified(amqp_uri)  # a wrong address is said at the start
        opened = functools.partial(AskingLine, amqp_uri)
        self._lines: Lines[AskingLine] = Lines(opened, kept=pool_size)

    def call(
        self,
        request: Request[R],
        *,
        token: str | None = None,
        key: str | None = None,
        purpose: str | None = None,
        service: str | None = None,
        timeout: float | None = None,
    ) -> R:
        """Ask, and wait for the answer.

        ``key`` is the idempotency key of a command (a new one when not given). Raises the
        ``ZhidaError`` the service answered with; ``Unavailable`` when it does not answer in
        time: the same key may then be sent again and gives the first answer.
        """
        if isinstance(request, Command) and key is None:
            key = str(uuid.uuid4())
        context = {
            "actor_token": token,
            "idempotency_key": key,
            "purpose": purpose,
            "traceparent": current_traceparent(),
            "caller": current_caller(),
        }
        answer = self._exchange(
            service or request.service(),
            request.method(),
            msgspec.to_builtins(request),
            {name: value for name, value in context.items() if value is not None},
            timeout or request.timeout,
        )
        if "error" in answer:
            raise from_dict(answer["error"])
        result: R = msgspec.convert(answer["ok"], request.result_type(), strict=False)
        return result

    def upload(
        self, service: str, name: str, content: bytes, media_type: str, *, token: str
    ) -> uuid.UUID:
        """Hand a file to ``service`` piece by piece; its id."""
        file_id = new_id()
        pieces = [
            content[i : i + UPLOAD_CHUNK_BYTES] for i in range(0, len(content), UPLOAD_CHUNK_BYTES)
        ] or [b""]
        for number, piece in enumerate(pieces):
            request = UploadChunk(
                file_id=file_id,
                name=name,
                media_type=media_type,
                number=number,
                chunks=len(pieces),
                content=piece,
            )
            self.call(request, token=token, service=service, key=f"{file_id}:{number}")
        return file_id

    def download(self, service: str, file_id: uuid.UUID, *, token: str) -> tuple[FileView, bytes]:
        """A stored file and its content."""
        described = self.call(DescribeFile(file_id=file_id), token=token, service=service)
        content = b"".join(
            self.call(DownloadChunk(file_id=file_id, number=number), token=token, service=service)
            for number in range(described.chunks)
        )
        return described, content

    def _exchange(
        self, service: str, method: str, body: Any, context: dict[str, str], timeout: float
    ) -> dict[str, Any]:
        try:
            with self._lines.one() as line:
                answer: dict[str, Any] = line.ask(service, method, body, context, timeout)
        except (NobodyThere, NoExchange) as error:
            raise Unavailable(f"服务 {service} 没有启动", advice="请稍后重试") from error
        except (NoAnswer, AMQPError, OSError) as error:
            raise Unavailable("系统没有及时答复", advice="请稍后用同一请求重试") from error
        return answer

    def close(self) -> None:
        """Close the pooled connections."""
        self._lines.close()
