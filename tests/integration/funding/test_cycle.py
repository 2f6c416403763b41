"""A month's cycle on a real database: paid once, to the fen, by the right people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from services.contracts.actors import Role
from services.contracts.commands import funding as c
from services.contracts.errors import Conflict, Invalid, NotFound
from services.funding import batches, locking, queries, signing
from tests.builders.funding import (
    AUDITOR,
    CLERK,
    DECIDER,
    FINANCE,
    Office,
    bank_answers,
    staff,
)
from tests.fixtures.services import emitted


def test_a_month_from_decision_to_settlement(office: Office) -> None:
    """Five sums agree, failures are re-paid in a batch of their own, the books balance."""
    office.money()
    homes = [office.household(people) for people in (3, 1, 2)]
    office.grant(homes[0], fen=100_001)
    office.grant(homes[1], "elderly", fen=5_000)
    office.grant(homes[1], "disability_care", fen=10_000)
    office.grant(homes[2], fen=44_400)

    sent = office.bring_to("sent")
    assert (sent.payments, sent.people, sent.computed_fen) == (4, 6, 159_401)
    assert sent.sums is not None
    assert sent.sums.agree
    assert sent.file_fen == 159_401

    answered = office.settle("2026-11", bank_answers(office.file("2026-11"), {2: "1002"}))
    assert answered.problems == ()
    assert (answered.settled, answered.failed, answered.unanswered) == (3, 1, 0)
    view = office.view("2026-11")
    assert view.state == "settled"
    assert view.sums is not None
    assert view.sums.agree
    assert view.sums.settled == 159_401 - answered.failed_fen

    with office.uow(CLERK) as uow:
        again = batches.open_repayment(uow, c.OpenRepayment(batch="2026-11"))
    done = office.bring_to("sent", again.batch_no)
    assert done.computed_fen == answered.failed_fen
    office.settle(again.batch_no, bank_answers(office.file(again.batch_no)))
    final = office.view(again.batch_no)
    assert final.sums is not None
    assert final.sums.agree
    with office.uow(CLERK) as uow:
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
        kinds = [name for name, _ in emitted(uow)]
    assert balances["应付"] == balances["在途"] == 0
    assert balances["救助支出"] == -balances["资金账户"] == 159_401
    assert kinds.count("payment.settled.v1") == 4
    assert kinds.count("payment.failed.v1") == 1
    assert kinds.count("cycle.settled.v1") == 2
    with pytest.raises(Conflict, match="待补发"), office.uow(CLERK) as uow:
        batches.open_repayment(uow, c.OpenRepayment(batch="2026-11"))


def test_everything_twice_pays_once(office: Office) -> None:
    """Acceptance case 5: computed, checked, signed, locked, sent and returned twice."""
    office.money()
    office.grant(office.household(2), fen=66_000)
    office.open()
    office.compute("2026-11")
    assert office.compute("2026-11").computed_fen == 66_000
    office.check("2026-11")
    assert office.check("2026-11").computed_fen == 66_000
    office.sign("2026-11", "review")
    with pytest.raises(Conflict, match="不能审核"):
        office.sign("2026-11", "review")
    office.sign("2026-11", "release")
    office.lock("2026-11")
    with pytest.raises(Conflict, match="不能锁定"):
        office.lock("2026-11")
    first = office.export("2026-11")
    content = office.file("2026-11")
    assert office.export("2026-11").file_sha256 == first.file_sha256
    assert office.file("2026-11") == content
    with pytest.raises(Conflict, match="不能计算"):
        office.compute("2026-11")
    answer = bank_answers(content)
    assert office.settle("2026-11", answer).settled == 1
    again = office.settle("2026-11", answer)
    assert again.already_read
    assert again.settled == 1
    with pytest.raises(Conflict, match="已经开期"):
        office.open()
    with office.uow(CLERK) as uow:
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
        settled = [name for name, _ in emitted(uow) if name == "payment.settled.v1"]
    assert balances["资金账户"] == -66_000
    assert len(settled) == 1
    december = office.open("2026-12")
    assert office.compute(december.batch_no).computed_fen == 66_000


def test_two_batches_never_try_the_same_due(office: Office) -> None:
    """A due in a live attempt is in no other batch."""
    office.money()
    office.grant(office.household(), fen=66_000)
    office.bring_to("locked")
    office.open("2026-12")
    december = office.compute("2026-12")
    assert december.computed_fen == 66_000
    with office.uow(CLERK) as uow:
        months = uow.session.scalars(text("SELECT month FROM due ORDER BY month")).all()
        with pytest.raises(Exception, match="uq_payment_due_live"):
            uow.session.execute(
                text(
                    "INSERT INTO payment_due (payment_id, due_id, fen)"
                    " SELECT p.id, d.id, d.fen FROM payment p, due d"
                    " WHERE p.month = '2026-12' AND d.month = '2026-11'"
                )
            )
        uow.session.rollback()
    assert months == ["2026-11", "2026-12"]


def test_months_owed_late_are_paid_with_their_own_month(office: Office) -> None:
    """两项补贴 counted from the application: the first cycle after pays every month since."""
    office.money()
    home = office.household()
    office.grant(home, fen=66_000)
    office.bring_to("computed")
    other = office.household()
    office.grant(other, "disability_care", fen=10_000, from_month=date(2026, 9, 1))
    view = office.compute("2026-11")
    assert view.computed_fen == 66_000 + 3 * 10_000
    checked = office.check("2026-11")
    assert [(t.payments, t.fen) for t in checked.findings if t.key == "arrears"] == [(1, 20_000)]
    with office.uow(CLERK) as uow:
        months = uow.session.execute(
            text("SELECT month FROM due WHERE benefit = 'disability_care' ORDER BY month")
        ).scalars()
        assert list(months) == ["2026-09", "2026-10", "2026-11"]


def test_nobody_involved_signs(office: Office) -> None:
    """Acceptance case 6: not the maker, not who decided a case, not one person twice, not another
    role, not on another sum."""
    office.money()
    office.grant(office.household(), fen=66_000)
    office.bring_to("checked")
    both = (Role.CIVIL_AUDITOR, Role.FINANCE_OFFICER, Role.FUNDING_CLERK)
    maker = staff(0xC1, *both)
    decider = staff(DECIDER.int, *both)
    for person, reason in (
        (maker, "制单人"),
        (decider, "个案"),
        (staff(7, Role.LEADER), "岗位"),
        (FINANCE, "岗位"),
    ):
        with pytest.raises(Conflict, match=reason):
            office.sign("2026-11", "review", person)
    with pytest.raises(Conflict, match=r"660\.01"):
        office.sign("2026-11", "review", fen=66_001)
    twin = staff(0xA1, *both)
    office.sign("2026-11", "review", twin)
    with pytest.raises(Conflict, match="两人"):
        office.sign("2026-11", "release", twin)
    with pytest.raises(Invalid, match="文号"), office.uow(FINANCE) as uow:
        signing.sign(uow, c.SignBatch(batch="2026-11", seat="release", total_fen=66_000))
    assert office.view("2026-11").state == "reviewed"


def test_a_deputy_signs_only_within_the_dates(office: Office) -> None:
    """A dated deputy stands in, and is shown as one."""
    office.money()
    office.grant(office.household(), fen=66_000)
    office.bring_to("checked")
    deputy = staff(9, Role.LEADER, name="代理人")
    office.appoint(deputy)
    with office.uow(AUDITOR) as uow:
        signing.appoint_deputy(
            uow,
            c.AppointDeputy(
                staff_id=UUID(deputy.id),
                role="civil_auditor",
                from_day=date(2026, 11, 11),
                to_day=date(2026, 11, 20),
                document_no="委〔2026〕3号",
            ),
        )
    with pytest.raises(Conflict, match="代理人"):
        office.sign("2026-11", "review", deputy)
    office.today = date(2026, 11, 11)
    signed = office.sign("2026-11", "review", deputy)
    assert [(s.actor_name, s.as_deputy) for s in signed.signatures] == [("代理人", True)]


def test_what_was_signed_is_what_is_locked(office: Office) -> None:
    """A batch whose content changed after the signatures is not locked; sent back, it is again."""
    office.money()
    office.grant(office.household(), fen=66_000)
    office.bring_to("released")
    with office.uow(CLERK) as uow:
        uow.session.execute(text("UPDATE payment SET fen = fen + 1"))
    with pytest.raises(Conflict, match="签署时不一致"):
        office.lock("2026-11")
    with office.uow(AUDITOR) as uow:
        view = signing.send_back(uow, c.SendBackBatch(batch="2026-11", reason="金额有误"))
    assert (view.state, view.signatures) == ("computed", ())
    office.check("2026-11")
    office.compute("2026-11")
    office.check("2026-11")
    office.sign("2026-11", "review")
    office.sign("2026-11", "release")
    assert office.lock("2026-11").computed_fen == 66_000


def test_a_locked_batch_is_voided_by_two_before_it_is_sent(office: Office) -> None:
    """One signature voids nothing; two give everything back; the month can be opened again."""
    office.money()
    office.grant(office.household(), fen=66_000)
    office.bring_to("locked")

    def void(actor: object, seat: str) -> c.BatchView:
        with office.uow(actor) as uow:  # type: ignore[arg-type]
            return locking.void(
                uow,
                c.VoidBatch(batch=view.batch_no, seat=seat, reason="月份错误"),  # type: ignore[arg-type]
            )

    view = office.view("2026-11")
    assert void(AUDITOR, "review").state == "locked"
    with pytest.raises(Conflict, match="已签署作废"):
        void(AUDITOR, "review")
    voided = void(FINANCE, "release")
    assert voided.state == "voided"
    assert voided.sums is not None
    assert voided.sums.agree
    with office.uow(CLERK) as uow:
        used = uow.session.scalar(text("SELECT sum(used_fen) FROM budget_line"))
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
    assert used == 0
    assert set(balances.values()) == {0}
    assert office.bring_to("sent").file_fen == 66_000
    with pytest.raises(Conflict, match="不能作废"):
        void(AUDITOR, "review")


def test_short_money_pays_by_priority_and_the_rest_stays_owed(office: Office) -> None:
    """Budget and cash are never overdrawn; who waits is listed with the reason and paid later."""
    office.money(cash=0)
    with office.uow(FINANCE) as uow:
        from services.funding import budgets

        budgets.deposit(uow, c.DepositFunds(fen=150_000, document_no="拨1"))
        budgets.deposit(uow, c.DepositFunds(fen=150_000, document_no="拨1"))  # counts once
    office.grant(office.household(), "elderly", fen=50_000)
    office.grant(office.household(), "tekun", fen=101_400)
    office.grant(office.household(), "rural_dibao", fen=40_000)
    checked = office.bring_to("checked")
    assert {t.key: (t.payments, t.fen) for t in checked.by_state} == {
        "draft": (2, 141_400),
        "short": (1, 50_000),
    }
    assert {t.key for t in checked.findings} >= {"cash_short"}
    office.sign("2026-11", "review")
    office.sign("2026-11", "release")
    office.lock("2026-11")
    assert office.export("2026-11").file_fen == 141_400
    with office.uow(FINANCE) as uow:
        budgets.deposit(uow, c.DepositFunds(fen=500_000, document_no="拨2"))
    office.open("2026-12")
    december = office.compute("2026-12")
    assert december.computed_fen == 191_400 + 50_000


def test_without_a_budget_line_nothing_is_locked(office: Office) -> None:
    """No budget, no payment: all of it waits."""
    office.money(budget=0)
    office.grant(office.household(), fen=66_000)
    assert office.bring_to("checked").computed_fen == 0
    with pytest.raises(Conflict, match="没有可发放"):
        office.sign("2026-11", "review")


def test_budget_taken_between_check_and_lock_is_refused(office: Office) -> None:
    """The budget line's own check stops an overdraft at the lock."""
    office.money()
    office.grant(office.household(), fen=66_000)
    office.bring_to("released")
    with office.uow(CLERK) as uow:
        uow.session.execute(text("UPDATE budget_line SET used_fen = allotted_fen - 65999"))
    with pytest.raises(Conflict, match="预算余额不足"):
        office.lock("2026-11")
    assert office.view("2026-11").state == "released"


