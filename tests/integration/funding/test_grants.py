"""Quotes and decisions: what a case may grant, and what comes of it."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.contracts.commands import funding as c
from services.contracts.events.cases import (
    AssessmentRequested,
    BenefitAsked,
    BenefitGranted,
    Means,
)
from services.contracts.events.funding import EntitlementQuoted
from services.contracts.events.registry import RosterImportUndoAsked
from services.contracts.ids import new_id
from services.funding import (
    batches,
    grants,
    locking,
    metrics,
    queries,
    quotes,
    replenishment,
    signing,
)
from services.funding.models import QuoteRow
from tests.builders.funding import (
    AUDITOR,
    CLERK,
    FINANCE,
    TOWN,
    VILLAGE,
    Household,
    Office,
    bank_answers,
    decision,
)
from tests.fixtures.services import emitted


def quote(
    office: Office,
    household: Household,
    benefit: str,
    *,
    income: int = 0,
    traits: tuple[str, ...] = (),
    asked_fen: int | None = None,
    round_: int = 1,
    case_id: UUID | None = None,
) -> dict[str, object]:
    """Ask for a quote; gives the answer's body."""
    event = AssessmentRequested(
        case_id=case_id or new_id(),
        round=round_,
        division=VILLAGE,
        applied_on=date(2026, 9, 28),
        means=Means(members=len(household.people), household_income_fen=income),
        benefits=(
            BenefitAsked(
                benefit=benefit,
                covered_person_ids=tuple(household.people),
                traits={str(person): traits for person in household.people},
                asked_fen=asked_fen,
            ),
        ),
    )
    with office.uow() as uow:
        quotes.answer(uow, [event])
    with office.uow() as uow:
        quoted = [body for name, body in emitted(uow) if name == "entitlement.quoted.v1"]
    return quoted[-1]


@pytest.mark.parametrize("held", ["orphan", "de_facto_orphan", "tekun"])
def test_living_subsidy_beside_child_support_is_refused_with_the_clause(
    office: Office, held: str
) -> None:
    """Acceptance case 1: the quote blocks it with the clause; a decision that grants it anyway
    does not take effect; a roster that already pays both pays one, with a finding."""
    office.money()
    child = office.household(born=date(2016, 5, 1))
    office.grant(child, held, fen=141_100)
    body = quote(office, child, "disability_living", traits=("disability:肢体二级",))
    obstacles = body["obstacles"]
    assert isinstance(obstacles, list)
    assert [(o["other_benefit"], o["blocking"]) for o in obstacles] == [(held, True)]
    assert "困难残疾人生活补贴" in obstacles[0]["clause"]
    assert "不能再享受" in obstacles[0]["message"]

    office.grant(child, "disability_living", fen=8_000, basis="application", item="x")
    with office.uow() as uow:
        refused = [body for name, body in emitted(uow) if name == "entitlement.refused.v1"]
    assert [r["benefit"] for r in refused] == ["disability_living"]
    assert refused[0]["clause"] == obstacles[0]["clause"]

    office.grant(child, "disability_living", fen=8_000)  # the old system paid both
    checked = office.bring_to("checked")
    assert checked.computed_fen == 141_100
    with office.uow(CLERK) as uow:
        found = queries.list_findings(uow, c.ListFindings(batch="2026-11", kind="excluded"))
    assert [(f.fen, f.held) for f in found] == [(8_000, True)]
    assert "困难残疾人生活补贴" in found[0].message


def test_a_top_up_pays_the_difference_and_both_stand(office: Office) -> None:
    """事实无人抚养 beside 困难生活补贴 is paid as a difference, and the check lets both stand."""
    office.money()
    child = office.household(born=date(2016, 5, 1))
    office.grant(child, "disability_living", fen=8_000)
    body = quote(office, child, "de_facto_orphan")
    assert body["benefits"][0]["amount_fen"] == 141_100 - 8_000  # type: ignore[index]
    assert [o["blocking"] for o in body["obstacles"]] == [False]  # type: ignore[attr-defined]
    office.grant(
        child,
        "de_facto_orphan",
        fen=133_100,
        basis="application",
        quote_id=UUID(str(body["quote_id"])),
    )
    assert office.bring_to("checked").computed_fen == 141_100


