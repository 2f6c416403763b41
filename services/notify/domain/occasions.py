"""Whom a fact is told to, and in which template: every event that notify reacts to, one function.

A draft holds what the fact itself says. Names of people and staff are added when the message goes
out, from notify's own copies, so that a message never waits for them when the event comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from services.contracts.events import cases, funding, registry
from services.contracts.money import yuan
from services.notify.domain.message import message_id
from services.notify.domain.templates import Audience

GRANTED = "granted"
REFUSED = "refused"
KEPT = "kept"
CHANGED = "changed"
CARRIED_OVER = "carried_over"
APPLICATION = "application"
DEATH = "death"

DEADLINE_TEMPLATES = {
    "near": "deadline_near_officer",
    "due": "deadline_due_officer",
    "overdue": "deadline_overdue_officer",
}


@dataclass(frozen=True)
class Words:
    """The words in which codes of other services are said to people (data/words.toml)."""

    items: Mapping[str, str]
    benefits: Mapping[str, str]
    changes: Mapping[str, str]
    causes: Mapping[str, str]
    deaths: frozenset[str]

    def item(self, code: str) -> str:
        """The name of a catalogue item; an item not in the list says itself."""
        return self.items.get(code, code)

    def benefit_names(self, codes: Sequence[str]) -> str:
        """The names of benefits, each once, in the order given."""
        return "、".join(dict.fromkeys(self.benefits.get(code, code) for code in codes))


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A message to be made.

    `person_id` is the resident it is for or about. A message to staff goes to `staff_id`, or when
    that is None to whoever is responsible for the resident when it goes out. `named_staff_id` is
    the officer the text names. `contact_id` addresses an earlier number of the resident.
    """

    template: str
    audience: Audience
    division: str
    occasion: str
    person_id: UUID | None = None
    staff_id: UUID | None = None
    named_staff_id: UUID | None = None
    case_id: UUID | None = None
    contact_id: int | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        """The same for the same fact, reader and template, however often the fact is told."""
        reader = self.staff_id or self.person_id
        if reader is None:
            raise ValueError(f"a message about {self.occasion} has no reader")
        occasion = self.occasion
        if self.contact_id is not None:
            occasion += f"/contact-{self.contact_id}"
        return message_id(reader, self.template, occasion)


def day(value: date) -> str:
    """A day of the running year as people say it: 9月28日."""
    return f"{value.month}月{value.day}日"


def full_day(value: date) -> str:
    """A day with its year: 2026年11月3日."""
    return f"{value.year}年{day(value)}"


def month(value: date) -> str:
    """A month with its year: 2026年11月."""
    return f"{value.year}年{value.month}月"


def case_accepted(event: cases.CaseAccepted, words: Words) -> list[Draft]:
    """The applicant is told the number, the limit and the first officer."""
    return [
        Draft(
            template="case_accepted",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"case.accepted/{event.case_id}",
            person_id=event.applicant_person_id,
            named_staff_id=event.first_officer_id,
            case_id=event.case_id,
            values={
                "item": words.item(event.item),
                "case_no": event.case_no,
                "accepted_on": day(event.accepted_on),
                "due_on": full_day(event.due_on),
            },
        )
    ]


def material_requested(event: cases.MaterialRequested, words: Words) -> list[Draft]:
    """The applicant is told once all that is missing."""
    return [
        Draft(
            template="material_requested",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"case.material_requested/{event.case_id}",
            person_id=event.applicant_person_id,
            named_staff_id=event.first_officer_id,
            case_id=event.case_id,
            values={
                "item": words.item(event.item),
                "case_no": event.case_no,
                "count": str(len(event.materials)),
                "materials": "、".join(event.materials),
                "due_on": full_day(event.reply_by) if event.reply_by else "书面通知所定日期",
            },
        )
    ]


