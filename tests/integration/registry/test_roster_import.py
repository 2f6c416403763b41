"""Rosters in: checked first, all or nothing, once, and taken back whole."""

import io
from collections.abc import Sequence
from datetime import date
from uuid import UUID

import openpyxl
import pytest
from sqlalchemy import func, select, text

from services.chassis import files
from services.chassis.crypto import Seals
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    CheckRoster,
    FindByIdentity,
    ImportRoster,
    ListHouseholds,
    ListImports,
    RosterReport,
    SearchPeople,
    UndoImport,
)
from services.contracts.errors import Conflict, Forbidden, Invalid, NotFound
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    ImportLocked,
    ImportReleased,
)
from services.contracts.ids import new_id
from services.registry import beneficiaries, people, queries, roster_import
from services.registry.models import CarriedBenefit, Household, Person, Responsibility, Staff
from tests.builders.roster import identity, row, xlsx
from tests.fixtures.services import actor, emitted
from tests.integration.registry.conftest import ELSEWHERE, VILLAGE, Act, member, register

FAMILY = [
    row(),
    row(
        与户主关系="配偶", 姓名="李国强", 身份证号=identity(2), 银行账号="6217991234567890999",
        开户名="李国强", 联系电话="", 对象类别="低保对象、肢体二级残疾",
    ),
    row(
        与户主关系="配偶", 姓名="李国强", 身份证号=identity(2), 银行账号="6217991234567890999",
        开户名="李国强", 联系电话="", 对象类别="低保对象、肢体二级残疾", 待遇项目="重度护理补贴",
        核定金额="100", 享受起始月="2025-01", 批准文号="洪残〔2025〕3号", 家庭月收入="",
    ),
]  # fmt: skip
ORPHAN = [
    row(户编号="S002", 姓名="彭祖德", 身份证号=identity(1, "19500101"), 开户名="彭祖德",
        银行账号="6217991234567890111", 对象类别="困难群众", 待遇项目="", 家庭月收入="",
        核定金额="", 享受起始月="", 批准文号=""),
    row(户编号="S002", 姓名="彭小雨", 身份证号=identity(1, "20140505"), 开户名="彭小雨",
        银行账号="6217991234567890222", 与户主关系="孙子女", 对象类别="孤儿", 待遇项目="孤儿",
        家庭月收入="", 核定金额="1411", 享受起始月="2022-06", 批准文号="洪民儿〔2022〕9号",
        联系电话=""),
]  # fmt: skip


def upload(uow: UnitOfWork, content: bytes) -> UUID:
    """A file as the desk hands it in."""
    return files.write(uow, "花名册.xlsx", content, "x", division="421083")


def load(uow: UnitOfWork, rows: Sequence[dict[str, object]], **also: object) -> RosterReport:
    """Import these rows."""
    content = xlsx(rows, **also)  # type: ignore[arg-type]
    return roster_import.write(
        uow, ImportRoster(file_id=upload(uow, content), first_month="2026-11")
    )


def count(uow: UnitOfWork, model: type) -> int:
    """Rows in a table."""
    return uow.session.scalar(select(func.count()).select_from(model)) or 0


def test_a_roster_comes_in_whole(act: Act, foundation: Foundation) -> None:
    """People, households, numbers, officers and benefits stand, and every reader is told."""
    with act() as uow:
        before = len(emitted(uow))
        report = load(uow, [*FAMILY, *ORPHAN])
        events = emitted(uow)[before:]
    assert (report.rows, report.accepted, report.rejected, report.error_count) == (5, 5, 0, 0)
    assert (report.people, report.households, report.carried_over) == (4, 2, 3)
    assert report.import_id is not None
    told = [name for name, _ in events]
    assert told.count("household.recorded.v1") == 2
    assert told.count("person.recorded.v1") == told.count("person.registered.v1") == 4
    assert told.count("person.account_changed.v1") == 4
    assert told.count("person.contact_changed.v1") == 2
    carried = {str(b["benefit"]): b for name, b in events if name == "benefit.carried_over.v1"}
    dibao, care, orphan = (carried[b] for b in ("rural_dibao", "disability_care", "orphan"))
    assert len(dibao["covered_person_ids"]) == 2  # type: ignore[arg-type]
    assert (dibao["approved_fen"], dibao["counted_income_fen"]) == (32000, 30000)
    assert (dibao["decision_no"], dibao["started_month"]) == ("洪民助〔2024〕12号", "2024-03-01")
    assert dibao["first_month"] == "2026-11-01"
    assert (care["approved_fen"], care["counted_income_fen"]) == (10000, None)
    assert orphan["child"] is True
    assert orphan["applicant_person_id"] != orphan["payee_person_id"]
    accounts = {b["person_id"]: b for name, b in events if name == "person.account_changed.v1"}
    funding = Seals("funding", foundation.settings.transit_keys)
    sealed = accounts[dibao["payee_person_id"]]
    assert sealed["carried_over"] is True
    assert funding.open("registry", str(sealed["account_number"])) == "6217991234567890123"


