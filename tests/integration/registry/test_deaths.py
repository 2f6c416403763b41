"""Deaths: a bureau's word opened at the door, applied once, final, and only its own undone."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey
from sqlalchemy import select, text

from services.chassis.inbox import Delivery
from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    ChangePhone,
    ListWaitingNotices,
    RecordDeath,
    RevokeDeath,
)
from services.contracts.errors import Conflict, Forbidden, Invalid
from services.contracts.events import Event
from services.contracts.events.bureaus import DeathRegistered, DeathRevoked
from services.contracts.ids import new_id
from services.registry import deaths, people
from services.registry.models import BureauNotice, Person
from tests.builders.roster import identity
from tests.fixtures.services import KEYS, OpenUow, emitted
from tests.integration.registry.conftest import CLERK, REVIEWER, VILLAGE, Act, member, register

DIED = date(2026, 9, 20)
BUREAU = "public_security"


def sealed(number: str, *, alg: str = "ECDH-ES", key: str | None = None) -> str:
    """The number as a bureau sends it: a JWE to the key on the connection sheet."""
    public = ECKey.import_key(json.loads(key or KEYS["BUREAU_PUBLIC_KEY"]))
    return jwe.encrypt_compact({"alg": alg, "enc": "A256GCM"}, number.encode(), public)


def death(number: str = "", **changes: object) -> DeathRegistered:
    """A death as the bureau tells of it."""
    given: dict[str, object] = {
        "certificate_no": "421083-D-1",
        "division": VILLAGE,
        "identity_number": sealed(number or identity(1)),
        "died_on": DIED,
    }
    return DeathRegistered(**(given | changes))  # type: ignore[arg-type]


def deliver(
    uow: UnitOfWork,
    *events: Event,
    bureau: str = BUREAU,
    event_id: UUID | None = None,
) -> UUID:
    """Hand events to the reaction as the chassis does; the id of the last."""
    uow.deliveries = [
        Delivery(
            event_id=event_id or new_id(),
            type=f"{bureau}.death_{'revoked' if isinstance(e, DeathRevoked) else 'registered'}.v1",
            event=e,
            traceparent=None,
            origin_user=f"bureau.{bureau}",
        )
        for e in events
    ]
    if isinstance(events[0], DeathRevoked):
        deaths.on_revoked(uow, events)  # type: ignore[arg-type]
    else:
        deaths.on_registered(uow, events)  # type: ignore[arg-type]
    return uow.deliveries[-1].event_id


def told(uow: UnitOfWork, name: str) -> list[dict[str, object]]:
    """The events of a type in the outbox."""
    return [body for kind, body in emitted(uow) if kind == name]


@pytest.mark.parametrize("alg", ["ECDH-ES", "ECDH-ES+A256KW"])
def test_a_death_marks_the_person_and_is_told(act: Act, alg: str) -> None:
    """Found by blind index; the money side, cases and notify hear who, when, and whose officer."""
    with act() as uow:
        household, head = register(uow)
        event_id = deliver(uow, death(identity_number=sealed(identity(1), alg=alg)))
        person = uow.session.get_one(Person, head)
        (died,) = told(uow, "person.died.v1")
        (accepted,) = told(uow, "bureau_event.accepted.v1")
        assert (accepted["event_id"], accepted["bureau"]) == (str(event_id), BUREAU)
        recorded = told(uow, "person.recorded.v1")[-1]
        assert told(uow, "household.recorded.v1")[-1]["members"] == 0
    assert person.deceased_on == DIED
    assert died == {
        "person_id": str(head),
        "household_id": str(household),
        "division": VILLAGE,
        "died_on": "2026-09-20",
        "source": BUREAU,
        "source_event_id": str(event_id),
        "officer_id": str(person.officer_id),
    }
    assert (recorded["deceased_on"], recorded["version"]) == ("2026-09-20", 2)


def test_a_second_notice_of_one_death_changes_nothing(act: Act) -> None:
    """Police, hospital and crematorium tell of the same death: the first stands."""
    with act() as uow:
        register(uow)
        deliver(uow, death())
        deliver(uow, death(died_on=date(2026, 9, 25), certificate_no="other"))
        assert len(told(uow, "person.died.v1")) == 1
        assert uow.session.scalars(select(Person.deceased_on)).one() == DIED


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"identity_number": "a.b.c.d.e"}, "cannot_open", "identity_number"),
        (
            {"identity_number": sealed(identity(1), key=json.dumps(
                ECKey.generate_key("P-256").as_dict(private=True)))},
            "cannot_open", "identity_number",
        ),
        (
            {"identity_number": sealed("421083195503070010")},
            "bad_identity_number", "identity_number",
        ),
        ({"died_on": date(2026, 12, 1)}, "future_date", "died_on"),
        ({"died_on": date(1949, 1, 1)}, "before_birth", "died_on"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_to_the_bureau(
    act: Act, changes: dict[str, object], code: str, field: str
) -> None:
    """Code, field and reason by event id; nobody is marked, and no number is kept or echoed."""
    with act() as uow:
        register(uow)
        event_id = deliver(uow, death(**changes))
        (refused,) = told(uow, "bureau_event.refused.v1")
        assert told(uow, "person.died.v1") == told(uow, "bureau_event.accepted.v1") == []
        assert uow.session.scalars(select(Person.deceased_on)).one() is None
        notice = uow.session.get_one(BureauNotice, event_id)
    assert (refused["event_id"], refused["code"], refused["field"]) == (str(event_id), code, field)
    assert refused["bureau"] == BUREAU
    assert identity(1) not in json.dumps(refused)
    assert (notice.state, notice.identity, notice.identity_index) == ("refused", None, None)


def test_one_bad_notice_does_not_stop_the_others(act: Act) -> None:
    """A batch: what cannot be opened is refused, the other applied."""
    with act() as uow:
        register(uow)
        deliver(uow, death(identity_number="a.b.c.d.e"), death())
        assert len(told(uow, "bureau_event.refused.v1")) == 1
        assert len(told(uow, "person.died.v1")) == 1


def test_an_unknown_person_waits_until_registered(act: Act) -> None:
    """Nothing is lost, and nobody is paid in the meantime of registering."""
    with act() as uow:
        deliver(uow, death())
        (waiting,) = deaths.list_waiting(uow, ListWaitingNotices())
        assert (waiting.bureau, waiting.happened_on) == (BUREAU, DIED)
        _, head = register(uow)
        assert uow.session.get_one(Person, head).deceased_on == DIED
        assert deaths.list_waiting(uow, ListWaitingNotices()) == []
        assert len(told(uow, "person.died.v1")) == 1


def revocation(of: UUID | str) -> DeathRevoked:
    """The bureau takes back its own notice."""
    return DeathRevoked(
        certificate_no="421083-R-1",
        division=VILLAGE,
        identity_number=sealed(identity(1)),
        revokes=str(of),
        reason="同名误登",
    )


def test_told_at_the_moment_of_registration(act: Act, uow_for: OpenUow) -> None:
    """Registration and notice do not see one another: the next look brings them together."""
    with uow_for("registry", actor=CLERK) as registering:
        _, head = register(registering)
        with uow_for("registry", actor=CLERK) as telling:  # before the registration commits
            deliver(telling, death())
    with act() as uow:
        assert uow.session.get_one(Person, head).deceased_on is None
        assert len(deaths.list_waiting(uow, ListWaitingNotices())) == 1
        deaths.match_registered(uow)
        assert uow.session.get_one(Person, head).deceased_on == DIED
        assert [body["person_id"] for body in told(uow, "person.died.v1")] == [str(head)]
        deaths.match_registered(uow)
        assert len(told(uow, "person.died.v1")) == 1
        assert deaths.list_waiting(uow, ListWaitingNotices()) == []


def test_a_word_being_taken_back_kills_nobody(act: Act, uow_for: OpenUow) -> None:
    """The word is revoked, not yet committed, when the registration it missed has committed."""
    with ExitStack() as revoking:
        with uow_for("registry", actor=CLERK) as registering:
            _, head = register(registering)
            with uow_for("registry", actor=CLERK) as telling:
                event_id = deliver(telling, death())
            uow = revoking.enter_context(uow_for("registry", actor=CLERK))
            deliver(uow, revocation(event_id))
        with uow_for("registry", actor=CLERK) as timer:
            deaths.match_registered(timer)
    with act() as uow:
        deaths.match_registered(uow)
        assert uow.session.get_one(Person, head).deceased_on is None
        assert uow.session.get_one(BureauNotice, event_id).state == "revoked"


def test_a_word_and_its_revocation_at_one_moment(act: Act, uow_for: OpenUow) -> None:
    """Two queues, two consumers: whichever is written first, the man is alive when both are."""
    with act() as uow:
        _, head = register(uow)
    word = new_id()
    revoked = threading.Event()

    def take_back() -> None:
        with uow_for("registry", actor=CLERK) as uow:
            deliver(uow, revocation(word))
        revoked.set()

    taking_back = threading.Thread(target=take_back)
    with uow_for("registry", actor=CLERK) as telling:
        deliver(telling, death(), event_id=word)
        taking_back.start()
        assert waits_for_a_lock(telling)
        assert not revoked.is_set()
    taking_back.join(30)
    assert revoked.is_set()
    with act() as uow:
        assert uow.session.get_one(Person, head).deceased_on is None
        assert uow.session.get_one(BureauNotice, word).state == "revoked"


def waits_for_a_lock(uow: UnitOfWork) -> bool:
    """Whether somebody else comes to wait for a lock in this database, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        uow.session.execute(text("SELECT pg_stat_clear_snapshot()"))
        if uow.session.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        ):
            return True
    return False


