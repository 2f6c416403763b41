"""A token says who asks; what they may do is what their post is now.

A token runs for eight hours. Whoever left post meanwhile is let in no longer; whoever lost a role
or a place may do no more with the rest of the token than the post still allows. Every service keeps
a copy of the staff and asks it with each request; what has not arrived yet (somebody new) is no
reason to refuse: then the token holds. It never gains by this: a new role needs a new sign-in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from services.contracts.actors import Actor
from services.contracts.divisions import within
from services.contracts.errors import Unauthenticated


class Post(NamedTuple):
    """What is known of a member of staff; roles and scopes may not have arrived yet."""

    active: bool
    roles: Sequence[str] | None
    scopes: Sequence[str] | None


PostOf = Callable[[Session, str], Post | None]


def by(
    staff_id: InstrumentedAttribute[UUID],
    active: InstrumentedAttribute[bool],
    roles: InstrumentedAttribute[Any],
    scopes: InstrumentedAttribute[Any],
) -> PostOf:
    """The post of somebody, by the table of these columns; ``None`` where it says nothing."""
    known = select(active, roles, scopes).where(staff_id == bindparam("staff"))

    def post_of(session: Session, actor_id: str) -> Post | None:
        try:
            row = session.connection().execute(known, {"staff": UUID(actor_id)}).one_or_none()
        except ValueError:  # not a member of staff
            return None
        return Post(*row) if row else None

    return post_of


def as_of_now(actor: Actor, post: Post | None) -> Actor:
    """The actor with what both token and post give. Raises ``Unauthenticated`` without a post."""
    if post is None:
        return actor
    if not post.active:
        raise Unauthenticated("您已离岗，账号不能再使用", advice="如有疑问请联系系统管理员")
    if post.roles is None or post.scopes is None:
        return actor
    return msgspec.structs.replace(
        actor,
        roles=tuple(role for role in actor.roles if role in post.roles),
        divisions=_common(actor.divisions, post.scopes),
    )


def _common(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """The places within both: of two scopes one of which lies in the other, the narrower."""
    kept = [place for place in ours if any(within(place, scope) for scope in theirs)]
    kept += [scope for scope in theirs if any(within(scope, place) for place in ours)]
    return tuple(dict.fromkeys(kept))
