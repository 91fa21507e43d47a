# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A TCP relay that cuts each connection after some bytes of the answer's body."""

import asyncio
import random
import threading
from contextlib import suppress

__all__ = ["Relay"]


class Relay:
    """A relay on a free port of 127.0.0.1, in a thread of its own.

    - `target`: the port that it passes connections on to.
    - `limits`: of how many bytes of an answer's body it passes on, at least and at most, before it
      cuts the connection: half of the times by a reset.
    - `seed`: of the random numbers.

    `port` is its own; `connections` counts what it has accepted. A context manager.
    """

    def __init__(self, target: int, limits: tuple[int, int], seed: int) -> None:
        self._target = target
        self._limits = limits
        self._random = random.Random(seed)
        self.connections = 0
        self.port = 0
        self._listens = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Relay":
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._stop.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*rest, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        limit = self._random.randint(*self._limits)
        is_reset = self._random.random() < 0.5
        self._writers.add(writer)
        # Nobody may listen there any more.
        with suppress(OSError):
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
            pumps = {
                asyncio.ensure_future(_pump(reader, back_writer)),
                asyncio.ensure_future(_pump_some(back_reader, writer, limit)),
            }
            _, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pending:
                pump.cancel()
            await asyncio.wait(pumps)
            await _close(back_writer)
        if is_reset:
            writer.transport.abort()
        self._writers.remove(writer)
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def _pump_some(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int
) -> None:
    """Pass on the head of the first answer, and so many bytes of what follows."""
    with suppress(OSError, asyncio.IncompleteReadError):
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        while limit and (data := await reader.read(limit)):
            writer.write(data)
            await writer.drain()
            limit -= len(data)
