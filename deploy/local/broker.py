"""A private RabbitMQ node from Debian's package, and the few things we ask of it."""

import contextlib
import hashlib
import http.client
import json
import secrets
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import msgspec

from deploy.local.accounts import Account, account
from deploy.local.ports import free_ports, is_open, keep_or_replace
from deploy.local.programs import Program
from deploy.management import Management, ManagementError

if TYPE_CHECKING:
    from services.chassis.rights import Rights

HOST = "127.0.0.1"
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
PLUGINS = ("rabbitmq_management", "rabbitmq_prometheus")
ADMIN = "admin"
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where a private node stands and how it is entered. Plain data: it can be saved and shared."""

    home: str
    amqp_port: int
    management_port: int
    prometheus_port: int
    distribution_port: int
    epmd_port: int
    cookie: str
    password: str
    admin_password: str
    user: str = "zhida"
    vhost: str = "zhida"
    host: str = HOST
    number: int = 1
    """Of a cluster's nodes; the first is the one that the others join."""
    clustered: bool = False

    @classmethod
    def plan(cls, home: Path) -> Self:
        """A node to be: free ports, secrets of its own, nothing started yet."""
        amqp, management, prometheus, distribution, epmd = free_ports(5)
        return cls(
            home=str(home),
            amqp_port=amqp,
            management_port=management,
            prometheus_port=prometheus,
            distribution_port=distribution,
            epmd_port=epmd,
            cookie=secrets.token_hex(16),
            password=secrets.token_urlsafe(18),
            admin_password=secrets.token_urlsafe(18),
        )

    def peers(self, count: int) -> tuple[Self, ...]:
        """This node as the first of a cluster of so many, and the others beside it."""
        first = msgspec.structs.replace(self, clustered=count > 1)
        made = [first]
        free = iter(free_ports(4 * (count - 1)))  # at once: two calls may give one port twice
        for number in range(2, count + 1):
            amqp, management, prometheus, distribution = (next(free) for _ in range(4))
            made.append(
                msgspec.structs.replace(
                    first,
                    home=f"{self.home}-{number}",
                    number=number,
                    amqp_port=amqp,
                    management_port=management,
                    prometheus_port=prometheus,
                    distribution_port=distribution,
                )
            )
        return tuple(made)

    @property
    def node(self) -> str:
        """The node's name in Erlang's world."""
        return f"zhida{self.number if self.number > 1 else ''}@localhost"

    @property
    def program(self) -> str:
        """The name of the node's program."""
        return "rabbitmq" if self.number == 1 else f"rabbitmq-{self.number}"

    @property
    def ports(self) -> dict[str, int]:
        """Every port the node and its port mapper listen on, by field."""
        return {
            "amqp_port": self.amqp_port,
            "management_port": self.management_port,
            "prometheus_port": self.prometheus_port,
            "distribution_port": self.distribution_port,
            "epmd_port": self.epmd_port,
        }

    def with_free_ports(self) -> Self:
        """The same node; ports that somebody else holds by now are replaced."""
        return msgspec.structs.replace(self, **keep_or_replace(self.ports))

    @property
    def amqp_uri(self) -> str:
        """The services' own user on the services' own vhost."""
        return self.uri(self.user, self.password, self.vhost)

    def uri_of(self, user: str) -> str:
        """One of our own processes' user on the services' own vhost."""
        return self.uri(user, self.password_of(user), self.vhost)

    def password_of(self, user: str) -> str:
        """A password of its own for each of our processes; none tells another's."""
        return hashlib.sha256(f"{user}:{self.password}".encode()).hexdigest()[:40]

    def add_ours(self, rights: "Iterable[Rights]") -> None:
        """Make or renew the users of our own processes."""
        known = list(rights)
        made = [each.definitions(self.vhost) for each in known]
        self.define(
            {
                "users": [
                    {"name": each.user, "password": self.password_of(each.user), "tags": []}
                    for each in known
                ],
                "permissions": [one for each in made for one in each["permissions"]],
                "topic_permissions": [one for each in made for one in each["topic_permissions"]],
            }
        )

    def uri(self, user: str, password: str, vhost: str) -> str:
        """An AMQP address on this node."""
        return f"amqp://{user}:{password}@{self.host}:{self.amqp_port}/{quote(vhost, safe='')}"

    # -- the processes ---------------------------------------------------------------------------

    def prepare(self) -> None:
        """Write the node's configuration; what it already stores stays."""
        owner, home = _account(), Path(self.home)
        owner.folder(home)
        owner.file(home / ".erlang.cookie", self.cookie).chmod(0o400)
        owner.file(home / "rabbitmq.conf", self._configuration())
        owner.file(home / "definitions.json", json.dumps(self._definitions()))
        owner.file(home / "enabled_plugins", f"[{','.join(PLUGINS)}].\n")

    def programs(self) -> tuple[Program, ...]:
        """The port mapper first, then the node. Both are ours: the system's epmd is not asked.

        The nodes of a cluster share the port mapper of the first.
        """
        owner, home = _account(), Path(self.home)
        epmd = Program(
            name="epmd",
            command=("epmd", "-port", str(self.epmd_port), "-address", HOST),
            directory=home,
            account=owner,
            environment=self._environment(),
        )
        node = Program(
            name=self.program,
            command=(str(SCRIPTS / "rabbitmq-server"),),
            directory=home,
            account=owner,
            environment=self._environment(),
            stop_seconds=30,
        )
        return (epmd, node) if self.number == 1 else (node,)

    def is_ready(self) -> bool:
        """True when the node takes AMQP clients and answers its management interface."""
        if not is_open(self.amqp_port):
            return False
        try:
            return self.management().ask("GET", "whoami") is not None
        except (OSError, http.client.HTTPException):
            return False

    def running_nodes(self) -> int:
        """How many nodes of the cluster are up, as this one sees it."""
        return sum(bool(node["running"]) for node in self.management().ask("GET", "nodes"))

    def stands_everywhere(self, vhost: str = "") -> bool:
        """True when the vhost runs on every node of the cluster.

        A node that has just joined may have failed to start it: it is asked to again.
        """
        management, name = self.management(), vhost or self.vhost
        states: dict[str, str] = management.ask("GET", "vhosts", name)["cluster_state"]
        down = [node for node, state in states.items() if state != "running"]
        for node in down:
            with contextlib.suppress(ManagementError, OSError):  # it is asked again
                management.ask("POST", "vhosts", name, "start", node)
        return bool(states) and not down

    def pid(self) -> int:
        """The node's process id, asked of the node itself (its pid file may be stale)."""
        return int(self.ctl("eval", "os:getpid().").strip().strip('"'))

    def ctl(self, *arguments: str) -> str:
        """`rabbitmqctl`, about a second a call: for what the management interface cannot do."""
        owner = _account()
        done = subprocess.run(
            [str(SCRIPTS / "rabbitmqctl"), "--quiet", *arguments],
            cwd=self.home,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **self._environment()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            user=None if owner.is_ours else owner.uid,
            group=None if owner.is_ours else owner.gid,
            extra_groups=None if owner.is_ours else [],
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def management(self, vhost: str = "") -> Management:
        """The management interface, as the administrator."""
        return Management(
            host=self.host,
            port=self.management_port,
            user=ADMIN,
            password=self.admin_password,
            vhost=vhost or self.vhost,
        )

    # -- what stands on the node -----------------------------------------------------------------

    def add_vhost(self, name: str, *, users: Sequence[str] = ()) -> str:
        """Make a vhost that our own user (and `users`) may use fully; returns its AMQP address."""
        permissions = [
            {"user": user, "vhost": name, **EVERYTHING} for user in (self.user, ADMIN, *users)
        ]
        self.define({"vhosts": [{"name": name}], "permissions": permissions})
        return self.uri(self.user, self.password, name)

    def drop_vhost(self, name: str) -> None:
        """Remove a vhost with all it holds; its connections are closed by the node."""
        self.management().ask("DELETE", "vhosts", name)

    def add_user(
        self,
        name: str,
        password: str,
        *,
        vhost: str | None = None,
        configure: str = "",
        write: str = "",
        read: str = "",
        topics: Mapping[str, tuple[str, str]] | None = None,
    ) -> str:
        """Make or renew a user; patterns as RabbitMQ's, `topics` maps exchange to (write, read).

        Returns the user's AMQP address.
        """
        on = vhost or self.vhost
        allowed = {"user": name, "vhost": on, "configure": configure, "write": write, "read": read}
        self.define(
            {
                "users": [{"name": name, "password": password, "tags": []}],
                "permissions": [allowed],
                "topic_permissions": [
                    {"user": name, "vhost": on, "exchange": exchange, "write": put, "read": get}
                    for exchange, (put, get) in (topics or {}).items()
                ],
            }
        )
        return self.uri(name, password, on)

    def define(self, definitions: Mapping[str, Any]) -> None:
        """Import RabbitMQ definitions (vhosts, users, permissions, policies …) in one request."""
        self.management().define(definitions)

    def queues(self, vhost: str) -> list[dict[str, Any]]:
        """The queues of a vhost as they are this moment, with `messages` waiting and in hand.

        Asked of the queues themselves, about a second: the management interface is seconds late.
        """
        columns = ("name", "type", "messages", "messages_unacknowledged", "consumers")
        shown = self.ctl("list_queues", "-p", vhost, *columns, "--formatter", "json")
        found: list[dict[str, Any]] = json.loads(shown)
        return found

    def bindings(self, vhost: str) -> list[dict[str, Any]]:
        """Which queue of a vhost is bound to which exchange by which key (not the default one)."""
        found: list[dict[str, Any]] = self.management().ask("GET", "bindings", vhost)
        return [binding for binding in found if binding["source"]]

    @contextlib.contextmanager
    def scratch_vhost(self) -> Iterator[str]:
        """The AMQP address of a fresh vhost that is removed afterwards."""
        name = f"scratch-{secrets.token_hex(6)}"
        uri = self.add_vhost(name)
        try:
            yield uri
        finally:
            self.drop_vhost(name)

    # -- details ---------------------------------------------------------------------------------

    def _configuration(self) -> str:
        return f"""\
listeners.tcp.1 = {HOST}:{self.amqp_port}
management_agent.disable_metrics_collector = true
management.tcp.ip = {HOST}
management.tcp.port = {self.management_port}
prometheus.tcp.ip = {HOST}
prometheus.tcp.port = {self.prometheus_port}
load_definitions = {self.home}/definitions.json
disk_free_limit.absolute = 200MB
max_message_size = 16777216
vm_memory_high_watermark.relative = 0.3
max_message_size = 16777216
log.console = true
log.console.level = warning
log.console.use_colors = off
log.file = false
{self._membership()}"""

    def _membership(self) -> str:
        if not self.clustered:
            return ""
        lines = ["cluster_partition_handling = pause_minority", "net_ticktime = 10"]
        if self.number > 1:
            lines += [
                "cluster_formation.peer_discovery_backend = classic_config",
                "cluster_formation.classic_config.nodes.1 = zhida@localhost",
                f"cluster_formation.classic_config.nodes.2 = {self.node}",
                "cluster_formation.discovery_retry_limit = 240",
                "cluster_formation.discovery_retry_interval = 500",
            ]
        return "\n".join(lines) + "\n"

    def _definitions(self) -> dict[str, Any]:
        return {
            "vhosts": [{"name": self.vhost}],
            "users": [
                {"name": self.user, "password": self.password, "tags": []},
                {"name": ADMIN, "password": self.admin_password, "tags": ["administrator"]},
            ],
            "permissions": [
                {"user": user, "vhost": self.vhost, **EVERYTHING} for user in (self.user, ADMIN)
            ],
        }

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": self.home,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{self.home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{self.home}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.home}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{self.home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{self.home}/log",
            "RABBITMQ_PID_FILE": f"{self.home}/rabbitmq.pid",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CTL_DIST_PORT_MIN": "20000",
            "RABBITMQ_CTL_DIST_PORT_MAX": "29999",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ("-kernel inet_dist_use_interface {127,0,0,1}"),
            # The start script then becomes the node instead of waiting beside it: one process,
            # one pid, signals that arrive.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def with_free_ports(nodes: Sequence[Broker]) -> tuple[Broker, ...]:
    """The nodes of one cluster with ports that are free; all know the first's port mapper."""
    if not nodes:
        return ()
    first = nodes[0].with_free_ports()
    others = (
        msgspec.structs.replace(
            node,
            **keep_or_replace({k: v for k, v in node.ports.items() if k != "epmd_port"}),
            epmd_port=first.epmd_port,
        )
        for node in nodes[1:]
    )
    return (first, *others)


def _account() -> Account:
    return account("rabbitmq")
