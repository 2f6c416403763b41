"""What happened, for people on the terminal and for programs in ``demo.json``."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from services.cli.demo import evidence
from services.cli.demo.evidence import Check, Evidence
from services.cli.demo.story import Told, read_back
from services.cli.output import table
from services.contracts.money import yuan


def document(told: Told, found: Evidence, checks: list[Check], seconds: float) -> dict[str, Any]:
    """The whole report as data; every figure from the run itself."""
    dead_letters = sum(n for name, n in found.queues().items() if name.endswith(".dead"))
    duplicates = told.world.metric("zhida_inbox_duplicates_total")
    return {
        "people": told.world.people,
        "households": told.households,
        "cases": {
            "carried_over": told.carried_over,
            "granted": told.outcomes.count("granted"),
            "refused": told.outcomes.count("refused"),
        },
        "cycle": {
            "month": told.cycle.batch.month,
            "people": told.cycle.batch.people,
            "payments": told.cycle.batch.payments,
            "computed_fen": told.cycle.batch.computed_fen,
            "ledger_fen": evidence.ledger_fen(found, found.cycle),
            "bank_file_fen": evidence.amount(found.cycle.bank_file),
            "settled_fen": evidence.amount(found.cycle.return_file, "成功"),
            "failed_fen": evidence.amount(found.cycle.return_file, "失败"),
            "repaid_fen": (
                evidence.amount(found.repayment.return_file, "成功") if found.repayment else 0
            ),
        },
        "events": {
            "published": evidence.published(found),
            "applied": evidence.applied(found),
            "duplicates_ignored": int(duplicates),
            "dead_letters": dead_letters,
        },
        "messages": {
            "sent": told.counts.sent,
            "read_back": read_back(),
            "letters": told.counts.letters,
        },
        "death_to_stop_ms": told.death_to_stop_ms,
        "seconds": {**told.world.seconds, "total": round(seconds, 2)},
        "checks": [
            {
                "name": one.name,
                "title": one.title,
                "ok": one.ok,
                one.left_from: one.left,
                one.right_from: one.right,
            }
            for one in checks
        ],
    }


def page(report: dict[str, Any], checks: list[Check]) -> RenderableType:
    """The report for the terminal."""
    cycle, cases, messages = report["cycle"], report["cases"], report["messages"]
    happened = table(
        ("事项", "结果"),
        [
            ("花名册", f"{report['people']} 人，{report['households']} 户"),
            (
                "案件",
                (
                    f"存量结转 {cases['carried_over']}，"
                    f"确认 {cases['granted']}，不予确认 {cases['refused']}"
                ),
            ),
            (
                f"{cycle['month']} 发放",
                f"{cycle['people']} 人，{cycle['payments']} 笔，{yuan(cycle['computed_fen'])} 元",
            ),
            ("  到账", f"{yuan(cycle['settled_fen'])} 元"),
            ("  失败", f"{yuan(cycle['failed_fen'])} 元，补发 {yuan(cycle['repaid_fen'])} 元"),
            (
                "事件",
                (
                    f"发布 {report['events']['published']}，生效 {report['events']['applied']}，"
                    f"忽略重复 {report['events']['duplicates_ignored']}，"
                    f"死信 {report['events']['dead_letters']}"
                ),
            ),
            (
                "消息",
                (
                    f"发出 {messages['sent']}，邮件服务器读回 {messages['read_back']}，"
                    f"上门函件 {messages['letters']}"
                ),
            ),
            ("死亡到停发", f"{report['death_to_stop_ms']} 毫秒"),
            (
                "用时（秒）",
                "，".join(f"{name} {value}" for name, value in report["seconds"].items()),
            ),
        ],
        title="发生了什么",
    )
    return Group(happened, _checks(checks))


def _checks(checks: list[Check]) -> Table:
    return table(
        ("核对", "一处", "数", "另一处", "数", ""),
        [
            (
                one.title,
                one.left_from,
                f"{one.left:,}",
                one.right_from,
                f"{one.right:,}",
                "✓" if one.ok else "✗ 不符",
            )
            for one in checks
        ],
        title="核对（从四个数据库、文件和邮箱重新计算）",
    )
