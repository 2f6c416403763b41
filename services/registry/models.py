"""Registry's tables.

Names, places and kinship are plain; identity numbers, accounts, phones and addresses are encrypted
(``FieldCipher``: table, row id and column are bound in), found again by blind index.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    String,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.models import ColumnTypes, new_metadata


class Base(ColumnTypes, DeclarativeBase):
    """Base of registry's tables."""

    metadata = new_metadata()


class Division(Base):
    """A place (区划). Codes are digit prefixes of one another; retired places keep their row."""

    __tablename__ = "division"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    short_name: Mapped[str]
    kind: Mapped[str]
    valid_from: Mapped[date]
    valid_to: Mapped[date | None]
    source: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")


class Staff(Base):
    """A member of staff and the post: roles over division scopes.

    ``(id, active)`` is what people in care refer to: nobody leaves post with people in hand.
    """

    __tablename__ = "staff"
    __table_args__ = (
        UniqueConstraint("id", "active", name="uq_staff_id_active"),
        CheckConstraint(
            "(CASE WHEN 'system_admin' = ANY (roles) THEN 1 ELSE 0 END)"
            " + (CASE WHEN 'security_admin' = ANY (roles) THEN 1 ELSE 0 END)"
            " + (CASE WHEN 'auditor' = ANY (roles) THEN 1 ELSE 0 END) <= 1",
            name="one_administrator",
        ),
        Index(
            "ix_staff_scopes",
            "scopes",
            postgresql_using="gin",
            postgresql_where=text("active"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    staff_no: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    division: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(String))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    active: Mapped[bool]
    since: Mapped[date]
    until: Mapped[date | None]
    phone: Mapped[bytes | None]
    version: Mapped[int]
    contact_version: Mapped[int]


class StaffAccount(Base):
    """A sign-in account: argon2id, never the password."""

    __tablename__ = "staff_account"

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id"), primary_key=True)
    account: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    must_change: Mapped[bool]
    changed_at: Mapped[datetime]


class SignInRow(Base):
    """A try to sign in; append-only. ``outcome``: ok, wrong, locked, unknown, left."""

    __tablename__ = "sign_in"
    __table_args__ = (Index("ix_sign_in_account", "account", "at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    account: Mapped[str]
    outcome: Mapped[str]


class RosterImport(Base):
    """A roster that was written: all of it, or (undone) none of it."""

    __tablename__ = "roster_import"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    file_id: Mapped[uuid.UUID]
    file_name: Mapped[str]
    first_month: Mapped[date]
    state: Mapped[str]
    rows: Mapped[int]
    people: Mapped[int]
    households: Mapped[int]
    grants: Mapped[int]
    warnings: Mapped[int]
    imported_by: Mapped[str]
    imported_by_name: Mapped[str]
    imported_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None]
    reason: Mapped[str | None]


class Household(Base):
    """A household (户). ``payee_person_id`` is whose account is paid what is the household's."""

    __tablename__ = "household"
    __table_args__ = (
        Index("uq_household_number", "number", unique=True, postgresql_where=text("NOT removed")),
        Index("ix_household_number", "number"),
        Index("ix_household_division", "division", postgresql_ops={"division": "text_pattern_ops"}),
        ForeignKeyConstraint(
            ["head_person_id"],
            ["person.id"],
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
            name="fk_household_head_person_id",
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[str]
    division: Mapped[str]
    head_person_id: Mapped[uuid.UUID | None]
    payee_person_id: Mapped[uuid.UUID | None]
    payee_changed_at: Mapped[datetime | None]
    address: Mapped[bytes | None]
    import_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    removed: Mapped[bool] = mapped_column(server_default=text("false"))
    version: Mapped[int] = mapped_column(server_default="1")


class Person(Base):
    """A person on record.

    ``officer_id`` is the one person responsible: never empty, and while the person lives it must
    name somebody in post (``officer_in_post`` is true then, and the pair refers to the staff row).
    ``beneficiary`` follows funding. Facets of the events have a version each.
    """

    __tablename__ = "person"
    __table_args__ = (
        ForeignKeyConstraint(
            ["officer_id", "officer_in_post"],
            ["staff.id", "staff.active"],
            name="fk_person_officer_in_post",
        ),
        Index(
            "uq_person_identity_index",
            "identity_index",
            unique=True,
            postgresql_where=text("NOT removed"),
        ),
        Index(
            "uq_person_one_head",
            "household_id",
            unique=True,
            postgresql_where=text("is_head AND NOT removed"),
        ),
        Index("ix_person_household", "household_id"),
        Index("ix_person_officer", "officer_id"),
        Index(
            "ix_person_division",
            "division",
            "id",
            postgresql_ops={"division": "text_pattern_ops"},
        ),
        CheckConstraint("sex IN ('男', '女')", name="sex"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    household_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("household.id"))
    division: Mapped[str]
    name: Mapped[str]
    initials: Mapped[str]
    sex: Mapped[str]
    birth_date: Mapped[date]
    identity: Mapped[bytes]
    identity_index: Mapped[bytes] = mapped_column(info={"index_of": "identity"})
    relation: Mapped[str]
    is_head: Mapped[bool]
    disability: Mapped[str | None]
    officer_id: Mapped[uuid.UUID]
    officer_in_post: Mapped[bool | None] = mapped_column(
        Boolean,
        Computed("CASE WHEN deceased_on IS NULL AND NOT removed THEN true END", persisted=True),
    )
    beneficiary: Mapped[bool] = mapped_column(server_default=text("false"))
    deceased_on: Mapped[date | None]
    death_source: Mapped[str | None]
    phone: Mapped[bytes | None]
    account_name: Mapped[bytes | None]
    account_number: Mapped[bytes | None]
    bank: Mapped[str | None]
    registered_on: Mapped[date]
    import_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    removed: Mapped[bool] = mapped_column(server_default=text("false"))
    version: Mapped[int] = mapped_column(server_default="1")
    account_version: Mapped[int] = mapped_column(server_default="0")
    contact_version: Mapped[int] = mapped_column(server_default="0")


class PersonCategory(Base):
    """A category (对象类别) of a person, from a day to a day."""

    __tablename__ = "person_category"
    __table_args__ = (
        Index(
            "uq_person_category_current",
            "code",
            "person_id",
            unique=True,
            postgresql_where=text("until IS NULL"),
        ),
        Index("ix_person_category_person", "person_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[uuid.UUID]
    code: Mapped[str]
    since: Mapped[date]
    until: Mapped[date | None]


class Responsibility(Base):
    """Who was responsible for whom, from when to when, and why it changed."""

    __tablename__ = "responsibility"
    __table_args__ = (
        Index(
            "uq_responsibility_current",
            "person_id",
            unique=True,
            postgresql_where=text("until IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[uuid.UUID]
    officer_id: Mapped[uuid.UUID]
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    reason: Mapped[str]


class CarriedBenefit(Base):
    """A benefit that came with a roster, a row for each covered person: never twice the same."""

    __tablename__ = "carried_benefit"

    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    benefit: Mapped[str] = mapped_column(primary_key=True)
    grant_id: Mapped[uuid.UUID]
    import_id: Mapped[uuid.UUID] = mapped_column(index=True)


class HeldBenefit(Base):
    """Entitlements as funding tells of them: who is a beneficiary.

    ``ends`` and ``undone`` are the ends told of, and those taken back; it has ended while there is
    one of the first that is not among the second.
    """

    __tablename__ = "held_benefit"
    __table_args__ = (Index("ix_held_benefit_person", "person_id"),)

    entitlement_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    benefit: Mapped[str]
    ended: Mapped[bool]
    ends: Mapped[list[str]] = mapped_column(ARRAY(String), server_default="{}")
    undone: Mapped[list[str]] = mapped_column(ARRAY(String), server_default="{}")


class AccountChange(Base):
    """A change of payee or account: asked for by one, decided by another (the database insists)."""

    __tablename__ = "account_change"
    __table_args__ = (
        CheckConstraint("decided_by IS NULL OR decided_by <> requested_by", name="two_persons"),
        CheckConstraint("state IN ('requested', 'confirmed', 'refused')", name="state"),
        CheckConstraint("(state = 'requested') = (decided_by IS NULL)", name="decided"),
        Index(
            "uq_account_change_open",
            "household_id",
            "person_id",
            "what",
            unique=True,
            postgresql_where=text("state = 'requested'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    what: Mapped[str]
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    household_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("household.id"))
    division: Mapped[str]
    account_name: Mapped[bytes | None]
    account_number: Mapped[bytes | None]
    bank: Mapped[str | None]
    reason: Mapped[str]
    state: Mapped[str]
    requested_by: Mapped[str]
    requested_by_name: Mapped[str]
    requested_at: Mapped[datetime]
    decided_by: Mapped[str | None]
    decided_by_name: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    decision_reason: Mapped[str | None]


class BureauNotice(Base):
    """What a bureau, or one of our officers, told of a person.

    Applied, waiting for one we do not know, refused, or revoked; ``told_by`` names the officer.
    """

    __tablename__ = "bureau_notice"
    __table_args__ = (
        CheckConstraint("state IN ('applied', 'waiting', 'refused', 'revoked')", name="state"),
        Index(
            "ix_bureau_notice_waiting",
            "identity_index",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_bureau_notice_person", "person_id"),
        Index("ix_bureau_notice_revokes", "revokes", postgresql_where=text("revokes IS NOT NULL")),
    )

    event_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    bureau: Mapped[str]
    kind: Mapped[str]
    division: Mapped[str]
    identity: Mapped[bytes | None]
    identity_index: Mapped[bytes | None] = mapped_column(info={"index_of": "identity"})
    happened_on: Mapped[date | None]
    revokes: Mapped[str | None]
    reference: Mapped[str]
    state: Mapped[str]
    person_id: Mapped[uuid.UUID | None]
    told_by: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
