"""Every resident is reached: by phone if he has one, else by the hand of the officer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.message import Channel, Reason
from services.notify.domain.routing import (
    MailForm,
    Officer,
    Resident,
    Route,
    masked,
    mobile,
    to_officer,
    to_resident,
)

FORM = MailForm("{number}@sms.example.cn")
mobiles = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)


@pytest.mark.parametrize(
    "written",
    ["13800138000", "138 0013 8000", "138-0013-8000", "+86 13800138000", "008613800138000"],
)
def test_a_mobile_number_is_read_however_it_is_written(written: str) -> None:
    """Spaces, dashes and the country code do not keep a message from its reader."""
    assert mobile(written) == "13800138000"


@pytest.mark.parametrize(
    "written",
    [None, "", "0716-2422345", "12345", "1380013800", "138001380000", "无", "12800138000"],
)
def test_what_cannot_receive_a_text_message_gets_a_letter(written: str | None) -> None:
    """No phone, a landline or a wrong number: the officer's letter list."""
    assert to_resident(Resident(written), FORM) == Route(Channel.LETTER)


@given(mobiles)
def test_a_phone_is_addressed_through_the_gateways_mail_form(number: str) -> None:
    """The mail form is data; the number stands in it as 11 digits."""
    assert to_resident(Resident(number), FORM) == Route(Channel.SMS, f"{number}@sms.example.cn")


@given(mobiles)
def test_nobody_writes_to_the_number_of_a_dead_person(number: str) -> None:
    """What concerns a dead person reaches the family by the officer."""
    assert to_resident(Resident(number, deceased=True), FORM) == Route(Channel.LETTER)


def test_staff_are_reached_by_mail_then_by_phone_or_listed() -> None:
    """An officer whom nobody can reach is a task, not a silence."""
    assert to_officer(Officer("13800138000", "liu@honghu.example"), FORM) == Route(
        Channel.MAIL, "liu@honghu.example"
    )
    assert to_officer(Officer("13800138000", "a@b\nBcc: x@y"), FORM) == Route(
        Channel.SMS, "13800138000@sms.example.cn"
    )
    assert to_officer(Officer(None), FORM) is Reason.NO_CONTACT


@given(st.text())
def test_a_masked_number_shows_four_digits_at_most(phone: str) -> None:
    """Whatever was typed into the phone field, no more than the last four digits are shown."""
    assert sum(character.isdigit() for character in masked(phone)) <= 4
