"""Who of a roster is on record already, found set-based."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import text

from services.chassis.uow import UnitOfWork
from services.registry.copy_in import copy_rows
from services.registry.domain.registered import KnownHousehold, KnownPerson


def find(
    uow: UnitOfWork, indexes: Mapping[str, bytes], numbers: Iterable[str]
) -> tuple[dict[str, KnownPerson], dict[str, KnownHousehold]]:
    """The people (by identity number) and households (by 户编号) that are on record.

    ``indexes`` gives each identity number its blind index; ``numbers`` are 户编号.
    """
    session = uow.session
    session.execute(
        text(
            "CREATE TEMP TABLE IF NOT EXISTS given"
            " (identity_index bytea PRIMARY KEY, identity text) ON COMMIT DROP;"
            "CREATE TEMP TABLE IF NOT EXISTS given_household"
            " (number text PRIMARY KEY) ON COMMIT DROP;"
            "TRUNCATE given, given_household"
        )
    )
    copy_rows(
        session,
        "given",
        ("identity_index", "identity"),
        ((index, identity) for identity, index in indexes.items()),
    )
    copy_rows(session, "given_household", ("number",), ((number,) for number in numbers))
    return _people(uow), _households(uow)


def _people(uow: UnitOfWork) -> dict[str, KnownPerson]:
    rows = uow.session.execute(
        text(
            "SELECT g.identity, p.id, p.name, h.number, p.account_number, p.deceased_on,"
            " array(SELECT benefit FROM carried_benefit c WHERE c.person_id = p.id UNION"
            "       SELECT benefit FROM held_benefit b WHERE b.person_id = p.id AND NOT b.ended)"
            " FROM given g JOIN person p ON p.identity_index = g.identity_index AND NOT p.removed"
            " JOIN household h ON h.id = p.household_id"
        )
    )
    decrypt = uow.cipher.decrypt
    return {
        identity: KnownPerson(
            person_id,
            name,
            number,
            decrypt(account, table="person", row=person_id, column="account_number")
            if account
            else "",
            deceased_on is not None,
            set(benefits),
        )
        for identity, person_id, name, number, account, deceased_on, benefits in rows
    }


def _households(uow: UnitOfWork) -> dict[str, KnownHousehold]:
    rows = uow.session.execute(
        text(
            "SELECT h.id, h.number, h.division, h.head_person_id"
            " FROM given_household g JOIN household h ON h.number = g.number AND NOT h.removed"
        )
    )
    return {
        number: KnownHousehold(household_id, division, head)
        for household_id, number, division, head in rows
    }
