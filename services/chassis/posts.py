"""Who has left post is let in no longer, though a token of theirs still runs (8 hours).

Every service keeps a copy of the staff. It is asked with each request; what has not arrived yet
(somebody new) is no reason to refuse: the token says who they are.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

InPost = Callable[[Session, str], bool]


def by(staff_id: InstrumentedAttribute[UUID], active: InstrumentedAttribute[bool]) -> InPost:
    """Whether somebody is in post, by the table of these columns."""

    def in_post(session: Session, actor_id: str) -> bool:
        try:
            known = session.scalar(select(active).where(staff_id == UUID(actor_id)))
        except ValueError:  # not a member of staff
            return True
        return known is not False

    return in_post
