"""Staff: posts, accounts, signing in, and who is responsible for whom."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from services.chassis.actors import ActorVerifier
from services.chassis.database import engine
from services.chassis.uow import Foundation
from services.contracts.actors import Role, system_actor
from services.contracts.commands.registry import (
    AppointStaff,
    AssignOfficer,
    ChangePassword,
    EndAppointment,
    HandOver,
    ListDivisions,
    ListPeople,
    ListSignIns,
    ListStaff,
    OpenAccount,
    ReadCoverage,
    ReadPerson,
    ReadRegistryFigures,
    ReadStaff,
    SignIn,
)
from services.contracts.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    EntitlementReopened,
)
from services.contracts.ids import new_id
from services.registry import (
    beneficiaries,
    divisions,
    first_admin,
    metrics,
    queries,
    responsibility,
    sign_in,
    staff,
)
from services.registry.models import Person, Responsibility, SignInRow, Staff
from tests.fixtures.services import KEYS, actor, emitted
from tests.integration.registry.conftest import (
    ADMIN,
    CLERK,
    ELSEWHERE,
    NEIGHBOUR,
    VILLAGE,
    Act,
    member,
    register,
)

PASSWORD = "correct horse battery"


def open_account(act: Act, account: str = "zhuangan", *, must_change: bool = False) -> None:
    """The officer of the village gets an account."""
    given = OpenAccount(
        staff_no="HH0204", account=account, password=PASSWORD, must_change=must_change
    )
    with act(ADMIN) as uow:
        staff.open_account(uow, given)


# -- signing in -------------------------------------------------------------------------------


def test_a_token_says_who_may_do_what_where(act: Act) -> None:
    """Every service can verify it with the public key alone."""
    open_account(act)
    with act() as uow:
        signed = sign_in.sign_in(uow, SignIn(account="ZhuanGan ", password=PASSWORD))
    found = ActorVerifier(KEYS["ACTOR_PUBLIC_KEYS"]).actor(signed.token)
    assert (found.name, found.roles, found.divisions) == (
        "专干4",
        (Role.VILLAGE_OFFICER,),
        (VILLAGE,),
    )
    assert found.id == str(signed.staff.staff_id)
    assert not signed.must_change_password


def test_an_initial_password_opens_nothing_but_its_change(act: Act) -> None:
    """Until it is changed the token has no role and no place; afterwards it has."""
    open_account(act, must_change=True)
    verifier = ActorVerifier(KEYS["ACTOR_PUBLIC_KEYS"])
    with act() as uow:
        signed = sign_in.sign_in(uow, SignIn(account="zhuangan", password=PASSWORD))
    assert signed.must_change_password
    bearer = verifier.actor(signed.token)
    assert (bearer.roles, bearer.divisions) == ((), ())
    with act(bearer) as uow:
        sign_in.change_password(uow, ChangePassword(old=PASSWORD, new="another horse"))
    with act() as uow:
        signed = sign_in.sign_in(uow, SignIn(account="zhuangan", password="another horse"))
    assert verifier.actor(signed.token).roles == (Role.VILLAGE_OFFICER,)


@pytest.mark.parametrize("account", ["zhuangan", "nobody"])
def test_wrong_is_wrong_whichever_half(act: Act, account: str) -> None:
    """The answer does not say which accounts there are."""
    open_account(act)
    with pytest.raises(Unauthenticated) as caught, act() as uow:
        sign_in.sign_in(uow, SignIn(account=account, password="wrong password"))
    assert caught.value.message == "账号或密码不对"


def test_each_try_is_kept_also_the_failed(act: Act) -> None:
    """The request's transaction is rolled back; the trace of it is not."""
    open_account(act)
    with pytest.raises(Unauthenticated), act() as uow:
        sign_in.sign_in(uow, SignIn(account="zhuangan", password="wrong password"))
    with act(ADMIN) as uow:
        tries = sign_in.list_sign_ins(uow, ListSignIns(account="zhuangan"))
    assert [t.outcome for t in tries] == ["wrong", "reset"]


