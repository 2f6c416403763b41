"""Registry's entrypoints; each line leads to one use case."""

from __future__ import annotations

from typing import Any

from services.chassis import replay
from services.chassis.posts import Posts
from services.chassis.service import ANYONE, PUBLIC, Chassis, Service, command, every, query, react
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    AccountChangeView,
    AddMember,
    AppointStaff,
    AssignOfficer,
    ChangePassword,
    ChangePhone,
    CheckRoster,
    ConfirmAccountChange,
    CountPeople,
    EndAppointment,
    FindByIdentity,
    HandOver,
    HouseholdView,
    ImportRoster,
    ImportView,
    ListAccountChanges,
    ListChanges,
    ListDivisions,
    ListHouseholds,
    ListImports,
    ListPeople,
    ListSignIns,
    ListStaff,
    ListWaitingNotices,
    LoadDivisions,
    OpenAccount,
    PersonView,
    ReadCoverage,
    ReadHousehold,
    ReadPerson,
    ReadRegistryFigures,
    ReadRosterColumns,
    ReadStaff,
    RecordDeath,
    RecordPerson,
    RegisterHousehold,
    RequestAccountChange,
    RequestPayeeChange,
    RevealIdentity,
    RevokeDeath,
    RosterReport,
    SearchPeople,
    SignedIn,
    SignIn,
    StaffView,
    TellAgain,
    ToldAgain,
    UndoImport,
)
from services.contracts.events.bureaus import DeathRegistered, DeathRevoked, ReplayRequested
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    EntitlementReopened,
    ImportLocked,
    ImportReleased,
)
from services.registry import (
    account_changes,
    beneficiaries,
    bureaus,
    deaths,
    divisions,
    metrics,
    people,
    queries,
    responsibility,
    roster_import,
    sign_in,
    staff,
    stock,
    telling_again,
)
from services.registry.models import Staff
from services.registry.settings import registry_settings

ADMINS = (Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN)
WINDOW = (Role.VILLAGE_OFFICER, Role.TOWN_CLERK)
TOWN = (Role.TOWN_CLERK, Role.TOWN_REVIEWER, Role.TOWN_DECIDER)
REVOKERS = (Role.TOWN_REVIEWER, Role.TOWN_DECIDER, Role.COUNTY_DECIDER)
CONFIRMERS = (*TOWN, Role.COUNTY_DECIDER, Role.CIVIL_AUDITOR)
IMPORTERS = (Role.TOWN_CLERK, Role.COUNTY_DECIDER, Role.FUNDING_CLERK, Role.SYSTEM_ADMIN)
CASEWORK = (*WINDOW, Role.TOWN_REVIEWER, Role.TOWN_DECIDER, Role.COUNTY_DECIDER)
MONEY = (Role.FUNDING_CLERK, Role.CIVIL_AUDITOR, Role.FINANCE_OFFICER)
READERS = (*CASEWORK, *MONEY, Role.FEDERATION_REVIEWER, Role.LEADER, Role.AUDITOR)


class RegistryChassis(Chassis):
    """The chassis with registry's own keys: without them the service does not start."""

    def setup(self) -> None:
        """Read them beside what every service reads."""
        super().setup()
        registry_settings()


