"""A projection made anew from the archives: equal when all is well, and the cure when it is not."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import date

import amqp
import msgspec
import pytest
from sqlalchemy import select, update

from deploy.local import Servers
from services.chassis import amqp_io, outbox, rebuilding, topology
from services.chassis.clock import machine_now
from services.chassis.service import _marked
from services.chassis.topology import WorkQueue
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Role, system_actor
from services.contracts.commands.common import RebuildProjection, RebuiltProjection
from services.contracts.errors import NotFound
from services.contracts.events import Event, event_type
from services.contracts.events.registry import PersonAccountChanged, PersonRecorded
from services.funding.models import PersonCopy
from services.funding.service import FundingService
from tests.fixtures.services import settings_for
from tests.integration.chassis.bus import Process, Room, eventually, recorded
from tests.integration.chassis.probe.probe import ThingRecorded
from tests.integration.chassis.probe.service import Copy, ProbeService

pytestmark = pytest.mark.timeout(240)

COPY = ProbeService().copy_things
"""What keeps the probe's copy, live and here."""


TOLD = "SELECT coalesce(sum(last), 0)::int FROM event_sequence WHERE type = 'thing.recorded.v1'"


def applied(room: Room) -> None:
    """Wait until everything said has been published and copied."""
    taken = "SELECT count(*) FROM inbox WHERE subscription = 'probe.copies'"
    eventually(lambda: room.pending() == 0 and room.rows(TOLD) == room.rows(taken), 60)


def labels(room: Room) -> dict[uuid.UUID, tuple[str, int]]:
    """The standing projection."""
    rows = room.rows("SELECT thing_id::text, label, version FROM copy")
    return {uuid.UUID(thing): (label, version) for thing, label, version in rows}


def rebuild(
    room: Room,
    *,
    keep: rebuilding.Keep = COPY,
    projection: str = "copy",
    swap: bool = False,
) -> RebuiltProjection:
    """As the command does it, in this process."""
    known = rebuilding.projections([(keep, Copy, (ThingRecorded,))])
    queue = WorkQueue("probe.copies", (), ())
    with room.foundation.begin(system_actor("probe")) as uow:
        return rebuilding.rebuild(
            uow, known, queue, RebuildProjection(projection=projection, swap=swap)
        )


def test_equal_when_all_is_well_and_cured_when_not(bus: Room, process: Process) -> None:
    """Asked over RPC of the running service: nothing differs after many events; what was spoilt by
    hand in every way is found, told without its content, and cured; the copy goes on living."""
    room = bus
    things = [uuid.uuid4() for _ in range(400)]
    room.emit(recorded(thing, f"v{version}", version) for version in (1, 2) for thing in things)
    applied(room)
    token = room.token(Role.SYSTEM_ADMIN)
    with closing(room.client()) as client:
        equal = client.call(RebuildProjection(projection="copy"), token=token, service="probe")
    assert (equal.events, equal.rows) == (room.rows(TOLD)[0][0], len(labels(room)))
    before = labels(room)
    assert dict.fromkeys(things, ("v2", 2)).items() <= before.items()
    assert (equal.differences, equal.lost, equal.unreadable, equal.waiting) == (0, 0, 0, 0)

    wrong, gone, high, low, foreign = *things[:4], uuid.uuid4()
    room.rows("UPDATE copy SET label = 'spoilt' WHERE thing_id = %s", str(wrong))
    room.rows("DELETE FROM copy WHERE thing_id = %s", str(gone))
    room.rows("UPDATE copy SET version = 99 WHERE thing_id = %s", str(high))
    room.rows("UPDATE copy SET version = 1, label = 'v1' WHERE thing_id = %s", str(low))
    room.rows("INSERT INTO copy VALUES (%s, 'foreign', 0, 1)", str(foreign))
    found = rebuild(room)
    assert {(each.key, each.kind, each.columns) for each in found.first} == {
        (str(wrong), "differs", ("label",)),
        (str(gone), "missing", ()),
        (str(high), "newer", ("version",)),
        (str(low), "older", ("label", "version")),
        (str(foreign), "surplus", ()),
    }
    assert (found.differences, found.written, found.removed) == (5, 0, 0)
    assert labels(room)[wrong] == ("spoilt", 2), "comparing alone changes nothing"

    cured = rebuild(room, swap=True)
    assert (cured.differences, cured.written, cured.removed) == (5, 4, 1)
    assert labels(room) == before
    assert rebuild(room).differences == 0
    with pytest.raises(NotFound, match="没有投影"):
        rebuild(room, projection="audit")

    room.emit(recorded(thing, "v3", 3) for thing in (wrong, high))
    applied(room)
    assert labels(room)[wrong] == labels(room)[high] == ("v3", 3)
    assert process.alive()


