"""What the edge may ask of registry: signing in, staff, divisions, people, rosters, accounts."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from services.contracts.actors import Role
from services.contracts.requests import Command, Query

# -- signing in -------------------------------------------------------------------------------


class StaffView(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff. ``people`` are those in their hands; ``account`` their sign-in name."""

    staff_id: UUID
    staff_no: str
    name: str
    division: str
    roles: tuple[Role, ...]
    scopes: tuple[str, ...]
    active: bool
    since: date
    until: date | None = None
    account: str | None = None
    phone_masked: str | None = None
    people: int = 0


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A token to act with, until it expires (machine time)."""

    token: str
    expires_at: datetime
    staff: StaffView
    must_change_password: bool


class SignIn(Command[SignedIn], frozen=True, kw_only=True):
    """Exchange an account and password for an actor token.

    Five wrong passwords within fifteen minutes lock the account for fifteen minutes.
    """

    account: str
    password: str


class ChangePassword(Command[None], frozen=True, kw_only=True):
    """Change one's own password: at least ten characters, not the one before."""

    old: str
    new: str


class SignInAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to sign in."""

    at: datetime
    account: str
    outcome: str


class ListSignIns(Query[list[SignInAttempt]], frozen=True, kw_only=True):
    """The latest tries to sign in, newest first; of one account or all."""

    account: str | None = None
    limit: int = 100


# -- staff ------------------------------------------------------------------------------------


class AppointStaff(Command[StaffView], frozen=True, kw_only=True):
    """Put somebody in post: roles over division scopes. The same number again changes the post."""

    staff_no: str
    name: str
    division: str
    roles: tuple[Role, ...]
    scopes: tuple[str, ...]
    phone: str | None = None


class OpenAccount(Command[StaffView], frozen=True, kw_only=True):
    """Give a member of staff a sign-in account, or a new password for it."""

    staff_no: str
    account: str
    password: str
    must_change: bool = True


class EndAppointment(Command[StaffView], frozen=True, kw_only=True):
    """Take somebody out of post; their people go to ``successor_no`` in the same transaction."""

    staff_no: str
    successor_no: str | None = None
    reason: str


class StaffPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the staff, by number; ``next`` is where the next page begins."""

    staff: tuple[StaffView, ...]
    next: str | None = None


class ListStaff(Query[StaffPage], frozen=True, kw_only=True):
    """Staff whose post or scope touches ``division``."""

    division: str = ""
    role: Role | None = None
    active: bool | None = True
    after: str | None = None
    limit: int = 100


class ReadStaff(Query[StaffView], frozen=True, kw_only=True):
    """One member of staff by number."""

    staff_no: str


# -- divisions --------------------------------------------------------------------------------


class DivisionView(msgspec.Struct, frozen=True, kw_only=True):
    """A place: ``kind`` as in registry's domain (village, community, town …)."""

    code: str
    name: str
    short_name: str
    kind: str
    parent: str | None
    valid_from: date
    valid_to: date | None = None


class ListDivisions(Query[list[DivisionView]], frozen=True, kw_only=True):
    """The places directly below ``parent``; with ``deep`` all below it."""

    parent: str
    deep: bool = False


class LoadDivisions(Command[int], frozen=True, kw_only=True):
    """Take in an uploaded data file of places (``zhida registry divisions extract`` makes one)."""

    file_id: UUID


# -- people and households --------------------------------------------------------------------


class CategoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A category a person belongs to, with its title."""

    code: str
    title: str
    since: date | None = None


class PersonView(msgspec.Struct, frozen=True, kw_only=True):
    """A person as shown: the last four of the number only, so no birth date beside it."""

    person_id: UUID
    household_id: UUID
    household_no: str
    division: str
    division_name: str
    name: str
    sex: str
    identity_masked: str | None
    relation: str
    is_head: bool
    categories: tuple[CategoryView, ...]
    disability: str | None
    phone_masked: str | None
    account_masked: str | None
    account_name: str | None
    officer_id: UUID | None
    officer_name: str | None
    officer_no: str | None
    beneficiary: bool
    deceased_on: date | None
    version: int


class HouseholdView(msgspec.Struct, frozen=True, kw_only=True):
    """A household with its members, the head first."""

    household_id: UUID
    household_no: str
    division: str
    division_name: str
    head_person_id: UUID | None
    payee_person_id: UUID | None
    address: str | None
    members: tuple[PersonView, ...]
    version: int


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    """A person to be registered. ``relation`` in words (户主, 配偶, 子 …)."""

    name: str
    identity_number: str
    relation: str
    categories: tuple[str, ...] = ()
    disability: str | None = None
    phone: str | None = None
    account_name: str | None = None
    account_number: str | None = None
    bank: str | None = None


class RegisterHousehold(Command[HouseholdView], frozen=True, kw_only=True):
    """Put a household on record; exactly one member is its head (户主).

    Without ``officer_no`` the village's own officer becomes responsible. Without ``household_no``
    the next number of the village is given.
    """

    division: str
    members: tuple[NewMember, ...]
    household_no: str | None = None
    officer_no: str | None = None
    address: str | None = None


class AddMember(Command[PersonView], frozen=True, kw_only=True):
    """Put one more person into a household."""

    household_id: UUID
    member: NewMember
    reason: str


class RecordPerson(Command[PersonView], frozen=True, kw_only=True):
    """Set categories and disability (the whole new state). Refused when ``version`` is old."""

    person_id: UUID
    version: int
    categories: tuple[str, ...]
    disability: str | None = None
    reason: str


class ChangePhone(Command[PersonView], frozen=True, kw_only=True):
    """Record a person's phone number, or that there is none."""

    person_id: UUID
    phone: str | None


