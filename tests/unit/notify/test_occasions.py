"""Each fact is told to the right readers, once, in a text that has all its fields."""

from datetime import date
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.events import cases, funding, registry
from services.contracts.events.cases import BenefitGranted
from services.contracts.money import fen
from services.notify import catalogue
from services.notify.domain import occasions, templates
from services.notify.domain.occasions import Draft
from services.notify.domain.templates import Audience

VILLAGE = "421083108007"
PERSON, OFFICER, CASE = uuid4(), uuid4(), uuid4()
WORDS = catalogue.words()


def decided(
    *,
    basis: str = "application",
    outcome: str = "granted",
    benefits: tuple[BenefitGranted, ...] = (),
    reason: str | None = None,
) -> cases.CaseDecided:
    """A decision; set only what the test is about."""
    return cases.CaseDecided(
        decision_id=uuid4(),
        decision_no="洪民低保〔2026〕12号",
        case_id=CASE,
        case_no="421083-2026-000012",
        item="dibao",
        basis=basis,
        outcome=outcome,
        household_id=uuid4(),
        applicant_person_id=PERSON,
        division=VILLAGE,
        decided_on=date(2026, 10, 20),
        benefits=benefits,
        reason=reason,
    )


def granted(
    benefit: str, amount_fen: int, from_month: date | None = date(2026, 11, 1)
) -> BenefitGranted:
    """A benefit of a decision."""
    return BenefitGranted(
        benefit=benefit,
        covered_person_ids=(PERSON,),
        payee_person_id=PERSON,
        amount_fen=amount_fen,
        from_month=from_month,
    )


def ended(reason: str, last_month: date | None = date(2026, 12, 1)) -> funding.EntitlementEnded:
    """The end of an entitlement."""
    return funding.EntitlementEnded(
        entitlement_id=uuid4(),
        case_id=CASE,
        household_id=uuid4(),
        person_ids=(PERSON, uuid4()),
        benefit="rural_dibao",
        division=VILLAGE,
        last_month=last_month,
        reason=reason,
    )


def failed() -> funding.PaymentFailed:
    """A payment that the bank could not make."""
    return funding.PaymentFailed(
        payment_id=uuid4(),
        payee_person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        month=date(2026, 11, 1),
        benefits=("rural_dibao", "elderly"),
        amount_fen=66050,
        reason_code="NAME",
        reason="户名不符",
    )


def neared(stage: str, officer: UUID | None = OFFICER) -> cases.DeadlineNeared:
    """A deadline that nears or has passed."""
    return cases.DeadlineNeared(
        notice_id=f"{CASE}:{stage}",
        case_id=CASE,
        case_no="421083-2026-000012",
        division=VILLAGE,
        step="入户调查",
        stage=stage,
        due_on=date(2026, 10, 1),
        officer_id=officer,
    )


