"""Reads for the edge: always within the reader's divisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, false, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from services.chassis import tracing
from services.chassis.uow import UnitOfWork
from services.contracts.commands.common import Traced
from services.contracts.commands.notify import (
    AttemptView,
    CountMessages,
    GetMessage,
    ListMessages,
    ListTemplates,
    ListUndelivered,
    MessageCounts,
    MessageDetail,
    MessagePage,
    MessageView,
    PreviewTemplate,
    PreviewView,
    StatusCount,
    TemplateVersionView,
    TemplateView,
    TraceMessages,
)
from services.contracts.errors import Invalid, NotFound
from services.notify import catalogue
from services.notify.domain import templates
from services.notify.domain.message import FAILED, NAMES, REASONS, Channel, Reason, Status
from services.notify.domain.templates import Template
from services.notify.models import Attempt, Message, Person

MOST = 200
"""The longest page."""

_BASIS = select(Message, Person.name.label("person_name")).outerjoin(
    Person, Person.person_id == Message.person_id
)


def list_messages(uow: UnitOfWork, query: ListMessages) -> MessagePage:
    """Messages newest first, by any of the filters."""
    wanted = _BASIS.where(within(Message.division, uow, query.division))
    if query.person_id is not None:
        wanted = wanted.where(Message.person_id == query.person_id)
    if query.case_id is not None:
        wanted = wanted.where(Message.case_id == query.case_id)
    if query.status is not None:
        wanted = wanted.where(Message.status == _status(query.status).value)
    if query.template is not None:
        wanted = wanted.where(Message.template == _template(query.template).code)
    if query.after is not None:
        wanted = wanted.where(tuple_(Message.created_at, Message.id) < _moment(query.after))
    ordered = wanted.order_by(Message.created_at.desc(), Message.id.desc())
    return _page(uow, ordered, query.limit)


def list_undelivered(uow: UnitOfWork, query: ListUndelivered) -> MessagePage:
    """The work list: what did not arrive and nobody has settled, oldest first."""
    wanted = _BASIS.where(
        Message.status.in_(status.value for status in FAILED),
        within(Message.division, uow, query.division),
    )
    if query.officer_id is not None:
        wanted = wanted.where(
            or_(Person.officer_id == query.officer_id, Message.staff_id == query.officer_id)
        )
    if query.after is not None:
        wanted = wanted.where(tuple_(Message.created_at, Message.id) > _moment(query.after))
    ordered = wanted.order_by(Message.created_at, Message.id)
    return _page(uow, ordered, query.limit)


def get_message(uow: UnitOfWork, query: GetMessage) -> MessageDetail:
    """A message with its attempts."""
    attempts = uow.session.scalars(
        select(Attempt).where(Attempt.message_id == query.message_id).order_by(Attempt.number)
    )
    return MessageDetail(
        message=view(uow, query.message_id),
        attempts=tuple(
            AttemptView(
                number=attempt.number,
                started_at=attempt.started_at,
                ended_at=attempt.ended_at,
                outcome=attempt.outcome,
                answer=attempt.answer,
            )
            for attempt in attempts
        ),
    )


def count_messages(uow: UnitOfWork, query: CountMessages) -> MessageCounts:
    """How many messages stand where; the figures equal the lists."""
    rows = uow.session.execute(
        select(Message.status, Message.channel, func.count())
        .where(within(Message.division, uow, query.division))
        .group_by(Message.status, Message.channel)
        .order_by(Message.status, Message.channel)
    ).all()
    counts = tuple(
        StatusCount(
            status=status, status_name=NAMES[Status(status)], channel=channel, messages=count
        )
        for status, channel, count in rows
    )

    def total(*statuses: Status, letters: bool = False) -> int:
        return sum(
            count.messages
            for count in counts
            if count.status in statuses and (count.channel == Channel.LETTER) == letters
        )

    return MessageCounts(
        by_status=counts,
        letters=total(Status.PENDING, letters=True),
        undelivered=sum(count.messages for count in counts if count.status in FAILED),
        sent=total(Status.SENT),
    )


def list_templates(_uow: UnitOfWork, _query: ListTemplates) -> tuple[TemplateView, ...]:
    """All templates by code."""
    return tuple(
        TemplateView(
            template=template.code,
            title=template.title,
            audience=template.audience.value,
            any_hour=template.any_hour,
            versions=tuple(
                TemplateVersionView(
                    version=version.number,
                    since=version.since,
                    text=version.text,
                    fields=version.fields,
                )
                for version in template.versions
            ),
        )
        for _, template in sorted(catalogue.all_templates().items())
    )


def preview_template(uow: UnitOfWork, query: PreviewTemplate) -> PreviewView:
    """A template's text with sample values, its length and parts."""
    template = _template(query.template)
    unknown = sorted(set(query.values) - set(catalogue.fields()))
    if unknown:
        raise Invalid(f"没有名为 {'、'.join(unknown)} 的个性化字段", field="values")
    version = (
        template.in_force(uow.today()) if query.version is None else template.version(query.version)
    )
    shown = templates.preview(
        template, version, catalogue.fields(), catalogue.signature(query.division), query.values
    )
    return PreviewView(text=shown.text, length=shown.length, parts=shown.parts)


