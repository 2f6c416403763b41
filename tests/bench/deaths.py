"""From a bureau's word of a death to the stopped payment, while the city's month is computed and
while another roster of the same size comes in.

All services run as `zhida up` starts them. A bureau with its own broker user tells of a death
every tenth of a second for as long as the load lasts; measured is, of each, the time from handing
the event to the broker until funding's transaction that stopped the person was committed, by the
database's own clock. BENCH_PEOPLE sets another size.
"""

# ruff: noqa: E402 - the stack's home is chosen before it is imported
from __future__ import annotations

import os
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".zhida" / "bench"
os.environ.setdefault("ZHIDA_HOME", str(HOME))

import json
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from joserfc import jwe
from joserfc.jwk import ECKey
from kombu import Connection, Producer

from deploy.local import stack
from deploy.samples.death_notice import EVENT
from services.cli import sample_roster
from services.cli.demo import applications, cast, evidence, money, story
from services.cli.demo.world import World, eventually
from services.contracts.commands import funding
from services.contracts.commands.registry import ImportRoster

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "110000"))
SEED = 1
EVERY_S = 0.1
DIED_ON = "2026-10-20"


def measure() -> dict[str, dict[str, Any]]:
    """The 99th percentile under each load, in milliseconds."""
    folder = HOME / "files"
    try:
        world = story._open(PEOPLE, SEED, folder, say)
        cast.enter(world)
        world.set_clock(applications.ACCEPTED_ON)
        money.endow(world)
        roster, other = folder / "roster.xlsx", folder / "other.xlsx"
        sample_roster.write(PEOPLE, SEED, roster)
        sample_roster.write(PEOPLE, SEED + 1, other)
        story._import(world, roster)
        story._settle_down(world)
        bureau = Bureau(world, roster)
        world.set_clock(money.COMPUTED_ON)
        world["funding_clerk"].ask(funding.OpenBatch(month=money.CYCLE))
        cycle = bureau.under(lambda: money.compute(world, money.CYCLE))
        file_id = world["county_decider"].upload("registry", other)
        request = ImportRoster(file_id=file_id, first_month=story.FIRST_MONTH)
        incoming = bureau.under(lambda: world["county_decider"].ask(request))
    finally:
        stack.down()
    return {
        "death_in_cycle_p99_ms": {**figures(cycle), "people": PEOPLE},
        "death_in_import_p99_ms": {**figures(incoming), "people": PEOPLE},
    }


def say(words: str) -> None:
    """How far it is."""
    sys.stderr.write(f"{words}\n")


def figures(milliseconds: list[float]) -> dict[str, Any]:
    """What a list of latencies comes to."""
    ordered = sorted(milliseconds)
    return {
        "value": round(ordered[max(0, round(len(ordered) * 0.99) - 1)]),
        "p50": round(ordered[len(ordered) // 2]),
        "longest": round(ordered[-1]),
        "deaths": len(ordered),
    }


class Bureau:
    """Public security: a broker user of its own, and people of the roster to tell of."""

    def __init__(self, world: World, roster: Path) -> None:
        assert world.stack.broker is not None
        self._world = world
        self._uri = world.stack.broker.add_user(
            "public_security",
            secrets.token_urlsafe(16),
            vhost=story.vhost(world.stack),
            configure="^$",
            write="^bureaus\\.events$",
            read="^$",
            topics={"bureaus.events": ("^public_security\\.", "^$")},
        )
        public = story.keys.kept(stack.KEYS)["BUREAU_PUBLIC_KEY"]
        self._key = ECKey.import_key(json.loads(public))
        self._numbers: Iterator[str] = iter(
            dict.fromkeys(str(row["身份证号"]) for row in evidence.sheet(roster) if row["待遇项目"])
        )

    def under(self, load: Callable[[], object]) -> list[float]:
        """Tell of deaths while the load lasts; the milliseconds until each was stopped."""
        sent: dict[str, float] = {}
        with ThreadPoolExecutor(1) as pool, self._producer() as (producer, user):
            busy = pool.submit(load)
            while not busy.done():
                began = time.time()
                sent[self._tell(producer, user)] = began
                time.sleep(max(0.0, EVERY_S - (time.time() - began)))
            busy.result()
        stopped = eventually("资金停发", lambda: self._stopped(set(sent)), patience_s=120)
        return [(stopped[event] - began) * 1000 for event, began in sent.items()]

    @contextmanager
    def _producer(self) -> Iterator[tuple[Producer, str]]:
        options = {"confirm_publish": True, "connect_timeout": 5}
        with Connection(self._uri, transport_options=options) as connection:
            yield Producer(connection.channel()), connection.userid

    def _tell(self, producer: Producer, user: str) -> str:
        event_id, number = str(uuid.uuid4()), next(self._numbers)
        header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": self._key.kid}
        body = {
            "certificate_no": event_id,
            "division": self._world.village,
            "identity_number": jwe.encrypt_compact(header, number.encode(), self._key),
            "died_on": DIED_ON,
        }
        producer.publish(
            json.dumps(body).encode(),
            exchange="bureaus.events",
            routing_key=f"{EVENT}.42.10.83.100.205",
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            mandatory=True,
            user_id=user,
            message_id=event_id,
            headers={
                "cloudEvents:specversion": "1.0",
                "cloudEvents:id": event_id,
                "cloudEvents:source": "/public_security",
                "cloudEvents:type": EVENT,
                "cloudEvents:subject": event_id,
                "cloudEvents:time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
            timeout=10,
            confirm_timeout=10,
        )
        return event_id

    def _stopped(self, events: set[str]) -> dict[str, float] | None:
        """When each was stopped, once all are."""
        url = self._world.stack.database_urls["funding"]
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT source_event_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))"
                " FROM stop WHERE source_event_id = ANY(%s)",
                [list(events)],
            )
            found = {event: float(moment) for event, moment in cursor.fetchall()}
        return found if found.keys() == events else None
