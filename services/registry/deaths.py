"""Deaths: told by public security or by an officer; the registry knows who is meant.

A bureau's event names the person by a number sealed to registry's key; it is opened here, at the
door, and kept only under registry's own keys. Several may tell of one death: the first word counts,
and the person is dead until the last of them has been taken back by who gave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select, text

from services.chassis.door import Refused
from services.chassis.inbox import Delivery
from services.chassis.logs import get_logger
from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    ListWaitingNotices,
    PersonView,
    RecordDeath,
    RevokeDeath,
    WaitingNotice,
)
from services.contracts.errors import Conflict, Forbidden, Invalid
from services.contracts.events import Event
from services.contracts.events.bureaus import DeathRegistered, DeathRevoked
from services.contracts.events.registry import PersonDeathRevoked, PersonDied
from services.contracts.ids import new_id
from services.registry import announcements, bureaus, notices, people, queries, responsibility
from services.registry.models import BureauNotice, Household, Person, Staff
from services.registry.settings import registry_settings

log = get_logger(__name__)

DIED, REVOKED = "death_registered", "death_revoked"
OFFICER = "officer"
"""Stands where a bureau's name stands, for what our own officers told."""


class _Told(NamedTuple):
    delivery: Delivery
    event: DeathRegistered | DeathRevoked
    bureau: str
    number: str
    hashed: bytes


def on_registered(uow: UnitOfWork, events: Sequence[DeathRegistered]) -> None:
    """Mark whom we know; the others wait until somebody registers them."""
    told = _open(uow, events)
    revoked = {
        (row.bureau, row.revokes)
        for row in uow.session.execute(
            select(BureauNotice.bureau, BureauNotice.revokes).where(
                BureauNotice.kind == REVOKED,
                BureauNotice.revokes.in_([str(t.delivery.event_id) for t in told]),
            )
        )
    }
    known = _people(uow, [t.hashed for t in told])
    for each in told:
        assert isinstance(each.event, DeathRegistered)
        person = known.get(each.hashed)
        event_id = each.delivery.event_id
        if (each.bureau, str(event_id)) in revoked:
            _keep(uow, each, state="revoked", person=person)
            continue
        _keep(uow, each, state="applied" if person else "waiting", person=person)
        if person is not None:
            _mark(uow, person, each.event, each.bureau, str(event_id))


def on_revoked(uow: UnitOfWork, events: Sequence[DeathRevoked]) -> None:
    """Take back the word that the named event gave; who is left without any is alive."""
    told = _open(uow, events)
    words = _words(uow, told)  # locked before the people: who is being registered waits for us
    known = _people(uow, [t.hashed for t in told])
    for each in told:
        assert isinstance(each.event, DeathRevoked)
        person = known.get(each.hashed)
        _keep(uow, each, state="applied", person=person)
        first = words.get(_named(each.event))
        if first is None or (first.identity_index, first.bureau) != (each.hashed, each.bureau):
            continue
        first.state = "revoked"
        if person is not None:
            _revive_unless_told(uow, person, str(each.delivery.event_id))


def _words(uow: UnitOfWork, told: Sequence[_Told]) -> dict[UUID | None, BureauNotice]:
    """The notices these revocations name, locked."""
    notices = uow.session.scalars(
        select(BureauNotice)
        .where(BureauNotice.event_id.in_({_named(each.event) for each in told}))
        .order_by(BureauNotice.event_id)
        .with_for_update()
    )
    return {notice.event_id: notice for notice in notices}


def _named(event: Event) -> UUID | None:
    """The event a revocation names; a bureau may write anything there."""
    assert isinstance(event, DeathRevoked)
    try:
        return UUID(event.revokes)
    except ValueError:
        return None


def record(uow: UnitOfWork, command: RecordDeath) -> PersonView:
    """An officer reports a death."""
    person = people.on_record(uow, command.person_id)
    if person.deceased_on is not None:
        raise Conflict(f"{person.name}已登记死亡", field="person_id", reason="deceased")
    if command.died_on > uow.today() or command.died_on < person.birth_date:
        raise Invalid("死亡日期不对", field="died_on", advice="应在出生之后、今天以前")
    if not command.evidence.strip():
        raise Invalid("请写明依据", field="evidence", advice="如死亡证明编号、火化证编号")
    record_id = _keep_officers(
        uow, person, DIED, command.evidence, happened_on=command.died_on
    ).event_id
    _die(uow, person, command.died_on, OFFICER, str(record_id))
    uow.audit("person.died", "person", person.id, source=OFFICER, evidence=command.evidence)
    return queries.person_view(uow, person)


