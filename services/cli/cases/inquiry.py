"""The inquiry: visits, means checks, opinions, and more time for them."""

from typing import Annotated
from uuid import UUID

import typer

from services.cli.cases.acting import CaseNo, Reason, Yuan, act, read_grants
from services.cli.output import Json
from services.contracts.commands import cases as c
from services.contracts.money import fen

commands = typer.Typer()


@commands.command("investigate")
def investigate(
    case_no: CaseNo,
    investigator: Annotated[list[UUID], typer.Argument(help="调查人编号，至少两人")],
    finding: Annotated[str, typer.Option(help="调查情况")],
    income: Yuan = None,
    household_signed: Annotated[bool, typer.Option(help="被调查人已签字")] = True,
    as_json: Json = False,
) -> None:
    """登记调查：两人以上，双方签字。"""
    act(
        case_no,
        c.RecordInvestigation,
        as_json,
        investigators=tuple(investigator),
        signed_by=tuple(investigator),
        household_signed=household_signed,
        finding=finding,
        income_fen=fen(income, field="income") if income else None,
    )


@commands.command("check")
def check(
    case_no: CaseNo,
    report: Annotated[str, typer.Argument(help="核对报告编号")],
    consistent: Annotated[bool, typer.Option("--consistent/--inconsistent", help="相符或不符")] = (
        True
    ),
    finding: Annotated[str, typer.Option(help="不符的情况")] = "",
    income: Yuan = None,
    as_json: Json = False,
) -> None:
    """登记家庭经济状况核对结果。"""
    act(
        case_no,
        c.RecordMeansCheck,
        as_json,
        report_no=report,
        consistent=consistent,
        finding=finding,
        income_fen=fen(income, field="income") if income else None,
    )


@commands.command("opinion")
def opinion(
    case_no: CaseNo,
    favourable: Annotated[bool, typer.Option("--for/--against", help="同意或不同意")] = True,
    reason: Annotated[str, typer.Option(help="理由")] = "",
    grant: Annotated[list[str] | None, typer.Option(help="待遇=金额（元），可重复")] = None,
    as_json: Json = False,
) -> None:
    """初审意见；金额以政策测算为准。"""
    grants = read_grants(grant or [])
    act(case_no, c.GiveOpinion, as_json, favourable=favourable, reason=reason, grants=grants)


@commands.command("federation")
def federation(
    case_no: CaseNo,
    passed: Annotated[bool, typer.Option("--pass/--fail", help="通过或不通过")] = True,
    note: Annotated[str, typer.Option(help="说明")] = "",
    as_json: Json = False,
) -> None:
    """残联审核。"""
    act(case_no, c.FederationReview, as_json, passed=passed, note=note)


@commands.command("extend")
def extend(
    case_no: CaseNo,
    ground: Annotated[
        str,
        typer.Argument(help="objection、resides_elsewhere、out_of_area 或 hard_investigation"),
    ],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """延长办理期限，只能一次。"""
    act(case_no, c.ExtendDeadline, as_json, ground=ground, reason=reason)
