"""The nameko class of notify: its body is the table of contents."""

from __future__ import annotations

from typing import Any

from services.chassis.posts import Posts
from services.chassis.service import (
    OBSERVERS,
    Chassis,
    Every,
    Service,
    command,
    every,
    project,
    query,
    react,
)
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands.common import Traced
from services.contracts.commands.notify import (
    CountMessages,
    GetMessage,
    LetterPage,
    ListLetters,
    ListMessages,
    ListTemplates,
    ListUndelivered,
    MarkLettersDelivered,
    MarkToldInPerson,
    MessageCounts,
    MessageDetail,
    MessagePage,
    MessageView,
    PreviewTemplate,
    PreviewView,
    RetryMessage,
    ReturnLetter,
    SendAsLetter,
    TemplateView,
    TraceMessages,
)
from services.contracts.events.cases import (
    CaseAccepted,
    CaseDecided,
    CaseObjected,
    DeadlineExtended,
    DeadlineNeared,
    MaterialRequested,
    PublicityOpened,
    ReviewOpened,
)
from services.contracts.events.funding import (
    EntitlementEnded,
    PaymentFailed,
    PaymentSettled,
    RecoveryRaised,
)
from services.contracts.events.registry import (
    AccountChangeConfirmed,
    PersonContactChanged,
    PersonDeathRevoked,
    PersonDied,
    PersonRecorded,
    StaffAppointed,
    StaffContactChanged,
)
from services.notify import (
    delivery,
    letters,
    messages,
    metrics,
    projections,
    queries,
    stock,
    undelivered,
)
from services.notify.models import Person, Staff
from services.notify.settings import GatewaySettings

READERS = (
    Role.VILLAGE_OFFICER,
    Role.TOWN_CLERK,
    Role.TOWN_REVIEWER,
    Role.TOWN_DECIDER,
    Role.COUNTY_DECIDER,
    Role.FUNDING_CLERK,
    Role.CIVIL_AUDITOR,
    Role.LEADER,
    Role.AUDITOR,
)
"""Posts that see what was told in their divisions."""

TELLERS = (Role.VILLAGE_OFFICER, Role.TOWN_CLERK)
"""Posts that carry letters and settle what did not arrive."""

EVERYBODY = (*READERS, Role.SYSTEM_ADMIN, Role.FINANCE_OFFICER, Role.FEDERATION_REVIEWER)


class NotifyChassis(Chassis):
    """The chassis with the mail server's settings, read before the service starts.

    A wrong setting stops the start.
    """

    gateway: GatewaySettings

    def setup(self) -> None:
        """Read them beside what every service reads."""
        super().setup()
        self.gateway = GatewaySettings.from_env(self.foundation.settings.mode)


