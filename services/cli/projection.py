"""`zhida projection`: a service's copies of what others own, made anew and compared."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType

from services.chassis.discovery import NAMES
from services.cli import session
from services.cli.output import Json, notes, present, table
from services.contracts.commands.common import RebuildProjection, RebuiltProjection
from services.contracts.errors import Invalid

group = typer.Typer()
projection = typer.Typer(help="投影（各服务保存的他方数据副本）", no_args_is_help=True)
group.add_typer(projection, name="projection")

KINDS = {
    "missing": "现表缺",
    "surplus": "现表多",
    "older": "现表较旧",
    "newer": "现表较新",
    "differs": "内容不同",
}


@projection.callback()
def _named() -> None:
    """Commands of the group."""


@projection.command()
def rebuild(
    service: Annotated[str, typer.Argument(help="服务：cases、funding 或 notify")],
    name: Annotated[str, typer.Argument(help="投影，如 person、household、staff")],
    swap: Annotated[bool, typer.Option("--swap", help="把不同之处换成重建的内容")] = False,
    as_json: Json = False,
) -> None:
    """从事件存档重建一个投影，与现表逐行比对；加 --swap 才替换。服务照常运行。"""
    if service not in NAMES:
        raise Invalid(f"没有服务 {service}", field="service", advice="、".join(NAMES))
    request = RebuildProjection(projection=name, swap=swap)
    with notes.status("读取存档"):
        done = session.call(request, service=service)
    present(done, as_json, lambda: _page(done, swap))


def _page(done: RebuiltProjection, swap: bool) -> RenderableType:
    lines = [
        f"{done.service} 的 {done.projection}：由 {done.events} 个事件重建 {done.rows} 行，"
        + (f"与现表有 {done.differences} 行不同" if done.differences else "与现表一致")
    ]
    if done.unreadable:
        lines.append(
            f"有 {done.unreadable} 个事件读不了，与死信核对：zhida events dead-letters list"
        )
    if done.lost:
        lines.append(
            f"存档已缺 {done.lost} 个事件：只在现表有的行、现表较新的行不能断定有误，不替换"
        )
    if done.waiting:
        lines.append(f"队列里还有 {done.waiting} 个事件未处理：“现表缺”“现表较旧”可能只因此")
    if swap:
        lines.append(f"已替换：写入 {done.written} 行，删除 {done.removed} 行")
    elif done.differences:
        lines.append("没有改动；要替换请加 --swap")
    if not done.first:
        return "\n".join(lines)
    rows = [(KINDS[each.kind], each.key, "、".join(each.columns) or None) for each in done.first]
    title = "" if done.differences == len(rows) else f"前 {len(rows)} 行"
    return Group("\n".join(lines), table(("不同", "编号", "哪些列"), rows, title=title))
