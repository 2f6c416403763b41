"""Publicity, objections and decisions, and what follows them: papers, service, reviews, letters."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.cases.acting import CaseNo, Key, Reason, act, find, read_grants
from services.cli.output import Json, present
from services.cli.session import call, download
from services.contracts.commands import cases as c

commands = typer.Typer()


@commands.command("publicise")
def publicise(case_no: CaseNo, as_json: Json = False) -> None:
    """公示七天。"""
    act(case_no, c.OpenPublicity, as_json)


@commands.command("object")
def object_(
    case_no: CaseNo,
    content: Annotated[str, typer.Argument(help="异议内容")],
    complaint: Annotated[bool, typer.Option(help="投诉举报（县级入户核查）")] = False,
    as_json: Json = False,
) -> None:
    """登记公示异议或投诉举报。"""
    act(case_no, c.RecordObjection, as_json, content=content, complaint=complaint)


@commands.command("answer")
def answer(
    case_no: CaseNo,
    number: Annotated[int, typer.Argument(help="异议编号")],
    finding: Annotated[str, typer.Option(help="调查结果")],
    upheld: Annotated[bool, typer.Option("--upheld/--dismissed", help="成立或不成立")] = False,
    as_json: Json = False,
) -> None:
    """答复异议；成立的重新调查。"""
    act(case_no, c.ResolveObjection, as_json, number=number, upheld=upheld, finding=finding)


@commands.command("decide")
def decide(
    case_no: CaseNo,
    outcome: Annotated[str, typer.Argument(help="granted、refused；复核为 kept、changed、ended")],
    reason: Annotated[str, typer.Option(help="理由；不予确认必填")] = "",
    grant: Annotated[list[str] | None, typer.Option(help="待遇=金额（元），可重复")] = None,
    late_reason: Annotated[str, typer.Option(help="超期原因")] = "",
    key: Key = None,
    as_json: Json = False,
) -> None:
    """审核确认或不予确认。"""
    act(
        case_no,
        c.Decide,
        as_json,
        key=key,
        outcome=outcome,
        reason=reason,
        grants=read_grants(grant or []),
        late_reason=late_reason,
    )


@commands.command("correct")
def correct(
    case_no: CaseNo,
    outcome: Annotated[str, typer.Argument(help="更正后的结果")],
    reason: Reason,
    grant: Annotated[list[str] | None, typer.Option(help="待遇=金额（元），可重复")] = None,
    as_json: Json = False,
) -> None:
    """更正决定（发放之前）。"""
    grants = read_grants(grant or [])
    act(case_no, c.CorrectDecision, as_json, outcome=outcome, reason=reason, grants=grants)


@commands.command("papers")
def papers(
    case_no: CaseNo,
    material: Annotated[list[str], typer.Argument(help="补齐的材料")],
    finding: Annotated[str, typer.Option(help="困难原因和救助情况")],
    signed: Annotated[bool, typer.Option(help="领款人已签字")] = True,
    as_json: Json = False,
) -> None:
    """急难型救助补齐手续。"""
    act(
        case_no,
        c.CompletePapers,
        as_json,
        materials=tuple(material),
        finding=finding,
        signed=signed,
    )


@commands.command("serve")
def serve(
    case_no: CaseNo,
    way: Annotated[str, typer.Option(help="送达方式")] = "直接送达",
    as_json: Json = False,
) -> None:
    """告知：决定书已送达。"""
    act(case_no, c.ServeDecision, as_json, way=way)


@commands.command("review")
def review(
    case_no: CaseNo,
    cause: Annotated[
        str,
        typer.Argument(help="periodic、income_changed、members_changed、reported 或 expired"),
    ],
    reason: Annotated[str, typer.Option(help="说明")] = "",
    as_json: Json = False,
) -> None:
    """对已确认的待遇发起复核。"""
    act(case_no, c.OpenReview, as_json, cause=cause, reason=reason)


@commands.command("print")
def print_(
    case_no: CaseNo,
    letter: Annotated[str, typer.Argument(help="文书，如 acceptance_notice")],
    out: Annotated[Path | None, typer.Option(help="存到哪里")] = None,
    as_json: Json = False,
) -> None:
    """打印文书（PDF）。"""
    case = find(case_no)
    printed = call(c.RenderDocument(case_id=case.case_id, letter=letter))
    path = download("cases", printed.file_id, out)
    present({"file": str(path), "bytes": printed.size}, as_json, lambda: f"已存为 {path}")
