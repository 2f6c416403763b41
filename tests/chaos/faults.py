"""The rows of the fault matrix: what is hurt, and what the city must do about it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amqp

from deploy.local.servers import SERVICES
from services.chassis import amqp_io, archive
from services.chassis.archive import ORIGIN_EXCHANGE
from services.cli.demo import money
from services.contracts.commands import funding
from services.contracts.commands.common import ReadClock, RedriveDeadLetters
from services.contracts.errors import Unauthenticated, Unavailable
from tests.chaos import invariants
from tests.chaos.invariants import Witness
from tests.chaos.load import Answered, Load, Town
from tests.chaos.stage import Stage
from tests.chaos.wire import Mood


@dataclass
class Scene:
    """What a row may hurt, and where it notes what it saw."""

    stage: Stage
    town: Town
    load: Load
    answered: Answered
    witness: Witness
    rng: random.Random
    short: bool
    seen: dict[str, float | str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def expect(self, held: object, words: str) -> None:
        """Note a contradiction unless it held."""
        if not held:
            self.wrong.append(words)

    def eventually(self, true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Wait for something; a contradiction when it does not come."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            if time.monotonic() > deadline:
                self.wrong.append(f"not within {seconds:.0f} s: {what}")
                return None
            time.sleep(0.05)
        return found

    def work_on(self, least: float, most: float) -> None:
        """Let the city work for a while that the dice decide."""
        time.sleep(self.rng.uniform(least, most))

    def alive(self) -> None:
        """Every service is alive by its own word, broker and database away or not."""
        for name in SERVICES:
            self.expect(self.stage.answers(name, "/livez") == 200, f"{name} is not alive")


Hurt = Callable[[Scene], None]

DEATHS = ("before_commit", "after_commit", "before_ack", "after_publish")
"""Steps at which a service is ordered to die: see ``failpoints``."""


@dataclass(frozen=True)
class Row:
    """A row of the matrix. ``hurt`` returns when the fault is over."""

    number: str
    title: str
    hurt: Hurt
    named: str
    alert: str
    """The rule in ``deploy/prometheus`` that tells of it if it lasts; empty: nobody need come."""
    allowed_s: float = 60.0
    month: bool = True
    kills: bool = False
    """Whether service processes end because of the fault; in no other row may one end."""
    leave_out: int = 0
    """Lines the bank leaves out of its first answer."""
    afterwards: Hurt | None = None
    """Once the load has ended."""


# 1 -- processes ---------------------------------------------------------------------------------


def kill_at_every_step(scene: Scene) -> None:
    """Each service dies at each step, a different one at a time; then in the middle of a month."""
    steps = list(DEATHS)
    scene.rng.shuffle(steps)
    for turn in range(1 if scene.short else len(steps)):
        orders = {}
        for place, name in enumerate(SERVICES):
            step = steps[(turn + place) % len(steps)]
            orders[name, step] = scene.stage.order(name, step, scene.rng.randrange(3))
        deadline = time.monotonic() + 180
        while any(order.exists() for order in orders.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for (name, step), order in orders.items():
            if order.exists():
                order.unlink(missing_ok=True)
                scene.wrong.append(f"{name} never came to {step}")
        for name in SERVICES:
            scene.stage.until_ready(name)
    if not scene.short:
        _kill_in_mid_month(scene)
    scene.seen["deaths"] = sum(scene.stage.keeper.starts(name) - 1 for name in SERVICES)


def _kill_in_mid_month(scene: Scene) -> None:
    """The child that computes; its parent while the child runs on; notify at 10, 50 and 90 %."""
    for whom in ("child", "parent"):
        child = scene.eventually(lambda: _child_of(scene.stage.keeper.pid("funding")), whom, 30)
        if child is None:
            return
        victim = child if whom == "child" else scene.stage.keeper.pid("funding")
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        scene.stage.until_ready("funding")
    lines = scene.eventually(
        lambda: scene.stage.number(
            "funding", "SELECT max(file_lines) FROM batch WHERE state IN ('sent', 'settled')"
        ),
        "a bank file",
        240,
    )
    heard = "SELECT count(*) FROM message WHERE template LIKE 'payment%%'"
    before = scene.stage.number("notify", heard)
    for part in (0.1, 0.5, 0.9):
        goal = before + part * (lines or 0) / 2
        deadline = time.monotonic() + 60
        while scene.stage.number("notify", heard) < goal and time.monotonic() < deadline:
            time.sleep(0.01)
        scene.stage.keeper.kill("notify")
        scene.stage.until_ready("notify")


def _child_of(pid: int) -> int | None:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                if b"services.chassis.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return None


# 2-5 -- the broker ------------------------------------------------------------------------------


def kill_broker(scene: Scene) -> None:
    """kill -9, and the same node again."""
    scene.stage.end_server("rabbitmq", signal.SIGKILL)
    scene.work_on(0.5, 2)
    scene.stage.start_server("rabbitmq")


@contextlib.contextmanager
def frozen(stage: Stage, server: str) -> Iterator[None]:
    """SIGSTOP to a server and all its children; SIGCONT at the end."""
    family = stage.family(server)
    try:
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def freeze_broker(scene: Scene) -> None:
    """The broker neither answers nor goes."""
    before = {name: scene.stage.log(name).count("relay_interrupted") for name in SERVICES}
    with frozen(scene.stage, "rabbitmq"):
        time.sleep(13 if scene.short else 20)
        scene.alive()
        gave_up = [n for n in SERVICES if scene.stage.log(n).count("relay_interrupted") > before[n]]
        scene.expect("registry" in gave_up, "registry's relay still waits for a confirm")


def cut_off_broker(scene: Scene) -> None:
    """Nothing passes between services and broker, and nobody is told."""
    scene.stage.broker_wire.set(Mood.SILENCE)
    time.sleep(20)
    scene.alive()
    scene.stage.broker_wire.set(Mood.CARRY)


def cut_off_database(scene: Scene) -> None:
    """Nothing passes between services and databases, and nobody is told; then it is cut."""
    scene.stage.database_wire.set(Mood.SILENCE)
    time.sleep(15)
    scene.alive()
    scene.stage.database_wire.set(Mood.CARRY)
    scene.stage.database_wire.cut()


def disk_alarm(scene: Scene) -> None:
    """The broker takes nothing in until the alarm clears."""
    try:
        scene.stage.ctl("set_disk_free_limit", "100000GB")
        began = time.monotonic()
        connection = amqp_io.connect(scene.stage.servers.amqp_uri)
        amqp_io.drop(connection)
        scene.expect(time.monotonic() - began < 15, "dropping a connection hangs under the alarm")
        time.sleep(15)
        scene.alive()
        for name in SERVICES:
            scene.expect(scene.stage.answers(name) == 200, f"{name} says it is not ready")
    finally:
        scene.stage.ctl("set_disk_free_limit", "50MB")


def fill_a_queue(scene: Scene) -> None:
    """Funding is down and its queue takes twenty messages: registry keeps the rest."""
    stage, broker = scene.stage, scene.stage.servers.broker
    policy = {
        "vhost": stage.vhost,
        "name": "chaos-full",
        "pattern": "^funding\\.copies$",
        "apply-to": "queues",
        "priority": 10,
        "definition": {"max-length": 20},
    }
    broker.define({"policies": [policy]})
    stage.keeper.end("funding")
    try:
        kept = scene.eventually(
            lambda: stage.number("registry", "SELECT count(*) FROM outbox") > 10,
            "registry's outbox keeps what the queue refuses",
            120,
        )
        if kept:
            scene.seen["kept"] = stage.number("registry", "SELECT count(*) FROM outbox")
    finally:
        stage.ctl("clear_policy", "-p", stage.vhost, "chaos-full")
        stage.keeper.begin("funding")
        stage.until_ready("funding")


# 6-8 -- the wire --------------------------------------------------------------------------------


def swallow_answers(scene: Scene) -> None:
    """What is said arrives, the answer does not, then the connection is reset: broker, database."""
    for _ in range(3 if scene.short else 6):
        for wire in (scene.stage.broker_wire, scene.stage.database_wire):
            wire.set(Mood.SWALLOW)
            scene.work_on(0.2, 0.8)
            wire.cut()
            wire.set(Mood.CARRY)
            scene.work_on(0.5, 1.5)


def repeat_under_load(scene: Scene) -> None:
    """Hundreds of old deliveries come again, shuffled, while new ones come."""
    scene.witness.read()
    scene.seen["repeated under load"] = _repeat(scene, 300, times=2)


def repeat_at_rest(scene: Scene) -> None:
    """With nothing else going on everything comes five times, shuffled: no table changes."""
    invariants.until_quiet(scene.stage)
    scene.witness.read()
    before = invariants.fingerprint(scene.stage)
    scene.seen["repeated at rest"] = _repeat(scene, 400 if scene.short else 3000, times=5)
    invariants.until_quiet(scene.stage)
    after = invariants.fingerprint(scene.stage)
    changed = [table for table in before if before[table] != after[table]]
    scene.expect(not changed, f"repeats changed {', '.join(changed)}")
    scene.seen["tables compared"] = len(before)


def _repeat(scene: Scene, events: int, *, times: int) -> int:
    """Send the latest events to their queues again, each so many times, in any order."""
    letters = [
        (archive._copy(message, **{ORIGIN_EXCHANGE: said.exchange}), "", queue)
        for said, message in list(scene.witness.latest)[-events:]
        for queue in invariants.bound_to(said)
        for _ in range(times)
    ]
    scene.rng.shuffle(letters)
    connection = amqp_io.connect(scene.stage.servers.amqp_uri)
    try:
        publisher = amqp_io.ConfirmedPublisher(connection)
        for start in range(0, len(letters), 500):
            publisher.publish(letters[start : start + 500])
    finally:
        amqp_io.drop(connection)
    return len(letters)


def delete_queues(scene: Scene) -> None:
    """By hand: a work queue, a retry queue, a binding."""
    connection = amqp_io.connect(scene.stage.servers.amqp_uri)
    try:
        channel = connection.channel()
        channel.queue_delete("funding.copies")
        channel.queue_delete("cases.copies.retry.500ms")
        channel.queue_unbind("notify.copies", "registry.internal", "person.contact_changed.v1.#")
    finally:
        amqp_io.drop(connection)
    for name in ("funding", "cases", "notify"):
        scene.eventually(
            lambda name=name: scene.stage.metric(name, "zhida_queue_refills_total") > 0,  # type: ignore[misc]
            f"{name} gives its queue back what it lost",
        )


# 9-11 -- what is asked of consumers and partners ------------------------------------------------

POISON = (
    (b"{", "person.recorded.v1"),
    (b"{}", "person.recorded.v1"),
    (b'{"a": 1}', "person.dreamt.v7"),
    (b"\xff\xfe", "person.died.v1"),
)


def poison(scene: Scene) -> None:
    """Bad bodies, unknown types, and a handler that fails: the others are not held up."""
    stage = scene.stage
    connection = amqp_io.connect(stage.servers.amqp_uri)
    try:
        publisher = amqp_io.ConfirmedPublisher(connection)
        for number, (body, kind) in enumerate(POISON):
            for queue in ("funding.copies", "cases.copies"):
                event_id = f"00000000-0000-7000-8000-{number:012d}"
                bad = amqp.Message(
                    body,
                    delivery_mode=2,
                    message_id=event_id,
                    application_headers={"cloudEvents:id": event_id, "cloudEvents:type": kind},
                )
                publisher.publish_one(bad, "", queue)
    finally:
        amqp_io.drop(connection)
    order = stage.order("funding", "refuse", "funding.on_case_decided")
    dead = "funding.on_case_decided.dead"
    scene.eventually(lambda: invariants.dead_letters(stage).get(dead, 0), "a dead letter", 90)
    began = time.monotonic()
    person = scene.load.register()
    scene.eventually(
        lambda: stage.number(
            "funding", "SELECT count(*) FROM person WHERE person_id = %s", str(person)
        ),
        "others are not held up",
        10,
    )
    scene.seen["others' delay s"] = round(time.monotonic() - began, 2)
    order.unlink()
    scene.expect(stage.metric("funding", "zhida_dead_letters_total") >= 5, "the metric is silent")


def redrive(scene: Scene) -> None:
    """The cause is mended: what was laid aside takes effect; what is rubbish is looked at."""
    stage, token = scene.stage, scene.town["admin"].signed_in.token
    queue = "funding.on_case_decided"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        count = scene.town.client.call(
            RedriveDeadLetters(queue=queue), token=token, service="funding"
        )
        scene.seen["redriven"] = float(scene.seen.get("redriven", 0)) + count
        if not invariants.waiting(stage) and not invariants.dead_letters(stage).get(
            f"{queue}.dead"
        ):
            break
        time.sleep(0.5)
    letters = invariants.dead_letters(stage)
    expected = {f"{name}.copies.dead": len(POISON) for name in ("funding", "cases")}
    scene.expect(letters == expected, f"dead letters are {letters}, should be {expected}")
    connection = amqp_io.connect(stage.servers.amqp_uri)
    try:
        channel = connection.channel()
        for name in letters:
            while (letter := channel.basic_get(name, no_ack=True)) is not None:
                reason = (letter.headers or {}).get("x-death-reason")
                scene.expect(reason, f"a letter in {name} without a reason")
    finally:
        amqp_io.drop(connection)


def dawdle(scene: Scene) -> None:
    """Notify takes half a second more for each batch."""
    stage = scene.stage
    pid = stage.keeper.pid("notify")
    before, interrupted = _rss(pid), stage.log("notify").count("consumer_interrupted")
    order = stage.order("notify", "dawdle", 0.5)
    behind = 0
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        behind = max(behind, stage.lying_in("notify.copies"))
        time.sleep(1)
    order.unlink()
    ratio = _rss(pid) / before
    scene.seen |= {"memory ×": round(ratio, 2), "behind": behind}
    scene.expect(ratio <= 1.5, f"memory grew {ratio:.1f} times")
    now = stage.log("notify").count("consumer_interrupted")
    scene.expect(now == interrupted, "the slow consumer lost its connection")


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def gateway_trouble(scene: Scene) -> None:
    """The SMS gateway takes and does not answer; then refuses; the bank leaves lines out."""
    wire = scene.stage.mail_wire
    for _ in range(3):
        wire.set(Mood.SWALLOW)
        scene.work_on(1, 2)
        wire.cut()
        wire.set(Mood.CARRY)
        scene.work_on(0.5, 1)
    wire.set(Mood.REFUSE)
    scene.work_on(3, 5)
    wire.set(Mood.CARRY)


def unanswered_lines(scene: Scene) -> None:
    """The bank left lines out: they stay asked after, are answered later, and count once."""
    stage, clerk = scene.stage, scene.town["funding_clerk"]
    ((batch, lines),) = stage.rows(
        "funding",
        """SELECT id::text, file_lines FROM batch WHERE kind = 'monthly'
           ORDER BY serial DESC LIMIT 1""",
    )
    open_lines = "SELECT count(*) FROM payment WHERE batch_id = %s AND state = 'sent'"
    scene.seen["left out by the bank"] = left = stage.number("funding", open_lines, batch)
    scene.expect(
        0 < left < lines, f"{left} of {lines} lines are open after a return file with gaps"
    )
    bank_file, return_file = scene.answered.bank_files[-1]
    full = return_file.with_name(f"full-{return_file.name}")
    money.bank(bank_file, full, scene.town.seed, money.FAIL_ONE_IN)
    moved = []
    for _ in range(2):
        clerk.ask(funding.SettleBatch(batch=batch, file_id=clerk.upload("funding", full)))
        moved.append(stage.number("funding", "SELECT count(*) FROM transfer"))
    scene.answered.bank_files[-1] = (bank_file, full)
    scene.expect(moved[0] == moved[1], "the same return file again moved money")
    scene.expect(stage.number("funding", open_lines, batch) == 0, "lines are still open")


def messages_arrived(scene: Scene) -> None:
    """Every message that counts as sent is at the gateway."""
    from deploy.local import mailbox

    unanswered_lines(scene)
    invariants.until_quiet(scene.stage)
    there = [mail.message_id for mail in mailbox.read(scene.stage.mail)]
    sent = scene.stage.rows(
        "notify",
        "SELECT id::text FROM message WHERE channel IN ('sms', 'mail')"
        " AND status IN ('sent', 'delivered')",
    )
    known = {message_id.strip("<>").partition("@")[0] for message_id in there}
    lost = [row[0] for row in sent if row[0] not in known]
    scene.expect(not lost, f"{len(lost)} of {len(sent)} messages sent are not at the gateway")
    scene.seen["sent twice, same id"] = len(there) - len(set(there))


# 12-14 -- the databases -------------------------------------------------------------------------


def stop_database(scene: Scene) -> None:
    """``pg_ctl stop -m immediate``: no checkpoint, every session cut; then started again."""
    scene.stage.end_server("postgres", signal.SIGQUIT)
    scene.work_on(0.5, 2)
    scene.alive()
    scene.stage.start_server("postgres")


def stuck_database(scene: Scene) -> None:
    """Frozen; a lock not given back; no connection left: an answer in time, never a hang."""
    stage, token = scene.stage, scene.town["admin"].signed_in.token
    with frozen(stage, "postgres"):
        time.sleep(8)
        scene.alive()
    scene.work_on(1, 2)
    with stage.held("registry", "LOCK TABLE person IN ACCESS EXCLUSIVE MODE"):
        began = time.monotonic()
        with contextlib.suppress(Unavailable):
            scene.town.client.call(
                _any_registration(scene), token=scene.town["town_clerk"].signed_in.token, timeout=30
            )
            scene.wrong.append("a request behind a lock was answered with yes")
        waited = time.monotonic() - began
    scene.seen["answer behind a lock s"] = round(waited, 1)
    scene.expect(waited < 20, f"a request behind a lock waited {waited:.0f} s")
    admin = stage.servers.cluster.connect()
    with contextlib.closing(admin), admin.cursor() as cursor:
        cursor.execute("ALTER ROLE zhida_funding CONNECTION LIMIT 1")
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'zhida_funding'"
        )
        try:
            began = time.monotonic()
            answers = []
            for _ in range(4):
                try:
                    scene.town.client.call(ReadClock(), token=token, service="funding", timeout=20)
                    answers.append("ok")
                except Unavailable:
                    answers.append("unavailable")
            scene.seen["without connections"] = ",".join(sorted(set(answers)))
            scene.expect(time.monotonic() - began < 60, "requests hang without connections")
            time.sleep(4)
        finally:
            cursor.execute("ALTER ROLE zhida_funding CONNECTION LIMIT -1")


def _any_registration(scene: Scene) -> Any:
    from services.contracts.commands.registry import NewMember, RegisterHousehold
    from tests.chaos.load import identity_of

    number = identity_of(scene.answered.next_serial())
    member = NewMember(name="试锁", identity_number=number, relation="户主")
    return RegisterHousehold(division=scene.town.village, members=(member,))


# 16-18 -- clocks, rights, resources -------------------------------------------------------------


def wrong_clocks(scene: Scene) -> None:
    """Registry an hour slow, funding an hour fast, then all of them across midnight and back."""
    stage = scene.stage
    library = faketime_library()
    files = {name: stage.folder / f"{name}.faketime" for name in SERVICES}
    for name, path in files.items():
        path.write_text("+0")
        stage.keeper.restart(
            name,
            {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(path),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_NO_CACHE": "1",
            },
        )
    for name in SERVICES:
        stage.until_ready(name)
    for slow, fast in (("-3600", "+3600"), ("-7200", "-7200")):
        files["registry"].write_text(slow)
        files["cases"].write_text(slow)
        files["funding"].write_text(fast)
        scene.work_on(4, 6)
    for path in files.values():
        path.write_text("+0")


def a_day_ahead(scene: Scene) -> None:
    """Funding a day ahead: tokens of today are refused there, and the month is not paid again."""
    stage = scene.stage
    (stage.folder / "funding.faketime").write_text("+86400")
    clerk = scene.town["funding_clerk"]
    month = stage.rows("funding", "SELECT max(month) FROM batch WHERE kind = 'monthly'")[0][0]
    try:
        clerk.ask(funding.ComputeBatch(batch=month))
        scene.wrong.append("a token of yesterday was taken")
    except Unauthenticated as error:
        scene.seen["a day ahead"] = error.message
    for name in SERVICES:
        stage.keeper.restart(name)
    for name in SERVICES:
        stage.until_ready(name)


def faketime_library() -> str:
    """The library of PyPI's libfaketime that is preloaded."""
    import libfaketime

    (found,) = Path(libfaketime.__file__).parent.rglob("libfaketime.so*")
    return str(found)


