"""A death at every state of a cycle: nobody dead is paid, nothing owed is lost, and what was paid
after death is listed for recovery (acceptance case 2).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import permutations
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Actor, Role
from services.contracts.commands import funding as c
from services.contracts.errors import Conflict, Invalid
from services.contracts.events.cases import BenefitGranted
from services.contracts.events.registry import HouseholdRecorded, PersonDeathRevoked, PersonDied
from services.contracts.ids import new_id
from services.funding import (
    batches,
    checking,
    computing,
    deaths,
    locking,
    projections,
    queries,
    recoveries,
    settlement,
    terms,
)
from tests.builders.funding import (
    CLERK,
    COUNTY,
    FINANCE,
    VILLAGE,
    Household,
    Office,
    bank_answers,
)
from tests.fixtures.services import emitted

BEFORE_THE_MONTH = date(2026, 10, 20)
IN_THE_MONTH = date(2026, 11, 5)


def payment_states(office: Office, payee: UUID) -> list[str]:
    """The states of the payments to somebody, oldest first."""
    with office.uow() as uow:
        rows = uow.session.execute(
            text(
                "SELECT p.state FROM payment p JOIN batch b ON b.id = p.batch_id"
                " WHERE p.payee_person_id = :payee ORDER BY b.serial"
            ),
            {"payee": payee},
        )
        return list(rows.scalars())


def open_recoveries(office: Office) -> list[tuple[str, int]]:
    """Months and sums to be recovered."""
    with office.uow(CLERK) as uow:
        return [
            (row.month, row.open_fen)
            for row in recoveries.list_all(uow, c.ListRecoveries(only_open=True))
        ]


def finish(office: Office, batch: str = "2026-11") -> c.BatchView:
    """Take a batch from wherever it is to its settlement."""
    steps: dict[str, Callable[[], object]] = {
        "open": lambda: office.compute(batch),
        "computed": lambda: office.check(batch),
        "checked": lambda: office.sign(batch, "review"),
        "reviewed": lambda: office.sign(batch, "release"),
        "released": lambda: office.lock(batch),
        "locked": lambda: office.export(batch),
        "sent": lambda: office.settle(batch, bank_answers(office.file(batch))),
    }
    while (view := office.view(batch)).state != "settled":
        steps[view.state]()
    return view


@pytest.mark.parametrize(
    "state", ["open", "computed", "checked", "reviewed", "released", "locked", "sent", "settled"]
)
def test_a_payee_dies_at_each_state(office: Office, state: str) -> None:
    """Died before the month: before the file the payment drops out (after the signatures by a
    transfer), after the file it is listed for recovery; the others are paid; the sums agree."""
    office.money()
    dead, alive = office.household(), office.household()
    office.grant(dead, "elderly", fen=5_000)
    office.grant(alive, "elderly", fen=10_000)
    if state == "settled":
        office.bring_to("sent")
        finish(office)
    else:
        office.bring_to(state)
    office.dies(dead, dead.head, BEFORE_THE_MONTH)
    view = finish(office)
    assert view.sums is not None
    assert view.sums.agree
    assert payment_states(office, alive.head) == ["settled"]
    if state in ("sent", "settled"):
        assert open_recoveries(office) == [("2026-11", 5_000)]
    else:
        assert "settled" not in payment_states(office, dead.head)
        assert open_recoveries(office) == []
        assert view.sums.bank_file == 10_000
    with office.uow(CLERK) as uow:
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
        used = uow.session.scalar(text("SELECT sum(used_fen) FROM budget_line"))
    assert balances["应付"] == balances["在途"] == 0
    assert used == -balances["资金账户"]
    assert balances["救助支出"] + balances["应收"] == used
    december = office.open("2026-12")
    assert office.compute(december.batch_no).computed_fen == 10_000


@pytest.mark.parametrize("state", ["computed", "checked", "released", "locked"])
def test_a_month_still_owed_waits_for_a_new_payee(office: Office, state: str) -> None:
    """Died within the month: the month is owed, the dead account is not paid; a new payee, set by
    registry, gets it."""
    office.money()
    home = office.household(2)
    office.grant(home, "rural_dibao", fen=60_000, counted_income_fen=64_000)
    office.bring_to(state)
    office.dies(home, home.head, IN_THE_MONTH)
    if state in ("computed", "checked"):
        held = office.check("2026-11")
        assert {t.key for t in held.by_state} == {"held"}
    else:
        if state == "released":
            office.lock("2026-11")
        assert payment_states(office, home.head) == ["withdrawn"]
    heir = home.people[1]
    office.account(home, heir)
    with office.uow() as uow:
        projections.households(
            uow,
            [
                HouseholdRecorded(
                    household_id=home.household_id,
                    household_no="H",
                    division=VILLAGE,
                    head_person_id=heir,
                    payee_person_id=heir,
                    members=1,
                    epoch=0,
                    version=2,
                )
            ],
        )
    december = office.open("2026-12")
    view = office.compute(december.batch_no)
    # November for both as it was owed, December for the one who is left: 62,000 − 64,000 → 0
    assert view.computed_fen == 60_000
    with office.uow() as uow:
        payees = uow.session.execute(
            text("SELECT payee_person_id FROM payment WHERE batch_id = :b"),
            {"b": december.batch_id},
        ).scalars()
        assert list(payees) == [heir]


def test_a_member_who_is_not_the_payee_dies(office: Office) -> None:
    """The household is paid for the month of the death and worked out anew from the next."""
    office.money()
    home = office.household(3)
    office.grant(home, "rural_dibao", fen=66_000, counted_income_fen=120_000)
    office.bring_to("locked")
    office.dies(home, home.people[2], IN_THE_MONTH)
    assert payment_states(office, home.head) == ["locked"]
    finish(office)
    december = office.open("2026-12")
    assert office.compute(december.batch_no).computed_fen == 2 * 62_000 - 120_000
    with office.uow(CLERK) as uow:
        view = queries.list_entitlements(uow, c.ListEntitlements(household_id=home.household_id))[0]
    assert [term.from_month for term in view.terms] == ["2026-11", "2026-12"]
    assert sum(line.fen for line in view.terms[1].working) == view.fen == 4_000


@pytest.mark.parametrize("state", ["computed", "checked", "released", "locked", "sent", "settled"])
def test_a_member_died_before_the_month_that_stands_in_the_batch(
    office: Office, state: str
) -> None:
    """The household's own money is right in the end, whatever state the batch was in: paid for two
    people, or paid for three and the difference listed for recovery."""
    office.money()
    home, other = office.household(3), office.household()
    office.grant(home, "rural_dibao", fen=66_000, counted_income_fen=120_000)
    office.grant(other, "elderly", fen=5_000)
    office.bring_to("sent" if state == "settled" else state)
    if state == "settled":
        finish(office)
    office.dies(home, home.people[2], BEFORE_THE_MONTH)
    view = finish(office)
    assert view.sums is not None
    assert view.sums.agree
    december = office.open("2026-12")
    office.compute(december.batch_no)
    office.check(december.batch_no)
    office.sign(december.batch_no, "review")
    office.sign(december.batch_no, "release")
    office.lock(december.batch_no)
    office.export(december.batch_no)
    finish(office, december.batch_no)
    with office.uow(CLERK) as uow:
        paid = uow.session.scalar(
            text("SELECT sum(fen) FROM payment WHERE state = 'settled' AND household_id = :h"),
            {"h": home.household_id},
        )
    recover = sum(fen for _, fen in open_recoveries(office))
    assert paid - recover == 2 * 4_000  # two months at 2 × 620 − 1,200
    assert (recover > 0) is (state in ("sent", "settled"))


def dies_at_once(office: Office, home: Household, person: UUID) -> None:
    """Somebody dies while another transaction is open: the death waits for none."""
    death = Thread(target=office.dies, args=(home, person, BEFORE_THE_MONTH), daemon=True)
    death.start()
    death.join(timeout=5)
    assert not death.is_alive(), "the death waited"
    with office.uow() as uow:
        stopped = "SELECT count(*) FROM stop WHERE person_id = :person"
        assert uow.session.scalar(text(stopped), {"person": person}) == 1


@pytest.mark.parametrize("again", [False, True], ids=["first", "recomputed"])
def test_a_death_commits_while_compute_is_open(office: Office, again: bool) -> None:
    """It does not wait for compute, and check and lock leave the person out."""
    office.money()
    dead, alive = office.household(), office.household()
    office.grant(dead, "elderly", fen=5_000)
    office.grant(alive, "elderly", fen=10_000)
    office.open()
    if again:
        office.compute("2026-11")
    with office.uow(CLERK) as uow:
        view = computing.compute(uow, c.ComputeBatch(batch="2026-11"))
        assert view.computed_fen == 15_000
        dies_at_once(office, dead, dead.head)
    checked = office.check("2026-11")
    assert checked.computed_fen == 10_000
    assert finish(office).sums.agree  # type: ignore[union-attr]
    assert payment_states(office, dead.head) == ["held"]
    with office.uow() as uow:
        owed = uow.session.scalar(text("SELECT count(*) FROM due WHERE state = 'owed'"))
    assert owed == 0


def test_the_dead_are_stopped_once_and_stay_stopped(office: Office) -> None:
    """The same death again, or another report of it, changes nothing."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    first = office.dies(home, home.head, BEFORE_THE_MONTH)
    office.dies(home, home.head, BEFORE_THE_MONTH, event_id=first)
    office.dies(home, home.head, date(2026, 12, 24))
    with office.uow(CLERK) as uow:
        ended = [name for name, _ in emitted(uow) if name == "entitlement.ended.v1"]
        died_on = uow.session.scalar(text("SELECT died_on FROM stop"))
    assert (len(ended), died_on) == (1, BEFORE_THE_MONTH)


