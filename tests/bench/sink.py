"""The receiving side of the event bench: stores one row an event, exactly once."""

from __future__ import annotations

import uuid

from sqlalchemy import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.models import ColumnTypes, new_metadata
from services.chassis.service import Service, react
from services.chassis.uow import UnitOfWork
from tests.bench.source import ReadingTaken


class Base(ColumnTypes, DeclarativeBase):
    """Base of the sink's one table."""

    metadata = new_metadata()


class Reading(Base):
    """A stored effect; no key of its own, so that an event applied twice is two rows."""

    __tablename__ = "reading"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    reading_id: Mapped[uuid.UUID]
    amount: Mapped[int]


class SinkService(Service):
    """Stores readings."""

    name = "sink"

    @react(ReadingTaken)
    def store(self, uow: UnitOfWork, events: list[ReadingTaken]) -> None:
        """One row an event, in one statement."""
        uow.session.execute(
            insert(Reading), [{"reading_id": e.reading_id, "amount": e.amount} for e in events]
        )
