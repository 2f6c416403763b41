"""A bureau of one town that listens all along, with a broker user of its own."""

from __future__ import annotations

import re
import secrets

from services.chassis import amqp_io, topology
from tests.chaos.stage import Stage

EXCHANGES = ("registry.events", "cases.events", "funding.events")
TOWN = "*.*.v1.42.10.83.100.#"
QUEUE = "bureau.town100"

_LONG = re.compile(r"\d{17}[\dXx]")


class Bureau:
    """Binds its queue as itself before anybody speaks, and remembers all it was told."""

    def __init__(self, stage: Stage) -> None:
        readable = "|".join(re.escape(name) for name in (*EXCHANGES, QUEUE))
        own = f"^{re.escape(QUEUE)}$"
        self._uri = stage.servers.broker.add_user(
            "town100",
            secrets.token_urlsafe(12),
            vhost=stage.vhost,
            configure=own,
            write=own,
            read=f"^({readable})$",
            topics=dict.fromkeys(EXCHANGES, ("^$", r"^\*\.\*\.v1\.42\.10\.83\.100\.")),
        )
        self.heard: dict[str, tuple[str, str]] = {}
        """(exchange, routing key) by event id."""
        self.long_numbers: set[str] = set()
        with amqp_io.connect(stage.servers.amqp_uri) as connection:
            topology.declare(connection.channel(), topology.Layout(exchanges=EXCHANGES))
        connection = amqp_io.connect(self._uri)
        try:
            channel = connection.channel()
            channel.queue_declare(
                QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )
            for exchange in EXCHANGES:
                channel.queue_bind(QUEUE, exchange, TOWN)
        finally:
            amqp_io.drop(connection)

    def listen(self) -> None:
        """Take everything that waits."""
        connection = amqp_io.connect(self._uri)
        try:
            channel = connection.channel()
            while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
                came_by = message.delivery_info
                event_id = str((message.headers or {}).get("cloudEvents:id"))
                self.heard[event_id] = (came_by["exchange"], came_by["routing_key"])
                body = message.body if isinstance(message.body, str) else message.body.decode()
                self.long_numbers.update(_LONG.findall(body))
        finally:
            amqp_io.drop(connection)

    @staticmethod
    def may_see(exchange: str, key: str) -> bool:
        """Whether an event of an exchange with a routing key is for this bureau."""
        return exchange in EXCHANGES and topology.matches(TOWN, key)

    def strangers(self) -> list[tuple[str, str]]:
        """What it was told and should not have been."""
        return [came_by for came_by in self.heard.values() if not self.may_see(*came_by)]
