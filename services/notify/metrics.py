"""What notify shows to Prometheus beside the chassis's own."""

from __future__ import annotations

import math
from datetime import timedelta

from prometheus_client import Counter, Gauge
from sqlalchemy import func, select

from services.chassis.uow import UnitOfWork
from services.notify.domain.message import FAILED, Status
from services.notify.models import Message

SHOWN = (Status.CREATED, Status.SENDING, Status.PENDING, *sorted(FAILED))
"""The statuses of messages that somebody or something still has to deal with."""

ATTEMPTS = Counter(
    "zhida_notify_attempts_total", "Attempts at sending, by what came of them.", ["outcome"]
)
MESSAGES = Gauge("zhida_notify_messages", "Messages not yet told, by status.", ["status"])
OLDEST_WAITING_SECONDS = Gauge(
    "zhida_notify_oldest_waiting_seconds", "Age of the oldest message that may go out."
)
FINISHED = Gauge(
    "zhida_notify_finished", "Messages that came to an end within 24 hours, by status.", ["status"]
)
GATEWAY_UP = Gauge("zhida_notify_gateway_up", "1 while the mail server takes connections.")
GATEWAY_UP.set(math.nan)  # nobody has tried yet


def measure(uow: UnitOfWork) -> None:
    """Bring the gauges up to date."""
    rows = uow.session.execute(
        select(Message.status, func.count())
        .where(Message.status.in_(status.value for status in SHOWN))
        .group_by(Message.status)
    ).all()
    counts = dict(rows)
    for status in SHOWN:
        MESSAGES.labels(status.value).set(counts.get(status.value, 0))
    since = uow.machine_now() - timedelta(hours=24)
    told = uow.session.execute(
        select(Message.status, func.count())
        .where(Message.text.is_not(None), Message.finished_at >= since)
        .group_by(Message.status)
    )
    ended = dict(told.all())
    for status in Status:
        if status not in (Status.CREATED, Status.SENDING, Status.PENDING):
            FINISHED.labels(status.value).set(ended.get(status.value, 0))
    oldest = uow.session.scalar(
        select(func.min(Message.retry_at)).where(
            Message.status == Status.CREATED.value, Message.retry_at <= uow.machine_now()
        )
    )
    waited = (uow.machine_now() - oldest).total_seconds() if oldest else 0.0
    OLDEST_WAITING_SECONDS.set(waited)
