"""Reading and writing in bulk changes nothing of what is read and written."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import amqp_io

FRAMES = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 9), st.binary(max_size=300)),
    max_size=20,
)


class Socket:
    """Gives the bytes in the pieces it was told, then nothing more for now."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def recv(self, _size: int) -> bytes:
        """The next piece."""
        if not self._pieces:
            raise TimeoutError
        return self._pieces.pop(0)


def connection_over(pieces: list[bytes]) -> tuple[Any, list[tuple[int, int, bytes]]]:
    """A connection whose client notes the frames it is handed."""
    seen: list[tuple[int, int, bytes]] = []

    @contextmanager
    def having_timeout(_seconds: float) -> Iterator[None]:
        yield

    transport = SimpleNamespace(
        sock=Socket(pieces), having_timeout=having_timeout, _read_buffer=b"", _write=None
    )
    protocol = SimpleNamespace(connected=True, transport=transport, on_inbound_frame=seen.append)
    return SimpleNamespace(_connection=protocol), seen


@given(frames=FRAMES, cuts=st.lists(st.integers(1, 5000), max_size=15))
def test_frames_are_the_same_however_they_arrive(
    frames: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    """Cut anywhere, even inside a frame's head: every frame comes out once and in order."""
    stream = b"".join(
        struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
        for kind, channel, payload in frames
    )
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    connection, seen = connection_over(pieces)
    for _ in range(len(pieces) + 1):
        amqp_io.drain(connection, 0)
    assert seen == frames


def test_an_error_in_one_frame_keeps_those_behind_it() -> None:
    """The client may raise (a channel closed): what came in the same piece is not lost."""
    frame = struct.pack(">BHI", 8, 0, 0) + b"\xce"
    connection, _ = connection_over([frame * 3])
    taken: list[object] = []

    def take(given: object) -> None:
        taken.append(given)
        if len(taken) == 1:
            raise OSError("channel closed")

    connection._connection.on_inbound_frame = take
    with pytest.raises(OSError, match="channel closed"):
        amqp_io.drain(connection, 0)
    assert connection._connection.transport._read_buffer == frame * 2


def test_a_closed_connection_is_not_quietly_replaced() -> None:
    """kombu would connect anew, and we would listen to a connection without our consumer."""
    connection, _ = connection_over([])
    connection._connection.connected = False
    with pytest.raises(ConnectionResetError):
        amqp_io.drain(connection, 0)
    with pytest.raises(ConnectionResetError), amqp_io.corked(connection):
        pass


@given(writes=st.lists(st.binary(min_size=1, max_size=50_000), max_size=8))
def test_corked_writes_are_sent_whole_and_in_order(writes: list[bytes]) -> None:
    """What is written within the block arrives as written, in fewer pieces."""
    connection, _ = connection_over([])
    sent: list[bytes] = []
    transport = connection._connection.transport
    transport._write = sent.append
    with amqp_io.corked(connection):
        for data in writes:
            transport._write(memoryview(data))
    assert b"".join(sent) == b"".join(writes)
    assert len(sent) <= len(writes)
    transport._write(b"after")
    assert sent[-1] == b"after"
