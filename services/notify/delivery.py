"""Delivery: due messages are claimed, sent and marked, in that order and never in one transaction.

A claim writes an attempt for each message and commits; only then is the mail server spoken to, with
no database transaction open, so a slow server holds no connection and no lock. What the server
answered is marked in a second transaction. A process that dies between the two leaves attempts
without an outcome: they end as ``unknown`` and the message goes out again under the same
Message-ID, counted as another attempt, so a text that comes twice is never a secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text, true
from sqlalchemy.exc import InterfaceError, OperationalError

from services.chassis.logs import get_logger
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Actor
from services.contracts.events.notify import MessageUndelivered
from services.notify import catalogue, metrics, readers
from services.notify.domain import routing, sms, templates
from services.notify.domain.message import (
    FAILED,
    Channel,
    Next,
    Outcome,
    Reason,
    Status,
    after_attempt,
)
from services.notify.domain.routing import MailForm, Route
from services.notify.domain.templates import Audience
from services.notify.mail import Answer, Envelope, GatewayError, Line
from services.notify.models import Message, Person
from services.notify.readers import Readers
from services.notify.settings import GatewaySettings

log = get_logger(__name__)

BATCH = 50
ROUND_S = 5.0
"""After this time no further batch is begun, so that a stopping process is not waited for."""
GRACE_S = 10.0
"""How much longer a batch may take; with a server so slow the rest of it is put back."""
CONNECTIONS = 2
LEASE = timedelta(minutes=5)
"""A claim older than this is of a process that died: far longer than a round with its timeouts."""
COPY_MAY_LAG = timedelta(hours=1)
"""How long a message waits for the copy of its reader, which comes by another queue."""
LOOK_AGAIN = timedelta(seconds=5)
NOBODY = "民政经办人"
"""Named where the officer's name has not come yet."""


@dataclass(frozen=True)
class Plan:
    """What becomes of a claimed message before anything is sent."""

    message_id: UUID
    next: Next
    route: Route | None = None
    text: str | None = None
    shown_to: str | None = None


class _Watch:
    """Says in the log when the mail server or the database goes away or comes back, once."""

    def __init__(self) -> None:
        self._trouble: str | None = None

    def note(self, trouble: str | None) -> None:
        """What is away just now, or None."""
        if trouble and trouble != self._trouble:
            log.warning("delivery_waits", trouble=trouble)
        elif self._trouble and not trouble:
            log.info("delivery_goes_on", after=self._trouble)
        self._trouble = trouble


_watch = _Watch()


def deliver_due(foundation: Foundation, actor: Actor, gateway: GatewaySettings) -> int:
    """One round: send what is due, over several connections; how many messages were dealt with.

    A mail server or database that is away ends the round; nothing is lost or counted by it.
    """
    ends = time.monotonic() + ROUND_S
    try:
        with foundation.begin(actor) as uow:
            reclaim(uow)
            waiting = is_due(uow, gateway)
        if not waiting:
            return 0
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            lines = [
                pool.submit(_deliver_over_one_line, foundation, actor, gateway, ends)
                for _ in range(CONNECTIONS)
            ]
            dealt = [line.result() for line in lines]
    except (OperationalError, InterfaceError) as error:
        _watch.note(f"database: {type(error).__name__}")
        return 0
    connected = [count for count in dealt if count is not None]
    metrics.GATEWAY_UP.set(bool(connected))
    _watch.note(None if connected else f"mail server {gateway.host}:{gateway.port}")
    return sum(connected)


def _deliver_over_one_line(
    foundation: Foundation, actor: Actor, gateway: GatewaySettings, ends: float
) -> int | None:
    """How many messages this line dealt with; None when it could not be opened."""
    dealt = 0
    try:
        with Line(gateway) as line:
            while not line.broken and time.monotonic() < ends:
                with foundation.begin(actor) as uow:
                    planned, envelopes = claim(uow, gateway)
                if not planned:
                    break
                answers = send(line, envelopes, lambda: time.monotonic() < ends + GRACE_S)
                with foundation.begin(actor) as uow:
                    mark(uow, envelopes, answers)
                dealt += planned
    except GatewayError:
        return None
    return dealt


