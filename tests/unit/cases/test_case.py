"""The law's steps, one rule a test: what must come first, who may, what is refused and why."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import pytest

from services.cases.domain import facts as f
from services.cases.domain import inquiry, intake, judgment, posting
from services.cases.domain.case import State, StepState
from services.cases.domain.catalogue import StepCode
from services.cases.domain.policy import PauseCause
from services.contracts.actors import Role
from services.contracts.errors import Conflict, Forbidden, Invalid, ZhidaError
from tests.builders import cases as build

LATE = date(2026, 11, 2)


def refused_because(reason: str, kind: type[ZhidaError] = Conflict) -> pytest.RaisesExc[ZhidaError]:
    """An error of ``kind`` with the stable ``reason``, in Chinese, with advice."""

    def fits(error: ZhidaError) -> bool:
        return error.reason == reason and bool(error.message)

    return pytest.RaisesExc(kind, check=fits)


# Intake -------------------------------------------------------------------------------------------


def test_papers_missing_are_told_once_and_all() -> None:
    """The notice lists all that is missing; a second one is refused."""
    case = build.registered(materials=("application_form",))
    with refused_because("material_missing", Invalid):
        intake.accept(case, build.CLERK, build.MONDAY)
    told = intake.tell_missing(case, build.CLERK, build.MONDAY)
    assert told.last(f.MissingTold).missing == ("check_authorisation", "promise")  # type: ignore[union-attr]
    assert told.state is State.SUPPLEMENTING
    with refused_because("already_told"):
        intake.tell_missing(told, build.CLERK, build.MONDAY)


def test_the_last_missing_paper_accepts_and_the_limit_begins_then() -> None:
    """Supplied in two goes: accepted with the second, and the limit runs from that day."""
    case = intake.tell_missing(
        build.registered(materials=("application_form",)), build.CLERK, build.MONDAY
    )
    half = intake.supply(case, build.CLERK, build.MONDAY, ["promise"])
    assert half.state is State.SUPPLEMENTING
    whole = intake.supply(half, build.CLERK, date(2026, 9, 30), ["check_authorisation"])
    assert whole.state is State.IN_PROGRESS
    assert whole.accepted_on == date(2026, 9, 30)


def test_an_unknown_paper_is_named() -> None:
    """A material that the item does not list changes nothing and is named."""
    with pytest.raises(Invalid, match="没有“x”") as error:
        intake.supply(build.registered(materials=()), build.CLERK, build.MONDAY, ["x"])
    assert error.value.field == "materials[0]"


def test_the_first_officer_stays() -> None:
    """首问责任: whoever took it in, whatever others do later."""
    assert build.decide(build.ready_to_decide()).first_officer == build.CLERK.id


def test_tolerated_papers_are_wanted_before_the_decision() -> None:
    """容缺: accepted without the bank card, not granted without it."""
    papers = ("application_form", "check_authorisation", "promise")
    case = build.ready_to_decide(materials=papers)
    with refused_because("material_missing"):
        build.decide(case)
    supplied = intake.supply(case, build.CLERK, build.MONDAY, ["account_proof"])
    assert build.decide(supplied).outcome is f.Outcome.GRANTED


# Inquiry ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "signed", "household", "field"),
    [
        ((11,), (11,), True, "investigators"),
        ((11, 11), (11,), True, "investigators"),
        ((11, 12), (11,), True, "signed_by"),
        ((11, 12), (11, 12), False, "household_signed"),
    ],
)
def test_two_investigate_and_all_sign(
    who: tuple[int, ...], signed: tuple[int, ...], household: bool, field: str
) -> None:
    """One investigator, the same twice, or a signature missing: refused, naming the field."""
    with pytest.raises(Invalid) as error:
        inquiry.investigate(
            build.accepted(),
            build.CLERK,
            build.MONDAY,
            investigators=[UUID(int=each) for each in who],
            signed_by=[UUID(int=each) for each in signed],
            household_signed=household,
            finding="属实",
        )
    assert error.value.field == field


@pytest.mark.parametrize("income", [-1, 10**14, None])
def test_an_impossible_income_is_refused(income: int | None) -> None:
    """Negative, overflowing and unsaid amounts name the field: unsaid is not nothing."""
    with pytest.raises(Invalid) as error:
        build.investigated(build.accepted(), income_fen=income)  # type: ignore[arg-type]
    assert error.value.field == "income_fen"


def test_steps_out_of_order_are_refused_naming_what_is_missing() -> None:
    """No opinion before investigation and check; no publicity before the opinion."""
    case = build.accepted()
    with pytest.raises(Conflict, match="调查、信息核对尚未完成"):
        build.favoured(case)
    with pytest.raises(Conflict, match="初审尚未完成"):
        build.publicised(case)
    with pytest.raises(Conflict, match="调查、信息核对、初审、公示尚未完成"):
        build.decide(case)


def test_a_step_is_not_done_twice() -> None:
    """A second investigation needs an upheld objection."""
    with refused_because("step_already_done"):
        build.investigated(build.investigated(build.accepted()))


def test_a_step_that_the_item_does_not_have_is_refused() -> None:
    """残联审核 belongs to the subsidies, not to 低保."""
    with refused_because("no_such_step"):
        inquiry.review_certificate(build.accepted(), build.FEDERATION, build.MONDAY, passed=True)


def test_a_check_that_does_not_fit_may_be_repeated_and_blocks_approval() -> None:
    """核对不符 → evidence → 复查 (art. 18); until it fits no favourable opinion."""
    case = build.checked(build.investigated(build.accepted()), consistent=False)
    with refused_because("means_inconsistent"):
        build.favoured(build.quoted(case))
    again = build.checked(case)
    assert build.favoured(build.quoted(again)).done(StepCode.OPINION)


def test_funding_is_asked_when_all_is_known_and_again_when_it_changes() -> None:
    """Asked once after investigation and check; a later check asks again, an old quote is void."""
    case = build.investigated(build.accepted())
    assert not inquiry.wants_assessment(case)
    case = build.checked(case, consistent=False)
    assert inquiry.wants_assessment(case)
    quoted = build.quoted(case)
    assert not inquiry.wants_assessment(quoted)
    rechecked = build.checked(quoted)
    assert inquiry.wants_assessment(rechecked)
    asked = inquiry.ask_assessment(rechecked, build.SYSTEM, build.MONDAY)
    assert asked.quote is None
    with refused_because("no_quote"):
        build.favoured(asked)


def test_the_opinion_is_on_the_quote_to_the_fen() -> None:
    """Another amount than the policy's is refused and shows both."""
    case = build.quoted(build.checked(build.investigated(build.accepted())))
    grants = [f.Grant(benefit="urban_dibao", amount_fen=66_001)]
    with pytest.raises(Invalid, match=r"660\.01 元与政策测算 660\.00"):
        inquiry.give_opinion(case, build.REVIEWER, build.MONDAY, favourable=True, grants=grants)


