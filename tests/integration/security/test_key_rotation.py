"""Keys change while people work: two replicas, one after the other, and no request fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from kombu import pools
from sqlalchemy import LargeBinary

from deploy.local.ports import free_ports
from services.chassis import key_rings, keys
from services.chassis.actors import ActorSigner
from services.chassis.client import Client
from services.chassis.discovery import NAMES
from services.chassis.reencryption import encrypted_tables
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    AppointStaff,
    NewMember,
    RegisterHousehold,
    RevealIdentity,
)
from tests.builders.roster import identity
from tests.fixtures.services import actor
from tests.integration.chassis.bus import eventually

ROOT = Path(__file__).resolve().parents[3]
VILLAGE = "421083108204"
ADMIN = actor(Role.SYSTEM_ADMIN)
CLERK = actor(Role.TOWN_CLERK, staff_id="01900000-0000-7000-8000-000000000002")


def test_every_binary_column_is_an_index_or_is_rotated() -> None:
    """A new encrypted column cannot be forgotten: it is found by its type."""
    import importlib

    found = {}
    for name in NAMES:
        metadata = importlib.import_module(f"services.{name}.models").Base.metadata
        for each in encrypted_tables(metadata):
            found[f"{name}.{each.table.name}"] = each.columns
            assert each.bound_to in each.table.columns
        for table in metadata.tables.values():
            for column in table.columns:
                if isinstance(column.type, LargeBinary) and not column.name.endswith("_index"):
                    assert column.name in found[f"{name}.{table.name}"]
    assert set(found["registry.person"]) == {"identity", "phone", "account_name", "account_number"}


class Registry:
    """Registry as replicas that are started with the keys of the moment."""

    def __init__(self, url: str, amqp_uri: str, material: dict[str, str]) -> None:
        self.keys = material
        self._addresses = {
            "AMQP_URI": amqp_uri,
            "REGISTRY_DATABASE_URL": url,
            "ZHIDA_MODE": "test",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        """What a process of registry is told now."""
        own = keys.visible_to("registry", self.keys)
        return {**os.environ, **self._addresses, **own}

    def start(self) -> None:
        """One more replica, ready."""
        (port,) = free_ports(1)
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "services.chassis.runner", "registry"],
            cwd=ROOT,
            env={**self.environment(), "HEALTH_ADDRESS": f"127.0.0.1:{port}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._running.append(process)

        def ready() -> bool:
            assert process.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=3) as got:
                    return bool(got.status == 200)
            except OSError:
                return False

        eventually(ready, 90)

    def roll(self, step: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Take a step and replace the replica: the new one works before the old one drains."""
        self.keys = step(self.keys)
        self.start()
        old = self._running.pop(0)
        old.terminate()
        assert old.wait(60) == 0

    def reencrypt(self) -> None:
        """The command, as a process of its own."""
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "services.chassis.reencryption", "registry"],
            cwd=ROOT,
            env=self.environment(),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def end(self) -> None:
        """End what runs."""
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def registry(database: Callable[[str], str], amqp_uri: str) -> Iterator[Registry]:
    """One replica, with fresh keys."""
    with ExitStack() as at_the_end:
        made = Registry(database("registry"), amqp_uri, keys.generate())
        at_the_end.callback(pools.reset)
        at_the_end.callback(made.end)
        made.start()
        yield made


def of_person(number: int) -> str:
    """A number nobody else has; four hundred are born a day."""
    born = date(1950, 1, 1) + timedelta(days=number // 400)
    return identity(number % 400 + 1, f"{born:%Y%m%d}")


@pytest.mark.timeout(600)
def test_keys_rotate_under_load(registry: Registry, amqp_uri: str) -> None:
    """Field, transit and actor keys: added, in use, the old ones gone; every request answered,
    every number read back right, and nothing left under an old key."""
    client = Client(amqp_uri)

    def token(who: Any = CLERK) -> str:
        return ActorSigner(registry.keys["ACTOR_SIGNING_KEY"]).token(who)

    client.call(
        AppointStaff(
            staff_no="HH0204",
            name="专干",
            division=VILLAGE,
            roles=(Role.VILLAGE_OFFICER,),
            scopes=(VILLAGE,),
            phone="13800138009",
        ),
        token=token(ADMIN),
    )
    stop, wrong, answered = threading.Event(), [], 0

    def work() -> None:
        nonlocal answered
        number = 0
        while not stop.is_set():
            number += 1
            of_one = of_person(number)
            try:
                registered = client.call(
                    RegisterHousehold(
                        division=VILLAGE,
                        members=(
                            NewMember(
                                name="单桂兰",
                                identity_number=of_one,
                                relation="户主",
                                phone="13800138001",
                                account_number="6217991234567890123",
                            ),
                        ),
                    ),
                    token=token(),
                    timeout=60,
                )
                shown = client.call(
                    RevealIdentity(person_id=registered.members[0].person_id, purpose="核对证件"),
                    token=token(),
                    timeout=60,
                )
                if of_one not in str(shown):
                    wrong.append(f"{number}: {shown}")
                answered += 2
            except Exception as error:  # noqa: BLE001 - whatever fails, fails the promise
                wrong.append(repr(error))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for name in ("add", "activate"):
            registry.roll(
                lambda known, name=name: key_rings.step(  # type: ignore[misc]
                    "actor",
                    (),
                    name,
                    key_rings.step(
                        "transit", (), name, key_rings.step("fields", ("registry",), name, known)
                    ),
                )
            )
        registry.reencrypt()
        registry.roll(lambda known: key_rings.step("fields", ("registry",), "retire", known))
        before = answered
        eventually(lambda: answered > before + 4 or wrong, 60)
    finally:
        stop.set()
        worker.join(120)
        client.close()
    assert wrong == []
    assert answered > 10
    connection = psycopg2.connect(registry.environment()["REGISTRY_DATABASE_URL"])
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(DISTINCT get_byte(data, 0)) FROM person, "
            "unnest(ARRAY[identity, phone, account_name, account_number]) AS data"
        )
        assert cursor.fetchone() == ([2],)
        cursor.execute("SELECT count(*) FROM staff WHERE get_byte(phone, 0) <> 2")
        assert cursor.fetchone() == (0,)
    connection.close()
