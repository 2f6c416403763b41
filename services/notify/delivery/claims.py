"""Messages taken for sending, each by one worker, with an attempt written before anything goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, text, true

from services.chassis.uow import UnitOfWork
from services.notify import catalogue, readers, undelivered
from services.notify.delivery.plans import Plan, plan
from services.notify.domain import sms
from services.notify.domain.message import FAILED, Status
from services.notify.mail import Envelope
from services.notify.models import Message
from services.notify.settings import GatewaySettings

BATCH = 50


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
    plans = [plan(row, found, gateway.form, now) for row in rows]
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


def _due(uow: UnitOfWork, gateway: GatewaySettings) -> tuple[Any, ...]:
    quiet = gateway.quiet_hours and catalogue.delivery().quiet_hours.covers(uow.now().time())
    return (
        Message.status == Status.CREATED.value,
        Message.retry_at <= uow.machine_now(),
        Message.any_hour if quiet else true(),
    )


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
    undelivered.tell(uow, [p.message_id for p in plans if p.next.status in FAILED])