def revoke(office: Office, home: Household, event_id: str, *, person: UUID | None = None) -> None:
    """The bureau takes a death back."""
    with office.uow() as uow:
        deaths.on_death_revoked(
            uow,
            [
                PersonDeathRevoked(
                    person_id=person or home.head,
                    household_id=home.household_id,
                    division=VILLAGE,
                    revokes=event_id,
                    source_event_id=str(new_id()),
                )
            ],
        )


@pytest.mark.parametrize("state", ["open", "computed", "locked", "settled"])
def test_a_revoked_death_pays_what_was_missed(office: Office, state: str) -> None:
    """Revoked, the person is paid again, missed months included, and nothing is recovered."""
    office.money()
    home, other = office.household(), office.household()
    office.grant(home, "elderly", fen=5_000)
    office.grant(other, "elderly", fen=10_000)
    office.bring_to("sent" if state == "settled" else state)
    event_id = office.dies(home, home.head, BEFORE_THE_MONTH)
    finish(office)
    revoke(office, home, event_id)
    assert open_recoveries(office) == []
    december = office.open("2026-12")
    office.compute(december.batch_no)
    office.check(december.batch_no)
    office.sign(december.batch_no, "review")
    office.sign(december.batch_no, "release")
    office.lock(december.batch_no)
    office.export(december.batch_no)
    finish(office, december.batch_no)
    with office.uow() as uow:
        paid = uow.session.scalar(
            text("SELECT sum(fen) FROM payment WHERE state = 'settled' AND payee_person_id = :p"),
            {"p": home.head},
        )
    assert paid == 10_000


