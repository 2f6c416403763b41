"""The receiving side of the replay bench: a projection, guarded by epoch and version."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis import outbox
from services.chassis.models import ColumnTypes, new_metadata
from services.chassis.projection import upsert_newer
from services.chassis.service import Service, project
from services.chassis.uow import UnitOfWork
from services.contracts.events.base import Audience, Event, event

TYPE = "gauge.read.v1"
EXCHANGE = "copies.internal"
DIVISION = "421083108007"
ROUTING_KEY = "gauge.read.v1.42.10.83.108.007"


@event(TYPE, audience=Audience.INTERNAL, subject="gauge_id", facet="gauge")
class GaugeRead(Event, frozen=True, kw_only=True):
    """The whole state of a gauge of the bench."""

    gauge_id: uuid.UUID
    division: str
    amount: int
    padding: str = "x" * 100
    epoch: int = 0
    version: int


class Base(ColumnTypes, DeclarativeBase):
    """Base of the one table."""

    metadata = new_metadata()


class Gauge(Base):
    """The newest state of a gauge."""

    __tablename__ = "gauge"

    gauge_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    amount: Mapped[int]
    epoch: Mapped[int]
    version: Mapped[int]


class CopiesService(Service):
    """Keeps copies of gauges."""

    name = "copies"

    @project(GaugeRead)
    def copy_gauges(self, uow: UnitOfWork, events: list[GaugeRead]) -> None:
        """Newest wins."""
        upsert_newer(
            uow.session,
            Gauge,
            [
                {
                    "gauge_id": e.gauge_id,
                    "amount": e.amount,
                    "epoch": e.epoch,
                    "version": e.version,
                }
                for e in events
            ],
            key=("gauge_id",),
        )


def body(gauge: int, version: int) -> bytes:
    """A telling as JSON, some 250 bytes."""
    return msgspec.json.encode(
        GaugeRead(gauge_id=uuid.UUID(int=gauge), division=DIVISION, amount=version, version=version)
    )


def headers(number: int) -> dict[str, Any]:
    """The headers our relay would send with it."""
    return outbox.headers(
        "gauge",
        outbox.Envelope(
            id=number,
            event_id=str(uuid.UUID(int=number)),
            type=TYPE,
            exchange=EXCHANGE,
            routing_key=ROUTING_KEY,
            subject="gauge",
            county="421083",
            sequence=number,
            traceparent=None,
            time=datetime.now(UTC),
            body=b"",
        ),
    )