def test_an_exclusion_blocks_with_its_clause() -> None:
    """(1): a child on 事实无人抚养 support is not granted 困难生活补贴; the clause is named."""
    case = build.quoted(build.accepted("disability_subsidies"), obstacle=build.exclusion())
    with pytest.raises(Conflict, match=r"民发〔2019〕62号三（一）"):
        build.favoured(case)
    refused = build.decide(
        case, build.COUNTY, outcome=f.Outcome.REFUSED, reason="已享受事实无人抚养儿童补贴"
    )
    assert refused.outcome is f.Outcome.REFUSED


# Publicity and objections -------------------------------------------------------------------------


def test_publicity_lasts_seven_whole_days() -> None:
    """Hung on the 28th it stands through October 5; on the 5th it cannot be ended."""
    case = build.favoured(build.quoted(build.checked(build.investigated(build.accepted()))))
    hung = posting.open_publicity(case, build.CLERK, build.MONDAY, UUID(int=1))
    until = build.MONDAY + timedelta(days=7)
    assert hung.open_notice is not None
    assert hung.open_notice.until == until
    with refused_because("publicity_running"):
        posting.end_publicity(hung, build.SYSTEM, until)
    with refused_because("publicity_running"):
        build.decide(hung, on=until)
    ended = posting.end_publicity(hung, build.SYSTEM, until + timedelta(days=1))
    assert ended.current == (StepCode.DECISION,)
    decided = build.decide(hung, on=until + timedelta(days=1))
    assert decided.open_notice is None, "a decision does not wait for the timer"


