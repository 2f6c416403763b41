"""Reads for the edge: lists of batches, findings and payments, and the chain behind a payment."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Select, cast, false, func, or_, select, text
from sqlalchemy.orm import InstrumentedAttribute

from services.chassis.models import FileRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands.common import Traced
from services.contracts.commands.funding import (
    AccountBalance,
    BatchView,
    DueView,
    EntitlementView,
    FindingView,
    ListBatches,
    ListEntitlements,
    ListFindings,
    ListPayments,
    PaymentChain,
    PaymentPage,
    PaymentView,
    ShowBatch,
    ShowLedger,
    ShowPayment,
    TermView,
    TracePayments,
    TransferView,
)
from services.contracts.commands.funding import (
    BatchRow as BatchListRow,
)
from services.contracts.errors import Invalid, NotFound
from services.contracts.events.funding import WorkingLine
from services.funding import batches, policies
from services.funding.domain.cycle import STATE_LABELS, State
from services.funding.domain.ledger import Account
from services.funding.models import (
    BatchRow,
    CoverageRow,
    DueRow,
    EntitlementRow,
    FindingRow,
    PaymentDueRow,
    PaymentRow,
    PersonCopy,
    PolicyRow,
    ReturnFileRow,
    TermRow,
    TransferRow,
)

LARGEST_PAGE = 500

BASIS_LABELS = {
    "application": "申请",
    "carried_over": "存量结转",
    "review": "复核",
    "correction": "更正",
}
ENTITLEMENT_LABELS = {"active": "在享", "ended": "已终止", "void": "已作废"}
PART_LABELS = {"regular": "当月应发", "adjustment": "补差", "instalment": "分期救助"}


def show_batch(uow: UnitOfWork, query: ShowBatch) -> BatchView:
    """A batch with everything about it."""
    return batches.view(uow, batches.find(uow, query.batch))


def list_batches(uow: UnitOfWork, query: ListBatches) -> list[BatchListRow]:
    """Batches, newest first."""
    statement = select(BatchRow).order_by(BatchRow.serial.desc()).limit(_page(query.limit))
    if query.month:
        statement = statement.where(BatchRow.month == query.month)
    if query.states:
        statement = statement.where(BatchRow.state.in_(query.states))
    if query.before_serial is not None:
        statement = statement.where(BatchRow.serial < query.before_serial)
    rows = uow.session.scalars(statement)
    return [_batch_row(row) for row in rows if uow.actor.covers(row.division)]


def list_findings(uow: UnitOfWork, query: ListFindings) -> list[FindingView]:
    """Findings of a batch."""
    batch = batches.find(uow, query.batch)
    statement = (
        select(FindingRow, PersonCopy.name)
        .outerjoin(PersonCopy, PersonCopy.person_id == FindingRow.person_id)
        .where(FindingRow.batch_id == batch.id, FindingRow.id > query.after)
        .order_by(FindingRow.id)
        .limit(_page(query.limit))
    )
    if query.kind:
        statement = statement.where(FindingRow.kind == query.kind)
    return [
        FindingView(
            finding_id=row.id,
            kind=row.kind,
            kind_label=batches.FINDING_LABELS.get(row.kind, row.kind),
            held=row.held,
            payment_id=row.payment_id,
            person_id=row.person_id,
            person_name=name,
            division=row.division,
            benefit=row.benefit,
            fen=row.fen,
            message=row.message,
        )
        for row, name in uow.session.execute(statement)
    ]


def list_payments(uow: UnitOfWork, query: ListPayments) -> PaymentPage:
    """Payments of a batch or a household, keyset-paged."""
    conditions: list[Any] = []
    if query.batch is not None:
        conditions.append(PaymentRow.batch_id == batches.find(uow, query.batch).id)
    if query.household_id is not None:
        conditions.append(PaymentRow.household_id == query.household_id)
    if not conditions:
        raise Invalid("请指定批次或家庭", field="batch", advice="填写批次号或家庭编号")
    if query.state:
        conditions.append(PaymentRow.state == query.state)
    conditions.append(_within_reach(uow, PaymentRow.division))
    total, total_fen = uow.session.execute(
        select(func.count(), cast(func.coalesce(func.sum(PaymentRow.fen), 0), BigInteger)).where(
            *conditions
        )
    ).one()
    statement = _payments().where(*conditions).order_by(PaymentRow.id).limit(_page(query.limit))
    if query.after is not None:
        statement = statement.where(PaymentRow.id > query.after)
    found = [_payment_view(*row) for row in uow.session.execute(statement)]
    return PaymentPage(
        payments=tuple(found),
        total=total,
        total_fen=total_fen,
        after=found[-1].payment_id if len(found) == _page(query.limit) else None,
    )


def _within_reach(uow: UnitOfWork, division: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """The divisions the actor covers: also a sum or a count of others' is not theirs."""
    scopes = (division.startswith(scope, autoescape=True) for scope in uow.actor.divisions)
    return or_(false(), *scopes)