def test_a_revoked_death_does_not_undo_a_decision(office: Office) -> None:
    """A review ended the household's benefit after the death of a member was told: the revocation
    opens nothing and pays nothing by itself, and the audit log says that the review decides."""
    office.money()
    home = office.household(2)
    office.grant(home, "rural_dibao", fen=50_000)
    event_id = office.dies(home, home.people[1], BEFORE_THE_MONTH)
    office.decide(household=home, basis="review", outcome="ended", decided_on=date(2026, 10, 31))
    revoke(office, home, event_id, person=home.people[1])
    with office.uow(CLERK) as uow:
        view = queries.list_entitlements(uow, c.ListEntitlements(household_id=home.household_id))[0]
        active = uow.session.scalar(text("SELECT count(*) FROM coverage WHERE active"))
        said = uow.session.scalar(
            text("SELECT count(*) FROM audit WHERE action = 'revocation_left_to_review'")
        )
    assert (view.state, active, said) == ("ended", 0, 1)
    assert office.compute(office.open("2026-11").batch_no).computed_fen == 0


@pytest.mark.parametrize(
    ("outcomes", "december_fen"),
    [(["changed"], 31_000), (["ended"], 0), (["changed", "ended"], 31_000)],
)
def test_a_revoked_death_pays_until_a_decision_took_effect(
    office: Office, outcomes: list[str], december_fen: int
) -> None:
    """A review decided for December on while a member counted as dead: the revocation gives the
    household its November, and leaves December and what follows as decided; also where another
    review has ended the benefit since."""
    office.money()
    home = office.household(2)
    office.grant(home, "rural_dibao", fen=50_000)
    event_id = office.dies(home, home.people[1], BEFORE_THE_MONTH)
    december_on = BenefitGranted(
        benefit="rural_dibao",
        payee_person_id=home.head,
        covered_person_ids=(home.head,),
        from_month=date(2026, 12, 1),
        amount_fen=31_000,
    )
    for outcome, day in zip(outcomes, (date(2026, 11, 20), date(2026, 12, 20)), strict=False):
        benefits = (december_on,) if outcome == "changed" else ()
        office.decide(
            household=home, basis="review", outcome=outcome, decided_on=day, benefits=benefits
        )
    revoke(office, home, event_id, person=home.people[1])
    office.today = date(2026, 12, 21)
    months = ("2026-11", "2026-12", "2027-01")
    computed = [office.compute(office.open(month).batch_no).computed_fen for month in months]
    january_fen = 0 if "ended" in outcomes else 31_000
    assert computed == [50_000, december_fen, january_fen]
    with office.uow(CLERK) as uow:
        active = uow.session.scalars(text("SELECT person_id FROM coverage WHERE active")).all()
    assert list(active) == ([] if "ended" in outcomes else [home.head])


