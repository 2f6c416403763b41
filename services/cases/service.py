"""The nameko class of cases: its body is the table of contents."""

from __future__ import annotations

from typing import Any

from services.cases import (
    applications,
    calendar_notices,
    carry_over,
    decisions,
    held_benefits,
    inquiries,
    metrics,
    printing,
    projections,
    publicity,
    queries,
    reminders,
    reviews,
    stock,
)
from services.cases.models import Division, Household, Person, Staff
from services.chassis import audit_chain, replay
from services.chassis.posts import Posts
from services.chassis.service import (
    OBSERVERS,
    PUBLIC,
    Service,
    command,
    every,
    project,
    query,
    react,
)
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.cases import (
    AcceptApplication,
    CalendarYear,
    CasePage,
    CaseTraces,
    CaseView,
    CompletePapers,
    CorrectDecision,
    Decide,
    DeclineApplication,
    DeskCount,
    EndCase,
    EndPublicity,
    ExtendDeadline,
    FederationReview,
    GiveOpinion,
    IntakeView,
    IssueMissingMaterialNotice,
    ItemView,
    ListCases,
    ListItems,
    ListNotices,
    LoadCalendar,
    LoadedCalendar,
    NoticeView,
    OpenPublicity,
    OpenReview,
    PrintedLetter,
    ReadCalendar,
    ReadCase,
    ReadDesk,
    ReadIntake,
    RecordCountyVisit,
    RecordInvestigation,
    RecordMeansCheck,
    RecordObjection,
    RenderDocument,
    RequestAssessment,
    ResolveObjection,
    ServeDecision,
    SupplyMaterial,
    TraceCase,
)
from services.contracts.events.base import AuditAnchored
from services.contracts.events.bureaus import ReplayRequested
from services.contracts.events.funding import (
    CycleLocked,
    EntitlementEnded,
    EntitlementGranted,
    EntitlementQuoted,
    EntitlementRefused,
    EntitlementReopened,
    FundingAuditAnchored,
)
from services.contracts.events.notify import NotifyAuditAnchored
from services.contracts.events.registry import (
    BenefitCarriedOver,
    DivisionRegistered,
    HouseholdRecorded,
    PersonDeathRevoked,
    PersonDied,
    PersonRecorded,
    RegistryAuditAnchored,
    RosterImportUndone,
    StaffAppointed,
)

WINDOW = (Role.VILLAGE_OFFICER, Role.TOWN_CLERK)
"""Posts that take applications in and go to see."""

TOWN = (Role.TOWN_CLERK, Role.TOWN_REVIEWER)
"""Posts that work on a case in the town hall."""

DECIDERS = (Role.TOWN_DECIDER, Role.COUNTY_DECIDER)

READERS = (
    *WINDOW,
    Role.TOWN_REVIEWER,
    *DECIDERS,
    Role.FEDERATION_REVIEWER,
    Role.FUNDING_CLERK,
    Role.CIVIL_AUDITOR,
    Role.FINANCE_OFFICER,
    Role.LEADER,
    Role.AUDITOR,
)
"""Posts that see the cases of their divisions."""

PRINTERS = tuple(role for role in READERS if role is not Role.AUDITOR)
"""Posts that may have a letter made: an auditor reads those there are."""


