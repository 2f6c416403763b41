"""Telling people: letters to carry, messages that did not arrive, all messages."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.notify import (
    CountMessages,
    GetMessage,
    ListLetters,
    ListMessages,
    ListUndelivered,
    MarkLettersDelivered,
    MarkToldInPerson,
    RetryMessage,
    ReturnLetter,
    SendAsLetter,
)
from services.portal.desk import Desk, SignedIn

room = APIRouter(prefix="/letters")


@room.get("")
def letters(desk: SignedIn) -> Response:
    """Letters to hand over, by village and person, the officer's own or all within sight."""
    mine = desk.query("whose") == "mine"
    page = desk.ask(
        ListLetters(
            officer_id=desk.actor.staff_id if mine else None,
            division=desk.query("division"),
            after=desk.query("after"),
        )
    )
    return desk.page("letters/letters.html", page=page, counts=desk.ask(CountMessages()), mine=mine)


@room.post("/delivered")
def delivered(desk: SignedIn) -> Response:
    """Mark the ticked letters as handed over."""
    desk.again = partial(letters, desk)
    ids = desk.form.uuids("letter")
    if not ids:
        desk.form.refuse("letter", "没有勾选书信", "请勾选已经送达的书信")
    desk.form.check()
    marked = desk.do(MarkLettersDelivered(message_ids=ids, note=desk.form.maybe_text("note")))
    return desk.go("/letters", f"已登记送达 {marked} 封")


@room.get("/undelivered")
def undelivered(desk: SignedIn) -> Response:
    """Messages that did not arrive and wait for an officer."""
    page = desk.ask(ListUndelivered(division=desk.query("division"), after=desk.query("after")))
    return desk.page("letters/undelivered.html", page=page, counts=desk.ask(CountMessages()))


@room.get("/messages")
def messages(desk: SignedIn) -> Response:
    """All messages, newest first."""
    page = desk.ask(
        ListMessages(
            status=desk.query("status"),
            division=desk.query("division"),
            after=desk.query("after"),
        )
    )
    return desk.page("letters/messages.html", page=page, counts=desk.ask(CountMessages()))


@room.get("/messages/{message_id}")
def message(message_id: UUID, desk: SignedIn) -> Response:
    """A message with its attempts, and what can be done about it."""
    return desk.page("letters/message.html", detail=desk.ask(GetMessage(message_id=message_id)))


@room.post("/messages/{message_id}/{act}")
def settle(message_id: UUID, act: str, desk: SignedIn) -> Response:
    """Send again, put on the letter list, tell in person, or bring a letter back."""
    desk.again = partial(message, message_id, desk)
    done = _settle(desk, message_id, act)
    return desk.go(f"/letters/messages/{message_id}", done)


def _settle(desk: Desk, message_id: UUID, act: str) -> str:
    form = desk.form
    match act:
        case "retry":
            desk.do(RetryMessage(message_id=message_id))
            return "已重新发送"
        case "letter":
            desk.do(SendAsLetter(message_id=message_id))
            return "已列入待送书信"
        case "told":
            note = form.text("note", "告知方式和时间")
            form.check()
            desk.do(MarkToldInPerson(message_id=message_id, note=note))
            return "已登记当面告知"
        case _:
            why = form.text("why", "未能送达的原因")
            form.check()
            desk.do(ReturnLetter(message_id=message_id, why=why))
            return "已登记未能送达"
