"""What happened in a case, one fact after another. A case is nothing but its facts.

Facts are stored as they are written here (JSON, tagged by type) and never changed; the timeline
of a case is its facts in order. Days are business dates; amounts are fen.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from uuid import UUID

import msgspec

from services.contracts.events.funding import Obstacle, QuotedBenefit


class Outcome(StrEnum):
    """How a case was decided. Applications are granted or refused, reviews the other three."""

    GRANTED = "granted"
    REFUSED = "refused"
    KEPT = "kept"
    CHANGED = "changed"
    ENDED = "ended"


class EndGround(StrEnum):
    """Why a case ends undecided."""

    WITHDRAWN = "withdrawn"
    NOT_COOPERATING = "not_cooperating"
    DEATH_REVOKED = "death_revoked"
    IMPORT_UNDONE = "import_undone"


class ExtensionGround(StrEnum):
    """The law's grounds for an extension (民发〔2022〕83号 part 4; 办法 art. 22)."""

    OBJECTION = "objection"
    RESIDES_ELSEWHERE = "resides_elsewhere"
    OUT_OF_AREA = "out_of_area"
    HARD_INVESTIGATION = "hard_investigation"


class Kinship(msgspec.Struct, frozen=True, kw_only=True):
    """A near relative of the applicant among the staff or the village committee (art. 11)."""

    staff_id: UUID
    relation: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit asked for and who is to be covered. ``asked_fen``: of a one-off, if named."""

    benefit: str
    covered: tuple[UUID, ...]
    asked_fen: int | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit and the amount a decision gives it: fen a month, or the one-off sum."""

    benefit: str
    amount_fen: int


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that happened ``on`` a business day, done ``by`` an actor's id."""

    on: date
    by: str
    by_name: str = ""


class Registered(Fact, frozen=True, kw_only=True, tag="registered"):
    """The application came in. ``materials``: what was brought. ``by`` is the first officer."""

    asked: tuple[Asked, ...]
    single_person: bool = False
    materials: tuple[str, ...] = ()
    relatives: tuple[Kinship, ...] = ()
    circumstance: str = ""
    channel: str = "window"
    proxy_name: str = ""


class MissingTold(Fact, frozen=True, kw_only=True, tag="missing_told"):
    """The one notice of everything that is missing (一次性告知)."""

    missing: tuple[str, ...]


class MaterialSupplied(Fact, frozen=True, kw_only=True, tag="material_supplied"):
    """Papers came in later."""

    materials: tuple[str, ...]


class NotAccepted(Fact, frozen=True, kw_only=True, tag="not_accepted"):
    """The application was not taken up, in writing and with the reason (不予受理)."""

    reason: str


class Accepted(Fact, frozen=True, kw_only=True, tag="accepted"):
    """受理: from here the limit runs."""


class Investigated(Fact, frozen=True, kw_only=True, tag="investigated"):
    """Two or more went to see; all of them and the household signed (art. 16)."""

    investigators: tuple[UUID, ...]
    finding: str
    income_fen: int | None = None


class CountyVisited(Fact, frozen=True, kw_only=True, tag="county_visited"):
    """The county went to the home itself: a relative of staff, or a complaint (art. 20)."""

    visitors: tuple[UUID, ...]
    finding: str


class MeansChecked(Fact, frozen=True, kw_only=True, tag="means_checked"):
    """The report of the check across departments (核对), and what income it counts."""

    report_no: str
    consistent: bool
    finding: str = ""
    income_fen: int | None = None


class AssessmentAsked(Fact, frozen=True, kw_only=True, tag="assessment_asked"):
    """Funding was asked for the amount, for the ``round``-th time, on the income investigated."""

    round: int
    income_fen: int | None = None


class Quoted(Fact, frozen=True, kw_only=True, tag="quoted"):
    """Funding's answer: amounts with their working, exclusions and duplicates with their clause."""

    round: int
    quote_id: UUID
    benefits: tuple[QuotedBenefit, ...]
    obstacles: tuple[Obstacle, ...] = ()


