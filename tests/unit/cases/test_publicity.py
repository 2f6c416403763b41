"""(4): a notice with an identity number, address or illness cannot be made at all."""

from __future__ import annotations

import dataclasses
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.domain import posting
from services.cases.domain.publicity import WHITELIST, Notice, NotPublishable, notice, shown_name
from services.contracts.errors import Conflict, Invalid
from tests.builders import cases as build

HUNG = posting.open_publicity(
    build.favoured(build.quoted(build.checked(build.investigated(build.accepted())))),
    build.CLERK,
    build.MONDAY,
    UUID(int=1),
)


def test_a_notice_has_the_whitelist_and_its_days_and_no_other_field() -> None:
    """The type itself has no place for anything else."""
    fields = {field.name for field in dataclasses.fields(Notice)}
    assert fields == WHITELIST | {"opens_on", "closes_on"}


def test_the_notice_of_a_case() -> None:
    """Name, members, amount of the opinion, seven days."""
    made = notice(HUNG, applicant_name="陈桂兰", members=3, opens_on=build.MONDAY)
    assert made == Notice("陈桂兰", 3, 66_000, build.MONDAY, date(2026, 10, 5))


@pytest.mark.parametrize(
    "name",
    [
        "陈桂兰421083195001011234",
        "陈桂兰 13800138000",
        "６２２２０２",
        "陈桂兰肺癌",
        "新堤镇文泉村三组",
        "陈桂兰（残疾）",
        "",
        "陈桂兰,尿毒症",
    ],
)
def test_nothing_but_a_name_stands_in_the_name(name: str) -> None:
    """Identity number, phone, account, illness, address in the name field: refused."""
    with pytest.raises(Invalid, match="只能写申请人姓名"):
        notice(HUNG, applicant_name=name, members=3, opens_on=build.MONDAY)


@given(st.text(max_size=40).filter(lambda text: any(c.isdigit() for c in text)))
def test_no_text_with_a_digit_is_a_name(text: str) -> None:
    """No number in any script gets onto a notice."""
    with pytest.raises(Invalid):
        shown_name(text)


@pytest.mark.parametrize(
    "name", ["陈桂兰", "刘〇", "欧阳娜娜", "䶮𬱖", "买买提·艾山", "阿不都热合曼·吐尔逊"]
)
def test_real_names_are_shown(name: str) -> None:
    """Compound surnames, rare characters and Uyghur names pass."""
    assert shown_name(name) == name


def test_children_and_urgent_aid_are_not_publicised() -> None:
    """A minor's case skips the step and makes no notice; urgent aid has none either."""
    minor = dataclasses.replace(HUNG, minor=True)
    with pytest.raises(NotPublishable, match="未成年人"):
        notice(minor, applicant_name="陈桂兰", members=1, opens_on=build.MONDAY)
    case = build.favoured(
        build.quoted(build.checked(build.investigated(build.accepted(minor=True))))
    )
    with pytest.raises(Conflict, match="不需要公示"):
        posting.open_publicity(case, build.CLERK, build.MONDAY, UUID(int=1))
    urgent = build.accepted("temporary_aid", route="urgent", materials=())
    with pytest.raises(NotPublishable):
        notice(urgent, applicant_name="陈桂兰", members=1, opens_on=build.MONDAY)