def drafts_of_everything() -> list[Draft]:
    """One draft at least for every template."""
    accepted = cases.CaseAccepted(
        case_id=CASE,
        case_no="421083-2026-000012",
        item="dibao",
        applicant_person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        accepted_on=date(2026, 9, 28),
        due_on=date(2026, 11, 3),
        first_officer_id=OFFICER,
    )
    requested = cases.MaterialRequested(
        case_id=CASE,
        case_no="421083-2026-000012",
        item="dibao",
        applicant_person_id=PERSON,
        division=VILLAGE,
        materials=("残疾证", "授权书"),
        reply_by=None,
        first_officer_id=OFFICER,
    )
    opened = cases.PublicityOpened(
        case_id=CASE,
        case_no="421083-2026-000012",
        item="dibao",
        division=VILLAGE,
        applicant_person_id=PERSON,
        applicant_name="陈桂兰",
        members=3,
        amount_fen=113600,
        opens_on=date(2026, 10, 12),
        closes_on=date(2026, 10, 18),
    )
    objected = cases.CaseObjected(
        case_id=CASE,
        case_no="421083-2026-000012",
        division=VILLAGE,
        objected_on=date(2026, 10, 14),
        first_officer_id=OFFICER,
    )
    extended = cases.DeadlineExtended(
        case_id=CASE,
        case_no="421083-2026-000012",
        division=VILLAGE,
        applicant_person_id=PERSON,
        due_on=date(2026, 12, 8),
        reason="户籍地与居住地不一致",
    )
    review = cases.ReviewOpened(
        case_id=CASE,
        case_no="421083-2026-000012",
        division=VILLAGE,
        person_id=PERSON,
        cause="income_changed",
        cause_event_id="e",
        officer_id=OFFICER,
        opened_on=date(2026, 12, 1),
    )
    settled = funding.PaymentSettled(
        payment_id=uuid4(),
        payee_person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        month=date(2026, 11, 1),
        benefits=("rural_dibao",),
        amount_fen=66050,
        settled_on=date(2026, 11, 15),
    )
    recovery = funding.RecoveryRaised(
        recovery_id=uuid4(),
        person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        benefit="elderly",
        months=(date(2026, 11, 1),),
        amount_fen=6000,
        reason="死亡停发（2026-10-03 死亡）",
    )
    changed = registry.AccountChangeConfirmed(
        change_id=uuid4(),
        person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        what="account",
        confirmed_on=date(2026, 11, 2),
    )
    died = registry.PersonDied(
        person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        died_on=date(2026, 12, 3),
        source="public_security",
        source_event_id="e1",
        officer_id=OFFICER,
    )
    revoked = registry.PersonDeathRevoked(
        person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        revokes="e1",
        source_event_id="e2",
    )
    return [
        *occasions.case_accepted(accepted, WORDS),
        *occasions.material_requested(requested, WORDS),
        *occasions.publicity_opened(opened, WORDS),
        *occasions.case_objected(objected, WORDS),
        *occasions.deadline_extended(extended, WORDS),
        *occasions.deadline_neared(neared("near"), WORDS),
        *occasions.deadline_neared(neared("due"), WORDS),
        *occasions.deadline_neared(neared("overdue"), WORDS),
        *occasions.case_decided(decided(benefits=(granted("rural_dibao", 1),)), WORDS),
        *occasions.case_decided(
            decided(basis="review", benefits=(granted("rural_dibao", 1),)), WORDS
        ),
        *occasions.case_decided(decided(benefits=(granted("temporary_aid", 1, None),)), WORDS),
        *occasions.case_decided(decided(outcome="refused"), WORDS),
        *occasions.case_decided(decided(basis="review", outcome="kept"), WORDS),
        *occasions.review_opened(review, WORDS),
        *occasions.entitlement_ended(ended("复核终止"), WORDS),
        *occasions.payment_settled(settled, WORDS),
        *occasions.payment_failed(failed(), WORDS),
        *occasions.recovery_raised(recovery, WORDS),
        *occasions.account_change_confirmed(changed, WORDS, {}),
        *occasions.person_died(died, WORDS),
        *occasions.death_revoked(revoked, WORDS),
    ]


def test_every_template_has_its_occasion_and_every_occasion_its_fields() -> None:
    """No template lies unused, and each draft with the late names fills its template whole."""
    drafts = drafts_of_everything()
    shipped = catalogue.all_templates()
    assert {draft.template for draft in drafts} == set(shipped)
    for draft in drafts:
        template = shipped[draft.template]
        values = {**draft.values, "name": "陈桂兰", "officer": "刘志强"}
        assert draft.audience is template.audience
        assert templates.render(template, template.versions[-1], values, catalogue.fields())
        named = {"name", "officer"} & set(template.versions[-1].fields)
        assert "name" not in named or draft.person_id is not None
        assert "officer" not in named or draft.named_staff_id is not None


