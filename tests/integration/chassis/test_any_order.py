"""A life's events in any order, any batches, any repeats: the tables end the same.

The real inbox, the real projection and reaction of the probe, the real database; only the broker
is left out, whose worst behaviour (reordering, repeating, cutting batches anywhere) Hypothesis
plays. The reaction has a terminal fact: once a thing has ended nothing re-opens it but a
correction that names the end.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from deploy.local import Servers
from services.chassis import inbox
from services.chassis.database import engine
from services.chassis.inbox import Delivery
from services.chassis.models import ChassisBase, ColumnTypes, new_metadata
from services.chassis.projection import upsert_newer
from services.chassis.settings import Settings
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor
from services.contracts.events import Event, event_type
from tests.fixtures.services import KEYS
from tests.integration.chassis.bus import noted, recorded
from tests.integration.chassis.probe import service as probe
from tests.integration.chassis.probe.probe import ThingNoted, ThingRecorded

THINGS = [uuid.UUID(int=number) for number in range(1, 4)]
END, REVOKE = "end", "revoke"


class Base(ColumnTypes, DeclarativeBase):
    """Base of the reaction's table."""

    metadata = new_metadata()


class Ending(Base):
    """Facts about ends: the state is read from them, so their order does not matter."""

    __tablename__ = "ending"

    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    thing_id: Mapped[uuid.UUID]
    revokes: Mapped[str | None]


def _life(thing: uuid.UUID) -> list[Delivery]:
    """A thing's life: five versions in two epochs, notes, an end, its revocation, another end."""
    events: list[Event] = [recorded(thing, f"v{n}", n) for n in range(1, 5)]
    events.append(recorded(thing, "restored", 1, epoch=1))
    events += [noted(thing, amount=n) for n in range(1, 5)]
    first_end = noted(thing, amount=0, padding=END)
    events += [first_end, noted(thing, amount=0, padding=f"{REVOKE} {_id(thing, 9)}")]
    if thing != THINGS[0]:
        events.append(noted(thing, amount=0, padding=END))
    return [
        Delivery(
            event_id=_id(thing, number),
            type=event_type(event).name,
            event=event,
            traceparent=None,
            origin_user=None,
        )
        for number, event in enumerate(events)
    ]


def _id(thing: uuid.UUID, number: int) -> uuid.UUID:
    return uuid.UUID(int=thing.int * 1000 + number)


LIFE = [delivery for thing in THINGS for delivery in _life(thing)]


def _react(uow: UnitOfWork, deliveries: Sequence[Delivery]) -> None:
    effects, endings = [], []
    for delivery in deliveries:
        fact = delivery.event
        assert isinstance(fact, ThingNoted)
        if fact.padding:
            verb, _, revoked = fact.padding.partition(" ")
            endings.append(
                {
                    "event_id": delivery.event_id,
                    "thing_id": fact.thing_id,
                    "revokes": revoked if verb == REVOKE else None,
                }
            )
        else:
            effects.append({"thing_id": fact.thing_id, "amount": fact.amount, "origin": None})
    if effects:
        uow.session.execute(insert(probe.Effect), effects)
    if endings:
        uow.session.execute(insert(Ending), endings)


def _apply(foundation: Foundation, batch: list[Delivery], *, inbox_open: bool = True) -> None:
    """As the chassis does: claim and handle in one transaction, each subscription its own."""
    for subscription in ("probe.copies", "probe.on_noted"):
        facets = subscription == "probe.copies"
        mine = [d for d in batch if isinstance(d.event, ThingRecorded) is facets]
        if not mine:
            continue
        with foundation.begin(system_actor("probe")) as uow:
            fresh = inbox.claim(uow.session, subscription, (d.event_id for d in mine))
            chosen = []
            for delivery in mine:
                if delivery.event_id in fresh or not inbox_open:
                    fresh.discard(delivery.event_id)
                    chosen.append(delivery)
            if facets:
                newest = inbox.newest_by_subject([d.event for d in chosen])
                rows = [
                    {"thing_id": e.thing_id, "label": e.label}
                    | {"epoch": e.epoch, "version": e.version}
                    for e in newest
                    if isinstance(e, ThingRecorded)
                ]
                upsert_newer(uow.session, probe.Copy, rows, key=("thing_id",))
            else:
                _react(uow, chosen)


