# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The runs of a store: the public part, which is the same for every store.

`_store` is the protocol of a store, `_process` the threads of one process, `_writer` the writer of
a run, `_feed` its followers.
"""

import asyncio
import math
import os
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NoReturn, TypeVar

from .._catalog import Event
from ..replay import (
    RunUnknown,
    _limit,
    _number,
    _require_number,
    _shown,
    wait_seconds,
)
from ..sse import Encoder
from . import RunInfo
from ._feed import RunLoopFollower, RunThreadFollower
from ._process import CLOSED_RUNS, Process, Settings
from ._store import Store, cursor_of
from ._writer import RunWriter

__all__ = ["Run", "RunWriter", "Runs"]

_T = TypeVar("_T")


def _positive(name: str, value: float) -> float:
    _require_number(name, value, "an int or a float")
    if not 0 < value < math.inf:  # NaN included
        raise ValueError(f"{name} must be above 0, in seconds, got {_number(value)}")
    return min(value, threading.TIMEOUT_MAX)


class Runs:
    """The runs of a store: what `SqliteRuns` and `RedisRuns` have in common."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        ttl: float,
        lease: float,
        max_events: int | None,
        max_bytes: int | None,
        timeout: float,
        max_pending_bytes: int,
    ) -> None:
        self._settings = Settings(
            open_store,
            _positive("lease", lease),
            _positive("ttl", ttl),
            _positive("timeout", timeout),
            _limit("max_events", max_events),
            _limit("max_bytes", max_bytes),
            _limit("max_pending_bytes", max_pending_bytes),
        )
        if 2 * lease > ttl:
            raise ValueError(
                f"lease must be at most half of ttl, got {_number(lease)} and {_number(ttl)}: a run"
                " must be kept until its lease has run out in three looks"
            )
        # A child keeps its parent's: finalizing their connections would disturb the parent.
        self._processes: dict[int, Process] = {}
        self._cut: object = None
        self._is_closed = False

    def create(self, run: str) -> "RunWriter":
        """Return the writer of a new run.

        - `run`: its name, the `stream_id` of its ids: visible ASCII, one character or more. A name
          is used once, for one attempt.

        The run exists from its first event on. Raises RunExists if the store has a run of that
        name (of two that create it at once, the second one gets it from its writer); raises
        StoreUnavailable; TypeError or ValueError for another name; RuntimeError after `close`.
        """
        process = self._checked(run)
        return process.call(process.create, run)

    async def acreate(self, run: str) -> "RunWriter":
        """Do what `create` does, without blocking the loop."""
        process = self._checked(run)
        return await process.acall(process.create, run)

    def resume(self, run: str) -> "tuple[RunWriter, list[Event]]":
        """Take over a run that its writer left or lost; return a new writer and the events so far.

        - `run`: its name.

        From then on the old writer can store nothing. The events are for `emit.closing`, or to go
        on after them; `max_events` and `max_bytes` may have evicted the first ones.

        Raises RunUnknown if the store does not have it, RuntimeError if it has a terminator,
        StoreUnavailable, and what `create` raises for a name.
        """
        process = self._checked(run)
        return process.call(process.resume, run, dropped=_abandon)

    async def aresume(self, run: str) -> "tuple[RunWriter, list[Event]]":
        """Do what `resume` does, without blocking the loop."""
        process = self._checked(run)
        return await process.acall(process.resume, run, dropped=_abandon)

    def run(self, name: str) -> "Run":
        """Return the run of this name, to follow or to read; the store is not asked yet."""
        return Run(self, name)

    def infos(self) -> Iterator[RunInfo]:
        """Return an iterator over the runs that there are, in no order; waits for the store.

        Raises StoreUnavailable, and RuntimeError after `close`.
        """
        process = self._process()
        return iter(process.call(process.infos))

    def delete(self, run: str) -> None:
        """Close a run and remove its events; waits for the store.

        - `run`: its name; an unknown one does nothing.

        Its writer is fenced, and its followers get RunLost. The name stays used for the run's time
        to live. Raises StoreUnavailable, and RuntimeError after `close`.
        """
        process = self._process()
        if _is_name(run):
            process.call(process.ask, process.store.delete, run)

    def disconnect(self) -> None:
        """End each follower in this process now, as if its connection had been cut.

        For a server that shuts down: clients come back, to it or to another one. From any thread
        or signal handler.
        """
        self._cut = object()
        if (process := self._processes.get(os.getpid())) is not None:
            process.disconnect()

    @property
    def disconnected(self) -> bool:
        """Whether `disconnect` was called: `web` then tells clients to come again."""
        return self._cut is not None

    def close(self) -> None:
        """Store what was appended, up to `timeout`, and end this process's followers and threads.

        Open writers can append no more; others close their runs when the leases have run out, or
        resume them. Raises StoreUnavailable if not all was stored. Does nothing the second time.
        """
        self._is_closed = True
        if (process := self._processes.get(os.getpid())) is not None:
            process.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self: _T) -> _T:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _checked(self, run: str) -> "Process":
        if not _is_name(run):
            raise ValueError(
                f"the name of a run must be visible ASCII, one character or more, got {run!r:.60}"
            )
        return self._process()

    def _process(self) -> "Process":
        if self._is_closed:
            raise RuntimeError(CLOSED_RUNS)
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            process = self._processes.setdefault(pid, Process(self._settings))
        return process

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} can be neither copied nor pickled: make one in each process"
        )