def show_payment(uow: UnitOfWork, query: ShowPayment) -> PaymentChain:
    """A payment from policy to return."""
    session = uow.session
    found = session.execute(_payments().where(PaymentRow.id == query.payment_id)).first()
    if found is None:
        raise NotFound("没有这笔付款", field="payment_id", advice="请核对付款编号")
    row, batch, _ = found
    uow.require(row.division)
    entitlement = _entitlements(uow, [session.get_one(EntitlementRow, row.entitlement_id)])[0]
    dues = session.execute(
        select(DueRow, PersonCopy.name)
        .join(PaymentDueRow, PaymentDueRow.due_id == DueRow.id)
        .outerjoin(PersonCopy, PersonCopy.person_id == DueRow.person_id)
        .where(PaymentDueRow.payment_id == row.id)
        .order_by(DueRow.month, DueRow.id)
    )
    due_rows = list(dues)
    due_ids = [due.id for due, _ in due_rows]
    transfers = session.execute(
        select(
            TransferRow.step,
            TransferRow.debit,
            TransferRow.credit,
            cast(func.sum(TransferRow.fen), BigInteger),
            func.count(),
            TransferRow.business_on,
            TransferRow.reason,
        )
        .where(TransferRow.payment_id == row.id)
        .group_by(
            TransferRow.step,
            TransferRow.debit,
            TransferRow.credit,
            TransferRow.business_on,
            TransferRow.reason,
        )
        .order_by(func.min(TransferRow.id))
    )
    attempts = session.execute(
        _payments()
        .where(
            PaymentRow.id.in_(
                select(PaymentDueRow.payment_id).where(PaymentDueRow.due_id.in_(due_ids))
            )
        )
        .order_by(BatchRow.serial)
    )
    file_row = session.get(FileRow, batch.file_id) if batch.file_id else None
    answer = session.get(ReturnFileRow, row.return_file_id) if row.return_file_id else None
    uow.audit("payment_shown", "payment", row.id)
    return PaymentChain(
        payment=_payment_view(*found),
        entitlement=entitlement,
        dues=tuple(_due_view(due, name) for due, name in due_rows),
        batch=_batch_row(batch),
        signatures=batches.signature_views(uow, batch.id),
        transfers=tuple(
            TransferView(
                step=step,
                debit=debit,
                credit=credit,
                fen=fen,
                count=count,
                business_on=day,
                reason=reason,
            )
            for step, debit, credit, fen, count, day, reason in transfers
        ),
        file_name=file_row.name if file_row else None,
        file_sha256=batch.file_sha256,
        return_file_sha256=answer.sha256 if answer else None,
        return_row=row.return_row,
        attempts=tuple(_payment_view(*attempt) for attempt in attempts),
    )


