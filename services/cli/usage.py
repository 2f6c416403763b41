"""What is wrong with how a command was typed, in Chinese; the library's own words are English."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.panel import Panel

_COMMAND = re.compile(r"No such command '(.*)'\.(?: Did you mean (.*)\?)?", re.DOTALL)
_EXTRA = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)", re.DOTALL)
_ONE_OF = re.compile(r"is not one of (.*)\.", re.DOTALL)
_ABSENT = re.compile(r"'(.*)' does not exist\.", re.DOTALL)


def explain(self: Any) -> None:
    """Print the usage of the command and what is wrong; stands for typer's own printer."""
    if type(self).__name__ == "NoArgsIsHelpError":
        return  # the help itself has been shown
    console = Console(stderr=True, highlight=False)
    if self.ctx is not None:
        console.print(self.ctx.get_usage(), style="yellow", markup=False)
        console.print(f"用法见 {self.ctx.command_path} -h", style="dim", markup=False)
    console.print(Panel(words(self), title="用法有误", title_align="left", border_style="red"))


def words(error: Any) -> str:
    """The Chinese sentence for a usage error."""
    said = str(error.message or "")
    match type(error).__name__:
        case "MissingParameter":
            return f"缺少{_which(error)}"
        case "NoSuchOption":
            near = "、".join(sorted(error.possibilities or ()))
            return f"没有选项 {error.option_name}" + (f"，是不是 {near}" if near else "")
        case "BadOptionUsage":
            return f"选项 {error.option_name} 的用法不对：" + (
                "它不带值" if "does not take a value" in said else "它后面要有值"
            )
        case "BadParameter":
            return f"{_which(error)}的值不对" + _wanted(error, said)
    if found := _COMMAND.fullmatch(said):
        near = (found[2] or "").replace("'", "").replace(", ", "、")
        return f"没有命令 {found[1]}" + (f"，是不是 {near}" if near else "")
    if found := _EXTRA.fullmatch(said):
        return f"多出的参数：{found[1]}"
    return "缺少命令" if said == "Missing command." else said


def _which(error: Any) -> str:
    """`参数 month`, `选项 --reason`."""
    if error.param is None:
        return "参数"
    kind = "参数" if error.param.param_type_name == "argument" else "选项"
    return f"{kind} {error.param.get_error_hint().replace(chr(39), '')} "


def _wanted(error: Any, said: str) -> str:
    if found := _ONE_OF.search(said):
        return f"，应是其中之一：{found[1].replace(chr(39), '').replace(', ', '、')}"
    if found := _ABSENT.search(said):
        return f"：没有文件 {found[1]}"
    kind = getattr(getattr(error.param, "type", None), "name", "") or said
    for word, wanted in _KINDS.items():
        if word in kind.lower():
            return f"，应是{wanted}"
    return f"：{said}"


_KINDS = {
    "uuid": "编号（如 0199d942-f648-7865-a78d-8747312e368e）",
    "int": "整数",
    "float": "数",
    "date": "日期（如 2026-11-10）",
    "bool": "是或否",
}
