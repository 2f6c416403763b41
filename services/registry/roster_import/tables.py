"""A roster into the tables: streamed by COPY, so that nothing is held twice."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import text

from services.chassis.crypto import FieldCipher
from services.chassis.privileges import refresh_statistics
from services.chassis.uow import UnitOfWork
from services.registry.copy_in import copy_rows
from services.registry.domain.benefits import HEAD
from services.registry.domain.pinyin import initials
from services.registry.roster_import.plan import Plan

_HOUSEHOLD = ("id", "number", "division", "head_person_id", "payee_person_id", "import_id")
_PERSON = (
    "id",
    "household_id",
    "division",
    "name",
    "initials",
    "sex",
    "birth_date",
    "identity",
    "identity_index",
    "relation",
    "is_head",
    "disability",
    "officer_id",
    "beneficiary",
    "phone",
    "account_name",
    "account_number",
    "registered_on",
    "import_id",
    "account_version",
    "contact_version",
)
_RESPONSIBILITY = ("person_id", "officer_id", "since", "reason")
_CARRIED = ("person_id", "benefit", "grant_id", "import_id")
_CATEGORY = ("person_id", "code", "since")


def fill(uow: UnitOfWork, plan: Plan) -> None:
    """Write who is new and what everybody was granted."""
    session = uow.session
    session.flush()
    copy_rows(session, "household", _HOUSEHOLD, _households(plan))
    copy_rows(session, "person", _PERSON, _people(plan, uow.cipher))
    copy_rows(session, "person_category", _CATEGORY, _categories(plan))
    copy_rows(session, "responsibility", _RESPONSIBILITY, _responsibilities(plan))
    copy_rows(session, "carried_benefit", _CARRIED, _benefits(plan))
    if plan.given.people:
        _mark_known_beneficiaries(uow, plan)
    refresh_statistics(session, "household", "person")


def _households(plan: Plan) -> Iterator[tuple[object, ...]]:
    for household in plan.new_households:
        assert household.head is not None
        head = plan.person_ids[household.head.identity]
        number = household.number
        yield plan.household_ids[number], number, household.division, head, head, plan.import_id


def _people(plan: Plan, cipher: FieldCipher) -> Iterator[tuple[object, ...]]:
    encrypt = cipher.encrypt
    for person in plan.new_people:
        key = plan.person_ids[person.identity]
        number, phone = person.account, person.phone
        name = (person.account_name or person.name) if number else ""
        yield (
            key,
            plan.household_ids[person.household],
            person.division,
            person.name,
            initials(person.name),
            "女" if person.female else "男",
            person.birth,
            encrypt(person.identity, table="person", row=key, column="identity"),
            plan.given.indexes[person.identity],
            person.kinship,
            person.kinship == HEAD,
            person.disability or None,
            plan.officers[person.officer],
            person.identity in plan.covered,
            encrypt(phone, table="person", row=key, column="phone") if phone else None,
            encrypt(name, table="person", row=key, column="account_name") if name else None,
            encrypt(number, table="person", row=key, column="account_number") if number else None,
            plan.today,
            plan.import_id,
            1 if number else 0,
            1 if phone else 0,
        )


def _categories(plan: Plan) -> Iterator[tuple[object, ...]]:
    for person in plan.new_people:
        for code in dict.fromkeys(person.categories):
            yield plan.person_ids[person.identity], code, plan.today


def _responsibilities(plan: Plan) -> Iterator[tuple[object, ...]]:
    for person in plan.new_people:
        yield (
            plan.person_ids[person.identity],
            plan.officers[person.officer],
            plan.now,
            "花名册导入",
        )


def _benefits(plan: Plan) -> Iterator[tuple[object, ...]]:
    for grant, grant_id in plan.grants():
        for person in grant.covered:
            yield plan.person_ids[person.identity], grant.benefit, grant_id, plan.import_id


def _mark_known_beneficiaries(uow: UnitOfWork, plan: Plan) -> None:
    """People on record from before whom the roster brought a benefit."""
    uow.session.execute(
        text(
            "UPDATE person SET beneficiary = true FROM carried_benefit c"
            " WHERE c.person_id = person.id AND c.import_id = :import_id"
            " AND NOT beneficiary"
        ),
        {"import_id": plan.import_id},
    )
