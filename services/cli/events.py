"""`zhida events`: what the bus could not deliver."""

from typing import Annotated

import typer

from deploy.local import SERVICES
from services.cli.output import Json, present, table
from services.cli.session import call
from services.contracts.commands.common import DeadLetter, ListDeadLetters, RedriveDeadLetters
from services.contracts.errors import Invalid, NotFound

group = typer.Typer(name="events", help="事件总线", no_args_is_help=True)
dead_letters = typer.Typer(help="处理不了、留待人工的事件", no_args_is_help=True)
group.add_typer(dead_letters, name="dead-letters")

Limit = Annotated[int, typer.Option(help="每个队列最多列几条")]


@dead_letters.command("list")
def list_letters(
    service: Annotated[str | None, typer.Option(help="只看一个服务")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """列出全部死信：队列、事件、原因、次数。"""
    found = _letters(_chosen(service), limit)
    present(
        {"dead_letters": found},
        as_json,
        lambda: (
            table(
                ("队列", "事件编号", "类型", "原因", "次数", "时间"),
                [
                    (each.queue, each.event_id, each.type, each.reason, each.attempts, each.died_at)
                    for each in found
                ],
            )
            if found
            else "没有死信"
        ),
    )


@dead_letters.command()
def show(
    event_id: Annotated[str, typer.Argument(help="事件编号")],
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """一条死信的全部内容；密封字段仍是密封的。"""
    found = [each for each in _letters(SERVICES, limit) if each.event_id == event_id]
    if not found:
        raise NotFound(
            f"没有编号为 {event_id} 的死信", advice="用 zhida events dead-letters list 查看"
        )
    present(
        {"dead_letters": found},
        as_json,
        lambda: table(
            ("项目", "内容"),
            [
                row
                for each in found
                for row in (
                    ("队列", each.queue),
                    ("类型", each.type),
                    ("原因", each.reason),
                    ("次数", each.attempts),
                    ("时间", each.died_at),
                    ("内容", each.body),
                )
            ],
        ),
    )


@dead_letters.command()
def redrive(
    queue: Annotated[str, typer.Argument(help="队列，如 funding.reactions")],
    event_id: Annotated[str | None, typer.Option(help="只重投这一条")] = None,
    as_json: Json = False,
) -> None:
    """把死信送回原队列重新处理；已经生效过的不会再次生效。"""
    service = queue.partition(".")[0]
    sent = call(RedriveDeadLetters(queue=queue, event_id=event_id), service=_chosen(service)[0])
    present({"redriven": sent}, as_json, lambda: f"已重投 {sent} 条")


def _letters(services: tuple[str, ...], limit: int) -> list[DeadLetter]:
    return [
        letter for each in services for letter in call(ListDeadLetters(limit=limit), service=each)
    ]


def _chosen(service: str | None) -> tuple[str, ...]:
    if service is None:
        return SERVICES
    if service not in SERVICES:
        raise Invalid(f"没有名为 {service} 的服务", advice="可选：" + "、".join(SERVICES))
    return (service,)
