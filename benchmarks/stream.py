# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make bench`: what the order checker and the channel cost, beside their peers of the same run.

Prints nanoseconds for each event, the least of several rounds that take turns, and the ratio to a
peer: for `feed` the decoding of the same events, for the channel the standard library's queues
with nothing checked.
"""

import asyncio
import platform
import queue
import threading
import time
from collections.abc import Callable

from axon_events import (
    Event,
    FlowComplete,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    __version__,
    from_json,
    to_json,
)
from axon_events.channel import channel
from axon_events.order import StreamChecker

TOKENS = 20_000
ROUNDS = 7

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


# What is measured, and the peer beside it.
RACES: dict[str, tuple[Callable[[], None], Callable[[], None], str]] = {
    "feed": (feed, decode, "from_json"),
    "channel, one thread": (lambda: one_thread(False), simple_queue, "SimpleQueue"),
    "the same, checked": (lambda: one_thread(True), simple_queue, "SimpleQueue"),
    "channel, two threads": (lambda: two_threads(False), simple_queue_threads, "SimpleQueue"),
    "two threads, checked": (lambda: two_threads(True), simple_queue_threads, "SimpleQueue"),
    "channel, asyncio": (lambda: in_asyncio(False), asyncio_queue, "asyncio.Queue"),
    "asyncio, checked": (lambda: in_asyncio(True), asyncio_queue, "asyncio.Queue"),
}


def seconds(function: Callable[[], None]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def main() -> None:
    print(f"axon_events {__version__}, Python {platform.python_version()}, {len(EVENTS)} events")
    for name, (ours, peer, peer_name) in RACES.items():
        rounds = [(seconds(ours), seconds(peer)) for _ in range(ROUNDS)]
        best, best_of_peer = (
            min(column) / len(EVENTS) * 1e9 for column in zip(*rounds, strict=True)
        )
        print(
            f"{name:<22} {best:7.0f} ns   {peer_name:<14} {best_of_peer:7.0f} ns"
            f"   ratio {best / best_of_peer:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