class OpinionGiven(Fact, frozen=True, kw_only=True, tag="opinion_given"):
    """初审意见: what to grant, or why nothing."""

    favourable: bool
    reason: str = ""
    grants: tuple[Grant, ...] = ()


class PublicityOpened(Fact, frozen=True, kw_only=True, tag="publicity_opened"):
    """The notice hangs; ``until`` is its last whole day."""

    until: date
    notice_id: UUID


class PublicityEnded(Fact, frozen=True, kw_only=True, tag="publicity_ended"):
    """The notice was taken down after its days."""


class ObjectionRaised(Fact, frozen=True, kw_only=True, tag="objection_raised"):
    """Somebody objects. ``complaint``: to the county, which then visits the home."""

    number: int
    content: str
    complaint: bool = False


class ObjectionResolved(Fact, frozen=True, kw_only=True, tag="objection_resolved"):
    """What became of it. ``upheld``: investigate anew and give a new opinion."""

    number: int
    upheld: bool
    finding: str


class Extended(Fact, frozen=True, kw_only=True, tag="extended"):
    """The one extension, with its ground and reason."""

    ground: ExtensionGround
    reason: str


class DeadlineMoved(Fact, frozen=True, kw_only=True, tag="deadline_moved"):
    """The calendar changed under an open case; the trace of it."""

    was: date
    now: date
    reason: str


class FederationReviewed(Fact, frozen=True, kw_only=True, tag="federation_reviewed"):
    """残联审核: the disability certificate and its grade."""

    passed: bool
    note: str = ""


class Decided(Fact, frozen=True, kw_only=True, tag="decided"):
    """审核确认 or 不予确认. ``late_reason`` when the limit had passed."""

    decision_id: UUID
    outcome: Outcome
    document_no: str
    grants: tuple[Grant, ...] = ()
    reason: str = ""
    late_reason: str = ""


class Corrected(Fact, frozen=True, kw_only=True, tag="corrected"):
    """A wrong decision put right before any payment."""

    decision_id: UUID
    corrects: UUID
    outcome: Outcome
    document_no: str
    grants: tuple[Grant, ...] = ()
    reason: str


class GrantRefused(Fact, frozen=True, kw_only=True, tag="grant_refused"):
    """Funding could not put the decision into effect: an exclusion, a duplicate, already paid."""

    decision_id: UUID
    benefit: str
    reason: str
    clause: str = ""


class PapersCompleted(Fact, frozen=True, kw_only=True, tag="papers_completed"):
    """The papers of an urgent case, made up afterwards and signed."""

    materials: tuple[str, ...]
    finding: str


class Told(Fact, frozen=True, kw_only=True, tag="told"):
    """告知: the document of the decision reached the applicant."""

    way: str


class Ended(Fact, frozen=True, kw_only=True, tag="ended"):
    """The case ends undecided."""

    ground: EndGround
    reason: str


class CarriedOver(Fact, frozen=True, kw_only=True, tag="carried_over"):
    """A benefit granted before Zhida, taken over from the roster (存量结转)."""

    decision_id: UUID
    document_no: str
    covered: tuple[UUID, ...]
    grants: tuple[Grant, ...]


class ReviewOpened(Fact, frozen=True, kw_only=True, tag="review_opened"):
    """A running benefit is looked at again."""

    asked: tuple[Asked, ...]
    cause: str
    cause_event_id: str
    reason: str


AnyFact = (
    Registered
    | MissingTold
    | MaterialSupplied
    | NotAccepted
    | Accepted
    | Investigated
    | CountyVisited
    | MeansChecked
    | AssessmentAsked
    | Quoted
    | OpinionGiven
    | PublicityOpened
    | PublicityEnded
    | ObjectionRaised
    | ObjectionResolved
    | Extended
    | DeadlineMoved
    | FederationReviewed
    | Decided
    | Corrected
    | GrantRefused
    | PapersCompleted
    | Told
    | Ended
    | CarriedOver
    | ReviewOpened
)


def read_fact(data: object) -> AnyFact:
    """A stored fact, back as its type."""
    fact: AnyFact = msgspec.convert(data, type=AnyFact)
    return fact
