"""Who has left post is let in no longer, though a token of theirs still runs (8 hours).

Every service keeps a copy of the staff. It is asked with each request; what has not arrived yet
(somebody new) is no reason to refuse: the token says who they are.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session

InPost = Callable[[Session, str], bool]


def by(staff_id: InstrumentedAttribute[UUID], active: InstrumentedAttribute[bool]) -> InPost:
    """Whether somebody is in post, by the table of these columns."""

    known_as = select(active).where(staff_id == bindparam("staff"))

    def in_post(session: Session, actor_id: str) -> bool:
        try:
            known = session.scalar(known_as, {"staff": UUID(actor_id)})
        except ValueError:  # not a member of staff
            return True
        return known is not False

    return in_post
