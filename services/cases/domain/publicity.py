"""公示: a notice is made from a whitelist of typed fields; anything else has no place to stand.

《最低生活保障审核确认办法》第二十四条: the applicant's name, the number of family members, the
amount, and nothing unrelated. A child is never named, an urgent aid never publicised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from services.cases.domain.case import Case
from services.cases.domain.catalogue import Publicity
from services.contracts.errors import Conflict, Invalid
from services.contracts.money import Fen

WHITELIST = frozenset({"applicant_name", "members", "amount_fen"})

_HAN = r"[〇㐀-鿿豈-﫿\U00020000-\U000323af]+"
_NAME = re.compile(rf"{_HAN}(·{_HAN})*")
_LONGEST_NAME = 30
_ADDRESS_OR_ILLNESS = re.compile(
    r"[省市县区镇乡].+[组路号栋室村街]|癌|瘤|病|症|残疾|手术|住院|透析"
)


class NotPublishable(Conflict):
    """The case is not one that may be publicised."""


@dataclass(frozen=True)
class Notice:
    """All that a notice can show. ``amount_fen`` is a month's amount or the one-off sum."""

    applicant_name: str
    members: int
    amount_fen: Fen
    opens_on: date
    closes_on: date

    def __post_init__(self) -> None:
        shown_name(self.applicant_name)
        if self.members < 1:
            raise Invalid("家庭人数应不少于一人", field="members", advice="请核对家庭成员")
        if self.amount_fen <= 0:
            raise Invalid("公示金额应大于零", field="amount_fen", advice="请核对测算金额")
        if self.closes_on < self.opens_on:
            raise Invalid("公示结束早于开始", field="closes_on", advice="请核对公示日期")


def shown_name(name: str) -> str:
    """A person's name and nothing but a name: no digits, address or illness can hide in it."""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or _ADDRESS_OR_ILLNESS.search(name):
        raise Invalid(
            "公示只能写申请人姓名，不能含证件号码、电话、账号、住址或病情",
            field="applicant_name",
            advice="请在人员档案中更正姓名后再公示",
            reason="not_a_name",
        )
    return name


def check_whitelist(item: str, publicity: Publicity | None) -> None:
    """A catalogue item may show fewer fields than the law allows, never another one."""
    if publicity and (outside := set(publicity.fields) - WHITELIST):
        raise ValueError(f"{item}: publicity may not show {', '.join(sorted(outside))}")


def notice(case: Case, *, applicant_name: str, members: int, opens_on: date) -> Notice:
    """The notice of the case as it now stands; its days end with ``closes_on``, inclusive.

    Refused for an item without publicity, a child's item, a minor, or an urgent aid.
    """
    if not case.publicised:
        raise NotPublishable(
            f"“{case.item.name}”（{case.route.name}）不公示"
            if not case.minor and not case.item.child
            else "涉及未成年人，不公示",
            field="case_id",
            advice="请办理步骤条上的下一环节",
            reason="not_publicised",
        )
    opened = case.open_notice
    if opened is None:
        raise Conflict("没有正在进行的公示", field="case_id", reason="no_notice")
    return Notice(
        applicant_name=applicant_name,
        members=members,
        amount_fen=sum(grant.amount_fen for grant in case.opinion.grants) if case.opinion else 0,
        opens_on=opens_on,
        closes_on=opened.until,
    )
