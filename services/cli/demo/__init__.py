"""`zhida demo`: the main job from roster to paid, with synthetic people, on a stack of its own.

The story acts only through signed-in accounts; the bureau and the bank are programs of their own;
the checks read databases, files and mailbox and ask no service.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from deploy.local import stack
from deploy.local.accounts import RESULTS
from services.cli.output import Json, console, notes, present, table

group = typer.Typer()

HOME = "ZHIDA_HOME"
REPORT = "ZHIDA_DEMO_REPORT"
FAILED = 1


@group.command()
def demo(
    people: Annotated[int, typer.Option(min=100, help="虚拟人员数；全市规模为 110000")] = 2000,
    seed: Annotated[int, typer.Option(help="随机种子：同一种子生成同一份花名册")] = 20260928,
    keep: Annotated[
        bool | None,
        typer.Option("--keep/--no-keep", help="结束后保持工作台打开（默认：在终端里保持）"),
    ] = None,
    as_json: Json = False,
) -> None:
    """用虚拟人员把主线走一遍：花名册、申请、发放、回盘、补发、死亡停发、消息。"""
    if HOME not in os.environ:
        _play_apart()
    from services.cli.demo import evidence, report, story

    began = time.monotonic()
    try:
        with notes.status("") as progress:

            def say(words: str) -> None:
                elapsed = time.monotonic() - began
                progress.update(words)
                notes.print(f"[dim]{elapsed:6.1f} 秒[/dim]  {words}")

            told = story.play(people, seed, RESULTS / "files", say)
            found = story.gather(told)
            checks = evidence.check_all(found)
        document = report.document(told, found, checks, time.monotonic() - began)
        path = Path(os.environ.get(REPORT) or RESULTS / "demo.json")
        path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", "utf-8")
        present(document, as_json, lambda: report.page(document, checks))
        ok = all(one.ok for one in checks) and document["events"]["dead_letters"] == 0
        if keep if keep is not None else sys.stdout.isatty() and not as_json:
            _stay_open(told.world.stack, told.world.passwords)
    finally:
        stack.down()
    if not ok:
        raise typer.Exit(FAILED)


def _play_apart() -> None:
    """Start over with a home of its own: the demo never touches what `zhida up` runs."""
    os.environ[REPORT] = str(RESULTS / "demo.json")
    os.environ[HOME] = str(RESULTS / "demo")
    os.execv(sys.executable, [sys.executable, *sys.argv])


def _stay_open(running: stack.Stack, passwords: dict[str, str]) -> None:
    """Leave the desk open with an account a role until Ctrl-C."""
    console.print(table(("账号", "密码"), passwords.items(), title=f"工作台 {running.portal_url}"))
    console.print("按 Ctrl-C 结束")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("正在停止")