def list_entitlements(uow: UnitOfWork, query: ListEntitlements) -> list[EntitlementView]:
    """Entitlements of a case, a household or a person."""
    statement = select(EntitlementRow).order_by(EntitlementRow.id).limit(LARGEST_PAGE)
    if query.case_id is not None:
        statement = statement.where(EntitlementRow.case_id == query.case_id)
    if query.household_id is not None:
        statement = statement.where(EntitlementRow.household_id == query.household_id)
    if query.person_id is not None:
        statement = statement.where(
            EntitlementRow.id.in_(
                select(CoverageRow.entitlement_id).where(CoverageRow.person_id == query.person_id)
            )
        )
    if query.case_id is query.household_id is query.person_id is None:
        raise Invalid("请指定案件、家庭或人员", field="household_id", advice="至少填写一项")
    rows = [row for row in uow.session.scalars(statement) if uow.actor.covers(row.division)]
    return _entitlements(uow, rows)


def show_ledger(uow: UnitOfWork, query: ShowLedger) -> list[AccountBalance]:
    """Balances of the ledger's accounts; they add up to zero."""
    where, place = "", {}
    if query.batch is not None:
        where, place = "WHERE batch_id = :batch", {"batch": batches.find(uow, query.batch).id}
    else:
        uow.require(uow.settings.county)
    sides: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for side, column in enumerate(("debit", "credit")):
        for account, fen in uow.session.execute(
            text(_SIDE.format(column=column, where=where)), place
        ):
            sides[account][side] = fen
    return [
        AccountBalance(
            account=account.value,
            debit_fen=sides[account.value][0],
            credit_fen=sides[account.value][1],
            balance_fen=sides[account.value][0] - sides[account.value][1],
        )
        for account in Account
    ]


_SIDE = "SELECT {column}, sum(fen)::bigint FROM transfer {where} GROUP BY 1"


def _page(limit: int) -> int:
    return max(1, min(limit, LARGEST_PAGE))


def _payments() -> Select[PaymentRow, BatchRow, PersonCopy]:
    return (
        select(PaymentRow, BatchRow, PersonCopy)
        .join(BatchRow, BatchRow.id == PaymentRow.batch_id)
        .outerjoin(PersonCopy, PersonCopy.person_id == PaymentRow.payee_person_id)
    )


def _payment_view(row: PaymentRow, batch: BatchRow, payee: PersonCopy | None) -> PaymentView:
    last4 = row.account_last4 or (payee.account_last4 if payee else None)
    return PaymentView(
        payment_id=row.id,
        batch_id=row.batch_id,
        batch_no=batch.batch_no,
        payee_person_id=row.payee_person_id,
        payee_name=payee.name if payee else None,
        household_id=row.household_id,
        division=row.division,
        benefit=row.benefit,
        benefit_name=policies.benefits()[row.benefit].name,
        month=row.month,
        fen=row.fen,
        state=row.state,
        state_label=batches.PAYMENT_LABELS[row.state],
        line_no=row.line_no,
        account_masked=f"****{last4}" if last4 else "",
        reason_code=row.reason_code,
        reason=row.reason,
    )


def _due_view(due: DueRow, name: str | None) -> DueView:
    return DueView(
        due_id=due.id,
        person_id=due.person_id,
        person_name=name,
        month=due.month,
        part=due.part,
        part_label=PART_LABELS[due.part],
        cause=due.cause,
        fen=due.fen,
        state=due.state,
    )


def _batch_row(row: BatchRow) -> BatchListRow:
    return BatchListRow(
        batch_id=row.id,
        batch_no=row.batch_no,
        kind=row.kind,
        kind_label=batches.KIND_LABELS[row.kind],
        month=row.month,
        state=row.state,
        state_label=STATE_LABELS[State(row.state)],
        payments=row.payments,
        people=row.people,
        computed_fen=row.computed_fen,
        opened_on=row.opened_on,
    )


