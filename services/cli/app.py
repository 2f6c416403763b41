"""Puts the command groups together and turns what goes wrong into an exit code."""

import importlib
import json
import os
import pkgutil
import sys
import warnings
from typing import NoReturn

import typer
from rich.console import Console
from typer import rich_utils

import services.cli
from services.cli import usage
from services.contracts.errors import ZhidaError

REFUSED = 2
FAULT = 1

rich_utils.OPTIONS_PANEL_TITLE = "选项"
rich_utils.ARGUMENTS_PANEL_TITLE = "参数"
rich_utils.COMMANDS_PANEL_TITLE = "命令"
rich_utils.ABORTED_TEXT = "已取消"
rich_utils.DEFAULT_STRING = "［默认 {}］"
rich_utils.REQUIRED_LONG_STRING = "［必填］"
rich_utils.rich_format_error = usage.explain


def main() -> NoReturn:
    """Run one command. Never returns: the exit code says how it ended."""
    warnings.simplefilter("ignore")  # a library's deprecations are not for the person at the shell
    try:
        build(asked=sys.argv[1] if len(sys.argv) > 1 else None)()
    except ZhidaError as error:
        _say(error.as_dict())
        sys.exit(FAULT if error.status >= 500 or error.code == ZhidaError.code else REFUSED)
    except Exception as error:
        if os.environ.get("ZHIDA_DEBUG"):
            raise
        _say({"code": "fault", "message": f"出了故障：{error}", "advice": _WHERE_TO_LOOK})
        sys.exit(FAULT)
    sys.exit(0)


_WHERE_TO_LOOK = "运行 zhida doctor 检查环境，日志在 .zhida/logs；设 ZHIDA_DEBUG=1 再试可见详情"


def build(asked: str | None = None) -> typer.Typer:
    """The whole command, with the group of every module of this package.

    When ``asked`` names a group, that one alone: the others take longer to load than to run.
    """
    app = typer.Typer(
        name="zhida",
        help="直达：基层民政一线办理。每条命令都可加 --json。\n\n"
        "退出码：0 完成；2 被拒绝，说明原因，未作改动；1 故障。",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    names = sorted(found.name for found in pkgutil.iter_modules(services.cli.__path__))
    if asked in names and (own := _group(asked)) is not None and own.info.name == asked:
        app.add_typer(own)
        return app
    for name in names:
        if (group := _group(name)) is not None:
            app.add_typer(group)
    return app


def _group(name: str) -> typer.Typer | None:
    """The commands of one module, when it has any."""
    group = getattr(importlib.import_module(f"services.cli.{name}"), "group", None)
    return group if isinstance(group, typer.Typer) else None


def _say(problem: dict[str, str | None]) -> None:
    if "--json" in sys.argv[1:]:
        sys.stdout.write(json.dumps({"error": problem}, ensure_ascii=False) + "\n")
        return
    console = Console(stderr=True, highlight=False)
    field = f"[{problem['field']}] " if problem.get("field") else ""
    console.print(f"✗ {field}{problem['message']}", style="red", markup=False)
    if problem.get("advice"):
        console.print(f"  {problem['advice']}", markup=False)
