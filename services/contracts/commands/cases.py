"""What the edge may ask of cases: applications, steps, decisions, lists, letters, calendar."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from services.contracts.commands.common import Traced
from services.contracts.events.funding import Obstacle, QuotedBenefit
from services.contracts.requests import Command, Query

# -- the catalogue ----------------------------------------------------------------------------


class MaterialView(msgspec.Struct, frozen=True, kw_only=True):
    """A paper of an item. ``shared``: the state holds it, never asked for. ``present``: handed in.

    ``tolerable``: may follow after acceptance (容缺).
    """

    code: str
    name: str
    copies: int
    form: str
    required: bool
    shared: bool
    tolerable: bool
    note: str
    present: bool = False


class StepRuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a route as the guide shows it; limits in working days."""

    code: str
    name: str
    by: str
    start_within: int | None
    within: int | None
    article: str


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """A procedure of an item with who decides and the limit in the place asked about."""

    code: str
    name: str
    urgent: bool
    steps: tuple[StepRuleView, ...]
    decided_by: str
    limit: int
    extended: int
    publicity_days: int | None
    small_sum_fen: int


class BenefitName(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit with its title. ``one_off``: paid once, otherwise monthly."""

    code: str
    name: str
    unit: str
    one_off: bool = False


class ItemView(msgspec.Struct, frozen=True, kw_only=True):
    """An item of the catalogue (事项): the guide for the public and the form for the window."""

    code: str
    name: str
    kind: str
    unit: str
    applicants: str
    guide: str
    law: tuple[str, ...]
    benefits: tuple[BenefitName, ...]
    materials: tuple[MaterialView, ...]
    routes: tuple[RouteView, ...]
    documents: tuple[str, ...]
    publicised: bool


class ListItems(Query[list[ItemView]], frozen=True, kw_only=True):
    """The catalogue as it holds in ``division`` today (empty: nationally). Public."""

    division: str = ""
    kind: str | None = "application"


# -- a case as shown --------------------------------------------------------------------------


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A place on the step bar: ``done``, ``current``, ``waiting`` or ``skipped``.

    ``on``: the day it was done. ``start_by`` and ``due_on``: the last days to begin and finish it.
    """

    code: str
    name: str
    state: str
    by: str
    article: str
    on: date | None = None
    start_by: date | None = None
    due_on: date | None = None


class TimelineLine(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in the case, in words."""

    number: int
    on: date
    at: datetime
    kind: str
    title: str
    detail: str
    by: str


class DeadlineView(msgspec.Struct, frozen=True, kw_only=True):
    """The limit that runs now. ``kind``: decide, papers or tell. Days left are working days.

    ``words`` is what the desk shows: 剩 3 个工作日（10月30日前）. ``provisional``: leans on a year
    whose holidays are not published yet.
    """

    kind: str
    due_on: date
    working_days_left: int
    urgency: str
    provisional: bool
    extended: bool
    words: str


class AskedView(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit asked for and who would be covered."""

    benefit: str
    benefit_name: str
    covered_ids: tuple[UUID, ...]
    covered_names: tuple[str, ...]
    asked_fen: int | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit and its amount: fen a month, or the one-off sum."""

    benefit: str
    amount_fen: int


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's amounts with their working, line by line, and what stands in the way."""

    quote_id: UUID
    round: int
    benefits: tuple[QuotedBenefit, ...]
    obstacles: tuple[Obstacle, ...]
    total_fen: int


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that stands. ``returned``: why funding could not put it into effect."""

    decision_id: UUID
    document_no: str
    outcome: str
    outcome_label: str
    grants: tuple[Grant, ...]
    reason: str
    by: str
    on: date
    corrects: UUID | None = None
    returned: str | None = None


class ObjectionView(msgspec.Struct, frozen=True, kw_only=True):
    """An objection or complaint, and what became of it."""

    number: int
    on: date
    content: str
    complaint: bool
    resolved_on: date | None = None
    upheld: bool | None = None
    finding: str | None = None


class NoticeView(msgspec.Struct, frozen=True, kw_only=True):
    """A notice on the board: the whitelist and its days (``closes_on`` inclusive), nothing else."""

    notice_id: UUID
    item_name: str
    place_name: str
    applicant_name: str
    members: int
    amount_fen: int
    opens_on: date
    closes_on: date
    taken_down_on: date | None = None


class LetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A document (文书) that can be printed for the case."""

    code: str
    title: str


class CaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A case, whole, as the case page shows it."""

    case_id: UUID
    case_no: str
    item: str
    item_name: str
    route: str
    route_name: str
    kind: str
    state: str
    state_label: str
    outcome: str | None
    outcome_label: str | None
    division: str
    division_name: str
    town_name: str
    household_id: UUID
    applicant_id: UUID
    applicant_name: str
    members: int
    asked: tuple[AskedView, ...]
    single_person: bool
    circumstance: str
    first_officer_id: UUID | None
    first_officer_name: str
    applied_on: date
    accepted_on: date | None
    decided_by: str
    deadline: DeadlineView | None
    steps: tuple[StepView, ...]
    current: tuple[str, ...]
    timeline: tuple[TimelineLine, ...]
    materials: tuple[MaterialView, ...]
    missing: tuple[str, ...]
    income_fen: int | None
    quote: QuoteView | None
    objections: tuple[ObjectionView, ...]
    notice: NoticeView | None
    decision: DecisionView | None
    letters: tuple[LetterView, ...]
    needs_county_visit: bool
    child: bool
    version: int


class ReadCase(Query[CaseView], frozen=True, kw_only=True):
    """A case by id or by number (受理编号)."""

    case_id: UUID | None = None
    case_no: str | None = None


class CaseTraces(msgspec.Struct, frozen=True, kw_only=True):
    """A case's facts and the spans that wrote them."""

    case_id: UUID
    case_no: str
    facts: tuple[Traced, ...]


class TraceCase(Query[CaseTraces], frozen=True, kw_only=True):
    """The traces of a case, by id or number (受理编号)."""

    case: str


# -- lists and the desk -----------------------------------------------------------------------


class CaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A case in a list."""

    case_id: UUID
    case_no: str
    item: str
    item_name: str
    route_name: str
    state: str
    state_label: str
    outcome: str | None
    outcome_label: str | None
    current: tuple[str, ...]
    step_names: tuple[str, ...]
    division: str
    division_name: str
    applicant_id: UUID
    applicant_name: str
    household_id: UUID
    first_officer_name: str
    applied_on: date
    due_on: date | None
    urgency: str | None
    working_days_left: int | None
    amount_fen: int | None


class CasePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the cases; ``next`` is where the next page begins."""

    cases: tuple[CaseLine, ...]
    next: str | None = None


class ListCases(Query[CasePage], frozen=True, kw_only=True):
    """Cases within the actor's divisions, the most urgent first.

    ``bucket`` is one of the desk's (see ``ReadDesk``); the other filters narrow further.
    """

    bucket: str | None = None
    item: str | None = None
    kind: str | None = None
    state: str | None = None
    outcome: str | None = None
    division: str = ""
    applicant_id: UUID | None = None
    household_id: UUID | None = None
    person_id: UUID | None = None
    case_no: str | None = None
    after: str | None = None
    limit: int = 50


class DeskCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many cases ``ListCases`` with this bucket would list."""

    bucket: str
    label: str
    count: int


class ReadDesk(Query[list[DeskCount]], frozen=True, kw_only=True):
    """The desk: every bucket with its count, within the actor's divisions."""

    division: str = ""


# -- intake -----------------------------------------------------------------------------------


class HeldBenefit(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit in force. ``place_name`` may lie in another town."""

    benefit: str
    benefit_name: str
    division: str
    place_name: str
    person_ids: tuple[UUID, ...]
    person_names: tuple[str, ...]
    from_month: date | None
    case_id: UUID


class IntakeWarning(msgspec.Struct, frozen=True, kw_only=True):
    """What intake finds. ``blocking``: an application for ``item`` would be refused."""

    item: str
    message: str
    blocking: bool
    case_no: str | None = None


class IntakeView(msgspec.Struct, frozen=True, kw_only=True):
    """What the window sees before anything is typed: benefits, open cases, duplicates."""

    person_id: UUID
    name: str
    household_id: UUID
    division: str
    division_name: str
    members: int
    deceased: bool
    benefits: tuple[HeldBenefit, ...]
    open_cases: tuple[CaseLine, ...]
    warnings: tuple[IntakeWarning, ...]


class ReadIntake(Query[IntakeView], frozen=True, kw_only=True):
    """What is known of a person and their household, in every town of the county."""

    person_id: UUID


class Relative(msgspec.Struct, frozen=True, kw_only=True):
    """A near relative of the applicant among the staff or the village committee (art. 11)."""

    staff_id: UUID
    relation: str


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for, by whom, with which papers.

    ``benefits`` empty: all of the item's (低保 must name one). ``covered_ids`` empty: all living
    members of the household, or the applicant where the benefit is a person's. ``division``:
    where it is taken in, when hardship struck elsewhere (临时救助); else the applicant's own.
    """

    item: str
    applicant_id: UUID
    route: str | None = None
    benefits: tuple[str, ...] = ()
    covered_ids: tuple[UUID, ...] = ()
    single_person: bool = False
    asked_fen: int | None = None
    materials: tuple[str, ...] = ()
    relatives: tuple[Relative, ...] = ()
    circumstance: str = ""
    channel: Literal["window", "phone", "online", "home"] = "window"
    proxy_name: str = ""
    division: str | None = None


class AcceptApplication(Command[CaseView], frozen=True, kw_only=True):
    """受理: refused when a required paper is missing or the person has it already, anywhere."""

    application: Application


class IssueMissingMaterialNotice(Command[CaseView], frozen=True, kw_only=True):
    """一次性告知: registers the application and lists, once, everything that is missing."""

    application: Application


class SupplyMaterial(Command[CaseView], frozen=True, kw_only=True):
    """Papers that came in; the last missing one accepts the application."""

    case_id: UUID
    materials: tuple[str, ...]


class DeclineApplication(Command[CaseView], frozen=True, kw_only=True):
    """不予受理, in writing, with the reason."""

    case_id: UUID
    reason: str


class EndCase(Command[CaseView], frozen=True, kw_only=True):
    """The applicant withdraws, or does not cooperate (art. 29)."""

    case_id: UUID
    ground: Literal["withdrawn", "not_cooperating"]
    reason: str


# -- steps ------------------------------------------------------------------------------------


class RecordInvestigation(Command[CaseView], frozen=True, kw_only=True):
    """调查: two or more investigators; all of them and the household sign.

    ``income_fen``: the household's (单人保: the person's) counted income a month.
    """

    case_id: UUID
    investigators: tuple[UUID, ...]
    signed_by: tuple[UUID, ...]
    household_signed: bool
    finding: str
    income_fen: int | None = None


class RecordCountyVisit(Command[CaseView], frozen=True, kw_only=True):
    """The county's visit to the home: a relative of staff, or a complaint (art. 20)."""

    case_id: UUID
    visitors: tuple[UUID, ...]
    finding: str


class RecordMeansCheck(Command[CaseView], frozen=True, kw_only=True):
    """核对: the report across departments. One that does not fit may be checked again."""

    case_id: UUID
    report_no: str
    consistent: bool
    finding: str = ""
    income_fen: int | None = None


class RequestAssessment(Command[CaseView], frozen=True, kw_only=True):
    """Ask funding for the amount again (it is asked by itself when all is known)."""

    case_id: UUID


class GiveOpinion(Command[CaseView], frozen=True, kw_only=True):
    """初审. ``grants`` empty: what the quote allows; amounts are the quote's to the fen."""

    case_id: UUID
    favourable: bool
    reason: str = ""
    grants: tuple[Grant, ...] = ()


class OpenPublicity(Command[CaseView], frozen=True, kw_only=True):
    """公示: hang the notice made from the whitelist."""

    case_id: UUID


class EndPublicity(Command[CaseView], frozen=True, kw_only=True):
    """Take the notice down after its days (a timer does it as well)."""

    case_id: UUID


class RecordObjection(Command[CaseView], frozen=True, kw_only=True):
    """异议 while the notice hangs; ``complaint``: to the county, any time before the decision."""

    case_id: UUID
    content: str
    complaint: bool = False


class ResolveObjection(Command[CaseView], frozen=True, kw_only=True):
    """Answer an objection; an upheld one sends the case back to investigation."""

    case_id: UUID
    number: int
    upheld: bool
    finding: str


class ExtendDeadline(Command[CaseView], frozen=True, kw_only=True):
    """The one extension, with a ground of the law and its reason."""

    case_id: UUID
    ground: Literal["objection", "resides_elsewhere", "out_of_area", "hard_investigation"]
    reason: str


class FederationReview(Command[CaseView], frozen=True, kw_only=True):
    """残联审核 of the disability certificate."""

    case_id: UUID
    passed: bool
    note: str = ""


class Decide(Command[CaseView], frozen=True, kw_only=True):
    """审核确认 or 不予确认 (a review: kept, changed, ended), by the body that policy names.

    ``late_reason`` is needed once the limit has passed. Without ``document_no`` the next is given.
    """

    case_id: UUID
    outcome: Literal["granted", "refused", "kept", "changed", "ended"]
    grants: tuple[Grant, ...] = ()
    reason: str = ""
    late_reason: str = ""
    document_no: str | None = None


class CorrectDecision(Command[CaseView], frozen=True, kw_only=True):
    """Put a wrong decision right before anything was paid on it."""

    case_id: UUID
    outcome: Literal["granted", "refused", "kept", "changed", "ended"]
    reason: str
    grants: tuple[Grant, ...] = ()
    document_no: str | None = None


class CompletePapers(Command[CaseView], frozen=True, kw_only=True):
    """补齐手续 of an urgent grant: papers, cause, signature."""

    case_id: UUID
    materials: tuple[str, ...]
    finding: str
    signed: bool


class ServeDecision(Command[CaseView], frozen=True, kw_only=True):
    """告知: the decision's document was served, and how."""

    case_id: UUID
    way: str


class OpenReview(Command[CaseView], frozen=True, kw_only=True):
    """复核: look again at the benefit that ``case_id`` granted."""

    case_id: UUID
    cause: Literal["periodic", "income_changed", "members_changed", "reported", "expired"]
    reason: str


# -- publicity, letters -----------------------------------------------------------------------


class ListNotices(Query[list[NoticeView]], frozen=True, kw_only=True):
    """The notice board: what hangs today in ``division``. Public."""

    division: str
    limit: int = 200


class PrintedLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A PDF kept as a file of cases."""

    file_id: UUID
    name: str
    size: int


class RenderDocument(Command[PrintedLetter], frozen=True, kw_only=True):
    """Typeset a letter of the case as PDF. ``letter``: one of the case's ``letters``."""

    timeout: ClassVar[float] = 60.0

    case_id: UUID
    letter: str


# -- the working calendar ---------------------------------------------------------------------


class CalendarYear(msgspec.Struct, frozen=True, kw_only=True):
    """A year: ``published``, ``provisional`` (weekends and statutory days) or ``unknown``.

    ``off``: weekdays that are not worked; ``work``: weekend days that are.
    """

    year: int
    status: str
    source: str
    off: tuple[date, ...]
    work: tuple[date, ...]
    working_days: int | None


class ReadCalendar(Query[CalendarYear], frozen=True, kw_only=True):
    """A year of the working calendar. Public."""

    year: int


class LoadedCalendar(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded notice, and how many open limits moved by it."""

    calendar: CalendarYear
    moved: int


class LoadCalendar(Command[LoadedCalendar], frozen=True, kw_only=True):
    """Load the State Council's notice of a year; open limits are recomputed with a trace."""

    timeout: ClassVar[float] = 120.0

    year: int
    off: tuple[date, ...]
    work: tuple[date, ...]
    source: str
