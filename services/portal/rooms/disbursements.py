"""Paying: a month's batch from computing to settling, with its two signatures and its files."""

from __future__ import annotations

from functools import partial
from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.funding import (
    CheckBatch,
    ComputeBatch,
    ExportBatch,
    ListBatches,
    ListFindings,
    ListPayments,
    ListRecoveries,
    LockBatch,
    OpenBatch,
    OpenRepayment,
    OpenReplenishment,
    SendBackBatch,
    SettleBatch,
    ShowBatch,
    ShowBudget,
    ShowPayment,
    SignBatch,
    VoidBatch,
)
from services.contracts.errors import NotFound
from services.contracts.money import yuan
from services.portal.desk import Desk, SignedIn

room = APIRouter(prefix="/disbursements")

STAGES = (
    ("open", "开期"),
    ("computed", "计算"),
    ("checked", "校验"),
    ("reviewed", "审核"),
    ("released", "核拨"),
    ("locked", "锁定"),
    ("sent", "发送代发行"),
    ("settled", "对账"),
)
"""The states of a batch in order, as the step bar shows them (a voided batch has left it)."""

PROFILES = (("card_xlsx", "一卡通表格（xlsx）"), ("fixed_gbk", "定长文本（GBK，金额单位分）"))


@room.get("")
def batches(desk: SignedIn) -> Response:
    """All batches, newest first, by month and state."""
    month, state = desk.query("month"), desk.query("state")
    page = desk.ask(ListBatches(month=month, states=(state,) if state else (), limit=100))
    return desk.page(
        "disbursements/list.html", batches=page, month=month, state=state, stages=STAGES
    )


@room.post("/open")
def open_batch(desk: SignedIn) -> Response:
    """Open a month's cycle, or a batch of one-off aid."""
    desk.again = partial(batches, desk)
    month = desk.form.text("month", "发放月份")
    if desk.form.typed("kind") == "replenishment":
        batch = desk.do(OpenReplenishment())
    else:
        kind: Literal["monthly", "one_off"] = (
            "one_off" if desk.form.typed("kind") == "one_off" else "monthly"
        )
        desk.form.check()
        batch = desk.do(OpenBatch(month=month, kind=kind))
    return desk.go(f"/disbursements/{batch.batch_id}", "已开期，请计算")


@room.get("/budget/{year}")
def budget(year: int, desk: SignedIn) -> Response:
    """Budget lines of a year and the accounts."""
    return desk.page("disbursements/budget.html", budget=desk.ask(ShowBudget(year=year)))


@room.get("/recoveries")
def recoveries(desk: SignedIn) -> Response:
    """What was paid too much, open ones first."""
    page = desk.ask(ListRecoveries())
    return desk.page("disbursements/recoveries.html", recoveries=page)


@room.get("/payments/{payment_id}")
def payment(payment_id: UUID, desk: SignedIn) -> Response:
    """One payment's whole chain, from policy to return."""
    chain = desk.ask(ShowPayment(payment_id=payment_id))
    return desk.page("disbursements/payment.html", chain=chain)


@room.get("/{batch}")
def batch_page(batch: str, desk: SignedIn) -> Response:
    """A batch: where it stands, what is in it, what the check found, who signed."""
    view = desk.ask(ShowBatch(batch=batch))
    return desk.page(
        "disbursements/batch.html",
        batch=view,
        stages=STAGES,
        profiles=PROFILES,
        findings=desk.ask(ListFindings(batch=batch, kind=desk.query("finding"), limit=50)),
    )


@room.get("/{batch}/payments")
def payments(batch: str, desk: SignedIn) -> Response:
    """The payments of a batch, of all states or one."""
    page = desk.ask(
        ListPayments(
            batch=batch, state=desk.query("state"), after=desk.query_id("after"), limit=100
        )
    )
    return desk.page(
        "disbursements/payments.html",
        batch=desk.ask(ShowBatch(batch=batch)),
        page=page,
        state=desk.query("state"),
    )


@room.get("/{batch}/file")
def bank_file(batch: str, desk: SignedIn) -> Response:
    """The bank file, byte for byte the one that was written."""
    view = desk.ask(ShowBatch(batch=batch))
    if view.file_id is None:
        raise NotFound("这个批次还没有银行文件", advice="锁定后先生成银行文件")
    return desk.download("funding", view.file_id)


@room.post("/{batch}/{step}")
def take_step(batch: str, step: str, desk: SignedIn) -> Response:
    """One step of a batch. Funding decides whether it may be taken, and by whom."""
    desk.again = partial(batch_page, batch, desk)
    if step == "settle":
        return _settle(desk, batch)
    notice, target = _take(desk, batch, step)
    return desk.go(f"/disbursements/{target}", notice)


def _take(desk: Desk, batch: str, step: str) -> tuple[str, str]:
    """Do the step; what to say, and which batch to show."""
    form = desk.form
    match step:
        case "compute":
            desk.do(ComputeBatch(batch=batch))
            return "已计算，请校验", batch
        case "check":
            desk.do(CheckBatch(batch=batch))
            return "已校验，请核对下面的清单", batch
        case "review" | "release":
            total = form.integer("total_fen", "签署金额")
            number = form.text("document_no", "核拨文号") if step == "release" else None
            form.check()
            desk.do(SignBatch(batch=batch, seat=step, total_fen=total, document_no=number))
            return "审核已签署" if step == "review" else "核拨已签署", batch
        case "send_back":
            reason = form.text("reason", "退回原因")
            form.check()
            desk.do(SendBackBatch(batch=batch, reason=reason))
            return "已退回重新计算，原签字作废", batch
        case "lock":
            desk.do(LockBatch(batch=batch))
            return "已锁定，预算和账目已登记", batch
        case "void_review" | "void_release":
            reason = form.text("reason", "作废原因")
            form.check()
            seat: Literal["review", "release"] = "review" if step == "void_review" else "release"
            desk.do(VoidBatch(batch=batch, seat=seat, reason=reason))
            return "作废签字已登记，须另一人也签署后生效", batch
        case "export":
            desk.do(ExportBatch(batch=batch, profile=form.typed("profile", "card_xlsx")))
            return "银行文件已生成，请下载报送", batch
        case "repay":
            return "补发批次已开，请计算", str(desk.do(OpenRepayment(batch=batch)).batch_id)
        case _:
            raise NotFound("没有这一步")


def _settle(desk: Desk, batch: str) -> Response:
    """Read a return file in; with problems nothing was applied and each is shown."""
    name, content = desk.form.upload("return_file", "回盘文件")
    desk.form.check()
    file_id = desk.upload("funding", name, content)
    said = desk.do(SettleBatch(batch=batch, file_id=file_id))
    if not said.applied and said.problem_count:
        return desk.page("disbursements/return.html", status=422, batch=batch, name=name, said=said)
    if said.already_read:
        return desk.go(f"/disbursements/{batch}", "这个回盘文件读入过，没有任何改动")
    return desk.go(
        f"/disbursements/{batch}",
        f"回盘已读入：成功 {said.settled:,} 笔 {yuan(said.settled_fen)} 元，"
        f"失败 {said.failed:,} 笔 {yuan(said.failed_fen)} 元，"
        f"退票 {said.returned:,} 笔，未答复 {said.unanswered:,} 笔",
    )
