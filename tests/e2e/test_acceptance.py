"""What auditors found elsewhere and cannot happen here, across registry, cases and funding."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from services.chassis import files
from services.contracts.actors import Actor, Role
from services.contracts.commands import cases as c
from services.contracts.commands.registry import (
    FindByIdentity,
    HouseholdView,
    ImportRoster,
    ListImports,
    NewMember,
    RegisterHousehold,
    UndoImport,
)
from services.contracts.errors import Conflict, Forbidden, Invalid
from services.contracts.events.cases import CaseDecided, PublicityOpened
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    EntitlementQuoted,
)
from services.contracts.events.registry import BenefitCarriedOver
from services.contracts.ids import new_id
from tests.builders.city import City
from tests.builders.roster import identity, row, xlsx
from tests.e2e.conftest import OTHER_TOWN, VILLAGE
from tests.fixtures.services import actor

Staff = dict[str, Actor]


def household(
    city: City,
    staff: Staff,
    *,
    born: str = "19610305",
    head: str = "向长河",
    others: tuple[NewMember, ...] = (),
    disability: str | None = None,
) -> HouseholdView:
    """A household put on record at the window."""
    return city.ask(
        staff["clerk"],
        RegisterHousehold(
            division=VILLAGE,
            members=(
                NewMember(
                    name=head,
                    identity_number=identity(1, born),
                    relation="户主",
                    disability=disability,
                    account_name=head,
                    account_number="6217991234567890123",
                ),
                *others,
            ),
        ),
    )


def papers(item: str) -> tuple[str, ...]:
    """All the papers an item asks for."""
    from services.cases import catalogue

    return tuple(m.code for m in catalogue.item(item).materials if m.required and not m.shared)


def apply(
    city: City, staff: Staff, item: str, applicant: UUID, *, by: str = "clerk", **how: object
) -> c.CaseView:
    """An application with all its papers at the window."""
    application = c.Application(item=item, applicant_id=applicant, materials=papers(item), **how)  # type: ignore[arg-type]
    view = city.ask(staff[by], c.AcceptApplication(application=application))
    return city.ask(staff[by], c.ReadCase(case_id=view.case_id))


def to_the_decision(city: City, staff: Staff, view: c.CaseView, income_fen: int) -> c.CaseView:
    """低保 from acceptance to the day after its notice."""
    pair = tuple(UUID(staff[desk].id) for desk in ("village_officer", "reviewer"))
    case_id = view.case_id
    city.ask(
        staff["clerk"],
        c.RecordInvestigation(
            case_id=case_id,
            investigators=pair,
            signed_by=pair,
            household_signed=True,
            finding="入户核实，情况属实",
            income_fen=income_fen,
        ),
    )
    city.ask(
        staff["reviewer"], c.RecordMeansCheck(case_id=case_id, report_no="HD1", consistent=True)
    )
    city.ask(staff["reviewer"], c.GiveOpinion(case_id=case_id, favourable=True))
    hung = city.ask(staff["clerk"], c.OpenPublicity(case_id=case_id))
    assert hung.notice is not None
    city.today = hung.notice.closes_on + timedelta(days=1)
    return city.ask(staff["clerk"], c.EndPublicity(case_id=case_id))


def carry_over(city: City, family: HouseholdView, benefit: str, *, member: int = 0) -> None:
    """A benefit of the roster for a member, as registry's import tells of it."""
    head = family.members[member].person_id
    with city.begin("registry") as uow:
        uow.emit(
            BenefitCarriedOver(
                grant_id=new_id(),
                import_id=new_id(),
                household_id=family.household_id,
                division=family.division,
                benefit=benefit,
                covered_person_ids=(head,),
                payee_person_id=head,
                applicant_person_id=head,
                approved_fen=100_000,
                counted_income_fen=None,
                decision_no="洪民〔2024〕8号",
                started_month=date(2024, 3, 1),
                first_month=date(2026, 11, 1),
                child=benefit in ("orphan", "de_facto_orphan"),
            )
        )
    city.settle(again=True)