def test_the_ledger_is_append_only(office: Office) -> None:
    """Transfers are never updated nor deleted."""
    office.money()
    office.grant(office.household(), fen=66_000)
    office.bring_to("locked")
    for statement in ("UPDATE transfer SET fen = 1", "DELETE FROM transfer", "TRUNCATE transfer"):
        with office.uow(CLERK) as uow:
            with pytest.raises(ProgrammingError, match="permission denied"):
                uow.session.execute(text(statement))
            uow.session.rollback()


def test_the_chain_of_a_payment(office: Office) -> None:
    """Policy, decision, signatures, transfers and return stand in one answer; no account number."""
    office.money()
    home = office.household()
    office.grant(home, fen=62_000, counted_income_fen=0)
    office.bring_to("sent")
    office.settle("2026-11", bank_answers(office.file("2026-11")))
    with office.uow(CLERK) as uow:
        page = queries.list_payments(uow, c.ListPayments(batch="2026-11"))
        chain = queries.show_payment(uow, c.ShowPayment(payment_id=page.payments[0].payment_id))
    assert chain.entitlement.decision_no == "洪民〔2025〕8号"
    assert chain.entitlement.terms[0].policy_id == "rural_dibao:421083:2026-07"
    assert sum(line.fen for line in chain.entitlement.terms[0].working) == 62_000
    assert [s.seat for s in chain.signatures] == ["review", "release"]
    assert [t.step for t in chain.transfers] == ["locked", "sent", "settled"]
    assert chain.return_row == 2
    assert chain.payment.account_masked == f"****{home.accounts[home.head][-4:]}"
    assert home.accounts[home.head] not in str(chain)


@pytest.mark.parametrize("month", ["2027-01", "2099-12", "9999-12", "２０２６-11", "2026-+1"])
def test_a_slip_of_the_year_is_refused_at_opening(office: Office, month: str) -> None:
    """Computing 2099 would make the dues of seventy-three years; nothing of it may begin."""
    with pytest.raises(Invalid) as refused:
        office.open(month)
    assert refused.value.field == "month"


def test_a_batch_number_names_its_month(office: Office) -> None:
    """The serial of another month's batch is a slip, not that batch."""
    batch_no = office.open("2026-11").batch_no
    office.view(batch_no)
    with pytest.raises(NotFound):
        office.view(batch_no.replace("202611", "202612"))


def test_two_clerks_open_the_same_month_at_once(office: Office) -> None:
    """The second is told that it is open, whichever moment they choose."""
    office.open("2026-10")
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(1) as second:
        with office.uow(CLERK) as uow:
            batches.open_batch(uow, c.OpenBatch(month="2026-11"))
            told = second.submit(office.open, "2026-11")
            while not told.done() and not uow.session.scalar(waits):
                pass
        with pytest.raises(Conflict, match="已经开期"):
            told.result(timeout=60)
