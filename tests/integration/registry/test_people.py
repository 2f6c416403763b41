"""People on record: found again by anyone who may look, readable by nobody in the database."""

import json
import threading

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from services.chassis.uow import Foundation
from services.contracts.commands.registry import (
    AddMember,
    ChangePhone,
    CountPeople,
    FindByIdentity,
    ListChanges,
    ListPeople,
    ReadHousehold,
    ReadPerson,
    RecordPerson,
    RegisterHousehold,
    RevealIdentity,
    SearchPeople,
)
from services.contracts.errors import Conflict, Forbidden, Invalid, NotFound, Stale
from services.registry import people, queries
from services.registry.models import Person
from tests.builders.roster import identity
from tests.fixtures.services import emitted
from tests.integration.registry.conftest import (
    CLERK,
    ELSEWHERE,
    VILLAGE,
    Act,
    member,
    register,
)


def test_a_household_is_registered_and_told_of(act: Act) -> None:
    """The household, its head and member stand, each with the village's officer, and all hear."""
    with act() as uow:
        before = len(emitted(uow))
        household, head, child = register(
            uow, member(1), member(2, "子", name="单小军", account_number=None, phone=None)
        )
        view = queries.read_household(uow, ReadHousehold(household_id=household))
        events = emitted(uow)[before:]
    assert view.household_no == f"{VILLAGE}0001"
    assert [person.name for person in view.members] == ["单桂兰", "单小军"]
    assert {person.officer_no for person in view.members} == {"HH0204"}
    assert view.payee_person_id == head
    told = [name for name, _ in events]
    assert told.count("person.recorded.v1") == told.count("person.registered.v1") == 2
    assert told.count("person.account_changed.v1") == 1
    recorded = [body for name, body in events if name == "person.recorded.v1"]
    assert [body["person_id"] for body in recorded] == [str(head), str(child)]
    assert recorded[0]["categories"] == [{"code": "dibao", "since": "2026-09-28"}]


def test_public_events_carry_no_name(act: Act) -> None:
    """What other bureaus hear of a registration: who (by id), where, when."""
    with act() as uow:
        register(uow)
        public = [body for name, body in emitted(uow) if name == "person.registered.v1"]
    assert set(public[0]) == {"person_id", "household_id", "division", "registered_on"}


def test_numbers_are_nowhere_in_the_clear(act: Act, foundation: Foundation) -> None:
    """No column of any table, events included, holds an identity number, account or phone."""
    with act() as uow:
        _, head = register(uow)
        people.change_phone(uow, ChangePhone(person_id=head, phone="13900139000"))
    secrets = [identity(1), "6217991234567890123", "13800138001", "13900139000", "13800138009"]
    with foundation.engine.connect() as connection:
        tables = connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        assert "person" in tables
        for table in tables:
            for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
                shown = " ".join(
                    bytes(v).decode("latin-1") if isinstance(v, memoryview | bytes) else str(v)
                    for v in row.values()
                )
                assert not [secret for secret in secrets if secret in shown], table


def test_sealed_fields_open_for_their_receiver(act: Act, foundation: Foundation) -> None:
    """Funding reads the account, notify the phone; each only what is meant for it."""
    from services.chassis.crypto import CannotOpen, Seals

    with act() as uow:
        register(uow)
        bodies = dict(emitted(uow))
    keys = foundation.settings.transit_keys
    account = bodies["person.account_changed.v1"]["account_number"]
    phone = bodies["person.contact_changed.v1"]["phone"]
    funding = Seals("funding", {k: v for k, v in keys.items() if "funding" in k})
    notify = Seals("notify", {k: v for k, v in keys.items() if "notify" in k})
    assert funding.open("registry", str(account)) == "6217991234567890123"
    assert notify.open("registry", str(phone)) == "13800138001"
    with pytest.raises(CannotOpen):
        notify.open("registry", str(account))


def test_the_same_person_is_not_registered_twice(act: Act) -> None:
    """Also under the 15-digit number; the window is told where they are."""
    with act() as uow:
        register(uow)
    old = identity(1)[:6] + identity(1)[8:17]
    with act() as uow, pytest.raises(Conflict, match=r"沈庙村户 4210831082040001"):
        register(uow, member(1, identity_number=old))


def test_a_number_stands_once_in_a_household(act: Act) -> None:
    """Two members under one number are told so, and nothing is written."""
    twin = member(1, relation="配偶")
    with act() as uow, pytest.raises(Conflict, match="本户填了两次"):
        register(uow, member(1), twin)
    with act() as uow:
        assert uow.session.scalar(text("SELECT count(*) FROM household")) == 0