@pytest.mark.parametrize("held", ["orphan", "de_facto_orphan", "tekun"])
def test_1_no_living_subsidy_beside_the_support_of_a_child_or_tekun(
    city: City, staff: Staff, held: str
) -> None:
    """(1): on the roster as 孤儿, 事实无人抚养 or 特困, 困难生活补贴 is refused with its clause."""
    family = household(city, staff, born="20140505", head="彭小雨", disability="肢体二级")
    carry_over(city, family, held)
    view = apply(
        city, staff, "disability_subsidies", family.members[0].person_id,
        benefits=("disability_living",),
    )  # fmt: skip
    assert view.quote is not None
    (obstacle,) = view.quote.obstacles
    assert obstacle.blocking
    assert obstacle.other_benefit == held
    with pytest.raises(Conflict) as error:
        city.ask(staff["reviewer"], c.GiveOpinion(case_id=view.case_id, favourable=True))
    assert obstacle.clause in error.value.message
    refused = city.ask(
        staff["county"],
        c.Decide(case_id=view.case_id, outcome="refused", reason=obstacle.message),
    )
    assert refused.outcome == "refused"
    granted = [event.benefit for event in city.said(EntitlementGranted)]
    assert granted == [held]


def roster_in(city: City, staff: Staff) -> UUID:
    """A roster of one household with 农村低保, written."""
    with city.begin("registry", staff["county"]) as uow:
        file_id = files.write(
            uow, "花名册.xlsx", xlsx([row(责任人工号="HH0001")]), "x", division="421083"
        )
    report = city.ask(
        actor(Role.SYSTEM_ADMIN), ImportRoster(file_id=file_id, first_month="2026-11")
    )
    assert report.import_id is not None
    return report.import_id


def test_an_import_is_taken_back_in_all_services_or_in_none(city: City, staff: Staff) -> None:
    """Registry asks, funding answers: void and removed everywhere, its case ended, nobody paid."""
    import_id = roster_in(city, staff)
    assert [event.benefit for event in city.said(EntitlementGranted)] == ["rural_dibao"]
    admin = actor(Role.SYSTEM_ADMIN)
    city.ask(admin, UndoImport(import_id=import_id, reason="试导"))
    city.settle(again=True)
    assert [each.state for each in city.ask(admin, ListImports())] == ["undone"]
    assert city.ask(staff["clerk"], FindByIdentity(identity_number=identity(1))) is None
    with city.begin("cases") as uow:
        assert uow.session.scalars(text("SELECT state FROM case_file")).all() == ["ended"]
    with city.begin("funding") as uow:
        assert uow.session.scalars(text("SELECT state FROM entitlement")).all() == ["void"]


def test_3_one_person_in_two_towns_and_under_two_numbers(city: City, staff: Staff) -> None:
    """(3): the 15- and the 18-digit number are one person, whose open case stops every window."""
    family = household(city, staff, born="19610305")
    number = identity(1, "19610305")
    old = number[:6] + number[8:17]
    for written in (number, old):
        found = city.ask(staff["other_clerk"], FindByIdentity(identity_number=written))
        assert found is not None
        assert found.person_id == family.members[0].person_id
    first = apply(city, staff, "dibao", found.person_id, benefits=("rural_dibao",))
    seen = city.ask(staff["other_clerk"], c.ReadIntake(person_id=found.person_id))
    assert [w.case_no for w in seen.warnings] == [first.case_no]
    with pytest.raises((Conflict, Forbidden)):
        apply(city, staff, "dibao", found.person_id, by="other_clerk", benefits=("rural_dibao",))
    with pytest.raises(Conflict) as error:
        apply(city, staff, "dibao", found.person_id, benefits=("urban_dibao",))
    assert error.value.reason == "open_case"
    with pytest.raises((Conflict, Invalid)):
        city.ask(
            staff["other_clerk"],
            RegisterHousehold(
                division=f"{OTHER_TOWN}201",
                members=(NewMember(name="向长河", identity_number=old, relation="户主"),),
            ),
        )


