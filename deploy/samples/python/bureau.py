"""A bureau's client in bare kombu and joserfc: copy it, it imports nothing of Zhida's.

    bureau.py SHEET receive STORE [--idle SECONDS]   take what waits, each event once, into STORE
    bureau.py SHEET gaps STORE                       numbers that never came
    bureau.py SHEET replay --since 2026-11-01 [--type entitlement.*]
    bureau.py SHEET death --certificate GA-1 --died-on 2026-10-20 --division 421083108007
                                                     (the identity number on stdin)
    bureau.py SHEET refusals                         what was not taken, and why

SHEET is the connection sheet (JSON). STORE is a file of one event a line. Prints JSON lines.
"""

import argparse
import json
import os
import sys
import time
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey
from kombu import Connection, Consumer, Message, Producer, Queue

PREFETCH = 200
FINISHED = "zhida.replay_finished"
"""Type of the message that ends a replay; no event."""


def main() -> None:
    """Read the sheet and do what was asked."""
    asked = _arguments()
    sheet = json.loads(asked.sheet.read_text(encoding="utf-8"))
    match asked.command:
        case "receive":
            _say({"stored": receive(sheet, asked.store, asked.idle)})
        case "gaps":
            for gap in gaps(asked.store):
                _say(gap)
        case "replay":
            _say(send(sheet, "replay_requested.v1", sheet["division"], replay_body(sheet, asked)))
        case "death":
            number = sys.stdin.readline().strip()
            body = {
                "certificate_no": asked.certificate,
                "division": asked.division,
                "identity_number": sealed(sheet, number),
                "died_on": asked.died_on,
            }
            _say(send(sheet, "death_registered.v1", asked.division, body))
        case "refusals":
            refusals(sheet)


def receive(sheet: dict[str, Any], store: Path, idle: float) -> int:
    """Store each event once, then acknowledge; end when nothing came for ``idle`` seconds.

    Deliveries repeat (a broken connection, a replay), so what is known by its id is left out. An
    event is acknowledged only once it is safely stored: killed at any moment, nothing is lost.
    """
    known = {event["id"] for event in stored(store)}
    count = 0
    with store.open("a", encoding="utf-8") as file, connected(sheet) as connection:

        def take(message: Message) -> None:
            nonlocal count
            headers = message.headers
            if message.properties.get("type") == FINISHED:
                _say({"replayed": json.loads(message.body)})
            elif (event_id := headers["cloudEvents:id"]) not in known:
                event = {
                    "id": event_id,
                    "type": headers["cloudEvents:type"],
                    "source": headers["cloudEvents:source"],
                    "time": headers["cloudEvents:time"],
                    "sequence": headers["cloudEvents:sequence"],
                    "replayed": "x-replayed-for" in headers,
                    "data": json.loads(message.body),
                }
                file.write(json.dumps(event, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
                known.add(event_id)
                count += 1
            message.ack()

        queue = Queue(sheet["queue"], no_declare=True)
        consumer = Consumer(connection, [queue], on_message=take, prefetch_count=PREFETCH)
        with consumer:
            while True:
                try:
                    connection.drain_events(timeout=idle)
                except TimeoutError:
                    return count


def stored(store: Path) -> list[dict[str, Any]]:
    """What was stored before."""
    if not store.exists():
        return []
    return [json.loads(line) for line in store.read_text(encoding="utf-8").splitlines()]


def gaps(store: Path) -> list[dict[str, Any]]:
    """Numbers that are missing between the first and the last that came, per type and county.

    Only who sees whole counties can tell: a town's events are some of its county's numbers. Answers
    to one bureau (``bureau_event.…``) are numbered among those to others and are left out.
    """
    series: dict[tuple[str, str], set[int]] = {}
    for event in stored(store):
        county, _, number = event["sequence"].rpartition(":")
        if not event["type"].startswith("bureau_event."):
            series.setdefault((event["type"], county), set()).add(int(number))
    found = []
    for (type_name, county), numbers in sorted(series.items()):
        missing = sorted(set(range(min(numbers), max(numbers))) - numbers)
        if missing:
            found.append({"type": type_name, "county": county, "missing": missing})
    return found


def replay_body(sheet: dict[str, Any], asked: argparse.Namespace) -> dict[str, Any]:
    """Ask for everything since a day, or for some types of it."""
    return {"division": sheet["division"], "from_date": asked.since, "types": asked.type}


def sealed(sheet: dict[str, Any], number: str) -> str:
    """The number for registry's eyes alone. It is sent in no other form."""
    key = ECKey.import_key(sheet["public_key"])
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key.kid}
    return jwe.encrypt_compact(header, number.encode(), key)


def send(
    sheet: dict[str, Any],
    event: str,
    division: str,
    body: dict[str, Any],
    line: Connection | None = None,
) -> dict[str, Any]:
    """Publish an event and wait until the broker has it; sent again under the same id if not.

    Who says much keeps a ``line`` (``connected``): to connect costs the broker more than an event.
    What comes of it is said by ``bureau_event.accepted.v1`` in the queue or by a refusal.
    """
    name = f"{sheet['bureau']}.{event}"
    event_id = str(uuid.uuid4())
    words = [division[:2], division[2:4], division[4:6], division[6:9], division[9:12]]
    for pause in (1, 5, 25, None):
        try:
            held = nullcontext(line) if line else connected(sheet)
            with held as connection:
                Producer(connection.default_channel).publish(
                    json.dumps(body).encode(),
                    exchange=sheet["exchange"],
                    routing_key=".".join([name, *filter(None, words)]),
                    content_type="application/json",
                    content_encoding="utf-8",
                    delivery_mode=2,
                    mandatory=True,
                    user_id=sheet["user_id"],
                    message_id=event_id,
                    headers={
                        "cloudEvents:specversion": "1.0",
                        "cloudEvents:id": event_id,
                        "cloudEvents:source": f"/{sheet['bureau']}",
                        "cloudEvents:type": name,
                        "cloudEvents:time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    },
                    timeout=10,
                    confirm_timeout=10,
                )
            return {"event_id": event_id, "confirmed_at": time.time()}
        except Exception as trouble:
            sys.stderr.write(f"{type(trouble).__name__}: {trouble}\n")
            if pause is None:
                raise
            line = None
            time.sleep(pause)
    raise AssertionError


def refusals(sheet: dict[str, Any]) -> None:
    """Print and take what was refused."""
    with connected(sheet) as connection:
        channel = connection.channel()
        while message := channel.basic_get(sheet["refusals"]):
            _say(json.loads(message.body))
            channel.basic_ack(message.delivery_tag)


def connected(sheet: dict[str, Any]) -> Connection:
    """A connection whose publishing waits for the broker's confirm; closed with its ``with``."""
    connection = Connection(
        sheet["amqp_uri"],
        heartbeat=30,
        transport_options={"connect_timeout": 5, "write_timeout": 10, "confirm_publish": True},
    )
    connection.connect()
    return connection


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("sheet", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    receiving = commands.add_parser("receive")
    receiving.add_argument("store", type=Path)
    receiving.add_argument("--idle", type=float, default=5.0)
    commands.add_parser("gaps").add_argument("store", type=Path)
    replaying = commands.add_parser("replay")
    replaying.add_argument("--since", required=True)
    replaying.add_argument("--type", action="append", default=[])
    death = commands.add_parser("death")
    for name in ("--certificate", "--died-on", "--division"):
        death.add_argument(name, required=True)
    commands.add_parser("refusals")
    return parser.parse_args()


if __name__ == "__main__":
    main()