def test_one_notice_that_cannot_be_applied_holds_up_no_other(
    act: Act, uow_for: OpenUow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two the first fails, whatever the reason: the second is applied, the first waits on."""
    with uow_for("registry", actor=CLERK) as registering:
        _, first = register(registering)
        _, second = register(registering, member(2, relation="户主"))
        with uow_for("registry", actor=CLERK) as telling:
            deliver(telling, death(), death(identity(2)))
    die = deaths._die

    def fail_for_the_first(uow: UnitOfWork, person: Person, *others: Any) -> None:
        die(uow, person, *others)
        if person.id == first:
            raise ZeroDivisionError

    monkeypatch.setattr(deaths, "_die", fail_for_the_first)
    with act() as uow:
        deaths.match_registered(uow)
    with act() as uow:
        assert uow.session.get_one(Person, first).deceased_on is None
        assert uow.session.get_one(Person, second).deceased_on == DIED
        assert [body["person_id"] for body in told(uow, "person.died.v1")] == [str(second)]
        assert len(deaths.list_waiting(uow, ListWaitingNotices())) == 1


def test_a_revocation_undoes_the_notice_it_names(act: Act) -> None:
    """Mistaken identity: the person lives again, and the money side is told which word is void."""
    with act() as uow:
        _, head = register(uow)
        first = deliver(uow, death())
        deliver(uow, revocation(first))
        (revoked,) = told(uow, "person.death_revoked.v1")
        assert uow.session.get_one(Person, head).deceased_on is None
        assert told(uow, "person.recorded.v1")[-1]["deceased_on"] is None
    assert (revoked["person_id"], revoked["revokes"]) == (str(head), str(first))


def test_a_revocation_of_something_else_undoes_nothing(act: Act) -> None:
    """Death is final but for its own correction."""
    with act() as uow:
        _, head = register(uow)
        deliver(uow, death())
        deliver(uow, revocation(new_id()))
        deliver(uow, revocation("not an id"))
        assert uow.session.get_one(Person, head).deceased_on == DIED
        assert told(uow, "person.death_revoked.v1") == []


def test_a_revocation_may_overtake_its_notice(act: Act) -> None:
    """Queues do not promise order: in either order the person lives."""
    first = new_id()
    with act() as uow:
        _, head = register(uow)
        deliver(uow, revocation(first))
        deliver(uow, death(), event_id=first)
        assert uow.session.get_one(Person, head).deceased_on is None
        assert told(uow, "person.died.v1") == []


def test_a_revoked_notice_no_longer_waits(act: Act) -> None:
    """Somebody registered after the correction is alive."""
    with act() as uow:
        first = deliver(uow, death())
        deliver(uow, revocation(first))
        _, head = register(uow)
        assert uow.session.get_one(Person, head).deceased_on is None


def test_an_officer_reports_a_death(act: Act) -> None:
    """Before the bureau does; what the bureau says later adds nothing."""
    with act() as uow:
        _, head = register(uow)
        view = deaths.record(
            uow, RecordDeath(person_id=head, died_on=DIED, evidence="火化证 2026-118")
        )
        deliver(uow, death())
        assert len(told(uow, "person.died.v1")) == 1
        with pytest.raises(Conflict, match="已登记死亡"):
            deaths.record(uow, RecordDeath(person_id=head, died_on=DIED, evidence="x"))
        with pytest.raises(Conflict, match="已登记死亡"):
            people.change_phone(uow, ChangePhone(person_id=head, phone=None))
    assert view.deceased_on == DIED


@pytest.mark.parametrize("died_on", [date(2026, 9, 29), date(1955, 3, 6)])
def test_a_date_that_cannot_be_is_refused(act: Act, died_on: date) -> None:
    """After today, or before birth."""
    with act() as uow:
        _, head = register(uow)
        with pytest.raises(Invalid) as caught:
            deaths.record(uow, RecordDeath(person_id=head, died_on=died_on, evidence="x"))
    assert caught.value.field == "died_on"


def test_the_head_may_die_and_the_household_goes_on(act: Act) -> None:
    """The other members stay on record and in care."""
    with act() as uow:
        household, *_ = register(uow, member(1), member(2, "配偶", name="李国强"))
        deliver(uow, death())
        last = told(uow, "household.recorded.v1")[-1]
    assert (last["household_id"], last["members"], last["removed"]) == (str(household), 1, False)


def test_of_two_words_the_last_must_be_taken_back(act: Act) -> None:
    """Police and crematorium tell of one death: taking one back leaves the other, in any order."""
    for order in ((0, 1), (1, 0)):
        number = identity(order[0] + 1)
        with act() as uow:
            _, head = register(uow, member(order[0] + 1, name="李国强"))
            words = [deliver(uow, death(number, certificate_no=str(n))) for n in (0, 1)]
            before = len(told(uow, "person.death_revoked.v1"))
            taken_back = [
                DeathRevoked(
                    certificate_no="R",
                    division=VILLAGE,
                    identity_number=sealed(number),
                    revokes=str(words[which]),
                    reason="误登",
                )
                for which in order
            ]
            deliver(uow, taken_back[0])
            assert uow.session.get_one(Person, head).deceased_on == DIED
            deliver(uow, taken_back[1])
            assert uow.session.get_one(Person, head).deceased_on is None
            (revoked,) = told(uow, "person.death_revoked.v1")[before:]
        assert revoked["revokes"] == str(words[0]), "funding knows the first word alone"


def test_no_bureau_takes_back_the_word_of_another(act: Act) -> None:
    """Whether it comes after that word or overtakes it."""
    with act() as uow:
        _, head = register(uow)
        first = deliver(uow, death())
        deliver(uow, revocation(first), bureau="housing")
        assert uow.session.get_one(Person, head).deceased_on == DIED
    second = new_id()
    with act() as uow:
        _, other = register(uow, member(2, name="李国强"))
        deliver(uow, revocation(second), bureau="housing")
        deliver(uow, death(identity(2)), event_id=second)
        assert uow.session.get_one(Person, other).deceased_on == DIED
        assert told(uow, "person.death_revoked.v1") == []


def test_what_an_officer_recorded_another_takes_back(act: Act) -> None:
    """Two persons and a reason; the word is void, and the one who gave it cannot undo it."""
    with act() as uow:
        _, head = register(uow)
        deaths.record(uow, RecordDeath(person_id=head, died_on=DIED, evidence="村里口头报告"))
        with pytest.raises(Forbidden, match="登记人不能") as own:
            deaths.revoke(uow, RevokeDeath(person_id=head, evidence="见到本人"))
    assert own.value.reason == "two_persons"
    with act(REVIEWER) as uow:
        with pytest.raises(Invalid, match="依据"):
            deaths.revoke(uow, RevokeDeath(person_id=head, evidence=" "))
        view = deaths.revoke(uow, RevokeDeath(person_id=head, evidence="入户见到本人"))
        (died,) = told(uow, "person.died.v1")
        (revoked,) = told(uow, "person.death_revoked.v1")
        with pytest.raises(Conflict, match="没有死亡登记"):
            deaths.revoke(uow, RevokeDeath(person_id=head, evidence="再来一次"))
    assert view.deceased_on is None
    assert revoked["revokes"] == died["source_event_id"]


def test_an_officer_does_not_take_back_what_a_bureau_told(act: Act) -> None:
    """Told by name which bureau and event; the officer's own word beside it changes nothing."""
    with act() as uow:
        _, head = register(uow)
        deaths.record(uow, RecordDeath(person_id=head, died_on=DIED, evidence="火化证"))
        event_id = deliver(uow, death())
    with act(REVIEWER) as uow, pytest.raises(Conflict, match=str(event_id)) as refused:
        deaths.revoke(uow, RevokeDeath(person_id=head, evidence="入户见到本人"))
    assert refused.value.reason == "told_by_bureau"
