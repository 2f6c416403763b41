"""A 低保 application from the window to funding, on the real database."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest

from services.cases import publicity
from services.contracts.commands import cases as c
from services.contracts.errors import Conflict, Forbidden, Invalid
from services.contracts.events.base import Audience, event_type
from services.contracts.events.cases import (
    AssessmentRequested,
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseObjected,
    MaterialRequested,
    PublicityOpened,
)
from tests.builders import case_world as world
from tests.integration.cases.conftest import Town


def accepted(town: Town, **how: object) -> c.CaseView:
    """Taken in at the window."""
    return town.ask(
        world.CLERK,
        c.AcceptApplication(application=world.application(**how)),  # type: ignore[arg-type]
    )


def inquired(town: Town, view: c.CaseView) -> c.CaseView:
    """Investigated, checked, quoted."""
    town.ask(
        world.CLERK,
        c.RecordInvestigation(
            case_id=view.case_id,
            investigators=world.INVESTIGATORS,
            signed_by=world.INVESTIGATORS,
            household_signed=True,
            finding="入户核实，情况属实",
            income_fen=120_000,
        ),
    )
    town.ask(
        world.REVIEWER,
        c.RecordMeansCheck(case_id=view.case_id, report_no="HD2026-1", consistent=True),
    )
    asked = town.told(AssessmentRequested)[-1]
    with town.system() as uow:
        world.answer(uow, asked)
    return town.ask(world.CLERK, c.ReadCase(case_id=view.case_id))


def publicised(town: Town, view: c.CaseView) -> c.CaseView:
    """Favoured by the town and hung for its days; the date is then the day after."""
    town.ask(world.REVIEWER, c.GiveOpinion(case_id=view.case_id, favourable=True))
    hung = town.ask(world.CLERK, c.OpenPublicity(case_id=view.case_id))
    assert hung.notice is not None
    town.today = hung.notice.closes_on + timedelta(days=1)
    with town.system() as uow:
        publicity.end_due(uow)
    return town.ask(world.CLERK, c.ReadCase(case_id=view.case_id))


def granted(town: Town, **how: object) -> c.CaseView:
    """The whole way."""
    view = publicised(town, inquired(town, accepted(town, **how)))
    return town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))


def test_the_main_job_from_the_window_to_funding(town: Town) -> None:
    """Each step leaves its fact, the amount is the quote's, and funding gets what it needs."""
    view = accepted(town)
    assert view.case_no == "421083-2026-000001"
    assert view.first_officer_name == "王芳"
    assert view.deadline is not None
    assert view.deadline.due_on == date(2026, 10, 30)
    assert view.deadline.words == "剩 20 个工作日（10月30日前）"
    assert view.current == ("investigation", "means_check")
    assert town.told(CaseAccepted)[0].due_on == date(2026, 10, 30)

    view = inquired(town, view)
    asked = town.told(AssessmentRequested)
    assert [question.means.household_income_fen for question in asked] == [120_000]
    assert asked[0].means.members == 3
    assert view.quote is not None
    assert view.quote.total_fen == 66_000

    view = publicised(town, view)
    notice = town.told(PublicityOpened)[0]
    assert (notice.applicant_name, notice.members, notice.amount_fen) == ("陈桂兰", 3, 66_000)
    assert (notice.opens_on, notice.closes_on) == (date(2026, 9, 28), date(2026, 10, 5))
    assert view.current == ("decision",)

    decided = town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))
    assert decided.decision is not None
    assert decided.decision.document_no == "洪湖市民救〔2026〕1号"
    event = town.told(CaseDecided)[0]
    assert event.basis == "application"
    assert event.benefits[0].amount_fen == 66_000
    assert event.benefits[0].from_month == date(2026, 11, 1)
    assert event.benefits[0].payee_person_id == world.HEAD
    assert set(event.benefits[0].covered_person_ids) == {world.HEAD, world.WIFE, world.CHILD}
    assert event.benefits[0].quote_id == view.quote.quote_id if view.quote else None
    assert set(event.involved) == {
        world.CLERK, world.REVIEWER, world.DECIDER, *world.INVESTIGATORS,
    }  # fmt: skip

    town.ask(world.CLERK, c.ServeDecision(case_id=view.case_id, way="直接送达"))
    closed = town.ask(world.CLERK, c.ReadCase(case_no=view.case_no))
    assert closed.state == "closed"
    assert {step.state for step in closed.steps} == {"done"}
    assert town.told(CaseClosed)[0].outcome == "granted"