class RegistryService(Service):
    """Who there is, and in whose hands."""

    name = "registry"
    kept = stock.KEPT
    staff_posts = Posts(Staff.id, Staff.active, Staff.roles, Staff.scopes)
    chassis = RegistryChassis()

    # -- signing in and staff

    @command(SignIn, roles=PUBLIC, keep_answer=False)
    def sign_in(self, uow: UnitOfWork, request: SignIn) -> SignedIn:
        """Exchange account and password for a token."""
        return sign_in.sign_in(uow, request)

    @command(ChangePassword, roles=ANYONE)
    def change_password(self, uow: UnitOfWork, request: ChangePassword) -> None:
        """Change one's own password."""
        sign_in.change_password(uow, request)

    @query(ListSignIns, roles=(*ADMINS, Role.AUDITOR))
    def list_sign_ins(self, uow: UnitOfWork, request: ListSignIns) -> Any:
        """Tries to sign in."""
        return sign_in.list_sign_ins(uow, request)

    @command(AppointStaff, roles=ADMINS)
    def appoint_staff(self, uow: UnitOfWork, request: AppointStaff) -> StaffView:
        """Put somebody in post."""
        return staff.appoint(uow, request)

    @command(OpenAccount, roles=ADMINS)
    def open_account(self, uow: UnitOfWork, request: OpenAccount) -> StaffView:
        """Give somebody an account or a new password."""
        return staff.open_account(uow, request)

    @command(EndAppointment, roles=ADMINS)
    def end_appointment(self, uow: UnitOfWork, request: EndAppointment) -> StaffView:
        """Take somebody out of post."""
        return staff.end_appointment(uow, request)

    @query(ListStaff, roles=ANYONE)
    def list_staff(self, uow: UnitOfWork, request: ListStaff) -> Any:
        """Staff by number."""
        return staff.list_staff(uow, request)

    @query(ReadStaff, roles=ANYONE)
    def read_staff(self, uow: UnitOfWork, request: ReadStaff) -> StaffView:
        """One member of staff."""
        return staff.read_staff(uow, request)

    # -- places

    @command(TellAgain, roles=(Role.SYSTEM_ADMIN,), child=True)
    def tell_again(self, uow: UnitOfWork, request: TellAgain) -> ToldAgain:
        """Everything once more, after a restore."""
        return telling_again.tell_again(uow, request)

    @query(ListDivisions, roles=PUBLIC)
    def list_divisions(self, uow: UnitOfWork, request: ListDivisions) -> Any:
        """Places below one."""
        return divisions.list_below(uow, request)

    @every(seconds=5)
    def tell_seeded_divisions(self, uow: UnitOfWork) -> None:
        """The places that came with the database, told to the others once."""
        divisions.tell_seeded(uow)

    @command(LoadDivisions, roles=(Role.SYSTEM_ADMIN,))
    def load_divisions(self, uow: UnitOfWork, request: LoadDivisions) -> int:
        """Take in a data file of places."""
        return divisions.load(uow, request)

    # -- people

    @command(RegisterHousehold, roles=WINDOW)
    def register_household(self, uow: UnitOfWork, request: RegisterHousehold) -> HouseholdView:
        """Put a household on record."""
        return people.register(uow, request)

    @command(AddMember, roles=WINDOW)
    def add_member(self, uow: UnitOfWork, request: AddMember) -> PersonView:
        """Put one more person into a household."""
        return people.add_member(uow, request)

    @command(RecordPerson, roles=WINDOW)
    def record_person(self, uow: UnitOfWork, request: RecordPerson) -> PersonView:
        """Set categories and disability."""
        return people.record(uow, request)

    @command(ChangePhone, roles=WINDOW)
    def change_phone(self, uow: UnitOfWork, request: ChangePhone) -> PersonView:
        """Record a phone number."""
        return people.change_phone(uow, request)

    @command(RecordDeath, roles=WINDOW)
    def record_death(self, uow: UnitOfWork, request: RecordDeath) -> PersonView:
        """An officer reports a death."""
        return deaths.record(uow, request)

    @command(RevokeDeath, roles=REVOKERS)
    def revoke_death(self, uow: UnitOfWork, request: RevokeDeath) -> PersonView:
        """Another officer takes back a death recorded wrongly."""
        return deaths.revoke(uow, request)

    @query(ReadPerson, roles=READERS)
    def read_person(self, uow: UnitOfWork, request: ReadPerson) -> PersonView:
        """One person."""
        return queries.read_person(uow, request)

    @query(ReadHousehold, roles=READERS)
    def read_household(self, uow: UnitOfWork, request: ReadHousehold) -> HouseholdView:
        """One household."""
        return queries.read_household(uow, request)

    @query(SearchPeople, roles=READERS)
    def search_people(self, uow: UnitOfWork, request: SearchPeople) -> Any:
        """Find people."""
        return queries.search(uow, request)

    @query(FindByIdentity, roles=CASEWORK)
    def find_by_identity(self, uow: UnitOfWork, request: FindByIdentity) -> PersonView | None:
        """The person with this number."""
        return queries.find_by_identity(uow, request)

    @query(ListPeople, roles=READERS)
    def list_people(self, uow: UnitOfWork, request: ListPeople) -> Any:
        """The ledger."""
        return queries.list_people(uow, request)

    @query(CountPeople, roles=READERS)
    def count_people(self, uow: UnitOfWork, request: CountPeople) -> int:
        """The length of the ledger."""
        return queries.count_people(uow, request)

    @query(ListHouseholds, roles=READERS)
    def list_households(self, uow: UnitOfWork, request: ListHouseholds) -> Any:
        """Households of a place."""
        return queries.list_households(uow, request)

    @query(RevealIdentity, roles=(*CASEWORK, *MONEY))
    def reveal_identity(self, uow: UnitOfWork, request: RevealIdentity) -> Any:
        """A person's numbers in full."""
        return queries.reveal(uow, request)

    @query(ListChanges, roles=READERS)
    def list_changes(self, uow: UnitOfWork, request: ListChanges) -> Any:
        """The history of a person or household."""
        return queries.list_changes(uow, request)

    @query(ReadRegistryFigures, roles=ANYONE)
    def read_registry_figures(self, uow: UnitOfWork, request: ReadRegistryFigures) -> Any:
        """Counts for the desk."""
        return queries.figures(uow, request)

    # -- responsibility

    @command(HandOver, roles=(*ADMINS, *TOWN))
    def hand_over(self, uow: UnitOfWork, request: HandOver) -> int:
        """Everybody in one officer's hands goes to another."""
        return responsibility.hand_over(uow, request)

    @command(AssignOfficer, roles=TOWN)
    def assign_officer(self, uow: UnitOfWork, request: AssignOfficer) -> int:
        """These people go to this officer."""
        return responsibility.assign(uow, request)

    @query(ReadCoverage, roles=ANYONE)
    def read_coverage(self, uow: UnitOfWork, request: ReadCoverage) -> Any:
        """The responsibility map."""
        return responsibility.read_coverage(uow, request)

    # -- accounts of those who are paid

    @command(RequestAccountChange, roles=WINDOW)
    def request_account_change(
        self, uow: UnitOfWork, request: RequestAccountChange
    ) -> AccountChangeView:
        """Ask for a new account."""
        return account_changes.request_account(uow, request)

    @command(RequestPayeeChange, roles=WINDOW)
    def request_payee_change(
        self, uow: UnitOfWork, request: RequestPayeeChange
    ) -> AccountChangeView:
        """Ask for another payee."""
        return account_changes.request_payee(uow, request)

    @command(ConfirmAccountChange, roles=CONFIRMERS)
    def confirm_account_change(
        self, uow: UnitOfWork, request: ConfirmAccountChange
    ) -> AccountChangeView:
        """Confirm or refuse it."""
        return account_changes.confirm(uow, request)

    @query(ListAccountChanges, roles=READERS)
    def list_account_changes(self, uow: UnitOfWork, request: ListAccountChanges) -> Any:
        """Changes in a state."""
        return account_changes.list_changes(uow, request)

    # -- rosters

    @command(CheckRoster, roles=IMPORTERS, child=True)
    def check_roster(self, uow: UnitOfWork, request: CheckRoster) -> RosterReport:
        """Check a roster, write nothing of it."""
        return roster_import.check(uow, request)

    @command(ImportRoster, roles=IMPORTERS, child=True)
    def import_roster(self, uow: UnitOfWork, request: ImportRoster) -> RosterReport:
        """Write a roster, all or nothing."""
        return roster_import.write(uow, request)

    @command(UndoImport, roles=IMPORTERS)
    def undo_import(self, uow: UnitOfWork, request: UndoImport) -> ImportView:
        """Ask for an import to be taken back whole."""
        return roster_import.ask_undo(uow, request)

    @query(ListImports, roles=(*IMPORTERS, *MONEY, Role.AUDITOR))
    def list_imports(self, uow: UnitOfWork, request: ListImports) -> Any:
        """Imports, newest first."""
        return roster_import.list_imports(uow, request)

    @query(ReadRosterColumns, roles=ANYONE)
    def read_roster_columns(self, uow: UnitOfWork, request: ReadRosterColumns) -> Any:  # noqa: ARG002
        """The columns of a roster."""
        return queries.roster_columns()

    # -- what others tell

    @query(ListWaitingNotices, roles=(*ADMINS, *TOWN, Role.COUNTY_DECIDER, Role.AUDITOR))
    def list_waiting_notices(self, uow: UnitOfWork, request: ListWaitingNotices) -> Any:
        """Bureaus' notices that matched nobody."""
        return deaths.list_waiting(uow, request)

    @react(DeathRegistered, refuse=bureaus.refuse)
    def on_death_registered(self, uow: UnitOfWork, events: list[DeathRegistered]) -> None:
        """Mark the dead."""
        deaths.on_registered(uow, events)

    @react(DeathRevoked, refuse=bureaus.refuse)
    def on_death_revoked(self, uow: UnitOfWork, events: list[DeathRevoked]) -> None:
        """Take a death back."""
        deaths.on_revoked(uow, events)

    @react(EntitlementGranted)
    def on_entitlement_granted(self, uow: UnitOfWork, events: list[EntitlementGranted]) -> None:
        """Note who became a beneficiary."""
        beneficiaries.on_told(uow, events)

    @react(EntitlementEnded)
    def on_entitlement_ended(self, uow: UnitOfWork, events: list[EntitlementEnded]) -> None:
        """Note who ceased to be one."""
        beneficiaries.on_told(uow, events)

    @react(EntitlementReopened)
    def on_entitlement_reopened(self, uow: UnitOfWork, events: list[EntitlementReopened]) -> None:
        """Note whose end was taken back."""
        beneficiaries.on_told(uow, events)

    @react(ImportLocked)
    def on_import_locked(self, uow: UnitOfWork, events: list[ImportLocked]) -> None:
        """From the first lock on, an import stands."""
        roster_import.on_locked(uow, events)

    @react(ImportReleased)
    def on_import_released(self, uow: UnitOfWork, events: list[ImportReleased]) -> None:
        """Take back an import of which nothing was locked."""
        roster_import.on_released(uow, events)

    @every(seconds=60)
    def match_waiting_notices(self, uow: UnitOfWork) -> None:
        """Deaths told while the person was being registered find him."""
        deaths.match_registered(uow)

    @every(seconds=30)
    def measure(self, uow: UnitOfWork) -> None:
        """Bring the gauges up to date."""
        metrics.measure(uow)

    @every(seconds=5)
    def watch_bureau_queues(self, uow: UnitOfWork) -> None:
        """A bureau's queue that somebody deleted is seen."""
        bureaus.watch_queues(uow)

    @react(ReplayRequested, refuse=bureaus.refuse)
    def on_replay_requested(self, uow: UnitOfWork, events: list[ReplayRequested]) -> None:
        """A bureau wants to hear again what it may see."""
        bureaus.on_replay_requested(uow, events)

    @every(seconds=2)
    def serve_replays(self, uow: UnitOfWork) -> None:
        """Send a slice of what bureaus want to hear again."""
        replay.serve(uow)
