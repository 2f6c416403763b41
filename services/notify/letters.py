"""Letters: messages to people without a mobile phone, by the hand of the responsible officer.

A letter belongs to whoever is responsible for the person today, so a handover moves the letters.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_, update

from services.chassis.uow import UnitOfWork
from services.contracts.commands.notify import (
    Letter,
    LetterPage,
    ListLetters,
    MarkLettersDelivered,
    MessageView,
    ReturnLetter,
)
from services.contracts.errors import Invalid, NotFound
from services.notify import catalogue, queries, undelivered
from services.notify.domain.message import Channel, Reason, Status, require_pending_letter
from services.notify.models import Message, Person, Staff

MOST_AT_ONCE = 500


def list_letters(uow: UnitOfWork, query: ListLetters) -> LetterPage:
    """Letters to carry, by village and person: one walk does them."""
    size = queries.page_size(query.limit)
    wanted = (
        select(Message, Person, Staff.name.label("officer_name"))
        .join(Person, Person.person_id == Message.person_id)
        .outerjoin(Staff, Staff.staff_id == Person.officer_id)
        .where(
            Message.status == Status.PENDING.value,
            queries.within(Person.division, uow, query.division),
        )
        .order_by(Person.division, Person.person_id, Message.id)
    )
    if query.officer_id is not None:
        wanted = wanted.where(Person.officer_id == query.officer_id)
    if query.after is not None:
        wanted = wanted.where(
            tuple_(Person.division, Person.person_id, Message.id) > _place(query.after)
        )
    rows = uow.session.execute(wanted.limit(size + 1)).all()
    letters = tuple(
        Letter(
            message_id=row.Message.id,
            person_id=row.Person.person_id,
            person_name=row.Person.name,
            household_id=row.Person.household_id,
            division=row.Person.division,
            officer_id=row.Person.officer_id,
            officer_name=row.officer_name,
            deceased=row.Person.deceased_on is not None,
            title=catalogue.all_templates()[row.Message.template].title,
            text=row.Message.text or "",
            created_on=row.Message.created_on,
        )
        for row in rows[:size]
    )
    last = letters[-1] if len(rows) > size else None
    return LetterPage(
        letters=letters,
        next_after=f"{last.division}|{last.person_id}|{last.message_id}" if last else None,
    )


def mark_delivered(uow: UnitOfWork, command: MarkLettersDelivered) -> int:
    """The officer handed the letters over: all of them, or none is marked."""
    ids = set(command.message_ids)
    if not 1 <= len(ids) <= MOST_AT_ONCE:
        raise Invalid(f"一次登记 1 到 {MOST_AT_ONCE} 份", field="message_ids")
    for message in _locked(uow, ids):
        require_pending_letter(Status(message.status), Channel.LETTER)
    uow.session.execute(
        update(Message)
        .where(Message.id.in_(ids))
        .values(
            status=Status.DELIVERED.value,
            finished_at=uow.machine_now(),
            handled_by=uow.actor.name,
            note=command.note,
        )
    )
    uow.audit("letters_delivered", "message", min(ids), letters=len(ids))
    return len(ids)


def give_back(uow: UnitOfWork, command: ReturnLetter) -> MessageView:
    """The officer could not hand it over: it joins the list of undelivered messages."""
    why = command.why.strip()
    if not why:
        raise Invalid("请写明未能送达的原因", field="why")
    (message,) = _locked(uow, {command.message_id})
    require_pending_letter(
        Status(message.status), Channel(message.channel) if message.channel else None
    )
    message.status = Status.PERMANENT_FAILURE.value
    message.reason = Reason.LETTER_RETURNED.value
    message.finished_at = uow.machine_now()
    message.handled_by = uow.actor.name
    message.note = why
    uow.session.flush()
    undelivered.tell(uow, [message.id])
    uow.audit("letter_returned", "message", message.id, why=why)
    return queries.view(uow, message.id)


def _locked(uow: UnitOfWork, ids: set[UUID]) -> list[Message]:
    """The messages, locked in one order. Raises ``NotFound`` if one is missing or out of sight."""
    found = queries.in_sight(uow, ids, lock=True)
    if len(found) != len(ids):
        raise NotFound("其中有不存在或不归您管辖的消息", field="message_ids")
    return found


def _place(after: str) -> Any:
    parts = after.split("|")
    try:
        division, person_id, message_id = parts
        return tuple_(division, UUID(person_id), UUID(message_id))
    except ValueError as error:
        raise Invalid("翻页位置不合格式", field="after", advice="请从第一页重新查看") from error