def test_what_came_in_is_found(act: Act) -> None:
    """By number, by initials; the officer of the roster is responsible."""
    with act() as uow:
        load(uow, FAMILY)
        found = queries.find_by_identity(uow, FindByIdentity(identity_number=identity(2)))
        by_initials = queries.search(uow, SearchPeople(text="lgq"))
        current = uow.session.scalar(select(func.count()).where(Responsibility.until.is_(None)))
    assert found is not None
    assert (found.name, found.disability, found.beneficiary) == ("李国强", "肢体二级", True)
    assert found.officer_no == "HH0204"
    assert [person.name for person in by_initials.people] == ["李国强"]
    assert current == 2


def test_a_check_writes_nothing(act: Act) -> None:
    """The report is the same as the import's; the tables and the outbox stay as they were."""
    with act() as uow:
        before = len(emitted(uow))
        report = roster_import.check(
            uow, CheckRoster(file_id=upload(uow, xlsx(FAMILY)), first_month="2026-11")
        )
        assert (report.accepted, report.import_id) == (3, None)
        assert [count(uow, m) for m in (Person, Household, CarriedBenefit)] == [0, 0, 0]
        assert len(emitted(uow)) == before


def test_one_wrong_row_keeps_everything_out(act: Act) -> None:
    """All or nothing; the clerk gets their own file back with the reason in red at the row."""
    wrong = row(户编号="S009", 身份证号="421083195503070010")
    with act() as uow:
        file_id = upload(uow, xlsx([*FAMILY, wrong]))
        report = roster_import.write(
            uow, ImportRoster(file_id=file_id, first_month="2026-11", errors_workbook=True)
        )
        assert (report.accepted, report.rejected, report.import_id) == (3, 1, None)
        assert [count(uow, m) for m in (Person, Household, CarriedBenefit)] == [0, 0, 0]
        assert report.errors_file is not None
        page = openpyxl.load_workbook(io.BytesIO(files.read(uow, report.errors_file))).active
    assert page is not None
    assert [page.cell(n, 17).value is not None for n in (2, 3, 4, 5)] == [False, False, False, True]
    (error,) = report.errors
    assert (error.row, error.column) == (5, "身份证号")


def test_officers_come_with_the_roster(act: Act) -> None:
    """The sheet 责任人 puts a village's officer in post in the same transaction."""
    rows = [row(村="绍南村", 责任人工号="HH7777")]
    officers = [("HH7777", "卢志高", "戴家场镇", "绍南村", "13700137000")]
    with act() as uow:
        assert load(uow, rows).errors[0].problem == "绍南村还没有责任人"
        report = load(uow, rows, officers=officers)
        staff = uow.session.scalars(select(Staff).where(Staff.staff_no == "HH7777")).one()
        appointed = [b for name, b in emitted(uow) if name == "staff.appointed.v1"][-1]
    assert (report.officers, report.rejected) == (1, 0)
    assert staff.scopes == ["421083108205"]
    assert (appointed["staff_no"], appointed["active"]) == ("HH7777", True)


