"""Joining, renewing, narrowing, leaving; the file that says who is in."""

from __future__ import annotations

from pathlib import Path

import amqp
import pytest
from kombu import Connection

from deploy import bureaus as joining
from services.chassis import amqp_io
from services.chassis.bureaus import Bureau
from services.contracts.errors import Conflict, Invalid
from tests.fixtures.services import KEYS
from tests.integration.bureaus.city import (
    DISTRICT,
    POLICE,
    TOWN,
    City,
    connected,
    forbidden,
    take,
)

pytestmark = pytest.mark.timeout(600)


def test_joining_may_be_repeated_narrowed_renewed_and_undone(city: City) -> None:
    """The password is shown once; what the entry no longer allows goes; a leaver leaves nothing."""
    wide = Bureau(
        name="housing", title="住建局", division="421083", may_see=("person.*", "entitlement.*")
    )
    first = city.join(wide)
    address = f"amqp://127.0.0.1:{city.servers.broker.amqp_port}"
    given = {"address": address, "public_key": KEYS["BUREAU_PUBLIC_KEY"]}
    assert joining.add(city.broker, wide, **given).amqp_uri is None
    assert take(first, first.queue) == []

    narrow = Bureau(name="housing", title="住建局", division=TOWN, may_see=("person.left",))
    joining.add(city.broker, narrow, **given)
    bound = {(b["source"], b["routing_key"]) for b in city.broker.bindings("bureau.housing")}
    assert bound == {
        ("registry.events", "person.left.v1.42.10.83.108.#"),
        ("registry.events", "bureau_event.accepted.v1.housing.#"),
    }
    gone = "entitlement.granted.v1.42.10.83.108.#"
    for exchange in ("funding.events", "registry.events"):
        forbidden(first, lambda c, e=exchange: c.queue_bind("bureau.housing", e, gone))

    renewed = joining.rotate(city.broker, narrow, **given)
    assert renewed.amqp_uri != first.amqp_uri
    with pytest.raises((amqp.AccessRefused, OSError)):
        amqp_io.connect(str(first.amqp_uri))
    with connected(renewed.amqp_uri) as connection:
        last = joining.rotate(city.broker, narrow, **given, now=True)
        with pytest.raises((OSError, amqp.AMQPError)):
            _listen(connection)
    assert take(last, last.queue) == []

    other = Bureau(name="housing", title="住建局", division=TOWN, may_see=("person.left",),
                   queue_length=1000)  # fmt: skip
    with pytest.raises(Conflict, match="限额不同"):
        joining.add(city.broker, other, **given)
    joining.remove(city.broker, narrow)
    joining.remove(city.broker, narrow)
    joining.drop_entry(city.file, narrow.name)
    assert narrow.user(city.broker.vhost) not in city.broker.users()
    assert "bureau.housing" not in city.broker.names("queues")


def _listen(connection: Connection) -> None:
    """Half a minute of it."""
    for _ in range(60):
        amqp_io.drain(connection, 0.5)


def test_the_file_is_the_entry(tmp_path: Path) -> None:
    """Written by the command, readable by hand, comments kept; a wrong entry is refused whole."""
    file = tmp_path / "bureaus.toml"
    joining.write_entry(file, POLICE)
    file.write_text(file.read_text() + "\n# 人工备注\n")
    joining.write_entry(file, DISTRICT)
    assert joining.bureaus.load(file) == {"public_security": POLICE, "town_office": DISTRICT}
    assert "人工备注" in file.read_text()
    joining.drop_entry(file, "public_security")
    assert joining.bureaus.load(file) == {"town_office": DISTRICT}
    before = file.read_text()
    for wrong in (
        Bureau(name="x", title="x", division="42", may_see=()),
        Bureau(name="bureau", title="x", division="42", may_see=()),
        Bureau(name="spies", title="x", division="42", may_see=("case.decided",)),
        Bureau(name="spies", title="x", division="42", may_see=("bureau_event.refused",)),
        Bureau(name="spies", title="x", division="42", may_see=("person.#",)),
        Bureau(name="spies", title="x", division="42", privacy="identified"),
    ):
        with pytest.raises(Invalid):
            joining.write_entry(file, wrong)
    assert file.read_text() == before
