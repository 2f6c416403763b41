"""`zhida keys`: rotating keys while everything runs."""

import json
import subprocess
import sys
from typing import Annotated, Any

import typer

from deploy.local import keys as kept_keys
from deploy.local import stack
from services.chassis import key_rings
from services.chassis.discovery import NAMES
from services.cli.output import Json, notes, present
from services.contracts.errors import Conflict, Invalid, Unavailable

group = typer.Typer()
keys = typer.Typer(help="密钥轮换（在运行直达的机器上）", no_args_is_help=True)
group.add_typer(keys, name="keys")

KINDS = ("fields", "index", "audit", "transit", "actor")
STEPS = ("add", "activate", "retire")


@keys.command("rotate")
def rotate(
    kind: Annotated[
        str,
        typer.Argument(help="fields 字段、index 检索、audit 审计、transit 传递、actor 令牌签名"),
    ],
    service: Annotated[
        str | None, typer.Option(help="只轮换这个服务的字段、检索或审计密钥；不写则四个服务")
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="只做一步：add、activate、retire；不写则做到启用新密钥为止")
    ] = None,
    as_json: Json = False,
) -> None:
    """换新密钥，业务不停：先分发，再启用；字段密钥还会把已有密文全部换到新密钥下，并撤去旧密钥。

    检索密钥（index）例外：逐个服务停下几秒，重算后再启动；期间的事件在队列里等。
    """
    _check(kind, service, step)
    services = (service,) if service else NAMES
    running = stack.Stack.load()
    if running is None:
        raise Unavailable("这台机器上没有运行直达", advice="先运行 zhida up")
    if kind == "index":
        reindexed = [_reindex(name) for name in services]
        present(reindexed, as_json, lambda: _said_of_index(reindexed))
        return
    done: dict[str, Any] = {"kind": kind, "steps": []}
    for name in (step,) if step else ("add", "activate"):
        _take(kind, services, name)
        done["steps"].append(name)
    if kind == "fields" and step in (None, "activate"):
        done["reencrypted"] = [_reencrypt(running, name) for name in services]
        if step is None:
            _take(kind, services, "retire")
            done["steps"].append("retire")
    present(done, as_json, lambda: _said(kind, services, done))


def _check(kind: str, service: str | None, step: str | None) -> None:
    if kind not in KINDS:
        raise Invalid(f"没有 {kind} 这种密钥", field="kind", advice=f"可选：{'、'.join(KINDS)}")
    if step is not None and step not in STEPS:
        raise Invalid(f"没有 {step} 这一步", field="step", advice=f"可选：{'、'.join(STEPS)}")
    if service is not None and service not in NAMES:
        raise Invalid(f"没有服务 {service}", field="service", advice=f"可选：{'、'.join(NAMES)}")
    if kind == "audit" and step == "retire":
        raise Conflict("审计密钥不撤：旧封印要用旧密钥核对")
    if kind == "index" and step is not None:
        raise Invalid("检索密钥一次换完，不分步", field="step")


def _reindex(service: str) -> dict[str, Any]:
    notes.print(f"{service}：停下，换检索密钥，再启动")
    kept_keys.change(stack.KEYS, lambda known: key_rings.begin_index(service, known))
    with stack.halted([service]):
        running = stack.Stack.load()
        assert running is not None
        done = subprocess.run(
            [sys.executable, "-m", "services.chassis.reindexing", service],
            env=running.environment(service),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 2) or not done.stdout:
            # whether it was written is not known: the next key stays, the service waits for it
            raise RuntimeError(done.stderr.strip()[-1000:])
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        taken = done.returncode == 0
        kept_keys.change(stack.KEYS, lambda known: key_rings.end_index(service, known, taken=taken))
    if not taken:
        raise Conflict(report["refused"], advice="没有改动，旧密钥仍在用")
    return report


def _said_of_index(reports: list[dict[str, Any]]) -> str:
    lines = []
    for report in reports:
        rows = dict(report["rows"])
        left = rows.pop("left")
        lines.append(f"{report['service']}：{sum(rows.values())} 个检索值已换到新密钥")
        if left:
            lines.append(f"  {left} 个的原号码已不在库中，保持原样，不再能按号码对上")
    return "\n".join(lines)


def _take(kind: str, services: tuple[str, ...], name: str) -> None:
    notes.print({"add": "分发新密钥", "activate": "启用新密钥", "retire": "撤去旧密钥"}[name])
    if kind == "fields" and name == "retire":
        running = stack.Stack.load()
        assert running is not None
        for service in services:
            _reencrypt(running, service)  # nothing may be left under the key that goes
    kept_keys.change(stack.KEYS, lambda known: key_rings.step(kind, services, name, known))
    stack.restart(key_rings.rotation(kind, services).holders)


def _reencrypt(running: stack.Stack, service: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "services.chassis.reencryption", service],
        env=running.environment(service),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(done.stderr.strip()[-1000:])
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if report["left"]:
        raise Conflict(
            f"{service} 还有 {report['left']} 行正被占用，没有换到新密钥",
            advice="旧密钥未撤，请稍后再运行一次",
        )
    return report


def _said(kind: str, services: tuple[str, ...], done: dict[str, Any]) -> str:
    lines = ["已启用新密钥" if "activate" in done["steps"] else "已完成"]
    lines.extend(
        f"{report['service']}：重新加密 {sum(report['rows'].values())} 行"
        for report in done.get("reencrypted", [])
    )
    if "retire" not in done["steps"]:
        when = key_rings.rotation(kind, services).retire_after
        lines.append(f"旧密钥可撤去的时间：{when}（--step retire）")
    return "\n".join(lines)