def test_an_objection_blocks_and_an_upheld_one_starts_the_inquiry_anew() -> None:
    """Blocked while open; dismissed goes on; upheld wants a new investigation and opinion."""
    case = build.favoured(build.quoted(build.checked(build.investigated(build.accepted()))))
    hung = posting.open_publicity(case, build.CLERK, build.MONDAY, UUID(int=1))
    raised = posting.raise_objection(hung, build.CLERK, date(2026, 9, 30), "有商品房一套")
    ended = posting.end_publicity(raised, build.SYSTEM, date(2026, 10, 8))
    with refused_because("objection_open"):
        build.decide(ended)
    dismissed = posting.answer_objection(
        ended, build.REVIEWER, date(2026, 10, 8), 1, upheld=False, finding="系其弟房产"
    )
    assert dismissed.current == (StepCode.DECISION,)
    upheld = posting.answer_objection(
        ended, build.REVIEWER, date(2026, 10, 8), 1, upheld=True, finding="属实"
    )
    assert upheld.current == (StepCode.INVESTIGATION,)
    again = build.quoted(build.investigated(upheld, on=date(2026, 10, 9)))
    assert build.favoured(again, on=date(2026, 10, 9)).current == (StepCode.DECISION,)


def test_a_division_may_demand_a_second_notice() -> None:
    """republish is policy: with it, an upheld objection wants the notice again."""
    from dataclasses import replace

    import msgspec

    case = build.favoured(build.quoted(build.checked(build.investigated(build.accepted()))))
    case = replace(case, rule=msgspec.structs.replace(case.rule, republish=True))
    hung = posting.open_publicity(case, build.CLERK, build.MONDAY, UUID(int=1))
    raised = posting.raise_objection(hung, build.CLERK, date(2026, 9, 30), "有商品房一套")
    ended = posting.end_publicity(raised, build.SYSTEM, date(2026, 10, 8))
    upheld = posting.answer_objection(
        ended, build.REVIEWER, date(2026, 10, 8), 1, upheld=True, finding="属实"
    )
    again = build.favoured(build.quoted(build.investigated(upheld)), on=date(2026, 10, 9))
    assert again.current == (StepCode.PUBLICITY,)
    assert build.publicised(again, on=date(2026, 10, 9)).current == (StepCode.DECISION,)


def test_no_objection_without_a_notice() -> None:
    """After the days it is a complaint, which takes the county to the home."""
    case = build.ready_to_decide()
    with refused_because("no_notice"):
        posting.raise_objection(case, build.CLERK, date(2026, 10, 8), "迟到的异议")
    complained = posting.raise_objection(
        case, build.CLERK, date(2026, 10, 8), "举报", complaint=True
    )
    answered = posting.answer_objection(
        complained, build.REVIEWER, date(2026, 10, 8), 1, upheld=False, finding="不属实"
    )
    with refused_because("county_visit_needed"):
        build.decide(answered)


# The decision -------------------------------------------------------------------------------------


