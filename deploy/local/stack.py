"""The whole of Zhida on one machine: servers, migrations, services, portal; up, down, status."""

import contextlib
import fcntl
import http.client
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from deploy.local import keys, programs
from deploy.local.accounts import PROJECT, RESULTS, account, state_root
from deploy.local.broker import Broker, with_free_ports
from deploy.local.cluster import Cluster
from deploy.local.ports import free_ports, is_held_by, keep_or_replace, next_free
from deploy.local.programs import Program
from deploy.local.servers import SERVICES, wait_until
from deploy.local.supervision import Supervisor
from services.chassis.keys import visible_to

FILE = RESULTS / "stack.json"
KEYS = RESULTS / "keys.env"
BUREAUS = RESULTS / "bureaus.toml"
SANDBOX = RESULTS / "sandbox"
"""The test key and the entries of the bureaus that try: `zhida bureau sandbox`."""
LOGS = RESULTS / "logs"
MAIL = RESULTS / "mail"
"""The mailbox that stands for the outside world when no mail server is given: `mailbox.read`."""
PORTAL = "portal"
PORTAL_PORT = 8000
MAILBOX = "mailbox"
SHELL = "shell"
OURS = (*SERVICES, PORTAL)
EPOCH_BEGINS = 1_767_225_600
"""2026-01-01T00:00Z in Unix time."""

DRAIN_SECONDS = 60
"""How long a service may finish what it has in hand before it is killed."""

Say = Callable[[str], None]


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything stands; saved as `.zhida/stack.json`, readable by its owner alone."""

    amqp_uri: str
    """For the person at the shell: may ask the services, and nothing else."""
    database_urls: dict[str, str]
    ports: dict[str, int]
    """Of each service the port of its health and metrics; of the portal its pages, and beside it
    (`portal.metrics`) its metrics; of the mailbox where it takes mail."""
    mode: str
    broker: Broker | None
    cluster: Cluster | None
    more_nodes: tuple[Broker, ...] = ()
    """The nodes beside the first when RabbitMQ is a cluster."""
    replicas: int = 1
    """Of each service and of the portal."""
    epochs: dict[str, int] = msgspec.field(default_factory=dict)
    """Raised when a service's database was restored: others then take its older state as newer."""

    @classmethod
    def load(cls) -> Self | None:
        """The stack of this clone, running or not; None when there never was one."""
        try:
            return msgspec.json.decode(FILE.read_bytes(), type=cls)
        except FileNotFoundError:
            return None

    def save(self) -> None:
        """Write it where `load` finds it."""
        draft = FILE.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(self)))
        draft.replace(FILE)

    @property
    def nodes(self) -> tuple[Broker, ...]:
        """Our own RabbitMQ's nodes; none when an outside one is used."""
        return () if self.broker is None else (self.broker, *self.more_nodes)

    def owner_url(self, name: str) -> str:
        """The owner of a service's tables: ours, or that of `<SERVICE>_OWNER_DATABASE_URL`."""
        url = self.database_urls[name]
        if self.cluster is not None and url == self.cluster.url(name):
            return self.cluster.owner_url(name)
        return os.environ.get(f"{name.upper()}_OWNER_DATABASE_URL") or url

    @property
    def owner_uri(self) -> str:
        """RabbitMQ as a user who may do everything on our vhost: for backup and restore."""
        return ";".join(node.amqp_uri for node in self.nodes) or self.amqp_uri

    @property
    def ours(self) -> tuple[str, ...]:
        """The processes of the services and of the portal: `registry`, `registry-2`, …"""
        return tuple(
            name if number == 1 else f"{name}-{number}"
            for name in OURS
            for number in range(1, self.replicas + 1)
        )

    @property
    def portal_url(self) -> str:
        """Where people sign in."""
        return self.address(PORTAL)

    def address(self, name: str) -> str:
        """Where a service shows `/livez`, `/readyz` and `/metrics`; where the portal stands."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def metrics_port(self, name: str) -> int:
        """Where a process shows its metrics: the portal not where its pages are."""
        return self.ports.get(_metrics_of(name), self.ports[name])

    def environment(self, program: str) -> dict[str, str]:
        """What the process of a service, or of the portal, is told: its own secrets only."""
        name = service_of(program)
        told = {
            "AMQP_URI": ";".join(node.uri_of(name) for node in self.nodes) or self.amqp_uri,
            "ZHIDA_MODE": self.mode,
            "ZHIDA_BUREAUS": str(bureaus_file()),
            "HOME": str(Path.home()),
            "PYTHONUNBUFFERED": "1",
            **_passed_on(name),
            **visible_to(name, keys.kept(KEYS)),
        }
        if name == PORTAL:
            shown = f"127.0.0.1:{self.metrics_port(program)}"
            own = {"PORTAL_PORT": str(self.ports[program]), "PORTAL_METRICS_ADDRESS": shown}
            return {**told, **own}
        if name == "notify" and MAILBOX in self.ports:
            told["NOTIFY_SMTP_URL"] = f"smtp://127.0.0.1:{self.ports[MAILBOX]}"
        return {
            **told,
            f"{name.upper()}_DATABASE_URL": self.database_urls[name],
            "HEALTH_ADDRESS": f"127.0.0.1:{self.ports[program]}",
            f"{name.upper()}_EPOCH": str(self.epochs.get(name, 0)),
        }


def bureaus_file() -> Path:
    """The other bureaus' entries: ``ZHIDA_BUREAUS``, or this machine's own file."""
    return Path(os.environ.get("ZHIDA_BUREAUS") or BUREAUS)


def _metrics_of(program: str) -> str:
    return f"{program}.metrics"


def service_of(program: str) -> str:
    """`registry` of `registry-2`."""
    return program.partition("-")[0]


def replica_of(program: str) -> int:
    """2 of `registry-2`, 1 of `registry`."""
    return int(program.partition("-")[2] or 1)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one program stands. `ready` is None for what has no readiness of its own."""

    name: str
    state: str
    pid: int
    seconds: int
    ready: bool | None
    address: str | None


