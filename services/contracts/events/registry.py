"""What registry says: divisions, staff, people, households, accounts, life events, carry-over."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import msgspec

from services.contracts.actors import Role
from services.contracts.events.base import Audience, AuditAnchored, Event, Privacy, Sealed, event


@event(
    "division.registered.v1",
    audience=Audience.BUREAUS,
    privacy=Privacy.OPEN,
    subject="division",
    facet="division",
)
class DivisionRegistered(Event, frozen=True, kw_only=True):
    """区划登记：县、镇、村的代码与名称。"""

    division: str
    name: str
    parent: str | None
    valid_from: date
    valid_to: date | None = None
    epoch: int = 0
    version: int = 1


@event("staff.appointed.v1", audience=Audience.INTERNAL, subject="staff_id", facet="staff")
class StaffAppointed(Event, frozen=True, kw_only=True):
    """工作人员任职：姓名、岗位与管辖范围；离任时 ``active`` 为假。"""

    staff_id: UUID
    staff_no: str
    name: str
    division: str
    roles: tuple[Role, ...]
    scopes: tuple[str, ...]
    active: bool
    epoch: int
    version: int


@event(
    "staff.contact_changed.v1",
    audience=Audience.INTERNAL,
    subject="staff_id",
    facet="staff_contact",
    sealed={"phone": "notify"},
)
class StaffContactChanged(Event, frozen=True, kw_only=True):
    """工作人员联系电话变更：密封给消息服务。"""

    staff_id: UUID
    division: str
    phone: Sealed | None
    epoch: int
    version: int


class Category(msgspec.Struct, frozen=True):
    """A category (对象类别) a person belongs to, with the day it began."""

    code: str
    since: date | None = None


@event("person.recorded.v1", audience=Audience.INTERNAL, subject="person_id", facet="person")
class PersonRecorded(Event, frozen=True, kw_only=True):
    """人员档案全貌：各服务据此维护自己的副本。

    ``relation`` is GB/T 4761 in words (户主, 配偶, 子 …). ``officer_id`` is the one responsible
    officer, set for every active beneficiary. ``disability`` is class and grade, e.g. ``肢体二级``.
    """

    person_id: UUID
    household_id: UUID
    division: str
    name: str
    sex: str
    birth_date: date | None
    relation: str
    is_head: bool
    categories: tuple[Category, ...] = ()
    disability: str | None = None
    officer_id: UUID | None = None
    deceased_on: date | None = None
    removed: bool = False
    epoch: int
    version: int


@event(
    "household.recorded.v1",
    audience=Audience.INTERNAL,
    subject="household_id",
    facet="household",
)
class HouseholdRecorded(Event, frozen=True, kw_only=True):
    """家庭档案全貌：户主与待遇领取人。

    ``payee_person_id`` is whose account is paid (the head's unless changed by two persons, which
    ``payee_changed_at`` tells the time of).
    """

    household_id: UUID
    household_no: str
    division: str
    head_person_id: UUID | None
    payee_person_id: UUID | None
    payee_changed_at: datetime | None = None
    members: int
    removed: bool = False
    epoch: int
    version: int


@event("person.registered.v1", audience=Audience.BUREAUS, subject="person_id")
class PersonRegistered(Event, frozen=True, kw_only=True):
    """人员建档：某地新登记了一名服务对象（不含姓名）。"""

    person_id: UUID
    household_id: UUID
    division: str
    registered_on: date


@event("person.left.v1", audience=Audience.BUREAUS, subject="person_id")
class PersonLeft(Event, frozen=True, kw_only=True):
    """人员迁出：只含编号与日期，发往原区划。"""

    person_id: UUID
    division: str
    left_on: date


@event("person.arrived.v1", audience=Audience.BUREAUS, subject="person_id")
class PersonArrived(Event, frozen=True, kw_only=True):
    """人员迁入：发往新区划。"""

    person_id: UUID
    household_id: UUID
    division: str
    arrived_on: date


@event(
    "person.account_changed.v1",
    audience=Audience.INTERNAL,
    subject="person_id",
    facet="account",
    sealed={"account_number": "funding", "account_name": "funding"},
)
class PersonAccountChanged(Event, frozen=True, kw_only=True):
    """领款账户变更：户名与账号密封给资金服务；``changed_at`` 起 24 小时内锁定的付款先挂起。

    ``carried_over`` is true for a first account, given at registration or with the roster: nothing
    was changed, so nothing is held.
    """

    person_id: UUID
    division: str
    account_name: Sealed | None
    account_number: Sealed | None
    bank: str | None = None
    changed_at: datetime
    carried_over: bool = False
    epoch: int
    version: int


@event(
    "person.contact_changed.v1",
    audience=Audience.INTERNAL,
    subject="person_id",
    facet="contact",
    sealed={"phone": "notify"},
)
class PersonContactChanged(Event, frozen=True, kw_only=True):
    """联系电话变更：密封给消息服务；没有电话时为空。"""

    person_id: UUID
    division: str
    phone: Sealed | None
    epoch: int
    version: int


@event("account.change_confirmed.v1", audience=Audience.INTERNAL, subject="person_id")
class AccountChangeConfirmed(Event, frozen=True, kw_only=True):
    """领款人或账户的变更经两人确认：消息服务告知原号码。不含账号。

    ``what`` is ``account`` or ``payee``; ``previous_payee_id`` is who was paid before, for a payee.
    """

    change_id: UUID
    person_id: UUID
    household_id: UUID
    division: str
    what: str
    confirmed_on: date
    previous_payee_id: UUID | None = None


@event("person.died.v1", audience=Audience.INTERNAL, subject="person_id")
class PersonDied(Event, frozen=True, kw_only=True):
    """人员死亡：终局事实，只有撤销登记才能推翻。

    ``source_event_id`` is the id of the bureau's event (or of the officer's record).
    """

    person_id: UUID
    household_id: UUID
    division: str
    died_on: date
    source: str
    source_event_id: str
    officer_id: UUID | None = None


@event("person.death_revoked.v1", audience=Audience.INTERNAL, subject="person_id")
class PersonDeathRevoked(Event, frozen=True, kw_only=True):
    """死亡登记被撤销：``revokes`` 是 ``person.died`` 的来源事件编号。"""

    person_id: UUID
    household_id: UUID
    division: str
    revokes: str
    source_event_id: str


@event("benefit.carried_over.v1", audience=Audience.INTERNAL, subject="grant_id")
class BenefitCarriedOver(Event, frozen=True, kw_only=True):
    """存量待遇：导入花名册时带入的一项已批待遇。

    One event for a household's 低保 (all covered members) and one for each person and other
    benefit. ``approved_fen`` is the 核定金额 a month (for 低保 the household's). Months before
    ``first_month`` (first day of the month) were paid elsewhere and never become dues.
    """

    grant_id: UUID
    import_id: UUID
    household_id: UUID
    division: str
    benefit: str
    covered_person_ids: tuple[UUID, ...]
    payee_person_id: UUID
    applicant_person_id: UUID
    approved_fen: int
    counted_income_fen: int | None
    decision_no: str
    started_month: date
    first_month: date
    child: bool = False


@event("roster_import.undo_asked.v1", audience=Audience.INTERNAL, subject="import_id")
class RosterImportUndoAsked(Event, frozen=True, kw_only=True):
    """请求撤销一次花名册导入：资金服务答 ``import.released.v1`` 或 ``import.locked.v1``。"""

    import_id: UUID
    division: str


@event("roster_import.undone.v1", audience=Audience.INTERNAL, subject="import_id")
class RosterImportUndone(Event, frozen=True, kw_only=True):
    """花名册导入被撤销：该批带入的待遇全部作废（首次锁定付款之前）。"""

    import_id: UUID
    division: str


@event(
    "bureau_event.refused.v1",
    audience=Audience.BUREAUS,
    subject="event_id",
    addressee="bureau",
)
class BureauEventRefused(Event, frozen=True, kw_only=True):
    """部门事件被拒收：``event_id`` 是原事件编号，``code``、``field``、``reason`` 说明原因。

    Goes to the queue ``bureau.<bureau>.refusals`` of that bureau alone. A corrected event is a new
    event: send it under a new id.
    """

    event_id: str
    bureau: str
    division: str
    code: str
    field: str | None
    reason: str


@event(
    "registry_audit.anchored.v1",
    audience=Audience.INTERNAL,
    privacy=Privacy.OPEN,
    subject="service",
    facet="audit",
)
class RegistryAuditAnchored(AuditAnchored, frozen=True, kw_only=True):
    """登记服务审计链的链头，交另一服务见证。"""


@event(
    "bureau_event.accepted.v1",
    audience=Audience.BUREAUS,
    subject="event_id",
    addressee="bureau",
)
class BureauEventAccepted(Event, frozen=True, kw_only=True):
    """部门事件已收下：``event_id`` 是原事件编号。没有等到收下或拒收的，原样重发即可。

    Goes to the queue ``bureau.<bureau>`` of that bureau alone. It does not say whether the person
    is on record here.
    """

    event_id: str
    bureau: str
    division: str
