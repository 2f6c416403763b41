"""The main job in its order: roster, applications, a month paid, the next computed, a death."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg2

from deploy import bureaus as joining
from deploy.local import keys, mailbox, stack
from deploy.local.stack import Stack
from services.chassis.bureaus import Bureau
from services.chassis.client import Client
from services.cli import sample_roster
from services.cli.demo import applications, cast, evidence, money
from services.cli.demo.evidence import Batch, Evidence
from services.cli.demo.world import World, eventually
from services.contracts.commands import funding, notify
from services.contracts.commands.registry import FindByIdentity, ImportRoster
from services.contracts.errors import Conflict

FIRST_MONTH = "2026-11"
DIED_ON = date(2026, 12, 6)
SAMPLE = Path(joining.__file__).parent / "samples" / "python" / "bureau.py"
"""A bureau's own program: it knows nothing of ours but its connection sheet."""

SIGNED_FOR = "公安机关死亡登记"

Say = Callable[[str], None]
Opening = Callable[[int, int, Path, Say], World]


@dataclass
class Told:
    """What the story found out on its way."""

    world: World
    roster: Path
    outcomes: applications.Outcomes
    cycle: money.Paid
    repayment: money.Paid | None
    next_batch: funding.BatchView
    dead_person_id: str
    death_to_stop_ms: float
    carried_over: int
    households: int
    counts: notify.MessageCounts


def play(people: int, seed: int, folder: Path, say: Say, opened: Opening | None = None) -> Told:
    """Everything from an empty machine to the last message; ``opened`` gives another stage than
    a stack of this machine."""
    clock: dict[str, float] = {}
    with _stage(clock, "start", say, "启动服务"):
        world = (opened or _open)(people, seed, folder, say)
    world.seconds = clock
    with _stage(clock, "accounts", say, "开设岗位账号"):
        cast.enter(world)
        world.set_clock(applications.ACCEPTED_ON)
        money.endow(world)
    roster = folder / "roster.xlsx"
    with _stage(clock, "roster", say, f"生成 {people} 人的虚拟花名册"):
        sample_roster.write(people, seed, roster)
    with _stage(clock, "import", say, "检查并导入花名册"):
        report = _import(world, roster)
    with _stage(clock, "carry_over", say, "存量待遇经案件进入资金"):
        _settle_down(world)
    with _stage(clock, "cases", say, "办理五件申请"):
        outcomes = applications.run(world)
        money.replenish(world, "洪财社〔2026〕3号")
        _settle_down(world)
    with _stage(clock, "cycle", say, "2026年11月发放：测算、检查、两人签字、银行文件、回盘"):
        world.set_clock(money.COMPUTED_ON)
        world["funding_clerk"].ask(funding.OpenBatch(month=money.CYCLE))
        paid = money.pay(world, money.CYCLE, "洪财社〔2026〕11号", folder)
    with _stage(clock, "repayment", say, "核实失败账户并补发"):
        repaid = _repay(world, paid, folder)
    with _stage(clock, "next_cycle", say, "2026年12月测算"):
        world.set_clock(money.NEXT_COMPUTED_ON)
        world["funding_clerk"].ask(funding.OpenBatch(month=money.NEXT_CYCLE))
        money.compute(world, money.NEXT_CYCLE)
    with _stage(clock, "death", say, "公安通报一人死亡，当月停发"):
        _settle_down(world)
        person_id, milliseconds = _death(world, roster)
        following = money.compute(world, money.NEXT_CYCLE)
    with _stage(clock, "messages", say, "等消息发完"):
        _settle_down(world)
        counts = _all_told(world)
    return Told(
        world=world,
        roster=roster,
        outcomes=outcomes,
        cycle=paid,
        repayment=repaid,
        next_batch=following,
        dead_person_id=person_id,
        death_to_stop_ms=milliseconds,
        carried_over=report.carried_over,
        households=report.households,
        counts=counts,
    )


def gather(told: Told) -> Evidence:
    """Where the checks look."""
    here = told.world.stack
    assert here.broker is not None
    again = told.repayment
    return Evidence(
        database_urls=here.database_urls,
        broker=here.broker,
        vhost=vhost(here),
        roster=told.roster,
        mail=stack.MAIL,
        logs=stack.LOGS,
        cycle=_batch(told.cycle),
        repayment=_batch(again) if again else None,
        next_batch_id=str(told.next_batch.batch_id),
        dead_person_id=told.dead_person_id,
        first_month=FIRST_MONTH,
    )


def _batch(paid: money.Paid) -> Batch:
    return Batch(str(paid.batch.batch_id), paid.bank_file, paid.return_file)


def vhost(here: Stack) -> str:
    """The vhost the stack's services share."""
    return urlsplit(here.amqp_uri).path.removeprefix("/") or "/"


@contextmanager
def _stage(seconds: dict[str, float], name: str, say: Say, words: str) -> Iterator[None]:
    say(words)
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 2)


