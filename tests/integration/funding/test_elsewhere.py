"""The right post of another county: nothing of the money here is shown, and none moves."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select

from services.chassis import files
from services.contracts.actors import Actor
from services.contracts.commands import funding as c
from services.contracts.requests import Request
from services.funding import signing
from services.funding.models import BatchRow, PaymentRow, RecoveryRow
from tests.builders.funding import AUDITOR, CLERK, COUNTY, SYSTEM, Office
from tests.builders.strangers import doors, walk

OPEN_EVERYWHERE: dict[str, str] = {}


def test_a_stranger_at_every_door_sees_and_changes_nothing(office: Office) -> None:
    """Asked about a batch, a payment, a household and a recovery, by another county's staff."""
    home, dead = office.household(), office.household(2)
    case = office.grant(home, fen=66_100)
    office.grant(dead, fen=77_200)
    office.money()
    office.appoint(AUDITOR)
    office.bring_to("sent")
    office.dies(dead, dead.head, date(2026, 10, 1))
    with office.uow(CLERK) as uow:
        uploaded = files.write(uow, "return", b"x", "text/plain", division=COUNTY)
    with office.uow(SYSTEM) as uow:
        payment = uow.session.scalars(select(PaymentRow.id)).first()
        batch = uow.session.scalars(select(BatchRow.id)).one()
        recovery = uow.session.scalars(select(RecoveryRow.id)).first() or UUID(int=9)
    assert payment is not None
    with office.uow(AUDITOR) as uow:
        deputy = signing.appoint_deputy(
            uow,
            c.AppointDeputy(
                staff_id=UUID(AUDITOR.id), role="civil_auditor", from_day=office.today,
                to_day=office.today, document_no="委2026-77",
            ),
        )  # fmt: skip
    no = "2026-11"
    paper = "财社〔2026〕9号"
    asked: dict[str, Request[Any]] = {
        "open_batch": c.OpenBatch(month="2026-12"),
        "open_repayment": c.OpenRepayment(batch=no),
        "open_replenishment": c.OpenReplenishment(),
        "compute_batch": c.ComputeBatch(batch=no),
        "check_batch": c.CheckBatch(batch=no),
        "sign_batch": c.SignBatch(batch=no, seat="review", total_fen=1),
        "send_back_batch": c.SendBackBatch(batch=no, reason="x"),
        "discard_batch": c.DiscardBatch(batch=no, reason="x"),
        "lock_batch": c.LockBatch(batch=no),
        "void_batch": c.VoidBatch(batch=no, seat="review", reason="x"),
        "export_batch": c.ExportBatch(batch=no),
        "settle_batch": c.SettleBatch(batch=no, file_id=uploaded),
        "appoint_deputy": c.AppointDeputy(
            staff_id=UUID(AUDITOR.id), role="civil_auditor", from_day=office.today,
            to_day=office.today, document_no=paper,
        ),
        "allot_budget": c.AllotBudget(
            year=2026, benefit="rural_dibao", fen=100, document_no=paper
        ),
        "deposit_funds": c.DepositFunds(fen=100, document_no=paper),
        "record_recovery": c.RecordRecovery(recovery_id=recovery, fen=1, document_no=paper),
        "write_off_recovery": c.WriteOffRecovery(recovery_id=recovery, fen=1, document_no=paper),
        "close_held_dues": c.CloseHeldDues(
            household_id=home.household_id, reason="x", document_no=paper
        ),
        "show_batch": c.ShowBatch(batch=no),
        "list_batches": c.ListBatches(),
        "list_findings": c.ListFindings(batch=no),
        "list_payments": c.ListPayments(household_id=home.household_id),
        "show_payment": c.ShowPayment(payment_id=payment),
        "trace_payments": c.TracePayments(case_id=case.case_id),
        "list_entitlements": c.ListEntitlements(household_id=home.household_id),
        "compare_old_file": c.CompareOldFile(batch=no, file_id=uploaded),
        "list_deputies": c.ListDeputies(),
        "show_budget": c.ShowBudget(year=2026),
        "show_ledger": c.ShowLedger(),
        "list_recoveries": c.ListRecoveries(household_id=dead.household_id),
    }  # fmt: skip
    assert set(asked) | set(OPEN_EVERYWHERE) == doors("funding")
    marks = (
        home.household_id, dead.household_id, home.head, payment, batch, case.case_id,
        deputy.document_no, "66100", "77200", "10000000000", "成员0",
    )  # fmt: skip

    def begin(actor: Actor) -> Any:
        return office.uow(actor)

    assert walk("funding", begin, asked, place="421003", marks=marks) == []