class NotifyService(Service):
    """Who is told."""

    name = "notify"
    kept = stock.KEPT
    staff_posts = Posts(Staff.staff_id, Staff.active, Staff.roles, Staff.scopes)
    chassis = NotifyChassis()

    # copies ------------------------------------------------------------------------------------

    @project(PersonRecorded, into=Person)
    def copy_people(self, uow: UnitOfWork, events: list[PersonRecorded]) -> None:
        """Names, responsible officers, deaths."""
        projections.people(uow, events)

    @project(PersonContactChanged)
    def copy_contacts(self, uow: UnitOfWork, events: list[PersonContactChanged]) -> None:
        """Telephone numbers of residents."""
        projections.contacts(uow, events)

    @project(StaffAppointed, into=Staff)
    def copy_staff(self, uow: UnitOfWork, events: list[StaffAppointed]) -> None:
        """Names of staff."""
        projections.staff(uow, events)

    @project(StaffContactChanged, into=Staff)
    def copy_staff_contacts(self, uow: UnitOfWork, events: list[StaffContactChanged]) -> None:
        """Telephone numbers of staff."""
        projections.staff_contacts(uow, events)

    # what people are told ----------------------------------------------------------------------

    @react(
        CaseAccepted,
        CaseDecided,
        CaseObjected,
        DeadlineExtended,
        DeadlineNeared,
        MaterialRequested,
        PublicityOpened,
        ReviewOpened,
    )
    def tell_of_cases(self, uow: UnitOfWork, events: list[Any]) -> None:
        """Each step of a case to the applicant, each limit to the officer."""
        messages.tell(uow, events)

    @react(PersonDied, PersonDeathRevoked)
    def tell_of_deaths(self, uow: UnitOfWork, events: list[Any]) -> None:
        """A death to the responsible officer."""
        messages.tell(uow, events)

    @react(AccountChangeConfirmed)
    def tell_of_account_changes(
        self, uow: UnitOfWork, events: list[AccountChangeConfirmed]
    ) -> None:
        """A changed payee or account to the number on file and the old one."""
        messages.tell_account_changes(uow, events)

    @react(EntitlementEnded, PaymentFailed, PaymentSettled, RecoveryRaised)
    def tell_of_money(self, uow: UnitOfWork, events: list[Any]) -> None:
        """What was paid, what was not and why, what ends, what is to be recovered."""
        messages.tell(uow, events)

    # sending -----------------------------------------------------------------------------------

    @Every.decorator(0.5)
    def deliver(self) -> None:
        """Send what is due, in transactions of its own: none is open while the mail server is."""
        delivery.deliver_due(self.chassis.foundation, self.chassis.actor, self.chassis.gateway)

    @every(seconds=10)
    def measure(self, uow: UnitOfWork) -> None:
        """Show how many messages wait, are to be carried, or did not arrive."""
        metrics.measure(uow)

    @every(seconds=3600)
    def forget_old_texts(self, uow: UnitOfWork) -> None:
        """Empty the texts that have been kept long enough."""
        delivery.forget_old_texts(uow)

    # the desk ----------------------------------------------------------------------------------

    @query(ListMessages, roles=READERS)
    def list_messages(self, uow: UnitOfWork, request: ListMessages) -> MessagePage:
        """Messages of a person, case, division, status or template."""
        return queries.list_messages(uow, request)

    @query(GetMessage, roles=READERS)
    def get_message(self, uow: UnitOfWork, request: GetMessage) -> MessageDetail:
        """A message with its attempts."""
        return queries.get_message(uow, request)

    @query(TraceMessages, roles=OBSERVERS)
    def trace_messages(self, uow: UnitOfWork, request: TraceMessages) -> list[Traced]:
        """The spans a case's messages were made in."""
        return queries.trace_messages(uow, request)

    @query(CountMessages, roles=EVERYBODY)
    def count_messages(self, uow: UnitOfWork, request: CountMessages) -> MessageCounts:
        """Counts for the desk."""
        return queries.count_messages(uow, request)

    @query(ListLetters, roles=READERS)
    def list_letters(self, uow: UnitOfWork, request: ListLetters) -> LetterPage:
        """Letters to carry."""
        return letters.list_letters(uow, request)

    @command(MarkLettersDelivered, roles=TELLERS)
    def mark_letters_delivered(self, uow: UnitOfWork, request: MarkLettersDelivered) -> int:
        """Letters handed over."""
        return letters.mark_delivered(uow, request)

    @command(ReturnLetter, roles=TELLERS)
    def return_letter(self, uow: UnitOfWork, request: ReturnLetter) -> MessageView:
        """A letter that could not be handed over."""
        return letters.give_back(uow, request)

    @query(ListUndelivered, roles=READERS)
    def list_undelivered(self, uow: UnitOfWork, request: ListUndelivered) -> MessagePage:
        """The work list of what did not arrive."""
        return queries.list_undelivered(uow, request)

    @command(RetryMessage, roles=TELLERS)
    def retry_message(self, uow: UnitOfWork, request: RetryMessage) -> MessageView:
        """Send it again."""
        return undelivered.retry(uow, request)

    @command(SendAsLetter, roles=TELLERS)
    def send_as_letter(self, uow: UnitOfWork, request: SendAsLetter) -> MessageView:
        """Carry it instead."""
        return undelivered.send_as_letter(uow, request)

    @command(MarkToldInPerson, roles=TELLERS)
    def mark_told_in_person(self, uow: UnitOfWork, request: MarkToldInPerson) -> MessageView:
        """Told otherwise."""
        return undelivered.mark_told_in_person(uow, request)

    @query(ListTemplates, roles=EVERYBODY)
    def list_templates(self, uow: UnitOfWork, request: ListTemplates) -> tuple[TemplateView, ...]:
        """All templates."""
        return queries.list_templates(uow, request)

    @query(PreviewTemplate, roles=EVERYBODY)
    def preview_template(self, uow: UnitOfWork, request: PreviewTemplate) -> PreviewView:
        """A template as its reader would see it."""
        return queries.preview_template(uow, request)
