"""A death registered wrongly is taken back: the living man gets what was held back, and keeps or
gets back what was taken from him; whoever else died stays dead.
"""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import text

from services.contracts.commands import funding as c
from services.funding import deaths, queries, recoveries
from tests.builders.funding import CLERK, FINANCE, Household, Office
from tests.integration.funding.test_deaths import (
    BEFORE_THE_MONTH,
    IN_THE_MONTH,
    finish,
    open_recoveries,
    revoke,
)


def settled(office: Office, home: Household) -> int:
    """What has reached a household's accounts, in fen."""
    with office.uow() as uow:
        return int(
            uow.session.scalar(
                text(
                    "SELECT coalesce(sum(fen), 0) FROM payment"
                    " WHERE state = 'settled' AND household_id = :home"
                ),
                {"home": home.household_id},
            )
        )


def balances(office: Office) -> dict[str, int]:
    """The books."""
    with office.uow(CLERK) as uow:
        return {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}


def pay(office: Office, month: str) -> None:
    """A whole month's cycle."""
    office.open(month)
    finish(office, month)


@pytest.mark.parametrize("state", ["checked", "reviewed", "released", "sent"])
def test_whatever_state_the_payment_was_in_the_month_is_paid_once(
    office: Office, state: str
) -> None:
    """A payment signed or already with the bank: the month arrives, once, and so does the next."""
    office.money()
    home, other = office.household(), office.household()
    office.grant(home, "elderly", fen=5_000)
    office.grant(other, "elderly", fen=10_000)
    office.bring_to(state)
    told = office.dies(home, home.head, BEFORE_THE_MONTH)
    revoke(office, home, told)
    finish(office)
    pay(office, "2026-12")
    assert (settled(office, home), open_recoveries(office)) == (10_000, [])
    assert balances(office)["应收"] == 0


@pytest.mark.parametrize(
    ("recovered", "written_off"), [(3_000, 0), (5_000, 0), (3_000, 2_000), (0, 5_000)]
)
def test_what_was_taken_back_from_the_living_is_given_again(
    office: Office, recovered: int, written_off: int
) -> None:
    """Money got back from his account is owed to him; what was written off was his all along."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("sent")
    told = office.dies(home, home.head, BEFORE_THE_MONTH)
    finish(office)
    with office.uow(CLERK) as uow:
        (recovery,) = recoveries.list_all(uow, c.ListRecoveries())
    key = recovery.recovery_id
    with office.uow(FINANCE) as uow:
        if recovered:
            recoveries.record(
                uow, c.RecordRecovery(recovery_id=key, fen=recovered, document_no="收1")
            )
        if written_off:
            recoveries.write_off(
                uow, c.WriteOffRecovery(recovery_id=key, fen=written_off, document_no="核1")
            )
    revoke(office, home, told)
    assert open_recoveries(office) == []
    pay(office, "2026-12")
    assert settled(office, home) - recovered == 10_000
    books = balances(office)
    assert (books["应收"], books["核销"], books["应付"]) == (0, 0, 0)
    assert books["救助支出"] == 10_000


def test_what_a_review_closed_for_want_of_heirs_is_owed_again(office: Office) -> None:
    """Months held for the dead man's heirs and closed by a review are his, now that he lives."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("computed")
    told = office.dies(home, home.head, IN_THE_MONTH)
    with office.uow(CLERK) as uow:
        request = c.CloseHeldDues(
            household_id=home.household_id, reason="无继承人", document_no="复1"
        )
        assert recoveries.close_held(uow, request) == 1
    revoke(office, home, told)
    pay(office, "2026-12")
    assert settled(office, home) == 10_000


@pytest.mark.parametrize("first_revoked", [True, False])
def test_of_two_deaths_in_a_household_one_is_revoked(office: Office, first_revoked: bool) -> None:
    """The other stays dead: the household is paid for the living alone, whichever was wrong."""
    office.money()
    home = office.household(3)
    office.grant(home, "rural_dibao", fen=66_000, counted_income_fen=120_000)
    told = {
        1: office.dies(home, home.people[1], BEFORE_THE_MONTH),
        2: office.dies(home, home.people[2], date(2026, 10, 25)),
    }
    wrong = 1 if first_revoked else 2
    alive = Household(home.household_id, [home.people[wrong]])
    revoke(office, alive, told[wrong])
    office.open()
    finish(office)
    assert settled(office, home) == 4_000  # two people: 2 × 620 − 1,200 yuan
    with office.uow() as uow:
        dead_covered = uow.session.scalar(
            text("SELECT count(*) FROM coverage WHERE active AND person_id = :dead"),
            {"dead": home.people[3 - wrong]},
        )
        deaths.list_paid_after_death(uow)
    assert dead_covered == 0
    assert open_recoveries(office) == []