def _required_name(run: str) -> str:
    if not isinstance(run, str):
        raise TypeError(f"run must be a str, got {type(run).__name__}")
    return str.__str__(run)


def _is_name(run: str) -> bool:
    try:
        Encoder(_required_name(run))
    except ValueError:
        return False
    return True


def _abandon(resumed: "tuple[RunWriter, list[Event]]") -> None:
    """Close the run that was resumed for a caller who no longer waits."""
    resumed[0]._close()


class Run:
    """A run of a store, to follow or to read in any process, as a `ReplayLog`."""

    def __init__(self, runs: Runs, name: str) -> None:
        self._runs = runs
        self._name = _required_name(name)

    def follow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> "RunThreadFollower":
        """Return an iterator, for a thread, over the frames after an id until the run's end.

        - `id`, `keep_alive`: as for `ReplayLog.follow`.
        - `wait`: for how many seconds, from 0, to wait for a run that is not there yet, or for an
          id that is ahead of it.

        The iterator also ends when the run is closed because its writer left or died. The call
        raises what `ReplayLog.follow` raises, RunUnknown and StoreUnavailable. The iterator raises
        CursorExpired if its next frame has been evicted, RunLost if the store has lost events or
        the run was deleted, and StoreUnavailable, after which it can go on.
        """
        follower = self._process().follower(RunThreadFollower, self._name, id, keep_alive)
        follower._begin(wait_seconds(wait))
        return follower

    async def afollow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> "RunLoopFollower":
        """Return the same as `follow`, asynchronous, for asyncio; it has `aclose()` and `close()`.

        Awaiting this call raises what calling `follow` raises, and never blocks the loop. If a wait
        for an item is cancelled, the iterator can go on and loses nothing.
        """
        follower = self._process().follower(RunLoopFollower, self._name, id, keep_alive)
        await follower._begin(wait_seconds(wait))
        return follower

    def after(self, id: str | None = None) -> bytes:
        """Return all frames after the one with an id, as of now; empty if there are none.

        Raises what `ReplayLog.after` raises, RunUnknown and StoreUnavailable.
        """
        process = self._process()
        return process.call(process.after, self._name, cursor_of(self._name, id))

    async def aafter(self, id: str | None = None) -> bytes:
        """Do what `after` does, without blocking the loop."""
        process = self._process()
        return await process.acall(process.after, self._name, cursor_of(self._name, id))

    def events(self) -> list[Event]:
        """Return the events that the store keeps, for a summary or a file.

        Raises RunUnknown and StoreUnavailable.
        """
        process = self._process()
        return process.call(process.events, self._name)

    async def aevents(self) -> list[Event]:
        """Do what `events` does, without blocking the loop."""
        process = self._process()
        return await process.acall(process.events, self._name)

    @property
    def disconnected(self) -> bool:
        """Whether `disconnect` was called: `web` then tells clients to come again."""
        return self._runs.disconnected

    def _process(self) -> "Process":
        process = self._runs._process()
        if not _is_name(self._name):
            raise RunUnknown(f"the store has no run {_shown(self._name)}")
        return process