def _tables(foundation: Foundation) -> tuple[object, ...]:
    """What a reader sees: copies, sums of effects, and who has ended."""
    with foundation.begin(system_actor("probe")) as uow:
        copies = uow.session.execute(
            select(probe.Copy.thing_id, probe.Copy.label).order_by(probe.Copy.thing_id)
        ).all()
        effects = uow.session.execute(select(probe.Effect.thing_id, probe.Effect.amount)).all()
        endings = uow.session.scalars(select(Ending)).all()
    revoked = {ending.revokes for ending in endings if ending.revokes}
    ended = {e.thing_id for e in endings if not e.revokes and str(e.event_id) not in revoked}
    return [tuple(c) for c in copies], sorted(tuple(e) for e in effects), sorted(ended)


@pytest.fixture(scope="module")
def foundation(servers: Servers) -> Iterator[Foundation]:
    """A database of the probe's."""
    with servers.cluster.scratch_database("registry") as url:
        built = Foundation.build(
            Settings(
                service="probe",
                amqp_uri="",
                database_url=url,
                field_keys={1: b"k" * 32},
                index_key=b"",
                transit_keys={},
                actor_public_keys=KEYS["ACTOR_PUBLIC_KEYS"],
                audit_keys={1: b"a" * 32},
                mode="test",
            )
        )
        made = engine(url)
        for metadata in (ChassisBase.metadata, probe.Base.metadata, Base.metadata):
            metadata.create_all(made)
        made.dispose()
        yield built
        built.engine.dispose()


def _clear(foundation: Foundation) -> None:
    from sqlalchemy import text

    with foundation.begin(system_actor("probe")) as uow:
        uow.session.execute(text("TRUNCATE copy, effect, ending, inbox"))


EXPECTED = (
    [(thing, "restored") for thing in THINGS],
    sorted((thing, amount) for thing in THINGS for amount in range(1, 5)),
    sorted(THINGS[1:]),
)


def test_in_the_order_they_happened(foundation: Foundation) -> None:
    """The reference: three lives, told once, in order."""
    _clear(foundation)
    for delivery in LIFE:
        _apply(foundation, [delivery])
    assert _tables(foundation) == EXPECTED


@st.composite
def tellings(draw: st.DrawFn) -> list[list[Delivery]]:
    """Every event at least once, in any order, some again and again, cut into batches anywhere."""
    repeated = draw(st.lists(st.sampled_from(LIFE), max_size=25))
    told = draw(st.permutations([*LIFE, *repeated]))
    cuts = sorted(draw(st.sets(st.integers(1, len(told) - 1), max_size=8)))
    return [told[a:b] for a, b in zip([0, *cuts], [*cuts, len(told)], strict=True)]


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(telling=tellings())
def test_every_permutation_and_repeat_ends_the_same(
    foundation: Foundation, telling: list[list[Delivery]]
) -> None:
    """The tables do not depend on order, repetition or the cut of batches."""
    _clear(foundation)
    for batch in telling:
        _apply(foundation, batch)
    assert _tables(foundation) == EXPECTED


def test_without_the_inbox_it_would_not(foundation: Foundation) -> None:
    """The same with the inbox left out differs: it is the inbox that holds the promise."""
    _clear(foundation)
    for delivery in [*LIFE, LIFE[5]]:
        if not (isinstance(delivery.event, ThingNoted) and delivery.event.padding):
            _apply(foundation, [delivery], inbox_open=False)
    assert _tables(foundation)[1] != EXPECTED[1]