def test_five_wrong_lock_and_time_or_a_reset_unlocks(act: Act) -> None:
    """Guessing stops; the right password does not help while locked."""
    open_account(act)
    for _ in range(5):
        with pytest.raises(Unauthenticated), act() as uow:
            sign_in.sign_in(uow, SignIn(account="zhuangan", password="wrong password"))
    right = SignIn(account="zhuangan", password=PASSWORD)
    with pytest.raises(Conflict) as caught, act() as uow:
        sign_in.sign_in(uow, right)
    assert caught.value.reason == "locked"
    open_account(act)
    with act() as uow:
        assert sign_in.sign_in(uow, right).token


def test_old_wrong_tries_are_forgiven(act: Act) -> None:
    """The lock looks back fifteen minutes, no further."""
    open_account(act)
    with act() as uow:
        long_ago = uow.machine_now() - timedelta(minutes=16)
        uow.session.add_all(
            SignInRow(account="zhuangan", outcome="wrong", at=long_ago) for _ in range(9)
        )
    with act() as uow:
        assert sign_in.sign_in(uow, SignIn(account="zhuangan", password=PASSWORD)).token


def test_who_has_left_cannot_sign_in(act: Act) -> None:
    """From the day of leaving."""
    open_account(act)
    with act(ADMIN) as uow:
        staff.end_appointment(uow, EndAppointment(staff_no="HH0204", reason="调离"))
    with pytest.raises(Unauthenticated, match="已停用"), act() as uow:
        sign_in.sign_in(uow, SignIn(account="zhuangan", password=PASSWORD))


def test_a_password_is_changed_by_its_owner(act: Act) -> None:
    """With the old one; too short, too simple and the same are refused."""
    open_account(act)
    with act() as uow:
        officer = uow.session.scalars(select(Staff.id).where(Staff.staff_no == "HH0204")).one()
    me = actor(Role.VILLAGE_OFFICER, staff_id=officer)
    with act(me) as uow:
        for old, new, field in (
            ("not it at all", "another horse", "old"),
            (PASSWORD, "short", "password"),
            (PASSWORD, "aaaaaaaaaaaa", "password"),
            (PASSWORD, PASSWORD, "new"),
        ):
            with pytest.raises(Invalid) as caught:
                sign_in.change_password(uow, ChangePassword(old=old, new=new))
            assert caught.value.field == field
        sign_in.change_password(uow, ChangePassword(old=PASSWORD, new="another horse"))
    with act() as uow:
        answer = sign_in.sign_in(uow, SignIn(account="zhuangan", password="another horse"))
    assert not answer.must_change_password


def test_the_first_administrator_is_set_once(act: Act) -> None:
    """An empty registry has nobody to ask; afterwards everybody is asked."""
    given = {
        "staff_no": "ADMIN",
        "name": "管理员",
        "account": "admin",
        "password": PASSWORD,
        "must_change": True,
    }
    with act(system_actor("registry")) as uow:
        first_admin.appoint(uow, **given)  # type: ignore[arg-type]
        with pytest.raises(Conflict, match="已有账号"):
            first_admin.appoint(uow, **given)  # type: ignore[arg-type]
    with act() as uow:
        signed = sign_in.sign_in(uow, SignIn(account="admin", password=PASSWORD))
    assert Role.SYSTEM_ADMIN in signed.staff.roles


# -- posts ------------------------------------------------------------------------------------


