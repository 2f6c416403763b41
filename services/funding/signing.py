"""Two signatures on exactly what was checked; deputies for a time; sending back."""

from __future__ import annotations

import uuid

from sqlalchemy import select, text, update

from services.chassis.uow import UnitOfWork
from services.contracts.actors import ROLE_LABELS, Role
from services.contracts.commands.funding import (
    AppointDeputy,
    BatchView,
    DeputyView,
    ListDeputies,
    SendBackBatch,
    SignBatch,
)
from services.contracts.errors import Conflict, Invalid
from services.contracts.ids import new_id
from services.contracts.money import yuan
from services.funding import batches, checking
from services.funding.domain.cycle import Capacity, Deputy, Seat, Step, may_sign
from services.funding.models import BatchRow, DeputyRow, SignatureRow, StaffCopy

STEPS = {"review": (Step.REVIEW, Seat.REVIEW), "release": (Step.RELEASE, Seat.RELEASE)}


def sign(uow: UnitOfWork, command: SignBatch) -> BatchView:
    """Sign a checked batch: 审核 first, then 核拨 with its document number."""
    batch = batches.find(uow, command.batch, lock=True)
    step, seat = STEPS[command.seat]
    batches.advance(batch, step)
    if command.total_fen != batch.computed_fen:
        raise Conflict(
            f"签署金额 {yuan(command.total_fen)} 元与批次金额 {yuan(batch.computed_fen)} 元不一致",
            field="total_fen",
            advice="批次内容可能已经变化，请刷新后核对再签",
            reason="total_changed",
        )
    if batch.content_sha256 is None:  # somebody left it since the check
        batch.content_sha256 = checking.content_hash(uow, batch)
    if batch.computed_fen == 0:
        raise Conflict("批次没有可发放的付款", advice="请先处理暂缓原因后重新计算")
    document_no = (command.document_no or "").strip() or None
    if seat is Seat.RELEASE and document_no is None:
        raise Invalid("核拨须填写财政文号", field="document_no", advice="请填写核拨文号")
    put_signature(uow, batch, seat, document_no)
    return batches.view(uow, batch)


def put_signature(
    uow: UnitOfWork, batch: BatchRow, seat: Seat, document_no: str | None
) -> Capacity:
    """Write a signature if this actor may give it. Raises ``Conflict`` with the reason."""
    capacity = may_sign(
        seat,
        uow.actor,
        maker_id=batch.maker_id,
        involved=involved(uow, batch.id),
        signed_by=_signed(uow, batch.id, seat),
        deputies=_deputies(uow),
        day=uow.today(),
    )
    uow.session.add(
        SignatureRow(
            batch_id=batch.id,
            seat=seat.value,
            actor_id=uow.actor.id,
            actor_name=uow.actor.name,
            role=capacity.role.value,
            as_deputy=capacity.as_deputy,
            document_no=document_no,
            payments=batch.payments,
            total_fen=batch.computed_fen,
            content_sha256=batch.content_sha256 or "",
            signed_on=uow.today(),
        )
    )
    uow.session.flush()
    uow.audit("batch_signed", "batch", batch.id, seat=seat.value, fen=batch.computed_fen)
    return capacity


def involved(uow: UnitOfWork, batch_id: uuid.UUID) -> frozenset[str]:
    """Everybody who registered, investigated or decided a case that is paid in the batch."""
    found = uow.session.scalars(
        text(
            "SELECT DISTINCT staff FROM payment p"
            " JOIN entitlement e ON e.id = p.entitlement_id"
            " CROSS JOIN LATERAL unnest(e.involved) AS staff"
            " WHERE p.batch_id = :batch AND p.state NOT IN ('held', 'short')"
        ),
        {"batch": batch_id},
    )
    return frozenset(str(staff) for staff in found)


def send_back(uow: UnitOfWork, command: SendBackBatch) -> BatchView:
    """A signed batch goes back to be computed again; its signatures stay on record, withdrawn."""
    batch = batches.find(uow, command.batch, lock=True)
    batches.advance(batch, Step.SEND_BACK)
    if not command.reason.strip():
        raise Invalid("退回须写明理由", field="reason", advice="请填写退回理由")
    uow.session.execute(
        update(SignatureRow)
        .where(SignatureRow.batch_id == batch.id, ~SignatureRow.withdrawn)
        .values(withdrawn=True)
    )
    batch.content_sha256 = None
    uow.audit("batch_sent_back", "batch", batch.id, reason=command.reason.strip())
    return batches.view(uow, batch)


def appoint_deputy(uow: UnitOfWork, command: AppointDeputy) -> DeputyView:
    """Let somebody sign for a role between two days. The role's own holder appoints."""
    role = Role(command.role)
    uow.require(uow.settings.county)
    if not uow.actor.has(role, Role.LEADER):
        raise Conflict(
            "只有本岗位人员或局领导可以委托代理人", field="role", advice="请由其本人办理"
        )
    if command.to_day < command.from_day:
        raise Invalid("代理截止日早于开始日", field="to_day", advice="请核对日期")
    if (command.to_day - command.from_day).days > 92:
        raise Invalid("代理期不超过三个月", field="to_day", advice="请缩短代理期，到期可续")
    if not command.document_no.strip():
        raise Invalid("代理须有委托文号", field="document_no", advice="请填写委托文号")
    staff = uow.session.get(StaffCopy, command.staff_id)
    if staff is None or not staff.active:
        raise Invalid("代理人不是在任工作人员", field="staff_id", advice="请核对代理人")
    row = DeputyRow(
        id=new_id(),
        staff_id=str(command.staff_id),
        role=role.value,
        division=uow.settings.county,
        from_day=command.from_day,
        to_day=command.to_day,
        document_no=command.document_no.strip(),
        appointed_by=uow.actor.id,
    )
    uow.session.add(row)
    uow.audit("deputy_appointed", "staff", command.staff_id, role=role.value)
    return _deputy_view(row, staff.name)


def list_deputies(uow: UnitOfWork, _query: ListDeputies) -> list[DeputyView]:
    """Deputies, newest first."""
    names = {
        str(staff_id): name
        for staff_id, name in uow.session.execute(select(StaffCopy.staff_id, StaffCopy.name))
    }
    rows = uow.session.scalars(select(DeputyRow).order_by(DeputyRow.id.desc()).limit(200))
    return [
        _deputy_view(row, names.get(row.staff_id)) for row in rows if uow.actor.covers(row.division)
    ]


def _deputy_view(row: DeputyRow, name: str | None) -> DeputyView:
    return DeputyView(
        deputy_id=row.id,
        staff_id=row.staff_id,
        staff_name=name,
        role=row.role,
        role_label=ROLE_LABELS[Role(row.role)],
        from_day=row.from_day,
        to_day=row.to_day,
        document_no=row.document_no,
    )


def _signed(uow: UnitOfWork, batch_id: uuid.UUID, seat: Seat) -> frozenset[str]:
    void = seat in (Seat.VOID_REVIEW, Seat.VOID_RELEASE)
    return frozenset(
        row.actor_id
        for row in batches.signatures(uow, batch_id)
        if row.seat.startswith("void") == void
    )


def _deputies(uow: UnitOfWork) -> list[Deputy]:
    active = select(StaffCopy.staff_id).where(StaffCopy.active)
    serving = {str(staff_id) for staff_id in uow.session.scalars(active)}
    return [
        Deputy(
            staff_id=row.staff_id,
            role=Role(row.role),
            from_day=row.from_day,
            to_day=row.to_day,
        )
        for row in uow.session.scalars(select(DeputyRow))
        if row.staff_id in serving
    ]