def test_wrong_officers_keep_everything_out(act: Act) -> None:
    """An officer of an unknown village is an error of the sheet 责任人."""
    with act() as uow:
        report = load(uow, FAMILY, officers=[("HH7777", "卢志高", "戴家场镇", "月亮村", "")])
        assert report.error_count == 1
        assert report.errors[0].column == "责任人表 村"
        assert count(uow, Person) == 0


def test_the_same_roster_does_not_come_in_twice(act: Act) -> None:
    """Nobody gets a second entitlement because a file was sent again."""
    with act() as uow:
        load(uow, FAMILY)
        before = len(emitted(uow))
        again = load(uow, FAMILY)
        assert again.import_id is None
        assert all("已在享受" in error.problem for error in again.errors)
        assert len(emitted(uow)) == before


def test_a_second_roster_adds_to_the_first(act: Act) -> None:
    """A known person with a new benefit: one more benefit, no second person."""
    more = row(待遇项目="高龄津贴", 核定金额="50", 家庭月收入="", 批准文号="洪老〔2026〕1号")
    with act() as uow:
        load(uow, FAMILY)
        report = load(uow, [more])
        assert report.error_count == 0
        assert (count(uow, Person), count(uow, Household), count(uow, CarriedBenefit)) == (2, 1, 4)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"户编号": "S777"}, "身份证号"),
        ({"姓名": "陈桂蓝", "开户名": "陈桂蓝"}, "姓名"),
        ({"银行账号": "6217991234567890777"}, "银行账号"),
    ],
)
def test_a_second_roster_changes_nobody(act: Act, cells: dict[str, object], column: str) -> None:
    """Household, name and account of people on record change by their own, guarded ways."""
    more = row(待遇项目="高龄津贴", 核定金额="50", 家庭月收入="") | cells
    with act() as uow:
        load(uow, FAMILY)
        report = load(uow, [more])
    assert report.import_id is None
    assert column in {error.column for error in report.errors}


def test_the_dead_do_not_come_in_again(act: Act) -> None:
    """Who is known to have died is named in the check."""
    with act() as uow:
        _, head = register(uow, member(1, name="陈桂兰"))
        person = people.on_record(uow, head)
        person.deceased_on = date(2026, 9, 1)
        number = uow.session.get_one(Household, person.household_id).number
        report = load(uow, [row(户编号=number)])
    assert "此人已登记死亡" in {error.problem for error in report.errors}


def test_a_file_that_is_none_is_refused(act: Act) -> None:
    """With the reason of the guard; nothing happens."""
    with act() as uow:
        file_id = upload(uow, b"not a workbook")
        with pytest.raises(Invalid, match="不是 Excel 工作簿"):
            roster_import.write(uow, ImportRoster(file_id=file_id, first_month="2026-11"))
        with pytest.raises(NotFound):
            roster_import.write(uow, ImportRoster(file_id=new_id(), first_month="2026-11"))


@pytest.mark.parametrize("month", ["2026", "2026-13", "明年", "2031-01", ""])
def test_a_month_that_is_none_is_refused(act: Act, month: str) -> None:
    """The first month decides what is owed: a slip of the year is caught."""
    with act() as uow, pytest.raises(Invalid) as caught:
        roster_import.check(uow, CheckRoster(file_id=new_id(), first_month=month))
    assert caught.value.field == "first_month"


def test_a_roster_of_another_town_is_refused(act: Act) -> None:
    """A town's clerk brings in their own town only."""
    with pytest.raises(Forbidden), act(ELSEWHERE) as uow:
        load(uow, FAMILY)


def release(uow: UnitOfWork, import_id: UUID) -> None:
    """Funding answers that nothing of the import was locked."""
    roster_import.on_released(uow, [ImportReleased(import_id=import_id, division="421083")])


def test_the_numbers_of_an_undone_import_stay_given(act: Act) -> None:
    """The roster comes again, put right, with the same household numbers: nobody has them now."""
    family = [row(户编号=f"{VILLAGE}0041")]
    with act() as uow:
        report = load(uow, family)
        assert report.import_id is not None
        roster_import.ask_undo(uow, UndoImport(import_id=report.import_id, reason="试导"))
        release(uow, report.import_id)
        register(uow, member(7))
        (household,) = queries.list_households(uow, ListHouseholds(division=VILLAGE)).households
        assert household.household_no == f"{VILLAGE}0042"
        assert load(uow, family).import_id is not None