def test_two_windows_at_once_register_one_person(act: Act) -> None:
    """The second waits for the first, and is told where the person is by then."""
    answers: list[object] = []
    barrier = threading.Barrier(2)

    def window() -> None:
        barrier.wait()
        try:
            with act() as uow:
                answers.append(register(uow))
        except Conflict as refused:
            answers.append(refused)

    with act():
        pass
    threads = [threading.Thread(target=window) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "tuple"]


def test_the_database_refuses_the_same_number_twice(act: Act) -> None:
    """Were two windows to register one person at once, one of them fails."""
    with act() as uow:
        _, first = register(uow)
        _, second = register(uow, member(2, name="李国强"))
        index = uow.session.get_one(Person, first).identity_index
    again = update(Person).where(Person.id == second).values(identity_index=index)
    with pytest.raises(IntegrityError), act() as uow:
        uow.session.execute(again)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ((member(relation="配偶"),), "members"),
        ((member(1), member(2, "户主")), "members"),
        ((member(identity_number="421083195503070010"),), "身份证号"),
        ((member(phone="12"),), "phone"),
        ((member(account_number="12"),), "account_number"),
        ((member(relation="户主"), member(2, "邻居")), "relation"),
        ((member(name="1"),), "name"),
        ((member(disability="很重"),), "disability"),
    ],
)
def test_what_is_wrong_is_refused_by_field(
    act: Act, members: tuple[object, ...], field: str
) -> None:
    """Nothing half-registered stays behind."""
    with pytest.raises(Invalid) as caught, act() as uow:
        register(uow, *members)  # type: ignore[arg-type]
    assert caught.value.field == field
    with act() as uow:
        assert queries.count_people(uow, CountPeople()) == 0


def test_a_place_that_is_none_is_refused(act: Act) -> None:
    """A town is not a village; an unknown code is nothing."""
    for code in ("421083108", "421083108999"):
        with pytest.raises(Invalid, match="没有区划代码"), act() as uow:
            register(uow, village=code)


def test_a_village_without_an_officer_takes_nobody_in(act: Act) -> None:
    """Everybody is in somebody's hands from the first moment."""
    with pytest.raises(Conflict, match="还没有责任人"), act() as uow:
        register(uow, village="421083108200")


def test_scopes_hold(act: Act) -> None:
    """A clerk of another town can neither register, read, list nor reveal."""
    with act() as uow:
        household, head = register(uow)
    with act(ELSEWHERE) as uow:
        for refused in (
            lambda: register(uow, member(2)),
            lambda: queries.read_person(uow, ReadPerson(person_id=head)),
            lambda: queries.read_household(uow, ReadHousehold(household_id=household)),
            lambda: queries.reveal(uow, RevealIdentity(person_id=head, purpose="好奇")),
            lambda: people.change_phone(uow, ChangePhone(person_id=head, phone=None)),
            lambda: queries.list_changes(uow, ListChanges(person_id=head)),
        ):
            with pytest.raises(Forbidden):
                refused()
        assert queries.list_people(uow, ListPeople()).people == ()
        assert queries.count_people(uow, CountPeople()) == 0
        assert queries.search(uow, SearchPeople(text="单桂兰")).people == ()


def test_another_town_learns_where_somebody_is_and_no_more(act: Act) -> None:
    """The same person applies in two towns: found at intake, by number, without their papers."""
    with act() as uow:
        register(uow)
    with act(ELSEWHERE) as uow:
        found = queries.find_by_identity(uow, FindByIdentity(identity_number=identity(1)))
    assert found is not None
    assert (found.division_name, found.officer_no, found.name) == ("沈庙村", "HH0204", "单**")
    assert (found.categories, found.phone_masked, found.account_masked) == ((), None, None)


@pytest.mark.parametrize(
    "text_given", ["单桂兰", "桂", "sgl", "dgl", "gl", identity(1), f"{VILLAGE}0001"]
)
def test_people_are_found_by_what_people_type(act: Act, text_given: str) -> None:
    """Name, part of it, initials in any reading of the surname, number, 户编号."""
    with act() as uow:
        register(uow)
        register(uow, member(2, name="李国强"), village=VILLAGE)
        found = queries.search(uow, SearchPeople(text=text_given))
    assert [person.name for person in found.people] == ["单桂兰"]


def test_lists_page_and_count_alike(act: Act) -> None:
    """Every page is full, nobody is skipped or shown twice, and the count is the list's length."""
    with act() as uow:
        for number in range(1, 8):
            register(uow, member(number, name="陈志"))
        seen: list[object] = []
        after = None
        while True:
            page = queries.list_people(uow, ListPeople(after=after, limit=3))
            seen += [person.person_id for person in page.people]
            after = page.next
            if after is None:
                break
        counted = queries.count_people(uow, CountPeople())
    assert len(seen) == len(set(seen)) == counted == 7