def test_the_same_event_twice_makes_the_same_messages() -> None:
    """The id of a draft comes from the fact alone."""
    event = failed()
    first, again = (occasions.payment_failed(event, WORDS) for _ in range(2))
    assert [draft.id for draft in first] == [draft.id for draft in again]
    assert len({draft.id for draft in first}) == len(first) == 2


@given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=3))
def test_a_grant_names_the_sum_of_its_benefits(amounts: list[int]) -> None:
    """The amount in the message is the sum of the decision's benefits, to the fen."""
    benefits = tuple(granted("disability_living", amount) for amount in amounts)
    (draft,) = occasions.case_decided(decided(benefits=benefits), WORDS)
    assert fen(draft.values["amount"]) == sum(amounts)
    assert draft.values["benefits"] == "困难生活补贴"


def test_a_refusal_carries_its_reason() -> None:
    """Who is refused reads why."""
    (draft,) = occasions.case_decided(decided(outcome="refused", reason="人均收入高于标准"), WORDS)
    assert (draft.template, draft.values["reason"]) == ("decided_refused", "人均收入高于标准")


def test_an_end_by_death_is_not_told_to_the_dead() -> None:
    """Nor is the end of something that was never owed; any other end is told once."""
    assert occasions.entitlement_ended(ended("死亡停发"), WORDS) == []
    assert occasions.entitlement_ended(ended("复核终止", None), WORDS) == []
    (draft,) = occasions.entitlement_ended(ended("复核终止"), WORDS)
    assert draft.person_id == PERSON


def test_a_new_payee_is_told_to_the_one_who_was_paid_before() -> None:
    """Who loses the money learns it first."""
    before = uuid4()
    event = registry.AccountChangeConfirmed(
        change_id=uuid4(),
        person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        what="payee",
        confirmed_on=date(2026, 11, 2),
        previous_payee_id=before,
    )
    drafts = occasions.account_change_confirmed(event, WORDS, {before: (7,)})
    assert [(d.person_id, d.contact_id) for d in drafts] == [
        (PERSON, None),
        (before, None),
        (before, 7),
    ]
    assert {d.values["what"] for d in drafts} == {"领款人"}


@pytest.mark.parametrize(
    ("basis", "outcome", "template"),
    [
        ("application", "granted", "decided_granted"),
        ("application", "refused", "decided_refused"),
        ("correction", "granted", "decision_changed"),
        ("review", "changed", "decision_changed"),
        ("review", "kept", "decision_kept"),
        ("review", "ended", None),
        ("carried_over", "granted", None),
    ],
)
def test_each_outcome_of_a_decision_has_its_own_words(
    basis: str, outcome: str, template: str | None
) -> None:
    """An end is told by the entitlement's own end, with its last month."""
    benefits = (granted("rural_dibao", 66000),)
    drafts = occasions.case_decided(decided(basis=basis, outcome=outcome, benefits=benefits), WORDS)
    assert [draft.template for draft in drafts] == ([template] if template else [])


def test_a_step_that_nobody_holds_reminds_nobody() -> None:
    """A reminder without a reader is not made; an unknown stage neither."""
    assert occasions.deadline_neared(neared("near", None), WORDS) == []
    assert occasions.deadline_neared(neared("someday"), WORDS) == []


def test_numbers_replaced_shortly_before_an_account_change_are_told_too() -> None:
    """Who changes the phone first and the account then does not silence the owner."""
    event = registry.AccountChangeConfirmed(
        change_id=uuid4(),
        person_id=PERSON,
        household_id=uuid4(),
        division=VILLAGE,
        what="payee",
        confirmed_on=date(2026, 11, 2),
    )
    drafts = occasions.account_change_confirmed(event, WORDS, {PERSON: (1, 2), uuid4(): (3,)})
    assert [draft.contact_id for draft in drafts] == [None, 1, 2]
    assert len({draft.id for draft in drafts}) == 3
    assert all(draft.audience is Audience.RESIDENT for draft in drafts)
