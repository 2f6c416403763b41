"""The front door: signing in and out, how the page looks, help."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.registry import SignIn
from services.portal.desk import Anyone, Desk, SignedIn

room = APIRouter()


@room.get("/")
def entrance(desk: Anyone) -> Response:
    """The desk for who is signed in, the sign-in page for others."""
    return desk.go("/desk" if desk.session.token else "/sign-in")


@room.get("/sign-in")
def sign_in_page(desk: Anyone) -> Response:
    """Account and password."""
    return desk.page("sign_in.html", back=desk.query("back") or desk.form.typed("back", "/desk"))


@room.post("/sign-in")
def sign_in(desk: Anyone) -> Response:
    """Give account and password to registry, keep the actor token it signs."""
    desk.again = partial(sign_in_page, desk)
    form = desk.form
    account, password = form.text("account", "账号"), form.typed("password")
    if not password:
        form.refuse("password", "请填写密码")
    form.check()
    signed_in = desk.do(SignIn(account=account, password=password))
    desk.sign_out()
    desk.session.token = signed_in.token
    desk.session.actor = signed_in.actor
    return desk.go(own_address(form.typed("back")))


@room.post("/sign-out")
def sign_out(desk: Anyone) -> Response:
    """Forget the session."""
    desk.sign_out()
    return desk.go("/sign-in", "已退出")


@room.post("/view")
def view(desk: SignedIn) -> Response:
    """Large or normal type; keyboard shortcuts on or off."""
    chosen = desk.form.typed("view")
    if chosen in ("normal", "large"):
        desk.session.view = "large" if chosen == "large" else "normal"
    if chosen in ("shortcuts-on", "shortcuts-off"):
        desk.session.shortcuts = chosen == "shortcuts-on"
    return desk.go(own_address(desk.form.typed("back")))


@room.get("/help")
def help_page(desk: SignedIn) -> Response:
    """Shortcuts and whom to ask."""
    return desk.page("help.html")


def own_address(address: str) -> str:
    """``address`` when it is one of ours, else the desk: nobody is sent elsewhere."""
    parts = urlsplit(address)
    ours = not parts.scheme and not parts.netloc and parts.path.startswith("/")
    return address if ours and "\\" not in address else "/desk"
