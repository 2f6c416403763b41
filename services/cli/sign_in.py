"""`zhida login`, `logout`, `whoami`, `password`: who acts at this shell."""

import os
import subprocess
import sys
from typing import Annotated

import msgspec
import typer

from deploy.local.stack import Stack
from services.cli import session
from services.cli.output import Json, notes, present, table
from services.contracts.actors import ROLE_LABELS
from services.contracts.commands.registry import ChangePassword, SignIn
from services.contracts.errors import Conflict, Invalid, Unavailable

group = typer.Typer()

REFUSED = 2
PASSWORD = "ZHIDA_PASSWORD"  # noqa: S105  (the variable's name)


@group.command()
def login(
    account: Annotated[str, typer.Argument(help="账号")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="从标准输入读密码（也可用 ZHIDA_PASSWORD）")
    ] = False,
    as_json: Json = False,
) -> None:
    """登录；之后的命令都以此人的身份办理，直到退出或过期。"""
    answer = session.ask_unsigned(SignIn(account=account, password=read_password(password_stdin)))
    here = session.SignedInHere(
        token=answer.token, expires_at=answer.expires_at, account=account, staff=answer.staff
    )
    session.keep(here)
    if answer.must_change_password:
        notes.print("请先修改初始密码，再用新密码登录：zhida password")
    _show(here, as_json)


@group.command("first-admin")
def first_admin(
    account: Annotated[str, typer.Option(help="账号")] = "admin",
    name: Annotated[str, typer.Option(help="姓名")] = "系统管理员",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="从标准输入读密码（也可用 ZHIDA_PASSWORD）")
    ] = False,
    as_json: Json = False,
) -> None:
    """在本机还没有任何账号时设首位系统管理员；其余账号由其开立。"""
    running = Stack.load()
    if running is None:
        raise Unavailable("这台机器上没有运行直达", advice="先运行 zhida up")
    module = "services.registry.first_admin"
    done = subprocess.run(
        [sys.executable, "-m", module, "--keep-password", "--account", account, "--name", name],
        input=read_password(password_stdin) + "\n",
        env=running.environment("registry"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == REFUSED:
        message, _, advice = done.stderr.strip().splitlines()[-1].partition("；")
        raise Conflict(message, advice=advice or None)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-1000:])
    present(
        {"account": account}, as_json, lambda: f"已设管理员 {account}；登录：zhida login {account}"
    )


@group.command()
def logout(as_json: Json = False) -> None:
    """退出登录。"""
    was = session.forget()
    present({"signed_out": was}, as_json, lambda: "已退出" if was else "本来就没有登录")


@group.command()
def whoami(as_json: Json = False) -> None:
    """现在以谁的身份办理。"""
    _show(session.signed_in(), as_json)


@group.command()
def password(
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="从标准输入读两行：旧密码、新密码")
    ] = False,
    as_json: Json = False,
) -> None:
    """修改自己的密码；之后用新密码重新登录。"""
    if password_stdin:
        old, new = (_line() for _ in range(2))
    else:
        old = typer.prompt("旧密码", hide_input=True)
        new = typer.prompt("新密码", hide_input=True, confirmation_prompt="再输入一次新密码")
    session.call(ChangePassword(old=old, new=new))
    session.forget()
    present({"changed": True}, as_json, lambda: "密码已修改，请用新密码登录")


def read_password(from_stdin: bool) -> str:
    """From standard input, the environment, or the person at the terminal; never an argument."""
    if from_stdin:
        return _line()
    if given := os.environ.get(PASSWORD):
        return given
    if not sys.stdin.isatty():
        raise Invalid("没有给出密码", advice="用 --password-stdin 或环境变量 ZHIDA_PASSWORD")
    return str(typer.prompt("密码", hide_input=True))


def _line() -> str:
    return sys.stdin.readline().rstrip("\n")


def _show(here: session.SignedInHere, as_json: bool) -> None:
    staff = here.staff
    shown = {name: value for name, value in msgspec.structs.asdict(here).items() if name != "token"}
    present(
        shown,
        as_json,
        lambda: table(
            ("项目", "内容"),
            [
                ("账号", here.account),
                ("姓名", f"{staff.name}（工号 {staff.staff_no}）"),
                ("岗位", "、".join(ROLE_LABELS[role] for role in staff.roles)),
                ("辖区", "、".join(staff.scopes)),
                ("有效至", here.expires_at.astimezone().strftime("%Y-%m-%d %H:%M")),
            ],
        ),
    )
