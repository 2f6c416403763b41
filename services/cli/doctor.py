"""`zhida doctor`: is everything here that Zhida needs, and what to do when not."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg2
import typer

from deploy.local import SERVICES
from deploy.local.accounts import RESULTS
from deploy.local.ports import is_open
from deploy.local.stack import KEYS, Stack, status
from services.cli.output import Json, present, table
from services.cli.session import ask_unsigned
from services.contracts.commands.cases import ReadCalendar
from services.contracts.commands.common import ReadClock

group = typer.Typer()

LEAST_DISK_GB = 2
LAST_MONTH = 12
"""From December on the next year's notice is needed: limits run into it."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check saw. `ok` is None for what cannot be looked at while the stack is down."""

    name: str
    ok: bool | None
    seen: str
    advice: str | None = None


@group.command()
def doctor(as_json: Json = False) -> None:
    """检查软件包、消息总线、数据库、表结构、工作日历、字体、磁盘；有问题时退出码为 1。"""
    findings = [finding for check in CHECKS for finding in check()]
    healthy = all(finding.ok is not False for finding in findings)
    marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: "·"}
    present(
        {"ok": healthy, "checks": findings},
        as_json,
        lambda: table(
            ("", "检查", "所见", "怎么办"),
            [(marks[each.ok], each.name, each.seen, each.advice or "") for each in findings],
        ),
    )
    raise typer.Exit(0 if healthy else 1)


def _packages() -> Iterator[Finding]:
    listed = files("deploy.local").joinpath("packages.txt").read_text(encoding="utf-8")
    names = [line.partition("#")[0].strip() for line in listed.splitlines()]
    # npm also comes with a nodejs from elsewhere, as in bootstrap.sh
    wanted = [name for name in names if name and not (name == "npm" and shutil.which("npm"))]
    if shutil.which("dpkg-query") is None:
        yield Finding(name="系统软件包", ok=None, seen="不是 Debian 系统，未检查")
        return
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    missing = sorted(
        set(wanted) - {line.split()[0] for line in shown if line.endswith(" installed")}
    )
    yield Finding(
        name="系统软件包",
        ok=not missing,
        seen="缺少 " + " ".join(missing) if missing else f"{len(wanted)} 个都已安装",
        advice="make setup" if missing else None,
    )


def _servers() -> Iterator[Finding]:
    stack = Stack.load()
    if stack is None or not any(row.pid for row in status()):
        yield Finding(name="消息总线、数据库", ok=None, seen="没有运行，未检查", advice="zhida up")
        return
    ready = stack.broker.is_ready() if stack.broker else _reachable(stack.amqp_uri)
    yield Finding(
        name="消息总线",
        ok=ready,
        seen="RabbitMQ 可用" if ready else "RabbitMQ 没有应答",
        advice=None if ready else "zhida up；日志 .zhida/logs/rabbitmq.log",
    )
    for service in SERVICES:
        yield _database(service, stack.database_urls[service])
    for row in status():
        if row.ready is not None:
            yield Finding(
                name=f"程序 {row.name}",
                ok=row.ready,
                seen="就绪" if row.ready else f"未就绪（{row.state}）",
                advice=None if row.ready else f"zhida up；日志 .zhida/logs/{row.name}.log",
            )


def _database(service: str, url: str) -> Finding:
    from services.chassis import migrate  # loads slowly; only this command needs it

    name = f"数据库 {service}"
    try:
        with contextlib.closing(psycopg2.connect(url, connect_timeout=5)):
            current = migrate.at_head(service, url)
    except psycopg2.OperationalError as error:
        why = str(error).strip().splitlines()[0]
        return Finding(name=name, ok=False, seen=f"连不上：{why}", advice="zhida up")
    return Finding(
        name=name,
        ok=current,
        seen="表结构是最新的" if current else "表结构不是最新的",
        advice=None if current else "zhida up（会更新表结构）",
    )


def _calendar() -> Iterator[Finding]:
    if not any(row.name == "cases" and row.ready for row in status()):
        yield Finding(name="工作日历", ok=None, seen="案件服务没有运行，未检查", advice="zhida up")
        return
    today = ask_unsigned(ReadClock(), service="cases").today
    year = today.year + (today.month == LAST_MONTH)
    published = ask_unsigned(ReadCalendar(year=year)).status == "published"
    yield Finding(
        name="工作日历",
        ok=published,
        seen=f"{year} 年放假安排" + ("已载入" if published else "未载入，期限暂按周末和法定假日算"),
        advice=None if published else "公布后运行 zhida calendar load",
    )


def _fonts() -> Iterator[Finding]:
    if shutil.which("fc-list") is None:
        yield Finding(name="中文字体", ok=False, seen="没有 fc-list", advice="make setup")
        return
    shown = subprocess.run(
        ["fc-list", ":lang=zh-cn", "family"], capture_output=True, text=True, check=False
    ).stdout.split("\n")
    families = {line.split(",")[0] for line in shown if line}
    noto = sorted(name for name in families if "CJK SC" in name)
    yield Finding(
        name="中文字体",
        ok=bool(noto),
        seen="、".join(noto[:2]) if noto else "没有 Noto CJK 字体，文书和截图会缺字",
        advice=None if noto else "make setup",
    )


def _disk() -> Iterator[Finding]:
    for place in {RESULTS if RESULTS.exists() else Path.cwd(), Path("/var/lib")}:
        free = shutil.disk_usage(place).free / 1e9
        enough = free >= LEAST_DISK_GB
        yield Finding(
            name=f"磁盘 {place}",
            ok=enough,
            seen=f"余 {free:.1f} GB",
            advice=None if enough else f"请腾出 {LEAST_DISK_GB} GB 以上",
        )


def _secrets() -> Iterator[Finding]:
    for file in (KEYS, RESULTS / "stack.json", RESULTS / "session"):
        if file.exists():
            private = file.stat().st_mode & 0o077 == 0
            yield Finding(
                name=f"文件 {file.name}",
                ok=private,
                seen="只有本人可读" if private else "别人也可读",
                advice=None if private else f"chmod 600 {file}",
            )


def _reachable(amqp_uri: str) -> bool:
    address = urlsplit(amqp_uri)
    usual = 5671 if address.scheme == "amqps" else 5672
    return is_open(address.port or usual, address.hostname or "127.0.0.1")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _packages,
    _servers,
    _calendar,
    _fonts,
    _disk,
    _secrets,
)