def test_what_comes_while_it_is_rebuilt_is_not_lost(bus: Room) -> None:
    """Said and applied after the archives were read, before the swap: it stands after the swap,
    also where the swap wrote that very row."""
    room = bus
    old, spoilt, new = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    room.emit(recorded(thing, "first", 1) for thing in (old, spoilt))
    applied(room)
    room.rows("UPDATE copy SET label = 'spoilt' WHERE thing_id = %s", str(spoilt))
    said: list[uuid.UUID] = []

    def keep(uow: UnitOfWork, events: list[Event]) -> None:
        COPY(uow, events)
        if not said:  # the archives have just been read for the first time
            said.extend(room.emit(recorded(thing, "second", 2) for thing in (old, spoilt, new)))
            applied(room)

    done = rebuild(room, keep=keep, swap=True)
    assert said
    assert done.differences == 0, "the live copy had cured itself by then"
    expected = dict.fromkeys((old, spoilt, new), ("second", 2))
    assert expected.items() <= labels(room).items()


def test_what_the_archives_lost_is_not_taken_away(own_room: Room) -> None:
    """An archive that no longer reaches back: what only stands, or stands newer, is left and said;
    what it does hold is still cured."""
    room = own_room
    room.start().until_ready()
    early, late = uuid.uuid4(), uuid.uuid4()
    room.emit([recorded(early, "early", 1)])
    applied(room)
    with room.broker() as connection, connection.channel() as channel:
        channel.queue_delete("probe.internal.archive")
    eventually(lambda: room.depth("probe.internal.archive") == 0, 60)
    room.emit([recorded(late, "late", 1)])
    applied(room)
    room.rows("UPDATE copy SET label = 'spoilt'")
    done = rebuild(room, swap=True)
    assert (done.lost, done.differences, done.written, done.removed) == (1, 2, 1, 0)
    assert labels(room) == {early: ("spoilt", 1), late: ("late", 1)}


# -- encrypted, and of two facets ---------------------------------------------------------------


def person(number: int, version: int = 1) -> PersonRecorded:
    """A person as registry tells of one."""
    return PersonRecorded(
        person_id=uuid.UUID(int=number),
        household_id=uuid.UUID(int=1000 + number),
        division="421083108007",
        name=f"单桂兰{number}",
        sex="女",
        birth_date=date(1950, 1, 1),
        relation="户主",
        is_head=True,
        categories=(),
        disability=None,
        officer_id=None,
        deceased_on=None,
        removed=False,
        epoch=0,
        version=version,
    )


