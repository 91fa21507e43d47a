# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The processes that write and follow runs: `python -m tests.gates.runs.programs NAME PLAN`.

A plan is a JSON object. Each process notes in a log of its own, line by line, what it has done and
what it was told. So none of that is lost when it is killed.
"""

import asyncio
import faulthandler
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from axon_events import Event
from axon_events.emit import closing
from axon_events.runs import (
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    Fenced,
    RunExists,
    RunLost,
    RunUnknown,
    StoreUnavailable,
)
from axon_events.runs._core import Runs, RunWriter

from .known import digest, known, split

__all__ = ["opened"]

# The errors after which a follower does not come again.
FINAL = (CursorExpired, RunLost, RunUnknown, CursorAhead, CursorUnknown)
COME_AGAIN_SECONDS = 0.1


def opened(store: dict[str, Any]) -> Runs:
    """Return the runs of a store, given its `kind`, its place and the options of its class."""
    options = dict(store)
    kind = options.pop("kind")
    if kind == "sqlite":
        from axon_events.runs.sqlite import SqliteRuns

        return SqliteRuns(options.pop("path"), **options)
    import redis  # pyright: ignore[reportMissingImports]
    from redis.backoff import NoBackoff  # pyright: ignore[reportMissingImports]
    from redis.retry import Retry  # pyright: ignore[reportMissingImports]

    from axon_events.runs.redis import RedisRuns

    # By default the client tries again three times, and waits up to 14 s in between, which is
    # longer than the leases here.
    client = redis.Redis(
        port=options.pop("port"),
        socket_timeout=options.pop("socket_timeout", 2.0),
        retry=Retry(NoBackoff(), options.pop("retries", 0)),
    )
    return RedisRuns(client, **options)


class Log:
    """Lines of JSON in a file; each is written when its call returns."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, *facts: object) -> None:
        os.write(self._file, json.dumps(facts).encode() + b"\n")