def test_who_a_review_put_back_is_covered_again(office: Office) -> None:
    """Counted as dead by mistake, left out by one review, put back by the next: when he does die,
    his share stops."""
    office.money()
    home = office.household(2)
    office.grant(home, "rural_dibao", fen=50_000)
    mistaken = office.dies(home, home.people[1], BEFORE_THE_MONTH)
    of_review = {
        "benefit": "rural_dibao",
        "payee_person_id": home.head,
        "from_month": date(2026, 12, 1),
    }
    alone = BenefitGranted(covered_person_ids=(home.head,), amount_fen=31_000, **of_review)
    both = BenefitGranted(covered_person_ids=tuple(home.people), amount_fen=62_000, **of_review)
    office.decide(household=home, basis="review", outcome="changed", benefits=(alone,))
    revoke(office, home, mistaken, person=home.people[1])
    office.decide(household=home, basis="review", outcome="changed", benefits=(both,))
    office.dies(home, home.people[1], date(2026, 12, 3))
    office.today = date(2027, 1, 5)
    for month in ("2026-11", "2026-12"):
        office.compute(office.open(month).batch_no)
    assert office.compute(office.open("2027-01").batch_no).computed_fen == 31_000


def test_a_death_is_reckoned_with_what_the_last_review_found(office: Office) -> None:
    """Three with an income of 1,500; a review found 600; one dies: 2 × 620 − 600, not less."""
    office.money()
    home = office.household(3)
    office.grant(home, "rural_dibao", fen=36_000, counted_income_fen=150_000)
    after_review = BenefitGranted(
        benefit="rural_dibao",
        payee_person_id=home.head,
        covered_person_ids=tuple(home.people),
        from_month=date(2026, 11, 1),
        amount_fen=126_000,
        counted_income_fen=60_000,
    )
    office.decide(household=home, basis="review", outcome="changed", benefits=(after_review,))
    office.dies(home, home.people[2], BEFORE_THE_MONTH)
    office.open()
    assert office.compute("2026-11").computed_fen == 64_000