def test_encrypted_columns_are_compared_opened(
    servers: Servers, amqp_uri: str, database: Callable[[str], str]
) -> None:
    """Funding's people: the same number under another nonce is no difference, another number is;
    both facets come back, under the service's own database role."""
    foundation = Foundation.build(settings_for("funding", database("funding"), amqp_uri))
    registry = Foundation.build(settings_for("registry", database("registry"), amqp_uri))
    accounts = [
        PersonAccountChanged(
            person_id=uuid.UUID(int=number),
            division="421083108007",
            account_name=registry.seals.seal("funding", f"单桂兰{number}"),
            account_number=registry.seals.seal("funding", f"62179912345678{number:05}"),
            bank="农商行",
            changed_at=machine_now(),
            epoch=0,
            version=1,
        )
        for number in range(3)
    ]
    people = [person(number) for number in range(3)]
    tell(amqp_uri, [*people, *accounts])
    actor, service = system_actor("funding"), FundingService()
    known = rebuilding.projections(
        (getattr(service, name), method.into, method.projects)
        for name, method in _marked(FundingService, "projects")
    )
    assert set(known) == {"person", "household", "staff"}

    def rebuild(*, swap: bool = False) -> RebuiltProjection:
        with foundation.begin(actor) as uow:
            request = RebuildProjection(projection="person", swap=swap)
            return rebuilding.rebuild(uow, known, copies, request)

    copies = WorkQueue("funding.copies", (), ())
    with amqp_io.connect(amqp_uri) as connection, connection.channel() as channel:
        topology.declare_queue(channel, copies, archive_max_bytes=1_000_000_000)
    with foundation.begin(actor) as uow:
        service.copy_people(uow, people)
        service.copy_accounts(uow, accounts)
    assert rebuild().differences == 0

    one = uuid.UUID(int=1)
    with foundation.begin(actor) as uow:
        forged = uow.cipher.encrypt("6666", table="person", row=one, column="account_number")
        moved = uow.session.scalar(
            select(PersonCopy.account_number).where(PersonCopy.person_id == uuid.UUID(int=0))
        )
        uow.session.execute(
            update(PersonCopy).where(PersonCopy.person_id == one).values(account_number=forged)
        )
        uow.session.execute(
            update(PersonCopy)
            .where(PersonCopy.person_id == uuid.UUID(int=2))
            .values(account_number=moved, name=None, version=None, epoch=None)
        )
    found = rebuild(swap=True)
    assert [(each.kind, each.columns) for each in found.first] == [
        ("differs", ("account_number",)),
        ("older", ("name", "epoch", "version", "account_number")),
    ]
    assert rebuild().differences == 0
    with foundation.begin(actor) as uow:
        for number in range(3):
            kept = uow.session.get_one(PersonCopy, uuid.UUID(int=number))
            assert kept.account_number is not None
            place = {"table": "person", "row": kept.person_id, "column": "account_number"}
            opened = uow.cipher.decrypt(kept.account_number, **place)
            assert (kept.name, opened) == (f"单桂兰{number}", f"62179912345678{number:05}")
    for each in (foundation, registry):
        each.engine.dispose()


def tell(amqp_uri: str, events: list[Event]) -> None:
    """Publish as registry's relay does: numbered, into its exchange with the archive."""
    with amqp_io.connect(amqp_uri) as connection:
        with connection.channel() as channel:
            topology.declare_exchange(channel, "registry.internal", archive_max_bytes=10**9)
        counted: dict[str, int] = {}
        messages = []
        for number, event in enumerate(events, 1):
            declared = event_type(event)
            counted[declared.name] = counted.get(declared.name, 0) + 1
            envelope = outbox.Envelope(
                id=number,
                event_id=str(uuid.uuid4()),
                type=declared.name,
                exchange=declared.exchange(),
                routing_key=declared.routing_key(event),
                subject=declared.subject_of(event),
                county="421083",
                sequence=counted[declared.name],
                traceparent=None,
                time=machine_now(),
                body=b"",
            )
            message = amqp.Message(
                msgspec.json.encode(event),
                delivery_mode=2,
                message_id=envelope.event_id,
                type=envelope.type,
                application_headers=outbox.headers("registry", envelope),
            )
            messages.append((message, envelope.exchange, envelope.routing_key))
        assert len(amqp_io.ConfirmedPublisher(connection).publish(messages)) == len(messages)
