"""Backup and restore tried on a running stack: ``python -m tests.several.restore``.

Registry alone goes back: the others' copies give way to the raised epoch, and what only they know
is shown. Then all four go back together, and everything agrees.
"""

import shutil
import sys

from tests.several.__main__ import HOME, Load, Missed, open_desks, say, select, until  # first: home

# ruff: isort: split
from functools import partial

from deploy.local import backup, stack
from deploy.local.servers import SERVICES
from services.cli.demo.world import World
from services.cli.reconcile import Line, compare
from services.contracts.commands.common import TakeStock
from services.contracts.commands.registry import TellAgain

KEPT, LOST, AFTER = 40, 10, 5


def main() -> int:
    """Run once; the exit code."""
    folder = HOME.parent / "several-backup"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        stack.erase()
        stack.up(lambda _: None, replicas=1, brokers=1)
        running = stack.Stack.load()
        assert running is not None
        world = open_desks(running)
        load = Load(world)
        register(load, KEPT)
        until("the services agree", lambda: not differences(world), 120)
        made = backup.save(running, folder, hours=24)
        say(f"backup: {sum(made.events.values())} events beside the four databases")
        register(load, LOST)
        until("the services agree", lambda: not differences(world), 120)
        registry_alone(world, load, folder)
        everything(world, load, folder)
    except Missed as missed:
        say(f"MISSED: {missed}")
        return 1
    finally:
        stack.down()
    return 0


def registry_alone(world: World, load: Load, folder: backup.Path) -> None:
    """The copies take the older state; people whom registry has forgotten are shown."""
    put_back(folder, ["registry"])
    before = {(line.what, line.holder) for line in differences(world)}
    if ("人员", "funding") not in before:
        raise Missed(f"registry is {LOST} people short and reconcile does not say so: {before}")
    told = world.client.call(TellAgain(), token=world["admin"].signed_in.token)
    register(load, AFTER)
    epoch = stack.Stack.load().epochs["registry"]  # type: ignore[union-attr]
    url = world.stack.database_urls["funding"]
    until(
        "funding takes registry's word again",
        lambda: (
            select(url, f"SELECT count(*) FROM person WHERE epoch = {epoch}") == [(KEPT + AFTER,)]
        ),
        120,
    )
    until("only the forgotten differ", lambda: forgotten_only(world), 120)
    say(f"registry alone: {told.events} events told again under epoch {told.epoch}")


def forgotten_only(world: World) -> bool:
    """Whether what differs is exactly the people (and what hangs on them) whom registry lost."""
    return {
        (line.what, line.holder, int(line.held.split("（")[0]) - int(line.said))
        for line in differences(world)
    } == {
        ("人员", "cases", LOST),
        ("人员", "funding", LOST),
        ("人员", "notify", LOST),
        ("家庭", "cases", LOST),
        ("家庭", "funding", LOST),
        ("电话", "notify", LOST),
    }


def everything(world: World, load: Load, folder: backup.Path) -> None:
    """All four as they were, and they go on from there."""
    put_back(folder, list(SERVICES))
    until("the services agree", lambda: not differences(world), 120)
    (people,) = select(world.stack.database_urls["registry"], "SELECT count(*) FROM person")
    if people != (KEPT,):
        raise Missed(f"{KEPT} people were backed up, {people[0]} came back")
    register(load, AFTER)
    until("the services agree", lambda: not differences(world), 120)
    say("all four: they agree, and go on")


def put_back(folder: backup.Path, services: list[str]) -> None:
    """What `zhida restore` does."""
    stack.down()
    stack.raise_epochs(services)
    refill = partial(backup.put_back, folder=folder, services=services)
    stack.up(lambda _: None, refill=refill)


def register(load: Load, count: int) -> None:
    """So many more households."""
    token = load.world["clerk"].signed_in.token
    for _ in range(count):
        load.next += 1
        load.register(load.world.client, token, load.next)
    if load.refused:
        raise Missed(f"refused: {load.refused[:3]}")


def differences(world: World) -> list[Line]:
    """What `zhida reconcile` would print."""
    token = world["admin"].signed_in.token
    stocks = [world.client.call(TakeStock(), token=token, service=name) for name in SERVICES]
    return [line for line in compare(stocks) if not line.same]


if __name__ == "__main__":
    sys.exit(main())