class CasesService(Service):
    """What was asked, and how it was decided."""

    name = "cases"
    kept = stock.KEPT
    staff_posts = Posts(Staff.staff_id, Staff.active, Staff.roles, Staff.scopes)

    # copies ------------------------------------------------------------------------------------

    @project(RegistryAuditAnchored, FundingAuditAnchored, NotifyAuditAnchored)
    def witness_audits(self, uow: UnitOfWork, events: list[AuditAnchored]) -> None:
        """Heads of the others' audit chains."""
        audit_chain.bear_witness(uow, events)

    @project(DivisionRegistered, into=Division)
    def copy_divisions(self, uow: UnitOfWork, events: list[DivisionRegistered]) -> None:
        """Names of places."""
        projections.divisions(uow, events)

    @project(StaffAppointed, into=Staff)
    def copy_staff(self, uow: UnitOfWork, events: list[StaffAppointed]) -> None:
        """Who is in post, where."""
        projections.staff(uow, events)

    @project(PersonRecorded, into=Person)
    def copy_people(self, uow: UnitOfWork, events: list[PersonRecorded]) -> None:
        """Who people are."""
        projections.people(uow, events)

    @project(HouseholdRecorded, into=Household)
    def copy_households(self, uow: UnitOfWork, events: list[HouseholdRecorded]) -> None:
        """Whose account a household is paid to."""
        projections.households(uow, events)

    # what others' facts lead to ----------------------------------------------------------------

    @react(BenefitCarriedOver, RosterImportUndone)
    def on_carried_over(self, uow: UnitOfWork, events: list[Any]) -> None:
        """存量结转: closed cases with their decisions, and imports taken back."""
        carry_over.handle(uow, events)

    @react(PersonDied, PersonDeathRevoked)
    def on_deaths(self, uow: UnitOfWork, events: list[Any]) -> None:
        """A death opens a review of each running benefit's case."""
        reviews.handle_deaths(uow, events)

    @react(EntitlementQuoted)
    def on_quoted(self, uow: UnitOfWork, events: list[EntitlementQuoted]) -> None:
        """Funding's amounts with their working."""
        inquiries.quoted(uow, events)

    @react(EntitlementGranted, EntitlementEnded, EntitlementReopened)
    def on_entitlements(self, uow: UnitOfWork, events: list[Any]) -> None:
        """Benefits in force, for intake."""
        held_benefits.keep(uow, events)

    @react(EntitlementRefused)
    def on_refused(self, uow: UnitOfWork, events: list[EntitlementRefused]) -> None:
        """A decision that could not take effect comes back to the desk."""
        decisions.refused_by_funding(uow, events)

    @react(CycleLocked)
    def on_month_locked(self, uow: UnitOfWork, events: list[CycleLocked]) -> None:
        """Decisions for a locked month count as paid."""
        held_benefits.month_locked(uow, events)

    # the clock ---------------------------------------------------------------------------------

    @every(seconds=10)
    def end_publicity_due(self, uow: UnitOfWork) -> None:
        """Notices come down after their days."""
        publicity.end_due(uow)

    @every(seconds=10)
    def remind_of_limits(self, uow: UnitOfWork) -> None:
        """A word before a limit, on its day, and up the line after it."""
        reminders.remind(uow)

    @every(seconds=15)
    def measure(self, uow: UnitOfWork) -> None:
        """Open and overdue cases, and the years of the calendar, for Prometheus."""
        metrics.measure(uow)

    # the window --------------------------------------------------------------------------------

    @query(ReadIntake, roles=(*WINDOW, *TOWN, *DECIDERS))
    def read_intake(self, uow: UnitOfWork, request: ReadIntake) -> IntakeView:
        """What is known of a person before anything is typed."""
        return queries.read_intake(uow, request)

    @command(AcceptApplication, roles=WINDOW)
    def accept_application(self, uow: UnitOfWork, request: AcceptApplication) -> CaseView:
        """受理."""
        return applications.accept(uow, request)

    @command(IssueMissingMaterialNotice, roles=WINDOW)
    def issue_missing_material_notice(
        self, uow: UnitOfWork, request: IssueMissingMaterialNotice
    ) -> CaseView:
        """一次性告知."""
        return applications.tell_missing(uow, request)

    @command(SupplyMaterial, roles=WINDOW)
    def supply_material(self, uow: UnitOfWork, request: SupplyMaterial) -> CaseView:
        """补交材料."""
        return applications.supply(uow, request)

    @command(DeclineApplication, roles=WINDOW)
    def decline_application(self, uow: UnitOfWork, request: DeclineApplication) -> CaseView:
        """不予受理."""
        return applications.decline(uow, request)

    @command(EndCase, roles=(*WINDOW, Role.TOWN_REVIEWER))
    def end_case(self, uow: UnitOfWork, request: EndCase) -> CaseView:
        """Withdrawn, or ended for want of cooperation."""
        return applications.end(uow, request)

    # the inquiry -------------------------------------------------------------------------------

    @command(RecordInvestigation, roles=(*WINDOW, Role.TOWN_REVIEWER))
    def record_investigation(self, uow: UnitOfWork, request: RecordInvestigation) -> CaseView:
        """调查."""
        return inquiries.investigate(uow, request)

    @command(RecordCountyVisit, roles=(Role.COUNTY_DECIDER, Role.CIVIL_AUDITOR))
    def record_county_visit(self, uow: UnitOfWork, request: RecordCountyVisit) -> CaseView:
        """县级入户核查."""
        return inquiries.county_visit(uow, request)

    @command(RecordMeansCheck, roles=(*TOWN, Role.COUNTY_DECIDER))
    def record_means_check(self, uow: UnitOfWork, request: RecordMeansCheck) -> CaseView:
        """核对."""
        return inquiries.check_means(uow, request)

    @command(RequestAssessment, roles=(*TOWN, *DECIDERS))
    def request_assessment(self, uow: UnitOfWork, request: RequestAssessment) -> CaseView:
        """Ask funding again."""
        return inquiries.request_assessment(uow, request)

    @command(GiveOpinion, roles=(Role.TOWN_REVIEWER,))
    def give_opinion(self, uow: UnitOfWork, request: GiveOpinion) -> CaseView:
        """初审."""
        return inquiries.give_opinion(uow, request)

    @command(FederationReview, roles=(Role.FEDERATION_REVIEWER,))
    def federation_review(self, uow: UnitOfWork, request: FederationReview) -> CaseView:
        """残联审核."""
        return inquiries.review_certificate(uow, request)

    @command(ExtendDeadline, roles=(Role.TOWN_REVIEWER, *DECIDERS))
    def extend_deadline(self, uow: UnitOfWork, request: ExtendDeadline) -> CaseView:
        """延长一次."""
        return inquiries.extend(uow, request)

    # publicity ---------------------------------------------------------------------------------

    @command(OpenPublicity, roles=TOWN)
    def open_publicity(self, uow: UnitOfWork, request: OpenPublicity) -> CaseView:
        """公示."""
        return publicity.hang(uow, request)

    @command(EndPublicity, roles=TOWN)
    def end_publicity(self, uow: UnitOfWork, request: EndPublicity) -> CaseView:
        """公示期满."""
        return publicity.end(uow, request)

    @command(RecordObjection, roles=(*WINDOW, Role.TOWN_REVIEWER, Role.COUNTY_DECIDER))
    def record_objection(self, uow: UnitOfWork, request: RecordObjection) -> CaseView:
        """异议, 投诉举报."""
        return publicity.record_objection(uow, request)

    @command(ResolveObjection, roles=(Role.TOWN_REVIEWER, Role.COUNTY_DECIDER))
    def resolve_objection(self, uow: UnitOfWork, request: ResolveObjection) -> CaseView:
        """答复异议."""
        return publicity.resolve_objection(uow, request)

    @query(ListNotices, roles=PUBLIC)
    def list_notices(self, uow: UnitOfWork, request: ListNotices) -> list[NoticeView]:
        """公示栏."""
        return publicity.board(uow, request)

    # the decision ------------------------------------------------------------------------------

    @command(Decide, roles=DECIDERS)
    def decide(self, uow: UnitOfWork, request: Decide) -> CaseView:
        """审核确认, 不予确认."""
        return decisions.decide(uow, request)

    @command(CorrectDecision, roles=DECIDERS)
    def correct_decision(self, uow: UnitOfWork, request: CorrectDecision) -> CaseView:
        """更正."""
        return decisions.correct(uow, request)

    @command(CompletePapers, roles=WINDOW)
    def complete_papers(self, uow: UnitOfWork, request: CompletePapers) -> CaseView:
        """急难型补齐手续."""
        return decisions.complete_papers(uow, request)

    @command(ServeDecision, roles=(*WINDOW, Role.TOWN_REVIEWER))
    def serve_decision(self, uow: UnitOfWork, request: ServeDecision) -> CaseView:
        """告知."""
        return decisions.serve(uow, request)

    @command(OpenReview, roles=(*WINDOW, Role.TOWN_REVIEWER, *DECIDERS))
    def open_review(self, uow: UnitOfWork, request: OpenReview) -> CaseView:
        """复核."""
        return reviews.open_review(uow, request)

    # looking -----------------------------------------------------------------------------------

    @query(ReadCase, roles=READERS)
    def read_case(self, uow: UnitOfWork, request: ReadCase) -> CaseView:
        """A case."""
        return queries.read_case(uow, request)

    @query(TraceCase, roles=OBSERVERS)
    def trace_case(self, uow: UnitOfWork, request: TraceCase) -> CaseTraces:
        """The spans a case was worked on in."""
        return queries.trace_case(uow, request)

    @query(ListCases, roles=READERS)
    def list_cases(self, uow: UnitOfWork, request: ListCases) -> CasePage:
        """Cases in sight."""
        return queries.list_cases(uow, request)

    @query(ReadDesk, roles=READERS)
    def read_desk(self, uow: UnitOfWork, request: ReadDesk) -> list[DeskCount]:
        """The desk's counts."""
        return queries.read_desk(uow, request)

    @query(ListItems, roles=PUBLIC)
    def list_items(self, uow: UnitOfWork, request: ListItems) -> list[ItemView]:
        """办事指南."""
        return queries.list_items(uow, request)

    @command(RenderDocument, roles=PRINTERS, child=True)
    def render_document(self, uow: UnitOfWork, request: RenderDocument) -> PrintedLetter:
        """文书, typeset in a child process."""
        return printing.render(uow, request)

    # the calendar ------------------------------------------------------------------------------

    @query(ReadCalendar, roles=PUBLIC)
    def read_calendar(self, uow: UnitOfWork, request: ReadCalendar) -> CalendarYear:
        """A year of working days."""
        return calendar_notices.read(uow, request)

    @command(LoadCalendar, roles=(Role.SYSTEM_ADMIN,))
    def load_calendar(self, uow: UnitOfWork, request: LoadCalendar) -> LoadedCalendar:
        """The State Council's notice of a year."""
        return calendar_notices.load(uow, request)

    @react(ReplayRequested)
    def on_replay_requested(self, uow: UnitOfWork, events: list[ReplayRequested]) -> None:
        """A bureau wants to hear again what it may see."""
        replay.note(uow, events)

    @every(seconds=2)
    def serve_replays(self, uow: UnitOfWork) -> None:
        """Send a slice of what bureaus want to hear again."""
        replay.serve(uow)
