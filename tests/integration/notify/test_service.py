"""The running service: events in on the real broker, messages out to the real mailbox."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from kombu import Connection, Exchange, Producer

from deploy.local import mailbox
from deploy.local.ports import free_ports
from services.chassis.crypto import Seals
from services.contracts.events import Event, event_type
from services.contracts.events.registry import (
    PersonDied,
    PersonRecorded,
    StaffAppointed,
    StaffContactChanged,
)
from tests.builders.notify import VILLAGE
from tests.fixtures.services import KEYS, settings_for


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the block; it is ended with SIGTERM and must leave with 0."""
    running = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", *command], env={**os.environ, **environment}
    )
    try:
        yield running
        running.terminate()
        assert running.wait(timeout=30) == 0
    finally:
        running.kill()
        running.wait()


def until(what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition, at most so long."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"{what} did not come in {seconds} s"
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a page says 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def publish(amqp_uri: str, events: list[Event]) -> None:
    """Publish events as their owner would, each with a fresh event id, confirmed."""
    with Connection(amqp_uri, transport_options={"confirm_publish": True}) as connection:
        for event in events:
            declared = event_type(event)
            event_id = str(uuid4())
            Producer(connection).publish(
                msgspec.json.encode(event),
                exchange=Exchange(declared.exchange(), "topic", durable=True, no_declare=True),
                routing_key=declared.routing_key(event),
                content_type="application/json",
                content_encoding="utf-8",
                headers={"cloudEvents:id": event_id, "cloudEvents:type": declared.name},
                delivery_mode=2,
                mandatory=True,
                timeout=10,
                confirm_timeout=10,
            )


def test_a_death_on_the_bus_is_a_message_to_the_officer(
    amqp_uri: str, database: Callable[[str], str], tmp_path: Path
) -> None:
    """Told once, however often the fact is published; the metrics show it; SIGTERM ends cleanly."""
    url = database("notify")
    seals = Seals("registry", settings_for("notify", url).transit_keys)
    officer, person = uuid4(), uuid4()
    known: list[Event] = [
        StaffAppointed(
            staff_id=officer,
            staff_no="HH001",
            name="刘志强",
            division=VILLAGE,
            roles=(),
            scopes=(VILLAGE,),
            active=True,
            epoch=0,
            version=1,
        ),
        StaffContactChanged(
            staff_id=officer,
            division=VILLAGE,
            phone=seals.seal("notify", "13900139000"),
            epoch=0,
            version=1,
        ),
        PersonRecorded(
            person_id=person,
            household_id=uuid4(),
            division=VILLAGE,
            name="陈桂兰",
            sex="2",
            birth_date=None,
            relation="户主",
            is_head=True,
            officer_id=officer,
            epoch=0,
            version=1,
        ),
    ]
    death = PersonDied(
        person_id=person,
        household_id=uuid4(),
        division=VILLAGE,
        died_on=date(2026, 12, 3),
        source="public_security",
        source_event_id="e1",
    )
    port, smtp = free_ports(2)
    health = f"http://127.0.0.1:{port}"
    with (
        process("deploy.local.mailbox", "--port", str(smtp), "--folder", str(tmp_path)),
        process(
            "services.chassis.runner",
            "notify",
            **KEYS,
            AMQP_URI=amqp_uri,
            NOTIFY_DATABASE_URL=url,
            NOTIFY_SMTP_URL=f"smtp://127.0.0.1:{smtp}",
            ZHIDA_MODE="test",
            HEALTH_ADDRESS=f"127.0.0.1:{port}",
        ),
    ):
        until("readiness", lambda: answers(f"{health}/readyz"))
        publish(amqp_uri, [death, *known, death])
        until("the message", lambda: any(mailbox.read(tmp_path)))
        publish(amqp_uri, [death])
        wanted = 'zhida_events_applied_total{service="notify",subscription="notify.tell_of_deaths"}'

        def told_thrice() -> bool:
            with urllib.request.urlopen(f"{health}/metrics", timeout=5) as answer:
                return f"{wanted} 3.0" in answer.read().decode()

        until("the third telling", told_thrice)
        assert answers(f"{health}/livez")
    (mail,) = mailbox.read(tmp_path)
    assert mail.to == "13900139000@sms.zhida.example"
    assert mail.text.startswith("【洪湖民政】您负责的陈桂兰已登记死亡")
    assert mail.attempt == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOTIFY_SMTP_URL", "http://mail"),
        ("NOTIFY_SMS_MAIL_FORM", "sms@example.cn"),
        ("NOTIFY_MAIL_FROM", "nobody"),
        ("NOTIFY_QUIET_HOURS", "off"),
        ("NOTIFY_SMTP_URL", ""),
    ],
)
def test_a_wrong_setting_stops_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In production every setting must be there and right; the error names it."""
    from services.chassis.settings import SettingsError
    from services.notify.settings import GatewaySettings

    right = {
        "NOTIFY_SMTP_URL": "smtp+starttls://user:p%40ss@mail.honghu.example",
        "NOTIFY_SMS_MAIL_FORM": "{number}@sms.example.cn",
        "NOTIFY_MAIL_FROM": "zhida@honghu.example",
        "NOTIFY_QUIET_HOURS": "on",
    }
    for each, good in right.items():
        monkeypatch.setenv(each, good)
    settings = GatewaySettings.from_env("production")
    assert (settings.port, settings.password) == (587, "p@ss")
    assert "p@ss" not in repr(settings)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        GatewaySettings.from_env("production")
