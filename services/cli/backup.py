"""`zhida backup`, `zhida restore`: the four databases kept and put back."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from deploy.local import stack
from deploy.local.servers import SERVICES
from services.cli import session
from services.cli.output import Json, notes, present
from services.cli.registry import group as registry
from services.contracts.commands.registry import TellAgain
from services.contracts.errors import Conflict, Invalid, Unavailable

group = typer.Typer()


@group.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="空目录，备份写在这里")],
    hours: Annotated[float, typer.Option(help="同时保存最近多少小时的事件")] = 24.0,
    as_json: Json = False,
) -> None:
    """备份四个库和最近的事件；服务照常运行。密钥不在备份里，请另行保管。"""
    from deploy.local import backup as saving  # loads slowly

    running = stack.Stack.load()
    if running is None:
        raise Unavailable("这台机器上没有运行直达", advice="先运行 zhida up")
    began = time.monotonic()
    try:
        made = saving.save(running, folder.absolute(), hours=hours)
    except FileExistsError as error:
        raise Invalid(str(error), field="folder", advice="请指定一个空目录") from error
    seconds = round(time.monotonic() - began, 1)
    present(
        {"folder": str(folder), "seconds": seconds, "events": sum(made.events.values())},
        as_json,
        lambda: (
            f"已备份到 {folder}：四个库、{sum(made.events.values())} 个事件（用时 {seconds} 秒）。"
            f"密钥 {stack.KEYS} 请另行保管"
        ),
    )


@group.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="zhida backup 写的目录")],
    service: Annotated[list[str] | None, typer.Option(help="只恢复这个服务；可多次给出")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问")] = False,
    as_json: Json = False,
) -> None:
    """停下服务，用备份替换数据库，提高纪元号，再启动；恢复前的改动会丢失。"""
    from deploy.local import backup as saving  # loads slowly

    names = list(dict.fromkeys(service or SERVICES))
    if unknown := set(names) - set(SERVICES):
        raise Invalid(f"没有服务 {'、'.join(sorted(unknown))}", field="service")
    try:
        made = saving.read(folder.absolute())
    except FileNotFoundError as error:
        raise Invalid(f"{folder} 不是备份", field="folder") from error
    question = (
        f"将用 {made.made_at:%Y-%m-%d %H:%M} UTC 的备份替换 {'、'.join(names)} 的库，确定吗？"
    )
    if not yes and not typer.confirm(question):
        raise Conflict("已取消，没有改动")
    if stack.Stack.load() is None:
        raise Unavailable("这台机器上没有直达", advice="先运行 zhida up，并放回备份时的密钥")
    began = time.monotonic()
    with notes.status("停下服务") as progress:
        stack.down()
        stack.raise_epochs(names)
        refill = partial(saving.put_back, folder=folder.absolute(), services=names)
        running = stack.up(progress.update, refill=refill)
    seconds = round(time.monotonic() - began, 1)
    epochs = {name: running.epochs[name] for name in names}
    present(
        {"services": names, "epochs": epochs, "seconds": seconds},
        as_json,
        lambda: (
            f"已恢复 {'、'.join(names)}（用时 {seconds} 秒）。接着："
            + ("zhida registry tell-again，然后 " if "registry" in names else "")
            + "zhida reconcile"
        ),
    )


@registry.command("tell-again")
def tell_again(as_json: Json = False) -> None:
    """恢复登记库之后：把登记的全部内容重新告知其他服务。"""
    told = session.call(TellAgain())
    present(told, as_json, lambda: f"已重新告知 {told.events} 个事件，纪元号 {told.epoch}")