class Writing:
    """One run that a process writes."""

    def __init__(self, runs: Runs, run: str, plan: dict[str, Any], log: Log) -> None:
        self._runs = runs
        self._run = run
        self._plan = plan
        self._log = log
        self._appended = 0
        self._told = ""

    async def to_its_end(self) -> None:
        try:
            writer, events = await self._begun()
        except (RunExists, RunUnknown, StoreUnavailable) as error:
            self._tell(error)
            return
        storing = asyncio.ensure_future(self._note_what_is_stored(writer))
        try:
            await self._append(writer, events)
            if self._plan.get("end") == "silence":
                await asyncio.sleep(3600)
            await self._tried(writer.aclose)
            self._log.note("stored", self._run, self._appended)
            self._log.note("closed", self._run)
        except (Fenced, RunExists) as error:
            self._tell(error)
        finally:
            storing.cancel()

    async def _begun(self) -> tuple[RunWriter, Iterable[Event]]:
        if self._plan.get("resume"):
            # A run cannot be taken over while it is written faster than it can be read.
            writer, before = await self._tried(lambda: self._runs.aresume(self._run))
            self._log.note("resumed", self._run, len(before))
            return writer, closing(before, error="the writer died", clock=lambda: 0)
        events = known(
            self._run,
            self._plan["tokens"],
            mark=self._plan.get("mark", ""),
            size=self._plan.get("size", 20),
        )
        writer = await self._runs.acreate(self._run)
        self._log.note("created", self._run)
        while not os.path.exists(self._plan.get("after", "/")):
            await asyncio.sleep(0.005)
        return writer, events

    async def _append(self, writer: RunWriter, events: Iterable[Event]) -> None:
        begun = time.monotonic()
        for index, event in enumerate(events):
            await asyncio.sleep(begun + index * self._plan["pace"] - time.monotonic())

            async def append(event: Event = event) -> str:
                return writer.append(event)

            id = await self._tried(append)
            self._appended += 1
            if self._plan.get("resume"):
                self._log.note("appended", self._run, *digest(id, event))

    async def _tried(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Call until the store is available; return the result."""
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                self._tell(error)
                await asyncio.sleep(COME_AGAIN_SECONDS)

    def _tell(self, error: Exception) -> None:
        name = type(error).__name__
        if self._told != name:
            self._told = name
            self._log.note("told", self._run, name, str(error))

    async def _note_what_is_stored(self, writer: RunWriter) -> None:
        noted = 0
        while True:
            count = self._appended
            try:
                await writer.aflush(1.0)
            except StoreUnavailable as error:
                self._tell(error)
            except (Fenced, RunExists) as error:
                self._tell(error)
                return
            else:
                if count > noted:
                    noted = count
                    self._log.note("stored", self._run, count)
            await asyncio.sleep(self._plan.get("flush", 0.05))


async def write(plan: dict[str, Any], log: Log) -> None:
    """Write runs, each at its pace, and note what of them is stored."""
    runs = opened(plan["store"])
    await asyncio.gather(*(Writing(runs, run, plan, log).to_its_end() for run in plan["runs"]))
    with suppress(StoreUnavailable):
        await runs.aclose()


class Following:
    """A client of a run, which comes again when its connection ends."""

    def __init__(self, runs: Runs, plan: dict[str, Any], mine: dict[str, Any], log: Log) -> None:
        self._run = runs.run(mine["run"])
        self._name = mine["name"]
        self._plan = plan
        self._log = log
        self._random = random.Random(f"{plan.get('seed', 0)} {self._name}")
        self._back = plan.get("back", "/")  # the file that it waits for when it has left
        self.id = mine.get("id", "")
        self.is_whole = False
        self._closed_since: float | None = None

    def took(self, piece: bytes) -> bool:
        """Note what came; return whether to leave now, and come again."""
        if frames := split(piece):
            self._log.note("got", self._name, frames)
            self.id = frames[-1][0]
            self.is_whole = _ends(piece)
            self._closed_since = None
        return bool(frames) and self._random.random() < self._plan.get("leaving", 0.0)

    def ended(self, error: Exception | None) -> str:
        """Return the name of its end; empty if it is to come again."""
        if isinstance(error, FINAL):
            return type(error).__name__
        if error is not None:
            self._log.note("told", self._name, type(error).__name__, str(error))
            return ""
        if self.is_whole:
            return "whole"
        now = time.monotonic()
        # Like a client that has seen no terminator, it comes again at least once.
        if self._closed_since is None:
            self._closed_since = now
            return ""
        return "closed" if now - self._closed_since >= self._plan.get("again", 0.0) else ""

    @property
    def arguments(self) -> dict[str, Any]:
        return {"id": self.id, "keep_alive": 1.0, "wait": self._plan.get("wait", 20.0)}

    async def in_a_loop(self) -> None:
        while True:
            error: Exception | None = None
            try:
                if await self._left(await self._run.afollow(**self.arguments)):
                    while not os.path.exists(self._back):
                        await asyncio.sleep(0.005)
                    continue
            except (*FINAL, StoreUnavailable) as caught:
                error = caught
            if end := self.ended(error):
                self._log.note("end", self._name, end, str(error), time.time())
                return
            await asyncio.sleep(COME_AGAIN_SECONDS)

    async def _left(self, follower: AsyncIterator[bytes]) -> bool:
        async for piece in follower:
            if self.took(piece):
                return True
        return False

    def in_a_thread(self) -> None:
        while True:
            error: Exception | None = None
            try:
                if any(map(self.took, self._run.follow(**self.arguments))):
                    while not os.path.exists(self._back):
                        time.sleep(0.005)
                    continue
            except (*FINAL, StoreUnavailable) as caught:
                error = caught
            if end := self.ended(error):
                self._log.note("end", self._name, end, str(error), time.time())
                return
            time.sleep(COME_AGAIN_SECONDS)


def _ends(piece: bytes) -> bool:
    """Return whether the last of some frames has a terminator."""
    last = piece[piece.rindex(b"\nevent: ") + 8 :]
    return last.startswith((b"flow_complete\n", b"flow_error\n"))


async def follow(plan: dict[str, Any], log: Log) -> None:
    """Follow runs, with some followers in threads and the others in one loop."""
    runs = opened(plan["store"])
    followers = [Following(runs, plan, mine, log) for mine in plan["followers"]]
    count = plan.get("threads", 0)
    threads = [threading.Thread(target=each.in_a_thread) for each in followers[:count]]
    log.note("begun", len(followers))
    for thread in threads:
        thread.start()
    await asyncio.gather(*(each.in_a_loop() for each in followers[count:]))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await runs.aclose()


async def fork(plan: dict[str, Any], log: Log) -> None:
    """Write and follow, fork in the middle, and go on in the parent and in each child.

    The plan names the run of the parent and that of each child. It also names the followers: first
    the parent's, then two of each child, for the parent's run and for its own.
    """
    runs = opened(plan["store"])
    run, *others = plan["runs"]
    mine, *of_children = plan["followers"]
    writing = asyncio.ensure_future(Writing(runs, run, plan, log).to_its_end())
    following = asyncio.ensure_future(Following(runs, plan, mine, log).in_a_loop())
    children: list[int] = []
    for number, other in enumerate(others):
        await asyncio.sleep(0.2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, since 3.12
            child = os.fork()
        if child == 0:
            _live_on(runs, other, of_children[2 * number : 2 * number + 2], plan, log)
        children.append(child)
    await asyncio.gather(writing, following)
    for child in children:
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        log.note("child", status)
    await runs.aclose()


def _live_on(
    runs: Runs, run: str, mine: list[dict[str, Any]], plan: dict[str, Any], log: Log
) -> None:
    """In a child: write a run and follow two with the parent's object, and end."""

    async def live() -> None:
        followers = (Following(runs, plan, each, log).in_a_loop() for each in mine)
        await asyncio.gather(Writing(runs, run, plan, log).to_its_end(), *followers)
        await runs.aclose()

    status = 1
    try:
        asyncio.events._set_running_loop(None)  # it is the parent's
        asyncio.run(live())
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


PROGRAMS = {"write": write, "follow": follow, "fork": fork}


def main() -> None:
    name, document = sys.argv[1:]
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    plan = json.loads(document)
    asyncio.run(PROGRAMS[name](plan, Log(plan["log"])))


if __name__ == "__main__":
    main()
