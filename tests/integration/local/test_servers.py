"""Private servers: apart from everybody else's, and gone with whoever started them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import amqp
import psycopg2
import pytest

from deploy.local import Servers, ports
from deploy.local.ports import free_ports, is_held_by, is_open, keep_or_replace, next_free
from deploy.local.shared import shared_servers


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """True as soon as it holds; False when it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def python(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_service_role_cannot_enter_another_services_database(servers: Servers) -> None:
    """Each service's role connects to its own database and to no other."""
    own, other = servers.cluster.url("cases"), servers.cluster.url("cases", "zhida_funding")
    with closing(psycopg2.connect(own)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(other)


def test_a_scratch_database_is_owned_by_the_service_and_removed(servers: Servers) -> None:
    """A template is copied with its rows; both are removed even while somebody is connected."""
    cluster = servers.cluster
    with cluster.scratch_database("notify") as template:
        with closing(psycopg2.connect(template)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t AS SELECT 7 AS n")
            connection.commit()
        with cluster.scratch_database("notify", template.rsplit("/", 1)[1]) as copy:
            connected = psycopg2.connect(copy)
            with connected.cursor() as cursor:
                cursor.execute("SELECT n FROM t")
                assert cursor.fetchone() == (7,)
    connected.close()
    assert not cluster.has_database(template.rsplit("/", 1)[1])
    assert not cluster.has_database(copy.rsplit("/", 1)[1])


def test_a_broker_user_may_do_what_was_said_and_no_more(servers: Servers, amqp_uri: str) -> None:
    """A bureau's user writes to its exchange under its own name only; nobody is called guest."""
    vhost = amqp_uri.rsplit("/", 1)[1]
    with _connection(servers, vhost) as ours:
        ours.channel().exchange_declare("bureaus.events", "topic", durable=True, auto_delete=False)
    servers.broker.add_user(
        "police",
        "secret",
        vhost=vhost,
        write="^bureaus.events$",
        topics={"bureaus.events": (r"^police\.", "^$")},
    )
    message = amqp.Message("{}")
    with _connection(servers, vhost, "police", "secret") as theirs:
        channel = theirs.channel()
        channel.confirm_select()
        channel.basic_publish_confirm(message, "bureaus.events", "police.death.v1", timeout=5)
        with pytest.raises(amqp.AccessRefused):
            theirs.channel().queue_declare("spy")
    with _connection(servers, vhost, "police", "secret") as theirs:
        channel = theirs.channel()
        channel.basic_publish(message, "bureaus.events", "hospital.death.v1")
        with pytest.raises(amqp.AccessRefused):
            channel.queue_declare("x", passive=True)
    with pytest.raises((amqp.AccessRefused, OSError)):
        _connection(servers, vhost, "guest", "guest").__enter__()


def _connection(
    servers: Servers, vhost: str, user: str | None = None, password: str | None = None
) -> amqp.Connection:
    broker = servers.broker
    return amqp.Connection(
        f"127.0.0.1:{broker.amqp_port}",
        user or broker.user,
        password or broker.password,
        virtual_host=vhost,
    )


def test_servers_listen_on_loopback_only(servers: Servers) -> None:
    """No port of ours is open on another address of the machine."""
    ports = {*servers.broker.ports.values(), servers.cluster.port}
    seen: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == "0A" and int(port, 16) in ports:
                seen.add(int(port, 16))
                assert address in {"0100007F", "00000000000000000000000001000000"}
    assert seen == ports


def test_processes_of_a_run_share_one_set_of_servers(servers: Servers) -> None:
    """A second process of the same clone leases the servers that stand."""
    second = python(
        "from deploy.local import shared_servers\n"
        "with shared_servers() as servers: print(servers.cluster.port)"
    )
    assert second.communicate(timeout=30)[0].strip() == str(servers.cluster.port)
    with shared_servers() as again:
        assert again == servers


@pytest.mark.alone
def test_servers_end_when_their_process_is_killed(tmp_path: Path) -> None:
    """kill -9 of the process that started them leaves no server and no folder behind."""
    home = str(tmp_path / "home")
    starter = python(
        "import time\n"
        "from deploy.local import PrivateServers\n"
        "with PrivateServers(fast=True) as servers:\n"
        "    print(servers.cluster.port, servers.broker.amqp_port, flush=True)\n"
        "    time.sleep(60)",
        ZHIDA_HOME=home,
    )
    assert starter.stdout is not None
    ports = [int(word) for word in starter.stdout.readline().split()]
    assert all(map(is_open, ports))
    starter.kill()
    starter.communicate()
    assert eventually(lambda: not any(map(is_open, ports)), 30)
    python("from deploy.local.stack import erase; erase()", ZHIDA_HOME=home).communicate()


def test_ports_keep_out_of_the_range_of_outgoing_connections() -> None:
    """A restarting server cannot lose its port to somebody's outgoing connection."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < first_outgoing for port in free_ports(50))


def test_a_port_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else gets a port between its choice and its server's start: not the next call, not
    another process of this machine."""
    first = python(
        "from deploy.local import ports as p;"
        "p.LOWEST = 20_100; p._ephemeral_start = lambda: 20_400;"
        "print(*p.free_ports(60), flush=True); import time; time.sleep(60)"
    )
    assert first.stdout is not None
    chosen = [int(port) for port in first.stdout.readline().split()]
    monkeypatch.setattr(ports, "LOWEST", 20_100)
    monkeypatch.setattr(ports, "_ephemeral_start", lambda: 20_400)
    chosen += free_ports(30) + free_ports(30)
    first.kill()
    first.communicate()
    assert len(set(chosen)) == 120


def test_a_port_is_known_by_the_process_that_holds_it() -> None:
    """Another stack's portal on our port is not taken for ours."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert is_held_by(os.getpid(), port)
        assert not is_held_by(os.getppid(), port)
    assert not is_held_by(os.getpid(), port)


def test_only_ports_that_somebody_took_are_replaced() -> None:
    """Addresses stay the same from one start to the next wherever they can."""
    kept, lost = free_ports(2)
    with socket.create_server(("127.0.0.1", lost)):
        moved = keep_or_replace({"kept": kept, "lost": lost})
        assert next_free(lost) > lost
    assert moved["kept"] == kept
    assert moved["lost"] not in {kept, lost}
