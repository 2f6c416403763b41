"""Five applications of the three kinds, from the window to the decision, by the calendar.

Two 低保 are granted (one after an objection that was not upheld) and one is refused; a disabled
person gets 重度护理补贴 after 残联's review; a family whose house burnt down is helped at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from stdnum import luhn
from stdnum.iso7064 import mod_11_2

from services.cli.demo.world import Desk, World, eventually
from services.contracts.commands import cases
from services.contracts.commands.registry import HouseholdView, NewMember, RegisterHousehold
from services.contracts.errors import NotFound

ACCEPTED_ON = date(2026, 9, 28)
INVESTIGATED_ON = date(2026, 9, 29)
POSTED_ON = date(2026, 9, 30)
OBJECTED_ON = date(2026, 10, 3)
DECIDED_ON = date(2026, 10, 9)


@dataclass(frozen=True)
class Applicant:
    """A made-up household and how its case will go. Money in fen."""

    head: str
    item: str
    members: tuple[tuple[str, str, date, bool], ...]
    benefits: tuple[str, ...] = ()
    route: str | None = None
    disability: str | None = None
    income_fen: int | None = None
    asked_fen: int | None = None
    circumstance: str = ""
    objection: str = ""
    refusal: str = ""
    phone: str | None = None


APPLICANTS = (
    Applicant(
        head="向长河",
        item="dibao",
        members=(
            ("向长河", "户主", date(1961, 3, 5), True),
            ("周腊梅", "配偶", date(1963, 8, 19), False),
        ),
        benefits=("rural_dibao",),
        income_fen=40_000,
        circumstance="夫妻二人年老体弱，承包地三亩，无其他收入",
        phone="13871650001",
    ),
    Applicant(
        head="汪水生",
        item="dibao",
        members=(
            ("汪水生", "户主", date(1958, 11, 2), True),
            ("汪小满", "孙", date(2013, 5, 21), True),
        ),
        benefits=("rural_dibao",),
        income_fen=30_000,
        circumstance="祖孙二人，儿子失联多年",
        objection="村民反映其儿子去年寄过钱",
        phone="13871650002",
    ),
    Applicant(
        head="涂家旺",
        item="dibao",
        members=(("涂家旺", "户主", date(1979, 1, 30), True),),
        benefits=("rural_dibao",),
        income_fen=450_000,
        circumstance="称无业，经查在镇上经营店面",
        refusal="人均收入高于低保标准，不符合《最低生活保障审核确认办法》第四条",
        phone="13871650003",
    ),
    Applicant(
        head="叶秀珍",
        item="disability_subsidies",
        members=(("叶秀珍", "户主", date(1970, 6, 14), False),),
        benefits=("disability_care",),
        disability="肢体一级",
    ),
    Applicant(
        head="邓春林",
        item="temporary_aid",
        members=(
            ("邓春林", "户主", date(1966, 9, 9), True),
            ("解凤英", "配偶", date(1968, 2, 11), False),
        ),
        route="urgent",
        asked_fen=180_000,
        circumstance="9月27日夜房屋失火，衣被粮食全部烧毁",
        phone="13871650005",
    ),
)


@dataclass
class Outcomes:
    """How the cases ended, by outcome."""

    cases: list[cases.CaseView] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        """How many were decided so."""
        return sum(case.outcome == outcome for case in self.cases)


def run(world: World) -> Outcomes:
    """Take in, investigate, publish and decide all five; the business date moves on."""
    clerk = world["town_clerk"]
    world.set_clock(ACCEPTED_ON)
    accepted = [(who, _accept(clerk, world.village, who)) for who in APPLICANTS]
    _help_at_once(world, accepted)
    world.set_clock(INVESTIGATED_ON)
    for who, case in _of(accepted, "dibao"):
        _investigate(world, who, case)
    for who, case in _of(accepted, "dibao", "disability_subsidies"):
        _opinion(world, who, case)
    world.set_clock(POSTED_ON)
    for who, case in _of(accepted, "dibao"):
        if not who.refusal:
            world["town_reviewer"].ask(cases.OpenPublicity(case_id=case.case_id))
    _review_certificates(world, accepted)
    world.set_clock(OBJECTED_ON)
    objected = [(who, case) for who, case in accepted if who.objection]
    for who, case in objected:
        clerk.ask(cases.RecordObjection(case_id=case.case_id, content=who.objection))
    world.set_clock(DECIDED_ON)
    for _, case in objected:
        _answer_objection(world, case)
    for who, case in _of(accepted, "dibao", "disability_subsidies"):
        _decide(world, who, case)
    ended = [clerk.ask(cases.ReadCase(case_id=case.case_id)) for _, case in accepted]
    return Outcomes(ended)


def _of(
    accepted: list[tuple[Applicant, cases.CaseView]], *items: str
) -> Iterator[tuple[Applicant, cases.CaseView]]:
    return (pair for pair in accepted if pair[0].item in items)


def _accept(clerk: Desk, village: str, who: Applicant) -> cases.CaseView:
    """The window: put the household on record, take the application with its papers."""
    household = clerk.ask(_registration(who, village))
    applicant = household.members[0].person_id
    eventually(f"{who.head}的档案到达案件服务", lambda: _known(clerk, household), patience_s=60)
    item = next(
        item for item in clerk.ask(cases.ListItems(division=village)) if item.code == who.item
    )
    application = cases.Application(
        item=who.item,
        applicant_id=applicant,
        route=who.route,
        benefits=who.benefits,
        asked_fen=who.asked_fen,
        materials=tuple(paper.code for paper in item.materials if not paper.shared),
        circumstance=who.circumstance,
    )
    return clerk.ask(cases.AcceptApplication(application=application))


def _known(clerk: Desk, household: HouseholdView) -> bool:
    try:
        found = clerk.ask(cases.ReadIntake(person_id=household.members[0].person_id))
    except NotFound:
        return False
    return found.members == len(household.members)


def _registration(who: Applicant, village: str) -> RegisterHousehold:
    members = []
    for number, (name, relation, born, male) in enumerate(who.members):
        is_head = number == 0
        members.append(
            NewMember(
                name=name,
                identity_number=identity_number(born, male=male),
                relation=relation,
                disability=who.disability if is_head else None,
                phone=who.phone if is_head else None,
                account_name=name if is_head else None,
                account_number=card_number(born) if is_head else None,
                bank="农商银行" if is_head else None,
            )
        )
    return RegisterHousehold(division=village, members=tuple(members))


def _help_at_once(world: World, accepted: list[tuple[Applicant, cases.CaseView]]) -> None:
    """急难型: the town decides and pays the same day; papers and signature follow."""
    for who, case in _of(accepted, "temporary_aid"):
        assert who.asked_fen is not None
        grants = (cases.Grant(benefit="temporary_aid", amount_fen=who.asked_fen),)
        world["town_decider"].ask(
            cases.Decide(
                case_id=case.case_id, outcome="granted", grants=grants, reason=who.circumstance
            )
        )


def _review_certificates(world: World, accepted: list[tuple[Applicant, cases.CaseView]]) -> None:
    """残联 looks at the disability certificates."""
    for _, case in _of(accepted, "disability_subsidies"):
        world["federation"].ask(
            cases.FederationReview(case_id=case.case_id, passed=True, note="残疾人证在有效期内")
        )


def _answer_objection(world: World, case: cases.CaseView) -> None:
    """The objection was looked into and does not hold."""
    world["town_reviewer"].ask(
        cases.ResolveObjection(
            case_id=case.case_id,
            number=1,
            upheld=False,
            finding="经核查汇款记录，近三年无汇款，异议不成立",
        )
    )


def _investigate(world: World, who: Applicant, case: cases.CaseView) -> None:
    both = (world["village_officer"].staff_id, world["town_reviewer"].staff_id)
    world["town_reviewer"].ask(
        cases.RecordInvestigation(
            case_id=case.case_id,
            investigators=both,
            signed_by=both,
            household_signed=True,
            finding=who.circumstance,
            income_fen=who.income_fen,
        )
    )
    world["county_decider"].ask(
        cases.RecordMeansCheck(
            case_id=case.case_id,
            report_no=f"HD{INVESTIGATED_ON:%Y%m%d}-{case.case_no[-4:]}",
            consistent=True,
            income_fen=who.income_fen,
        )
    )


def _opinion(world: World, who: Applicant, case: cases.CaseView) -> None:
    """初审, once funding has answered with the amount and its working."""
    reviewer = world["town_reviewer"]
    eventually(
        f"{who.head}的测算结果",
        lambda: reviewer.ask(cases.ReadCase(case_id=case.case_id)).quote,
        patience_s=60,
    )
    reviewer.ask(
        cases.GiveOpinion(
            case_id=case.case_id, favourable=not who.refusal, reason=who.refusal or "情况属实"
        )
    )


def _decide(world: World, who: Applicant, case: cases.CaseView) -> None:
    decider = world["town_decider" if who.item == "dibao" else "county_decider"]
    outcome: Literal["granted", "refused"] = "refused" if who.refusal else "granted"
    decided = decider.ask(cases.Decide(case_id=case.case_id, outcome=outcome, reason=who.refusal))
    letter = next(letter for letter in decided.letters if outcome in letter.code)
    printed = decider.ask(cases.RenderDocument(case_id=case.case_id, letter=letter.code))
    decider.download("cases", printed.file_id, world.folder)
    world["town_clerk"].ask(cases.ServeDecision(case_id=case.case_id, way="上门送达"))


def identity_number(born: date, *, male: bool) -> str:
    """A valid number of Honghu for somebody who does not exist."""
    body = f"421083{born:%Y%m%d}9{born.day % 10}{1 if male else 2}"
    return body + str(mod_11_2.calc_check_digit(body))


def card_number(born: date) -> str:
    """A card number that passes Luhn."""
    body = f"621799{born:%Y%m%d}0000"
    return body + str(luhn.calc_check_digit(body))
