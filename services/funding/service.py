"""The funding service: its entrypoints, one line each."""

from __future__ import annotations

from services.chassis import audit_chain, replay
from services.chassis.posts import Posts
from services.chassis.service import (
    OBSERVERS,
    WORKERS,
    Service,
    command,
    every,
    project,
    query,
    react,
)
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Role
from services.contracts.commands import funding as c
from services.contracts.commands.common import Traced
from services.contracts.events.bureaus import ReplayRequested
from services.contracts.events.cases import AssessmentRequested, CaseDecided, CasesAuditAnchored
from services.contracts.events.registry import (
    HouseholdRecorded,
    PersonAccountChanged,
    PersonDeathRevoked,
    PersonDied,
    PersonRecorded,
    RosterImportUndoAsked,
    StaffAppointed,
)
from services.funding import (
    batches,
    budgets,
    checking,
    comparison,
    computing,
    deaths,
    exporting,
    grants,
    locking,
    metrics,
    projections,
    queries,
    quotes,
    recoveries,
    replenishment,
    settlement,
    signing,
    stock,
    terms,
)
from services.funding.models import HouseholdCopy, PersonCopy, StaffCopy

CLERK = (Role.FUNDING_CLERK,)
FINANCE = (Role.FINANCE_OFFICER,)
SIGNERS = (Role.CIVIL_AUDITOR, Role.FINANCE_OFFICER)
HANDLERS = (Role.FUNDING_CLERK, Role.CIVIL_AUDITOR, Role.FINANCE_OFFICER)
READERS = (*HANDLERS, Role.LEADER, Role.AUDITOR, Role.COUNTY_DECIDER)
TOWN_READERS = (
    *READERS,
    Role.VILLAGE_OFFICER,
    Role.TOWN_CLERK,
    Role.TOWN_REVIEWER,
    Role.TOWN_DECIDER,
    Role.FEDERATION_REVIEWER,
)


