"""`zhida bureau sandbox`: Zhida's side of the place where bureaus try their programs.

This command makes the place; who answers there is a process of its own (`deploy.sandbox`), which
this one becomes.
"""

import os
import sys
from typing import Annotated

import typer

from deploy.local import stack
from deploy.sandbox.place import Sandbox
from services.cli.bureau import bureau, whereabouts
from services.cli.output import Json, notes, present
from services.contracts.errors import Conflict


@bureau.command()
def sandbox(
    people: Annotated[int, typer.Option(min=1, max=5000, help="先讲述多少个虚构的人")] = 200,
    every: Annotated[float, typer.Option(min=0.1, help="之后每多少秒再讲述一人")] = 30.0,
    erase: Annotated[bool, typer.Option("--erase", help="删除沙箱及其中的全部账号")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问")] = False,
    as_json: Json = False,
) -> None:
    """开沙箱：同一消息总线上另一个虚拟主机，讲述虚构的人，应答各部门，直到按 Ctrl-C。

    登记部门到沙箱：zhida bureau add 部门 --sandbox。
    """
    broker, address = whereabouts()
    place = Sandbox.beside(broker, stack.SANDBOX)
    if erase:
        if not yes and not typer.confirm("将删除沙箱、其中的消息和各部门的沙箱账号，确定吗？"):
            raise Conflict("已取消，没有改动")
        place.erase()
        present({"erased": True}, as_json, lambda: "沙箱已删除")
        return
    command = [sys.executable, "-m", "deploy.sandbox", f"--people={people}", f"--every={every}"]
    environment = {
        **os.environ,
        "AMQP_URI": place.prepare(address),
        "BUREAU_PRIVATE_KEY": place.private_key(),
        "ZHIDA_BUREAUS": str(place.bureaus_file),
    }
    notes.print("沙箱已开，Ctrl-C 结束；登记部门：zhida bureau add 部门 --sandbox")
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)