def test_a_decision_by_who_registered_or_investigated_is_refused() -> None:
    """(6): the decider took no part before, whatever roles they hold."""
    case = build.ready_to_decide()
    both = build.staff(1, Role.TOWN_CLERK, Role.TOWN_DECIDER)
    with refused_because("decider_registered", Forbidden):
        build.decide(case, both)
    with refused_because("decider_investigated", Forbidden):
        build.decide(case, build.staff(11, Role.TOWN_DECIDER))


def test_a_relative_takes_no_part() -> None:
    """(6): a near relative neither investigates nor gives an opinion nor decides."""
    kin = f.Kinship(staff_id=UUID(int=3), relation="配偶")
    case = build.ready_to_decide(relatives=(kin,))
    with refused_because("relative", Forbidden):
        build.decide(case)
    investigator = f.Kinship(staff_id=UUID(int=11), relation="兄弟姐妹")
    with refused_because("relative", Forbidden):
        build.investigated(build.accepted(relatives=(investigator,)))


def test_a_relative_of_staff_needs_the_countys_visit() -> None:
    """Art. 11 and 20: declared kinship, then no decision before the county was there."""
    kin = f.Kinship(staff_id=UUID(int=42), relation="父母")
    case = build.ready_to_decide(relatives=(kin,))
    with refused_because("county_visit_needed"):
        build.decide(case)
    visited = inquiry.county_visit(
        case, build.COUNTY, date(2026, 10, 8), [UUID(int=21), UUID(int=22)], "入户核查属实"
    )
    assert build.decide(visited).outcome is f.Outcome.GRANTED
    with refused_because("decider_investigated", Forbidden):
        build.decide(visited, build.staff(21, Role.TOWN_DECIDER))


@pytest.mark.parametrize(
    ("division", "right", "wrong"),
    [
        (build.VILLAGE, build.DECIDER, build.COUNTY),
        (
            "421003100001",
            build.staff(4, Role.COUNTY_DECIDER, division="421003"),
            build.staff(3, Role.TOWN_DECIDER, division="421003100"),
        ),
    ],
)
def test_the_body_that_policy_names_decides(division: str, right, wrong) -> None:  # type: ignore[no-untyped-def]
    """Honghu: the town, not the county. Elsewhere: the county, not the town."""
    case = build.ready_to_decide(division=division)
    with refused_because("wrong_body", Forbidden):
        build.decide(case, wrong)
    assert build.decide(case, right).outcome is f.Outcome.GRANTED


def test_a_decider_of_another_town_is_refused() -> None:
    """Scope: the case must lie in the decider's division."""
    elsewhere = build.staff(3, Role.TOWN_DECIDER, division="421083109")
    with refused_because("out_of_scope", Forbidden):
        build.decide(build.ready_to_decide(), elsewhere)


def test_a_decision_is_made_once() -> None:
    """The second is refused and changes nothing."""
    decided = build.decide(build.ready_to_decide())
    with refused_because("wrong_state"):
        build.decide(decided, build.staff(33, Role.TOWN_DECIDER))


def test_a_late_decision_needs_its_reason() -> None:
    """After the limit: refused without, kept with the reason."""
    case = build.ready_to_decide()
    with refused_because("late", Invalid):
        build.decide(case, on=LATE)
    late = build.decide(case, on=LATE, late_reason="汛期道路中断")
    assert late.decision.late_reason == "汛期道路中断"  # type: ignore[union-attr]
    assert build.decide(case, on=date(2026, 10, 30)).outcome is f.Outcome.GRANTED


