"""What the mail server answered, or a process that died did not, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, text

from services.chassis.logs import get_logger
from services.chassis.uow import UnitOfWork
from services.notify import catalogue, metrics, undelivered
from services.notify.domain.message import FAILED, Outcome, Status, after_attempt
from services.notify.mail import Answer, Envelope
from services.notify.models import Message

log = get_logger(__name__)

LEASE = timedelta(minutes=5)
"""A claim older than this is of a process that died: far longer than a round with its timeouts."""


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
    undelivered.tell(uow, [message_id for message_id, _, f in moves if f.status in FAILED])
