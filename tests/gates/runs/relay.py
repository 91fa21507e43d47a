# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A TCP relay whose connections can be cut, go silent, or lose a reply."""

import asyncio
import random
import threading
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["Relay"]


class Relay:
    """A relay on a free port of 127.0.0.1, in a thread of its own.

    - `targets`: the ports that it passes connections on to; each connection to one of them, at
      random. They may be changed, for later connections.

    Its methods are for any thread. A context manager.
    """

    def __init__(self, targets: Sequence[int]) -> None:
        self.targets = targets
        self.port = 0
        self.connections = 0  # that it has accepted
        self.swallowed = 0
        self._random = random.Random(0)
        self._connections: set[_Connection] = set()
        self._left_to_swallow = 0
        self._mark = b""
        self._listens = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self._listens.wait()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def cut(self, count: int | None = None) -> None:
        """Cut this many connections, or all; half of them by a reset."""
        self._loop.call_soon_threadsafe(self._cut, count)

    def _cut(self, count: int | None) -> None:
        connections = list(self._connections)
        self._random.shuffle(connections)
        for connection in connections[:count]:
            connection.cut(is_reset=self._random.random() < 0.5)

    def silence_subscriptions(self) -> int:
        """Pass nothing on any more over the subscribed connections, and leave them open.

        Returns how many there are.
        """
        found = [each for each in list(self._connections) if each.is_subscription]
        for each in found:
            each.is_silent = True
        return len(found)

    def swallow(self, count: int, mark: bytes) -> None:
        """Lose the next replies to requests with a mark, and cut their connections.

        - `count`: how many replies.
        """
        self._mark = mark
        self._left_to_swallow = count

    def takes_reply(self, request: bytes) -> bool:
        if not self._left_to_swallow or self._mark not in request:
            return False
        self._left_to_swallow -= 1
        self.swallowed += 1
        return True

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._stop.wait()
        server.close()
        self._cut(None)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*rest, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # Nobody may listen there any more.
        with suppress(OSError):
            target = self._random.choice(self.targets)
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", target)
            connection = _Connection(self, writer, back_writer)
            self._connections.add(connection)
            pumps = {
                asyncio.ensure_future(connection.pump_requests(reader)),
                asyncio.ensure_future(connection.pump_replies(back_reader)),
            }
            _, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pending:
                pump.cancel()
            await asyncio.wait(pumps)
            self._connections.remove(connection)
            await _close(back_writer)
        await _close(writer)


class _Connection:
    """A connection of a relay."""

    def __init__(
        self, relay: Relay, front: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        self._relay = relay
        self._front = front
        self._back = back
        self.is_subscription = False
        self.is_silent = False
        self._loses_reply = False

    def cut(self, *, is_reset: bool) -> None:
        for writer in (self._front, self._back):
            if is_reset:
                writer.transport.abort()
            else:
                writer.close()

    async def pump_requests(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(2**20):
                if b"SUBSCRIBE\r\n" in data.upper():
                    self.is_subscription = True
                if self.is_silent:
                    continue
                self._loses_reply = self._loses_reply or self._relay.takes_reply(data)
                self._back.write(data)
                await self._back.drain()

    async def pump_replies(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(2**20):
                if self._loses_reply:
                    self.cut(is_reset=True)
                    return
                if not self.is_silent:
                    self._front.write(data)
                    await self._front.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
