"""`zhida up`, `down`, `status`: the local stack."""

import time
from typing import Annotated

import typer

from deploy.local import stack
from services.cli.output import Json, notes, present, table
from services.contracts.errors import Conflict

group = typer.Typer()

STATES = {
    "RUNNING": "运行",
    "STARTING": "启动中",
    "STOPPED": "已停",
    "STOPPING": "停止中",
    "BACKOFF": "重启中",
    "EXITED": "已退出",
    "FATAL": "失败",
}


@group.command()
def up(
    replicas: Annotated[int | None, typer.Option(min=1, max=4, help="每个服务几个副本")] = None,
    brokers: Annotated[
        int | None, typer.Option(min=1, max=5, help="RabbitMQ 几个节点，第一次启动时确定")
    ] = None,
    as_json: Json = False,
) -> None:
    """启动本机的全部服务和门户；已经在运行时不受影响。"""
    first_time = stack.Stack.load() is None
    began = time.monotonic()
    with notes.status("启动中") as progress:
        running = stack.up(progress.update, replicas=replicas, brokers=brokers)
    seconds = round(time.monotonic() - began, 1)
    if first_time:
        notes.print("第一次使用：zhida first-admin 设首位管理员")
    present(
        {"portal": running.portal_url, "seconds": seconds},
        as_json,
        lambda: f"直达已就绪：{running.portal_url}（用时 {seconds} 秒；停止：zhida down）",
    )


@group.command()
def down(
    erase: Annotated[bool, typer.Option(help="同时删除本机数据和密钥，不可恢复")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问")] = False,
    as_json: Json = False,
) -> None:
    """停止本机的全部服务，不留进程；数据保留。"""
    if erase and not yes and not typer.confirm("将删除本机全部数据和密钥，确定吗？"):
        raise Conflict("已取消，没有改动")
    with notes.status("停止中"):
        ran = stack.erase() if erase else stack.down()
    said = ("已停止" if ran else "本来就没有运行") + ("，数据已删除" if erase else "")
    present({"stopped": ran, "erased": erase}, as_json, lambda: said)


@group.command()
def status(as_json: Json = False) -> None:
    """各程序是否在运行、是否就绪。"""
    rows = stack.status()
    present(
        {"up": bool(rows), "programs": rows},
        as_json,
        lambda: (
            table(
                ("程序", "状态", "就绪", "进程号", "已运行", "地址"),
                [
                    (
                        row.name,
                        STATES.get(row.state, row.state),
                        None if row.ready is None else "是" if row.ready else "否",
                        row.pid or None,
                        f"{row.seconds} 秒" if row.pid else None,
                        row.address,
                    )
                    for row in rows
                ],
            )
            if rows
            else "没有运行；启动：zhida up"
        ),
    )
