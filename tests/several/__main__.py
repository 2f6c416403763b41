"""Starts the stack, hurts it while households are registered, and reads the end from what stands.

Prints a line a fault with the seconds until all was whole again; exit code 1 when anything was
lost or doubled, or a bound was missed.
"""

# ruff: noqa: E402 - the stack's home is chosen before it is imported
import os
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".zhida" / "several"
os.environ["ZHIDA_HOME"] = str(HOME)
os.environ.setdefault("ZHIDA_PATIENCE", "600")  # sixteen processes on a busy machine

import argparse
import json
import random
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from threading import Event, Thread

import httpx
import psycopg2

from deploy.local import stack
from deploy.local.broker import Broker
from deploy.local.stack import Stack
from services.chassis import archive, topology
from services.chassis.arrivals import label_of
from services.chassis.client import Client
from services.chassis.discovery import NAMES
from services.chassis.relay import LOCK_KEY
from services.cli.demo.world import World
from services.cli.reconcile import Line, compare
from services.contracts.actors import Role
from services.contracts.commands.common import ListDeadLetters, TakeStock
from services.contracts.commands.registry import (
    AppointStaff,
    NewMember,
    OpenAccount,
    RegisterHousehold,
)
from services.contracts.errors import Unavailable, ZhidaError
from tests.builders.roster import identity

REPLICAS, NODES, CLERKS = 2, 3, 3
WHOLE_S = 60.0
"""Until a lost process or node is back and everything takes part again."""
RELAY_S = 15.0
"""Until a frozen relay is replaced."""


class Missed(AssertionError):
    """A promise did not hold."""


def main() -> int:
    """Run once; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    seed = parser.parse_args().seed
    say(f"seed {seed}")
    chance = random.Random(seed)
    try:
        stack.erase()
        stack.up(lambda _: None, replicas=REPLICAS, brokers=NODES)
        running = Stack.load()
        assert running is not None
        world = open_desks(running)
        load = Load(world)
        with load.under_way():
            lose_a_replica_of_each(running, chance)
            lose_a_node(running, chance)
            freeze_a_relay(running, chance)
        check(world, load)
    except Missed as missed:
        say(f"MISSED: {missed}")
        return 1
    finally:
        stack.down()
    return 0


def say(words: str) -> None:
    """A line of the report, with the machine's load beside it."""
    sys.stdout.write(f"{words}  [load {os.getloadavg()[0]:.1f}]\n")
    sys.stdout.flush()


# -- the load ---------------------------------------------------------------------------------


def open_desks(running: Stack) -> World:
    """The first administrator, a village officer, and a clerk who registers."""
    password = secrets.token_urlsafe(12)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "services.registry.first_admin", "--keep-password"],
        input=password + "\n",
        text=True,
        env=running.environment("registry"),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    world = World(running, Client(running.amqp_uri), HOME, 0, 0)
    admin = world.sign_in("admin", "admin", password)
    for number, (desk, role, digits) in enumerate(
        (("officer", Role.VILLAGE_OFFICER, 12), ("clerk", Role.TOWN_CLERK, 9)), start=1
    ):
        scope = world.village[:digits]
        admin.ask(
            AppointStaff(
                staff_no=f"S{number:03d}",
                name="罗小满" if number == 1 else "郑玉兰",
                division=scope,
                roles=(role,),
                scopes=(scope,),
                phone="13971650001",
            )
        )
        secret = secrets.token_urlsafe(12)
        admin.ask(
            OpenAccount(staff_no=f"S{number:03d}", account=desk, password=secret, must_change=False)
        )
        world.sign_in(desk, desk, secret)
    return world


