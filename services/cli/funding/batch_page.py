"""A cycle in a terminal: its sums and signatures, its findings, the bank's answer."""

from __future__ import annotations

from rich.console import Group, RenderableType

from services.cli.output import table
from services.contracts.commands import funding as c
from services.contracts.money import yuan


def batch_page(view: c.BatchView) -> RenderableType:
    """A cycle: how far it is, what is in it, who signed, whether its sums agree."""
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


def findings_table(found: list[c.FindingView]) -> RenderableType:
    """What the check found, line by line."""
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


def return_page(answer: c.ReturnView) -> RenderableType:
    """What the bank's return file did, or why it was refused."""
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
