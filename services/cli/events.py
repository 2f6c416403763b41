"""`zhida events`: what no handler could take, and sending it back."""

from typing import Annotated

import typer

from services.chassis.discovery import NAMES
from services.cli import session
from services.cli.output import Json, present, table
from services.contracts.commands.common import DeadLetter, ListDeadLetters, RedriveDeadLetters
from services.contracts.errors import NotFound

group = typer.Typer()
events = typer.Typer(help="事件与死信", no_args_is_help=True)
dead_letters = typer.Typer(help="处理不了而搁置的事件（死信）", no_args_is_help=True)
events.add_typer(dead_letters, name="dead-letters")
group.add_typer(events, name="events")


@dead_letters.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="每个队列最多列出几条")] = 50,
    as_json: Json = False,
) -> None:
    """列出四个服务的死信。"""
    found = _all(limit)
    present(
        found,
        as_json,
        lambda: (
            table(
                ("队列", "事件", "编号", "尝试次数", "时间", "原因"),
                [(d.queue, d.type, d.event_id, d.attempts, d.died_at, d.reason) for d in found],
            )
            if found
            else "没有死信"
        ),
    )


@dead_letters.command("show")
def show(event_id: str, as_json: Json = False) -> None:
    """看一条死信的内容；密封字段保持密封。"""
    letter = next((letter for letter in _all(1000) if letter.event_id == event_id), None)
    if letter is None:
        raise NotFound(f"没有编号为 {event_id} 的死信", field="event_id")
    present(letter, as_json, lambda: f"{letter.reason}\n{letter.body}")


@dead_letters.command("redrive")
def redrive(
    queue: Annotated[str, typer.Argument(help="队列名，如 funding.on_case_decided")],
    event_id: Annotated[str | None, typer.Option(help="只送回这一条")] = None,
    as_json: Json = False,
) -> None:
    """把死信送回原队列重新处理；已生效过的不会再生效。"""
    service = queue.split(".", 1)[0]
    command = RedriveDeadLetters(queue=queue, event_id=event_id)
    count = session.call(command, service=service)
    present({"redriven": count}, as_json, lambda: f"已送回 {count} 条")


def _all(limit: int) -> list[DeadLetter]:
    return [
        letter
        for name in NAMES
        for letter in session.call(ListDeadLetters(limit=limit), service=name)
    ]
