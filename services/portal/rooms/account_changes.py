"""Changes of account or payee that wait for a second person."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.registry import ConfirmAccountChange, ListAccountChanges
from services.portal.desk import SignedIn

room = APIRouter(prefix="/account-changes")


@room.get("")
def waiting(desk: SignedIn) -> Response:
    """The changes that wait, oldest first."""
    return desk.page("account_changes.html", changes=desk.ask(ListAccountChanges()))


@room.post("/{change_id}")
def decide(change_id: UUID, desk: SignedIn) -> Response:
    """Confirm or refuse; not by whoever asked for it."""
    desk.again = partial(waiting, desk)
    confirm = desk.form.typed("decision") == "confirm"
    reason = desk.form.maybe_text("reason")
    if not confirm and reason is None:
        desk.form.refuse("reason", "请填写不同意的原因")
    desk.form.check()
    desk.do(ConfirmAccountChange(change_id=change_id, confirm=confirm, reason=reason))
    return desk.go("/account-changes", "已确认，24 小时内锁定的付款将暂缓" if confirm else "已退回")