def test_a_post_is_told_to_all_services(act: Act) -> None:
    """Number, name, roles, scopes; the phone apart, sealed. A change is a new version."""
    post = AppointStaff(
        staff_no="T1",
        name="郑玉兰",
        division="421083108",
        roles=(Role.TOWN_CLERK,),
        scopes=("421083108",),
        phone="13900139000",
    )
    with act(ADMIN) as uow:
        before = len(emitted(uow))
        staff.appoint(uow, post)
        wider = AppointStaff(
            staff_no="T1",
            name="郑玉兰",
            division="421083108",
            roles=(Role.TOWN_CLERK, Role.TOWN_REVIEWER),
            scopes=("421083108",),
        )
        staff.appoint(uow, wider)
        told = emitted(uow)[before:]
    posts = [body for name, body in told if name == "staff.appointed.v1"]
    assert [(p["version"], p["roles"]) for p in posts] == [
        (1, ["town_clerk"]),
        (2, ["town_clerk", "town_reviewer"]),
    ]
    assert [name for name, _ in told].count("staff.contact_changed.v1") == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"staff_no": "!"}, "staff_no"),
        ({"name": " "}, "name"),
        ({"roles": ()}, "roles"),
        ({"roles": (Role.SERVICE,)}, "roles"),
        ({"scopes": ()}, "scopes"),
        ({"scopes": ("4210831",)}, "scopes"),
        ({"scopes": ("421083999",)}, "scopes"),
    ],
)
def test_a_post_that_is_none_is_refused(act: Act, changes: dict[str, object], field: str) -> None:
    """Named by field."""
    given: dict[str, object] = {
        "staff_no": "T1",
        "name": "郑玉兰",
        "division": "421083108",
        "roles": (Role.TOWN_CLERK,),
        "scopes": ("421083108",),
    }
    with act(ADMIN) as uow, pytest.raises(Invalid) as caught:
        staff.appoint(uow, AppointStaff(**(given | changes)))  # type: ignore[arg-type]
    assert caught.value.field == field


def test_an_administrator_gives_no_more_than_their_own_scope(act: Act) -> None:
    """Another county is another administrator's."""
    post = AppointStaff(
        staff_no="T1", name="某", division="42", roles=(Role.LEADER,), scopes=("42",)
    )
    with act(ADMIN) as uow, pytest.raises(Forbidden):
        staff.appoint(uow, post)


def test_an_account_belongs_to_one(act: Act) -> None:
    """Two people with one name would be one person in the audit log."""
    open_account(act)
    with act(ADMIN) as uow, pytest.raises(Conflict, match="已有人使用"):
        staff.open_account(
            uow, OpenAccount(staff_no="HH0203", account="zhuangan", password=PASSWORD)
        )


def test_staff_are_listed_by_page_place_and_role(act: Act) -> None:
    """By number, those of a village and those above it."""
    with act(ADMIN) as uow:
        page = staff.list_staff(uow, ListStaff(limit=1))
        rest = staff.list_staff(uow, ListStaff(limit=1, after=page.next))
        here = staff.list_staff(uow, ListStaff(division=VILLAGE, role=Role.VILLAGE_OFFICER))
        nobody = staff.list_staff(uow, ListStaff(division=VILLAGE, role=Role.LEADER))
        with pytest.raises(NotFound):
            staff.read_staff(uow, ReadStaff(staff_no="none"))
    assert [s.staff_no for s in (*page.staff, *rest.staff)] == ["HH0203", "HH0204"]
    assert rest.next is None
    assert [s.staff_no for s in here.staff] == ["HH0204"]
    assert nobody.staff == ()


# -- responsibility ---------------------------------------------------------------------------


def test_who_leaves_hands_over_everybody_at_once(act: Act) -> None:
    """Without a successor nobody leaves people behind; with one, all change hands in one moment."""
    with act(ADMIN) as uow:
        successor = AppointStaff(
            staff_no="HH0299",
            name="接任",
            division=VILLAGE,
            roles=(Role.VILLAGE_OFFICER,),
            scopes=(VILLAGE,),
        )
        staff.appoint(uow, successor)
        for number in range(1, 4):
            register(uow, member(number, name="陈志"))
        with pytest.raises(Conflict, match="名下还有 3 人"):
            staff.end_appointment(uow, EndAppointment(staff_no="HH0204", reason="退休"))
        before = len(emitted(uow))
        view = staff.end_appointment(
            uow, EndAppointment(staff_no="HH0204", successor_no="HH0299", reason="退休")
        )
        told = emitted(uow)[before:]
        now_with = queries.list_people(uow, ListPeople(officer_no="HH0299"))
        open_ones = uow.session.scalar(select(func.count()).where(Responsibility.until.is_(None)))
        all_ever = uow.session.scalar(select(func.count()).select_from(Responsibility))
    assert (view.active, view.people) == (False, 0)
    assert len(now_with.people) == 3
    assert (open_ones, all_ever) == (3, 6)
    recorded = [body for name, body in told if name == "person.recorded.v1"]
    assert [body["version"] for body in recorded] == [2, 2, 2]


