"""A token says who asks; what they may do is what their post is now.

A token runs for eight hours. Whoever left post meanwhile is let in no longer; whoever lost a role
or a place may do no more with the rest of the token than the post still allows. Every service keeps
a copy of the staff and asks it with each request; what has not arrived yet (somebody new) is no
reason to refuse: then the token holds. It never gains by this: a new role needs a new sign-in.

What else every request asks goes with the same statement: the clock, and a command's claim to its
key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Select, bindparam, literal_column, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute

from services.chassis.clock import OFFSET
from services.chassis.models import CommandRow
from services.chassis.planned import PLANNED
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Actor
from services.contracts.divisions import within
from services.contracts.errors import Unauthenticated


class Post(NamedTuple):
    """What is known of a member of staff; roles and scopes may not have arrived yet."""

    active: bool
    roles: Sequence[str] | None
    scopes: Sequence[str] | None


CLAIM = (
    insert(CommandRow)
    .values({name: bindparam(name) for name in ("key", "method", "arguments_hash", "actor_id")})
    .on_conflict_do_nothing()
)
"""Take the key of a command; writes nothing where it was taken before."""


class Posts:
    """The posts of the staff a service knows, by the columns of its table."""

    def __init__(
        self,
        staff_id: InstrumentedAttribute[UUID],
        active: InstrumentedAttribute[bool],
        roles: InstrumentedAttribute[Any],
        scopes: InstrumentedAttribute[Any],
    ) -> None:
        known = select(active, roles, scopes).where(staff_id == bindparam("staff"))
        post = known.subquery("post")
        asked = select(literal_column("1")).subquery("asked").outerjoin(post, true())
        claimed = CLAIM.returning(CommandRow.key).cte("claimed")
        entering = select(post, OFFSET.scalar_subquery().label("ahead")).select_from(asked)
        self._entering = entering.execution_options(**PLANNED)
        self._claiming = self._entering.add_columns(select(claimed).exists().label("ours"))

    def enter(self, uow: UnitOfWork) -> Post | None:
        """The actor's post; ``None`` where the table says nothing. Reads the clock with it."""
        return self._ask(uow, self._entering, {})[0]

    def claim(self, uow: UnitOfWork, claim: dict[str, Any]) -> tuple[Post | None, bool]:
        """As ``enter``, and whether the key was free (``claim`` is what ``CLAIM`` takes)."""
        post, row = self._ask(uow, self._claiming, claim)
        return post, bool(row.ours)

    def _ask(
        self, uow: UnitOfWork, statement: Select[Any], given: dict[str, Any]
    ) -> tuple[Post | None, Any]:
        staff = {"staff": _staff(uow.actor.id)}
        row = uow.session.connection().execute(statement, {**given, **staff}).one()
        uow.clock.ahead(row.ahead)
        return None if row.active is None else Post(row.active, row.roles, row.scopes), row


def _staff(actor_id: str) -> UUID | None:
    try:
        return UUID(actor_id)
    except ValueError:  # not a member of staff
        return None


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
