"""Who is signed in at this shell, and how a command asks a service."""

import mimetypes
import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import click
import msgspec

from deploy.local.accounts import RESULTS
from services.contracts.commands.registry import StaffView
from services.contracts.errors import Invalid, Unauthenticated, Unavailable
from services.contracts.requests import Request

if TYPE_CHECKING:
    from services.chassis.client import Client

R = TypeVar("R")

SESSION = "ZHIDA_SESSION"
"""Names another session file than `.zhida/session`, so that a script may act as several people."""


def call(
    request: Request[R],
    *,
    purpose: str | None = None,
    key: str | None = None,
    service: str | None = None,
    timeout: float | None = None,
) -> R:
    """Ask the service that owns the answer, as the person signed in.

    `purpose` is why personal data is looked at; `key` makes a repeated command harmless;
    `service` is for the requests every service answers. Raises `ZhidaError`, which the command
    line prints in Chinese and turns into the exit code.
    """
    signed = _file().exists()
    from services.chassis import tracing  # loads slowly; most local commands ask nobody

    try:
        with tracing.span("zhida"), tracing.called_by(_command):
            return client().call(
                request,
                token=token() if signed else None,
                purpose=purpose,
                key=key,
                service=service,
                timeout=timeout,
            )
    except Unauthenticated as error:
        raise Unauthenticated(error.message, advice="请运行 zhida login") from error


def _command() -> str:
    """The command that runs, as typed, without what was typed behind it."""
    here = click.get_current_context(silent=True)
    return here.command_path if here else "zhida"


def ask_unsigned(request: Request[R], *, service: str | None = None) -> R:
    """Ask what anybody may: signing in, the clock, the calendar."""
    return client().call(request, service=service)


def upload(service: str, path: Path) -> UUID:
    """Hand a file to a service; its id there."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Invalid(f"读不到文件 {path}：{error.strerror}", advice="请核对路径和权限") from error
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return client().upload(service, path.name, content, media_type, token=token())


def download(service: str, file_id: UUID, to: Path | None = None) -> Path:
    """Fetch a service's file into `to` (a folder or a name; the file's own name by default)."""
    described, content = client().download(service, file_id, token=token())
    path = to or Path(described.name)
    path = path / described.name if path.is_dir() else path
    path.write_bytes(content)
    return path


@cache
def client() -> "Client":
    """The connection to the bus: `AMQP_URI`, or that of this machine's stack."""
    from services.chassis.client import Client  # loads slowly; most local commands ask nobody

    return Client(os.environ.get("AMQP_URI") or _local_bus())


def _local_bus() -> str:
    from deploy.local.stack import Stack  # loads slowly, and in a city the bus is elsewhere

    running = Stack.load()
    if running is None:
        raise Unavailable("这台机器上没有运行直达", advice="先运行 zhida up，或设置 AMQP_URI")
    return running.amqp_uri


class SignedInHere(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in at this shell, until when."""

    token: str
    expires_at: datetime
    account: str
    staff: StaffView


def signed_in() -> SignedInHere:
    """Who is signed in. Raises `Unauthenticated` when nobody is, or no longer."""
    try:
        here = msgspec.json.decode(_file().read_bytes(), type=SignedInHere)
    except (FileNotFoundError, msgspec.DecodeError):
        raise Unauthenticated("还没有登录", advice="请运行 zhida login") from None
    if here.expires_at <= datetime.now(UTC):
        raise Unauthenticated("登录已过期", advice="请重新运行 zhida login")
    return here


def token() -> str:
    """The actor token of the person signed in."""
    return signed_in().token


def keep(here: SignedInHere) -> None:
    """Remember the person for the next commands; only the owner of the file reads it."""
    file = _file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(here))


def forget() -> bool:
    """Sign out at this shell; False when nobody was signed in."""
    existed = _file().exists()
    _file().unlink(missing_ok=True)
    return existed


def _file() -> Path:
    return Path(os.environ.get(SESSION) or RESULTS / "session")