def revoke_the_user(scene: Scene) -> None:
    """The services' broker users have other passwords, and every connection is closed."""
    broker = scene.stage.servers.broker
    before = {name: len(scene.stage.log(name)) for name in SERVICES}
    try:
        for name in SERVICES:
            scene.stage.ctl("change_password", name, "another")
        scene.stage.ctl("close_all_connections", "--global", "rotated")
        scene.eventually(
            lambda: all("AccessRefused" in scene.stage.log(n)[before[n] :] for n in SERVICES),
            "every service says that it is refused",
            60,
        )
        scene.alive()
        scene.eventually(
            lambda: all(scene.stage.answers(name) == 503 for name in SERVICES),
            "no service says that it is ready",
            30,
        )
    finally:
        for name in SERVICES:
            scene.stage.ctl("change_password", name, broker.password_of(name))


def starve(scene: Scene) -> None:
    """Notify eats until the kernel kills it; funding gets a twentieth of a processor."""
    stage = scene.stage
    starts = stage.keeper.starts("notify")
    with cgroup("memory", stage.keeper.pid("notify")) as group:
        limit = (_rss(stage.keeper.pid("notify")) * 4096) + 60_000_000
        (group / "memory.limit_in_bytes").write_text(str(limit))
        order = stage.order("notify", "hog", 400_000_000)
        killed = scene.eventually(
            lambda: stage.keeper.starts("notify") > starts, "the kernel kills notify", 40
        )
        order.unlink(missing_ok=True)
        scene.expect(killed, "nothing was killed for want of memory")
    stage.until_ready("notify")
    with cgroup("cpu", stage.keeper.pid("funding")) as group:
        (group / "cpu.cfs_quota_us").write_text("5000")
        time.sleep(12)
    scene.alive()


