"""`zhida sample`: made-up data to try things with."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.output import Json, present

group = typer.Typer(name="sample", help="虚构数据，供试用和演示")


@group.callback()
def sample() -> None:
    """虚构数据，供试用和演示。"""


@group.command()
def roster(
    out: Annotated[Path, typer.Option(help="写到哪个文件（.xlsx）")],
    people: Annotated[int, typer.Option(min=1, max=2_000_000, help="人数")] = 2000,
    seed: Annotated[int, typer.Option(help="随机种子：同一种子生成同样的文件")] = 1,
    county: Annotated[str, typer.Option(help="县级区划代码")] = "421083",
    as_json: Json = False,
) -> None:
    """生成虚构花名册：洪湖真实的村（社区），每村都有责任人；人是虚构的。"""
    from services.cli.sample_roster import write

    made = write(people, seed, out, county=county)
    present(
        {**made, "file": str(out)},
        as_json,
        lambda: f"{out}：{made['people']} 人，{made['rows']} 行，{made['officers']} 名责任人",
    )