def test_death_and_revocation_in_any_order_end_the_same(office: Office) -> None:
    """Every order and repeat of a death, its repeat and its revocation leaves the person alive."""
    for number, order in enumerate(permutations(["died", "died", "revoked"])):
        home = office.household()
        office.grant(home, "elderly", fen=5_000)
        event_id = f"event-{number}"
        for word in order:
            if word == "died":
                office.dies(home, home.head, BEFORE_THE_MONTH, event_id=event_id)
            else:
                revoke(office, home, event_id)
        with office.uow(CLERK) as uow:
            view = queries.list_entitlements(uow, c.ListEntitlements(person_id=home.head))[0]
            stopped = uow.session.scalar(
                text("SELECT count(*) FROM stop WHERE person_id = :p AND revoked_by IS NULL"),
                {"p": home.head},
            )
        assert (view.state, view.fen, stopped) == ("active", 5_000, 0), order


def test_many_deaths_in_one_batch_of_events(office: Office) -> None:
    """Hundreds of deaths in one delivery are all taken."""
    homes = [office.household() for _ in range(5)]
    for home in homes:
        office.grant(home, "elderly", fen=5_000)
    with office.uow() as uow:
        deaths.on_died(
            uow,
            [
                PersonDied(
                    person_id=home.head,
                    household_id=home.household_id,
                    division=VILLAGE,
                    died_on=BEFORE_THE_MONTH,
                    source="funeral_home",
                    source_event_id=str(new_id()),
                )
                for home in homes
            ],
        )
    office.open()
    assert office.compute("2026-11").computed_fen == 0


def test_a_checked_batch_counts_down_as_people_die(office: Office) -> None:
    """The counts without the dead are those a count of what is left gives, also for somebody who
    stands in several payments; the signature is on the digest of what is left."""
    office.money()
    homes = [office.household(3), office.household(2), office.household(), office.household(2)]
    for home in homes:
        office.grant(home, "rural_dibao", fen=30_000)
        office.grant(home, "elderly", fen=5_000, covered=[home.people[-1]])
    office.bring_to("checked")

    def counts() -> tuple[int, int, int]:
        with office.uow(CLERK) as uow:
            batch = batches.find(uow, "2026-11")
            stood = (batch.payments, batch.people, batch.computed_fen)
            computing.count(uow, batch)
            assert stood == (batch.payments, batch.people, batch.computed_fen)
        return stood

    before = counts()
    for home, person in ((homes[0], 2), (homes[1], 0), (homes[2], 0)):
        office.dies(home, home.people[person], BEFORE_THE_MONTH)
        assert (0, 0, 0) < counts() < before
        before = counts()
    view = finish(office)
    assert view.sums is not None
    assert view.sums.agree
    assert view.approved_fen == before[2]