class RecordDeath(Command[PersonView], frozen=True, kw_only=True):
    """An officer reports a death (before the bureau's event, or where none will come)."""

    person_id: UUID
    died_on: date
    evidence: str


class RevokeDeath(Command[PersonView], frozen=True, kw_only=True):
    """Take back a death that an officer recorded wrongly; another officer than that one.

    What a bureau told is revoked by the bureau itself (``public_security.death_revoked.v1``).
    """

    person_id: UUID
    evidence: str


class ReadPerson(Query[PersonView], frozen=True, kw_only=True):
    """One person."""

    person_id: UUID


class ReadHousehold(Query[HouseholdView], frozen=True, kw_only=True):
    """One household, by id or by number (户编号)."""

    household_id: UUID | None = None
    household_no: str | None = None


class PersonPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the people; ``next`` is where the next page begins."""

    people: tuple[PersonView, ...]
    next: str | None = None


class SearchPeople(Query[PersonPage], frozen=True, kw_only=True):
    """Find people by name (part of it), pinyin initials, full identity number or 户编号."""

    text: str
    division: str = ""
    after: str | None = None
    limit: int = 50


class FindByIdentity(Query[PersonView | None], frozen=True, kw_only=True):
    """The person with this number (15 or 18 digits), or ``None``: the first act at the window.

    Somebody registered outside the actor's divisions is shown with place and officer only.
    """

    identity_number: str


class ListPeople(Query[PersonPage], frozen=True, kw_only=True):
    """The ledger (台账): people by place, category, officer, whether in receipt of a benefit."""

    division: str = ""
    category: str | None = None
    officer_no: str | None = None
    beneficiary: bool | None = None
    deceased: bool | None = False
    after: str | None = None
    limit: int = 50


class CountPeople(Query[int], frozen=True, kw_only=True):
    """How many ``ListPeople`` with the same filters would list."""

    division: str = ""
    category: str | None = None
    officer_no: str | None = None
    beneficiary: bool | None = None
    deceased: bool | None = False


class HouseholdLine(msgspec.Struct, frozen=True, kw_only=True):
    """A household in a list."""

    household_id: UUID
    household_no: str
    division: str
    division_name: str
    head_name: str | None
    members: int
    officer_name: str | None


class HouseholdPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the households, by number."""

    households: tuple[HouseholdLine, ...]
    next: str | None = None


class ListHouseholds(Query[HouseholdPage], frozen=True, kw_only=True):
    """The households of a place."""

    division: str = ""
    after: str | None = None
    limit: int = 50


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """Personal numbers in full. Showing them was noted in the audit log with the purpose."""

    person_id: UUID
    name: str
    identity_number: str | None
    birth_date: date | None
    phone: str | None
    account_name: str | None
    account_number: str | None
    address: str | None


class RevealIdentity(Query[Revealed], frozen=True, kw_only=True):
    """See a person's numbers in full; ``purpose`` is needed, and noted."""

    person_id: UUID
    purpose: str


class ChangeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change in a person's or household's history: who, when, what, why."""

    at: datetime
    business_on: date
    actor: str
    action: str
    title: str
    detail: str


class ListChanges(Query[list[ChangeLine]], frozen=True, kw_only=True):
    """The history of a person (with their household's), newest first."""

    person_id: UUID | None = None
    household_id: UUID | None = None
    limit: int = 100


# -- responsibility ---------------------------------------------------------------------------


class HandOver(Command[int], frozen=True, kw_only=True):
    """Everybody in ``from_no``'s hands (within ``division``) goes to ``to_no``; how many."""

    from_no: str
    to_no: str
    division: str = ""
    reason: str


class AssignOfficer(Command[int], frozen=True, kw_only=True):
    """These people go to this officer; how many changed hands."""

    person_ids: tuple[UUID, ...]
    officer_no: str
    reason: str


class CoverageLine(msgspec.Struct, frozen=True, kw_only=True):
    """A place on the responsibility map. ``uncovered`` must be 0."""

    division: str
    name: str
    officers: int
    people: int
    beneficiaries: int
    uncovered: int


class ReadCoverage(Query[list[CoverageLine]], frozen=True, kw_only=True):
    """The responsibility map one level below ``division``."""

    division: str


# -- accounts ---------------------------------------------------------------------------------


class AccountChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A change of payee or account: asked for by one person, confirmed by another."""

    change_id: UUID
    what: Literal["account", "payee"]
    person_id: UUID
    person_name: str
    household_id: UUID
    division: str
    account_name: str | None
    account_masked: str | None
    bank: str | None
    reason: str
    state: Literal["requested", "confirmed", "refused"]
    requested_by: str
    requested_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None


class RequestAccountChange(Command[AccountChangeView], frozen=True, kw_only=True):
    """Ask for a new account of ``person_id``: takes effect when a second person confirms it."""

    person_id: UUID
    account_name: str
    account_number: str
    bank: str | None = None
    reason: str


class RequestPayeeChange(Command[AccountChangeView], frozen=True, kw_only=True):
    """Ask that ``person_id`` be paid for their household: a second person confirms it."""

    household_id: UUID
    person_id: UUID
    reason: str


class ConfirmAccountChange(Command[AccountChangeView], frozen=True, kw_only=True):
    """Confirm or refuse a change: not by whoever asked for it.

    Payments locked within 24 hours of the confirmation are held, and the old number is told.
    """

    change_id: UUID
    confirm: bool = True
    reason: str | None = None


class ListAccountChanges(Query[list[AccountChangeView]], frozen=True, kw_only=True):
    """Changes in a state, oldest first."""

    state: Literal["requested", "confirmed", "refused"] = "requested"
    division: str = ""
    limit: int = 100


# -- roster import ----------------------------------------------------------------------------


class RosterProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong in a cell and what to do. Numbers of people show the last four only."""

    row: int
    column: str
    value: str
    problem: str
    advice: str


class RosterReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a roster says and what is wrong with it.

    ``accepted`` + ``rejected`` = ``rows``. ``errors`` holds at most the first ten thousand,
    ``notices`` (the warnings) the first thousand; ``error_count`` and ``warnings`` count all.
    ``errors_file`` is the same workbook with a red column of reasons, when asked for.
    ``import_id`` is set once written.
    """

    rows: int
    accepted: int
    rejected: int
    warnings: int
    people: int
    households: int
    carried_over: int
    officers: int
    error_count: int
    errors: tuple[RosterProblem, ...]
    notices: tuple[RosterProblem, ...]
    errors_file: UUID | None = None
    import_id: UUID | None = None
    seconds: float = 0.0


class CheckRoster(Command[RosterReport], frozen=True, kw_only=True):
    """Check an uploaded roster and write nothing of it."""

    timeout: ClassVar[float] = 300.0

    file_id: UUID
    first_month: str
    errors_workbook: bool = False


class ImportRoster(Command[RosterReport], frozen=True, kw_only=True):
    """Check an uploaded roster and, when no row is refused, write all of it.

    ``first_month`` (``2026-11``) is the first month that Zhida owes. Officers on the sheet 责任人
    who are not in post yet are put in post with it.
    """

    timeout: ClassVar[float] = 600.0

    file_id: UUID
    first_month: str
    errors_workbook: bool = False


class ImportView(msgspec.Struct, frozen=True, kw_only=True):
    """An import that was written."""

    import_id: UUID
    file_name: str
    first_month: str
    state: Literal["written", "undoing", "locked", "undone"]
    rows: int
    people: int
    households: int
    carried_over: int
    warnings: int
    imported_by: str
    imported_at: datetime
    undone_at: datetime | None = None


class UndoImport(Command[ImportView], frozen=True, kw_only=True):
    """Take back an import whole: ``undoing`` until funding says that none of it was locked.

    Refused once a payment of it was locked; then it stands as ``locked``.
    """

    import_id: UUID
    reason: str


class ListImports(Query[list[ImportView]], frozen=True, kw_only=True):
    """Imports, newest first."""

    limit: int = 50


class ExpectedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the roster: its title, the other ways to write it, whether it must be there."""

    title: str
    synonyms: tuple[str, ...]
    required: bool


class ReadRosterColumns(Query[list[ExpectedColumn]], frozen=True, kw_only=True):
    """The columns of a roster, in the template's order."""


# -- bureaus ----------------------------------------------------------------------------------


class WaitingNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A bureau's notice about somebody not (yet) in the registry."""

    event_id: UUID
    bureau: str
    kind: str
    division: str
    happened_on: date
    received_at: datetime


class ListWaitingNotices(Query[list[WaitingNotice]], frozen=True, kw_only=True):
    """Notices that matched nobody, oldest first: each new registration is held against them."""

    limit: int = 100


class RegistryFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Counts for the desk; each equals the length of the list it links to."""

    households: int
    people: int
    beneficiaries: int
    uncovered: int
    account_changes_waiting: int
    notices_waiting: int
    staff: int


class ReadRegistryFigures(Query[RegistryFigures], frozen=True, kw_only=True):
    """Counts within the actor's divisions."""

    division: str = ""


class ToldAgain(msgspec.Struct, frozen=True, kw_only=True):
    """How much was told once more, and under which epoch."""

    events: int
    epoch: int


class TellAgain(Command[ToldAgain], frozen=True, kw_only=True):
    """Tell the other services of all that registry holds: after it was restored from a backup."""

    timeout: ClassVar[float] = 900.0
