"""A TCP wire between the services and one server, which can be cut, silenced or made one-way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any

CHUNK = 1 << 17


class Mood(Enum):
    """What the wire does with what it is given."""

    CARRY = "carry"
    SILENCE = "silence"
    """Nothing passes either way and nobody is told: a partition."""
    SWALLOW = "swallow"
    """What the clients say arrives; the answers do not."""
    REFUSE = "refuse"
    """Nobody gets through: connections are closed at once."""


class Wire:
    """Listens on a port of its own and carries to ``target``; lives in a thread of its own."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.mood = Mood.CARRY
        self._open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._do(
            asyncio.start_server(self._accept, "127.0.0.1", port, limit=CHUNK)
        )
        self._set(Mood.CARRY)

    def set(self, mood: Mood) -> None:
        """Change what is done with what comes from now on."""
        self._call(lambda: self._set(mood))

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return int(self._call(self._cut))

    def close(self) -> None:
        """End the wire with all it carries."""
        self._call(self._server.close)
        self.set(Mood.CARRY)  # nobody waits in the silence any more
        self._call(self._cut)
        self._do(asyncio.sleep(0.1))  # what was cut comes to its end
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _set(self, mood: Mood) -> None:
        self.mood = mood
        if mood is Mood.SILENCE:
            self._free.clear()
        else:
            self._free.set()
        if mood is Mood.REFUSE:
            self._cut()

    def _cut(self) -> int:
        ended = len(self._open) // 2
        for transport in list(self._open):
            transport.abort()
        return ended

    async def _accept(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self.mood is Mood.REFUSE:
            back.transport.abort()
            return
        try:
            server, forth = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
        except OSError:
            back.transport.abort()
            return
        ends = {back.transport, forth.transport}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(client, forth, lambda: True))
                group.create_task(self._carry(server, back, lambda: self.mood is not Mood.SWALLOW))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for transport in ends:
                transport.abort()
            self._open -= ends

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        heard: Callable[[], bool],
    ) -> None:
        while data := await source.read(CHUNK):
            await self._free.wait()
            if heard():
                target.write(data)
                await target.drain()
        with suppress(OSError):
            target.write_eof()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call(self, work: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return work()

        return self._do(run())