def publicity_opened(event: cases.PublicityOpened, words: Words) -> list[Draft]:
    """The applicant is told where he stands in public and for how long.

    A second notice after an objection opens on another day and is told again.
    """
    return [
        Draft(
            template="publicity_opened",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"case.publicity_opened/{event.case_id}/{event.opens_on.isoformat()}",
            person_id=event.applicant_person_id,
            case_id=event.case_id,
            values={
                "item": words.item(event.item),
                "opens_on": day(event.opens_on),
                "closes_on": day(event.closes_on),
            },
        )
    ]


def case_objected(event: cases.CaseObjected, _words: Words) -> list[Draft]:
    """The first officer is told that an objection came."""
    return [
        Draft(
            template="case_objected_officer",
            audience=Audience.OFFICER,
            division=event.division,
            occasion=f"case.objected/{event.case_id}/{event.objected_on.isoformat()}",
            staff_id=event.first_officer_id,
            case_id=event.case_id,
            values={"case_no": event.case_no},
        )
    ]


def deadline_extended(event: cases.DeadlineExtended, _words: Words) -> list[Draft]:
    """The applicant is told the new limit with its reason."""
    return [
        Draft(
            template="deadline_extended",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"case.deadline_extended/{event.case_id}",
            person_id=event.applicant_person_id,
            case_id=event.case_id,
            values={
                "case_no": event.case_no,
                "due_on": full_day(event.due_on),
                "reason": event.reason,
            },
        )
    ]


def deadline_neared(event: cases.DeadlineNeared, _words: Words) -> list[Draft]:
    """The officer is reminded; a step that nobody holds has nobody to remind."""
    template = DEADLINE_TEMPLATES.get(event.stage)
    if template is None or event.officer_id is None:
        return []
    return [
        Draft(
            template=template,
            audience=Audience.OFFICER,
            division=event.division,
            occasion=f"case.deadline_neared/{event.notice_id}",
            staff_id=event.officer_id,
            case_id=event.case_id,
            values={
                "case_no": event.case_no,
                "step": event.step,
                "due_on": full_day(event.due_on),
            },
        )
    ]


def case_decided(event: cases.CaseDecided, words: Words) -> list[Draft]:
    """The applicant is told the decision: what he gets, or why not and what he can do.

    Benefits that came with the roster are no news to anybody; an end is told when it takes effect.
    """
    template = _decision_template(event)
    if template is None:
        return []
    months = [b.from_month for b in event.benefits if b.from_month is not None]
    return [
        Draft(
            template=template,
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"case.decided/{event.decision_id}",
            person_id=event.applicant_person_id,
            case_id=event.case_id,
            values={
                "item": words.item(event.item),
                "case_no": event.case_no,
                "decided_on": day(event.decided_on),
                "reason": event.reason or "详见书面通知",
                "amount": yuan(sum(benefit.amount_fen for benefit in event.benefits)),
                "benefits": words.benefit_names([b.benefit for b in event.benefits]),
                "from_month": month(min(months)) if months else "",
            },
        )
    ]


def _decision_template(event: cases.CaseDecided) -> str | None:
    if event.basis == CARRIED_OVER:
        return None
    if event.outcome == REFUSED:
        return "decided_refused"
    if event.outcome == KEPT:
        return "decision_kept"
    if event.outcome not in (GRANTED, CHANGED) or not event.benefits:
        return None
    if all(benefit.from_month is None for benefit in event.benefits):
        return "decided_granted_once"
    return "decided_granted" if event.basis == APPLICATION else "decision_changed"


def review_opened(event: cases.ReviewOpened, words: Words) -> list[Draft]:
    """The officer is told of the review; one opened by a death comes with the news of the death."""
    if event.cause == DEATH:
        return []
    return [
        Draft(
            template="review_opened_officer",
            audience=Audience.OFFICER,
            division=event.division,
            occasion=f"case.review_opened/{event.case_id}",
            person_id=event.person_id,
            staff_id=event.officer_id,
            case_id=event.case_id,
            values={
                "case_no": event.case_no,
                "reason": words.causes.get(event.cause, event.cause),
            },
        )
    ]


