"""The work list of messages that did not arrive: try again, carry a letter, or tell in person."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from services.chassis.uow import UnitOfWork
from services.contracts.commands.notify import (
    MarkToldInPerson,
    MessageView,
    RetryMessage,
    SendAsLetter,
)
from services.contracts.errors import Conflict, Invalid, NotFound
from services.contracts.events.notify import MessageUndelivered
from services.notify import catalogue, queries
from services.notify.delivery.plans import FROM_COPIES
from services.notify.domain import templates
from services.notify.domain.message import Channel, Status, require_failed
from services.notify.domain.templates import Audience
from services.notify.models import Message, Person


def retry(uow: UnitOfWork, command: RetryMessage) -> MessageView:
    """Start another round of attempts, to the number on file by now."""
    message = _failed(uow, command.message_id)
    version = catalogue.all_templates()[message.template].version(message.version)
    if templates.lacking(version, {*message.personalisation, *FROM_COPIES}):
        raise Conflict(
            "这条消息的内容已按保存期限清除，不能重新发送",
            field="message_id",
            reason="text_gone",
            advice="请当面或电话告知本人，再登记“已当面告知”",
        )
    now = uow.machine_now()
    message.status = Status.CREATED.value
    message.channel = None
    message.reason = None
    message.tries = 0
    message.begun_at = now
    message.retry_at = now
    message.finished_at = None
    return _settled(uow, message, "message_retried")


def send_as_letter(uow: UnitOfWork, command: SendAsLetter) -> MessageView:
    """Give it to the responsible officer to carry."""
    message = _failed(uow, command.message_id)
    if message.audience != Audience.RESIDENT.value or message.text is None:
        raise Conflict(
            "这条消息不能改为纸质通知",
            field="message_id",
            advice="发给工作人员的消息请补录联系电话后重发，名册中尚无的人请先核对登记",
        )
    message.status = Status.PENDING.value
    message.channel = Channel.LETTER.value
    message.reason = None
    message.finished_at = None
    return _settled(uow, message, "message_made_letter")


def mark_told_in_person(uow: UnitOfWork, command: MarkToldInPerson) -> MessageView:
    """The person has been told otherwise; how is kept."""
    note = command.note.strip()
    if not note:
        raise Invalid("请写明告知的方式和时间", field="note")
    message = _failed(uow, command.message_id)
    message.status = Status.DELIVERED.value
    message.finished_at = uow.machine_now()
    message.note = note
    return _settled(uow, message, "message_told_in_person", note=note)


def tell(uow: UnitOfWork, message_ids: Sequence[UUID]) -> None:
    """Tell the other services which messages have become a task of the officer."""
    if not message_ids:
        return
    rows = uow.session.execute(
        select(Message.id, Message.person_id, Message.division, Message.template, Person.officer_id)
        .outerjoin(Person, Person.person_id == Message.person_id)
        .where(Message.id.in_(message_ids))
        .order_by(Message.id)
    )
    uow.emit(
        *(
            MessageUndelivered(
                message_id=row.id,
                person_id=row.person_id,
                division=row.division,
                template=row.template,
                officer_id=row.officer_id,
            )
            for row in rows
        ),
        bulk=True,
    )


def _failed(uow: UnitOfWork, message_id: UUID) -> Message:
    found = queries.in_sight(uow, {message_id}, lock=True)
    if not found:
        raise NotFound("没有这条消息", field="message_id", advice="请从未送达清单中选择")
    (message,) = found
    require_failed(Status(message.status))
    return message


def _settled(uow: UnitOfWork, message: Message, action: str, **detail: str) -> MessageView:
    message.handled_by = uow.actor.name
    uow.session.flush()
    uow.audit(action, "message", message.id, **detail)
    return queries.view(uow, message.id)