def test_a_refusal_is_written_with_its_reason() -> None:
    """No refusal without words; with an opinion against it no notice is hung."""
    case = build.quoted(build.checked(build.investigated(build.accepted())))
    against = inquiry.give_opinion(
        case, build.REVIEWER, build.MONDAY, favourable=False, reason="收入超过标准"
    )
    with refused_because("opinion_unfavourable"):
        build.decide(against)
    with pytest.raises(Invalid) as error:
        build.decide(against, outcome=f.Outcome.REFUSED, reason="  ")
    assert error.value.field == "reason"
    refused = build.decide(against, outcome=f.Outcome.REFUSED, reason="收入超过标准")
    assert {s.step.code: s.state for s in refused.step_bar()}[StepCode.PUBLICITY] is (
        StepState.SKIPPED
    )
    assert refused.state is State.DECIDED
    assert judgment.tell(refused, build.CLERK, LATE, "直接送达").state is State.CLOSED


def test_a_refusal_before_any_opinion_is_refused() -> None:
    """Nobody is turned away unexamined."""
    with refused_because("step_out_of_order"):
        build.decide(build.accepted(), outcome=f.Outcome.REFUSED, reason="不像困难")


def test_the_federation_must_agree() -> None:
    """残联审核 not passed: no grant, but a refusal."""
    case = build.favoured(build.quoted(build.accepted("disability_subsidies")))
    with pytest.raises(Conflict, match="残联审核尚未完成"):
        build.decide(case, build.COUNTY)
    failed = inquiry.review_certificate(
        case, build.FEDERATION, build.MONDAY, passed=False, note="残疾人证已过期"
    )
    with refused_because("federation_refused"):
        build.decide(failed, build.COUNTY)
    passed = inquiry.review_certificate(case, build.FEDERATION, build.MONDAY, passed=True)
    assert build.decide(passed, build.COUNTY).outcome is f.Outcome.GRANTED


def test_an_extension_is_one_and_in_time() -> None:
    """20 → 45 working days, once, with a reason, before the limit has passed."""
    case = build.accepted()
    how = (f.ExtensionGround.HARD_INVESTIGATION, "外出务工，收入难以核实", build.CALENDAR)
    extended = inquiry.extend(case, build.REVIEWER, build.MONDAY, *how)
    due = extended.due(build.CALENDAR, build.MONDAY)
    assert due is not None
    assert due.day == build.working_days_after(build.MONDAY, 45)
    with refused_because("already_extended"):
        inquiry.extend(extended, build.REVIEWER, build.MONDAY, *how)
    with refused_because("limit_passed"):
        inquiry.extend(case, build.REVIEWER, LATE, *how)
    with pytest.raises(Invalid):
        inquiry.extend(case, build.REVIEWER, build.MONDAY, how[0], " ", build.CALENDAR)


def test_publicity_counts_unless_policy_pauses_it() -> None:
    """National default: the limit runs on; a division whose policy pauses it gets the days."""
    from dataclasses import replace

    import msgspec

    case = build.ready_to_decide()
    plain = case.due(build.CALENDAR, date(2026, 10, 9))
    rule = msgspec.structs.replace(case.rule, pauses=(PauseCause.PUBLICITY,))
    paused = replace(case, rule=rule).due(build.CALENDAR, date(2026, 10, 9))
    assert plain is not None
    assert paused is not None
    assert plain.day == date(2026, 10, 30)
    assert build.CALENDAR.between(plain.day, paused.day) == 2  # 9-29, 9-30; then 国庆 to 10-6


# Correction, urgent aid, reviews ------------------------------------------------------------------


def correct(case, by=None, **how):  # type: ignore[no-untyped-def]
    """A correction to a refusal, before payment, unless told otherwise."""
    given = {
        "decision_id": UUID(int=501),
        "document_no": "洪民保〔2026〕2号",
        "outcome": f.Outcome.REFUSED,
        "reason": "收入计算有误",
        "paid": False,
    }
    return judgment.correct(case, by or build.DECIDER, date(2026, 10, 12), **(given | how))