def test_a_ledger_is_by_category(act: Act) -> None:
    """By title or code."""
    with act() as uow:
        register(uow, member(1, categories=("低保对象", "重病患者")))
        register(uow, member(2, categories=("高龄老人",)))
        for category in ("重病患者", "serious_illness"):
            found = queries.list_people(uow, ListPeople(category=category))
            assert len(found.people) == 1


def test_a_view_shows_the_last_four_and_no_birth_date(act: Act) -> None:
    """With a birth date beside it, four digits would be the whole number."""
    with act() as uow:
        _, head = register(uow)
        view = queries.read_person(uow, ReadPerson(person_id=head))
    assert view.identity_masked == "*" * 14 + identity(1)[-4:]
    assert not hasattr(view, "birth_date")


def test_each_full_view_is_noted_with_its_purpose(act: Act) -> None:
    """Who saw whose number, and why; without a purpose nobody sees it."""
    with act() as uow:
        _, head = register(uow)
        with pytest.raises(Invalid):
            queries.reveal(uow, RevealIdentity(person_id=head, purpose=" "))
        shown = queries.reveal(uow, RevealIdentity(person_id=head, purpose="办理低保复核"))
        history = queries.list_changes(uow, ListChanges(person_id=head))
    assert shown.identity_number == identity(1)
    assert shown.account_number == "6217991234567890123"
    assert (history[0].action, history[0].actor) == ("person.revealed", CLERK.name)
    assert "办理低保复核" in history[0].detail


def test_the_audit_log_cannot_be_rewritten(act: Act) -> None:
    """Append-only, for everybody who has the application's database user."""
    for change in ("UPDATE audit SET actor_name = ''", "DELETE FROM audit", "DELETE FROM sign_in"):
        with pytest.raises(ProgrammingError, match="permission denied"), act() as uow:
            uow.session.execute(text(change))


def test_categories_keep_their_history(act: Act) -> None:
    """What ends has an end date; what stays keeps its beginning; others hear the whole state."""
    with act() as uow:
        _, head = register(uow, member(1, categories=("低保对象", "重病患者")))
        view = people.record(
            uow,
            RecordPerson(
                person_id=head,
                version=1,
                categories=("低保对象", "独居老人"),
                disability="肢体二级",
                reason="入户核查",
            ),
        )
        rows = uow.session.execute(
            text("SELECT code, until FROM person_category ORDER BY code")
        ).all()
        last = [body for name, body in emitted(uow) if name == "person.recorded.v1"][-1]
    assert {category.title for category in view.categories} == {"低保对象", "独居老人"}
    assert [(code, until is None) for code, until in rows] == [
        ("dibao", True),
        ("living_alone", True),
        ("serious_illness", False),
    ]
    assert (last["version"], last["disability"]) == (2, "肢体二级")


def test_an_old_version_does_not_overwrite(act: Act) -> None:
    """Two desks with the same page open: the second is asked to look again."""
    change = {"categories": (), "reason": "更正"}
    with act() as uow:
        _, head = register(uow)
        people.record(uow, RecordPerson(person_id=head, version=1, **change))  # type: ignore[arg-type]
        with pytest.raises(Stale):
            people.record(uow, RecordPerson(person_id=head, version=1, **change))  # type: ignore[arg-type]


def test_a_member_joins_a_household(act: Act) -> None:
    """With the head's officer; a second head is refused; the household's state is told anew."""
    with act() as uow:
        household, _ = register(uow)
        joined = people.add_member(
            uow, AddMember(household_id=household, member=member(2, "子"), reason="出生")
        )
        with pytest.raises(Conflict, match="已有户主"):
            people.add_member(uow, AddMember(household_id=household, member=member(3), reason="x"))
        last = [body for name, body in emitted(uow) if name == "household.recorded.v1"][-1]
    assert joined.officer_no == "HH0204"
    assert (last["members"], last["version"]) == (2, 2)


def test_nobody_is_nowhere(act: Act) -> None:
    """An unknown id is not found, whoever asks."""
    with act() as uow, pytest.raises(NotFound):
        queries.read_person(
            uow, ReadPerson(person_id=json.loads('"01900000-0000-7000-8000-000000000009"'))
        )


def test_a_given_number_is_kept_and_free(act: Act) -> None:
    """A 户编号 of the old system stays; a taken one is refused."""
    with act() as uow:
        request = RegisterHousehold(division=VILLAGE, members=(member(),), household_no="A-1")
        assert people.register(uow, request).household_no == "A-1"
        again = RegisterHousehold(division=VILLAGE, members=(member(2),), household_no="A-1")
        with pytest.raises(Conflict, match="户编号 A-1 已有"):
            people.register(uow, again)
