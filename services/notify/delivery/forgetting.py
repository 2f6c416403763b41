"""Texts are kept for as long as somebody may ask what was said, and no longer."""

from __future__ import annotations

from sqlalchemy import text

from services.chassis.uow import UnitOfWork
from services.notify import catalogue


def forget_old_texts(uow: UnitOfWork, limit: int = 10_000) -> int:
    """Empty the texts and words of messages that ended longer ago than they are kept; how many."""
    before = uow.machine_now() - catalogue.delivery().keeps_text_for
    result = uow.session.execute(
        text(
            """
            WITH texts AS (
                SELECT id FROM message WHERE text IS NOT NULL AND finished_at < :before
                ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED),
            words AS (
                SELECT id FROM message
                WHERE text IS NULL AND personalisation <> '{}'::jsonb AND finished_at < :before
                ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED)
            UPDATE message SET text = NULL, personalisation = '{}'::jsonb
            WHERE id IN (SELECT id FROM texts UNION ALL SELECT id FROM words)
            """
        ),
        {"before": before, "limit": limit},
    )
    return int(getattr(result, "rowcount", 0))