def test_a_wrong_decision_is_corrected_before_payment_only() -> None:
    """The correction names what it replaces, and the applicant is told anew."""
    told = judgment.tell(
        build.decide(build.ready_to_decide()), build.CLERK, date(2026, 10, 9), "直接送达"
    )
    assert told.state is State.CLOSED
    with refused_because("already_paid"):
        correct(told, paid=True)
    corrected = correct(told)
    assert corrected.outcome is f.Outcome.REFUSED
    assert corrected.decision.corrects == UUID(int=500)
    assert corrected.current == (StepCode.NOTIFICATION,)


def test_a_correction_is_a_decision_too() -> None:
    """Same independence, a reason, and another result than before."""
    decided = build.decide(build.ready_to_decide())
    with refused_because("decider_registered", Forbidden):
        correct(decided, build.staff(1, Role.TOWN_DECIDER))
    with pytest.raises(Invalid):
        correct(decided, reason="")
    with pytest.raises(Invalid, match="与原决定相同"):
        correct(decided, outcome=f.Outcome.GRANTED)


def test_urgent_aid_comes_first_and_its_papers_after() -> None:
    """Decided the same day with no papers; the papers are due in working days, then it closes."""
    case = build.accepted("temporary_aid", route="urgent", materials=())
    assert case.current == (StepCode.DECISION,)
    aided = build.decide(case, on=build.MONDAY, fen=200_000)
    assert aided.current == (StepCode.PAPERS, StepCode.NOTIFICATION)
    due = aided.papers_due(build.CALENDAR)
    assert due is not None
    assert due.day == build.working_days_after(build.MONDAY, 5)
    with refused_because("material_missing", Invalid):
        judgment.complete_papers(
            aided, build.CLERK, build.MONDAY, materials=[], finding="失火", signed=True
        )
    papers = ["application_form", "hardship_proof"]
    with refused_because("unsigned", Invalid):
        judgment.complete_papers(
            aided, build.CLERK, build.MONDAY, materials=papers, finding="失火", signed=False
        )
    done = judgment.complete_papers(
        aided, build.CLERK, build.MONDAY, materials=papers, finding="房屋失火", signed=True
    )
    assert judgment.tell(done, build.CLERK, build.MONDAY, "当场告知").state is State.CLOSED


@pytest.mark.parametrize("fen", [0, -1, 10**14])
def test_an_impossible_aid_is_refused(fen: int) -> None:
    """Zero, negative and overflowing sums name the field."""
    case = build.accepted("temporary_aid", route="urgent", materials=())
    with pytest.raises(Invalid) as error:
        build.decide(case, build.staff(3, Role.TOWN_DECIDER, Role.COUNTY_DECIDER), fen=fen)
    assert error.value.field == "grants[0].amount_fen"


def test_the_town_stays_within_its_small_sum() -> None:
    """Above the town's authority the county decides, on the same fast path."""
    case = build.accepted("temporary_aid", route="urgent", materials=())
    with pytest.raises(Forbidden, match=r"小额审批限额 3,120\.00 元"):
        build.decide(case, on=build.MONDAY, fen=312_001)
    assert build.decide(case, build.COUNTY, on=build.MONDAY, fen=312_001).outcome


def test_a_step_bar_of_a_fresh_case() -> None:
    """Done, what can be done now, and what waits."""
    states = {s.step.code: s.state for s in build.accepted().step_bar()}
    assert states == {
        StepCode.ACCEPTANCE: StepState.DONE,
        StepCode.INVESTIGATION: StepState.CURRENT,
        StepCode.MEANS_CHECK: StepState.CURRENT,
        StepCode.OPINION: StepState.WAITING,
        StepCode.PUBLICITY: StepState.WAITING,
        StepCode.DECISION: StepState.WAITING,
        StepCode.NOTIFICATION: StepState.WAITING,
    }


def test_facts_survive_storage() -> None:
    """Every fact of a life comes back from JSON as it was."""
    import msgspec

    case = build.decide(build.ready_to_decide())
    stored = [msgspec.to_builtins(fact, str_keys=True) for fact in case.facts]
    assert tuple(f.read_fact(each) for each in stored) == case.facts
