"""Over TLS a service publishes, consumes, answers and queries; a stranger is refused.

The shared broker gets one more listener for the while; PostgreSQL is one of the test's own.
"""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local import Servers
from deploy.local.accounts import state_root
from deploy.local.cluster import Cluster
from deploy.local.ports import free_ports
from deploy.local.servers import wait_until
from services.chassis import amqp_io
from services.chassis.settings import SettingsError
from services.contracts.actors import Role
from tests.integration.chassis.bus import Room, eventually, noted, room
from tests.integration.chassis.probe.probe import NoteThing

NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Authority:
    """Signs certificates; ``file`` is what a client trusts."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path

    @classmethod
    def in_folder(cls, folder: Path, name: str) -> Authority:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _certificate(subject, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        certificate = made.sign(key, hashes.SHA256())
        file = folder / f"{name}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        file.chmod(0o644)
        return cls(key, certificate, file)

    def server(self, folder: Path, host: str, name: str) -> tuple[str, str]:
        """Certificate and key (in PEM) of a server at an address and under a name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        known_as = [x509.IPAddress(ipaddress.ip_address(host)), x509.DNSName(name)]
        made = _certificate(subject, key, self).add_extension(
            x509.SubjectAlternativeName(known_as), critical=False
        )
        return (
            made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, by: Authority | None = None
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=by.certificate.subject if by else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=NOW - timedelta(hours=1),
        not_valid_after=NOW + timedelta(days=1),
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where the servers' accounts may read."""
    with tempfile.TemporaryDirectory(dir=state_root()) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    """Who signed the servers' certificates."""
    return Authority.in_folder(folder, "ours")


@pytest.fixture(scope="module")
def strangers(folder: Path) -> Authority:
    """Somebody else."""
    return Authority.in_folder(folder, "strangers")


@pytest.fixture(scope="module")
def tls_port(servers: Servers, folder: Path, ours: Authority) -> Iterator[int]:
    """A listener over TLS on the running broker, as ``listeners.ssl`` makes one."""
    certificate, key = ours.server(folder, servers.broker.host, "broker.zhida")
    for name, text in (("broker.pem", certificate), ("broker.key", key)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    (port,) = free_ports(1)
    files = f'{{certfile, "{folder}/broker.pem"}}, {{keyfile, "{folder}/broker.key"}}'
    listener = f'{{"{servers.broker.host}", {port}}}'
    servers.broker.ctl(
        "eval",
        "rabbit_networking:ensure_ssl(), ok = rabbit_networking:start_ssl_listener("
        f"{listener}, [{files}, {{versions, ['tlsv1.3', 'tlsv1.2']}}], 2).",
    )
    yield port
    servers.broker.ctl("eval", f"rabbit_networking:stop_tcp_listener({listener}).")


@pytest.fixture(scope="module")
def database(folder: Path, ours: Authority) -> Iterator[Cluster]:
    """A PostgreSQL that takes nobody but over TLS."""
    cluster = Cluster.plan(folder / "postgres", fast=True)
    cluster.prepare()
    data = Path(cluster.home) / "data"
    (program,) = cluster.programs()
    certificate, key = ours.server(folder, "127.0.0.1", "database.zhida")
    program.account.file(data / "server.crt", certificate)
    program.account.file(data / "server.key", key).chmod(0o600)
    with (data / "postgresql.auto.conf").open("a") as configuration:
        configuration.write("ssl = on\n")
    rules = data / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("host ", "hostssl "))
    process = program.start(folder)
    wait_until(cluster.is_ready, "PostgreSQL", lambda: None)
    cluster.add_database("registry")
    yield cluster
    process.send_signal(program.stop_signal)
    process.wait(30)


@pytest.fixture
def encrypted(
    servers: Servers, tmp_path: Path, tls_port: int, database: Cluster, ours: Authority
) -> Iterator[Room]:
    """A room whose broker and database are reached over TLS only."""
    behind = msgspec.structs.replace(servers.broker, amqp_port=tls_port)
    with room(Servers(behind, database), tmp_path) as opened:
        opened.uri = f"{opened.uri.replace('amqp:', 'amqps:')}?cacertfile={ours.file}"
        opened.url = f"{opened.url}?sslmode=verify-full&sslrootcert={ours.file}"
        yield opened


def test_a_service_works_over_tls(encrypted: Room) -> None:
    """Ready, an event from the outbox through the broker to its effect, a command answered."""
    process = encrypted.start().until_ready()
    things = [uuid.uuid4() for _ in range(500)]
    encrypted.emit((noted(thing) for thing in things), bulk=True)
    eventually(lambda: len(encrypted.effects()) >= len(things), 60)
    assert sorted(encrypted.effects()) == sorted(things)
    asked = NoteThing(thing_id=uuid.uuid4(), amount=7)
    client = encrypted.client()
    assert client.call(asked, token=encrypted.token(Role.TOWN_CLERK)) == 7
    client.close()
    eventually(lambda: encrypted.effects([asked.thing_id]), 60)
    ((in_clear,),) = encrypted.rows(
        "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) "
        "WHERE NOT s.ssl AND a.client_addr IS NOT NULL"
    )
    assert in_clear == 0
    assert process.stop() == 0


def test_a_server_that_somebody_else_vouches_for_is_refused(
    encrypted: Room, strangers: Authority, ours: Authority
) -> None:
    """Broker and database whose certificate another authority signed, or for another name: no word
    is exchanged, and the service says why it does not become ready.
    """
    wrong = encrypted.uri.replace(str(ours.file), str(strangers.file))
    with pytest.raises(ssl.SSLCertVerificationError):
        amqp_io.connect(wrong)
    other_name = f"{encrypted.uri}&server_name_indication=elsewhere.zhida"
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        amqp_io.connect(other_name)
    amqp_io.drop(amqp_io.connect(f"{encrypted.uri}&server_name_indication=broker.zhida"))
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        psycopg2.connect(encrypted.url.replace(str(ours.file), str(strangers.file)))
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        psycopg2.connect(encrypted.url.replace("127.0.0.1", "localhost"))
    process = encrypted.start(AMQP_URI=wrong)
    with pytest.raises(subprocess.TimeoutExpired):
        process.popen.wait(1)
    eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in process.log.read_text(), 60)
    assert process.answers("/readyz") != 200


def test_an_address_that_would_not_be_verified_is_refused() -> None:
    """A parameter we do not know, TLS asked of a plain address, nodes reached in two ways."""
    for wrong in (
        "amqps://u:p@a/v?verify=verify_none",
        "amqp://u:p@a/v?cacertfile=/ca.pem",
        "amqps://u:p@a/v;amqp://u:p@b/v",
        "amqps://u:p@a/v;amqps://u:p@b/v",
    ):
        with pytest.raises(SettingsError, match="AMQP_URI"):
            amqp_io.verified(wrong)
    address, tls = amqp_io.verified("amqps://u:p@a/v?server_name_indication=n")
    assert (address, tls and tls["server_hostname"]) == ("amqps://u:p@a/v", "n")
    assert amqp_io.verified("amqp://u:p@a/v;amqp://u:p@b/v")[1] is None
