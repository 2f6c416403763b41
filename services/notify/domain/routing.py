"""Which way a message takes to its reader.

A resident with a mobile number gets a text message through the SMS gateway's mail form; one without
gets a letter by the hand of the responsible officer, and so does the family of one who has died.
Staff are written to by mail if they gave an address, else by text message.
"""

import re
from dataclasses import dataclass

from services.notify.domain.message import Channel, Reason

MOBILE = re.compile(r"1[3-9]\d{9}")
PREFIX = re.compile(r"^(?:\+|00)?86(?=1)")
SEPARATORS = re.compile(r"[\s\-‐-―()（）]")
MAIL = re.compile(r"[^@\s<>,;:\"]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True)
class MailForm:
    """How the SMS gateway is addressed by mail, e.g. `{number}@sms.example.cn`."""

    pattern: str

    def address(self, number: str) -> str:
        """The gateway's mail address for a mobile number of 11 digits."""
        return self.pattern.format(number=number)


@dataclass(frozen=True)
class Resident:
    """What routing knows about a resident; the phone is as registered, in clear."""

    phone: str | None
    deceased: bool = False


@dataclass(frozen=True)
class Officer:
    """What routing knows about a member of staff."""

    phone: str | None
    mail: str | None = None


@dataclass(frozen=True)
class Route:
    """The channel, and the address where the channel has one."""

    channel: Channel
    address: str | None = None


def mobile(phone: str | None) -> str | None:
    """The number as 11 digits if it is a mainland mobile number, else None.

    A landline is a telephone but cannot be sent a text message.
    """
    digits = PREFIX.sub("", SEPARATORS.sub("", phone or ""))
    return digits if MOBILE.fullmatch(digits) else None


def to_resident(resident: Resident, form: MailForm) -> Route:
    """The way to a resident: there always is one."""
    number = None if resident.deceased else mobile(resident.phone)
    if number is None:
        return Route(Channel.LETTER)
    return Route(Channel.SMS, form.address(number))


def to_earlier_number(phone: str | None, form: MailForm) -> Route | Reason:
    """The way to a number that has been replaced; without one there is no other way to it."""
    number = mobile(phone)
    return Route(Channel.SMS, form.address(number)) if number else Reason.NO_CONTACT


def to_officer(officer: Officer, form: MailForm) -> Route | Reason:
    """The way to a member of staff, or why there is none."""
    if officer.mail and MAIL.fullmatch(officer.mail):
        return Route(Channel.MAIL, officer.mail)
    number = mobile(officer.phone)
    if number is None:
        return Reason.NO_CONTACT
    return Route(Channel.SMS, form.address(number))


def masked(phone: str | None) -> str:
    """The last four digits, the only part of a number that is ever shown."""
    digits = re.sub(r"\D", "", phone or "")
    return f"****{digits[-4:]}" if len(digits) >= 7 else ""
