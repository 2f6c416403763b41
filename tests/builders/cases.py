"""Builders for cases: keyword-only, everything defaulted, set only what a test is about."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import chinese_calendar

from services.cases import catalogue
from services.cases.domain import facts as f
from services.cases.domain import inquiry, intake, judgment, posting
from services.cases.domain.calendar import Calendar
from services.cases.domain.case import Case
from services.cases.domain.deadlines import limit_ends
from services.contracts.actors import Actor, Role
from services.contracts.events.funding import Obstacle, QuotedBenefit

MONDAY = date(2026, 9, 28)
TOWN = "421083108"
VILLAGE = "421083108007"
PERSON = UUID(int=0x700)


def staff(number: int, *roles: Role, division: str = TOWN, name: str = "") -> Actor:
    """A member of staff; ``number`` makes the id."""
    return Actor(
        id=str(UUID(int=number)), name=name or f"职员{number}", roles=roles, divisions=(division,)
    )


CLERK = staff(1, Role.TOWN_CLERK)
REVIEWER = staff(2, Role.TOWN_REVIEWER)
DECIDER = staff(3, Role.TOWN_DECIDER)
COUNTY = staff(4, Role.COUNTY_DECIDER, division="421083")
FEDERATION = staff(5, Role.FEDERATION_REVIEWER, division="421083")
INVESTIGATORS = (UUID(int=11), UUID(int=12))
SYSTEM = Actor(id="system:cases", name="系统", roles=(Role.SERVICE,), divisions=("",))


def published_calendar() -> Calendar:
    """The notices of 2004–2026 as chinesecalendar has them, and the statutory days after."""
    exceptions = dict.fromkeys(chinese_calendar.holidays, False)
    exceptions |= dict.fromkeys(chinese_calendar.workdays, True)
    return Calendar(exceptions, frozenset(range(2004, 2027)), catalogue.statutory_days())


CALENDAR = published_calendar()


def working_days_after(start: date, days: int) -> date:
    """The ``days``-th working day after ``start``."""
    return limit_ends(CALENDAR, start, days, (), start).day


def registered(
    item: str = "dibao",
    *,
    route: str | None = None,
    benefit: str | None = None,
    materials: tuple[str, ...] | None = None,
    relatives: tuple[f.Kinship, ...] = (),
    division: str = VILLAGE,
    on: date = MONDAY,
    by: Actor = CLERK,
    minor: bool = False,
) -> Case:
    """An application at the window, with all papers unless told otherwise."""
    of = catalogue.item(item)
    taken = catalogue.route(of, route)
    if materials is None:
        materials = tuple(m.code for m in of.materials if m.required and not m.shared)
    fact = f.Registered(
        on=on,
        by=by.id,
        by_name=by.name,
        asked=(f.Asked(benefit=benefit or of.benefits[0], covered=(PERSON,)),),
        materials=materials,
        relatives=relatives,
        circumstance="房屋失火" if taken.urgent else "",
    )
    rule = catalogue.policies().rule(of.code, taken.code, division, on)
    return Case(of, taken, rule, division, (fact,), minor)


def accepted(item: str = "dibao", **how: object) -> Case:
    """An application taken up on the same day."""
    case = registered(item, **how)  # type: ignore[arg-type]
    return intake.accept(case, CLERK, case.facts[0].on)


def investigated(case: Case, *, on: date = MONDAY, income_fen: int = 80_000) -> Case:
    """Two investigators, all signatures."""
    return inquiry.investigate(
        case,
        CLERK,
        on,
        investigators=INVESTIGATORS,
        signed_by=INVESTIGATORS,
        household_signed=True,
        finding="入户核实，情况属实",
        income_fen=income_fen,
    )


def checked(case: Case, *, on: date = MONDAY, consistent: bool = True) -> Case:
    """The report of the check."""
    return inquiry.check_means(
        case,
        CLERK,
        on,
        report_no="HD2026001",
        consistent=consistent,
        finding="" if consistent else "名下车辆未申报",
    )


def quoted(case: Case, *, fen: int = 66_000, obstacle: Obstacle | None = None) -> Case:
    """Funding asked and answering."""
    asked = inquiry.ask_assessment(case, SYSTEM, MONDAY)
    question = asked.last(f.AssessmentAsked)
    assert question is not None
    benefits = tuple(
        QuotedBenefit(
            benefit=each.benefit, amount_fen=fen, one_off=False, policy_id="p", working=()
        )
        for each in case.asked
    )
    answer = f.Quoted(
        on=MONDAY,
        by="system:funding",
        round=question.round,
        quote_id=UUID(int=99),
        benefits=benefits,
        obstacles=(obstacle,) if obstacle else (),
    )
    return asked.plus(answer)


def exclusion(benefit: str = "disability_living", other: str = "de_facto_orphan") -> Obstacle:
    """A blocking exclusion with its clause."""
    return Obstacle(
        benefit=benefit,
        person_id=PERSON,
        other_benefit=other,
        clause="民发〔2019〕62号三（一）",
        blocking=True,
        message="已享受事实无人抚养儿童补贴",
    )


def favoured(case: Case, *, on: date = MONDAY) -> Case:
    """A favourable opinion of what the quote allows."""
    grants = ()
    if case.route.amount == "decision":
        grants = (f.Grant(benefit=case.asked[0].benefit, amount_fen=100_000),)
    return inquiry.give_opinion(case, REVIEWER, on, favourable=True, grants=grants)


def publicised(case: Case, *, on: date = MONDAY) -> Case:
    """A notice that hung its days and came down the day after."""
    hung = posting.open_publicity(case, CLERK, on, UUID(int=77))
    notice = hung.open_notice
    assert notice is not None
    return posting.end_publicity(hung, SYSTEM, date.fromordinal(notice.until.toordinal() + 1))


def ready_to_decide(item: str = "dibao", **how: object) -> Case:
    """A 低保 case with every step before the decision done."""
    case = checked(investigated(accepted(item, **how)))
    if case.route.amount == "quote":
        case = quoted(case)
    return publicised(favoured(case)) if case.publicised else favoured(case)


def decide(
    case: Case,
    by: Actor = DECIDER,
    *,
    on: date = date(2026, 10, 9),
    outcome: f.Outcome = f.Outcome.GRANTED,
    fen: int | None = None,
    reason: str = "",
    late_reason: str = "",
) -> Case:
    """A decision, on what the quote says unless ``fen`` is given."""
    grants = () if fen is None else (f.Grant(benefit=case.asked[0].benefit, amount_fen=fen),)
    return judgment.decide(
        case,
        by,
        on,
        CALENDAR,
        decision_id=UUID(int=500),
        document_no="洪民保〔2026〕1号",
        outcome=outcome,
        grants=grants,
        reason=reason,
        late_reason=late_reason,
    )
