"""Looking at cases: the desk's counts, lists, one case, what may be applied for, the notices."""

from typing import Annotated
from uuid import UUID

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from services.cli.cases.acting import CaseNo, find
from services.cli.cases.page import present_case
from services.cli.output import Json, present, table
from services.cli.session import call
from services.contracts.commands import cases as c
from services.contracts.money import yuan

commands = typer.Typer()

Division = Annotated[str, typer.Option(help="区划代码，如 421083108")]


@commands.command("list")
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


@commands.command("desk")
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


@commands.command("show")
def show(case_no: CaseNo, as_json: Json = False) -> None:
    """一个案件：步骤、期限、测算、时间线。"""
    present_case(find(case_no), as_json)


@commands.command("intake")
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


@commands.command("items")
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


@commands.command("notices")
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
