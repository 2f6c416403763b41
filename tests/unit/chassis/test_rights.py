"""Broker users: each may do what its code needs, and the least of it."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid

import pytest

from services.chassis import rights, topology
from services.chassis.bureaus import Bureau
from services.chassis.discovery import NAMES
from services.chassis.rights import Rights

WRITTEN = {each.user: each for each in rights.written()}


def test_the_written_rights_are_those_of_the_code() -> None:
    """`python -m services.chassis.rights` was run after the last change of a subscription."""
    told = "import sys; from services.chassis import rights; sys.stdout.write(rights.document())"
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", told], capture_output=True, text=True, check=True
    )
    assert made.stdout == rights.FILE.read_text(encoding="utf-8")


def _may(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_service_reaches_nothing_of_anothers(name: str) -> None:
    """No work queue, retry or dead letters of another, no word in another's name, no bureau's."""
    given = WRITTEN[name]
    for other in set(NAMES) - {name}:
        for queue in (f"{other}.copies", f"{other}.copies.dead", f"rpc-{other}", "bureau.housing"):
            for pattern in (given.configure, given.write, given.read):
                assert not _may(pattern, queue), (queue, pattern)
        for exchange in topology.exchanges_of(other):
            assert not _may(given.write, exchange)
            if exchange in given.topics:
                assert given.topics[exchange][0] == rights.NOTHING
    assert given.topics[rights.RPC] == (rights.REPLY_KEY, rf"^(?:{name}\.\*)$")


@pytest.mark.parametrize("edge", rights.EDGES)
def test_the_edge_asks_and_hears_its_own_answers(edge: str) -> None:
    """It cannot listen in on what others ask: passwords and tokens go through there."""
    given = WRITTEN[edge]
    write, read = given.topics[rights.RPC]
    assert _may(write, "registry.sign_in")
    assert not _may(read, "#")
    assert not _may(read, "registry.*")
    for queue in ("rpc-registry", f"rpc.reply-standalone_rpc_proxy-{uuid.uuid4()}", "mine"):
        assert not _may(given.read, queue)
        assert not _may(given.configure, queue)
    assert not _may(given.write, rights.DEFAULT)
    assert not _may(given.configure, "registry.events")


def test_every_exchange_a_user_touches_has_topic_rights() -> None:
    """Where a user has none, RabbitMQ lets every routing key through."""
    bureau = Bureau(name="housing", title="住建局", division="421083", may_see=("*.*",))
    for given in (*WRITTEN.values(), rights.of_bureau(bureau, "zhida")):
        for exchange in _exchanges():
            if _may(given.read, exchange) or _may(given.write, exchange):
                assert exchange in given.topics, (given.user, exchange)


def _exchanges() -> list[str]:
    return [
        rights.RPC,
        topology.INBOUND,
        *(e for name in NAMES for e in topology.exchanges_of(name)),
    ]


def test_a_bureau_of_the_highest_class_still_reads_no_archive() -> None:
    """Whatever its entry says, it configures nothing and reads its own two queues."""
    bureau = Bureau(name="housing", title="住建局", division="42", may_see=("*.*",),
                    privacy="identified", legal_basis="某法")  # fmt: skip
    given: Rights = rights.of_bureau(bureau, "zhida")
    assert given.configure == rights.NOTHING
    for name in ("registry.events.archive", "bureaus.events.archive", "registry.internal",
                 "bureau.other", "bureau.housing.more", "registry.published"):  # fmt: skip
        assert not _may(given.read, name)
        assert not _may(given.write, name)
