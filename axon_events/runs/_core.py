# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs in a store that several processes reach: what is the same for every store.

A run is a chain of entries. Each has a cursor, and names the cursor of the entry before it. So
whoever reads knows whether something is missing in between, and whoever writes says after which
entry his own are to come.

Each process has its own `_Process`, with up to ten threads. The writer's thread appends what the
`RunWriter`s were given, and what comes meanwhile goes together in the next append. The hub's thread
takes what the store tells and gives it to the feeds. Up to eight readers do all else that waits for
the store: a loop never does.

A `_Feed` has the newest frames of a run that is followed here. Followers take frames from it, or
read them from the store where it does not have them. Which is right is told by the id of the last
entry that a follower had: either the feed knows what comes after it, or the store is asked. A
follower waits only if the store had nothing, and the feed has not changed since before it was
asked. The store is watched from before that.

Nothing is believed only because it is quiet: `_Process._sweep` compares each quiet feed with the
store.
"""

import asyncio
import atexit
import math
import os
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, NamedTuple, NoReturn, Protocol, TypeVar

from .._catalog import Event, FlowExecutionEvent, StepToken
from .._checked import U64_MAX
from .._codec import from_json, to_json
from .._wait import LoopWaiter, ThreadWaiter, Waiters
from ..replay import (
    _CURSOR,
    _NESTED,
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    ReplayLog,
    RunLost,
    RunUnknown,
    StoreUnavailable,
    _Follower,
    _limit,
    _LoopFollower,
    _Newest,
    _number,
    _Oldest,
    _require_number,
    _shown,
    _ThreadFollower,
    wait_seconds,
)
from ..sse import Encoder
from . import Fenced, RunExists, RunInfo

__all__ = ["Append", "End", "Entry", "Page", "Run", "RunWriter", "Runs", "State", "Store", "Watch"]

Cursor = tuple[int, int]
"""The two numbers T and K of the id `T.K`; K is 0 in the id `T`. Cursors only rise in a run."""

# Stands before the first entry; no entry has it.
BEGINNING: Final[Cursor] = (0, 0)

# The texts of entries that are no events, whose texts begin with a brace.
TAKEN_OVER: Final = "taken over"  # by another writer; followers skip it
CLOSED: Final = "closed"  # nothing follows, but a TAKEN_OVER
DELETED: Final = "deleted"  # the only entry that is left of a run that was deleted


class Entry(NamedTuple):
    """One entry of a run."""

    cursor: Cursor
    before: Cursor  # of the entry before it, whether that is still kept or not; or BEGINNING
    text: str  # an event's JSON, or one of the three texts above
    writer: str = ""  # the token of who appended it; "" is allowed where it is not the newest


class End(NamedTuple):
    """Where a run ends: the newest entry's cursor, and the token of who appended that."""

    cursor: Cursor
    writer: str  # "" for one that `close_if_dead` or `delete` wrote


# Where a run ends that the store does not have.
NOWHERE: Final = End(BEGINNING, "")


class Append(NamedTuple):
    """What is to be appended to a run."""

    run: str
    after: End  # where the run must end now; NOWHERE if there must be no such run
    entries: Sequence[Entry]  # none: only a heartbeat; all of one writer, whose token they have
    keep: int | None  # how many of the newest entries to keep then, from 1; None for all


class Page(NamedTuple):
    """A piece of a run, as one read has seen it."""

    entries: Sequence[Entry]  # in order
    oldest: Cursor  # of the oldest entry that is kept
    end: End


class State(NamedTuple):
    """How a run stands."""

    end: End  # NOWHERE if there is no such run
    age: float  # seconds since the last append or heartbeat of its writer, by the store's clock
    lease: float  # after how many seconds that writer counts as dead: what he himself was given


OnEntries = Callable[[str, Sequence[Entry]], None]
"""Takes the name of a run, and entries that were appended to it, in order.

No entries: some may have been missed, or the watch of this run has only now begun. The core reads
then what the store has. Entries may come again, and with holes; the core goes by their cursors.
"""


class Watch(Protocol):
    """One subscription to what is appended to some runs, whoever appends it."""

    def add(self, run: str) -> None:
        """Watch this run too; from any thread, at once.

        What is appended after that call is told. A store that subscribes only later calls
        `on_entries(run, ())` when it has. Again, do nothing.
        """

    def remove(self, run: str) -> None:
        """Do not watch it any more; from any thread, at once. Does nothing if it is not watched."""

    def wait(self, timeout: float) -> None:
        """Wait for news, so many seconds at most, and tell them; in the hub's thread alone.

        `on_entries` is called in here, and does not wait for anything. It returns after the first
        news, or sooner than that. A connection that broke, or is silent where it should not be, is
        made anew by the next call, which then calls `on_entries(run, ())` for each run. Raises
        StoreUnavailable while there is none; it is called again then after a pause.
        """

    def close(self) -> None:
        """End it; in the hub's thread, after the last `wait`."""


class Store(Protocol):
    """What the core asks of a store.

    The methods may be called in several threads at once, and may wait. None waits for longer than
    some seconds: a store that does not answer, or refuses for a reason that passes, is
    StoreUnavailable, and the core asks again, for as long as the user's `timeout` allows. Any other
    exception is final, and gets to the user as the cause of a StoreUnavailable.

    A store is made with `ttl` and `lease`, in seconds: each append and heartbeat has the run be
    forgotten `ttl` seconds later, and keeps both with the run. It is used in one process alone: in
    a fork the core makes another one, and never touches this one again.
    """

    def append(self, appends: Sequence[Append]) -> Sequence[End | StoreUnavailable | None]:
        """Append to some runs, each at most once in a call; in the writer's thread alone.

        For each run, in one atomic step: if it ends at `after`, cursor and writer alike, append the
        entries, drop all but the `keep` newest, renew the writer's lease and the run's time to
        live, tell those who watch (not of heartbeats), and answer None. Else change nothing, and
        answer where the run ends. An answer that was lost is asked for again in the same way: the
        core sees by the token that the end is its own.

        StoreUnavailable as an answer concerns that run alone; raised, it concerns all of them.
        """

    def read(self, run: str, after: Cursor, limit: int) -> Page | None:
        """Return entries from a cursor on; None if there is no such run. In any thread.

        - `after`: the entries begin with the one that has this cursor or, if none has, with the
          first one above it. There are none only if `after` is above the last one.
        - `limit`: after the first one, and one more, they end when their texts have so many
          characters.
        """

    def look(self, runs: Sequence[str]) -> Sequence[State]:
        """Return how each of these runs stands; in any thread.

        Raises StoreUnavailable also where only writing is impossible (a lock that another has, a
        read-only replica): silence of a writer who cannot write either says nothing.
        """

    def close_if_dead(self, run: str, end: End) -> None:
        """Append a CLOSED entry, if the run still ends there and its writer's lease has run out.

        In one atomic step; in any thread. The entry's cursor is one K above the end's, its writer
        is "". Those who watch are told. The run's time to live begins anew.
        """

    def delete(self, run: str) -> None:
        """Leave nothing of a run but a DELETED entry, one K above its end, with the writer "".

        In one atomic step; in any thread. Those who watch are told. The entry fences the writer,
        and stays for the run's time to live. Does nothing if there is no such run, or if it was
        deleted before.
        """

    def infos(self) -> Iterable[tuple[str, Sequence[Entry]]]:
        """Yield the name of each run and its newest entries in order; in any thread.

        From its last event on, as far as that can be had without reading much; at least the newest
        entry.
        """

    def watch(self, on_entries: OnEntries) -> Watch:
        """Begin to watch; called once in a process, in any thread, without waiting."""

    def close(self) -> None:
        """Close what the store has opened; nothing else is called after that."""


