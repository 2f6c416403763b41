"""A living man is declared dead by mistake: from the window to his account and his officer."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from services.chassis import stock
from services.chassis.discovery import service_class
from services.cli.reconcile import compare
from services.contracts.commands import cases as c
from services.contracts.commands import funding as m
from services.contracts.commands.registry import (
    FindByIdentity,
    HouseholdView,
    RecordDeath,
    RevokeDeath,
)
from services.contracts.events.funding import (
    EntitlementEnded,
    EntitlementGranted,
    EntitlementReopened,
    PaymentSettled,
)
from tests.builders.city import City
from tests.builders.roster import identity
from tests.e2e.test_acceptance import Staff, carry_over, household
from tests.e2e.test_acceptance_money import answered, exported, signed

FEN = 100_000
BORN = "19500305"


@pytest.fixture
def services() -> tuple[str, ...]:
    """All four: who is told of it is part of the promise."""
    return ("registry", "cases", "funding", "notify")


@pytest.fixture
def family(city: City, staff: Staff) -> HouseholdView:
    """A man on 特困, 1,000 yuan a month from November; budget and cash."""
    made = household(city, staff, head="向长河", born=BORN)
    carry_over(city, made, "tekun")
    finance = staff["finance"]
    city.ask(
        finance,
        m.AllotBudget(year=2026, benefit="tekun", fen=10_000_000, document_no="洪财〔2026〕1号"),
    )
    city.ask(finance, m.DepositFunds(fen=10_000_000, document_no="洪财库〔2026〕1号"))
    city.today = date(2026, 11, 10)
    return made


def pay(city: City, staff: Staff, month: str, folder: Path) -> m.BatchView:
    """A month's cycle from opening to the bank's answer, when it has anything to pay."""
    clerk = staff["funding_clerk"]
    city.ask(clerk, m.OpenBatch(month=month))
    city.ask(clerk, m.ComputeBatch(batch=month))
    checked = city.ask(clerk, m.CheckBatch(batch=month))
    if not checked.computed_fen:
        return checked
    signed(city, staff, checked.computed_fen, month)
    city.ask(clerk, m.LockBatch(batch=month))
    content = exported(city, clerk, month)
    city.ask(clerk, m.SettleBatch(batch=month, file_id=answered(city, clerk, content, folder)))
    return city.ask(clerk, m.ShowBatch(batch=month))


def test_the_living_man_is_paid_what_was_held_back(
    city: City, staff: Staff, family: HouseholdView, tmp_path: Path
) -> None:
    """November is not paid to the dead; revoked, December brings both months, once; the review of
    his death ends, his officer is told twice, and he is found alive at the window."""
    man = family.members[0].person_id
    city.ask(
        staff["clerk"], RecordDeath(person_id=man, died_on=date(2026, 10, 20), evidence="口头报告")
    )
    city.settle(again=True)
    assert pay(city, staff, "2026-11", tmp_path).computed_fen == 0
    (review,) = city.ask(staff["clerk"], c.ListCases(person_id=man, kind="review")).cases
    assert review.state == "in_progress"
    city.today = date(2026, 12, 2)
    city.ask(staff["reviewer"], RevokeDeath(person_id=man, evidence="入户见到本人"))
    city.settle(again=True)
    ended = city.ask(staff["clerk"], c.ReadCase(case_id=review.case_id))
    assert ended.state != "in_progress"
    done = pay(city, staff, "2026-12", tmp_path)
    assert done.sums is not None
    assert done.sums.agree
    assert sum(event.amount_fen for event in city.said(PaymentSettled)) == 2 * FEN
    assert {event.payee_person_id for event in city.said(PaymentSettled)} == {man}
    assert len(city.said(EntitlementEnded)) == 1
    assert len(city.said(EntitlementGranted)) == 2, "granted once, and again when revoked"
    found = city.ask(staff["other_clerk"], FindByIdentity(identity_number=identity(1, BORN)))
    assert found is not None
    assert found.deceased_on is None
    assert found.beneficiary
    assert [event.person_ids for event in city.said(EntitlementReopened)] == [(man,)]
    with city.begin("cases") as uow:
        held = uow.session.execute(text("SELECT ended, last_month, from_month FROM held_benefit"))
        assert [tuple(row) for row in held] == [(False, None, date(2026, 11, 1))]
    with city.begin("notify") as uow:
        told = uow.session.execute(
            text("SELECT template, count(*) FROM message WHERE template LIKE 'death%' GROUP BY 1")
        ).all()
    assert {tuple(row) for row in told} == {("death_officer", 1), ("death_revoked_officer", 1)}
    the_services_agree(city)


def the_services_agree(city: City) -> None:
    """After all that `zhida reconcile` finds no difference, and each that is made it names."""
    assert differences(city) == []
    spoiled = {
        "cases": "UPDATE person SET version = version + 1",
        "funding": "DELETE FROM household",
        "registry": "UPDATE held_benefit SET ended = true",
        "notify": "UPDATE staff SET version = 99 WHERE version IS NOT NULL",
    }
    for service, sql in spoiled.items():
        with city.begin(service) as uow:
            uow.session.execute(text(sql))
    with city.begin("funding") as uow:
        uow.session.execute(text("UPDATE payment SET fen = fen + 1 WHERE state = 'settled'"))
    assert differences(city) == [
        ("人员", "cases"),
        ("在享人员", "registry"),
        ("家庭", "funding"),
        ("工作人员", "notify"),
        ("已发放的付款 = 账上结清减退票", "funding"),
    ]


def differences(city: City) -> list[tuple[str, str]]:
    """What does not agree, and with whom."""
    stocks = []
    for name in city.foundations:
        cls = service_class(name)
        with city.begin(name) as uow:
            stocks.append(stock.take(uow, cls.kept, cls.books, []))
    return sorted(
        (line.what, line.holder)
        for line in compare(stocks)
        if not line.same and line.what != "待发事件"
    )
