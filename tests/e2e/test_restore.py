"""A backup put back: one service into the world as it is, or all four together."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import amqp
import pytest
from sqlalchemy import text

from deploy.local import Servers, backup
from deploy.local.stack import Stack
from services.chassis import amqp_io, archive, topology
from services.contracts.actors import Actor, Role
from services.contracts.commands.registry import ChangePhone, TellAgain
from tests.builders.city import City
from tests.e2e.test_acceptance import Staff, household
from tests.e2e.test_false_death import differences
from tests.fixtures.services import actor

ADMIN: Actor = actor(Role.SYSTEM_ADMIN)


@pytest.fixture
def services() -> tuple[str, ...]:
    """All four are saved."""
    return ("registry", "cases", "funding", "notify")


@pytest.fixture
def stack(city: City, amqp_uri: str, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The city's databases and a vhost, as servers that are not ours to make."""
    urls = {name: each.settings.database_url for name, each in city.foundations.items()}
    for name, url in urls.items():
        owner_url = servers.cluster.owner_url(name, url.rpartition("/")[2])
        monkeypatch.setenv(f"{name.upper()}_OWNER_DATABASE_URL", owner_url)
    return Stack(
        amqp_uri=amqp_uri, database_urls=urls, ports={}, mode="test", broker=None, cluster=None
    )


def put_back(city: City, stack: Stack, folder: Path, services: list[str]) -> None:
    """Restore; the city goes on telling after what the restored outboxes hold."""
    for foundation in city.foundations.values():
        foundation.engine.dispose()
    backup.put_back(stack, folder, services)
    for name in services:
        with city.begin(name) as uow:
            city._told[name] = uow.session.scalar(text("SELECT coalesce(max(id), 0) FROM outbox"))


def test_an_older_registry_is_believed_and_what_it_lost_is_shown(
    city: City, staff: Staff, stack: Stack, tmp_path: Path
) -> None:
    """Copies that are ahead by their version give way to the raised epoch; people whom registry has
    forgotten are a difference that reconcile names."""
    kept = household(city, staff, born="19610305", head="向长河").members[0].person_id
    backup.save(stack, tmp_path / "b", hours=1)
    for phone in ("13971650003", "13971650004"):
        city.ask(staff["clerk"], ChangePhone(person_id=kept, phone=phone))
    household(city, staff, born="19580101", head="汪水生")
    assert differences(city) == []
    put_back(city, stack, tmp_path / "b", ["registry"])
    registry = city.foundations["registry"]
    settings = replace(registry.settings, epoch=7)
    city.foundations["registry"] = replace(registry, settings=settings)
    assert ("电话", "notify") in differences(city)
    told = city.ask(ADMIN, TellAgain())
    assert (told.epoch, told.events > 300) == (7, True)
    city.settle()
    lost = [("人员", "cases"), ("人员", "funding"), ("人员", "notify")]
    lost += [("家庭", "cases"), ("家庭", "funding"), ("电话", "notify")]
    assert sorted(differences(city)) == sorted([*lost, ("账户", "funding")])
    with city.begin("notify") as uow:
        newest = uow.session.execute(
            text(
                "SELECT epoch, version FROM contact WHERE person_id = :person"
                " ORDER BY epoch DESC, version DESC LIMIT 1"
            ),
            {"person": kept},
        ).one()
    assert tuple(newest) == (7, 1)
    city.ask(staff["clerk"], ChangePhone(person_id=kept, phone="13971650005"))
    with city.begin("funding") as uow:
        epochs = uow.session.scalars(
            text("SELECT epoch FROM person WHERE version IS NOT NULL ORDER BY epoch")
        ).all()
    assert list(epochs) == [0, 7], "the forgotten person stays under the old epoch"


def test_all_four_forget_together_what_was_said_since(
    city: City, staff: Staff, stack: Stack, tmp_path: Path
) -> None:
    """Databases and archives are as they were; what a bureau sent since is still there."""
    household(city, staff, born="19610305", head="向长河")
    with city.begin("registry") as uow:
        uow.session.execute(
            text("INSERT INTO event_sequence VALUES ('registry.internal', :t, '421083', 2)"),
            {"t": "person.died.v1"},
        )
    say = talker(stack.amqp_uri)
    for number in (1, 2, 3):
        say("registry.internal", "person.died.v1", number)
    made = backup.save(stack, tmp_path / "b", hours=1)
    assert made.events["registry.internal"] == 3
    say("registry.internal", "person.died.v1", 4)
    say(topology.INBOUND, "public_security.death_registered.v1", None)
    household(city, staff, born="19580101", head="汪水生")
    put_back(city, stack, tmp_path / "b", ["registry", "cases", "funding", "notify"])
    assert differences(city) == []
    with city.begin("registry") as uow:
        assert uow.session.scalar(text("SELECT count(*) FROM person")) == 1
    assert heard(stack.amqp_uri, "registry.internal") == [1, 2], "the dump counted two"
    assert heard(stack.amqp_uri, topology.INBOUND) == [None]
    household(city, staff, born="19570202", head="涂家旺")
    assert differences(city) == []


def talker(amqp_uri: str) -> Callable[[str, str, int | None], None]:
    """Publishes as a relay or a bureau would."""

    def say(exchange: str, kind: str, number: int | None) -> None:
        connection = amqp_io.connect(amqp_uri)
        try:
            with connection.channel() as channel:
                topology.declare_exchange(channel, exchange, archive_max_bytes=1_000_000_000)
            event_id = str(uuid.uuid4())
            headers = {"cloudEvents:id": event_id, "cloudEvents:type": kind}
            if number is not None:
                headers["cloudEvents:sequence"] = f"421083:{number}"
            message = amqp.Message(
                b"{}",
                delivery_mode=2,
                message_id=event_id,
                type=kind,
                application_headers=headers,
            )
            publisher = amqp_io.ConfirmedPublisher(connection)
            if number is None:  # let in by the consumer, which puts it there itself
                publisher.publish_one(message, "", topology.archive(exchange))
            else:
                publisher.publish_one(message, exchange, f"{kind}.42.10.83")
        finally:
            amqp_io.drop(connection)

    return say


def heard(amqp_uri: str, exchange: str) -> list[int | None]:
    """The numbers an archive holds, in order."""
    since = datetime.now(UTC) - timedelta(hours=1)
    found: list[int | None] = []
    for chunk in archive.read_stream(amqp_uri, topology.archive(exchange), since):
        for message in chunk:
            number = (message.headers or {}).get("cloudEvents:sequence")
            found.append(int(number.rpartition(":")[2]) if number else None)
    return found
