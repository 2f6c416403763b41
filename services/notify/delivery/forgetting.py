"""Texts are kept for as long as somebody may ask what was said, and no longer."""

from __future__ import annotations

from sqlalchemy import text

from services.chassis.uow import UnitOfWork
from services.notify import catalogue


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