def test_4_a_notice_has_no_place_for_number_address_or_illness(city: City, staff: Staff) -> None:
    """(4): a name with a number or an illness behind it cannot be hung; a name can."""
    family = household(city, staff)
    view = apply(city, staff, "dibao", family.members[0].person_id, benefits=("rural_dibao",))
    done = to_the_decision(city, staff, view, 30_000)
    assert done.notice is not None
    (opened,) = city.said(PublicityOpened)
    assert set(opened.__struct_fields__) == {
        "case_id", "case_no", "item", "division", "applicant_person_id", "applicant_name",
        "members", "amount_fen", "opens_on", "closes_on",
    }  # fmt: skip
    assert opened.applicant_name == "向长河"
    assert opened.amount_fen == done.quote.total_fen if done.quote else False
    from services.cases import projections
    from tests.builders import case_world

    wrong = household(city, staff, born="19580101", head="汪水生")
    second = apply(city, staff, "dibao", wrong.members[0].person_id, benefits=("rural_dibao",))
    with city.begin("cases") as uow:
        projections.people(
            uow,
            [
                case_world.recorded(
                    wrong.members[0].person_id,
                    name="汪水生421083195801010019",
                    household_id=wrong.household_id,
                    division=VILLAGE,
                    version=99,
                )
            ],
        )
    with pytest.raises(Invalid, match="只能写申请人姓名"):
        to_the_decision(city, staff, second, 30_000)
    assert len(city.said(PublicityOpened)) == 1


def test_6_who_registered_investigated_or_is_kin_does_not_decide(city: City, staff: Staff) -> None:
    """(6): whatever posts they hold; and whoever decided is named to funding as involved."""
    family = household(city, staff)
    kin = c.Relative(staff_id=UUID(staff["decider"].id), relation="兄弟姐妹")
    view = apply(
        city, staff, "dibao", family.members[0].person_id, benefits=("rural_dibao",),
        relatives=(kin,),
    )  # fmt: skip
    to_the_decision(city, staff, view, 30_000)
    decide = c.Decide(case_id=view.case_id, outcome="granted")
    for desk, reason in (
        ("clerk", "decider_registered"),
        ("village_officer", "decider_investigated"),
        ("decider", "relative"),
    ):
        person = staff[desk]
        with_post = Actor(
            id=person.id, name=person.name, roles=(Role.TOWN_DECIDER,), divisions=("421083",)
        )
        with pytest.raises(Forbidden) as error:
            city.ask(with_post, decide)
        assert error.value.reason == reason
    other = Actor(
        id=str(new_id()), name="另一审批", roles=(Role.TOWN_DECIDER,), divisions=("421083108",)
    )
    with pytest.raises(Conflict) as conflict:
        city.ask(other, decide)
    assert conflict.value.reason == "county_visit_needed"
    visitors = (UUID(staff["auditor"].id), UUID(staff["county"].id))
    city.ask(
        staff["county"],
        c.RecordCountyVisit(case_id=view.case_id, visitors=visitors, finding="入户核查属实"),
    )
    city.ask(other, decide)
    (decided,) = city.said(CaseDecided)
    wanted = {staff[d].id for d in ("clerk", "reviewer", "village_officer", "auditor", "county")}
    assert {str(each) for each in decided.involved} == {*wanted, other.id}
    assert len(city.said(EntitlementQuoted)) == 1
    (granted,) = city.said(EntitlementGranted)
    assert granted.case_id == view.case_id


def test_a_review_ends_the_benefit_of_its_person_alone(city: City, staff: Staff) -> None:
    """Two members on 护理补贴: ending one's leaves the other's."""
    wife = NewMember(
        name="周腊梅",
        identity_number=identity(2, "19630819"),
        relation="配偶",
        disability="肢体二级",
    )
    family = household(city, staff, disability="肢体一级", others=(wife,))
    for member in (0, 1):
        carry_over(city, family, "disability_care", member=member)
    held = city.ask(
        staff["clerk"], c.ListCases(person_id=family.members[1].person_id, kind="carried_over")
    )
    review = city.ask(
        staff["clerk"],
        c.OpenReview(case_id=held.cases[0].case_id, cause="expired", reason="残疾人证到期"),
    )
    pair = tuple(UUID(staff[desk].id) for desk in ("village_officer", "reviewer"))
    city.ask(
        staff["reviewer"],
        c.RecordInvestigation(
            case_id=review.case_id,
            investigators=pair,
            signed_by=pair,
            household_signed=True,
            finding="未换证",
        ),
    )
    city.ask(
        staff["decider"],
        c.Decide(case_id=review.case_id, outcome="ended", reason="残疾人证到期未换"),
    )
    (ended,) = city.said(EntitlementEnded)
    assert ended.person_ids == (family.members[1].person_id,)