def _open(people: int, seed: int, folder: Path, say: Say) -> World:
    """A fresh stack and its first administrator, who exists before anybody can sign in."""
    stack.erase()
    folder.mkdir(parents=True, exist_ok=True)
    here = stack.up(say)
    password = secrets.token_urlsafe(12)
    subprocess.run(
        [sys.executable, "-m", "services.registry.first_admin", "--keep-password"],
        input=password + "\n",
        text=True,
        env=here.environment("registry"),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    world = World(here, Client(here.amqp_uri), folder, people, seed)
    world.sign_in("admin", "admin", password)
    return world


def _import(world: World, roster: Path) -> Any:
    importer = world["county_decider"]
    file_id = importer.upload("registry", roster)
    report = importer.ask(ImportRoster(file_id=file_id, first_month=FIRST_MONTH))
    if report.import_id is None:
        raise RuntimeError(f"花名册有 {report.rejected} 行被拒绝：{report.errors[:3]}")
    return report


def _settle_down(world: World) -> None:
    """Wait until no event is on its way: outboxes and queues stand empty, twice in a row.

    Patience is for standstill: a whole city's events are waited for as long as they take effect.
    """
    probe = _Quiet(world.stack)
    while probe.moved:
        probe.moved = False
        with suppress(Conflict):
            eventually("事件全部处理完", probe.holds)
            return
    raise Conflict("等不到：事件全部处理完", advice="查看 .zhida/demo/logs 里的服务日志")


class _Quiet:
    """Whether nothing moves."""

    def __init__(self, here: Stack) -> None:
        self._stack = here
        self._before: list[int | None] = []
        self.moved = True

    def holds(self) -> bool:
        """Nothing waits, and nothing took effect since the last look."""
        waiting: list[int | None] = self._each("SELECT min(id) FROM outbox")
        said = any(waiting)
        now = waiting if said else self._each("SELECT count(*) FROM inbox")
        still = not said and now == self._before and not self._on_its_way()
        self.moved = self.moved or now != self._before
        self._before = now
        return still

    def _each(self, question: str) -> list[int | None]:
        answers = []
        for url in self._stack.database_urls.values():
            with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
                cursor.execute(question)
                answers += [answer for (answer,) in cursor.fetchall()]
        return answers

    def _on_its_way(self) -> int:
        assert self._stack.broker is not None
        return sum(
            int(queue.get("messages", 0))
            for queue in self._stack.broker.queues(vhost(self._stack))
            if not queue["name"].endswith((".archive", ".dead", ".published"))
            and not queue["name"].startswith("bureau.")  # a bureau takes its own time
        )


def _repay(world: World, paid: money.Paid, folder: Path) -> money.Paid | None:
    """New accounts for what failed, by two persons each; then a batch of its own."""
    if not paid.answer.failed:
        return None
    world.set_clock(money.RETURNED_ON)
    money.mend_accounts(world, paid.batch.batch_no)
    _settle_down(world)
    world.set_clock(money.REPAID_ON)
    opened = world["funding_clerk"].ask(funding.OpenRepayment(batch=paid.batch.batch_no))
    return money.pay(world, opened.batch_no, "洪财社〔2026〕12号", folder, fail_one_in=0)


def _death(world: World, roster: Path) -> tuple[str, float]:
    """Public security tells of a death from a process and broker user of its own."""
    assert world.stack.broker is not None
    row = next(
        row
        for row in reversed(evidence.sheet(roster))
        if row["待遇项目"] == "特困" and row["与户主关系"] == "户主"
    )
    number = str(row["身份证号"])
    person = world["county_decider"].ask(FindByIdentity(identity_number=number))
    assert person is not None
    police = Bureau(
        name="public_security",
        title="洪湖市公安局",
        division=person.division[:6],
        may_see=("person.registered",),
    )
    sheet = joining.add(
        world.stack.broker.management(vhost(world.stack)),
        police,
        address=f"amqp://{world.stack.broker.host}:{world.stack.broker.amqp_port}",
        public_key=keys.kept(stack.KEYS)["BUREAU_PUBLIC_KEY"],
    )
    joining.write_entry(stack.bureaus_file(), police)
    file = world.folder / "public_security.json"
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(sheet))
    told = {
        "--certificate": "GA-2026-1206-001",
        "--died-on": DIED_ON.isoformat(),
        "--division": person.division,
    }
    sent = subprocess.run(
        [sys.executable, str(SAMPLE), str(file), "death", *chain.from_iterable(told.items())],
        input=number,
        capture_output=True,
        text=True,
        check=True,
    )
    confirmed_at = json.loads(sent.stdout)["confirmed_at"]
    stopped_at = eventually(
        "资金停发", lambda: _committed(world.stack, str(person.person_id)), patience_s=60
    )
    return str(person.person_id), round((stopped_at.timestamp() - confirmed_at) * 1000, 1)


def _committed(here: Stack, person_id: str) -> datetime | None:
    """When funding's transaction that stopped the person was committed, by its own database."""
    when = "SELECT pg_xact_commit_timestamp(xmin) FROM stop WHERE person_id = %s"
    url = here.database_urls["funding"]
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(when, (person_id,))
        row = cursor.fetchone()
    return row[0] if row else None


def _all_told(world: World) -> notify.MessageCounts:
    """Wait until no message is still to be sent."""

    def done() -> notify.MessageCounts | None:
        counts = world["leader"].ask(notify.CountMessages())
        moving = sum(
            row.messages for row in counts.by_status if row.status in ("created", "sending")
        )
        return None if moving else counts

    return eventually("消息发完", done)


def read_back() -> int:
    """How many different messages the mail server holds."""
    return len({mail.message_id for mail in mailbox.read(stack.MAIL)})