def test_a_quote_is_worked_out_line_by_line_and_granted_as_quoted(office: Office) -> None:
    """The decision takes amount, working and shares from the quote; a changed amount is a line."""
    office.money()
    home = office.household(3)
    body = quote(office, home, "rural_dibao", income=100_000, traits=("disability:肢体一级",))
    amount = body["benefits"][0]["amount_fen"]  # type: ignore[index]
    assert amount == 3 * 62_000 - 100_000 + 3 * 12_400
    assert sum(line["fen"] for line in body["benefits"][0]["working"]) == amount  # type: ignore[index]
    office.grant(
        home,
        fen=amount - 3_200,
        basis="application",
        quote_id=UUID(str(body["quote_id"])),
        reason="收入另有核减",
    )
    with office.uow(CLERK) as uow:
        view = queries.list_entitlements(uow, c.ListEntitlements(household_id=home.household_id))[0]
    term = view.terms[0]
    assert (term.fen, term.policy_fen) == (amount - 3_200, amount)
    assert sum(line.fen for line in term.working) == term.fen
    assert term.working[-1].source == "收入另有核减"


def test_a_round_is_quoted_once(office: Office) -> None:
    """The same assessment again gives no second quote; another round does."""
    home, case_id = office.household(), new_id()
    for round_ in (1, 1, 2):
        quote(office, home, "rural_dibao", round_=round_, case_id=case_id)
    with office.uow() as uow:
        assert uow.session.query(QuoteRow).count() == 2
        names = [name for name, _ in emitted(uow)]
    assert names.count("entitlement.quoted.v1") == 2


def test_nobody_fitting_is_quoted_nothing_with_the_reason(office: Office) -> None:
    """A person outside every band, or a sum over the ceiling, blocks the quote in words."""
    home = office.household()
    young = quote(office, home, "elderly")
    assert young["benefits"][0]["amount_fen"] == 0  # type: ignore[index]
    assert "不符合" in young["obstacles"][0]["message"]  # type: ignore[index]
    dear = quote(office, home, "temporary_aid", asked_fen=2_000_001)
    assert "上限" in dear["obstacles"][0]["message"]  # type: ignore[index]
    assert isinstance(dear, dict)
    assert EntitlementQuoted.__name__


@pytest.mark.parametrize("fen", [-1, 0, 100_000_001])
def test_amounts_that_make_no_sense_never_become_an_entitlement(office: Office, fen: int) -> None:
    """Negative, zero and overflowing amounts are refused, and cases is told."""
    home = office.household()
    office.grant(home, "elderly", fen=fen)
    with office.uow() as uow:
        names = [name for name, _ in emitted(uow)]
        count = uow.session.scalar(text("SELECT count(*) FROM entitlement"))
    assert (names, count) == (["entitlement.refused.v1"], 0)


def test_the_same_benefit_twice_is_refused(office: Office) -> None:
    """One person, one entitlement of a benefit, also within one batch of events; a decision twice
    is one decision."""
    home = office.household(2)
    first = office.grant(home, fen=66_000)
    with office.uow() as uow:
        grants.on_decided(uow, [first, first])
        grants.on_decided(
            uow,
            [
                decision(
                    household=home,
                    basis="application",
                    benefits=(
                        BenefitGranted(
                            benefit="rural_dibao",
                            covered_person_ids=(home.people[1],),
                            payee_person_id=home.head,
                            amount_fen=1_000,
                        ),
                    ),
                )
            ],
        )
    with office.uow() as uow:
        names = [name for name, _ in emitted(uow)]
    assert names.count("entitlement.granted.v1") == 1
    assert names.count("entitlement.refused.v1") == 1