def view(uow: UnitOfWork, message_id: UUID) -> MessageView:
    """One message. Raises ``NotFound`` also when it lies outside the reader's divisions."""
    row = uow.session.execute(_BASIS.where(Message.id == message_id)).one_or_none()
    if row is None or message_id not in {each.id for each in in_sight(uow, {message_id})}:
        raise NotFound("没有这条消息", field="message_id", advice="请从消息列表中选择")
    return _view(row)


def in_sight(uow: UnitOfWork, ids: set[UUID], *, lock: bool = False) -> list[Message]:
    """Those of the messages that the reader may see, by id; locked in that order if asked.

    A message lies where it was made, and also where its person lives by now: who moved takes the
    letters along.
    """
    wanted = (
        select(Message)
        .outerjoin(Person, Person.person_id == Message.person_id)
        .where(
            Message.id.in_(ids),
            within(Message.division, uow, None) | within(Person.division, uow, None),
        )
        .order_by(Message.id)
    )
    return list(uow.session.scalars(wanted.with_for_update(of=Message) if lock else wanted))


def within(
    column: InstrumentedAttribute[str], uow: UnitOfWork, division: str | None
) -> ColumnElement[bool]:
    """The condition that a division lies within the one asked for and the reader's scopes."""
    scopes = (column.startswith(scope, autoescape=True) for scope in uow.actor.divisions)
    in_scope = or_(false(), *scopes)  # no scope left: nothing, where or_() alone is everything
    return in_scope & column.startswith(division, autoescape=True) if division else in_scope


def page_size(limit: int) -> int:
    """The length of a page. Raises ``Invalid`` beyond the longest."""
    if not 1 <= limit <= MOST:
        raise Invalid(f"每页条数应在 1 到 {MOST} 之间", field="limit")
    return limit


def _page(uow: UnitOfWork, wanted: Select[Message, str], limit: int) -> MessagePage:
    size = page_size(limit)
    rows = uow.session.execute(wanted.limit(size + 1)).all()
    shown = rows[:size]
    last = shown[-1].Message if len(rows) > size else None
    return MessagePage(
        messages=tuple(_view(row) for row in shown),
        next_after=f"{last.created_at.isoformat()}|{last.id}" if last else None,
    )


def _moment(after: str) -> Any:
    moment, _, message_id = after.partition("|")
    try:
        return tuple_(datetime.fromisoformat(moment), UUID(message_id))
    except ValueError as error:
        raise Invalid("翻页位置不合格式", field="after", advice="请从第一页重新查看") from error


def _view(row: Row[Message, str]) -> MessageView:
    message: Message = row.Message
    return MessageView(
        message_id=message.id,
        template=message.template,
        title=catalogue.all_templates()[message.template].title,
        audience=message.audience,
        division=message.division,
        person_id=message.person_id,
        person_name=row.person_name,
        staff_id=message.staff_id,
        case_id=message.case_id,
        created_on=message.created_on,
        created_at=message.created_at,
        finished_at=message.finished_at,
        status=message.status,
        status_name=NAMES[Status(message.status)],
        channel=message.channel,
        reason=message.reason,
        advice=REASONS[Reason(message.reason)] if message.reason else None,
        attempts=message.attempts,
        shown_to=message.shown_to,
        text=message.text,
        parts=message.parts,
        handled_by=message.handled_by,
        note=message.note,
    )


def _status(code: str) -> Status:
    try:
        return Status(code)
    except ValueError as error:
        raise Invalid(
            f"没有“{code}”这种消息状态", field="status", advice=f"可选：{_choices(Status)}"
        ) from error


def _template(code: str) -> Template:
    try:
        return catalogue.all_templates()[code]
    except KeyError as error:
        raise NotFound(f"没有名为 {code} 的消息模板", field="template") from error


def _choices(values: Sequence[Any] | type[Status]) -> str:
    return "、".join(sorted(values))


def trace_messages(uow: UnitOfWork, query: TraceMessages) -> list[Traced]:
    """The spans that made a case's messages, and what became of these."""
    found = uow.session.scalars(
        select(Message)
        .where(Message.case_id == query.case_id, Message.traceparent.is_not(None))
        .order_by(Message.created_at, Message.id)
    )
    traced = []
    for message in found:
        uow.require(message.division)
        trace_id, span_id = tracing.parts(message.traceparent or "")
        traced.append(
            Traced(
                service="notify",
                what=message.template,
                at=message.created_at,
                trace_id=trace_id,
                span_id=span_id,
                state=f"{message.status} {message.channel or ''}".strip(),
                ended_at=message.finished_at,
            )
        )
    return traced
