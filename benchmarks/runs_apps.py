# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Follows runs for `make bench-runs`, in a process of its own and one loop of asyncio.

`python -m benchmarks.runs_apps NAME ADDRESS --runs N --followers N --events N --warm N` follows
runs that have one event each. It prints a line when all followers have begun, and its figures as
JSON when each has got all events of its run. It stays until the end of its standard input.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from array import array
from collections.abc import AsyncIterator, Callable, Mapping

from axon_events.runs import _core
from axon_events.runs.redis import RedisRuns
from axon_events.runs.sqlite import SqliteRuns

# What the connections of this process are called in Redis.
CLIENT_NAME = "followers"

_TOKEN = re.compile(rb'"content":"(\d+)","token_index":(\d+),')

# Yields what a follower of a run gets. The first item says that it has begun.
Follow = Callable[[str], AsyncIterator[bytes]]


def run_name(n: int) -> str:
    return f"run-{n}"


def _of(runs: _core.Runs) -> Follow:
    async def follow(run: str) -> AsyncIterator[bytes]:
        async for piece in await runs.run(run).afollow():
            yield piece

    return follow


def _redis(url: str) -> Follow:
    import redis  # pyright: ignore[reportMissingImports]

    return _of(RedisRuns(redis.Redis.from_url(url, client_name=CLIENT_NAME, socket_timeout=5.0)))


def _subscriptions(url: str) -> Follow:
    """Return the floor: a connection and a subscription for each follower."""
    import redis.asyncio  # pyright: ignore[reportMissingImports]

    client = redis.asyncio.Redis.from_url(url, client_name=CLIENT_NAME, max_connections=10_000)

    async def follow(run: str) -> AsyncIterator[bytes]:
        pubsub = client.pubsub()
        await pubsub.subscribe(run)
        async for message in pubsub.listen():
            yield b"" if message["type"] == "subscribe" else message["data"]

    return follow


CONTESTANTS: Mapping[str, Callable[[str], Follow]] = {
    "sqlite": lambda path: _of(SqliteRuns(path)),
    "redis": _redis,
    "subscriptions": _subscriptions,
}


class _Followers:
    """The followers of a process, and what they got.

    - `count`: how many there are.
    - `events`: how many each run has, the first one included.
    - `warm`: how many of these, from the first one on, are not timed.
    """

    def __init__(self, count: int, events: int, warm: int) -> None:
        self._waiting = count  # to begin
        self._events = events
        self._warm = warm
        self._begun = 0.0
        self.times = array("q")  # nanoseconds from append to receipt

    def _has_begun(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._begun = time.process_time()
            print("following", flush=True)

    async def follow(self, pieces: AsyncIterator[bytes]) -> None:
        """Time each event; raise AssertionError unless each comes once and in order."""
        count = 1
        await anext(pieces)
        self._has_begun()
        while count < self._events:
            piece = await anext(pieces)
            now = time.monotonic_ns()
            for match in _TOKEN.finditer(piece):
                appended, index = map(int, match.groups())
                count += 1
                if index != count:
                    raise AssertionError(f"expected event {count} of a run, got {index}")
                if count > self._warm:
                    self.times.append(now - appended)

    @property
    def processor(self) -> float:
        return time.process_time() - self._begun


async def _follow(follow: Follow, runs: int, count: int, events: int, warm: int) -> None:
    followers = _Followers(count, events, warm)
    await asyncio.gather(*(followers.follow(follow(run_name(n % runs))) for n in range(count)))
    processor = followers.processor / (count * (events - 1))
    times = sorted(followers.times)
    figures = {
        "median": times[len(times) // 2] * 1e-9,
        "p99": times[len(times) * 99 // 100] * 1e-9,
        "processor": processor,
    }
    print(json.dumps(figures), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("address")
    for option in ("--runs", "--followers", "--events", "--warm"):
        parser.add_argument(option, type=int, required=True)
    args = parser.parse_args()
    follow = CONTESTANTS[args.name](args.address)
    asyncio.run(_follow(follow, args.runs, args.followers, args.events, args.warm))


if __name__ == "__main__":
    main()