def test_recovered_money_and_write_offs_close_a_recovery(office: Office) -> None:
    """Part comes back, the rest is written off; never more than is open; a document counts once."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("sent")
    office.dies(home, home.head, BEFORE_THE_MONTH)
    finish(office)
    with office.uow(CLERK) as uow:
        recovery = recoveries.list_all(uow, c.ListRecoveries())[0]
    for town, seen in (("421083108", 1), ("421083001", 0)):
        reader = Actor(id=str(new_id()), name="镇", roles=(Role.TOWN_CLERK,), divisions=(town,))
        with office.uow(reader) as uow:
            assert len(recoveries.list_all(uow, c.ListRecoveries())) == seen
    back = c.RecordRecovery(recovery_id=recovery.recovery_id, fen=3_000, document_no="收1")
    for _ in range(2):
        with office.uow(FINANCE) as uow:
            assert recoveries.record(uow, back).open_fen == 2_000
    too_much = c.WriteOffRecovery(recovery_id=recovery.recovery_id, fen=2_001, document_no="核1")
    with pytest.raises(Exception, match=r"20\.00"), office.uow(FINANCE) as uow:
        recoveries.write_off(uow, too_much)
    with office.uow(FINANCE) as uow:
        done = recoveries.write_off(
            uow,
            c.WriteOffRecovery(recovery_id=recovery.recovery_id, fen=2_000, document_no="核1"),
        )
    assert done.open_fen == 0
    with office.uow(CLERK) as uow:
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
    assert balances["应收"] == 0
    assert balances["核销"] == 2_000


@pytest.mark.parametrize("had", ["nothing", "some back", "written off"])
def test_nobody_is_asked_for_what_bounced(office: Office, had: str) -> None:
    """A month paid after a death is to be got back; the bank returns it: nobody owes it any more,
    it is not owed to the dead, and what the family had brought meanwhile is."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("sent")
    content = office.file("2026-11")
    office.settle("2026-11", bank_answers(content))
    office.dies(home, home.head, date(2026, 9, 20))
    with office.uow(CLERK) as uow:
        (recovery,) = recoveries.list_all(uow, c.ListRecoveries())
        place = {"recovery_id": recovery.recovery_id, "document_no": "据1"}
        if had == "some back":
            recoveries.record(uow, c.RecordRecovery(fen=2_000, **place))
        if had == "written off":
            recoveries.write_off(uow, c.WriteOffRecovery(fen=5_000, **place))
    office.settle("2026-11", bank_answers(content, {1: "1003"}))
    got = 2_000 if had == "some back" else 0
    with office.uow(CLERK) as uow:
        (after,) = recoveries.list_all(uow, c.ListRecoveries())
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
        owed = uow.session.scalar(text("SELECT sum(fen) FROM due WHERE state <> 'closed'")) or 0
    assert (after.open_fen, after.cancelled, owed) == (0, had != "some back", got)
    assert (balances.get("应收", 0), balances.get("核销", 0), balances["应付"]) == (0, 0, -got)
    sums = office.view("2026-11").sums
    assert sums is not None
    assert sums.agree


def test_what_nobody_will_claim_is_closed_by_a_review(office: Office) -> None:
    """Months still owed to a dead payee without heirs are closed with reason and document."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("computed")
    office.dies(home, home.head, IN_THE_MONTH)
    request = c.CloseHeldDues(household_id=home.household_id, reason="无继承人", document_no="复1")
    for expected in (1, 0):
        with office.uow(CLERK) as uow:
            assert recoveries.close_held(uow, request) == expected
    december = office.open("2026-12")
    assert office.compute(december.batch_no).computed_fen == 0
    empty = c.CloseHeldDues(household_id=home.household_id, reason=" ", document_no="复1")
    with pytest.raises(Invalid, match="理由"), office.uow(CLERK) as uow:
        recoveries.close_held(uow, empty)


def test_what_was_on_its_way_for_a_month_is_to_be_got_back_too(office: Office) -> None:
    """A month paid, and a difference to it in the bank's hands, when a death before both is told:
    the first is to be got back at once, the second as soon as it was paid; neither if he lives."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("sent")
    office.settle("2026-11", bank_answers(office.file("2026-11")))
    more = BenefitGranted(
        benefit="elderly",
        payee_person_id=home.head,
        covered_person_ids=(home.head,),
        from_month=date(2026, 11, 1),
        amount_fen=6_000,
    )
    office.decide(household=home, basis="review", outcome="changed", benefits=(more,))
    december = office.open("2026-12").batch_no
    assert office.bring_to("sent", december).file_fen == 7_000
    event_id = office.dies(home, home.head, date(2026, 9, 20))

    def open_fen() -> dict[str, int]:
        with office.uow(CLERK) as uow:
            listed = recoveries.list_all(uow, c.ListRecoveries())
        found: dict[str, int] = {}
        for each in listed:
            found[each.month] = found.get(each.month, 0) + each.open_fen
        return found

    assert open_fen() == {"2026-11": 5_000}
    office.settle(december, bank_answers(office.file(december)))
    assert open_fen() == {"2026-11": 6_000, "2026-12": 6_000}
    revoke(office, home, event_id)
    assert set(open_fen().values()) == {0}