def send(
    line: Line, envelopes: Sequence[Envelope], in_time: Callable[[], bool] = lambda: True
) -> list[Answer]:
    """Send a batch over one connection; what was not begun in time is not tried."""
    return [
        line.send(envelope) if in_time() else Answer(Outcome.NOT_TRIED) for envelope in envelopes
    ]


def is_due(uow: UnitOfWork, gateway: GatewaySettings) -> bool:
    """Whether any message may go out now."""
    return bool(uow.session.scalar(select(select(Message.id).where(*_due(uow, gateway)).exists())))


def claim(
    uow: UnitOfWork, gateway: GatewaySettings, limit: int = BATCH
) -> tuple[int, list[Envelope]]:
    """Claim due messages; how many were taken, and what of them is to be sent.

    Letters, and messages that cannot go out, are settled here; the others are marked as sending
    with an attempt each. Several workers may claim at once: each row is taken by one.
    """
    rows = uow.session.execute(
        select(
            Message.id,
            Message.template,
            Message.version,
            Message.audience,
            Message.division,
            Message.person_id,
            Message.staff_id,
            Message.named_staff_id,
            Message.contact_id,
            Message.personalisation,
            Message.created_at,
            Message.attempts,
        )
        .where(*_due(uow, gateway))
        .order_by(Message.bulk, Message.retry_at, Message.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return 0, []
    found = readers.load(
        uow,
        [row.person_id for row in rows],
        [member for row in rows for member in (row.staff_id, row.named_staff_id)],
        [row.contact_id for row in rows],
    )
    now = uow.machine_now()
    plans = [_plan(row, found, gateway.form, now) for row in rows]
    _write(uow, plans, now)
    by_id = {row.id: row for row in rows}
    return len(rows), [
        Envelope(
            message_id=plan.message_id,
            attempt=by_id[plan.message_id].attempts + 1,
            address=plan.route.address,
            subject=catalogue.all_templates()[by_id[plan.message_id].template].title,
            text=plan.text,
        )
        for plan in plans
        if plan.next.status is Status.SENDING
        and plan.text is not None
        and plan.route is not None
        and plan.route.address is not None
    ]


def mark(uow: UnitOfWork, envelopes: Sequence[Envelope], answers: Sequence[Answer]) -> None:
    """Write down what the mail server answered.

    An answer that comes after the claim was given up (a process that was frozen) is kept with its
    attempt; the message follows it only if no later attempt has been begun.
    """
    if not envelopes:
        return
    uow.session.execute(
        text(
            """
            UPDATE attempt a SET outcome = d.outcome, answer = d.answer, ended_at = :now
            FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS int[]), CAST(:outcomes AS text[]),
                        CAST(:answers AS text[])) AS d(id, number, outcome, answer)
            WHERE a.message_id = d.id AND a.number = d.number
            """
        ),
        {
            "ids": [str(envelope.message_id) for envelope in envelopes],
            "numbers": [envelope.attempt for envelope in envelopes],
            "outcomes": [answer.outcome.value for answer in answers],
            "answers": [answer.words for answer in answers],
            "now": uow.machine_now(),
        },
    )
    given = {
        (envelope.message_id, envelope.attempt): answer.outcome
        for envelope, answer in zip(envelopes, answers, strict=True)
    }
    _follow(uow, given)
    for answer in answers:
        metrics.ATTEMPTS.labels(answer.outcome.value).inc()


def reclaim(uow: UnitOfWork) -> int:
    """Give up claims of processes that died; how many. Their attempts end as unknown."""
    stale = (
        select(Message.id, Message.attempts)
        .where(
            Message.status == Status.SENDING.value,
            Message.claimed_at < uow.machine_now() - LEASE,
        )
        .limit(1000)
        .with_for_update(skip_locked=True)
    )
    lost = {(row.id, row.attempts): Outcome.UNKNOWN for row in uow.session.execute(stale)}
    if not lost:
        return 0
    uow.session.execute(
        text(
            "UPDATE attempt SET outcome = :unknown, ended_at = :now, answer = :words "
            "WHERE outcome IS NULL AND message_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {
            "unknown": Outcome.UNKNOWN.value,
            "now": uow.machine_now(),
            "words": "the sending process ended before it could say",
            "ids": [str(message_id) for message_id, _ in lost],
        },
    )
    _follow(uow, lost)
    log.warning("claims_given_up", count=len(lost))
    metrics.ATTEMPTS.labels(Outcome.UNKNOWN.value).inc(len(lost))
    return len(lost)


def forget_old_texts(uow: UnitOfWork, limit: int = 10_000) -> int:
    """Empty the texts of messages that ended longer ago than they are kept; how many."""
    before = uow.machine_now() - catalogue.delivery().keeps_text_for
    result = uow.session.execute(
        text(
            """
            UPDATE message SET text = NULL, personalisation = '{}'::jsonb
            WHERE id IN (SELECT id FROM message WHERE text IS NOT NULL AND finished_at < :before
                         ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED)
            """
        ),
        {"before": before, "limit": limit},
    )
    return int(getattr(result, "rowcount", 0))


def _due(uow: UnitOfWork, gateway: GatewaySettings) -> tuple[Any, ...]:
    quiet = gateway.quiet_hours and catalogue.delivery().quiet_hours.covers(uow.now().time())
    return (
        Message.status == Status.CREATED.value,
        Message.retry_at <= uow.machine_now(),
        Message.any_hour.is_(True) if quiet else true(),
    )


def _plan(row: Row[Any], found: Readers, form: MailForm, now: datetime) -> Plan:
    """What becomes of a message: its text and its way, or why it has none."""
    resident = found.residents.get(row.person_id)
    if row.person_id and resident is None:
        if now - row.created_at < COPY_MAY_LAG:
            return Plan(row.id, Next(Status.CREATED, retry_at=now + LOOK_AGAIN))
        return Plan(row.id, Next(Status.TECHNICAL_FAILURE, reason=Reason.RECIPIENT_UNKNOWN))
    named = found.staff.get(row.named_staff_id)
    template = catalogue.all_templates()[row.template]
    body = templates.render(
        template,
        template.version(row.version),
        {
            **row.personalisation,
            "name": resident.name if resident else "",
            "officer": (named.name if named else None) or NOBODY,
        },
        catalogue.fields(),
        catalogue.signature(row.division),
    )
    route, phone = _route(row, found, form)
    if isinstance(route, Reason):
        return Plan(row.id, Next(Status.TECHNICAL_FAILURE, reason=route), text=body)
    if route.channel is Channel.LETTER:
        return Plan(row.id, Next(Status.PENDING), route, body)
    return Plan(row.id, Next(Status.SENDING), route, body, routing.masked(phone))


def _route(row: Row[Any], found: Readers, form: MailForm) -> tuple[Route | Reason, str | None]:
    """The way to the reader, and the number it leads to."""
    if row.audience == Audience.OFFICER.value:
        staff_id = row.staff_id or found.responsible(row.person_id)
        member = found.staff.get(staff_id) if staff_id else None
        phone = member.phone if member and member.active else None
        return routing.to_officer(routing.Officer(phone), form), phone
    if row.contact_id is not None:
        phone = found.earlier.get(row.contact_id)
        return routing.to_earlier_number(phone, form), phone
    resident = found.residents[row.person_id]
    known = routing.Resident(resident.phone, resident.deceased)
    return routing.to_resident(known, form), resident.phone


def _write(uow: UnitOfWork, plans: Sequence[Plan], now: datetime) -> None:
    """Store the plans, and an attempt for each message that is about to be sent."""
    uow.session.execute(
        text(
            """
            UPDATE message m SET
                status = d.status,
                channel = coalesce(d.channel, m.channel),
                reason = d.reason,
                retry_at = coalesce(d.retry_at, m.retry_at),
                text = coalesce(d.body, m.text),
                parts = coalesce(d.parts, m.parts),
                shown_to = coalesce(d.shown_to, m.shown_to),
                claimed_at = CASE WHEN d.status = 'sending' THEN :now END,
                attempts = m.attempts + CASE WHEN d.status = 'sending' THEN 1 ELSE 0 END,
                tries = m.tries + CASE WHEN d.status = 'sending' THEN 1 ELSE 0 END,
                finished_at = CASE WHEN d.status = ANY(:failed) THEN :now END
            FROM unnest(
                CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:channels AS text[]),
                CAST(:reasons AS text[]), CAST(:retries AS timestamptz[]), CAST(:bodies AS text[]),
                CAST(:parts AS int[]), CAST(:shown AS text[])
            ) AS d(id, status, channel, reason, retry_at, body, parts, shown_to)
            WHERE m.id = d.id
            """
        ),
        {
            "ids": [str(plan.message_id) for plan in plans],
            "statuses": [plan.next.status.value for plan in plans],
            "channels": [plan.route.channel.value if plan.route else None for plan in plans],
            "reasons": [plan.next.reason.value if plan.next.reason else None for plan in plans],
            "retries": [plan.next.retry_at for plan in plans],
            "bodies": [plan.text for plan in plans],
            "parts": [sms.parts(plan.text) if plan.text else None for plan in plans],
            "shown": [plan.shown_to for plan in plans],
            "failed": sorted(status.value for status in FAILED),
            "now": now,
        },
    )
    sending = [str(plan.message_id) for plan in plans if plan.next.status is Status.SENDING]
    if sending:
        uow.session.execute(
            text(
                "INSERT INTO attempt (message_id, number) "
                "SELECT id, attempts FROM message WHERE id = ANY(CAST(:ids AS uuid[]))"
            ),
            {"ids": sending},
        )
    say_undelivered(uow, [p.message_id for p in plans if p.next.status in FAILED])


def _follow(uow: UnitOfWork, outcomes: Mapping[tuple[UUID, int], Outcome]) -> None:
    """Move messages on after attempts; those that have a later attempt already are left alone."""
    now = uow.machine_now()
    policy = catalogue.delivery().retry
    rows = uow.session.execute(
        select(Message.id, Message.attempts, Message.tries, Message.begun_at)
        .where(
            Message.id.in_({message_id for message_id, _ in outcomes}),
            Message.status == Status.SENDING.value,
        )
        .order_by(Message.id)
        .with_for_update()
    ).all()
    moves = []
    for row in rows:
        outcome = outcomes.get((row.id, row.attempts))
        if outcome is not None:
            tries = row.tries - (outcome is Outcome.NOT_TRIED)
            moves.append((row.id, tries, after_attempt(outcome, tries, row.begun_at, now, policy)))
    if not moves:
        return
    uow.session.execute(
        text(
            """
            UPDATE message m SET status = d.status, tries = d.tries, reason = d.reason,
                retry_at = coalesce(d.retry_at, m.retry_at), claimed_at = NULL,
                finished_at = CASE WHEN d.status <> 'created' THEN :now END
            FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:tries AS int[]),
                        CAST(:reasons AS text[]), CAST(:retries AS timestamptz[]))
                AS d(id, status, tries, reason, retry_at)
            WHERE m.id = d.id
            """
        ),
        {
            "ids": [str(message_id) for message_id, _, _ in moves],
            "statuses": [following.status.value for _, _, following in moves],
            "tries": [tries for _, tries, _ in moves],
            "reasons": [f.reason.value if f.reason else None for _, _, f in moves],
            "retries": [following.retry_at for _, _, following in moves],
            "now": now,
        },
    )
    say_undelivered(uow, [message_id for message_id, _, f in moves if f.status in FAILED])


def say_undelivered(uow: UnitOfWork, message_ids: Sequence[UUID]) -> None:
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