def test_a_correction_before_payment_replaces_the_decision(office: Office) -> None:
    """What a wrong decision gave is void; only the corrected amount is owed."""
    office.money()
    home = office.household(2)
    wrong = office.grant(home, fen=66_000, basis="application")
    office.bring_to("computed")
    right = BenefitGranted(
        benefit="rural_dibao",
        covered_person_ids=tuple(home.people),
        payee_person_id=home.head,
        amount_fen=50_000,
        from_month=date(2026, 11, 1),
    )
    office.decide(household=home, basis="correction", corrects=wrong.decision_id, benefits=(right,))
    office.check("2026-11")
    office.compute("2026-11")
    assert office.check("2026-11").computed_fen == 50_000
    refused = office.grant(office.household(), "elderly", fen=5_000, basis="application")
    office.decide(
        household=Household(refused.household_id, [refused.applicant_person_id]),
        basis="correction",
        outcome="refused",
        corrects=refused.decision_id,
    )
    office.compute("2026-11")
    assert office.check("2026-11").computed_fen == 50_000


def one_off(home: Household, fen: int) -> BenefitGranted:
    """Temporary aid for one."""
    return BenefitGranted(
        benefit="temporary_aid",
        covered_person_ids=(home.head,),
        payee_person_id=home.head,
        amount_fen=fen,
    )


def test_a_corrected_one_off_is_paid_at_the_corrected_sum(office: Office) -> None:
    """Before it is locked, also within the month it was decided in."""
    office.money()
    home = office.household()
    wrong = office.decide(household=home, basis="application", benefits=(one_off(home, 300_000),))
    office.decide(
        household=home,
        basis="correction",
        case_id=wrong.case_id,
        corrects=wrong.decision_id,
        benefits=(one_off(home, 250_000),),
    )
    batch = office.open(kind="one_off")
    assert office.compute(batch.batch_no).computed_fen == 250_000


@pytest.mark.parametrize("corrected_to", ["granted", "refused"])
def test_a_one_off_that_was_paid_is_not_corrected(office: Office, corrected_to: str) -> None:
    """Nor by a correction of the correction: once paid, the desk is told, and nothing is owed."""
    office.money()
    home = office.household()
    paid = office.decide(household=home, basis="application", benefits=(one_off(home, 300_000),))
    batch = office.open(kind="one_off").batch_no
    office.bring_to("sent", batch)
    office.settle(batch, bank_answers(office.file(batch)))
    office.today = date(2026, 12, 10)
    corrects = paid.decision_id
    for _ in range(2):
        corrects = office.decide(
            household=home,
            basis="correction",
            case_id=paid.case_id,
            corrects=corrects,
            outcome=corrected_to,
            decided_on=date(2026, 12, 10),
            benefits=(one_off(home, 250_000),) if corrected_to == "granted" else (),
        ).decision_id
    with office.uow() as uow:
        refused = [body for name, body in emitted(uow) if name == "entitlement.refused.v1"]
        dues = uow.session.execute(text("SELECT fen, state FROM due")).all()
    assert [(each["benefit"], "已发放" in each["reason"]) for each in refused] == [
        ("temporary_aid", True)
    ] * 2
    assert [tuple(due) for due in dues] == [(300_000, "paid")]
    office.decide(
        household=home,
        basis="correction",
        case_id=paid.case_id,
        corrects=corrects,
        decided_on=date(2026, 12, 11),
        benefits=(one_off(home, 300_000),),
    )
    with office.uow() as uow:  # put back to what was given, it stands
        said = [name for name, _ in emitted(uow) if name == "entitlement.refused.v1"]
        assert uow.session.scalar(text("SELECT count(*) FROM due")) == 1
    assert len(said) == 2


