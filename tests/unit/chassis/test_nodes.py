"""Several addresses of one broker: whoever connects begins at one that answers."""

from __future__ import annotations

import socket

from services.chassis import amqp_io


def test_an_address_that_answers_comes_first() -> None:
    """In whatever order they are given; none is lost, and each is tried after it."""
    with socket.socket() as open_, socket.socket() as shut:
        for each in (open_, shut):
            each.bind(("127.0.0.1", 0))
        open_.listen()
        there, away = (f"amqp://u:p@127.0.0.1:{each.getsockname()[1]}/v" for each in (open_, shut))
        for given in (f"{there};{away}", f"{away};{there}"):
            for _ in range(10):
                assert amqp_io.reachable_first(given) == f"{there};{away}"
        assert amqp_io.reachable_first(there) == there
        assert amqp_io.reachable_first(f"{away};{away}") == f"{away};{away}"