def test_what_failed_at_the_bank_for_the_dead_can_be_closed(office: Office) -> None:
    """The account is frozen and nobody inherits: neither 应付 nor budget is kept for ever."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("sent")
    office.dies(home, home.head, IN_THE_MONTH)
    office.settle("2026-11", bank_answers(office.file("2026-11"), {1: "1003"}))
    request = c.CloseHeldDues(household_id=home.household_id, reason="无继承人", document_no="复1")
    with office.uow(CLERK) as uow:
        assert recoveries.close_held(uow, request) == 1
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
        used = uow.session.scalar(text("SELECT sum(used_fen) FROM budget_line"))
        states = uow.session.scalars(text("SELECT state FROM due")).all()
    assert (balances["应付"], used, states) == (0, 0, ["closed"])
    assert balances["资金账户"] == 0


def test_a_due_lowered_under_a_payment_is_not_paid_at_the_old_sum(office: Office) -> None:
    """A decision that lowers a due while a compute is open: the check leaves the payment out, the
    next compute has the new sum."""
    office.money()
    home = office.household(2)
    office.grant(home, "rural_dibao", fen=66_000, counted_income_fen=60_000)
    office.open()
    office.compute("2026-11")
    with office.uow(CLERK) as uow:
        computing.compute(uow, c.ComputeBatch(batch="2026-11"))
        dies_at_once(office, home, home.people[1])
    checked = office.check("2026-11")
    assert [t.key for t in checked.findings if t.key == "changed"] == ["changed"]
    assert office.check("2026-11").computed_fen == 2_000


def test_a_due_closed_under_a_signed_batch_leaves_the_books_in_order(office: Office) -> None:
    """A death that overlapped compute and check closes a due of a signed draft: the lock withdraws
    the payment, and of its closed due the ledger and the budget keep nothing."""
    office.money()
    home, other = office.household(2), office.household()
    office.grant(home, "rural_dibao", fen=60_000)
    office.grant(other, "elderly", fen=5_000)
    office.bring_to("released")
    with office.uow() as uow:
        uow.session.execute(
            text("UPDATE due SET state = 'closed', closed_reason = 'x' WHERE person_id = :p"),
            {"p": home.people[1]},
        )
    locked = office.lock("2026-11")
    assert {t.key: t.payments for t in locked.by_state} == {"locked": 1, "withdrawn": 1}
    view = finish(office)
    assert view.sums is not None
    assert view.sums.agree
    with office.uow() as uow:
        used = uow.session.scalar(text("SELECT sum(used_fen) FROM budget_line"))
        standing = uow.session.scalar(
            text(
                "SELECT sum(CASE step WHEN 'locked' THEN fen ELSE -fen END) FROM transfer"
                " WHERE step IN ('locked', 'withdrawn')"
            )
        )
    assert used == standing == 5_000


def test_a_second_death_in_a_household_does_not_wait_for_the_check(office: Office) -> None:
    """The check reckons anew a household that lost somebody while it was computed. Meanwhile a
    second member dies: the death commits at once, and what the household is owed follows it as soon
    as the check is done."""
    office.money()
    home = office.household(3)
    office.grant(home, "rural_dibao", fen=99_000, counted_income_fen=60_000)
    office.open()
    office.compute("2026-11")
    with office.uow(CLERK) as uow:
        computing.compute(uow, c.ComputeBatch(batch="2026-11"))
        dies_at_once(office, home, home.people[1])
    with office.uow(CLERK) as uow:
        checking.check(uow, c.CheckBatch(batch="2026-11"))
        dies_at_once(office, home, home.people[2])
        with office.uow() as other:
            terms.reconcile_noted(other)
            noted = other.session.scalar(text("SELECT count(*) FROM unreconciled"))
        assert noted, "reckoned while the check still did"
    with office.uow() as uow:
        terms.reconcile_noted(uow)
    with office.uow() as uow:
        owed = dict(
            uow.session.execute(
                text("SELECT person_id, sum(fen) FROM due WHERE state = 'owed' GROUP BY 1")
            ).all()
        )
        noted = uow.session.scalar(text("SELECT count(*) FROM unreconciled"))
        alone = uow.session.scalar(
            text("SELECT fen FROM term WHERE to_month IS NULL ORDER BY id DESC LIMIT 1")
        )
    assert noted == 0
    assert owed == {home.head: alone}


def test_one_who_cannot_be_reckoned_holds_up_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two whose reckoning was put off the one fails, whatever the reason: the other is reckoned,
    and of the one that failed nothing is changed, said or forgotten."""
    office.money()
    homes = [office.household(2), office.household(2)]
    for home in homes:
        office.grant(home, "rural_dibao", fen=99_000, counted_income_fen=60_000)
    office.bring_to("computed")
    with office.uow(CLERK) as uow:
        everybody = {(person, "rural_dibao") for home in homes for person in home.people}
        assert terms._free(uow, everybody) == everybody
        for home in homes:
            dies_at_once(office, home, home.people[1])
    bad, good = homes
    reckon = terms._reconcile_pair

    def fail_at_the_end(uow: UnitOfWork, pair: terms.Pair, *others: Any) -> None:
        reckon(uow, pair, *others)
        if pair[0] == bad.head:
            uow.audit("x", "person", bad.head)
            raise ZeroDivisionError

    monkeypatch.setattr(terms, "_reconcile_pair", fail_at_the_end)
    before = _owed(office)
    with office.uow() as uow:
        terms.reconcile_noted(uow)
    after = _owed(office)
    assert after[bad.head] == before[bad.head]
    assert after[good.head] < before[good.head]
    with office.uow() as uow:
        noted = uow.session.scalars(text("SELECT DISTINCT person_id FROM unreconciled")).all()
        assert set(noted) <= {bad.head, bad.people[1]}
        assert bad.head in noted
        assert not uow.session.scalar(text("SELECT count(*) FROM audit WHERE action = 'x'"))
    monkeypatch.undo()
    with office.uow() as uow:
        terms.reconcile_noted(uow)
    assert _owed(office)[bad.head] == after[good.head]