_T = TypeVar("_T")

_READERS: Final = 8
_PAGE_BYTES: Final = 64 * 2**10  # of a read, or of what is given to a follower at once
_WINDOW_BYTES: Final = 256 * 2**10  # of the frames of a feed
_APPEND_COUNT: Final = 1000  # entries of a run that are appended at once
_APPEND_BYTES: Final = 2**20
_LOOKS: Final = 3  # in a row that find a lease run out
_HUB_SECONDS: Final = 0.2  # the longest wait of the hub
_PAUSES: Final = (0.01, 0.5)  # the shortest and the longest one before a store is asked again

_FINAL: Final = ('{"kind":"flow_complete"', '{"kind":"flow_error"', CLOSED, DELETED)
_IN_A_FORK: Final = (
    "this belongs to the process that this one was forked from: call create, resume or follow in"
    " the process that uses it"
)


def is_event(entry: Entry) -> bool:
    return entry.text.startswith("{")


def is_final(entry: Entry) -> bool:
    return entry.text.startswith(_FINAL)


def _next_cursor(cursor: Cursor, event: Event) -> Cursor:
    """Return the cursor of an event after another: the rule is that of `sse.Encoder`."""
    token, since = cursor
    if type(event) is StepToken and event.token_index > token:
        return event.token_index, 0
    return token, since + 1


def above(cursor: Cursor) -> Cursor:
    return cursor[0], cursor[1] + 1


def _id(run: str, cursor: Cursor) -> str:
    token, since = cursor
    if cursor == BEGINNING:
        return ""
    return f"{run}:{token}.{since}" if since else f"{run}:{token}"


def _cursor(run: str, id: str | None) -> Cursor:
    """Return the cursor that a client's id names; BEGINNING for none."""
    if not id:
        if id is None or isinstance(id, str):
            return BEGINNING
        raise TypeError(f"id must be a str or None, got {type(id).__name__}")
    if not isinstance(id, str):
        raise TypeError(f"id must be a str or None, got {type(id).__name__}")
    prefix = f"{run}:"
    match = _CURSOR.fullmatch(id, len(prefix)) if id.startswith(prefix) else None
    if match is not None:
        cursor = int(match[1]), int(match[2] or 0)
        if cursor > BEGINNING and max(cursor) <= U64_MAX:
            return cursor
    example = _shown(f"{run}:17")
    raise CursorUnknown(f"expected an id of this run, such as {example}, got {_shown(id)}")


def _frame(run: str, entry: Entry) -> bytes:
    """Return what `sse.Encoder` makes of the entry's event; nothing if it has none."""
    if not is_event(entry):
        return b""
    kind = entry.text[9 : entry.text.index('"', 9)]
    return f"id: {_id(run, entry.cursor)}\nevent: {kind}\ndata: {entry.text}\n\n".encode()


def _found(run: str, page: Page | None) -> Page:
    """Return a page that was read, if there is such a run; else raise RunUnknown."""
    if page is None or (page.entries and page.entries[-1].text == DELETED):
        raise RunUnknown(f"the store has no run {_shown(run)}")
    return page


def _after(run: str, cursor: Cursor, page: Page) -> Sequence[Entry]:
    """Return the entries of a page that come after a cursor, from which on it was read.

    Raises CursorExpired, CursorAhead, or CursorUnknown.
    """
    id = _id(run, cursor)
    last = f"the last one is {_shown(_id(run, page.end.cursor))}"
    if not page.entries:
        raise CursorAhead(f"this run has not given the id {_shown(id)}: {last}")
    first = page.entries[0]
    if first.cursor == cursor:
        return page.entries[1:]
    if first.before == cursor:
        return page.entries
    if cursor < page.oldest:
        start = f"after the id {_shown(id)}" if id else "from the beginning"
        oldest = _id(run, page.oldest)
        raise CursorExpired(
            f"the frames {start} are not all kept: the oldest is {_shown(oldest)}", oldest
        )
    raise CursorUnknown(f"this run has not given the id {_shown(id)}: {last}")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _positive(name: str, value: float) -> float:
    _require_number(name, value, "an int or a float")
    if not 0 < value < math.inf:  # NaN included
        raise ValueError(f"{name} must be above 0, in seconds, got {_number(value)}")
    return min(value, threading.TIMEOUT_MAX)


