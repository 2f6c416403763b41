"""Whoever mistypes a command reads in Chinese what is wrong with it."""

from __future__ import annotations

import re

import pytest
import typer

from services.cli.app import build
from services.cli.usage import words

COMMAND = typer.main.get_command(build())
USAGE_ERROR = typer.BadParameter.__base__
"""What every mistyped command raises; typer gives it no name of its own."""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nope", "没有命令 nope"),
        ("regstry", "没有命令 regstry，是不是 registry"),
        ("registry", "缺少命令"),
        ("funding cycle open", "缺少参数 month"),
        ("funding cycle open 2026-11 2026-12", "多出的参数：2026-12"),
        ("funding cycle open --monht", "没有选项 --monht"),
        ("registry undo abc --reason x", "参数 import_id 的值不对，应是编号"),
        ("registry undo 0199d942-f648-7865-a78d-8747312e368e", "缺少选项 --reason"),
        ("demo --people many", "选项 --people 的值不对，应是整数"),
        ("demo --people", "选项 --people 的用法不对：它后面要有值"),
        ("status --json=1", "选项 --json 的用法不对：它不带值"),
    ],
)
def test_what_is_wrong_is_said_in_chinese(line: str, said: str) -> None:
    """The sentence names the word at fault, and holds no English prose."""
    with pytest.raises(USAGE_ERROR) as caught:
        COMMAND.main(line.split(), standalone_mode=False)
    sentence = words(caught.value)
    assert sentence.startswith(said)
    assert not re.search(r"[A-Za-z]+ [a-z]+ [a-z]+", sentence)
