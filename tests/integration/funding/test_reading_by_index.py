"""A death, a grant and what is looked up find their rows by index, however many are paid."""

from datetime import date

from services.contracts.commands import funding as c
from services.funding import queries, recoveries
from tests.builders.funding import CLERK, Office
from tests.fixtures.plans import ReadingWhole

SMALL = {
    "business_clock", "policy", "policy_version", "division", "staff", "batch", "budget_line",
    "fund_account", "exclusion",
}  # fmt: skip


def test_a_grant_and_a_death(office: Office, reading_whole: ReadingWhole) -> None:
    """At a computed month: what the person is paid stops, the payment leaves the batch."""
    office.money()
    households = [office.household(2) for _ in range(2)]
    office.grant(households[0])
    with reading_whole() as whole:
        office.grant(households[1])
    office.bring_to("checked")
    with reading_whole() as also:
        office.dies(households[0], households[0].head, date(2026, 10, 20))
    found = whole | also
    large = {table: found[table] for table in found.keys() - SMALL}
    assert not large, "\n".join(f"{t}: {q}" for t, q in large.items())


def test_what_is_looked_up(office: Office, reading_whole: ReadingWhole) -> None:
    """Payments of a batch and of a household, one payment's chain, entitlements, recoveries."""
    office.money()
    household = office.household()
    office.grant(household)
    office.bring_to("settled")
    with reading_whole() as whole, office.uow(CLERK) as uow:
        page = queries.list_payments(uow, c.ListPayments(batch="2026-11"))
        queries.list_payments(uow, c.ListPayments(batch="2026-11", state="settled"))
        queries.list_payments(uow, c.ListPayments(household_id=household.household_id))
        queries.show_payment(uow, c.ShowPayment(payment_id=page.payments[0].payment_id))
        queries.list_entitlements(uow, c.ListEntitlements(person_id=household.head))
        queries.list_entitlements(uow, c.ListEntitlements(household_id=household.household_id))
        recoveries.list_all(uow, c.ListRecoveries(only_open=True))
        queries.list_findings(uow, c.ListFindings(batch="2026-11"))
        queries.list_batches(uow, c.ListBatches())
    large = {table: whole[table] for table in whole.keys() - SMALL}
    assert not large, "\n".join(f"{t}: {q}" for t, q in large.items())