class FundingService(Service):
    """What is paid."""

    name = "funding"
    kept = stock.KEPT
    staff_posts = Posts(StaffCopy.staff_id, StaffCopy.active, StaffCopy.roles, StaffCopy.scopes)
    books = stock.BOOKS

    # copies of what registry owns

    @project(PersonRecorded, into=PersonCopy)
    def copy_people(self, uow: UnitOfWork, events: list[PersonRecorded]) -> None:
        """People."""
        projections.people(uow, events)

    @project(PersonAccountChanged, into=PersonCopy)
    def copy_accounts(self, uow: UnitOfWork, events: list[PersonAccountChanged]) -> None:
        """Accounts, opened and stored under our own key."""
        projections.accounts(uow, events)

    @project(HouseholdRecorded, into=HouseholdCopy)
    def copy_households(self, uow: UnitOfWork, events: list[HouseholdRecorded]) -> None:
        """Households and their payees."""
        projections.households(uow, events)

    @project(StaffAppointed, into=StaffCopy)
    def copy_staff(self, uow: UnitOfWork, events: list[StaffAppointed]) -> None:
        """Staff."""
        projections.staff(uow, events)

    @project(CasesAuditAnchored)
    def witness_audit(self, uow: UnitOfWork, events: list[CasesAuditAnchored]) -> None:
        """Heads of the audit chain of cases."""
        audit_chain.bear_witness(uow, events)

    # what happened elsewhere

    @react(AssessmentRequested)
    def on_assessment_requested(self, uow: UnitOfWork, events: list[AssessmentRequested]) -> None:
        """Quote."""
        quotes.answer(uow, events)

    @react(CaseDecided)
    def on_case_decided(self, uow: UnitOfWork, events: list[CaseDecided]) -> None:
        """Open, change or end entitlements."""
        grants.on_decided(uow, events)

    @react(PersonDied)
    def on_person_died(self, uow: UnitOfWork, events: list[PersonDied]) -> None:
        """Stop."""
        deaths.on_died(uow, events)

    @react(PersonDeathRevoked)
    def on_death_revoked(self, uow: UnitOfWork, events: list[PersonDeathRevoked]) -> None:
        """Lift a stop."""
        deaths.on_death_revoked(uow, events)

    @react(RosterImportUndoAsked)
    def on_import_undo_asked(self, uow: UnitOfWork, events: list[RosterImportUndoAsked]) -> None:
        """Void what an import brought, unless some of it was locked."""
        grants.on_undo_asked(uow, events)

    @every(seconds=30)
    def measure(self, uow: UnitOfWork) -> None:
        """Gauges for Prometheus."""
        metrics.measure(uow)

    @every(seconds=60)
    def reconcile(self, uow: UnitOfWork) -> None:
        """Whether the money agrees to the fen, and came on time."""
        metrics.reconcile(uow)

    @every(seconds=60)
    def list_paid_after_death(self, uow: UnitOfWork) -> None:
        """Recoveries of deaths that came at the very moment of a settlement."""
        deaths.list_paid_after_death(uow)

    @every(seconds=1)
    def reconcile_noted(self, uow: UnitOfWork) -> None:
        """Whom another transaction was reckoning when their turn came."""
        terms.reconcile_noted(uow)

    # batches

    @command(c.OpenBatch, roles=CLERK)
    def open_batch(self, uow: UnitOfWork, request: c.OpenBatch) -> c.BatchView:
        """开期."""
        return batches.open_batch(uow, request)

    @command(c.OpenRepayment, roles=CLERK)
    def open_repayment(self, uow: UnitOfWork, request: c.OpenRepayment) -> c.BatchView:
        """补发批次."""
        return batches.open_repayment(uow, request)

    @command(c.OpenReplenishment, roles=CLERK)
    def open_replenishment(self, uow: UnitOfWork, request: c.OpenReplenishment) -> c.BatchView:
        """备用金补充."""
        return replenishment.open_batch(uow, request)

    @command(c.ComputeBatch, roles=CLERK)
    def compute_batch(self, uow: UnitOfWork, request: c.ComputeBatch) -> c.BatchView:
        """计算."""
        return computing.compute(uow, request)

    @command(c.CheckBatch, roles=CLERK)
    def check_batch(self, uow: UnitOfWork, request: c.CheckBatch) -> c.BatchView:
        """校验."""
        return checking.check(uow, request)

    @command(c.SignBatch, roles=WORKERS)
    def sign_batch(self, uow: UnitOfWork, request: c.SignBatch) -> c.BatchView:
        """审核, 核拨: by role or as a deputy, which the use case decides."""
        return signing.sign(uow, request)

    @command(c.SendBackBatch, roles=SIGNERS)
    def send_back_batch(self, uow: UnitOfWork, request: c.SendBackBatch) -> c.BatchView:
        """退回."""
        return signing.send_back(uow, request)

    @command(c.DiscardBatch, roles=CLERK)
    def discard_batch(self, uow: UnitOfWork, request: c.DiscardBatch) -> c.BatchView:
        """撤销未签署的批次."""
        return batches.discard(uow, request)

    @command(c.LockBatch, roles=HANDLERS)
    def lock_batch(self, uow: UnitOfWork, request: c.LockBatch) -> c.BatchView:
        """锁定."""
        return locking.lock(uow, request)

    @command(c.VoidBatch, roles=WORKERS)
    def void_batch(self, uow: UnitOfWork, request: c.VoidBatch) -> c.BatchView:
        """作废: by role or as a deputy, which the use case decides."""
        return locking.void(uow, request)

    @command(c.ExportBatch, roles=HANDLERS, child=True)
    def export_batch(self, uow: UnitOfWork, request: c.ExportBatch) -> c.BatchView:
        """生成银行文件."""
        return exporting.export(uow, request)

    @command(c.SettleBatch, roles=HANDLERS, child=True)
    def settle_batch(self, uow: UnitOfWork, request: c.SettleBatch) -> c.ReturnView:
        """读入回盘文件."""
        return settlement.settle(uow, request)

    @command(c.AppointDeputy, roles=(*SIGNERS, Role.LEADER))
    def appoint_deputy(self, uow: UnitOfWork, request: c.AppointDeputy) -> c.DeputyView:
        """委托代理."""
        return signing.appoint_deputy(uow, request)

    # money

    @command(c.AllotBudget, roles=FINANCE)
    def allot_budget(self, uow: UnitOfWork, request: c.AllotBudget) -> c.BudgetView:
        """下达预算."""
        return budgets.allot(uow, request)

    @command(c.DepositFunds, roles=FINANCE)
    def deposit_funds(self, uow: UnitOfWork, request: c.DepositFunds) -> c.BudgetView:
        """拨入资金."""
        return budgets.deposit(uow, request)

    @command(c.RecordRecovery, roles=FINANCE)
    def record_recovery(self, uow: UnitOfWork, request: c.RecordRecovery) -> c.RecoveryView:
        """追回到账."""
        return recoveries.record(uow, request)

    @command(c.WriteOffRecovery, roles=FINANCE)
    def write_off_recovery(self, uow: UnitOfWork, request: c.WriteOffRecovery) -> c.RecoveryView:
        """核销."""
        return recoveries.write_off(uow, request)

    @command(c.CloseHeldDues, roles=(Role.CIVIL_AUDITOR,))
    def close_held_dues(self, uow: UnitOfWork, request: c.CloseHeldDues) -> int:
        """关闭暂缓的应发款."""
        return recoveries.close_held(uow, request)

    # looks

    @query(c.ShowBatch, roles=READERS)
    def show_batch(self, uow: UnitOfWork, request: c.ShowBatch) -> c.BatchView:
        """A batch."""
        return queries.show_batch(uow, request)

    @query(c.ListBatches, roles=READERS)
    def list_batches(self, uow: UnitOfWork, request: c.ListBatches) -> list[c.BatchRow]:
        """Batches."""
        return queries.list_batches(uow, request)

    @query(c.ListFindings, roles=READERS)
    def list_findings(self, uow: UnitOfWork, request: c.ListFindings) -> list[c.FindingView]:
        """Findings of a check."""
        return queries.list_findings(uow, request)

    @query(c.ListPayments, roles=TOWN_READERS)
    def list_payments(self, uow: UnitOfWork, request: c.ListPayments) -> c.PaymentPage:
        """Payments of a batch or a household."""
        return queries.list_payments(uow, request)

    @query(c.ShowPayment, roles=TOWN_READERS)
    def show_payment(self, uow: UnitOfWork, request: c.ShowPayment) -> c.PaymentChain:
        """The chain behind a payment."""
        return queries.show_payment(uow, request)

    @query(c.TracePayments, roles=OBSERVERS)
    def trace_payments(self, uow: UnitOfWork, request: c.TracePayments) -> list[Traced]:
        """The traces in which a case's benefits were paid."""
        return queries.trace_payments(uow, request)

    @query(c.ListEntitlements, roles=TOWN_READERS)
    def list_entitlements(
        self, uow: UnitOfWork, request: c.ListEntitlements
    ) -> list[c.EntitlementView]:
        """Entitlements of a case, household or person."""
        return queries.list_entitlements(uow, request)

    @query(c.CompareOldFile, roles=HANDLERS, child=True)
    def compare_old_file(self, uow: UnitOfWork, request: c.CompareOldFile) -> c.OldFileComparison:
        """新旧系统比对."""
        return comparison.compare_old_file(uow, request)

    @query(c.ListDeputies, roles=READERS)
    def list_deputies(self, uow: UnitOfWork, request: c.ListDeputies) -> list[c.DeputyView]:
        """Deputies."""
        return signing.list_deputies(uow, request)

    @query(c.ShowBudget, roles=READERS)
    def show_budget(self, uow: UnitOfWork, request: c.ShowBudget) -> c.BudgetView:
        """Budget lines and accounts."""
        return budgets.show(uow, request)

    @query(c.ShowLedger, roles=READERS)
    def show_ledger(self, uow: UnitOfWork, request: c.ShowLedger) -> list[c.AccountBalance]:
        """Balances of the ledger."""
        return queries.show_ledger(uow, request)

    @query(c.ListRecoveries, roles=TOWN_READERS)
    def list_recoveries(self, uow: UnitOfWork, request: c.ListRecoveries) -> list[c.RecoveryView]:
        """Recoveries."""
        return recoveries.list_all(uow, request)

    @react(ReplayRequested)
    def on_replay_requested(self, uow: UnitOfWork, events: list[ReplayRequested]) -> None:
        """A bureau wants to hear again what it may see."""
        replay.note(uow, events)

    @every(seconds=2)
    def serve_replays(self, uow: UnitOfWork) -> None:
        """Send a slice of what bureaus want to hear again."""
        replay.serve(uow)