def test_what_bureaus_hear_of_a_case_names_no_means(town: Town) -> None:
    """Only acceptance and closing leave the house, and neither carries name or money."""
    granted(town)
    public = {CaseAccepted, CaseClosed}
    for kind in (CaseAccepted, CaseClosed, CaseDecided, PublicityOpened, AssessmentRequested):
        expected = Audience.BUREAUS if kind in public else Audience.INTERNAL
        assert event_type(kind).audience is expected


def test_missing_papers_are_told_once_then_supplied(town: Town) -> None:
    """F3: one notice listing everything; the last paper accepts and starts the limit."""
    asked = world.application(materials=("application_form",))
    with pytest.raises(Invalid, match="家庭经济状况核对授权书、诚信承诺书"):
        town.ask(world.CLERK, c.AcceptApplication(application=asked))
    view = town.ask(world.CLERK, c.IssueMissingMaterialNotice(application=asked))
    assert view.state == "supplementing"
    assert town.told(MaterialRequested)[0].materials == ("家庭经济状况核对授权书", "诚信承诺书")
    assert town.told(CaseAccepted) == []
    town.today = date(2026, 9, 30)
    supplied = town.ask(
        world.CLERK,
        c.SupplyMaterial(case_id=view.case_id, materials=("check_authorisation", "promise")),
    )
    assert supplied.accepted_on == date(2026, 9, 30)
    assert town.told(CaseAccepted)[0].accepted_on == date(2026, 9, 30)


def test_the_same_person_in_two_towns_is_found_at_intake(town: Town) -> None:
    """(3): an open case in one town stops the other town's window, and shows there before."""
    first = accepted(town)
    from services.cases import projections

    with town.system() as uow:  # the family moves while the case is open
        for each, name in ((world.HEAD, "陈桂兰"), (world.WIFE, "张秀英"), (world.CHILD, "张小明")):
            projections.people(
                uow, [world.recorded(each, name=name, division=world.OTHER_VILLAGE, version=2)]
            )
    seen = town.ask(world.OTHER_CLERK, c.ReadIntake(person_id=world.HEAD))
    assert [(w.message, w.blocking) for w in seen.warnings] == [
        ("已在螺山镇中原村申请“最低生活保障”，正在办理", True)
    ]
    with pytest.raises(Conflict, match=first.case_no) as error:
        town.ask(world.OTHER_CLERK, c.AcceptApplication(application=world.application()))
    assert error.value.reason == "open_case"
    assert "螺山镇中原村" in error.value.message


def test_a_member_of_the_household_cannot_apply_again(town: Town) -> None:
    """The wife's own application is the same household's 低保."""
    accepted(town)
    with pytest.raises(Conflict):
        accepted(town, applicant_id=world.WIFE)


def test_a_granted_benefit_is_not_applied_for_again(town: Town) -> None:
    """Before funding has even answered, the decision itself stands in the way."""
    granted(town)
    with pytest.raises(Conflict, match="已经审核确认"):
        accepted(town)


def test_an_applicant_of_another_town_is_refused_at_this_window(town: Town) -> None:
    """Scope: the error says where the applicant belongs."""
    with pytest.raises(Forbidden, match="螺山镇中原村"):
        town.ask(world.OTHER_CLERK, c.AcceptApplication(application=world.application()))