def up(
    say: Say,
    *,
    replicas: int | None = None,
    brokers: int | None = None,
    refill: Callable[[Stack], None] | None = None,
) -> Stack:
    """Bring everything up and wait until it is ready. What already runs is left alone.

    ``replicas`` of each service and ``brokers`` nodes of RabbitMQ are those of last time unless
    told; a cluster is made once and keeps its number of nodes. ``refill`` is called when the
    servers run and no service does yet.
    """
    with _alone():
        keeper, stack = _supervisor(), Stack.load()
        if stack is not None and brokers not in (None, max(1, len(stack.nodes))):
            raise RuntimeError("RabbitMQ 的节点数在第一次启动时确定；要改变请先 zhida down --erase")
        if stack is not None and keeper.is_running() and replicas not in (None, stack.replicas):
            raise RuntimeError("正在运行；要改变副本数请先 zhida down")
        if stack is None or not keeper.is_running():
            _end_leftovers(keeper)
            stack = _plan(stack, replicas, brokers)
            stack.save()
            _launch(keeper, stack, say)
        _start(keeper, [row.name for row in keeper.processes() if row.name not in stack.ours])
        _prepare_servers(keeper, stack)
        if refill is not None:
            refill(stack)
        _migrate(stack, say)
        say("启动服务和门户")
        stack = _open_portal(keeper, stack)
        for number in range(1, stack.replicas + 1):  # a replica joins what runs already
            names = [name for name in stack.ours if replica_of(name) == number]
            _start(keeper, names)
            for name in names:
                _await(keeper, name, partial(_is_ready, stack, name))
        return stack


def raise_epochs(names: Iterable[str]) -> None:
    """These services' databases were put back to an older state: what they tell counts as newer.

    Minutes since 2026, so that it rises even if `stack.json` was lost.
    """
    with _alone():
        stack = Stack.load()
        assert stack is not None
        now = int(time.time() - EPOCH_BEGINS) // 60
        raised = {name: max(now, stack.epochs.get(name, 0) + 1) for name in names}
        msgspec.structs.replace(stack, epochs={**stack.epochs, **raised}).save()


def down() -> bool:
    """Stop everything; the data stays. False when nothing ran."""
    with _alone():
        return _end_leftovers(_supervisor())


def restart(names: Iterable[str]) -> None:
    """Start services anew with the keys and settings of today: drained, and ready again."""
    with _alone():
        keeper, stack = _supervisor(), Stack.load()
        if stack is None or not keeper.is_running():
            return
        for name in _processes_of(stack, names):
            _program(stack, name).save(keeper.home)
            keeper.stop_together([name])
            keeper.start(name)
            _await(keeper, name, partial(_is_ready, stack, name))


@contextlib.contextmanager
def halted(names: Iterable[str]) -> Iterator[None]:
    """These services stand still within the block, then start with the keys of that moment."""
    with _alone():
        keeper, stack = _supervisor(), Stack.load()
        assert stack is not None
        going = _processes_of(stack, names) if keeper.is_running() else []
        keeper.stop_together(going)
        try:
            yield
        finally:
            for name in going:
                _program(stack, name).save(keeper.home)
                keeper.start(name)
        for name in going:
            _await(keeper, name, partial(_is_ready, stack, name))