def _owed(office: Office) -> dict[UUID, int]:
    with office.uow() as uow:
        owed = "SELECT person_id, sum(fen) FROM due WHERE state = 'owed' GROUP BY 1"
        return dict(uow.session.execute(text(owed)).all())


def test_a_month_computed_anew_never_looks_empty_to_a_death(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others see at once how full a table is believed to be. Were the payments counted between
    their removal and their return, every death until the commit would read all of them."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("computed")
    believed = []

    def look_at(uow: UnitOfWork, *tables: str) -> None:
        counted(uow, *tables)
        with office.uow() as other:
            full = "SELECT reltuples FROM pg_class WHERE oid = CAST('payment' AS regclass)"
            believed.append(other.session.scalar(text(full)))

    counted = computing.look_at
    monkeypatch.setattr(computing, "look_at", look_at)
    office.compute("2026-11")
    assert believed
    assert min(believed) > 0


@pytest.mark.parametrize("step", ["lock", "settle"])
def test_a_death_never_waits_for_a_step_under_way(office: Office, step: str) -> None:
    """While a batch is being locked or settled, a death of somebody in it commits at once."""
    office.money()
    home = office.household()
    office.grant(home, "elderly", fen=5_000)
    office.bring_to("released" if step == "lock" else "sent")
    answer = bank_answers(office.file("2026-11")) if step == "settle" else b""
    with office.uow(CLERK) as uow:
        if step == "lock":
            locking.lock(uow, c.LockBatch(batch="2026-11"))
        else:
            file_id = files.write(uow, "return", answer, "text/plain", division=COUNTY)
            settlement.settle(uow, c.SettleBatch(batch="2026-11", file_id=file_id))
        dies_at_once(office, home, home.head)
    if step == "lock":
        with pytest.raises(Conflict, match="全部撤出"):
            office.export("2026-11")
    else:
        for _ in range(2):
            with office.uow() as uow:
                deaths.list_paid_after_death(uow)
        assert open_recoveries(office) == [("2026-11", 5_000)]