def test_a_review_changes_the_amount_and_owed_months_are_adjusted(office: Office) -> None:
    """More for a month already paid is an adjustment; less is listed for recovery; the review that
    ends it stops the next month."""
    office.money()
    more, less, ended = office.household(), office.household(), office.household()
    for home in (more, less, ended):
        office.grant(home, "rural_dibao", fen=50_000)
    office.bring_to("sent")
    office.settle("2026-11", bank_answers(office.file("2026-11")))
    for home, fen in ((more, 56_000), (less, 45_000)):
        office.decide(
            household=home,
            basis="review",
            outcome="changed",
            benefits=(
                BenefitGranted(
                    benefit="rural_dibao",
                    covered_person_ids=tuple(home.people),
                    payee_person_id=home.head,
                    amount_fen=fen,
                    from_month=date(2026, 11, 1),
                ),
            ),
        )
    office.decide(household=ended, basis="review", outcome="ended", decided_on=date(2026, 11, 20))
    december = office.open("2026-12")
    view = office.compute(december.batch_no)
    assert view.computed_fen == (56_000 + 6_000) + 45_000
    with office.uow() as uow:
        owed = uow.session.execute(
            text("SELECT part, month, fen FROM due WHERE state = 'owed' ORDER BY fen")
        ).all()
        recover = uow.session.execute(text("SELECT month, fen FROM recovery")).all()
        names = [name for name, _ in emitted(uow)]
    assert [tuple(row) for row in owed] == [
        ("adjustment", "2026-11", 6_000),
        ("regular", "2026-12", 45_000),
        ("regular", "2026-12", 56_000),
    ]
    assert [tuple(row) for row in recover] == [("2026-11", 5_000)]
    assert names.count("entitlement.ended.v1") == 1


def asked(import_id: UUID) -> RosterImportUndoAsked:
    """Registry asks for an import to be taken back."""
    return RosterImportUndoAsked(import_id=import_id, division="421083")


def test_a_lock_and_an_undo_wait_for_one_another(office: Office) -> None:
    """Whichever holds the import first, the other sees it: never paid and undone at once."""
    office.money()
    import_id = new_id()
    office.grant(office.household(), "elderly", fen=5_000, import_id=import_id)
    office.bring_to("released")
    statement = "SELECT 1 FROM roster_import WHERE import_id = :i FOR UPDATE NOWAIT"
    with office.uow() as undoing:
        grants.on_undo_asked(undoing, [asked(import_id)])
        with pytest.raises(OperationalError, match="could not obtain lock"), office.uow() as other:
            other.session.execute(text(statement), {"i": import_id})
    with office.uow(CLERK) as uow:
        locking.lock(uow, c.LockBatch(batch="2026-11"))
        with pytest.raises(OperationalError, match="could not obtain lock"), office.uow() as other:
            other.session.execute(text(statement), {"i": import_id})


def test_an_import_is_undone_before_its_first_lock_only(office: Office) -> None:
    """Undone in time, nothing it brought is paid, whatever was computed, and all who heard of it
    hear that it ended before it was owed; after the lock it stands."""
    office.money()
    import_id = new_id()
    office.grant(office.household(), "elderly", fen=5_000, import_id=import_id)
    office.bring_to("released")
    with office.uow() as uow:
        grants.on_undo_asked(uow, [asked(import_id)])
        said = emitted(uow)
    assert "import.released.v1" in {name for name, _ in said}
    ends = [b for name, b in said if name in ("entitlement.ended.v1", "entitlement.closed.v1")]
    assert [(b["last_month"], b.get("end_id")) for b in ends] == [
        (None, f"import:{import_id}"),
        (None, None),
    ]
    locked = office.lock("2026-11")
    assert {t.key: t.payments for t in locked.by_state} == {"withdrawn": 1}
    late = new_id()
    office.grant(office.household(), "elderly", fen=5_000, import_id=late)
    december = office.open("2026-12")
    office.bring_to("locked", december.batch_no)
    with office.uow() as uow:
        assert [body["import_id"] for name, body in emitted(uow) if name == "import.locked.v1"] == [
            str(late)
        ]
        grants.on_undo_asked(uow, [asked(late)])
        assert [name for name, _ in emitted(uow)][-1] == "import.locked.v1"
    assert office.view(december.batch_no).by_state[0].key == "locked"


