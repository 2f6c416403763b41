"""A broker that was cut off in silence: nobody waits for it longer than was agreed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.local import Servers
from deploy.local.ports import free_ports
from tests.chaos.stage import through
from tests.chaos.wire import Mood, Wire

ASKING = """
import eventlet
eventlet.monkey_patch()
import sys
from services.chassis import amqp_io
amqp_io.ANSWER_S = 1.0
connection = amqp_io.connect(sys.argv[1])
channel = connection.channel()
print("connected", flush=True)
sys.stdin.readline()
try:
    channel.queue_declare("nobody.s", passive=True)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def wire(servers: Servers) -> Iterator[Wire]:
    """A way to the broker that can be silenced."""
    (port,) = free_ports(1)
    made = Wire(port, servers.broker.amqp_port)
    yield made
    made.close()


def test_what_is_asked_of_a_broker_cut_off_in_silence_is_given_up(
    servers: Servers, wire: Wire
) -> None:
    """Under eventlet, as services run. Found by letting the cut last: every consumer waited in its
    look at the queue until the wire was mended, and went on saying that it was connected."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", ASKING, through(servers.amqp_uri, wire.port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as asking:  # fmt: skip
        assert asking.stdout is not None
        assert asking.stdout.readline() == "connected\n"
        wire.set(Mood.SILENCE)
        try:
            said, _ = asking.communicate("now\n", timeout=20)
        except subprocess.TimeoutExpired:
            asking.kill()
            raise
    assert said == "TimeoutError\n"
