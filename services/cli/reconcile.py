"""`zhida reconcile`: do the services hold the same, and did every event arrive?"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec
import typer

from services.chassis.discovery import NAMES
from services.cli import session
from services.cli.output import Json, notes, present, table
from services.contracts.commands.common import Stock, TakeStock
from services.contracts.money import yuan

group = typer.Typer()

LOOK_EVERY_S = 3.0
MARKS = {True: "[green]✓[/]", False: "[red]✗[/]"}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison: what its owner says, what another holds, and whether that is the same."""

    what: str
    owner: str
    said: str
    holder: str
    held: str
    same: bool


@group.command()
def reconcile(
    wait: Annotated[int, typer.Option(help="最多等几秒，让在途的事件到达")] = 60,
    every: Annotated[bool, typer.Option("--all", help="相符的也列出")] = False,
    as_json: Json = False,
) -> None:
    """核对各服务：人员、家庭、待遇的数量和版本，付款与账目，事件的发出与到达；不符时退出码为 1。"""
    ends = time.monotonic() + wait
    with notes.status("核对中") as progress:
        while True:
            lines = list(compare([session.call(TakeStock(), service=name) for name in NAMES]))
            wrong = [line for line in lines if not line.same]
            if not wrong or time.monotonic() >= ends:
                break
            progress.update(f"{len(wrong)} 项还不相符，等在途的事件")
            time.sleep(LOOK_EVERY_S)
    shown = lines if every else wrong
    present(
        {"ok": not wrong, "compared": len(lines), "lines": shown},
        as_json,
        lambda: (
            table(
                ("", "项目", "以谁为准", "数量", "核对", "数量"),
                [
                    (MARKS[each.same], each.what, each.owner, each.said, each.holder, each.held)
                    for each in shown
                ],
                title=f"{len(lines)} 项，不符 {len(wrong)} 项",
            )
            if shown
            else f"{len(lines)} 项全部相符"
        ),
    )
    raise typer.Exit(1 if wrong else 0)


def compare(stocks: Sequence[Stock]) -> Iterator[Line]:
    """Everything that can be held against something else, the same or not."""
    yield from _holdings(stocks)
    for stock in stocks:
        for books in stock.balances:
            yield Line(
                what=books.name,
                owner=stock.service,
                said=f"{yuan(books.left)} 元",
                holder=stock.service,
                held=f"{yuan(books.right)} 元",
                same=books.left == books.right,
            )
    yield from _events(stocks)


def _holdings(stocks: Sequence[Stock]) -> Iterator[Line]:
    owned = {
        tally.name: tally
        for stock in stocks
        for tally in stock.tallies
        if tally.owner == stock.service
    }
    for stock in stocks:
        for tally in stock.tallies:
            if tally.owner == stock.service:
                continue
            own = owned[tally.name]
            same = own.digest == tally.digest
            other = "" if own.count != tally.count or same else "（版本不同）"
            yield Line(
                what=tally.name,
                owner=tally.owner,
                said=str(own.count),
                holder=stock.service,
                held=f"{tally.count}{other}",
                same=same,
            )


def _events(stocks: Sequence[Stock]) -> Iterator[Line]:
    """Of each queue and type: how many were published for it, how many have reached it."""
    for stock in stocks:
        yield Line(
            what="待发事件",
            owner=stock.service,
            said="0",
            holder=stock.service,
            held=str(stock.outbox),
            same=stock.outbox == 0,
        )
    for stock in stocks:
        arrived = Counter[tuple[str, str]]()
        for row in stock.arrived:
            arrived[row.queue, row.type] += row.count
        for queue, kinds in stock.takes.items():
            for kind, owner, count in _published(stocks, kinds):
                yield Line(
                    what=kind,
                    owner=owner,
                    said=str(count),
                    holder=queue,
                    held=str(arrived[queue, kind]),
                    same=arrived[queue, kind] >= count,
                )


def _published(stocks: Sequence[Stock], kinds: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    for stock in stocks:
        counts = Counter[str]()
        for row in stock.published:
            counts[row.type] += row.last
        for kind in kinds:
            if counts[kind]:
                yield kind, stock.service, counts[kind]
