"""Bare py-amqp: publishing alone, confirms awaited 500 deep; nothing is consumed or stored."""

from __future__ import annotations

import sys
import time

import amqp

from tests.bench import load
from tests.bench.comparators import declare, open_connection

DEEP = 500


class Confirms:
    """How far the broker has confirmed without a hole."""

    def __init__(self) -> None:
        self.upto = 0
        self._beyond: set[int] = set()

    def note(self, tag: int, multiple: bool) -> None:
        """The broker's ``basic.ack``."""
        if multiple:
            self.upto = max(self.upto, tag)
        else:
            self._beyond.add(tag)
        while self.upto + 1 in self._beyond:
            self.upto += 1
            self._beyond.discard(self.upto)


def main(warm_up: int, counted: int) -> None:
    """Publish both parts; print the seconds of each, the counted one last."""
    connection = open_connection()
    channel = connection.channel()
    declare(channel, "bare")
    channel.confirm_select()
    confirms = Confirms()
    channel.events["basic_ack"].add(confirms.note)
    sent = 0
    for how_many in (warm_up, counted):
        # made beforehand: what is measured is the publishing
        load_ = [(load.body(number), load.headers(number)) for number in range(how_many)]
        began = time.perf_counter()
        for number, (body, headers) in enumerate(load_):
            message = amqp.Message(
                body,
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                message_id=str(number),
                type="reading.taken.v1",
                application_headers=headers,
            )
            channel.basic_publish(message, load.EXCHANGE, load.ROUTING_KEY)
            sent += 1
            while sent - confirms.upto >= DEEP:
                connection.drain_events(timeout=10)
        while confirms.upto < sent:
            connection.drain_events(timeout=10)
        print(time.perf_counter() - began, flush=True)
    connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