def _processes_of(stack: Stack, names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [name for name in stack.ours if service_of(name) in wanted]


def erase() -> bool:
    """Stop everything; remove data, mail, logs and the keys to it; as `down`."""
    ran = down()
    for folder in (state_root(), MAIL, LOGS, SANDBOX):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (FILE, KEYS, BUREAUS, RESULTS / "session"):
        file.unlink(missing_ok=True)
    return ran


def status() -> list[Standing]:
    """Every program of the stack; empty when the stack is down."""
    stack = Stack.load()
    if stack is None:
        return []
    return [
        Standing(
            name=row.name,
            state=row.state,
            pid=row.pid,
            seconds=row.seconds,
            ready=_is_ready(stack, row.name) if row.name in stack.ours else None,
            address=stack.address(row.name) if row.name in stack.ours else None,
        )
        for row in _supervisor().processes()
    ]


def _plan(before: Stack | None, replicas: int | None, brokers: int | None) -> Stack:
    """The servers and ports of last time where they are still free, others else.

    `AMQP_URI` and `<SERVICE>_DATABASE_URL` of the environment stand instead of servers of ours.
    """
    folder = state_root() / f"stack-{secrets.token_hex(3)}"
    given = {name: os.environ.get(f"{name.upper()}_DATABASE_URL") for name in SERVICES}
    nodes, cluster = (before.nodes, before.cluster) if before else ((), None)
    replicas = replicas or (before.replicas if before else 1)
    if amqp_uri := os.environ.get("AMQP_URI"):
        nodes = ()
    else:
        nodes = with_free_ports(nodes) or Broker.plan(folder / "rabbitmq").peers(brokers or 1)
        amqp_uri = ";".join(node.uri_of(SHELL) for node in nodes)
    if all(given.values()):
        cluster = None
    else:
        cluster = cluster.with_free_port() if cluster else Cluster.plan(folder / "postgres")
    mode = os.environ.get("ZHIDA_MODE", "demo")
    extra = [f"{name}-{number}" for name in OURS for number in range(2, replicas + 1)]
    portals = [PORTAL, *(name for name in extra if service_of(name) == PORTAL)]
    names = [*SERVICES, MAILBOX, *extra, *map(_metrics_of, portals)]
    old = {name: port for name, port in (before.ports if before else {}).items() if name in names}
    ports = dict(zip(names, free_ports(len(names)), strict=True)) | old
    if mode == "production" or os.environ.get("NOTIFY_SMTP_URL"):
        del ports[MAILBOX]
    return Stack(
        amqp_uri=amqp_uri,
        database_urls={
            name: url or (cluster.url(name) if cluster else "") for name, url in given.items()
        },
        ports={**keep_or_replace(ports), PORTAL: next_free(PORTAL_PORT)},
        mode=mode,
        broker=nodes[0] if nodes else None,
        more_nodes=nodes[1:],
        cluster=cluster,
        replicas=replicas,
        epochs=before.epochs if before else {},
    )


def _launch(keeper: Supervisor, stack: Stack, say: Say) -> None:
    servers: list[Broker | Cluster] = [*stack.nodes]
    if stack.cluster is not None:
        servers.append(stack.cluster)
    say("启动私有的 RabbitMQ 和 PostgreSQL" if servers else "使用外部给定的消息总线和数据库")
    for server in servers:
        home = Path(server.home).parent
        home.mkdir(mode=0o711, exist_ok=True)
        home.chmod(0o711)
        server.prepare()
    keeper.launch(
        first=[
            *(program for server in servers for program in server.programs()),
            *([_mailbox(stack.ports[MAILBOX])] if MAILBOX in stack.ports else []),
            _log_keeper(keeper),
        ],
        later=[_program(stack, name) for name in stack.ours],
    )


def _open_portal(keeper: Supervisor, stack: Stack) -> Stack:
    """Start the portal at the first port that is free now, and wait until it holds it.

    Between looking and holding nobody else of this machine looks: two stacks that start at once
    take two ports.
    """
    with _looking_for_a_port():
        if _holds_its_port(keeper, stack):
            return stack
        keeper.stop_together([PORTAL])
        port = next_free(PORTAL_PORT)
        if port != stack.ports[PORTAL]:
            stack = msgspec.structs.replace(stack, ports={**stack.ports, PORTAL: port})
            stack.save()
            _program(stack, PORTAL).save(keeper.home)
        keeper.start(PORTAL)
        _await(keeper, PORTAL, partial(_holds_its_port, keeper, stack))
    return stack


def _holds_its_port(keeper: Supervisor, stack: Stack) -> bool:
    (pid,) = (row.pid for row in keeper.processes() if row.name == PORTAL)
    return bool(pid) and is_held_by(pid, stack.ports[PORTAL])


def _program(stack: Stack, name: str) -> Program:
    service = service_of(name)
    module = ["services.portal"] if service == PORTAL else ["services.chassis.runner", service]
    behind = ("nice", "-n", "5") if service == "notify" else ()  # money comes before letters
    return Program(
        name=name,
        command=(*behind, sys.executable, "-m", *module),
        directory=PROJECT,
        account=account("root"),
        environment=stack.environment(name),
        stop_seconds=DRAIN_SECONDS,
    )


def _mailbox(port: int) -> Program:
    module = ("-m", "deploy.local.mailbox", "--port", str(port), "--folder", str(MAIL))
    return Program(
        name=MAILBOX,
        command=(sys.executable, *module),
        directory=PROJECT,
        account=account("root"),
        stop_seconds=5,
    )


def _log_keeper(keeper: Supervisor) -> Program:
    where = ("--folder", str(keeper.logs), "--supervisor", str(keeper.pid_file))
    return Program(
        name="logs",
        command=(sys.executable, "-m", "deploy.local.log_keeper", *where),
        directory=PROJECT,
        account=account("root"),
        stop_seconds=5,
    )


def _start(keeper: Supervisor, names: Iterable[str]) -> None:
    for name in names:
        keeper.start(name)


def _prepare_servers(keeper: Supervisor, stack: Stack) -> None:
    if stack.cluster is not None:
        _await(keeper, "postgres", stack.cluster.is_ready)
        for name in SERVICES:
            if stack.database_urls[name] == stack.cluster.url(name):
                stack.cluster.add_database(name)
    for node in stack.nodes:
        _await(keeper, node.program, node.is_ready)
    if stack.broker is not None and stack.more_nodes:
        together = len(stack.nodes)
        first = stack.broker
        _await(keeper, first.program, lambda: first.running_nodes() == together)
        _await(keeper, first.program, first.stands_everywhere)


def _migrate(stack: Stack, say: Say) -> None:
    from services.chassis import migrate  # most commands need no migrations, and they load slowly

    say("更新数据库结构")
    for name in SERVICES:
        url = stack.database_urls[name]
        owner_url = stack.owner_url(name)
        migrate.upgrade(name, owner_url, runtime=migrate.runtime_role(url, owner_url))
    if stack.broker is not None:
        from services.chassis import rights

        stack.broker.add_ours(rights.written())


def _is_ready(stack: Stack, name: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports[name], timeout=3)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _await(keeper: Supervisor, name: str, ready: Callable[[], bool]) -> None:
    try:
        wait_until(ready, name, partial(_complaint, keeper))
    except TimeoutError as error:
        raise RuntimeError(f"{error}，{_last_words(name)}") from error


def _complaint(keeper: Supervisor) -> str | None:
    """The last words of a program the supervisor has given up on."""
    for row in keeper.processes():
        if row.state == "FATAL":
            return f"{row.name} 启动失败，{_last_words(row.name)}"
    return None


def _last_words(name: str) -> str:
    file = LOGS / f"{name}.log"
    log = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    return f"日志 {file} 的末尾：\n{log[-1500:]}"


def _end_leftovers(keeper: Supervisor) -> bool:
    """End the supervisor with its programs, and programs whose supervisor was killed."""
    ran = keeper.is_running()
    if ran:
        names = [row.name for row in keeper.processes()]
        keeper.stop_together([name for name in names if service_of(name) in OURS])
        keeper.stop_together([name for name in names if name != "epmd"])
        keeper.shutdown()
    ran = bool(programs.left_running(keeper.home)) or ran
    programs.end(keeper.home, DRAIN_SECONDS)
    return ran


def _passed_on(name: str) -> dict[str, str]:
    """Settings the caller gives a process by its own environment, as `NOTIFY_SMTP_URL=…`."""
    prefixes = ("ZHIDA_", "OTEL_", f"{name.upper()}_")
    return {key: value for key, value in os.environ.items() if key.startswith(prefixes)}


def _supervisor() -> Supervisor:
    return Supervisor(home=state_root() / "supervisor", logs=LOGS)


@contextlib.contextmanager
def _looking_for_a_port() -> Iterator[None]:
    """One stack of this machine at a time, whosever clone it is."""
    file = os.open(
        Path(tempfile.gettempdir()) / "zhida-portal.lock", os.O_RDONLY | os.O_CREAT, 0o644
    )
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One `up` or `down` of a clone at a time."""
    RESULTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (RESULTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