def test_who_is_imported_again_gets_the_month_already_computed(office: Office) -> None:
    """The roster put right: the month the undone import had made a due of is owed under the new."""
    office.money()
    home, first, second = office.household(), new_id(), new_id()
    office.grant(home, "elderly", fen=5_000, import_id=first)
    office.bring_to("checked")
    with office.uow() as uow:
        grants.on_undo_asked(uow, [asked(first)])
    office.grant(home, "elderly", fen=6_000, import_id=second)
    office.compute("2026-11")
    checked = office.check("2026-11")
    assert checked.computed_fen == 6_000
    assert "duplicate" not in {tally.key for tally in checked.findings}
    for seat in ("review", "release"):
        office.sign("2026-11", seat)
    office.lock("2026-11")
    assert office.export("2026-11").file_fen == 6_000
    december = office.bring_to("checked", office.open("2026-12").batch_no)
    assert december.computed_fen == 6_000


def urgent(office: Office, fen: int) -> Household:
    """A town decides urgent aid for a household."""
    home = office.household(2)
    office.grant(
        home,
        "temporary_aid",
        fen=fen,
        basis="application",
        urgent=True,
        from_month=None,  # type: ignore[arg-type]
    )
    return home


def test_urgent_aid_is_paid_at_once_and_the_reserve_replenished(office: Office) -> None:
    """From the town's 备用金 on the day of the decision; two sign the replenishment."""
    office.money(reserve=5_000_000)
    urgent(office, 200_001)
    with office.uow(CLERK) as uow:
        names = [name for name, _ in emitted(uow)]
        rows = batches.find(uow, str(uow.session.scalar(text("SELECT id FROM batch"))))
        view = batches.view(uow, rows)
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
    assert "payment.settled.v1" in names
    assert (view.kind, view.state) == ("urgent", "settled")
    assert view.sums is not None
    assert view.sums.agree
    assert balances["备用金"] == -200_001
    assert balances["应付"] == 0
    with office.uow(CLERK) as uow:
        filling = replenishment.open_batch(uow, c.OpenReplenishment(towns=(TOWN,)))
    assert filling.computed_fen == 200_001
    for actor, seat in ((AUDITOR, "review"), (FINANCE, "release")):
        with office.uow(actor) as uow:
            signing.sign(
                uow,
                c.SignBatch(
                    batch=filling.batch_no,
                    seat=seat,  # type: ignore[arg-type]
                    total_fen=200_001,
                    document_no="财社〔2026〕9号",
                ),
            )
    with office.uow(CLERK) as uow:
        assert locking.lock(uow, c.LockBatch(batch=filling.batch_no)).state == "settled"
        balances = {b.account: b.balance_fen for b in queries.show_ledger(uow, c.ShowLedger())}
    assert balances["备用金"] == 0
    assert balances["资金账户"] == -200_001


@pytest.mark.parametrize(
    ("fen", "reserve", "words"),
    [(312_001, 5_000_000, "over_authority"), (200_000, 199_999, "cash_short")],
)
def test_urgent_aid_beyond_the_towns_means_waits_for_two_signatures(
    office: Office, fen: int, reserve: int, words: str
) -> None:
    """Over the town's authority or its reserve: said at once, paid by a one-off batch; and since
    nothing was drawn, the sums do not differ and nobody is called to stop all payments."""
    office.money(reserve=reserve)
    urgent(office, fen)
    with office.uow() as uow:
        metrics.reconcile(uow)
        assert metrics.DIFFERENCE_FEN._value.get() == 0
        failed = [body for name, body in emitted(uow) if name == "payment.failed.v1"]
        left = uow.session.scalar(
            text("SELECT balance_fen FROM fund_account WHERE kind = 'reserve'")
        )
        transfers = uow.session.scalar(text("SELECT count(*) FROM transfer"))
    assert [body["reason_code"] for body in failed] == [words]
    assert (left, transfers) == (reserve, 0)
    batch = office.open("2026-11", kind="one_off")
    sent = office.bring_to("sent", batch.batch_no)
    assert sent.file_fen == fen
