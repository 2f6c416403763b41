"""Tables of cases: cases with their facts, notices, the calendar, copies of others' state."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.models import ColumnTypes, new_metadata
from services.chassis.tracing import current_traceparent


class Base(ColumnTypes, DeclarativeBase):
    """Base of the tables of cases."""

    metadata = new_metadata()
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        **ColumnTypes.type_annotation_map,
        list[str]: ARRAY(String),
        list[uuid.UUID]: ARRAY(Uuid),
    }


class CaseRow(Base):
    """A case as lists and timers need it; all of it follows from its facts.

    ``person_ids``: everybody covered and the applicant. ``due_on`` is the limit that runs now
    (``due_kind``: decide, papers, tell), ``told`` the stage officers were told of. ``source_key``
    is the natural key of a case that an event opened.
    """

    __tablename__ = "case_file"
    __table_args__ = (
        CheckConstraint("amount_fen >= 0", name="amount"),
        Index("ix_case_file_household", "household_id"),
        Index("ix_case_file_people", "person_ids", postgresql_using="gin"),
        Index(
            "ix_case_file_open",
            "division",
            "due_on",
            "id",
            postgresql_where=text("state IN ('supplementing', 'in_progress', 'decided')"),
        ),
        Index("ix_case_file_listed", "division", "id"),
        Index("ix_case_file_by_limit", text("COALESCE(due_on, '9999-12-31'::date)"), "id"),
        Index("ix_case_file_returned", "division", postgresql_where=text("returned")),
        Index(
            "ix_case_file_running",
            "person_ids",
            postgresql_using="gin",
            postgresql_where=text("outcome = 'granted'"),
        ),
        Index("ix_case_file_import", "import_id", postgresql_where=text("import_id IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    case_no: Mapped[str] = mapped_column(unique=True)
    source_key: Mapped[str | None] = mapped_column(unique=True)
    item: Mapped[str]
    route: Mapped[str]
    kind: Mapped[str]
    benefits: Mapped[list[str]]
    division: Mapped[str]
    household_id: Mapped[uuid.UUID]
    applicant_id: Mapped[uuid.UUID]
    person_ids: Mapped[list[uuid.UUID]]
    minor: Mapped[bool]
    child: Mapped[bool]
    state: Mapped[str]
    current: Mapped[list[str]]
    outcome: Mapped[str | None]
    first_officer_id: Mapped[uuid.UUID | None]
    applied_on: Mapped[date]
    accepted_on: Mapped[date | None]
    decided_on: Mapped[date | None]
    due_kind: Mapped[str | None]
    due_on: Mapped[date | None]
    warn_on: Mapped[date | None]
    due_provisional: Mapped[bool]
    told: Mapped[str | None]
    notice_until: Mapped[date | None]
    objection_open: Mapped[bool]
    returned: Mapped[bool]
    amount_fen: Mapped[int | None] = mapped_column(BigInteger)
    decision_id: Mapped[uuid.UUID | None]
    document_no: Mapped[str | None]
    import_id: Mapped[uuid.UUID | None]
    reviews: Mapped[uuid.UUID | None]
    version: Mapped[int] = mapped_column(Integer)
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FactRow(Base):
    """One fact of a case, as ``domain/facts.py`` writes it. Append-only (a trigger refuses)."""

    __tablename__ = "fact"

    case_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("case_file.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str]
    body: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    traceparent: Mapped[str | None] = mapped_column(default=current_traceparent)
    """Under which span it was written: the way from a case to its traces."""


class NoticeRow(Base):
    """A notice on the board. The whitelist is all there is room for."""

    __tablename__ = "notice"
    __table_args__ = (
        Index(
            "ix_notice_hanging",
            "division",
            "closes_on",
            postgresql_where=text("taken_down_on IS NULL"),
        ),
        CheckConstraint("members > 0 AND amount_fen > 0", name="figures"),
        CheckConstraint("applicant_name !~ '[0-9]'", name="no_number"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    case_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    item: Mapped[str]
    division: Mapped[str]
    applicant_name: Mapped[str]
    members: Mapped[int]
    amount_fen: Mapped[int] = mapped_column(BigInteger)
    opens_on: Mapped[date]
    closes_on: Mapped[date]
    taken_down_on: Mapped[date | None]


class SerialRow(Base):
    """The last number given in a series, e.g. the case numbers of a county and year."""

    __tablename__ = "serial"

    series: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)


class CalendarYearRow(Base):
    """A year whose notice of the State Council is loaded."""

    __tablename__ = "work_calendar_year"

    year: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    source: Mapped[str]
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CalendarDayRow(Base):
    """A day that differs from its weekday: off, or a make-up day that is worked."""

    __tablename__ = "work_calendar_day"

    day: Mapped[date] = mapped_column(primary_key=True)
    working: Mapped[bool]


class LockedMonth(Base):
    """A month whose payments funding locked in a county: decisions for it are paid."""

    __tablename__ = "locked_month"

    division: Mapped[str] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    locked_at: Mapped[datetime] = mapped_column(server_default=func.now())


class HeldBenefitRow(Base):
    """An entitlement as funding tells of it: who holds what, from when, and whether it ended.

    ``ends`` and ``undone`` are the ends told of, and those taken back; it has ended while there is
    one of the first that is not among the second.
    """

    __tablename__ = "held_benefit"
    __table_args__ = (
        Index("ix_held_benefit_people", "person_ids", postgresql_using="gin"),
        Index("ix_held_benefit_case", "case_id"),
    )

    entitlement_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    case_id: Mapped[uuid.UUID]
    household_id: Mapped[uuid.UUID]
    person_ids: Mapped[list[uuid.UUID]]
    benefit: Mapped[str]
    division: Mapped[str]
    from_month: Mapped[date | None]
    ended: Mapped[bool]
    ends: Mapped[list[str]] = mapped_column(server_default="{}")
    undone: Mapped[list[str]] = mapped_column(server_default="{}")
    last_month: Mapped[date | None]
    ended_reason: Mapped[str | None]


class DeathTold(Base):
    """A death that registry told of, or took back: cases that come later are held against it."""

    __tablename__ = "death_told"
    __table_args__ = (Index("ix_death_told_person", "person_id"),)

    source_event_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[uuid.UUID]
    died_on: Mapped[date | None]
    officer_id: Mapped[uuid.UUID | None]
    revoked: Mapped[bool]


class UndoneImport(Base):
    """A roster import taken back: a benefit of it heard of late opens nothing."""

    __tablename__ = "undone_import"

    import_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


class Division(Base):
    """Copy of a division: its name."""

    __tablename__ = "division"

    division: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    parent: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)


class Staff(Base):
    """Copy of a member of staff: who may investigate, and to whom an overdue case goes up."""

    __tablename__ = "staff"

    staff_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    staff_no: Mapped[str]
    name: Mapped[str]
    division: Mapped[str]
    roles: Mapped[list[str]]
    scopes: Mapped[list[str]]
    active: Mapped[bool]
    epoch: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)


class Person(Base):
    """Copy of a resident: name, household, birth date, disability, death."""

    __tablename__ = "person"
    __table_args__ = (Index("ix_person_household", "household_id"),)

    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    household_id: Mapped[uuid.UUID]
    division: Mapped[str]
    name: Mapped[str]
    birth_date: Mapped[date | None]
    relation: Mapped[str]
    is_head: Mapped[bool]
    categories: Mapped[list[str]]
    disability: Mapped[str | None]
    officer_id: Mapped[uuid.UUID | None]
    deceased_on: Mapped[date | None]
    removed: Mapped[bool]
    epoch: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)


class Household(Base):
    """Copy of a household: whose account is paid."""

    __tablename__ = "household"

    household_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    household_no: Mapped[str]
    division: Mapped[str]
    payee_person_id: Mapped[uuid.UUID | None]
    removed: Mapped[bool]
    epoch: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
