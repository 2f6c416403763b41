"""The front door: signing in and out, how the page looks, help."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.actors import Actor
from services.contracts.commands.registry import ChangePassword, SignIn
from services.portal.desk import Anyone, SignedIn

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
    staff, first = signed_in.staff, signed_in.must_change_password
    desk.sign_out()
    desk.session.token = signed_in.token
    desk.session.staff_no = staff.staff_no
    desk.session.actor = Actor(
        id=str(staff.staff_id),
        name=staff.name,
        roles=() if first else staff.roles,
        divisions=() if first else staff.scopes,
    )
    if first:
        return desk.go("/password", "首次登录请先修改密码")
    return desk.go(own_address(form.typed("back")))


@room.get("/password")
def password_page(desk: SignedIn) -> Response:
    """Change one's own password."""
    return desk.page("password.html")


@room.post("/password")
def change_password(desk: SignedIn) -> Response:
    """The old one, and the new one typed twice."""
    desk.again = partial(password_page, desk)
    form = desk.form
    old, new = form.typed("old"), form.typed("new")
    if not old:
        form.refuse("old", "请填写原密码")
    if new != form.typed("again"):
        form.refuse("again", "两次填写的新密码不一致")
    form.check()
    desk.do(ChangePassword(old=old, new=new))
    desk.sign_out()
    return desk.go("/sign-in", "密码已修改，请用新密码登录")


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
