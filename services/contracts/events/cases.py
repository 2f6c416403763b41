"""What cases says: applications, means for assessment, publicity, decisions, deadlines."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import msgspec

from services.contracts.events.base import Audience, AuditAnchored, Event, Privacy, event


@event("case.accepted.v1", audience=Audience.BUREAUS, subject="case_id")
class CaseAccepted(Event, frozen=True, kw_only=True):
    """申请受理。"""

    case_id: UUID
    case_no: str
    item: str
    applicant_person_id: UUID
    household_id: UUID
    division: str
    accepted_on: date
    due_on: date
    first_officer_id: UUID
    child: bool = False


@event("case.material_requested.v1", audience=Audience.INTERNAL, subject="case_id")
class MaterialRequested(Event, frozen=True, kw_only=True):
    """一次性告知：所缺材料一次告知申请人。"""

    case_id: UUID
    case_no: str
    item: str
    applicant_person_id: UUID
    division: str
    materials: tuple[str, ...]
    reply_by: date | None
    first_officer_id: UUID
    child: bool = False


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What an amount is computed from, as investigated. Income is fen a month."""

    members: int
    household_income_fen: int | None = None
    person_income_fen: int | None = None
    single_person: bool = False


class BenefitAsked(msgspec.Struct, frozen=True, kw_only=True):
    """One benefit asked for within a case and who is to be covered.

    ``traits`` carry what a policy's lines look at, e.g. ``disability:肢体二级``, ``age:83``.
    ``asked_fen`` is the proposed amount of a one-off benefit.
    """

    benefit: str
    covered_person_ids: tuple[UUID, ...]
    traits: dict[str, tuple[str, ...]] = {}
    asked_fen: int | None = None


@event("assessment.requested.v1", audience=Audience.INTERNAL, subject="case_id")
class AssessmentRequested(Event, frozen=True, kw_only=True):
    """请资金服务按政策测算金额并核对互斥待遇。``round`` 区分同一案件的多次测算。"""

    case_id: UUID
    round: int
    division: str
    applied_on: date
    means: Means
    benefits: tuple[BenefitAsked, ...]
    child: bool = False


@event("case.publicity_opened.v1", audience=Audience.INTERNAL, subject="case_id")
class PublicityOpened(Event, frozen=True, kw_only=True):
    """公示开始：只含白名单字段（姓名、家庭人数、金额）。"""

    case_id: UUID
    case_no: str
    item: str
    division: str
    applicant_person_id: UUID
    applicant_name: str
    members: int
    amount_fen: int
    opens_on: date
    closes_on: date


@event("case.objected.v1", audience=Audience.INTERNAL, subject="case_id")
class CaseObjected(Event, frozen=True, kw_only=True):
    """公示期内有异议：重新调查后再定。"""

    case_id: UUID
    case_no: str
    division: str
    objected_on: date
    first_officer_id: UUID


@event("case.deadline_extended.v1", audience=Audience.INTERNAL, subject="case_id")
class DeadlineExtended(Event, frozen=True, kw_only=True):
    """办理时限依法延长一次，附理由。"""

    case_id: UUID
    case_no: str
    division: str
    applicant_person_id: UUID
    due_on: date
    reason: str


@event("case.deadline_neared.v1", audience=Audience.INTERNAL, subject="notice_id")
class DeadlineNeared(Event, frozen=True, kw_only=True):
    """临近或超过时限：提醒经办人，超期再报上级。``stage`` 为 near、due 或 overdue。"""

    notice_id: str
    case_id: UUID
    case_no: str
    division: str
    step: str
    stage: str
    due_on: date
    officer_id: UUID | None


class BenefitGranted(msgspec.Struct, frozen=True, kw_only=True):
    """One benefit a decision grants.

    ``amount_fen`` is a month's amount (for 低保 the household's) or the one-off sum;
    ``from_month`` the first day of the first month owed, ``None`` for a one-off.
    ``urgent`` is paid the same day from the town's 备用金. ``quote_id`` is the assessment the
    amount rests on, ``None`` for a carried-over amount.
    """

    benefit: str
    covered_person_ids: tuple[UUID, ...]
    payee_person_id: UUID
    amount_fen: int
    from_month: date | None = None
    started_month: date | None = None
    urgent: bool = False
    counted_income_fen: int | None = None
    single_person: bool = False
    traits: dict[str, tuple[str, ...]] = {}
    quote_id: UUID | None = None


@event("case.decided.v1", audience=Audience.INTERNAL, subject="decision_id")
class CaseDecided(Event, frozen=True, kw_only=True):
    """审核确认决定：资金服务据此建立或变更待遇。没有第二个门。

    ``basis``: application, carried_over, review or correction. ``corrects`` names the decision
    this one replaces (before payment). ``involved`` are the members of staff who registered,
    investigated or decided: they may not sign the money. ``import_id`` groups a roster import.
    """

    decision_id: UUID
    decision_no: str
    case_id: UUID
    case_no: str
    item: str
    basis: str
    outcome: str
    household_id: UUID
    applicant_person_id: UUID
    division: str
    decided_on: date
    applied_on: date | None = None
    reason: str | None = None
    benefits: tuple[BenefitGranted, ...] = ()
    involved: tuple[UUID, ...] = ()
    corrects: UUID | None = None
    import_id: UUID | None = None
    child: bool = False


@event("case.closed.v1", audience=Audience.BUREAUS, subject="case_id")
class CaseClosed(Event, frozen=True, kw_only=True):
    """案件办结：结果为 granted、refused、withdrawn 或 ended。"""

    case_id: UUID
    case_no: str
    item: str
    applicant_person_id: UUID
    division: str
    outcome: str
    closed_on: date
    child: bool = False


@event("case.review_opened.v1", audience=Audience.INTERNAL, subject="case_id")
class ReviewOpened(Event, frozen=True, kw_only=True):
    """复核立案：死亡、迁移或期满触发，交责任人办理。"""

    case_id: UUID
    case_no: str
    division: str
    person_id: UUID
    cause: str
    cause_event_id: str
    officer_id: UUID | None
    opened_on: date


@event(
    "cases_audit.anchored.v1",
    audience=Audience.INTERNAL,
    privacy=Privacy.OPEN,
    subject="service",
    facet="audit",
)
class CasesAuditAnchored(AuditAnchored, frozen=True, kw_only=True):
    """办件服务审计链的链头，交另一服务见证。"""
