"""`zhida audit`: reading the audit logs, and finding out whether anybody tampered with them."""

from typing import Annotated

import typer
from rich.table import Table

from services.chassis.discovery import NAMES
from services.cli import session
from services.cli.output import Json, console, present, table
from services.contracts.commands.common import (
    Anchor,
    AuditEntry,
    AuditReport,
    ListAnchors,
    ReadAudit,
    VerifyAudit,
)
from services.contracts.errors import Invalid

group = typer.Typer()
audit = typer.Typer(help="审计日志（审计员）", no_args_is_help=True)
group.add_typer(audit, name="audit")

KINDS = {
    "changed": "被改动",
    "removed": "被删除",
    "inserted": "绕过封存插入",
    "seal_broken": "封印不符",
    "seal_missing": "封印缺失",
    "end_missing": "链尾被截去",
}
WITNESSES = ("cases", "funding")
"""The services that are told the heads of the others' chains."""


@audit.command("verify")
def verify(
    service: Annotated[str | None, typer.Argument(help="服务名；不写则四个服务都查")] = None,
    as_json: Json = False,
) -> None:
    """逐条核对审计链：改动、删除、调换、绕过、截尾都查得出；退出码 1 表示有发现。"""
    anchors = [
        anchor for witness in WITNESSES for anchor in session.call(ListAnchors(), service=witness)
    ]
    reports = [_verify(name, anchors) for name in _named(service)]
    present(reports, as_json, lambda: _summary(reports))
    if not as_json:
        for report in reports:
            for found in report.findings:
                console.print(
                    f"  {report.service} {KINDS[found.kind]}：封印 {found.seal or '—'}，"
                    f"记录 {found.audit_id or '—'}，{found.detail}"
                )
    if any(report.found for report in reports):
        raise typer.Exit(1)


@audit.command("list")
def list_(
    service: Annotated[str, typer.Argument(help="服务名")],
    actor: Annotated[str | None, typer.Option(help="只看这个人的（人员编号）")] = None,
    subject: Annotated[str | None, typer.Option(help="只看关于这个对象的（编号）")] = None,
    action: Annotated[str | None, typer.Option(help="只看这种动作")] = None,
    before: Annotated[int | None, typer.Option(help="从这个序号往前翻")] = None,
    limit: Annotated[int, typer.Option(help="最多几条")] = 50,
    as_json: Json = False,
) -> None:
    """某服务的审计记录，新的在前；审计员自己的查看也记在内。"""
    (name,) = _named(service)
    query = ReadAudit(before=before, actor_id=actor, subject_id=subject, action=action, limit=limit)
    found = session.call(query, service=name)
    present(found, as_json, lambda: _rows(found) if found else "没有记录")


def _named(service: str | None) -> tuple[str, ...]:
    if service is None:
        return NAMES
    if service not in NAMES:
        raise Invalid(f"没有服务 {service}", field="service", advice=f"可选：{'、'.join(NAMES)}")
    return (service,)


def _verify(name: str, anchors: list[Anchor]) -> AuditReport:
    mine = tuple(anchor for anchor in anchors if anchor.service == name)
    return session.call(VerifyAudit(anchors=mine), service=name)


def _summary(reports: list[AuditReport]) -> Table:
    return table(
        ("服务", "封印", "已核对记录", "待封存", "最早待封存", "发现", "链头"),
        [
            (r.service, r.seals, r.rows, r.unsealed, r.unsealed_since, r.found, r.digest[:16])
            for r in reports
        ],
    )


def _rows(found: list[AuditEntry]) -> Table:
    return table(
        ("序号", "时间", "人员", "动作", "对象", "编号", "用途"),
        [
            (
                row.id,
                f"{row.machine_at:%Y-%m-%d %H:%M:%S}",
                row.actor_name,
                row.action,
                row.subject_type,
                row.subject_id,
                row.purpose,
            )
            for row in found
        ],
    )
