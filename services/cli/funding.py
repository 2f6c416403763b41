"""`zhida funding`: cycles, payments, budgets, recoveries, the old system's file."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.console import Group, RenderableType

from services.cli import session
from services.cli.app import REFUSED
from services.cli.output import Json, notes, present, table
from services.contracts.actors import Role
from services.contracts.commands import funding as c
from services.contracts.errors import Invalid
from services.contracts.money import fen, yuan

group = typer.Typer(name="funding", help="资金：发放、付款、预算、追回")
cycle = typer.Typer(help="发放批次：开期到对账")
budget = typer.Typer(help="预算、资金账户、备用金")
recovery = typer.Typer(help="追回与核销")
deputy = typer.Typer(help="签署代理")
group.add_typer(cycle, name="cycle")
group.add_typer(budget, name="budget")
group.add_typer(recovery, name="recovery")
group.add_typer(deputy, name="deputy")

Batch = Annotated[str, typer.Argument(help="批次号（FF202611-0007）或月份（2026-11）")]
Seat = Literal["review", "release"]


# -- cycles -----------------------------------------------------------------------------------


@cycle.command("open")
def open_cycle(
    month: Annotated[str, typer.Argument(help="月份，如 2026-11")],
    one_off: Annotated[bool, typer.Option("--one-off", help="一次性救助批次")] = False,
    as_json: Json = False,
) -> None:
    """开期：月度批次，或任何一天的一次性批次。"""
    view = session.call(c.OpenBatch(month=month, kind="one_off" if one_off else "monthly"))
    present(view, as_json, lambda: _batch(view))


@cycle.command()
def compute(batch: Batch, as_json: Json = False) -> None:
    """计算应发；签署前可重复计算。"""
    with notes.status("计算中"):
        view = session.call(c.ComputeBatch(batch=batch))
    present(view, as_json, lambda: _batch(view))


@cycle.command()
def check(
    batch: Batch,
    list_kind: Annotated[str | None, typer.Option("--list", help="列出某类问题，如 died")] = None,
    as_json: Json = False,
) -> None:
    """校验：重复、缺账号、死亡、互斥、与上月差异、资金。"""
    with notes.status("校验中"):
        view = session.call(c.CheckBatch(batch=batch))
    found = (
        session.call(c.ListFindings(batch=batch, kind=list_kind, limit=200)) if list_kind else []
    )
    present(
        {"batch": view, "findings": found} if list_kind else view,
        as_json,
        lambda: Group(_batch(view), *([_findings(found)] if found else [])),
    )


@cycle.command()
def findings(
    batch: Batch,
    kind: Annotated[str | None, typer.Option(help="问题类别")] = None,
    after: Annotated[int, typer.Option(help="从该编号之后继续")] = 0,
    as_json: Json = False,
) -> None:
    """校验发现的问题与差异，逐条。"""
    found = session.call(c.ListFindings(batch=batch, kind=kind, after=after, limit=200))
    present(found, as_json, lambda: _findings(found))


@cycle.command()
def approve(
    batch: Batch,
    total: Annotated[str | None, typer.Option(help="所见金额（元）；不给则先显示再确认")] = None,
    seat: Annotated[str | None, typer.Option(help="review 审核或 release 核拨；默认按岗位")] = None,
    document: Annotated[str | None, typer.Option(help="核拨文号")] = None,
    as_json: Json = False,
) -> None:
    """审核或核拨：对所见的金额签署。"""
    if total is None:
        shown = session.call(c.ShowBatch(batch=batch))
        notes.print(_batch(shown))
        typer.confirm(f"签署 {yuan(shown.computed_fen)} 元？", abort=True, err=True)
        amount = shown.computed_fen
    else:
        amount = fen(total, field="total")
    view = session.call(
        c.SignBatch(batch=batch, seat=_seat(seat), total_fen=amount, document_no=document)
    )
    present(view, as_json, lambda: _batch(view))


@cycle.command("send-back")
def send_back(
    batch: Batch,
    reason: Annotated[str, typer.Option(help="退回理由")],
    as_json: Json = False,
) -> None:
    """退回：已签署未锁定的批次退回重算，签署作废。"""
    view = session.call(c.SendBackBatch(batch=batch, reason=reason))
    present(view, as_json, lambda: _batch(view))


@cycle.command()
def discard(
    batch: Batch,
    reason: Annotated[str, typer.Option(help="撤销理由")],
    as_json: Json = False,
) -> None:
    """撤销无人签署的批次；应发款仍为应付。"""
    view = session.call(c.DiscardBatch(batch=batch, reason=reason))
    present(view, as_json, lambda: _batch(view))


@cycle.command()
def lock(batch: Batch, as_json: Json = False) -> None:
    """锁定：记账、占用预算；其间死亡、变更的当场撤出。"""
    with notes.status("锁定中"):
        view = session.call(c.LockBatch(batch=batch))
    present(view, as_json, lambda: _batch(view))


@cycle.command()
def void(
    batch: Batch,
    reason: Annotated[str, typer.Option(help="作废理由")],
    seat: Annotated[str | None, typer.Option(help="review 或 release；默认按岗位")] = None,
    as_json: Json = False,
) -> None:
    """作废已锁定、未报送的批次：须两人先后签署。"""
    view = session.call(c.VoidBatch(batch=batch, seat=_seat(seat), reason=reason))
    present(view, as_json, lambda: _batch(view))


@cycle.command()
def export(
    batch: Batch,
    profile: Annotated[str, typer.Option(help="银行格式：card_xlsx 或 fixed_gbk")] = "card_xlsx",
    out: Annotated[Path | None, typer.Option(help="银行文件写到哪里（文件或目录）")] = None,
    as_json: Json = False,
) -> None:
    """生成银行文件并报送；再次执行取回同一文件，逐字节相同。"""
    with notes.status("生成银行文件"):
        view = session.call(c.ExportBatch(batch=batch, profile=profile))
    path = session.download("funding", view.file_id, out) if out and view.file_id else None
    present(
        view,
        as_json,
        lambda: Group(_batch(view), *([f"已写入 {path}"] if path else [])),
    )


@cycle.command()
def settle(
    batch: Batch,
    file: Annotated[Path, typer.Argument(help="银行返回的回盘文件")],
    as_json: Json = False,
) -> None:
    """读入回盘文件并对账。退出码 2：文件有误，什么都没有改动。"""
    with notes.status("读入回盘"):
        file_id = session.upload("funding", file)
        answer = session.call(c.SettleBatch(batch=batch, file_id=file_id))
    present(answer, as_json, lambda: _return(answer))
    if not answer.applied:
        raise typer.Exit(REFUSED)


@cycle.command()
def repay(batch: Batch, as_json: Json = False) -> None:
    """补发：为失败、退票的付款开立补发批次。"""
    view = session.call(c.OpenRepayment(batch=batch))
    present(view, as_json, lambda: _batch(view))


@cycle.command()
def show(batch: Batch, as_json: Json = False) -> None:
    """一个批次：状态、签署、五个金额。"""
    view = session.call(c.ShowBatch(batch=batch))
    present(view, as_json, lambda: _batch(view))


@cycle.command("list")
def list_cycles(
    month: Annotated[str | None, typer.Option(help="月份")] = None, as_json: Json = False
) -> None:
    """批次清单，新的在前。"""
    rows = session.call(c.ListBatches(month=month))
    present(
        rows,
        as_json,
        lambda: table(
            ("批次", "类别", "月份", "状态", "笔数", "人数", "金额(元)", "开期日"),
            [
                (r.batch_no, r.kind_label, r.month, r.state_label, r.payments, r.people,
                 yuan(r.computed_fen), r.opened_on)
                for r in rows
            ],
        ),
    )  # fmt: skip


@cycle.command()
def payments(
    batch: Batch,
    state: Annotated[str | None, typer.Option(help="状态，如 failed")] = None,
    after: Annotated[UUID | None, typer.Option(help="从该编号之后继续")] = None,
    limit: Annotated[int, typer.Option(help="条数")] = 50,
    as_json: Json = False,
) -> None:
    """批次里的付款。"""
    page = session.call(c.ListPayments(batch=batch, state=state, after=after, limit=limit))
    present(
        page,
        as_json,
        lambda: table(
            ("付款编号", "领款人", "待遇", "月份", "金额(元)", "账号", "状态", "原因"),
            [
                (p.payment_id, p.payee_name, p.benefit_name, p.month, yuan(p.fen),
                 p.account_masked, p.state_label, p.reason)
                for p in page.payments
            ],
            f"共 {page.total} 笔 {yuan(page.total_fen)} 元",
        ),
    )  # fmt: skip


@group.command()
def payment(
    payment_id: Annotated[UUID, typer.Argument(help="付款编号")], as_json: Json = False
) -> None:
    """一笔付款的来龙去脉：政策、决定、计算、签署、分录、回盘。"""
    chain = session.call(c.ShowPayment(payment_id=payment_id), purpose="查询付款来源")
    present(chain, as_json, lambda: _chain(chain))


@group.command()
def compare(
    old_file: Annotated[Path, typer.Argument(help="旧系统最后一期银行文件（.xlsx）")],
    batch: Annotated[str, typer.Option(help="与哪个批次比对：批次号或月份")],
    limit: Annotated[int, typer.Option(help="最多列出几条差异")] = 1000,
    as_json: Json = False,
) -> None:
    """与旧系统的银行文件逐人比对，列出每一处差异及原因。"""
    with notes.status("比对中"):
        file_id = session.upload("funding", old_file)
        answer = session.call(c.CompareOldFile(batch=batch, file_id=file_id, limit=limit))
    present(answer, as_json, lambda: _comparison(answer))


# -- budget -----------------------------------------------------------------------------------


@budget.command("show")
def show_budget(
    year: Annotated[int, typer.Argument(help="预算年度")], as_json: Json = False
) -> None:
    """一年的预算科目与各账户余额。"""
    view = session.call(c.ShowBudget(year=year))
    present(view, as_json, lambda: _budget(view))


@budget.command()
def allot(
    year: Annotated[int, typer.Argument(help="预算年度")],
    benefit: Annotated[str, typer.Argument(help="待遇项目代码，如 rural_dibao")],
    amount: Annotated[str, typer.Argument(help="金额（元）")],
    document: Annotated[str, typer.Option(help="下达文号；同一文号只计一次")],
    as_json: Json = False,
) -> None:
    """下达预算。"""
    view = session.call(
        c.AllotBudget(
            year=year, benefit=benefit, fen=fen(amount, field="amount"), document_no=document
        )
    )
    present(view, as_json, lambda: _budget(view))


@budget.command()
def deposit(
    amount: Annotated[str, typer.Argument(help="金额（元）")],
    document: Annotated[str, typer.Option(help="拨款文号；同一文号只计一次")],
    as_json: Json = False,
) -> None:
    """资金账户到款。"""
    view = session.call(c.DepositFunds(fen=fen(amount, field="amount"), document_no=document))
    present(view, as_json, lambda: _budget(view))


@budget.command()
def replenish(
    town: Annotated[list[str] | None, typer.Argument(help="镇级代码；默认所有镇")] = None,
    as_json: Json = False,
) -> None:
    """开立备用金补充批次，两人签署后锁定即拨付。"""
    view = session.call(c.OpenReplenishment(towns=tuple(town or ())))
    present(view, as_json, lambda: _batch(view))


@budget.command()
def ledger(
    batch: Annotated[str | None, typer.Option(help="只看某批次")] = None, as_json: Json = False
) -> None:
    """总账：各账户借方、贷方、余额。"""
    rows = session.call(c.ShowLedger(batch=batch))
    present(
        rows,
        as_json,
        lambda: table(
            ("账户", "借方(元)", "贷方(元)", "余额(元)"),
            [(r.account, yuan(r.debit_fen), yuan(r.credit_fen), yuan(r.balance_fen)) for r in rows],
        ),
    )


# -- recoveries and deputies ------------------------------------------------------------------


@recovery.command("list")
def list_recoveries(
    only_open: Annotated[bool, typer.Option("--open", help="只看未结清的")] = False,
    as_json: Json = False,
) -> None:
    """应追回的款项。"""
    rows = session.call(c.ListRecoveries(only_open=only_open))
    present(rows, as_json, lambda: _recoveries(rows))


@recovery.command("record")
def record_recovery(
    recovery_id: Annotated[UUID, typer.Argument(help="追回编号")],
    amount: Annotated[str, typer.Argument(help="金额（元）")],
    document: Annotated[str, typer.Option(help="收款凭证号")],
    as_json: Json = False,
) -> None:
    """追回到账。"""
    view = session.call(
        c.RecordRecovery(recovery_id=recovery_id, fen=fen(amount), document_no=document)
    )
    present(view, as_json, lambda: _recoveries([view]))


@recovery.command("write-off")
def write_off(
    recovery_id: Annotated[UUID, typer.Argument(help="追回编号")],
    amount: Annotated[str, typer.Argument(help="金额（元）")],
    document: Annotated[str, typer.Option(help="核销文号")],
    as_json: Json = False,
) -> None:
    """核销追不回的款项。"""
    view = session.call(
        c.WriteOffRecovery(recovery_id=recovery_id, fen=fen(amount), document_no=document)
    )
    present(view, as_json, lambda: _recoveries([view]))


@recovery.command("close-held")
def close_held(
    household_id: Annotated[UUID, typer.Argument(help="家庭编号")],
    reason: Annotated[str, typer.Option(help="复核结论")],
    document: Annotated[str, typer.Option(help="文号")],
    as_json: Json = False,
) -> None:
    """关闭领款人死亡后无人承领的应发款。"""
    closed = session.call(
        c.CloseHeldDues(household_id=household_id, reason=reason, document_no=document)
    )
    present({"closed": closed}, as_json, lambda: f"已关闭 {closed} 笔应发款")


@deputy.command("appoint")
def appoint_deputy(
    staff_id: Annotated[UUID, typer.Argument(help="代理人编号")],
    role: Annotated[str, typer.Option(help="civil_auditor 或 finance_officer")],
    from_day: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="起始日")],
    to_day: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="截止日")],
    document: Annotated[str, typer.Option(help="委托文号")],
    as_json: Json = False,
) -> None:
    """委托代理：在起止日之间代为签署。"""
    if role not in (Role.CIVIL_AUDITOR.value, Role.FINANCE_OFFICER.value):
        raise Invalid(
            f"“{role}”不是签署岗位", field="role", advice="civil_auditor 或 finance_officer"
        )
    view = session.call(
        c.AppointDeputy(
            staff_id=staff_id,
            role="civil_auditor" if role == "civil_auditor" else "finance_officer",
            from_day=_day(from_day),
            to_day=_day(to_day),
            document_no=document,
        )
    )
    present(view, as_json, lambda: _deputies([view]))


@deputy.command("list")
def list_deputies(as_json: Json = False) -> None:
    """签署代理清单。"""
    rows = session.call(c.ListDeputies())
    present(rows, as_json, lambda: _deputies(rows))


# -- how things are shown ---------------------------------------------------------------------


def _day(moment: datetime) -> date:
    return moment.date()


def _seat(given: str | None) -> Seat:
    if given in ("review", "审核"):
        return "review"
    if given in ("release", "核拨"):
        return "release"
    if given is not None:
        raise Invalid(f"“{given}”不是签署环节", field="seat", advice="review 审核或 release 核拨")
    roles = session.signed_in().staff.roles
    return "release" if Role.FINANCE_OFFICER in roles else "review"


def _batch(view: c.BatchView) -> RenderableType:
    title = (
        f"{view.batch_no} {view.kind_label} {view.month}：{view.state_label}，"
        f"{view.payments} 笔 {view.people} 人 {yuan(view.computed_fen)} 元"
    )
    parts: list[RenderableType] = [title]
    tallies = [
        ("状态", view.by_state),
        ("待遇", view.by_benefit),
        ("校验", view.findings),
    ]
    parts += [
        table((title, "笔数", "金额(元)"), [(t.label, t.payments, yuan(t.fen)) for t in rows])
        for title, rows in tallies
        if rows
    ]
    if view.signatures:
        parts.append(
            table(
                ("签署", "姓名", "岗位", "日期", "文号", "金额(元)"),
                [
                    (
                        s.seat_label,
                        s.actor_name + ("（代理）" if s.as_deputy else ""),
                        s.role_label,
                        s.signed_on,
                        s.document_no,
                        yuan(s.total_fen),
                    )
                    for s in view.signatures
                ],
            )
        )
    if view.sums is not None:
        sums = view.sums
        parts.append(
            table(
                ("核准减撤出", "分录", "银行文件", "成功", "失败", "未回", "是否相符"),
                [
                    (
                        yuan(sums.approved_less_withdrawn),
                        yuan(sums.lock_transfers_less_withdrawals),
                        *(
                            None if fen_ is None else yuan(fen_)
                            for fen_ in (sums.bank_file, sums.settled, sums.failed, sums.unanswered)
                        ),
                        "相符" if sums.agree else "不相符",
                    )
                ],
            )
        )
    if view.file_sha256:
        parts.append(f"银行文件 {view.file_lines} 笔，sha256 {view.file_sha256}")
    return Group(*parts)


def _findings(found: list[c.FindingView]) -> RenderableType:
    return table(
        ("编号", "类别", "暂缓", "人员", "区划", "金额(元)", "说明"),
        [
            (
                f.finding_id,
                f.kind_label,
                "是" if f.held else "",
                f.person_name,
                f.division,
                None if f.fen is None else yuan(f.fen),
                f.message,
            )
            for f in found
        ],
    )


def _return(answer: c.ReturnView) -> RenderableType:
    if not answer.applied:
        return table(
            ("行", "字段", "问题", "建议"),
            [(p.row, p.field, p.problem, p.advice) for p in answer.problems],
            f"回盘文件有 {answer.problem_count} 处问题，没有任何改动",
        )
    again = "（此文件此前已读入，没有改动）" if answer.already_read else ""
    summary = (
        f"{answer.batch_no} 回盘 {answer.rows} 行{again}："
        f"成功 {answer.settled} 笔 {yuan(answer.settled_fen)} 元，"
        f"失败 {answer.failed} 笔 {yuan(answer.failed_fen)} 元，"
        f"退票 {answer.returned} 笔 {yuan(answer.returned_fen)} 元，"
        f"未回 {answer.unanswered} 笔 {yuan(answer.unanswered_fen)} 元"
    )
    if not answer.failures:
        return summary
    return Group(
        summary,
        table(
            ("失败原因", "笔数", "金额(元)"),
            [(t.label, t.payments, yuan(t.fen)) for t in answer.failures],
        ),
    )


def _chain(chain: c.PaymentChain) -> RenderableType:
    paid, given = chain.payment, chain.entitlement
    reason = f"（{paid.reason}）" if paid.reason else ""
    title = (
        f"{paid.benefit_name} {paid.month} {yuan(paid.fen)} 元 → {paid.payee_name} "
        f"{paid.account_masked}：{paid.state_label}{reason}"
    )
    source = (
        f"决定 {given.decision_no}（{given.basis_label}，{given.decided_on}），"
        f"案件 {given.case_no}，保障对象 {'、'.join(given.covered_names)}"
    )
    parts: list[RenderableType] = [title, source]
    parts += [
        table(
            ("计算", "依据", "金额(元)"),
            [
                *((line.label, line.source, yuan(line.fen)) for line in term.working),
                ("月金额", term.policy_clause, yuan(term.fen)),
            ],
            f"{term.from_month} 起：政策 {term.policy_id}（{term.policy_source}）",
        )
        for term in given.terms
    ]
    parts.append(
        table(
            ("应发月份", "类别", "人员", "金额(元)"),
            [(d.month, d.part_label, d.person_name, yuan(d.fen)) for d in chain.dues],
        )
    )
    parts.append(
        table(
            ("签署", "姓名", "岗位", "日期", "文号"),
            [
                (s.seat_label, s.actor_name, s.role_label, s.signed_on, s.document_no)
                for s in chain.signatures
            ],
            f"批次 {chain.batch.batch_no}",
        )
    )
    parts.append(
        table(
            ("分录", "借", "贷", "金额(元)", "日期", "原因"),
            [
                (t.step, t.debit, t.credit, yuan(t.fen), t.business_on, t.reason)
                for t in chain.transfers
            ],
        )
    )
    if chain.file_sha256:
        parts.append(f"银行文件 {chain.file_name} 第 {paid.line_no} 笔，sha256 {chain.file_sha256}")
    if chain.return_file_sha256:
        parts.append(f"回盘第 {chain.return_row} 行，sha256 {chain.return_file_sha256}")
    if len(chain.attempts) > 1:
        parts.append(
            table(
                ("历次付款", "批次", "状态", "原因"),
                [(a.payment_id, a.batch_no, a.state_label, a.reason) for a in chain.attempts],
            )
        )
    return Group(*parts)


def _comparison(answer: c.OldFileComparison) -> RenderableType:
    kinds = {"only_old": "仅旧系统", "only_new": "仅本系统", "amount": "金额不同"}
    return Group(
        f"旧文件 {answer.old_lines} 行 {yuan(answer.old_fen)} 元；{answer.batch_no} "
        f"{answer.new_lines} 个账号 {yuan(answer.new_fen)} 元；相同 {answer.equal}，"
        f"不同 {answer.differing}",
        table(
            ("差异", "户名", "账号", "旧(元)", "新(元)", "原因", "待遇"),
            [
                (
                    kinds[d.kind],
                    d.name,
                    d.account_masked,
                    None if d.old_fen is None else yuan(d.old_fen),
                    None if d.new_fen is None else yuan(d.new_fen),
                    d.reason,
                    "、".join(d.benefits),
                )
                for d in answer.differences
            ],
        ),
    )


def _budget(view: c.BudgetView) -> RenderableType:
    return Group(
        table(
            ("预算科目", "下达(元)", "已用(元)", "余额(元)"),
            [
                (x.benefit_name, yuan(x.allotted_fen), yuan(x.used_fen), yuan(x.left_fen))
                for x in view.lines
            ],
            f"{view.year} 年度",
        ),
        table(
            ("账户", "区划", "余额(元)"),
            [(a.kind_label, a.division, yuan(a.balance_fen)) for a in view.accounts],
        ),
    )


def _recoveries(rows: list[c.RecoveryView]) -> RenderableType:
    return table(
        ("追回编号", "人员", "待遇", "月份", "金额(元)", "已追回", "已核销", "未结", "原因"),
        [
            (
                r.recovery_id,
                r.person_name,
                r.benefit_name,
                r.month,
                yuan(r.fen),
                yuan(r.recovered_fen),
                yuan(r.written_off_fen),
                yuan(r.open_fen),
                r.reason,
            )
            for r in rows
        ],
    )


def _deputies(rows: list[c.DeputyView]) -> RenderableType:
    return table(
        ("代理人", "岗位", "起", "止", "文号"),
        [(d.staff_name, d.role_label, d.from_day, d.to_day, d.document_no) for d in rows],
    )