def entitlement_ended(event: funding.EntitlementEnded, words: Words) -> list[Draft]:
    """The first who was covered is told, for all; not of a death, nor of what was never owed."""
    if event.reason in words.deaths or event.last_month is None:
        return []
    return [
        Draft(
            template="entitlement_ended",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"entitlement.ended/{event.entitlement_id}",
            person_id=person_id,
            case_id=event.case_id,
            values={
                "benefits": words.benefit_names([event.benefit]),
                "last_month": month(event.last_month),
                "reason": event.reason or "详见书面通知",
            },
        )
        for person_id in event.person_ids[:1]
    ]


def payment_settled(event: funding.PaymentSettled, words: Words) -> list[Draft]:
    """The payee is told what came, for which month."""
    return [
        Draft(
            template="payment_settled",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"payment.settled/{event.payment_id}",
            person_id=event.payee_person_id,
            values={
                "month": month(event.month),
                "benefits": words.benefit_names(event.benefits),
                "amount": yuan(event.amount_fen),
                "settled_on": day(event.settled_on),
            },
        )
    ]


def payment_failed(event: funding.PaymentFailed, words: Words) -> list[Draft]:
    """The payee is told why the money did not come, and the officer that an account needs care."""
    shared = {"month": month(event.month), "reason": event.reason}
    occasion = f"payment.failed/{event.payment_id}"
    return [
        Draft(
            template="payment_failed",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=occasion,
            person_id=event.payee_person_id,
            values=shared
            | {
                "benefits": words.benefit_names(event.benefits),
                "amount": yuan(event.amount_fen),
            },
        ),
        Draft(
            template="payment_failed_officer",
            audience=Audience.OFFICER,
            division=event.division,
            occasion=occasion,
            person_id=event.payee_person_id,
            values=shared,
        ),
    ]


def recovery_raised(event: funding.RecoveryRaised, _words: Words) -> list[Draft]:
    """The officer is told what is to be recovered."""
    return [
        Draft(
            template="recovery_officer",
            audience=Audience.OFFICER,
            division=event.division,
            occasion=f"recovery.raised/{event.recovery_id}",
            person_id=event.person_id,
            values={
                "count": str(len(event.months)),
                "amount": yuan(event.amount_fen),
                "reason": event.reason,
            },
        )
    ]


def account_change_confirmed(
    event: registry.AccountChangeConfirmed,
    words: Words,
    earlier_contacts: Mapping[UUID, Sequence[int]],
) -> list[Draft]:
    """The number on file is told, and each number that was replaced shortly before the change.

    Of a new payee the one who was paid before is told too. `earlier_contacts` are the replaced
    numbers by person.
    """
    told = dict.fromkeys(filter(None, (event.person_id, event.previous_payee_id)))
    return [
        Draft(
            template="account_changed",
            audience=Audience.RESIDENT,
            division=event.division,
            occasion=f"account.change_confirmed/{event.change_id}",
            person_id=person_id,
            contact_id=contact_id,
            values={
                "what": words.changes.get(event.what, "领款信息"),
                "confirmed_on": day(event.confirmed_on),
            },
        )
        for person_id in told
        for contact_id in (None, *earlier_contacts.get(person_id, ()))
    ]


def person_died(event: registry.PersonDied, _words: Words) -> list[Draft]:
    """The responsible officer is told of a death; nobody writes to the dead person's number."""
    return [
        Draft(
            template="death_officer",
            audience=Audience.OFFICER,
            division=event.division,
            occasion=f"person.died/{event.source_event_id}",
            person_id=event.person_id,
            staff_id=event.officer_id,
            values={"died_on": day(event.died_on)},
        )
    ]


def death_revoked(event: registry.PersonDeathRevoked, _words: Words) -> list[Draft]:
    """The responsible officer is told that a death was registered wrongly."""
    return [
        Draft(
            template="death_revoked_officer",
            audience=Audience.OFFICER,
            division=event.division,
            occasion=f"person.death_revoked/{event.source_event_id}",
            person_id=event.person_id,
        )
    ]
