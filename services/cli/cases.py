"""`zhida cases`: applications from the window to the decision."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from services.cli.output import Json, present, table
from services.cli.session import call, download
from services.contracts.commands import cases as c
from services.contracts.errors import Invalid
from services.contracts.money import fen, yuan

group = typer.Typer(name="cases", help="案件：受理、调查、公示、决定、文书", no_args_is_help=True)

CaseNo = Annotated[str, typer.Argument(help="受理编号或案件编号")]
Division = Annotated[str, typer.Option(help="区划代码，如 421083108")]
Reason = Annotated[str, typer.Option(help="理由")]
Key = Annotated[str | None, typer.Option("--key", help="请求编号：同一编号重复执行只生效一次")]
Yuan = Annotated[str | None, typer.Option(help="金额（元）")]

MARKS = {"done": "●", "current": "◐", "waiting": "○", "skipped": "－"}


# -- looking ----------------------------------------------------------------------------------


@group.command("list")
def list_cases(
    bucket: Annotated[str | None, typer.Option(help="待办分类，见 zhida cases desk")] = None,
    item: Annotated[str | None, typer.Option(help="事项，如 dibao")] = None,
    state: Annotated[str | None, typer.Option(help="状态，如 in_progress")] = None,
    division: Division = "",
    person: Annotated[UUID | None, typer.Option(help="人员编号")] = None,
    after: Annotated[str | None, typer.Option(help="从上一页给出的位置继续")] = None,
    limit: Annotated[int, typer.Option(help="条数，最多 200")] = 50,
    as_json: Json = False,
) -> None:
    """辖区内的案件，期限近的在前。"""
    page = call(
        c.ListCases(
            bucket=bucket,
            item=item,
            state=state,
            division=division,
            person_id=person,
            after=after,
            limit=limit,
        )
    )
    present(page, as_json, lambda: _lines(page))


@group.command("desk")
def desk(division: Division = "", as_json: Json = False) -> None:
    """工作台：各类待办的件数，与清单一致。"""
    counts = call(c.ReadDesk(division=division))
    present(
        counts,
        as_json,
        lambda: table(
            ("待办", "件数", "分类"), [(each.label, each.count, each.bucket) for each in counts]
        ),
    )


@group.command("show")
def show(case_no: CaseNo, as_json: Json = False) -> None:
    """一个案件：步骤、期限、测算、时间线。"""
    _present(_find(case_no), as_json)


@group.command("intake")
def intake(
    person_id: Annotated[UUID, typer.Argument(help="人员编号")], as_json: Json = False
) -> None:
    """受理前：此人一家在享什么、有无在办、有无重复。"""
    seen = call(c.ReadIntake(person_id=person_id))
    present(
        seen,
        as_json,
        lambda: Group(
            f"{seen.name}　{seen.division_name}　{seen.members} 人",
            table(
                ("在享待遇", "地方", "对象", "起始"),
                [
                    (b.benefit_name, b.place_name, "、".join(b.person_names), b.from_month)
                    for b in seen.benefits
                ],
            ),
            *[f"{'✗' if w.blocking else '!'} {w.message}" for w in seen.warnings],
        ),
    )


@group.command("items")
def items(division: Division = "", as_json: Json = False) -> None:
    """事项目录：谁决定、多少个工作日、要什么材料。"""
    listed = call(c.ListItems(division=division))
    present(
        listed,
        as_json,
        lambda: table(
            ("事项", "程序", "决定机关", "期限（工作日）", "必交材料"),
            [
                (
                    f"{item.name}（{item.code}）",
                    f"{route.name}（{route.code}）",
                    route.decided_by,
                    f"{route.limit}，可延长至 {route.extended}",
                    "、".join(
                        f"{m.name}（{m.code}）"
                        for m in item.materials
                        if m.required and not m.shared
                    ),
                )
                for item in listed
                for route in item.routes
            ],
        ),
    )


@group.command("notices")
def notices(
    division: Annotated[str, typer.Argument(help="区划代码")], as_json: Json = False
) -> None:
    """公示栏：今天在公示的名单。"""
    board = call(c.ListNotices(division=division))
    present(
        board,
        as_json,
        lambda: table(
            ("事项", "地方", "申请人", "人数", "金额（元）", "公示至"),
            [
                (n.item_name, n.place_name, n.applicant_name, n.members, yuan(n.amount_fen),
                 n.closes_on)
                for n in board
            ],
        ),
    )  # fmt: skip


# -- the window -------------------------------------------------------------------------------


@group.command("accept")
def accept(
    item: Annotated[str, typer.Argument(help="事项，如 dibao")],
    applicant: Annotated[UUID, typer.Argument(help="申请人的人员编号")],
    benefit: Annotated[list[str] | None, typer.Option(help="待遇，如 rural_dibao")] = None,
    route: Annotated[str | None, typer.Option(help="程序，如 urgent")] = None,
    material: Annotated[
        list[str] | None, typer.Option(help="已交材料，可重复；all 为全部必交材料")
    ] = None,
    asked: Yuan = None,
    circumstance: Annotated[str, typer.Option(help="申请事由")] = "",
    single: Annotated[bool, typer.Option(help="按单人户申请")] = False,
    tell_missing: Annotated[
        bool, typer.Option("--tell-missing", help="材料不齐：登记并出具一次性告知书")
    ] = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """受理申请；材料不齐时加 --tell-missing 一次告知。"""
    application = c.Application(
        item=item,
        applicant_id=applicant,
        benefits=tuple(benefit or ()),
        route=route,
        materials=_materials(item, material or []),
        asked_fen=fen(asked, field="asked") if asked else None,
        circumstance=circumstance,
        single_person=single,
    )
    command: c.AcceptApplication | c.IssueMissingMaterialNotice = (
        c.IssueMissingMaterialNotice(application=application)
        if tell_missing
        else c.AcceptApplication(application=application)
    )
    _present(call(command, key=key), as_json)


@group.command("supply")
def supply(
    case_no: CaseNo,
    material: Annotated[list[str], typer.Argument(help="补交的材料")],
    as_json: Json = False,
) -> None:
    """补交材料；齐了即受理。"""
    case = _find(case_no)
    _present(call(c.SupplyMaterial(case_id=case.case_id, materials=tuple(material))), as_json)


@group.command("decline")
def decline(case_no: CaseNo, reason: Reason, as_json: Json = False) -> None:
    """不予受理，书面说明理由。"""
    _do(case_no, c.DeclineApplication, as_json, reason=reason)


@group.command("end")
def end(
    case_no: CaseNo,
    reason: Reason,
    ground: Annotated[str, typer.Option(help="withdrawn 撤回 或 not_cooperating 不配合")] = (
        "withdrawn"
    ),
    as_json: Json = False,
) -> None:
    """申请人撤回，或不配合而终止。"""
    _do(case_no, c.EndCase, as_json, ground=ground, reason=reason)


# -- the inquiry ------------------------------------------------------------------------------


@group.command("investigate")
def investigate(
    case_no: CaseNo,
    investigator: Annotated[list[UUID], typer.Argument(help="调查人编号，至少两人")],
    finding: Annotated[str, typer.Option(help="调查情况")],
    income: Yuan = None,
    household_signed: Annotated[bool, typer.Option(help="被调查人已签字")] = True,
    as_json: Json = False,
) -> None:
    """登记调查：两人以上，双方签字。"""
    _do(
        case_no,
        c.RecordInvestigation,
        as_json,
        investigators=tuple(investigator),
        signed_by=tuple(investigator),
        household_signed=household_signed,
        finding=finding,
        income_fen=fen(income, field="income") if income else None,
    )


@group.command("check")
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
    _do(
        case_no,
        c.RecordMeansCheck,
        as_json,
        report_no=report,
        consistent=consistent,
        finding=finding,
        income_fen=fen(income, field="income") if income else None,
    )


@group.command("opinion")
def opinion(
    case_no: CaseNo,
    favourable: Annotated[bool, typer.Option("--for/--against", help="同意或不同意")] = True,
    reason: Annotated[str, typer.Option(help="理由")] = "",
    grant: Annotated[list[str] | None, typer.Option(help="待遇=金额（元），可重复")] = None,
    as_json: Json = False,
) -> None:
    """初审意见；金额以政策测算为准。"""
    grants = _grants(grant or [])
    _do(case_no, c.GiveOpinion, as_json, favourable=favourable, reason=reason, grants=grants)


@group.command("federation")
def federation(
    case_no: CaseNo,
    passed: Annotated[bool, typer.Option("--pass/--fail", help="通过或不通过")] = True,
    note: Annotated[str, typer.Option(help="说明")] = "",
    as_json: Json = False,
) -> None:
    """残联审核。"""
    _do(case_no, c.FederationReview, as_json, passed=passed, note=note)


@group.command("extend")
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
    _do(case_no, c.ExtendDeadline, as_json, ground=ground, reason=reason)


# -- publicity and decision -------------------------------------------------------------------


@group.command("publicise")
def publicise(case_no: CaseNo, as_json: Json = False) -> None:
    """公示七天。"""
    _do(case_no, c.OpenPublicity, as_json)


@group.command("object")
def object_(
    case_no: CaseNo,
    content: Annotated[str, typer.Argument(help="异议内容")],
    complaint: Annotated[bool, typer.Option(help="投诉举报（县级入户核查）")] = False,
    as_json: Json = False,
) -> None:
    """登记公示异议或投诉举报。"""
    _do(case_no, c.RecordObjection, as_json, content=content, complaint=complaint)


@group.command("answer")
def answer(
    case_no: CaseNo,
    number: Annotated[int, typer.Argument(help="异议编号")],
    finding: Annotated[str, typer.Option(help="调查结果")],
    upheld: Annotated[bool, typer.Option("--upheld/--dismissed", help="成立或不成立")] = False,
    as_json: Json = False,
) -> None:
    """答复异议；成立的重新调查。"""
    _do(case_no, c.ResolveObjection, as_json, number=number, upheld=upheld, finding=finding)


@group.command("decide")
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
    _do(
        case_no,
        c.Decide,
        as_json,
        key=key,
        outcome=outcome,
        reason=reason,
        grants=_grants(grant or []),
        late_reason=late_reason,
    )


@group.command("correct")
def correct(
    case_no: CaseNo,
    outcome: Annotated[str, typer.Argument(help="更正后的结果")],
    reason: Reason,
    grant: Annotated[list[str] | None, typer.Option(help="待遇=金额（元），可重复")] = None,
    as_json: Json = False,
) -> None:
    """更正决定（发放之前）。"""
    grants = _grants(grant or [])
    _do(case_no, c.CorrectDecision, as_json, outcome=outcome, reason=reason, grants=grants)


@group.command("papers")
def papers(
    case_no: CaseNo,
    material: Annotated[list[str], typer.Argument(help="补齐的材料")],
    finding: Annotated[str, typer.Option(help="困难原因和救助情况")],
    signed: Annotated[bool, typer.Option(help="领款人已签字")] = True,
    as_json: Json = False,
) -> None:
    """急难型救助补齐手续。"""
    _do(
        case_no,
        c.CompletePapers,
        as_json,
        materials=tuple(material),
        finding=finding,
        signed=signed,
    )


@group.command("serve")
def serve(
    case_no: CaseNo,
    way: Annotated[str, typer.Option(help="送达方式")] = "直接送达",
    as_json: Json = False,
) -> None:
    """告知：决定书已送达。"""
    _do(case_no, c.ServeDecision, as_json, way=way)


@group.command("review")
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
    _do(case_no, c.OpenReview, as_json, cause=cause, reason=reason)


@group.command("print")
def print_(
    case_no: CaseNo,
    letter: Annotated[str, typer.Argument(help="文书，如 acceptance_notice")],
    out: Annotated[Path | None, typer.Option(help="存到哪里")] = None,
    as_json: Json = False,
) -> None:
    """打印文书（PDF）。"""
    case = _find(case_no)
    printed = call(c.RenderDocument(case_id=case.case_id, letter=letter))
    path = download("cases", printed.file_id, out)
    present({"file": str(path), "bytes": printed.size}, as_json, lambda: f"已存为 {path}")


# -- shared -----------------------------------------------------------------------------------


def _find(case_no: str) -> c.CaseView:
    try:
        return call(c.ReadCase(case_id=UUID(case_no)))
    except ValueError:
        return call(c.ReadCase(case_no=case_no))


def _do(case_no: str, command: Any, as_json: bool, key: str | None = None, **fields: Any) -> None:
    import msgspec

    given = {"case_id": _find(case_no).case_id, **fields}
    try:
        request = msgspec.convert(given, command)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].strip("`")
        raise Invalid(
            f"参数有误：{field} 不能是“{fields.get(field)}”",
            field=field,
            advice="可选值见该命令的 --help",
        ) from error
    _present(call(request, key=key), as_json)


def _materials(item: str, named: list[str]) -> tuple[str, ...]:
    if named != ["all"]:
        return tuple(named)
    listed = [each for each in call(c.ListItems()) if each.code == item]
    return tuple(
        material.code
        for each in listed
        for material in each.materials
        if material.required and not material.shared
    )


def _grants(named: list[str]) -> tuple[c.Grant, ...]:
    grants = []
    for text in named:
        benefit, found, money = text.partition("=")
        if not found:
            raise Invalid(f"“{text}”不合格式", field="grant", advice="格式如 rural_dibao=660.00")
        grants.append(c.Grant(benefit=benefit, amount_fen=fen(money, field="grant")))
    return tuple(grants)


def _present(case: c.CaseView, as_json: bool) -> None:
    present(case, as_json, lambda: _page(case))


def _page(case: c.CaseView) -> RenderableType:
    """The case page in a terminal."""
    bar = "  ".join(f"{MARKS[step.state]} {step.name}" for step in case.steps)
    head = (
        f"{case.case_no}　{case.item_name}（{case.route_name}）　{case.applicant_name}　"
        f"{case.division_name}　{case.outcome_label or case.state_label}"
    )
    parts: list[RenderableType] = [head, bar]
    if case.deadline:
        parts.append(case.deadline.words)
    if case.missing:
        parts.append(f"缺：{'、'.join(case.missing)}")
    if case.quote:
        parts.append(
            table(
                ("项目", "依据", "金额（元）"),
                [
                    (line.label, line.source, yuan(line.fen))
                    for benefit in case.quote.benefits
                    for line in benefit.working
                ],
                f"政策测算 {yuan(case.quote.total_fen)} 元",
            )
        )
        parts += [f"✗ {o.message}（{o.clause}）" for o in case.quote.obstacles]
    parts.append(
        table(
            ("日期", "事项", "内容", "经办"),
            [(_day(line.on), line.title, line.detail, line.by) for line in case.timeline],
        )
    )
    return Group(*parts)


def _day(day: date) -> str:
    return day.isoformat()


def _lines(page: c.CasePage) -> RenderableType:
    made = Table()
    made.add_column("受理编号", no_wrap=True)
    for heading in ("事项", "申请人", "地方", "状态", "期限"):
        made.add_column(heading, overflow="fold")
    for line in page.cases:
        steps = "、".join(line.step_names)
        state = line.outcome_label or line.state_label
        made.add_row(
            line.case_no,
            line.item_name,
            line.applicant_name,
            line.division_name,
            f"{state}：{steps}" if steps else state,
            line.due_on.isoformat() if line.due_on else "—",
        )
    return Group(made, f"下一页：--after {page.next}") if page.next else made