def test_undo_takes_all_of_it_back(act: Act) -> None:
    """As if it had not been: nobody is found, all readers are told, and it may come in anew."""
    with act() as uow:
        report = load(uow, [*FAMILY, *ORPHAN])
        assert report.import_id is not None
        before = len(emitted(uow))
        view = roster_import.ask_undo(uow, UndoImport(import_id=report.import_id, reason="试导"))
        assert view.state == "undoing"
        assert queries.find_by_identity(uow, FindByIdentity(identity_number=identity(1)))
        release(uow, report.import_id)
        events = emitted(uow)[before:]
        assert queries.find_by_identity(uow, FindByIdentity(identity_number=identity(1))) is None
        removed = [b for name, b in events if name == "person.recorded.v1"]
        assert len(removed) == 4
        assert all(b["removed"] and b["version"] == 2 for b in removed)
        assert [b["import_id"] for name, b in events if name == "roster_import.undone.v1"] == [
            str(report.import_id)
        ]
        assert load(uow, [*FAMILY, *ORPHAN]).import_id is not None
        assert [i.state for i in roster_import.list_imports(uow, ListImports())] == [
            "written",
            "undone",
        ]


def test_after_the_first_lock_an_import_stands(act: Act) -> None:
    """Money is on its way: from here on corrections go by review."""
    with act() as uow:
        import_id = load(uow, FAMILY).import_id
        assert import_id is not None
        locked = ImportLocked(import_id=import_id, division="421083", batch_id=new_id())
        roster_import.on_locked(uow, [locked, locked])
        with pytest.raises(Conflict, match="已锁定付款"):
            roster_import.ask_undo(uow, UndoImport(import_id=import_id, reason="试导"))


def test_a_lock_that_came_first_wins_over_the_undo(act: Act) -> None:
    """Asked for while a batch was locking: nothing was taken back, and the import stands."""
    with act() as uow:
        import_id = load(uow, FAMILY).import_id
        assert import_id is not None
        roster_import.ask_undo(uow, UndoImport(import_id=import_id, reason="试导"))
        with pytest.raises(Conflict, match="正在撤销"):
            roster_import.ask_undo(uow, UndoImport(import_id=import_id, reason="再来"))
        locked = ImportLocked(import_id=import_id, division="421083", batch_id=new_id())
        roster_import.on_locked(uow, [locked])
        release(uow, import_id)  # what no order of events may do any more
        assert queries.find_by_identity(uow, FindByIdentity(identity_number=identity(1)))
        assert [i.state for i in roster_import.list_imports(uow, ListImports())] == ["locked"]


def test_an_undone_import_stays_undone(act: Act) -> None:
    """A lock that is told of late does not bring it back; a second undo is refused."""
    with act() as uow:
        import_id = load(uow, FAMILY).import_id
        assert import_id is not None
        roster_import.ask_undo(uow, UndoImport(import_id=import_id, reason="试导"))
        release(uow, import_id)
        release(uow, import_id)
        late = ImportLocked(import_id=import_id, division="421083", batch_id=new_id())
        roster_import.on_locked(uow, [late])
        with pytest.raises(Conflict, match="已经撤销"):
            roster_import.ask_undo(uow, UndoImport(import_id=import_id, reason="再来"))


def test_who_was_there_before_stays_and_may_get_it_again(act: Act) -> None:
    """A benefit that came by the undone roster is no longer held; the person remains."""
    with act() as uow:
        household, head = register(uow, member(1, name="陈桂兰"))
        number = uow.session.get_one(Household, household).number
        rows = [row(户编号=number)]
        report = load(uow, rows)
        assert report.import_id is not None
        held = EntitlementGranted(
            entitlement_id=new_id(),
            case_id=new_id(),
            household_id=household,
            person_ids=(head,),
            benefit="rural_dibao",
            division=VILLAGE,
            from_month=date(2026, 11, 1),
        )
        beneficiaries.on_told(uow, [held])
        roster_import.ask_undo(uow, UndoImport(import_id=report.import_id, reason="试导"))
        release(uow, report.import_id)
        person = uow.session.scalars(select(Person)).one()
        assert (person.id, person.removed, person.beneficiary) == (head, False, False)
        assert load(uow, rows).import_id is not None