class _Settings(NamedTuple):
    open_store: Callable[[], Store]
    lease: float
    ttl: float
    timeout: float
    max_events: float
    max_bytes: float
    max_pending_bytes: float

    @property
    def beat(self) -> float:
        """How often heartbeats are sent, and quiet runs looked at, in seconds."""
        return min(2.0, self.lease / 3)


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
        self._settings = _Settings(
            open_store,
            _positive("lease", lease),
            _positive("ttl", ttl),
            _positive("timeout", timeout),
            _limit("max_events", max_events),
            _limit("max_bytes", max_bytes),
            _limit("max_pending_bytes", max_pending_bytes),
        )
        if lease > ttl:
            raise ValueError(
                f"lease must be at most ttl, got {_number(lease)} and {_number(ttl)}: a run that"
                " is written has to outlive the time between two heartbeats"
            )
        # That of each process keeps those of the processes it was forked from, since finalizing
        # their connections would disturb these.
        self._processes: dict[int, _Process] = {}
        self._cut: object = None
        self._is_closed = False

    def create(self, run: str) -> "RunWriter":
        """Return the writer of a new run.

        - `run`: its name, the `stream_id` of its ids: visible ASCII, one character or more. A name
          is used once, for one attempt.

        The run exists from its first event on. Raises RunExists if the store has a run of that
        name, where two create it at once the loser's next call after the refusal does;
        StoreUnavailable; TypeError or ValueError for another name; RuntimeError after `close`.
        """
        process = self._checked(run)
        return process.call(process.create, run)

    async def acreate(self, run: str) -> "RunWriter":
        """Do what `create` does, without blocking the loop."""
        process = self._checked(run)
        return await process.acall(process.create, run)

    def resume(self, run: str) -> "tuple[RunWriter, list[Event]]":
        """Take over a run that its writer has left or lost; return a writer, and its events so far.

        - `run`: its name.

        Nothing of the old writer enters the store from then on. The events, of which `max_events`
        and `max_bytes` may have taken the first, are for `emit.closing`, or to go on after them.

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
        """Return the run of a name, to follow or to read; nothing is asked of the store yet."""
        return Run(self, name)

    def infos(self) -> Iterator[RunInfo]:
        """Return an iterator over what runs there are, in no order; it waits for the store.

        Raises StoreUnavailable, and RuntimeError after `close`.
        """
        process = self._process()
        return iter(process.call(process.infos))

    def delete(self, run: str) -> None:
        """Close a run, and remove its events; it waits for the store.

        - `run`: its name; an unknown one does nothing.

        Its writer is fenced, its followers get RunLost. The name stays used for the run's time to
        live. Raises StoreUnavailable, and RuntimeError after `close`.
        """
        process = self._process()
        if _is_name(run):
            process.call(process.ask, process.store.delete, run)

    def disconnect(self) -> None:
        """End each follower of this process now, as if its connection had been cut.

        For a server that shuts down: clients come back, to it or to another one. From any thread,
        and from a signal handler.
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

        Writers that are open can append no more, and their runs are closed, or resumed, by others.
        Raises StoreUnavailable if not all was stored. Again, do nothing.
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

    def _checked(self, run: str) -> "_Process":
        Encoder(_required_name(run))
        return self._process()

    def _process(self) -> "_Process":
        if self._is_closed:
            raise RuntimeError("the runs have been closed: make another object for the same store")
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            process = self._processes.setdefault(pid, _Process(self._settings))
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
    """Let go of a run that was resumed for who does not wait for it any more."""
    resumed[0]._close()