def test_unknown_items_people_benefits_and_staff_are_named(town: Town) -> None:
    """Each wrong field is said in Chinese and nothing is written."""
    right = world.application()
    for wrong, field in (
        ({"item": "free_money"}, "item"),
        ({"route": "fast"}, "route"),
        ({"applicant_id": world.CLERK}, "applicant_id"),
        ({"benefits": ("tekun",)}, "benefits[0]"),
        ({"benefits": ()}, "benefits"),
        ({"materials": ("promise", "passport")}, "materials[1]"),
        ({"covered_ids": (world.HEAD, world.CLERK)}, "covered_ids[1]"),
        ({"relatives": (c.Relative(staff_id=world.HEAD, relation="子"),)}, "relatives[0]"),
    ):
        command = c.AcceptApplication(application=msgspec.structs.replace(right, **wrong))
        with pytest.raises(Invalid) as error:
            town.ask(world.CLERK, command)
        assert error.value.field == field
    assert town.ask(world.CLERK, c.ListCases()).cases == ()
    assert town.told(CaseAccepted) == []


def test_a_refused_command_changes_nothing(town: Town) -> None:
    """A decision out of order: the case and its timeline stay as they were."""
    view = accepted(town)
    with pytest.raises(Conflict, match="尚未完成"):
        town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))
    after = town.ask(world.CLERK, c.ReadCase(case_id=view.case_id))
    assert after == view
    assert town.told(CaseDecided) == []


def test_a_decision_is_made_once_even_by_two(town: Town) -> None:
    """The second decision is refused and funding hears of one."""
    view = granted(town)
    with pytest.raises(Conflict, match="案件已决定"):
        town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="refused", reason="错"))
    assert len(town.told(CaseDecided)) == 1


def test_a_decision_by_the_wrong_post_is_refused(town: Town) -> None:
    """The clerk has no such right; the county does not decide Honghu's 低保."""
    view = publicised(town, inquired(town, accepted(town)))
    with pytest.raises(Forbidden):
        town.ask(world.CLERK, c.Decide(case_id=view.case_id, outcome="granted"))
    with pytest.raises(Forbidden, match="镇（街道）"):
        town.ask(world.COUNTY_DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))


def test_an_objection_stops_the_decision_until_answered(town: Town) -> None:
    """Raised during the notice, told to the first officer, answered, then decided."""
    view = inquired(town, accepted(town))
    town.ask(world.REVIEWER, c.GiveOpinion(case_id=view.case_id, favourable=True))
    town.ask(world.CLERK, c.OpenPublicity(case_id=view.case_id))
    town.ask(world.CLERK, c.RecordObjection(case_id=view.case_id, content="家有小汽车"))
    assert town.told(CaseObjected)[0].first_officer_id == world.CLERK
    town.today = date(2026, 10, 8)
    with town.system() as uow:
        publicity.end_due(uow)
    with pytest.raises(Conflict, match="第 1 号异议尚未答复"):
        town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))
    town.ask(
        world.REVIEWER,
        c.ResolveObjection(case_id=view.case_id, number=1, upheld=False, finding="车属其兄"),
    )
    decided = town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))
    assert decided.objections[0].finding == "车属其兄"
    assert decided.outcome == "granted"


def test_a_child_may_be_covered_but_is_never_publicised(town: Town) -> None:
    """A minor's own application skips publicity; no notice can be hung for it."""
    view = inquired(town, accepted(town, applicant_id=world.CHILD, single_person=True))
    after = town.ask(world.REVIEWER, c.GiveOpinion(case_id=view.case_id, favourable=True))
    assert {step.code: step.state for step in after.steps}["publicity"] == "skipped"
    with pytest.raises(Conflict, match="不需要公示"):
        town.ask(world.CLERK, c.OpenPublicity(case_id=view.case_id))
    assert town.told(PublicityOpened) == []
    assert town.told(AssessmentRequested)[0].means.single_person
    decided = town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))
    assert town.told(CaseDecided)[0].benefits[0].payee_person_id == world.HEAD
    assert decided.outcome == "granted"