class Load:
    """Clerks who register households, each until it is answered: the same key, again and again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.registered = 0
        self.asked_again = 0
        self.refused: list[str] = []
        self.next = 0
        self._stop = Event()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Register for as long as the block runs."""
        began = time.monotonic()
        clerks = [Thread(target=self._work, args=(number,)) for number in range(CLERKS)]
        for clerk in clerks:
            clerk.start()
        try:
            yield
        finally:
            self._stop.set()
            for clerk in clerks:
                clerk.join()
        seconds = time.monotonic() - began
        say(
            f"load: {self.registered} households in {seconds:.0f} s,"
            f" {self.asked_again} asked again with the same key, {len(self.refused)} refused"
        )

    def _work(self, clerk: int) -> None:
        client = Client(self.world.stack.amqp_uri, pool_size=1)
        token = self.world["clerk"].signed_in.token
        number = clerk
        while not self._stop.is_set():
            self.register(client, token, number)
            number += CLERKS
        client.close()

    def register(self, client: Client, token: str, number: int) -> None:
        """One household, asked until it is answered."""
        born = date(1950, 1, 1) + timedelta(days=number // 400)
        request = RegisterHousehold(
            division=self.world.village,
            members=(
                NewMember(
                    name="向长河",
                    identity_number=identity(number % 400 + 1, born.strftime("%Y%m%d")),
                    relation="户主",
                    phone="13971650002",
                ),
            ),
        )
        key = str(uuid.uuid4())
        while True:
            try:
                client.call(request, token=token, key=key, timeout=10)
            except Unavailable:
                self.asked_again += 1
                continue
            except ZhidaError as error:
                self.refused.append(f"{error.code}: {error.message}")
                return
            self.registered += 1
            return


# -- the faults -------------------------------------------------------------------------------


def lose_a_replica_of_each(running: Stack, chance: random.Random) -> None:
    """kill -9 of one process of each service, one after the other."""
    for name in NAMES:
        victim = chance.choice([each for each in running.ours if each.partition("-")[0] == name])
        pid = pid_of(victim)
        os.kill(pid, signal.SIGKILL)
        seconds = until(
            f"{victim} is back", lambda v=victim, old=pid: pid_of(v) not in (0, old) and ready(v)
        )
        say(f"kill -9 {victim}: whole after {seconds:.1f} s")


def lose_a_node(running: Stack, chance: random.Random) -> None:
    """kill -9 of one RabbitMQ node."""
    node = chance.choice(running.nodes)
    others = [each for each in running.nodes if each is not node]
    pid = node.pid()
    os.kill(pid, signal.SIGKILL)
    served = until("a request is answered", lambda: answered(running))
    seconds = until("the cluster is whole", lambda: whole(others[0], running))
    say(f"kill -9 {node.program}: served after {served:.1f} s, whole after {seconds:.1f} s")


def freeze_a_relay(running: Stack, chance: random.Random) -> None:
    """SIGSTOP of the process that holds a service's relay, until the other has taken over."""
    name = chance.choice(("registry", "funding"))
    holder = until_found(lambda: relaying(running, name))
    pid = pid_of(holder)
    session = relay_session(running, name)
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        other = until_found(
            lambda: next((each for each in [relaying(running, name, besides=holder)] if each), None)
        )
        seconds = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    if relay_session(running, name) == session:
        raise Missed("the frozen relay still holds its session")
    until("the thawed process is ready", lambda: ready(holder))
    holders = [each for each in replicas(running, name) if metric(running, each)]
    until("one relay is left", lambda: [relaying(running, name)] == [other])
    say(f"SIGSTOP {holder}: {other} relays after {seconds:.1f} s (holders seen: {holders})")
    if seconds > RELAY_S:
        raise Missed(f"a frozen relay was replaced after {seconds:.1f} s, not within {RELAY_S} s")


def pid_of(program: str) -> int:
    """The process of a program of the stack; 0 while there is none."""
    return next(row.pid for row in stack.status() if row.name == program)


def ready(program: str) -> bool:
    """Whether it says so itself."""
    return bool(next(row.ready for row in stack.status() if row.name == program))


def replicas(running: Stack, name: str) -> list[str]:
    """The processes of a service."""
    return [each for each in running.ours if each.partition("-")[0] == name]


def metric(running: Stack, program: str) -> bool:
    """Whether this process says that it relays."""
    try:
        page = httpx.get(f"{running.address(program)}/metrics", timeout=2).text
    except httpx.HTTPError:
        return False
    return any(
        line.startswith("zhida_relay_active{") and line.endswith(" 1.0")
        for line in page.splitlines()
    )


def relaying(running: Stack, name: str, *, besides: str = "") -> str | None:
    """Which process of a service relays."""
    others = (each for each in replicas(running, name) if each != besides)
    return next((each for each in others if metric(running, each)), None)


def relay_session(running: Stack, name: str) -> int | None:
    """The database session that holds the relay's lock; there is never more than one."""
    rows = select(
        running.database_urls[name],
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
        f" AND objid = {LOCK_KEY} AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    return int(rows[0][0]) if rows else None


def select(url: str, sql: str) -> list[tuple[int, ...]]:
    """Rows of a database of the stack."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def answered(running: Stack) -> bool:
    """Whether registry answers a request, through whichever node."""
    client = Client(running.amqp_uri)
    try:
        client.call(TakeStock(), service="registry", timeout=5)
    except Unavailable:
        return False
    except ZhidaError:
        return True  # it says that nobody is signed in: it has answered
    finally:
        client.close()
    return True


def whole(seen_from: Broker, running: Stack) -> bool:
    """All nodes up and every process ready."""
    try:
        nodes = seen_from.running_nodes()
    except (OSError, RuntimeError, httpx.HTTPError):
        return False
    return nodes == NODES and all(row.ready is not False for row in stack.status())


def until(what: str, holds: Callable[[], bool], patience: float = WHOLE_S) -> float:
    """Seconds until something holds; `Missed` when it does not in time."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > patience:
            raise Missed(f"{what}: not within {patience:.0f} s")
        time.sleep(0.2)
    return time.monotonic() - began


def until_found(look: Callable[[], str | None]) -> str:
    """The first answer."""
    found: list[str] = []

    def holds() -> bool:
        answer = look()
        if answer:
            found.append(answer)
        return bool(answer)

    until("a relay", holds)
    return found[0]


# -- what must hold at the end ----------------------------------------------------------------


def check(world: World, load: Load) -> None:
    """Nothing lost, nothing doubled, one number for one event, no dead letter."""
    if load.refused:
        raise Missed(f"refused: {load.refused[:3]}")
    admin = world["admin"]

    def differences() -> list[Line]:
        token = admin.signed_in.token
        stocks = [world.client.call(TakeStock(), token=token, service=name) for name in NAMES]
        return [line for line in compare(stocks) if not line.same]

    seconds = until("the services agree", lambda: not differences(), 120)
    say(f"reconcile: no difference, {seconds:.1f} s after the last request")
    (people,) = select(
        world.stack.database_urls["registry"],
        "SELECT count(*), count(DISTINCT household_id) FROM person",
    )
    if people != (load.registered, load.registered):
        raise Missed(f"{load.registered} answered, {people} people and households stored")
    letters = [
        letter
        for name in NAMES
        for letter in world.client.call(
            ListDeadLetters(), token=admin.signed_in.token, service=name
        )
    ]
    if letters:
        raise Missed(f"dead letters: {[letter.reason for letter in letters[:3]]}")
    numbers = published_numbers(world.stack)
    say(f"archives: {sum(numbers.values())} numbers, each of one event")
    say(json.dumps({"households": load.registered, "asked_again": load.asked_again}))


def published_numbers(running: Stack) -> Counter[str]:
    """How many numbers each exchange gave; `Missed` when two events have one, or one has two."""
    found: Counter[str] = Counter()
    since = datetime.now(UTC) - timedelta(hours=2)
    for producer in NAMES:
        for exchange in topology.exchanges_of(producer):
            events = defaultdict(set)
            for chunk in archive.read_stream(running.owner_uri, topology.archive(exchange), since):
                for message in chunk:
                    message.delivery_info["exchange"] = exchange
                    if label := label_of(message):
                        events[label].add(message.properties["message_id"])
            doubled = {label: ids for label, ids in events.items() if len(ids) > 1}
            if doubled:
                raise Missed(f"numbers given twice on {exchange}: {list(doubled)[:3]}")
            found[exchange] = len(events)
    return found


if __name__ == "__main__":
    sys.exit(main())