def _entitlements(uow: UnitOfWork, rows: Sequence[EntitlementRow]) -> list[EntitlementView]:
    ids = [row.id for row in rows]
    session = uow.session
    covered: dict[uuid.UUID, list[tuple[uuid.UUID, str | None]]] = defaultdict(list)
    for entitlement_id, person_id, name in session.execute(
        select(CoverageRow.entitlement_id, CoverageRow.person_id, PersonCopy.name)
        .outerjoin(PersonCopy, PersonCopy.person_id == CoverageRow.person_id)
        .where(CoverageRow.entitlement_id.in_(ids))
        .order_by(CoverageRow.person_id)
    ):
        covered[entitlement_id].append((person_id, name))
    terms: dict[uuid.UUID, list[TermView]] = defaultdict(list)
    for term, policy in session.execute(
        select(TermRow, PolicyRow)
        .outerjoin(PolicyRow, PolicyRow.id == TermRow.policy_id)
        .where(TermRow.entitlement_id.in_(ids))
        .order_by(TermRow.from_month, TermRow.id)
    ):
        terms[term.entitlement_id].append(_term_view(term, policy))
    payees = dict(
        session.execute(
            select(PersonCopy.person_id, PersonCopy.name).where(
                PersonCopy.person_id.in_([row.payee_person_id for row in rows])
            )
        ).all()
    )
    return [_entitlement(row, covered[row.id], terms[row.id], payees) for row in rows]


def _entitlement(
    row: EntitlementRow,
    covered: Iterable[tuple[uuid.UUID, str | None]],
    terms: Sequence[TermView],
    payees: dict[uuid.UUID, str | None],
) -> EntitlementView:
    people = list(covered)
    return EntitlementView(
        entitlement_id=row.id,
        case_id=row.case_id,
        case_no=row.case_no,
        decision_id=row.decision_id,
        decision_no=row.decision_no,
        decided_on=row.decided_on,
        basis=row.basis,
        basis_label=BASIS_LABELS.get(row.basis, row.basis),
        benefit=row.benefit,
        benefit_name=policies.benefits()[row.benefit].name,
        household_id=row.household_id,
        division=row.division,
        payee_person_id=row.payee_person_id,
        payee_name=payees.get(row.payee_person_id),
        covered=tuple(person for person, _ in people),
        covered_names=tuple(name or "" for _, name in people),
        from_month=row.from_month,
        last_month=row.last_month,
        state=row.state,
        state_label=ENTITLEMENT_LABELS[row.state],
        end_reason=row.end_reason,
        fen=terms[-1].fen if terms and row.state == "active" else 0,
        terms=tuple(terms),
    )


def _term_view(term: TermRow, policy: PolicyRow | None) -> TermView:
    return TermView(
        from_month=term.from_month,
        to_month=term.to_month,
        fen=term.fen,
        policy_id=term.policy_id,
        policy_fen=term.policy_fen,
        policy_source=policy.source if policy else None,
        policy_clause=policy.clause if policy else None,
        working=msgspec.convert(tuple(term.working), tuple[WorkingLine, ...]),
    )


_STEPS = """
SELECT a.action, a.machine_at, a.trace_id FROM audit a
WHERE a.subject_type = 'batch' AND a.trace_id IS NOT NULL AND a.subject_id IN (
    SELECT DISTINCT p.batch_id::text FROM payment p
    JOIN entitlement e ON e.id = p.entitlement_id WHERE e.case_id = :case
)
ORDER BY a.id
"""


def trace_payments(uow: UnitOfWork, query: TracePayments) -> list[Traced]:
    """The steps of the batches that paid what a case granted."""
    places = select(EntitlementRow.division).where(EntitlementRow.case_id == query.case_id)
    for division in uow.session.scalars(places.distinct()):
        uow.require(division)
    return [
        Traced(service="funding", what=action, at=at, trace_id=trace_id)
        for action, at, trace_id in uow.session.execute(text(_STEPS), {"case": query.case_id})
    ]
