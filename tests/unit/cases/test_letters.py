"""文书: what stands in them, and that they become PDFs that read as written."""

from __future__ import annotations

import io

import pytest
from pypdf import PdfReader

from services.cases import catalogue
from services.cases.documents.letters import TITLES, Letter, Names, available, capital, compose
from services.cases.documents.typesetting import typeset
from services.cases.domain import facts as f
from services.cases.domain import inquiry, intake
from services.cases.domain.case import Case
from services.contracts.errors import Conflict
from tests.builders import cases as build

NAMES = Names(
    case_no="421083-2026-000001",
    applicant="陈桂䶮",
    first_officer="王芳（新堤街道）",
    town_agency="洪湖市新堤街道办事处",
    deciding_agency="洪湖市新堤街道办事处",
)


def text_of(letter: Letter, case: Case) -> str:
    """The words of the letter's PDF, without line breaks."""
    data = compose(letter, case, NAMES, catalogue.benefits(), build.CALENDAR)
    pages = PdfReader(io.BytesIO(typeset(letter, data))).pages
    return "".join(page.extract_text() for page in pages).replace("\n", "").replace(" ", "")


def test_the_acceptance_notice_names_number_limit_and_officer() -> None:
    """受理通知书: number, the last day, the first officer, and rare characters are there."""
    text = text_of(Letter.ACCEPTANCE, build.accepted())
    for said in (
        "受理通知书",
        "421083-2026-000001",
        "2026年10月30日",
        "陈桂䶮",
        "王芳",
        "20个工作日",
    ):
        assert said in text


def test_an_urgent_acceptance_does_not_claim_papers() -> None:
    """急难型: taken up for urgency, the papers follow."""
    text = text_of(Letter.ACCEPTANCE, build.accepted("temporary_aid", route="urgent", materials=()))
    assert "情况紧急" in text
    assert "材料齐全" not in text


def test_the_one_notice_lists_everything_missing() -> None:
    """一次性告知书: every missing paper, nothing the state already holds."""
    case = build.registered(materials=("application_form",))
    text = text_of(Letter.MISSING_MATERIAL, intake.tell_missing(case, build.CLERK, build.MONDAY))
    assert "家庭经济状况核对授权书" in text
    assert "诚信承诺书" in text
    assert "户口簿" not in text


def test_a_grant_is_written_in_capitals_and_from_which_month() -> None:
    """审核确认通知书: amount, 大写, and the month after the decision."""
    text = text_of(Letter.GRANTED, build.decide(build.ready_to_decide()))
    for said in ("审核确认通知书", "660.00", "陆佰陆拾元", "自决定的下月起", "洪民保〔2026〕1号"):
        assert said in text


def test_a_refusal_says_why_and_by_which_clause() -> None:
    """不予确认通知书: reason, clause, and where to appeal."""
    case = build.quoted(build.accepted("disability_subsidies"), obstacle=build.exclusion())
    refused = build.decide(
        case, build.COUNTY, outcome=f.Outcome.REFUSED, reason="已享受事实无人抚养儿童补贴"
    )
    text = text_of(Letter.REFUSED, refused)
    for said in ("不予确认通知书", "已享受事实无人抚养儿童补贴", "民发〔2019〕62号", "行政复议"):
        assert said in text


def test_what_a_person_typed_cannot_become_markup() -> None:
    """Typst source in a reason is printed as it was typed."""
    case = inquiry.give_opinion(
        build.quoted(build.accepted("disability_subsidies")),
        build.REVIEWER,
        build.MONDAY,
        favourable=False,
        reason="不符合",
    )
    refused = build.decide(
        case, build.COUNTY, outcome=f.Outcome.REFUSED, reason='#read("/etc/passwd") *粗*'
    )
    text = text_of(Letter.REFUSED, refused)
    assert '#read("/etc/passwd")*粗*' in text


def test_a_letter_that_is_not_due_yet_is_refused() -> None:
    """No grant notice for an undecided case; the refusal names the letter."""
    case = build.accepted()
    assert available(case) == (Letter.ACCEPTANCE,)
    with pytest.raises(Conflict, match=TITLES[Letter.GRANTED]):
        compose(Letter.GRANTED, case, NAMES, catalogue.benefits(), build.CALENDAR)


@pytest.mark.parametrize(
    ("fen", "words"),
    [
        (66050, "陆佰陆拾元伍角"),
        (12345678, "壹拾贰万叁仟肆佰伍拾陆元柒角捌分"),
        (100000, "壹仟元"),
        (5, "伍分"),
        (100001, "壹仟元零壹分"),
    ],
)
def test_capital_amounts(fen: int, words: str) -> None:
    """大写金额 golden cases; cn2an ends whole yuan with 整."""
    assert capital(fen).removesuffix("整") == words


def test_whole_yuan_end_with_zheng() -> None:
    """票据 writes 整 after whole yuan and after 角."""
    assert capital(100000) == "壹仟元整"
