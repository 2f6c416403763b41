"""The probe service: reacts to its own events over the real bus."""

from __future__ import annotations

import os
import uuid

from eventlet import sleep
from sqlalchemy import BigInteger, Identity, func, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis import files
from services.chassis.models import ColumnTypes, new_metadata
from services.chassis.projection import upsert_newer
from services.chassis.service import ANYONE, Service, command, project, query, react
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from tests.integration.chassis.probe.probe import (
    CountEffects,
    NoteThing,
    ThingNoted,
    ThingRecorded,
    WeighFile,
)


class Base(ColumnTypes, DeclarativeBase):
    """Base of the probe's tables."""

    metadata = new_metadata()


class Effect(Base):
    """One row an applied event: twice applied would be two rows."""

    __tablename__ = "effect"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    thing_id: Mapped[uuid.UUID]
    amount: Mapped[int]
    origin: Mapped[str | None]


class Calm(Base):
    """While this table is empty, events with the trouble ``until_calm`` fail."""

    __tablename__ = "calm"

    id: Mapped[int] = mapped_column(primary_key=True)


class Copy(Base):
    """The projection."""

    __tablename__ = "copy"

    thing_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    label: Mapped[str]
    epoch: Mapped[int]
    version: Mapped[int]


class ProbeService(Service):
    """Notes things, and counts the effects of having noted them."""

    name = "probe"

    @project(ThingRecorded, into=Copy)
    def copy_things(self, uow: UnitOfWork, events: list[ThingRecorded]) -> None:
        """Keep the newest label."""
        rows = [
            {"thing_id": e.thing_id, "label": e.label, "epoch": e.epoch, "version": e.version}
            for e in events
        ]
        upsert_newer(uow.session, Copy, rows, key=("thing_id",))

    @react(ThingNoted)
    def on_noted(self, uow: UnitOfWork, events: list[ThingNoted]) -> None:
        """One effect an event; trouble as ordered."""
        for noted in events:
            if noted.trouble == "raise":
                raise ValueError("ordered to fail")
            if noted.trouble == "until_calm" and not uow.session.scalar(select(Calm.id)):
                raise ValueError("ordered to fail until calm")
            if noted.trouble == "die":
                os.kill(os.getpid(), 9)
            if noted.trouble.startswith("sleep"):
                sleep(float(noted.trouble.removeprefix("sleep")))
        uow.session.execute(
            insert(Effect),
            [
                {"thing_id": e.thing_id, "amount": e.amount, "origin": envelope.origin_user}
                for e, envelope in zip(events, uow.deliveries, strict=True)
            ],
        )

    @command(NoteThing, roles=(Role.TOWN_CLERK,))
    def note_thing(self, uow: UnitOfWork, request: NoteThing) -> int:
        """Emit the events; ``sleep3`` takes three seconds over it."""
        if request.trouble.startswith("sleep"):
            sleep(float(request.trouble.removeprefix("sleep")))
        uow.emit(
            ThingNoted(
                thing_id=request.thing_id,
                division="421083108007",
                amount=request.amount,
            ),
            ThingRecorded(
                thing_id=request.thing_id,
                division="421083108007",
                label=str(request.amount),
                epoch=0,
                version=1,
            ),
        )
        return request.amount

    @query(CountEffects, roles=ANYONE)
    def count_effects(self, uow: UnitOfWork, _: CountEffects) -> dict[str, int]:
        """Count."""
        count, total = uow.session.execute(
            select(func.count(), func.coalesce(func.sum(Effect.amount), 0)).select_from(Effect)
        ).one()
        copies = uow.session.scalar(select(func.count()).select_from(Copy)) or 0
        return {"effects": int(count), "total": int(total), "copies": int(copies)}

    @command(WeighFile, roles=ANYONE, child=True)
    def weigh_file(self, uow: UnitOfWork, request: WeighFile) -> int:
        """Weigh."""
        return len(files.read(uow, request.file_id))
