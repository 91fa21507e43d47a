# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The races of the order checker and the channel.

The peer of `feed` is the decoding of the same events; that of the channel, the standard library's
queue, which checks nothing.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial

from axon_events import (
    Event,
    FlowComplete,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    from_json,
    to_json,
)
from axon_events.channel import channel
from axon_events.order import StreamChecker

from .race import Race

TOKENS = 1_000

EVENTS: list[Event] = [
    FlowStart("Report", "anthropic", 1700000000000),
    StepStart("Summarise", 0, "generate", 1700000000000),
    *(StepToken("Summarise", " token", n, 1700000000000 + n) for n in range(1, TOKENS + 1)),
    StepComplete("Summarise", 0, True, " token" * TOKENS, 812, TOKENS, 1700000100000),
    FlowComplete("Report", "anthropic", True, 1, 812, TOKENS, 100000, 1700000100000),
]
LINES = [to_json(event).encode() for event in EVENTS]


def decode() -> None:
    for line in LINES:
        from_json(line)


def feed() -> None:
    checker = StreamChecker()
    for event in EVENTS:
        checker.feed(event)


def simple_queue() -> None:
    pipe: queue.SimpleQueue[Event] = queue.SimpleQueue()
    for event in EVENTS:
        pipe.put(event)
        pipe.get()


def one_thread(check: bool) -> None:
    sender, receiver = channel(check=check)
    for event in EVENTS:
        sender.send(event)
        receiver.recv()


def simple_queue_threads() -> None:
    pipe: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def produce() -> None:
        for event in EVENTS:
            pipe.put(event)

    producer = threading.Thread(target=produce)
    producer.start()
    for _ in EVENTS:
        pipe.get()
    producer.join()


def two_threads(check: bool) -> None:
    sender, receiver = channel(check=check)

    def produce() -> None:
        for event in EVENTS:
            sender.send(event)

    producer = threading.Thread(target=produce)
    producer.start()
    for _ in receiver:
        pass
    producer.join()


def asyncio_queue() -> None:
    async def main() -> None:
        pipe: asyncio.Queue[Event] = asyncio.Queue()

        async def produce() -> None:
            for n, event in enumerate(EVENTS):
                pipe.put_nowait(event)
                if n % 10 == 0:
                    await asyncio.sleep(0)

        producer = asyncio.create_task(produce())
        for _ in EVENTS:
            await pipe.get()
        await producer

    asyncio.run(main())


def in_asyncio(check: bool) -> None:
    async def main() -> None:
        sender, receiver = channel(check=check)

        async def produce() -> None:
            for n, event in enumerate(EVENTS):
                sender.send(event)
                if n % 10 == 0:
                    await asyncio.sleep(0)

        producer = asyncio.create_task(produce())
        async for _ in receiver:
            pass
        await producer

    asyncio.run(main())


def races() -> Iterator[Race]:
    """Yield the races of this group."""
    yield Race("order check", len(EVENTS), {"feed": feed, "from_json": decode}, {"from_json": 0.25})
    for title, ours, peer_name, peer, limit in (
        ("channel, one thread", one_thread, "SimpleQueue", simple_queue, 4.0),
        ("channel, two threads", two_threads, "SimpleQueue", simple_queue_threads, 4.0),
        ("channel, asyncio", in_asyncio, "asyncio.Queue", asyncio_queue, 1.5),
    ):
        contestants: dict[str, Callable[[], None]] = {
            "axon_events": partial(ours, False),
            "axon_events, checked": partial(ours, True),
            peer_name: peer,
        }
        yield Race(title, len(EVENTS), contestants, {peer_name: limit})