def test_the_database_lets_nobody_be_nobodys(act: Act) -> None:
    """Every living person has exactly one officer in post: by constraint, not by good behaviour."""
    with act() as uow:
        _, head = register(uow)
    for statement in (
        update(Staff).where(Staff.staff_no == "HH0204").values(active=False),
        update(Person).where(Person.id == head).values(officer_id=new_id()),
        text("UPDATE person SET officer_id = NULL"),
    ):
        with pytest.raises(IntegrityError), act() as uow:
            uow.session.execute(statement)
    twice = text(
        "INSERT INTO responsibility (person_id, officer_id, since, reason)"
        " SELECT person_id, officer_id, now(), 'x' FROM responsibility"
    )
    with pytest.raises(IntegrityError), act() as uow:
        uow.session.execute(twice)


def test_a_post_is_not_narrowed_away_from_its_people(act: Act) -> None:
    """An officer who no longer looks after the village must hand its people over first."""
    narrower = AppointStaff(
        staff_no="HH0204",
        name="专干4",
        division=NEIGHBOUR,
        roles=(Role.VILLAGE_OFFICER,),
        scopes=(NEIGHBOUR,),
    )
    with act() as uow:
        register(uow)
    with pytest.raises(Conflict, match="名下有 1 人不在新的管辖范围内"), act(ADMIN) as uow:
        staff.appoint(uow, narrower)
    with act(ADMIN) as uow:
        assert responsibility.uncovered(uow) == {}
        assert queries.figures(uow, ReadRegistryFigures()).uncovered == 0


def test_whoever_is_out_of_reach_is_counted(act: Act) -> None:
    """Were a scope changed behind the registry's back, the map and the desk would show it."""
    with act() as uow:
        register(uow)
        uow.session.execute(
            update(Staff).where(Staff.staff_no == "HH0204").values(scopes=[NEIGHBOUR])
        )
        lines = responsibility.read_coverage(uow, ReadCoverage(division="421083"))
        town = next(line for line in lines if line.division == "421083108")
        assert (town.people, town.uncovered) == (1, 1)
        assert queries.figures(uow, ReadRegistryFigures()).uncovered == 1
        metrics.measure(uow)
    assert REGISTRY.get_sample_value("zhida_registry_uncovered_people") == 1
    assert REGISTRY.get_sample_value("zhida_registry_people") == 1


def test_people_are_given_to_who_looks_after_the_place(act: Act) -> None:
    """An officer of another village cannot take them; the map shows who has whom."""
    with act(ADMIN) as uow:
        _, head = register(uow)
        with pytest.raises(Invalid, match="不负责该村"):
            responsibility.hand_over(uow, HandOver(from_no="HH0204", to_no="HH0203", reason="调整"))
        wider = AppointStaff(
            staff_no="HH0203",
            name="专干3",
            division=NEIGHBOUR,
            roles=(Role.VILLAGE_OFFICER,),
            scopes=(NEIGHBOUR, VILLAGE),
        )
        staff.appoint(uow, wider)
        moved = responsibility.assign(
            uow, AssignOfficer(person_ids=(head,), officer_no="HH0203", reason="调整")
        )
        again = responsibility.assign(
            uow, AssignOfficer(person_ids=(head,), officer_no="HH0203", reason="调整")
        )
        lines = responsibility.read_coverage(uow, ReadCoverage(division="421083108"))
        here = next(line for line in lines if line.division == VILLAGE)
        assert queries.read_person(uow, ReadPerson(person_id=head)).officer_no == "HH0203"
    assert (moved, again) == (1, 0)
    assert (here.people, here.officers, here.uncovered) == (1, 2, 0)
    assert len(lines) == 21


def test_others_do_not_hand_over_our_people(act: Act) -> None:
    """A clerk of another town has no say."""
    with act() as uow:
        _, head = register(uow)
    with act(ELSEWHERE) as uow:
        with pytest.raises(Forbidden):
            responsibility.assign(
                uow, AssignOfficer(person_ids=(head,), officer_no="HH0204", reason="x")
            )
        with pytest.raises(Forbidden):
            responsibility.hand_over(uow, HandOver(from_no="HH0204", to_no="HH0203", reason="x"))


# -- beneficiaries ----------------------------------------------------------------------------