def revoke(uow: UnitOfWork, command: RevokeDeath) -> PersonView:
    """Another officer takes back what an officer recorded wrongly."""
    person = people.on_record(uow, command.person_id)
    if person.deceased_on is None:
        raise Conflict(f"{person.name}没有死亡登记", field="person_id", reason="not_deceased")
    if not command.evidence.strip():
        raise Invalid("请写明依据", field="evidence", advice="如入户见到本人、派出所证明")
    words = _standing(uow, person)
    others = [word for word in words if word.bureau != OFFICER]
    if others:
        named = "、".join(f"{word.bureau}（事件 {word.event_id}）" for word in others)
        raise Conflict(
            f"死亡登记来自部门：{named}",
            field="person_id",
            reason="told_by_bureau",
            advice="请原部门核实后发送撤销登记，并写明该事件编号",
        )
    if any(word.told_by == uow.actor.id for word in words):
        raise Forbidden(
            "登记人不能撤销自己登记的死亡", advice="请由另一人核对后撤销", reason="two_persons"
        )
    revokes = person.death_source
    for word in words:
        word.state = "revoked"
    taken_back = _keep_officers(uow, person, REVOKED, command.evidence, revokes=revokes)
    _revive_unless_told(uow, person, str(taken_back.event_id), evidence=command.evidence)
    return queries.person_view(uow, person)


_WAITING = (
    select(BureauNotice)
    .where(
        BureauNotice.state == "waiting",
        BureauNotice.identity_index.in_(bindparam("indexes", expanding=True)),
    )
    .order_by(BureauNotice.received_at, BureauNotice.event_id)
    .with_for_update()
)


def match_waiting(uow: UnitOfWork, registered: Sequence[Person]) -> None:
    """Hold newly registered people against the notices that wait; the first word stands."""
    by_index = {bytes(person.identity_index): person for person in registered}
    for notice in uow.session.scalars(_WAITING, {"indexes": list(by_index)}):
        assert notice.identity_index is not None
        _apply(uow, notice, by_index[bytes(notice.identity_index)])


def match_registered(uow: UnitOfWork) -> None:
    """Hold notices of the last day that wait against everybody on record.

    Somebody being registered at the very moment his death is told is seen by neither of the two.
    One that cannot be applied is logged and holds up no other.
    """
    notices = uow.session.scalars(
        select(BureauNotice)
        .join(Person, BureauNotice.identity_index == Person.identity_index)
        .where(
            BureauNotice.state == "waiting",
            BureauNotice.received_at > uow.machine_now() - _MEANWHILE,
            ~Person.removed,
        )
        .order_by(BureauNotice.received_at, BureauNotice.event_id)
        .limit(_AT_ONCE)
        .with_for_update(of=BureauNotice, skip_locked=True)
    ).all()
    for notice in notices:
        index = bytes(notice.identity_index or b"")
        try:
            with uow.alone():
                person = _people(uow, [index]).get(index)
                if person is not None:
                    _apply(uow, notice, person)
        except Exception as error:
            log.exception(
                "notice_not_applied", event_id=str(notice.event_id), error=type(error).__name__
            )


_MEANWHILE = timedelta(days=1)
_AT_ONCE = 50


def _apply(uow: UnitOfWork, notice: BureauNotice, person: Person) -> None:
    assert notice.happened_on is not None
    notice.state, notice.person_id = "applied", person.id
    if person.deceased_on is None:
        _die(uow, person, notice.happened_on, notice.bureau, str(notice.event_id))
        uow.audit("person.died", "person", person.id, source=notice.bureau)


def list_waiting(uow: UnitOfWork, query: ListWaitingNotices) -> list[WaitingNotice]:
    """Notices that matched nobody yet."""
    rows = uow.session.scalars(
        select(BureauNotice)
        .where(BureauNotice.state == "waiting")
        .order_by(BureauNotice.received_at)
        .limit(min(query.limit, 1000))
    )
    return [
        WaitingNotice(
            event_id=row.event_id,
            bureau=row.bureau,
            kind=row.kind,
            division=row.division,
            happened_on=row.happened_on,
            received_at=row.received_at,
        )
        for row in rows
        if row.happened_on is not None
    ]


# -- at the door ------------------------------------------------------------------------------


def _open(uow: UnitOfWork, events: Sequence[Event]) -> list[_Told]:
    """Open what can be opened; refuse the rest to the bureau, changing nothing."""
    told: list[_Told] = []
    for delivery, event in zip(uow.deliveries, events, strict=True):
        assert isinstance(event, (DeathRegistered, DeathRevoked))
        bureau = delivery.type.split(".", 1)[0]
        try:
            number = notices.number_of(event, registry_settings().bureau_key, uow.today())
        except notices.NotTaken as refused:
            _refuse(uow, delivery, event, bureau, refused)
            continue
        told.append(_Told(delivery, event, bureau, number, uow.cipher.blind_index(number)))
        bureaus.accept(uow, delivery.event_id, bureau, event.division)
    uow.session.execute(_TURNS, {"turns": sorted({each.hashed.hex() for each in told})})
    return told


_TURNS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(turn, 3)) FROM unnest(CAST(:turns AS text[]))"
    " AS turn"
)
"""A word and the one that takes it back come by two queues: whoever reads first what there is about
a person, the other waits until that is written. In one order, so never in a ring."""


