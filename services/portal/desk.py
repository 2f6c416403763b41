"""What a handler holds in its hand: one request of one person.

A handler asks (``desk.ask``), does (``desk.do``), and answers with a page (``desk.page``), another
address (``desk.go``) or a file (``desk.file``). A handler that takes a form says first which page
to show again when something is refused (``desk.again``); the refusal then comes back as that page
with an error summary and everything that was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from http import HTTPStatus
from mimetypes import guess_type
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

from fastapi import Depends, Request
from jinja2 import Environment
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.contracts.actors import Actor, Role
from services.contracts.commands.common import FileView, ReadClock
from services.contracts.commands.registry import DivisionView, ListDivisions
from services.contracts.errors import (
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
    ZhidaError,
)
from services.contracts.requests import Command, Query
from services.contracts.requests import Request as ServiceRequest
from services.portal.forms import Form, Problem, problems_of
from services.portal.places import Gazetteer, Town
from services.portal.sessions import COOKIE, Session, SessionCookie, fresh

R = TypeVar("R")


class Services(Protocol):
    """The way to the services; in the city and on a laptop it is RPC over the broker."""

    def call(
        self,
        request: ServiceRequest[R],
        *,
        token: str | None = None,
        key: str | None = None,
        purpose: str | None = None,
        service: str | None = None,
        timeout: float | None = None,
    ) -> R:
        """Ask the owner of the answer. ``key`` makes a command idempotent."""
        ...

    def upload(
        self, service: str, name: str, content: bytes, media_type: str, *, token: str
    ) -> UUID:
        """Hand a file to a service; its id."""
        ...

    def download(self, service: str, file_id: UUID, *, token: str) -> tuple[FileView, bytes]:
        """A stored file and its content."""
        ...


class Portal(Protocol):
    """What the application keeps for its handlers (``app.state``)."""

    services: Services
    cookie: SessionCookie
    gazetteer: Gazetteer
    templates: Environment


class Desk:
    """One request of one person: the session, the way to the services, the form."""

    def __init__(self, request: Request, portal: Portal, session: Session, form: Form) -> None:
        self.request = request
        self.session = session
        self.form = form
        self.problems: tuple[Problem, ...] = ()
        self.again: Callable[[], Response] | None = None
        self.away: set[str] = set()
        self._portal = portal
        self._status = HTTPStatus.OK

    @classmethod
    def of(cls, request: Request, form: Form | None = None) -> Desk:
        """The desk for a request, with the session its cookie carries."""
        portal: Portal = request.app.state
        session = portal.cookie.read(request.cookies.get(COOKIE))
        desk = cls(request, portal, session, form or Form())
        request.state.desk = desk
        return desk

    def ask(self, query: Query[R], *, purpose: str | None = None) -> R:
        """Put a question to the service that owns the answer.

        A look at a person's whole numbers needs a ``purpose``, which is kept.
        """
        return self._portal.services.call(query, token=self.session.token, purpose=purpose)

    def try_ask(self, query: Query[R]) -> R | None:
        """The same for a part of a page that may be missing while its service is away."""
        try:
            return self.ask(query)
        except Unavailable:
            self.away.add(query.service())
        except Forbidden:
            pass
        return None

    def do(self, command: Command[R]) -> R:
        """Give a command. The form's own key makes a double click or a reload harmless."""
        key = f"{self.form.typed('key') or uuid4()}:{command.method()}"
        return self._portal.services.call(command, token=self.session.token, key=key)

    def has(self, *roles: Role) -> bool:
        """Whether the signed-in person holds one of ``roles`` (to choose what to show)."""
        return self.session.has(*roles)

    @property
    def actor(self) -> Actor:
        """Who is signed in."""
        if self.session.actor is None:
            raise Unauthenticated("请先登录")
        return self.session.actor

    def place(self, code: str) -> str:
        """The name of a division."""
        return self._portal.gazetteer.name(code, self._divisions)

    def today(self) -> date:
        """The business date, as registry sees it."""
        services, token = self._portal.services, self.session.token
        return services.call(ReadClock(), token=token, service="registry").today

    def towns(self) -> tuple[Town, ...]:
        """The towns and villages within the person's scopes, to choose from."""
        return self._portal.gazetteer.towns(self.actor.divisions, self._divisions)

    def _divisions(self, county: str) -> list[DivisionView]:
        return self.ask(ListDivisions(parent=county, deep=True))

    @property
    def partial(self) -> bool:
        """Whether htmx asks for a part of the page only."""
        return self.request.headers.get("HX-Request-Type") == "partial"

    def query(self, name: str) -> str | None:
        """A value of the address, ``None`` when absent or empty."""
        return self.request.query_params.get(name, "").strip() or None

    def query_id(self, name: str) -> UUID | None:
        """An identifier in the address, ``None`` when absent. Raises ``NotFound``."""
        value = self.query(name)
        return known_id(value) if value else None

    def page(self, template: str, *, status: int | None = None, **context: Any) -> Response:
        """Render a page; after a refusal its status is the refusal's."""
        html = self._portal.templates.get_template(template).render(
            desk=self,
            session=self.session,
            form=self.form,
            problems=self.problems,
            path=self.request.url.path,
            **context,
        )
        notice, self.session.notice = self.session.notice, None
        response = HTMLResponse(html, status_code=status or self._status)
        if notice or COOKIE not in self.request.cookies:
            self.remember(response)
        return response

    def go(self, url: str, notice: str | None = None) -> Response:
        """Send the person on (303), with a notice for the next page."""
        self.session.notice = notice
        return self.remember(RedirectResponse(url, status_code=HTTPStatus.SEE_OTHER))

    def upload(self, service: str, name: str, content: bytes) -> UUID:
        """Hand an uploaded file on to the service that will read it."""
        media_type = guess_type(name)[0] or "application/octet-stream"
        return self._portal.services.upload(
            service, name, content, media_type, token=self.session.token or ""
        )

    def download(self, service: str, file_id: UUID, *, inline: bool = False) -> Response:
        """A file that a service keeps, for the person to keep or look at."""
        described, content = self._portal.services.download(
            service, file_id, token=self.session.token or ""
        )
        return self.file(described.name, content, described.media_type, inline=inline)

    def file(self, name: str, content: bytes, media_type: str, *, inline: bool = False) -> Response:
        """A file to keep, or to look at first."""
        kind = "inline" if inline else "attachment"
        return Response(
            content,
            media_type=media_type,
            headers={"Content-Disposition": f"{kind}; filename*=UTF-8''{quote(name)}"},
        )

    def remember(self, response: Response) -> Response:
        """Write the session into the answer."""
        self._portal.cookie.write(response, self.session)
        return response

    def sign_out(self) -> None:
        """Forget who was signed in, and every form given out so far."""
        view = self.session.view
        self.session = fresh()
        self.session.view = view

    def refused(self, error: ZhidaError) -> Response:
        """The answer to a refusal: the same page again, or a page that says what is wrong."""
        self.problems = problems_of(error)
        self._status = HTTPStatus(error.status)
        again, self.again = self.again, None
        if again is not None:
            try:
                return again()
            except ZhidaError as second:
                error = second
        return self.page("error.html", error=error)


def known_id(text: str) -> UUID:
    """An identifier as it stands in an address or a hidden field. Raises ``NotFound``."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("这个网址不完整", advice="请从左侧菜单重新进入") from None


async def _arrive(request: Request) -> Desk:
    """Session and form of a request; a form without this session's CSRF token is refused."""
    desk = Desk.of(request)
    if request.method == "POST":
        limit: int = request.app.state.upload_limit
        if int(request.headers.get("content-length") or 0) > limit:
            raise Invalid(f"文件超过 {limit // 1048576} MB，没有接收", advice="请拆分后分次上传")
        form = Form(await request.form())
        if not desk.session.owns(form.typed("csrf")):
            raise Forbidden("页面已过期，操作没有执行", advice="请返回上一页刷新后重试")
        desk.form = form
    return desk


Anyone = Annotated[Desk, Depends(_arrive)]
"""The desk for a page that needs no sign-in."""


def _signed_in(desk: Anyone) -> Desk:
    """The desk of somebody signed in; others are sent to the sign-in page."""
    if desk.session.token is None:
        raise Unauthenticated("请先登录")
    return desk


SignedIn = Annotated[Desk, Depends(_signed_in)]
"""The desk for every page behind the sign-in."""
