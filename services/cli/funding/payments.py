"""`zhida funding payment` and `compare`: where a payment comes from, and the old system's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Group, RenderableType

from services.cli import session
from services.cli.output import Json, notes, present, table
from services.contracts.commands import funding as c
from services.contracts.money import yuan

payments = typer.Typer()


@payments.command()
def payment(
    payment_id: Annotated[UUID, typer.Argument(help="付款编号")], as_json: Json = False
) -> None:
    """一笔付款的来龙去脉：政策、决定、计算、签署、分录、回盘。"""
    chain = session.call(c.ShowPayment(payment_id=payment_id), purpose="查询付款来源")
    present(chain, as_json, lambda: _chain(chain))


@payments.command()
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
