"""Whatever anyone tries in whatever order: no grant without what the law demands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.cases.domain import facts as f
from services.cases.domain import inquiry, intake, judgment, posting
from services.cases.domain.case import FINAL, Case, State
from services.contracts.actors import Actor, Role
from services.contracts.errors import ZhidaError
from tests.builders import cases as build

ALL = tuple(Role)
PEOPLE = [build.staff(number, *ALL) for number in (1, 2, 3, 11, 12)] + [
    build.DECIDER,
    build.COUNTY,
    build.staff(9, Role.TOWN_DECIDER, division="421083999"),
]
KIN = f.Kinship(staff_id=UUID(int=2), relation="配偶")

Act = Callable[[Case, Actor, date], Case]


def grants_of(case: Case, fen: int) -> list[f.Grant]:
    return [f.Grant(benefit=case.asked[0].benefit, amount_fen=fen)] if fen else []


def decide(outcome: f.Outcome, fen: int) -> Act:
    return lambda case, who, on: judgment.decide(
        case,
        who,
        on,
        build.CALENDAR,
        decision_id=UUID(int=5),
        document_no="1号",
        outcome=outcome,
        grants=grants_of(case, fen),
        reason="理由",
        late_reason="原因",
    )


def investigate(case: Case, who: Actor, on: date) -> Case:
    pair = [UUID(int=11), UUID(int=12)]
    return inquiry.investigate(
        case,
        who,
        on,
        investigators=pair,
        signed_by=pair,
        household_signed=True,
        finding="属实",
        income_fen=0,
    )


def check(consistent: bool) -> Act:
    return lambda case, who, on: inquiry.check_means(
        case, who, on, report_no="1", consistent=consistent, finding="不符", income_fen=1
    )


def opinion(favourable: bool, fen: int) -> Act:
    return lambda case, who, on: inquiry.give_opinion(
        case, who, on, favourable=favourable, reason="理由", grants=grants_of(case, fen)
    )


def answer(upheld: bool) -> Act:
    return lambda case, who, on: posting.answer_objection(
        case, who, on, 1, upheld=upheld, finding="已查"
    )


ACTS: dict[str, Act] = {
    "accept": intake.accept,
    "tell missing": intake.tell_missing,
    "supply": lambda case, who, on: intake.supply(
        case, who, on, [m.code for m in case.item.materials]
    ),
    "investigate": investigate,
    "check": check(True),
    "check, does not fit": check(False),
    "quote": lambda case, _who, _on: build.quoted(case),
    "quote, excluded": lambda case, _who, _on: build.quoted(
        case, obstacle=build.exclusion(case.asked[0].benefit)
    ),
    "opinion for": opinion(True, 0),
    "opinion for a sum": opinion(True, 90_000),
    "opinion against": opinion(False, 0),
    "hang": lambda case, who, on: posting.open_publicity(case, who, on, UUID(int=1)),
    "take down": posting.end_publicity,
    "object": lambda case, who, on: posting.raise_objection(case, who, on, "异议"),
    "complain": lambda case, who, on: posting.raise_objection(
        case, who, on, "举报", complaint=True
    ),
    "dismiss": answer(False),
    "uphold": answer(True),
    "county visit": lambda case, who, on: inquiry.county_visit(
        case, who, on, [UUID(int=21), UUID(int=22)], "属实"
    ),
    "federation": lambda case, who, on: inquiry.review_certificate(case, who, on, passed=True),
    "federation says no": lambda case, who, on: inquiry.review_certificate(
        case, who, on, passed=False, note="过期"
    ),
    "extend": lambda case, who, on: inquiry.extend(
        case, who, on, f.ExtensionGround.OBJECTION, "异议", build.CALENDAR
    ),
    "grant": decide(f.Outcome.GRANTED, 0),
    "grant a sum": decide(f.Outcome.GRANTED, 90_000),
    "refuse": decide(f.Outcome.REFUSED, 0),
    "withdraw": lambda case, who, on: intake.end(
        case, who, on, f.EndGround.WITHDRAWN, "申请人撤回"
    ),
    "papers": lambda case, who, on: judgment.complete_papers(
        case,
        who,
        on,
        materials=[m.code for m in case.item.materials],
        finding="属实",
        signed=True,
    ),
    "tell": lambda case, who, on: judgment.tell(case, who, on, "直接送达"),
}

# Long random walks rarely reach a grant, so a walk follows the usual way and strays from it.
USUAL = [
    "accept", "investigate", "check", "quote", "opinion for", "opinion for a sum", "federation",
    "hang", "take down", "county visit", "grant", "grant a sum", "papers", "tell",
]  # fmt: skip
CONTESTED = [
    "accept", "investigate", "check", "quote", "opinion for", "opinion for a sum", "hang", "object",
    "take down", "uphold", "grant", "investigate", "quote", "grant", "opinion for",
    "opinion for a sum", "county visit", "grant", "grant a sum", "tell",
]  # fmt: skip
WAYS = st.sampled_from([USUAL, CONTESTED])

STARTS = st.sampled_from(
    [
        build.registered(),
        build.registered(materials=("application_form",)),
        build.registered(relatives=(KIN,)),
        build.registered(minor=True),
        build.registered(division="421003100001"),
        build.registered("disability_subsidies"),
        build.registered("temporary_aid", route="urgent", materials=()),
        build.registered("temporary_aid", route="expenditure"),
    ]
)
STRAYS = st.lists(
    st.tuples(
        st.integers(0, len(CONTESTED)),
        st.sampled_from(sorted(ACTS)),
        st.sampled_from(PEOPLE),
        st.integers(0, 9),
    ),
    max_size=12,
)


def walk(start: Case, way: list[str], strays: list[tuple[int, str, Actor, int]]) -> list[Case]:
    """Every case along the way; refused acts leave it as it was."""
    usual = {
        "grant": build.staff(31, *ALL), "opinion for": build.staff(32, *ALL),
        "grant a sum": build.staff(31, *ALL), "opinion for a sum": build.staff(32, *ALL),
    }  # fmt: skip
    plan: list[tuple[str, Actor, int]] = []
    for place, name in enumerate([*way, ""]):
        plan += [(act, who, days) for at, act, who, days in strays if at == place]
        if name:
            who = usual.get(name, build.staff(1, *ALL, division="42"))
            plan.append((name, who, 8 if name == "take down" else 0))
    case, on = start, build.MONDAY
    seen = [case]
    for name, who, days in plan:
        on += timedelta(days=days)
        try:
            after = ACTS[name](case, who, on)
        except ZhidaError:
            after = case
        assert after.facts[: len(case.facts)] == case.facts, "facts are only ever added"
        case = after
        seen.append(case)
    return seen


def last_place(facts: tuple[f.AnyFact, ...], kind: type[f.Fact]) -> int:
    return max((n for n, fact in enumerate(facts) if isinstance(fact, kind)), default=-1)


def assert_lawful(case: Case, place: int) -> None:
    """The law read straight off the facts before the decision at ``place``."""
    before = case.facts[:place]
    decided = case.facts[place]
    assert isinstance(decided, f.Decided)
    assert decided.on >= before[0].on
    kinds = {type(fact) for fact in before}
    assert f.Accepted in kinds
    assert decided.by not in {
        fact.by for fact in before if isinstance(fact, f.Accepted | f.Registered)
    }
    investigated = [fact for fact in before if isinstance(fact, f.Investigated)]
    assert all(decided.by not in map(str, fact.investigators) for fact in investigated)
    if decided.outcome is not f.Outcome.GRANTED:
        assert decided.reason
        return
    assert decided.grants
    assert all(grant.amount_fen > 0 for grant in decided.grants)
    if case.item.code == "disability_subsidies":
        reviews = [fact for fact in before if isinstance(fact, f.FederationReviewed)]
        assert reviews[-1].passed
    elif not case.route.urgent:
        assert all(len(set(fact.investigators)) >= 2 for fact in investigated)
        upheld = max(
            (
                n
                for n, fact in enumerate(before)
                if isinstance(fact, f.ObjectionResolved) and fact.upheld
            ),
            default=-1,
        )
        found = last_place(before, f.Investigated)
        assert found > upheld
        assert last_place(before, f.OpinionGiven) > max(found, last_place(before, f.MeansChecked))
        checks = [fact for fact in before if isinstance(fact, f.MeansChecked)]
        assert checks[-1].consistent
        if not case.minor:
            hung = [fact for fact in before if isinstance(fact, f.PublicityOpened)]
            down = [fact for fact in before if isinstance(fact, f.PublicityEnded)]
            assert len(hung) == len(down) >= 1
            assert all((b.on - a.on).days > 7 for a, b in zip(hung, down, strict=True))
    if not case.route.urgent:
        opinions = [fact for fact in before if isinstance(fact, f.OpinionGiven)]
        assert opinions[-1].favourable
    if case.route.amount == "quote":
        asked = [fact.round for fact in before if isinstance(fact, f.AssessmentAsked)]
        quotes = [fact for fact in before if isinstance(fact, f.Quoted)]
        assert quotes[-1].round == asked[-1]
        assert not any(o.blocking for o in quotes[-1].obstacles)
        assert {g.amount_fen for g in decided.grants} == {b.amount_fen for b in quotes[-1].benefits}
    raised = {fact.number for fact in before if isinstance(fact, f.ObjectionRaised)}
    answered = {fact.number for fact in before if isinstance(fact, f.ObjectionResolved)}
    assert raised == answered
    complained = any(isinstance(fact, f.ObjectionRaised) and fact.complaint for fact in before)
    if (case.relatives or complained) and investigated:
        assert f.CountyVisited in kinds
    assert decided.by not in {str(kin.staff_id) for kin in case.relatives}
    if not case.route.urgent:
        assert not case.item.missing(case.materials, strict=True)


@settings(max_examples=400, deadline=None)
@given(STARTS, WAYS, STRAYS)
def test_no_path_reaches_a_grant_without_what_the_law_demands(
    start: Case, way: list[str], strays: list[tuple[int, str, Actor, int]]
) -> None:
    """Facts only grow, one decision at most, and each decision is lawful read off the facts."""
    case = walk(start, way, strays)[-1]
    decisions = [n for n, fact in enumerate(case.facts) if isinstance(fact, f.Decided)]
    assert len(decisions) <= 1
    for place in decisions:
        assert_lawful(case, place)


@settings(max_examples=150, deadline=None)
@given(STARTS, WAYS, STRAYS)
def test_a_case_always_says_where_it_stands(
    start: Case, way: list[str], strays: list[tuple[int, str, Actor, int]]
) -> None:
    """A final case has no open step; any other has one, waits for papers, or for its notice."""
    for case in walk(start, way, strays):
        if case.state in FINAL:
            assert case.current == ()
        elif case.state is not State.SUPPLEMENTING:
            assert case.current
        due = case.due(build.CALENDAR, date(2026, 12, 1))
        assert (due is None) == (case.accepted_on is None)


def test_the_usual_way_reaches_a_grant_for_every_item() -> None:
    """The walks above do decide: without strays each kind of case is granted."""
    for start in (
        build.registered(),
        build.registered(relatives=(KIN,)),
        build.registered("disability_subsidies"),
        build.registered("temporary_aid", route="urgent", materials=()),
        build.registered("temporary_aid", route="expenditure"),
    ):
        assert walk(start, USUAL, [])[-1].outcome is f.Outcome.GRANTED, start.item.code