def test_a_beneficiary_is_who_holds_something(act: Act) -> None:
    """Granted, granted twice, ended, told in the wrong order: the end is final."""
    with act(CLERK) as uow:
        household, head = register(uow)
        first, second = new_id(), new_id()
        common = {
            "case_id": new_id(),
            "household_id": household,
            "person_ids": (head,),
            "benefit": "rural_dibao",
            "division": VILLAGE,
        }

        def granted(entitlement_id: object) -> EntitlementGranted:
            return EntitlementGranted(
                entitlement_id=entitlement_id,  # type: ignore[arg-type]
                from_month=date(2026, 11, 1),
                **common,  # type: ignore[arg-type]
            )

        def ended(entitlement_id: object) -> EntitlementEnded:
            return EntitlementEnded(
                entitlement_id=entitlement_id,  # type: ignore[arg-type]
                last_month=None,
                reason="死亡",
                **common,  # type: ignore[arg-type]
            )

        def holds() -> bool:
            return uow.session.scalars(select(Person.beneficiary)).one()

        beneficiaries.on_told(uow, [granted(first), granted(first)])
        assert holds()
        figures = queries.figures(uow, ReadRegistryFigures())
        assert (figures.people, figures.beneficiaries, figures.households) == (1, 1, 1)
        beneficiaries.on_told(uow, [ended(first)])
        assert not holds()
        beneficiaries.on_told(uow, [ended(second)])
        beneficiaries.on_told(uow, [granted(second), granted(first)])
        assert not holds()


def test_an_end_taken_back_makes_a_beneficiary_again(act: Act) -> None:
    """A death registered wrongly: in every order of grant, end and reopening, and no other end."""
    with act(CLERK) as uow:
        household, head = register(uow)
        common: dict[str, Any] = {
            "case_id": new_id(),
            "household_id": household,
            "person_ids": (head,),
            "benefit": "rural_dibao",
            "division": VILLAGE,
        }
        for order in permutations(["granted", "ended", "reopened"]):
            key = new_id()
            told: dict[str, EntitlementGranted | EntitlementEnded | EntitlementReopened] = {
                "granted": EntitlementGranted(entitlement_id=key, from_month=None, **common),
                "ended": EntitlementEnded(
                    entitlement_id=key, last_month=None, reason="死亡", end_id="death:a", **common
                ),
                "reopened": EntitlementReopened(
                    entitlement_id=key, from_month=date(2026, 11, 1), end_id="death:a", **common
                ),
            }
            for word in order:
                beneficiaries.on_told(uow, [told[word]])
            assert uow.session.scalars(select(Person.beneficiary)).one(), order
            other = msgspec.structs.replace(told["ended"], end_id="death:b")
            beneficiaries.on_told(uow, [other, told["reopened"]])
            assert not uow.session.scalars(select(Person.beneficiary)).one(), order


# -- places -----------------------------------------------------------------------------------


def test_the_county_stands_from_the_first_migration(act: Act) -> None:
    """20 towns, 300 village-level units, each under its parent."""
    with act() as uow:
        towns = divisions.list_below(uow, ListDivisions(parent="421083"))
        all_below = divisions.list_below(uow, ListDivisions(parent="421083", deep=True))
        villages = divisions.list_below(uow, ListDivisions(parent="421083108"))
        with pytest.raises(NotFound):
            divisions.list_below(uow, ListDivisions(parent="999999"))
    assert len(towns) == 20
    assert len(all_below) == 320
    assert len(villages) == 21
    assert {v.parent for v in villages} == {"421083108"}


def test_a_try_is_noted_when_all_connections_are_taken(
    foundation_for: Callable[[str], Foundation],
) -> None:
    """Sixteen who sign in at once do not wait for a seventeenth connection with sixteen in hand."""
    foundation = foundation_for("registry")
    one = engine(foundation.settings.database_url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    try:
        with replace(foundation, engine=one).begin(actor()) as uow:
            uow.session.connection()
            sign_in._keep(uow, "nobody", "unknown")
        with replace(foundation, engine=one).begin(actor()) as uow:
            assert uow.session.scalars(select(SignInRow.outcome)).all() == ["unknown"]
    finally:
        one.dispose()