@contextlib.contextmanager
def cgroup(controller: str, pid: int) -> Iterator[Path]:
    """A control group with one process in it, gone at the end."""
    root = Path("/sys/fs/cgroup") / controller
    group = root / f"zhida-chaos-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(left)
        for _ in range(50):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


# -- the matrix ----------------------------------------------------------------------------------

MATRIX: tuple[Row, ...] = (
    Row(
        "1",
        "each service killed at each step",
        kill_at_every_step,
        "started again; what was not committed is done again, what was is known by the inbox, "
        "the outbox and the idempotency key",
        "ProcessDown",
        allowed_s=30,
        kills=True,
    ),
    Row(
        "2",
        "broker killed and started again",
        kill_broker,
        "consumers and relays connect again; the outbox keeps; requests are asked again",
        "BrokerDown",
        allowed_s=30,
    ),
    Row(
        "3",
        "broker frozen",
        freeze_broker,
        "the relay gives up waiting for confirms in 8 s and sends again afterwards",
        "OutboxStuck",
    ),
    Row(
        "4",
        "services cut off from the broker, in silence",
        cut_off_broker,
        "as a frozen broker: timeouts, never a thread that hangs",
        "OutboxStuck",
    ),
    Row(
        "4d",
        "services cut off from the databases, in silence",
        cut_off_database,
        "requests end in 'unavailable'; a batch of events waits and is no attempt",
        "RequestsFail",
    ),
    Row(
        "5",
        "disk alarm of the broker",
        disk_alarm,
        "readiness stays; the outbox grows; requests, which go through the broker, time out",
        "BrokerAlarm",
    ),
    Row(
        "6",
        "a queue is full",
        fill_a_queue,
        "the broker refuses, the relay keeps the events and tries again with growing pauses",
        "QueueGrows",
        kills=True,
    ),
    Row(
        "7",
        "answers swallowed, then the connection reset",
        swallow_answers,
        "published again, claimed once; a request asked again with its key gets the first answer",
        "",
    ),
    Row(
        "8",
        "deliveries five times and in any order",
        repeat_under_load,
        "no table changes",
        "",
        afterwards=repeat_at_rest,
    ),
    Row(
        "9",
        "poison: bad bodies, unknown types, a failing handler",
        poison,
        "laid aside with the reason; the others are not held up; redrive brings them back",
        "DeadLetters",
        afterwards=redrive,
        month=False,
    ),
    Row(
        "10",
        "slow consumer",
        dawdle,
        "never more than 600 in hand, memory bounded, heartbeats kept",
        "QueueGrows",
    ),
    Row(
        "11",
        "SMS gateway that does not answer; bank that leaves lines out",
        gateway_trouble,
        "sent again under the same message id; open lines are asked after, never paid anew",
        "MailServerAway",
        leave_out=5,
        afterwards=messages_arrived,
    ),
    Row(
        "12",
        "database stopped at once and started again",
        stop_database,
        "no commit lost; consumers keep their batch and wait; requests end in 'unavailable'",
        "RequestsFail",
        allowed_s=15,
    ),
    Row(
        "14",
        "database frozen, a lock held, no connection left",
        stuck_database,
        "lock and statement limits fire; an answer in time, never a hang",
        "RequestsFail",
    ),
    Row(
        "16",
        "clocks an hour and a day off",
        wrong_clocks,
        "no month is paid twice; events and timers go on; tokens of another day are refused",
        "ClockSkewed",
        afterwards=a_day_ahead,
        kills=True,
    ),
    Row(
        "17",
        "broker user revoked",
        revoke_the_user,
        "refused access is said in the log, readiness falls; all goes on when the right is back",
        "ConsumerAway",
    ),
    Row(
        "18",
        "killed for want of memory; starved of processor",
        starve,
        "as a kill; slow, but nothing is lost",
        "ProcessDown",
        kills=True,
    ),
    Row(
        "Q",
        "queues and a binding deleted by hand",
        delete_queues,
        "made again at the next look and refilled from the archives",
        "QueueLost",
    ),
)

SHORT = ("1", "2", "3", "7", "8", "9", "12")
"""The rows that stand in ``make test``."""

NOT_HERE: dict[str, str] = {
    "13": "failover of PostgreSQL is the operator's (CloudNativePG); no second server stands here",
    "15": "disks that fill need a file system of their own; not tried",
    "19": "a rolling upgrade is tried by make k8s",
    "20": "backup and restore are tried by the tests of zhida backup and zhida reconcile",
}
"""Rows of the matrix that are not run here, and why."""