class Run:
    """A run of a store, to follow or to read in any process, as a `ReplayLog`."""

    def __init__(self, runs: Runs, name: str) -> None:
        self._runs = runs
        self._name = _required_name(name)

    def follow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> "_RunThreadFollower":
        """Return an iterator, for a thread, over the frames after an id until the run's end.

        - `id`, `keep_alive`: as for `ReplayLog.follow`.
        - `wait`: for how many seconds, from 0, to wait for a run that is not there yet, or an id
          that is ahead of it.

        It also ends where the run is closed, because its writer left or died. The call raises what
        `ReplayLog.follow` raises, RunUnknown and StoreUnavailable. The iterator raises
        CursorExpired if its next frame has been evicted, RunLost if the store has lost events, or
        the run was deleted, and StoreUnavailable; after that one it can go on.
        """
        follower = self._process().follower(_RunThreadFollower, self._name, id, keep_alive)
        follower._begin(wait_seconds(wait))
        return follower

    async def afollow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> "_RunLoopFollower":
        """Return the same as `follow`, asynchronous, for asyncio; it has `aclose()` and `close()`.

        Awaiting this call raises what calling `follow` raises, and never blocks the loop. The
        iterator goes on after a wait that was cancelled, and loses nothing.
        """
        follower = self._process().follower(_RunLoopFollower, self._name, id, keep_alive)
        await follower._begin(wait_seconds(wait))
        return follower

    def after(self, id: str | None = None) -> bytes:
        """Return all frames after the one with an id, as they are now; empty if there are none.

        Raises what `ReplayLog.after` raises, RunUnknown and StoreUnavailable.
        """
        process = self._process()
        return process.call(process.after, self._name, _cursor(self._name, id))

    async def aafter(self, id: str | None = None) -> bytes:
        """Do what `after` does, without blocking the loop."""
        process = self._process()
        return await process.acall(process.after, self._name, _cursor(self._name, id))

    def events(self) -> list[Event]:
        """Return the events that are kept, for a summary or a file.

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

    def _process(self) -> "_Process":
        process = self._runs._process()
        if not _is_name(self._name):
            raise RunUnknown(f"the store has no run {_shown(self._name)}")
        return process


class RunWriter:
    """The one writer of a run, which `create` or `resume` returns; for any number of threads.

    As a context manager, also an asynchronous one, it is closed at the end.
    """

    def __init__(
        self, process: "_Process", run: str, entries: Iterable[Entry] = (), end: End = NOWHERE
    ) -> None:
        self._process = process
        self._run = run
        self._token = secrets.token_hex(8)
        # One at a time appends, or notes what the store has answered; it is never held for long.
        self._lock = threading.RLock()
        self._is_appending = False
        self._is_closing = False
        # What the store is to have, in order: first what it has, as far as is known.
        self._copy = deque(entries)
        self._pending: deque[Entry] = deque()
        self._copy_bytes = sum(_size(entry.text) for entry in self._copy)
        self._end = end  # where the run ends in the store, as far as is known
        self._acknowledged = end.cursor  # the highest cursor that the store has ever had
        self._last = end.cursor  # of the entry appended last
        self._stop: str | None = None  # why no more may be appended
        self._failure: Exception | None = None  # why nothing more gets into the store
        self._reached = time.monotonic()  # when the store last took an append or a heartbeat
        self._waiters = Waiters()  # who flushes

    def append(self, event: Event) -> str:
        """Take an event, and return its id; the store gets it soon after. It never waits.

        This is a sink for a `FlowEmitter`. Raises Fenced if another has taken over the run, closed
        or deleted it; RunExists if it was created elsewhere at the same time; StoreUnavailable if
        what waits for the store has reached `max_pending_bytes`; TypeError for anything but an
        event; RuntimeError after a terminator or `close`, or if a finalizer or a signal handler
        calls this inside another `append` of its thread. The event is not taken then.
        """
        if not isinstance(event, FlowExecutionEvent):
            raise TypeError(f"append takes an event, got {type(event).__name__}")
        self._process.require_here()
        text = to_json(event)
        with self._lock:
            if self._is_appending:
                raise RuntimeError(_NESTED)
            try:
                self._is_appending = True
                self._require_open()
                self._process.reserve(_size(text))
                self._take(_next_cursor(self._last, event), text)
                if event.is_terminator:
                    self._stop = (
                        f"the run has ended by {event.kind}: create another one, of another name"
                    )
                return _id(self._run, self._last)
            finally:
                self._is_appending = False
                if self._is_closing:
                    self._close()

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the store has all that was appended before.

        - `timeout`: for how many seconds at most, from 0; None for that of the runs.

        Raises StoreUnavailable if that was not enough, Fenced and RunExists as `append`.
        """
        self._process.require_here()
        target = self._last
        deadline = self._deadline(timeout)
        while not self._has_stored(target):
            waiter = ThreadWaiter()
            self._waiters.add(waiter)
            try:
                # Looked at only now that whoever changes it sees the waiter.
                if not self._has_stored(target) and not waiter.wait(self._left(deadline)):
                    self._give_up()
            finally:
                self._waiters.remove(waiter)

    async def aflush(self, timeout: float | None = None) -> None:
        """Do what `flush` does, without blocking the loop."""
        self._process.require_here()
        target = self._last
        deadline = self._deadline(timeout)
        loop = asyncio.get_running_loop()
        while not self._has_stored(target):
            waiter = LoopWaiter(loop)
            self._waiters.add(waiter)
            timer = loop.call_later(self._left(deadline), waiter.resume, False)
            try:
                if not self._has_stored(target) and not await waiter.future:
                    self._give_up()
            finally:
                timer.cancel()
                self._waiters.remove(waiter)

    def close(self) -> None:
        """End the run, and wait until the store has all of it.

        Without a terminator the run is closed: its followers end, and it can be resumed. Nothing is
        stored if nothing was appended. Raises what `flush` raises; what was appended is kept then,
        to be stored later. Inside an `append` of this thread, the run ends after that `append`, and
        nothing is waited for. Again, only wait.
        """
        self._process.require_here()
        if not self._close():
            self.flush()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the loop."""
        self._process.require_here()
        if not self._close():
            await self.aflush()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> "RunWriter":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RunWriter can be neither copied nor pickled: a run has one writer")

    def _close(self) -> bool:
        """End the run; return whether that has to wait for an `append` of this thread."""
        with self._lock:
            self._is_closing = self._is_appending
            if self._stop is None and not self._is_appending:
                self._stop = "the run has been closed: append first, close() then"
                if self._last != BEGINNING and self._failure is None:
                    self._take(above(self._last), CLOSED)
            return self._is_closing

    def _take_over(self) -> None:
        with self._lock:
            self._take(above(self._last), TAKEN_OVER)

    def _require_open(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._stop is not None:
            raise RuntimeError(self._stop)
        self._process.require_open()

    def _take(self, cursor: Cursor, text: str) -> None:
        self._pending.append(Entry(cursor, self._last, text, self._token))
        self._last = cursor
        self._process.wake_writer(self)

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._process.settings.timeout if timeout is None else wait_seconds(timeout)
        return time.monotonic() + seconds

    @staticmethod
    def _left(deadline: float) -> float:
        return max(deadline - time.monotonic(), 0)

    def _has_stored(self, target: Cursor) -> bool:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        return self._end.cursor >= target

    def _give_up(self) -> NoReturn:
        trouble = self._process.trouble_of_writes
        why = "it did not answer in time" if trouble is None else str(trouble)
        raise StoreUnavailable(
            f"not all events of the run {_shown(self._run)} are stored yet: {why}"
        ) from trouble

    def _next(self, beat: float) -> Append | None:
        """Return what is to be appended next; in the writer's thread, as those below.

        - `beat`: when the store must have heard of this writer; else there is a heartbeat.
        """
        with self._lock:
            if self._failure is not None or (self._end == NOWHERE and not self._pending):
                return None
            entries: list[Entry] = []
            size = 0
            for entry in islice(self._pending, _APPEND_COUNT):
                # One that is appended again may be of the writer before.
                entries.append(
                    entry if entry.writer == self._token else entry._replace(writer=self._token)
                )
                size += _size(entry.text)
                if size >= _APPEND_BYTES:
                    break
            if not entries and self._reached > beat:
                return None
            return Append(self._run, self._end, entries, self._keep(entries, size))

    def _keep(self, entries: Sequence[Entry], size: int) -> int | None:
        """Return how many entries the store is to keep, with those that it gets now."""
        settings = self._process.settings
        if math.inf == settings.max_events == settings.max_bytes:
            return None
        count = len(self._copy) + len(entries)
        size += self._copy_bytes
        if any(map(is_event, entries)):  # what is no event drives out none
            for entry in self._copy if len(self._copy) == count else [*self._copy, *entries]:
                if count == 1 or (count <= settings.max_events and size <= settings.max_bytes):
                    break
                count -= 1
                size -= _size(entry.text)
        return max(count, 1)

    def _answered(self, append: Append, answer: End | None) -> None:
        """Take what the store has answered to `_next`."""
        with self._lock:
            self._reached, reached = time.monotonic(), self._reached
            if answer is None:
                if append.entries:
                    for _ in append.entries:
                        self._acknowledge(self._pending.popleft())
                    self._end = End(append.entries[-1].cursor, self._token)
                while append.keep is not None and len(self._copy) > append.keep:
                    self._copy_bytes -= _size(self._copy.popleft().text)
            elif (stored := self._stored(answer, self._reached - reached)) is None:
                exists = self._acknowledged == BEGINNING
                self._fail(
                    RunExists(f"the store has a run {_shown(self._run)}: use a name once")
                    if exists
                    else Fenced(
                        f"another has taken over the run {_shown(self._run)}, closed or deleted it"
                    )
                )
            else:
                # A reply was lost, or the store has lost some: what it has is in the copy, what
                # it does not have is to be appended, again.
                entries = [*self._copy, *self._pending]
                self._copy.clear()
                self._copy_bytes = 0
                for entry in entries[:stored]:
                    self._acknowledge(entry)
                self._pending = deque(entries[stored:])
                self._end = answer
        self._waiters.wake()

    def _acknowledge(self, entry: Entry) -> None:
        size = _size(entry.text)
        self._copy.append(entry)
        self._copy_bytes += size
        if entry.cursor > self._acknowledged:
            self._acknowledged = entry.cursor
            if is_event(entry):
                self._process.release(size)

    def _stored(self, end: End, silence: float) -> int | None:
        """Return how many of the entries here the store has, if it ends there.

        None if that is not an end of this writer, nor one that it went on from.

        - `silence`: for how many seconds the store had not been reached before.
        """
        if end == NOWHERE:
            # After its time to live, a run may be forgotten that another has taken over and ended.
            return 0 if silence < self._process.settings.ttl else None
        entries = [*self._copy, *self._pending]
        for index in reversed(range(len(entries))):
            # Entries of another writer, if they had to be appended again, have this token.
            if entries[index].cursor == end.cursor:
                return index + 1 if end.writer in (self._token, entries[index].writer) else None
        # An old end, which the copy does not keep any more; what comes after it drives it out.
        is_old = end.writer == self._token and end.cursor < entries[0].cursor
        return 0 if is_old else None

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._failure = error
            self._process.release(
                sum(
                    _size(entry.text)
                    for entry in self._pending
                    if is_event(entry) and entry.cursor > self._acknowledged
                )
            )
            self._copy.clear()
            self._pending.clear()
        self._waiters.wake()

    @property
    def _is_done(self) -> bool:
        """Whether there is nothing more to do for the store."""
        if self._failure is not None:
            return True
        return self._stop is not None and not self._pending


class _Feed(ReplayLog):
    """The newest frames of a run that is followed here; the run's other frames are in the store.

    Its frames are what a `ReplayLog` has, and its followers wait as they do there. Entries that are
    no events have empty frames. `_newest` is another object whenever followers are to look again.

    - `last`: the cursor of the run's last entry, as far as is known here; None if nothing is.
    - `failure`: why it goes on no more.
    """

    def __init__(self, process: "_Process", run: str) -> None:
        super().__init__(stream_id=run, max_bytes=_WINDOW_BYTES)
        self.process = process
        self.run = run
        self.last: Cursor | None = None
        self.failure: RunLost | None = None
        self._number_after_id.clear()
        self._followers: dict[weakref.ref[_RunFollower], None] = {}
        # For the sweep.
        self.is_active = False  # since the last one
        self.lost_since: float | None = None
        self.looks = 0
        self.looked_at = NOWHERE
        # For `_Process.catch_up`.
        self.is_catching_up = False
        self.is_behind = False

    def join(self, follower: "_RunFollower") -> None:
        followers = self._followers
        reference = weakref.ref(follower, lambda reference: followers.pop(reference, None))
        followers[reference] = None

    def followers(self) -> "list[_RunFollower]":
        followers = (reference() for reference in list(self._followers))
        return [each for each in followers if each is not None and not each._is_closed]

    def anchor(self, entry: Entry) -> None:
        """Begin after an entry, if nothing is known yet."""
        with self._lock:
            if self.last is None:
                self._begin_after(entry.cursor, entry.text if is_final(entry) else None)

    def begin_again(self, cursor: Cursor) -> None:
        """Begin after the last entry that the store has evicted."""
        with self._lock:
            self._begin_after(cursor, None)

    def take(self, entries: Sequence[Entry]) -> bool:
        """Take entries that were appended; return whether some are missing before the last one."""
        with self._lock:
            for entry in entries:
                self.is_active = True
                if entry.text == DELETED:
                    self.fail(f"the run {_shown(self.run)} was deleted")
                    return False
                if self.last is None:
                    self._begin_after(entry.before, None)
                if entry.before == self.last:
                    self.last = entry.cursor
                    end = entry.text if is_final(entry) else None
                    self._keep(_id(self.run, entry.cursor), _frame(self.run, entry), end)
                elif entry.before > self.last:  # type: ignore[operator]
                    return True
                elif not self._had(entry):
                    self.lose()
                    return False
        return False

    def _had(self, entry: Entry) -> bool:
        """Return whether an entry is one of those here, or older than these."""
        if entry.cursor <= _cursor(self.run, self._oldest.evicted):
            return True
        before = self._number_after_id.get(_id(self.run, entry.before))
        after = self._number_after_id.get(_id(self.run, entry.cursor))
        return after is not None and before is not None and before + 1 == after

    def lose(self) -> None:
        self.fail(f"the store has lost events of the run {_shown(self.run)} that were given here")

    def fail(self, message: str) -> None:
        with self._lock:
            self.failure = RunLost(message)
        self.process.drop(self)
        self.change()

    def change(self) -> None:
        """Have all followers look again."""
        with self._lock:
            self._newest = self._newest._replace()
        self._waiters.wake()

    def _begin_after(self, cursor: Cursor, end: str | None) -> None:
        id = _id(self.run, cursor)
        newest = self._newest
        self.last = cursor
        # Numbers go on from those before, so that whoever has one of these finds nothing for it.
        self._frames = {}
        self._number_after_id = {id: newest.total}
        self._oldest = _Oldest(newest.total, newest.bytes, "", id)
        self._newest = newest._replace(id=id, end=end)
        self._waiters.wake()

    def highest(self) -> Cursor:
        """Return the highest cursor that somebody was given here."""
        cursors = [each._cursor for each in self.followers() if each._has_found]
        return max((*cursors, self.last or BEGINNING))


class _RunFollower(_Follower):
    """What differs for a run of a store: what the feed does not have is read from the store.

    `_id` is that of the last entry that it had, also of one that is no event.
    """

    def __init__(self, feed: _Feed, id: str | None, keep_alive: float | None) -> None:
        super().__init__(feed, id, keep_alive)
        self._feed = feed
        self._id = id or ""
        self._has_found = False  # its first frame
        self._held = b""  # what it has read and not given
        self._is_ended = False  # the last entry that it had was final
        self._job: Future[Page | None] | None = None  # a read of the store
        self._read_at: object = None  # the feed's `_newest` before that read began
        self._nothing_in: object = None  # the feed's `_newest` for which the store had no more
        self._refusal: CursorUnknown | None = None  # why it has not begun yet
        feed.join(self)

    @property
    def has_all(self) -> bool:
        """Whether the run has ended, and has no frame that this follower has not given."""
        newest = self._feed._newest
        return not self._held and (
            self._is_ended or (newest.end is not None and newest.id == self._id)
        )

    @property
    def _cursor(self) -> Cursor:
        return _cursor(self._feed.run, self._id)

    def _to_begin(self, newest: _Newest, deadline: float) -> float | None:
        """Find its first frame; else return for how many seconds to wait before the next try."""
        feed = self._feed
        if self._job is None:
            # A run that was closed may have been resumed, and this feed has not heard of it yet.
            if self._id in feed._number_after_id and newest.end != CLOSED:
                self._has_found = True
                self._held = self._piece()
                return None
            if self._nothing_in is newest and self._refusal is not None:
                left = deadline - time.monotonic()
                if left <= 0 or newest.end is not None or self._is_over():
                    raise self._refusal
                return left
        try:
            if not self._has_read(newest):
                return threading.TIMEOUT_MAX
        except (RunUnknown, CursorAhead) as refusal:
            self._refusal = refusal
            self._nothing_in = self._read_at
            return 0.0
        self._has_found = True
        return None

    def _next(self) -> bytes | _Newest:
        """Return the next frames; none at the end; if they have yet to come, what to wait with."""
        feed = self._feed
        feed.process.require_here()
        self._require_alone()
        while True:
            newest = feed._newest
            if self._is_over():
                return b""
            if self._held:
                held, self._held = self._held, b""
                return held
            if self._is_ended:
                return b""
            if self._job is None:
                if piece := self._piece():
                    return piece
                if self._is_ended:
                    continue
                if feed.failure is not None:
                    raise feed.failure.with_traceback(None)
                if feed.process.trouble is not None:
                    raise feed.process.trouble.with_traceback(None)
                if self._id == newest.id or self._nothing_in is newest:
                    return newest
            try:
                if not self._has_read(newest):
                    return newest
            except (RunUnknown, CursorAhead):  # the sweep finds out for how long
                self._nothing_in = self._read_at
            except CursorUnknown:
                feed.lose()

    def _piece(self) -> bytes:
        """Return frames that the feed has; none if the next one is not there."""
        feed = self._feed
        number = feed._number_after_id.get(self._id)
        piece = b""
        while number is not None and number < feed._newest.total and not piece:
            try:
                piece, number, self._id = feed._read(number, self._id, _PAGE_BYTES)
            except CursorExpired:  # the store may have it
                return b""
        newest = feed._newest
        self._is_ended = newest.end is not None and newest.id == self._id
        return piece

    def _has_read(self, newest: _Newest) -> bool:
        """Read what the store has after `_id`; return False if that takes a wait."""
        process, run = self._feed.process, self._feed.run
        if self._job is None:
            self._read_at = newest
            self._job = process.submit(process.read, self._feed, self._cursor)
            self._job.add_done_callback(self._wake)
        if not self._job.done():
            return False
        job, self._job = self._job, None
        page = _found(run, job.result())
        entries = _after(run, self._cursor, page)
        last = page.entries[-1]
        self._held = b"".join(_frame(run, entry) for entry in entries)
        self._id = _id(run, last.cursor)
        self._is_ended = is_final(last)
        if last.cursor == page.end.cursor:
            self._nothing_in = self._read_at
            self._feed.anchor(last)
        return True

    def _wake(self, job: "Future[Page | None]") -> None:
        if (waiter := self._waiter) is not None:
            waiter.wake()

    def _enter(self, waiter: ThreadWaiter | LoopWaiter, newest: _Newest) -> bool:
        is_quiet = super()._enter(waiter, newest)
        return is_quiet and (self._job is None or not self._job.done())


class _RunThreadFollower(_RunFollower, _ThreadFollower):
    """What `Run.follow` returns."""

    def _begin(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while (pause := self._to_begin(newest := self._feed._newest, deadline)) is not None:
            self._woken(newest, pause)


class _RunLoopFollower(_RunFollower, _LoopFollower):
    """What `Run.afollow` returns."""

    async def _begin(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while (pause := self._to_begin(newest := self._feed._newest, deadline)) is not None:
            await self._woken(newest, pause)
        self._stop_timer()


_AFollower = TypeVar("_AFollower", bound=_RunFollower)


class _Process:
    """What one process has of a store: its connections, threads, writers and feeds."""

    def __init__(self, settings: _Settings) -> None:
        self.settings = settings
        self._pid = os.getpid()
        self.store = settings.open_store()
        self._watch = self.store.watch(self._on_entries)
        self._lock = threading.RLock()  # held for a few steps, never while something is waited for
        self._threads: dict[str, threading.Thread] = {}
        self._is_closed = False
        self._closing = threading.Event()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # The writer's.
        self._writers: dict[RunWriter, None] = {}  # an ordered set, as the next one
        self._due: dict[RunWriter, None] = {}
        self._pending_bytes = 0
        self._writer_waiter = ThreadWaiter()
        self.trouble_of_writes: Exception | None = None
        # The hub's.
        self._feeds: dict[str, _Feed] = {}
        self._hub_waiter = ThreadWaiter()
        self._is_sweeping = False
        self._trouble_since: float | None = None
        self.trouble: StoreUnavailable | None = None  # which followers get

    def require_here(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(_IN_A_FORK)

    def require_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("the runs have been closed: append first, close() then")

    # What callers ask for.

    def call(
        self, function: Callable[..., _T], *args: Any, dropped: Callable[[_T], object] | None = None
    ) -> _T:
        """Call a function in a reader's thread, and wait for it.

        - `dropped`: takes its result if nobody waits for it any more.
        """
        future = self.submit(function, *args)
        try:
            return future.result()
        except BaseException:
            _let_go(future, dropped)
            raise

    async def acall(
        self, function: Callable[..., _T], *args: Any, dropped: Callable[[_T], object] | None = None
    ) -> _T:
        """Do what `call` does, without blocking the loop."""
        future = self.submit(function, *args)
        try:
            return await asyncio.wrap_future(future)
        except BaseException:
            _let_go(future, dropped)
            raise

    def submit(self, function: Callable[..., _T], *args: Any) -> "Future[_T]":
        """Have a reader's thread call a function."""
        future: Future[_T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args))
                except BaseException as error:
                    future.set_exception(error)

        with self._lock:
            self.require_open()
            self._jobs.put(work)
            count = sum(name.startswith("reader") for name in self._threads)
            if count < _READERS:
                self._start(f"reader {count}", self._read_for_others)
        return future

    def ask(self, function: Callable[..., _T], *args: Any) -> _T:
        """Call a function of the store, and again for as long as the user's `timeout` allows."""
        deadline = time.monotonic() + self.settings.timeout
        pause, longest = _PAUSES
        while True:
            try:
                return function(*args)
            except StoreUnavailable:
                if time.monotonic() + pause > deadline or self._closing.wait(pause):
                    raise
            except Exception as error:
                raise _broken(error) from error
            pause = min(2 * pause, longest)

    def read(self, feed: _Feed, cursor: Cursor) -> Page | None:
        """Read a page for a follower."""
        page = self.ask(self.store.read, feed.run, cursor, _PAGE_BYTES)
        if page is not None and not page.entries:  # it is asked for what is ahead: of what?
            last = self.ask(self.store.read, feed.run, page.end.cursor, 1)
            if last is not None and last.entries:
                feed.anchor(last.entries[0])
        return page

    def create(self, run: str) -> RunWriter:
        if self.ask(self.store.read, run, BEGINNING, 1) is not None:
            raise RunExists(f"the store has a run {_shown(run)}: use a name once")
        return RunWriter(self, run)

    def resume(self, run: str) -> tuple[RunWriter, list[Event]]:
        deadline = time.monotonic() + self.settings.timeout
        while True:
            entries, end = self._entries(run)
            events = [from_json(entry.text) for entry in entries if is_event(entry)]
            if events and events[-1].is_terminator:
                raise RuntimeError(
                    f"the run {_shown(run)} has ended by {events[-1].kind}: there is nothing to"
                    " resume"
                )
            writer = RunWriter(self, run, entries, end)
            writer._take_over()
            try:
                writer.flush(RunWriter._left(deadline))
            except Fenced:  # it has gone on meanwhile
                continue
            except StoreUnavailable as error:
                writer._fail(error)
                raise
            return writer, events

    def events(self, run: str) -> list[Event]:
        return [from_json(entry.text) for entry in self._entries(run)[0] if is_event(entry)]

    def _entries(self, run: str) -> tuple[list[Entry], End]:
        """Return all entries of a run that are kept, and where it ends."""
        while True:
            entries: list[Entry] = []
            page = _found(run, self.ask(self.store.read, run, BEGINNING, _PAGE_BYTES))
            entries.extend(page.entries)
            try:
                while (last := entries[-1].cursor) != page.end.cursor:
                    page = _found(run, self.ask(self.store.read, run, last, _PAGE_BYTES))
                    entries.extend(_after(run, last, page))
            except (CursorExpired, CursorAhead):
                continue  # some of it was evicted, or lost, meanwhile
            return entries, page.end

    def after(self, run: str, cursor: Cursor) -> bytes:
        frames: list[bytes] = []
        while True:
            page = _found(run, self.ask(self.store.read, run, cursor, _PAGE_BYTES))
            frames += [_frame(run, entry) for entry in _after(run, cursor, page)]
            cursor = page.entries[-1].cursor
            if cursor == page.end.cursor:
                return b"".join(frames)

    def infos(self) -> list[RunInfo]:
        return [
            _info(name, entries)
            for name, entries in self.ask(lambda: list(self.store.infos()))
            if entries[-1].text != DELETED
        ]

    def follower(
        self, kind: type[_AFollower], run: str, id: str | None, keep_alive: float | None
    ) -> _AFollower:
        _cursor(run, id)  # raises what it raises before anything is watched
        with self._lock:
            self.require_open()
            feed = self._feeds.get(run)
            if feed is None:
                feed = _Feed(self, run)
            follower = kind(feed, id, keep_alive)
            if run not in self._feeds:
                self._feeds[run] = feed
                self._watch.add(run)
                self._start("hub", self._hub)
                self._hub_waiter.wake()
        return follower

    def drop(self, feed: _Feed) -> None:
        """Let go of a feed: who follows its run from now on gets another one."""
        with self._lock:
            if self._feeds.get(feed.run) is feed:
                del self._feeds[feed.run]
                self._watch.remove(feed.run)

    def disconnect(self) -> None:
        for feed in list(self._feeds.values()):
            feed.disconnect()

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        try:
            self._flush()
        finally:
            self._end_threads()

    def _flush(self) -> None:
        """Wait until the store has all that was appended; raise StoreUnavailable if it has not."""
        deadline = time.monotonic() + self.settings.timeout
        failures: list[StoreUnavailable] = []
        for writer in list(self._writers):
            try:
                writer.flush(RunWriter._left(deadline))
            except StoreUnavailable as error:
                failures.append(error)
            except (Fenced, RunExists):  # which its owner is told
                pass
        if failures:
            raise failures[0]

    def _flush_at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._flush()

    def _end_threads(self) -> None:
        atexit.unregister(self._flush_at_exit)
        self._closing.set()
        self._writer_waiter.wake()
        self._hub_waiter.wake()
        with self._lock:
            threads = list(self._threads.values())
        for _ in threads:
            self._jobs.put(None)
        self.disconnect()
        deadline = time.monotonic() + self.settings.timeout
        for thread in threads:
            thread.join(RunWriter._left(deadline))
        if not any(thread.is_alive() for thread in threads):
            if "hub" not in self._threads:
                self._watch.close()
            self.store.close()

    def _start(self, name: str, work: Callable[[], None]) -> None:
        if name not in self._threads:
            thread = threading.Thread(target=work, name=f"axon_events runs {name}", daemon=True)
            self._threads[name] = thread
            thread.start()

    def _read_for_others(self) -> None:
        while (work := self._jobs.get()) is not None:
            work()
            del work  # and so what it holds

    # The writer.

    def reserve(self, size: int) -> None:
        with self._lock:
            if self._pending_bytes >= self.settings.max_pending_bytes:
                raise StoreUnavailable(
                    f"{self._pending_bytes} bytes wait for the store, which is as many as"
                    f" max_pending_bytes allows: {self.trouble_of_writes or 'it is too slow'}"
                ) from self.trouble_of_writes
            self._pending_bytes += size

    def release(self, size: int) -> None:
        with self._lock:
            self._pending_bytes -= size

    def wake_writer(self, writer: RunWriter) -> None:
        self._writers[writer] = None
        self._due[writer] = None
        if "writer" not in self._threads:
            with self._lock:
                atexit.register(self._flush_at_exit)
                self._start("writer", self._write)
        self._writer_waiter.wake()

    def _write(self) -> None:
        beat = self.settings.beat
        next_beat = time.monotonic() + beat
        pause = 0.0
        while True:
            self._closing.wait(pause) if pause else None
            self._writer_waiter = waiter = ThreadWaiter()
            # Looked at only now that whoever changes them sees the waiter.
            if self._closing.is_set():
                return
            if not self._due:
                waiter.wait(RunWriter._left(next_beat) if self._writers else None)
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + beat
                self._due.update(self._writers)
            pause = self._append(now - beat / 2, pause)

    def _append(self, beat: float, pause: float) -> float:
        """Append what is due; return for how many seconds to wait before the next time."""
        appends: list[tuple[RunWriter, Append]] = []
        for writer in list(self._due):
            del self._due[writer]  # first, so that what is appended from now on is due again
            if (append := writer._next(beat)) is not None:
                appends.append((writer, append))
            elif writer._is_done:
                self._writers.pop(writer, None)
        if not appends:
            return 0.0
        try:
            answers = self.store.append([append for _, append in appends])
        except StoreUnavailable as error:
            answers = [error] * len(appends)
        except Exception as error:
            for writer, _ in appends:
                writer._fail(_broken(error))
            return 0.0
        trouble: StoreUnavailable | None = None
        for (writer, append), answer in zip(appends, answers, strict=True):
            if isinstance(answer, StoreUnavailable):
                trouble = answer
            else:
                writer._answered(append, answer)
            self._due[writer] = None  # for what is left, or to be done with it
        self.trouble_of_writes = trouble
        shortest, longest = _PAUSES
        return 0.0 if trouble is None else min(max(2 * pause, shortest), longest)

    # The hub.

    def _hub(self) -> None:
        next_sweep = 0.0
        while True:
            self._hub_waiter = waiter = ThreadWaiter()
            if self._closing.is_set():
                break
            if not self._feeds:
                waiter.wait(None)
                continue
            now = time.monotonic()
            if now >= next_sweep and not self._is_sweeping:
                next_sweep = now + self.settings.beat
                self._is_sweeping = True
                self._try_to_submit(self._sweep)
            try:
                self._watch.wait(min(max(next_sweep - now, 0.0), _HUB_SECONDS))
            except Exception as error:
                self._note_trouble(error)
                self._closing.wait(_HUB_SECONDS)
        self._watch.close()

    def _try_to_submit(self, function: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # it is closed meanwhile
            self.submit(function, *args)

    def _on_entries(self, run: str, entries: Sequence[Entry]) -> None:
        feed = self._feeds.get(run)
        if feed is not None and (not entries or feed.take(entries)):
            self._catch_up_soon(feed)

    def _catch_up_soon(self, feed: _Feed) -> None:
        with self._lock:
            feed.is_behind = True
            if feed.is_catching_up:
                return
            feed.is_catching_up = True
        self._try_to_submit(self._catch_up, feed)

    def _catch_up(self, feed: _Feed) -> None:
        """Give a feed what the store has and the feed does not."""
        try:
            while True:
                with self._lock:
                    if not feed.is_behind:
                        return
                    feed.is_behind = False
                if feed.last is None:
                    feed.change()
                else:
                    self._read_on(feed, feed.last)
        except Exception as error:
            self._note_trouble(error)  # the sweep comes again
        finally:
            feed.is_catching_up = False

    def _read_on(self, feed: _Feed, last: Cursor) -> None:
        while True:
            page = self.store.read(feed.run, last, _PAGE_BYTES)
            if page is None or not page.entries:
                return  # the sweep finds out for how long
            first = page.entries[0]
            if last not in (first.cursor, first.before) and first.text != DELETED:
                if last > page.oldest:
                    feed.lose()
                    return
                feed.begin_again(first.before)
            feed.take(page.entries)
            last = page.entries[-1].cursor
            if last == page.end.cursor:
                return

    def _sweep(self) -> None:
        """Compare each quiet feed with the store."""
        try:
            with self._lock:
                for feed in list(self._feeds.values()):
                    if not feed.followers():
                        self.drop(feed)
                feeds = list(self._feeds.values())
            quiet = [feed for feed in feeds if not feed.is_active]
            for feed in feeds:
                feed.is_active = False
            states = self.store.look([feed.run for feed in quiet]) if quiet else ()
            self._trouble_since = self.trouble = None
            for feed, state in zip(quiet, states, strict=True):
                self._judge(feed, state)
        except Exception as error:
            self._note_trouble(error)
        finally:
            self._is_sweeping = False

    def _judge(self, feed: _Feed, state: State) -> None:
        """Act on how the run of a quiet feed stands."""
        if state.end.cursor < feed.highest():
            now = time.monotonic()
            feed.lost_since = feed.lost_since or now
            if now - feed.lost_since > 3 * self.settings.lease:
                feed.lose()
            return
        if feed.lost_since is not None:
            feed.lost_since = None
            feed.change()
        if state.end == NOWHERE:
            return
        if feed.last is None:
            last = self.store.read(feed.run, state.end.cursor, 1)
            if last is not None and last.entries:
                feed.anchor(last.entries[0])
        elif state.end.cursor != feed.last:
            self._catch_up_soon(feed)
        if feed._newest.end is not None or state.age <= state.lease:
            feed.looks = 0
            return
        feed.looks = feed.looks + 1 if feed.looked_at == state.end else 1
        feed.looked_at = state.end
        if feed.looks >= _LOOKS and feed.last == state.end.cursor:
            self.store.close_if_dead(feed.run, state.end)
            self._catch_up_soon(feed)

    def _note_trouble(self, error: Exception) -> None:
        """Tell the followers, if the store has not answered for too long."""
        now = time.monotonic()
        since = self._trouble_since = self._trouble_since or now
        if now - since > self.settings.timeout or not isinstance(error, StoreUnavailable):
            self.trouble = error if isinstance(error, StoreUnavailable) else _broken(error)
            for feed in list(self._feeds.values()):
                feed.change()


def _let_go(future: "Future[_T]", dropped: "Callable[[_T], object] | None") -> None:
    """Have the result of a call that nobody waits for any more taken care of, if it has one."""

    def take(future: "Future[_T]") -> None:
        if dropped is not None and not future.cancelled() and future.exception() is None:
            dropped(future.result())

    if not future.cancel():
        future.add_done_callback(take)


def _broken(error: Exception) -> StoreUnavailable:
    unavailable = StoreUnavailable(f"the store has failed: {type(error).__name__}: {error}")
    unavailable.__cause__ = error
    return unavailable


def _info(name: str, entries: Sequence[Entry]) -> RunInfo:
    ended = is_final(entries[-1])
    for entry in reversed(entries):
        if is_event(entry):
            event = from_json(entry.text)
            return RunInfo(name, event.kind, event.timestamp_ms, ended)
    return RunInfo(name, "", 0, ended)