@pytest.mark.parametrize("ended_first", [True, False])
def test_a_benefit_told_of_after_the_undo_is_not_held(act: Act, ended_first: bool) -> None:
    """The grants of an import travel behind its release: whoever has them in whatever order may be
    imported again."""
    with act() as uow:
        household, head = register(uow, member(1, name="陈桂兰"))
        rows = [row(户编号=uow.session.get_one(Household, household).number)]
        report = load(uow, rows)
        assert report.import_id is not None
        roster_import.ask_undo(uow, UndoImport(import_id=report.import_id, reason="试导"))
        release(uow, report.import_id)
        of_it = {
            "entitlement_id": new_id(),
            "case_id": new_id(),
            "household_id": household,
            "person_ids": (head,),
            "benefit": "rural_dibao",
            "division": VILLAGE,
        }
        end = f"import:{report.import_id}"
        told: list[EntitlementGranted | EntitlementEnded] = [
            EntitlementGranted(from_month=date(2026, 11, 1), **of_it),
            EntitlementEnded(last_month=None, reason="花名册导入撤销", end_id=end, **of_it),
        ]
        for event in reversed(told) if ended_first else told:
            beneficiaries.on_told(uow, [event])
        assert not uow.session.get_one(Person, head, populate_existing=True).beneficiary
        assert load(uow, rows).import_id is not None


def test_undo_leaves_nobody_without_a_household(act: Act) -> None:
    """Somebody who joined an imported household later would be stranded: refused."""
    from services.contracts.commands.registry import AddMember

    with act() as uow:
        import_id = load(uow, FAMILY).import_id
        assert import_id is not None
        household = uow.session.scalars(select(Household.id)).one()
        people.add_member(
            uow, AddMember(household_id=household, member=member(9, "子"), reason="出生")
        )
        with pytest.raises(Conflict, match="有 1 人登记到这些户中"):
            roster_import.ask_undo(uow, UndoImport(import_id=import_id, reason="试导"))


def test_nobody_joins_a_household_that_is_being_taken_back(act: Act) -> None:
    """Between the asking and funding's answer as well, nobody can be stranded."""
    from services.contracts.commands.registry import AddMember

    with act() as uow:
        import_id = load(uow, FAMILY).import_id
        assert import_id is not None
        roster_import.ask_undo(uow, UndoImport(import_id=import_id, reason="试导"))
        household = uow.session.scalars(select(Household.id)).one()
        with pytest.raises(Conflict, match="正在撤销"):
            people.add_member(
                uow, AddMember(household_id=household, member=member(9, "子"), reason="出生")
            )


def test_two_imports_wait_for_one_another(act: Act, foundation: Foundation) -> None:
    """The second checks against what the first has written, not beside it."""
    with act() as uow:
        held = text("SELECT pg_try_advisory_xact_lock(hashtext('roster_import'))")
        load(uow, FAMILY)
        with foundation.engine.connect() as other:
            assert other.scalar(held) is False


def test_notices_that_waited_find_whom_the_roster_brings(act: Act) -> None:
    """A death told before the roster came in stands from the first moment."""
    from services.registry.models import BureauNotice

    with act(actor(Role.TOWN_CLERK)) as uow:
        uow.session.add(
            BureauNotice(
                event_id=new_id(),
                bureau="public_security",
                kind="death_registered",
                division=VILLAGE,
                identity_index=uow.cipher.blind_index(identity(2)),
                happened_on=date(2026, 9, 20),
                reference="D-1",
                state="waiting",
            )
        )
        uow.session.flush()
        load(uow, FAMILY)
        died = [b for name, b in emitted(uow) if name == "person.died.v1"]
    assert [b["died_on"] for b in died] == ["2026-09-20"]
