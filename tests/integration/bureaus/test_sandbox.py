"""The sandbox: a bureau's program tries itself there, and touches nothing of the city."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import amqp
import msgspec
import pytest

from deploy import bureaus as joining
from deploy.local import Servers
from deploy.sandbox import people
from deploy.sandbox.door import Door
from deploy.sandbox.place import Sandbox
from services.chassis.bureaus import Bureau
from tests.builders.roster import identity
from tests.fixtures.services import KEYS
from tests.integration.bureaus.city import POLICE, VILLAGE
from tests.integration.bureaus.test_programs import SAMPLES, Program
from tests.integration.chassis.bus import eventually

pytestmark = pytest.mark.timeout(300)

COUNTY = "421083"
PEOPLE = 15


@pytest.fixture
def address(servers: Servers) -> str:
    """The broker as a bureau reaches it."""
    return f"amqp://127.0.0.1:{servers.broker.amqp_port}"


@pytest.fixture
def sandbox(servers: Servers, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox beside the city; gone afterwards, with every user made for it."""
    name = f"sandbox-{uuid4().hex[:8]}"
    made = Sandbox.beside(servers.broker.management(), tmp_path / "sandbox", name)
    yield made
    made.erase()
    assert not made.stands()
    assert not [user for user in made.broker.users() if user.endswith(f"@{name}")]


@contextmanager
def opened(sandbox: Sandbox, address: str) -> Iterator[None]:
    """Zhida's side at work."""
    door = Door(
        sandbox.prepare(address),
        private_key=sandbox.private_key(),
        bureaus_file=sandbox.bureaus_file,
        county=COUNTY,
        people_at_first=PEOPLE,
        seconds_a_person=2.0,
    )
    stop = Signal()
    serving = Thread(target=door.serve, args=[stop])
    serving.start()
    try:
        assert door.open.wait(60)
        yield
    finally:
        stop.set()
        serving.join(60)
    assert not serving.is_alive()


def joined(sandbox: Sandbox, bureau: Bureau, address: str) -> joining.Sheet:
    """As `zhida bureau add --sandbox` does it."""
    key = sandbox.public_key()
    sheet = joining.add(sandbox.broker, bureau, address=address, public_key=key)
    joining.write_entry(sandbox.bureaus_file, bureau)
    return sheet


def test_a_program_receives_replays_and_sends_with_the_sheet_alone(
    sandbox: Sandbox, address: str, tmp_path: Path
) -> None:
    """What was told before it joined comes by a replay, without gaps, and new people by themselves;
    a death is accepted, a wrong one refused with code and reason."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    shutil.copy(SAMPLES / "python" / "bureau.py", folder)
    program = Program([sys.executable, "-I", "bureau.py"], folder)
    with opened(sandbox, address):
        sheet = joined(sandbox, POLICE, address)
        assert sheet.public_key != json.loads(KEYS["BUREAU_PUBLIC_KEY"])
        (folder / "sheet.json").write_bytes(msgspec.json.encode(sheet))
        since = (datetime.now(UTC) - timedelta(days=40)).date().isoformat()
        (asked,) = program("replay", "--since", since)

        def stored(of: str) -> list[dict[str, object]]:
            lines = (folder / "events").read_text(encoding="utf-8").splitlines()
            return [event for line in lines if (event := json.loads(line))["type"] == of]

        def replayed() -> bool:
            said = program("receive", "events", "--idle", "1")
            ends = [line["replayed"] for line in said if "replayed" in line]
            finished.extend(end["service"] for end in ends if end["request"] == asked["event_id"])
            return "registry" in finished

        finished: list[str] = []
        eventually(replayed, 120)
        registered = stored("person.registered.v1")
        assert len([each for each in registered if each["replayed"]]) >= PEOPLE
        assert program("gaps", "events") == []

        def a_new_one() -> bool:
            program("receive", "events", "--idle", "1")
            return any(not each["replayed"] for each in stored("person.registered.v1"))

        eventually(a_new_one, 60)

        death = ("--certificate", "GA-1", "--died-on", "2026-09-20", "--division", VILLAGE)
        (good,) = program("death", *death, typed=identity(1))
        (bad,) = program("death", *death, typed="421083195503070010")
        refused: list[dict[str, object]] = []
        eventually(lambda: refused.extend(program("refusals")) or refused, 60)
        assert [(each["event_id"], each["code"], each["field"]) for each in refused] == [
            (bad["event_id"], "bad_identity_number", "identity_number")
        ]

        def accepted() -> bool:
            program("receive", "events", "--idle", "0.5")
            said = stored("bureau_event.accepted.v1")
            return any(each["data"]["event_id"] == good["event_id"] for each in said)  # type: ignore[index]

        eventually(accepted, 60)


def test_nobody_of_the_sandbox_enters_the_city_nor_the_other_way_round(
    servers: Servers, sandbox: Sandbox, address: str
) -> None:
    """Neither the bureau's sandbox user nor the one that plays Zhida opens another vhost."""
    uri = sandbox.prepare(address)
    with servers.broker.scratch_vhost() as city:
        vhost = urlsplit(city).path.removeprefix("/")
        with opened(sandbox, address):
            sheet = joined(sandbox, POLICE, address)
        assert sheet.amqp_uri is not None
        assert POLICE.user(vhost) not in sandbox.broker.users()
        uri = sandbox.prepare(address)  # its password is new each time
        for login in (sheet.amqp_uri, uri):
            user, password = (unquote(part or "") for part in _login(login))
            for other in (vhost, servers.broker.vhost, "/"):
                with pytest.raises((amqp.AccessRefused, amqp.NotAllowed, OSError)):
                    amqp.Connection(_host(login), user, password, virtual_host=other).connect()
            with amqp.Connection(_host(login), user, password, virtual_host=sandbox.broker.vhost):
                pass  # so it was not the password


def _login(uri: str) -> tuple[str | None, str | None]:
    at = urlsplit(uri)
    return at.username, at.password


def _host(uri: str) -> str:
    at = urlsplit(uri)
    return f"{at.hostname}:{at.port}"


def test_the_people_of_the_sandbox_hang_together() -> None:
    """Every event is what the contracts say, of villages that exist; one person's ids are one
    person's in all that is told of them, and nobody else's."""
    known = {code for code, _ in people.villages(COUNTY)}
    lives = [people.life(number, COUNTY) for number in range(30)]
    for life in lives:
        assert {event.division for event in life if len(event.division) == 12} <= known  # type: ignore[attr-defined]
        ids = {str(event.person_id) for event in life if hasattr(event, "person_id")}
        assert len(ids) == 1
    everybody = {event.person_id for life in lives for event in life if hasattr(event, "person_id")}
    assert len(everybody) == len(lives)
    assert {type(event) for life in lives for event in life} == {
        declared.struct for declared in people.types() if declared.name not in people.FIRST
    }