def _refuse(
    uow: UnitOfWork,
    delivery: Delivery,
    event: DeathRegistered | DeathRevoked,
    bureau: str,
    refused: notices.NotTaken,
) -> None:
    uow.session.add(
        BureauNotice(
            event_id=delivery.event_id,
            bureau=bureau,
            kind=delivery.type,
            division=event.division,
            reference=event.certificate_no,
            state="refused",
        )
    )
    bureaus.refuse(
        uow,
        [
            Refused(
                bureau=bureau,
                event_id=str(delivery.event_id),
                type=delivery.type,
                division=event.division,
                code=refused.reason or refused.code,
                field=refused.field,
                reason=refused.message,
            )
        ],
    )


def _keep(uow: UnitOfWork, told: _Told, *, state: str, person: Person | None) -> None:
    event_id = told.delivery.event_id
    died = isinstance(told.event, DeathRegistered)
    uow.session.add(
        BureauNotice(
            event_id=event_id,
            bureau=told.bureau,
            kind=DIED if died else REVOKED,
            division=told.event.division,
            identity=uow.cipher.encrypt(
                told.number, table="bureau_notice", row=event_id, column="identity"
            ),
            identity_index=told.hashed,
            happened_on=told.event.died_on if isinstance(told.event, DeathRegistered) else None,
            revokes=told.event.revokes if isinstance(told.event, DeathRevoked) else None,
            reference=told.event.certificate_no,
            state=state,
            person_id=person.id if person else None,
        )
    )


def _people(uow: UnitOfWork, indexes: Sequence[bytes]) -> dict[bytes, Person]:
    rows = uow.session.scalars(
        select(Person)
        .where(Person.identity_index.in_(indexes), ~Person.removed)
        .order_by(Person.id)
        .with_for_update()
    )
    return {bytes(person.identity_index): person for person in rows}


def _keep_officers(
    uow: UnitOfWork,
    person: Person,
    kind: str,
    evidence: str,
    *,
    happened_on: date | None = None,
    revokes: str | None = None,
) -> BureauNotice:
    notice = BureauNotice(
        event_id=new_id(),
        bureau=OFFICER,
        kind=kind,
        division=person.division,
        identity_index=person.identity_index,
        happened_on=happened_on,
        revokes=revokes,
        reference=evidence.strip(),
        state="applied",
        person_id=person.id,
        told_by=uow.actor.id,
    )
    uow.session.add(notice)
    return notice


def _standing(uow: UnitOfWork, person: Person) -> Sequence[BureauNotice]:
    """Who says, so far, that this person died."""
    uow.session.flush()
    return uow.session.scalars(
        select(BureauNotice)
        .where(
            BureauNotice.person_id == person.id,
            BureauNotice.kind == DIED,
            BureauNotice.state == "applied",
        )
        .order_by(BureauNotice.event_id)
    ).all()


# -- what it means ----------------------------------------------------------------------------


def _mark(
    uow: UnitOfWork, person: Person, event: DeathRegistered, bureau: str, event_id: str
) -> None:
    if person.deceased_on is not None:
        return  # told before, by an officer or another event: the first stands
    _die(uow, person, event.died_on, bureau, event_id)
    uow.audit("person.died", "person", person.id, source=bureau, event=event_id)


def _die(uow: UnitOfWork, person: Person, died_on: date, source: str, source_id: str) -> None:
    person.deceased_on = died_on
    person.death_source = source_id
    person.version += 1
    household = uow.session.get_one(Household, person.household_id, with_for_update=True)
    household.version += 1
    uow.session.flush()
    uow.emit(
        PersonDied(
            person_id=person.id,
            household_id=person.household_id,
            division=person.division,
            died_on=died_on,
            source=source,
            source_event_id=source_id,
            officer_id=person.officer_id,
        )
    )
    uow.emit(*announcements.people_recorded(uow, [person]))
    uow.emit(announcements.household_recorded(uow, household))


def _revive_unless_told(
    uow: UnitOfWork, person: Person, event_id: str, *, evidence: str | None = None
) -> None:
    if person.death_source is not None and not _standing(uow, person):
        _revive(uow, person, person.death_source, event_id, evidence)


def _revive(
    uow: UnitOfWork, person: Person, revokes: str, event_id: str, evidence: str | None
) -> None:
    officer = uow.session.get_one(Staff, person.officer_id)
    if not officer.active:
        person.officer_id = responsibility.officer_of(uow, person.division).id
    person.deceased_on = person.death_source = None
    person.version += 1
    household = uow.session.get_one(Household, person.household_id, with_for_update=True)
    household.version += 1
    uow.session.flush()
    detail = {"event": event_id} if evidence is None else {"evidence": evidence}
    uow.audit("person.death_revoked", "person", person.id, **detail)
    uow.emit(
        PersonDeathRevoked(
            person_id=person.id,
            household_id=person.household_id,
            division=person.division,
            revokes=revokes,
            source_event_id=event_id,
        )
    )
    uow.emit(*announcements.people_recorded(uow, [person]))
    uow.emit(announcements.household_recorded(uow, household))
