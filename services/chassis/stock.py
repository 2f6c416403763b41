"""What a service holds, in numbers that another service's numbers can be held against.

Two services that should hold the same things give the same count and the same digest (a sum of
hashes of id and version: one scan, whatever the order). `zhida reconcile` compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.chassis.topology import WorkQueue
from services.chassis.uow import UnitOfWork
from services.contracts.commands.common import Arrived, Balance, Counted, Stock, Tally


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Things that more than one service holds. ``owner`` is whose word counts.

    ``rows`` is what follows ``FROM``; ``key`` and ``version`` are SQL expressions on it. Fixed
    text of ours, never anybody's input.
    """

    name: str
    owner: str
    rows: str
    key: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Books:
    """Two sums within one service that must be equal: SQL that gives each, in fen."""

    name: str
    left: str
    right: str


def take(
    uow: UnitOfWork, kept: Iterable[Kept], books: Iterable[Books], queues: Iterable[WorkQueue]
) -> Stock:
    """The stock of this service as it stands in its database."""
    session = uow.session
    return Stock(
        service=uow.settings.service,
        epoch=uow.epoch,
        schema_revision=str(session.scalar(text("SELECT version_num FROM alembic_version"))),
        outbox=int(session.scalar(text("SELECT count(*) FROM outbox")) or 0),
        tallies=[_tally(session, each) for each in kept],
        balances=[
            Balance(
                name=each.name,
                left=int(session.scalar(text(each.left)) or 0),
                right=int(session.scalar(text(each.right)) or 0),
            )
            for each in books
        ],
        published=[Counted(*row) for row in session.execute(_PUBLISHED)],
        arrived=[Arrived(*row) for row in session.execute(_ARRIVED)],
        takes={queue.name: sorted(declared.name for declared in queue.types) for queue in queues},
    )


def _tally(session: Session, kept: Kept) -> Tally:
    found = session.execute(
        text(
            f"SELECT count(*), coalesce(sum(hashtextextended(({kept.key})::text || ':' ||"  # noqa: S608
            f" ({kept.version})::text, 0)::numeric), 0)::text FROM {kept.rows}"
        )
    ).one()
    return Tally(name=kept.name, owner=kept.owner, count=found[0], digest=found[1])


_PUBLISHED = text("SELECT exchange, type, county, last FROM event_sequence ORDER BY 1, 2, 3")
_ARRIVED = text(
    """
    SELECT queue, exchange, type, county,
           (SELECT sum(upper(part) - lower(part)) FROM unnest(seen) AS part)::bigint
    FROM arrival ORDER BY 1, 2, 3, 4
    """
)
