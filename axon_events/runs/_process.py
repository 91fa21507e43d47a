# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""One process's side of a store: its threads, writers and feeds.

The writer's thread appends what the writers were given; whatever comes meanwhile goes into the next
append together. The hub's thread passes what the store tells on to the feeds. Up to eight readers
make all other calls that wait for the store, for threads and for loops.

Silence proves nothing: every two seconds a sweep compares the quiet feeds with the store. It finds
what the store did not tell, what the store has lost, and writers that died.
"""

import asyncio
import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from .._catalog import Event
from .._codec import from_json
from .._wait import ThreadWaiter
from ..replay import CursorExpired, CursorUnknown, StoreUnavailable, _shown
from . import Fenced, RunExists, RunInfo, _writer
from ._feed import PAGE_BYTES, Feed, RunFollower
from ._store import (
    BEGINNING,
    DELETED,
    NOWHERE,
    Append,
    Cursor,
    End,
    Entry,
    Page,
    State,
    Store,
    cursor_of,
    entries_after,
    found,
    frame_of,
    is_event,
    is_final,
    kind_of,
    seconds_until,
    size_of,
)
from ._writer import RunWriter

__all__ = ["Process", "Settings"]

_T = TypeVar("_T")

_READERS: Final = 8
_LOOKS: Final = 3  # so many in a row must find a lease run out before the run is closed
_HUB_SECONDS: Final = 0.05  # the hub's longest wait; `close` waits for it
_PAUSES: Final = (0.01, 0.5)  # the shortest and the longest pause before a store is asked again

_IN_A_FORK: Final = (
    "this belongs to the process that this one was forked from: call create, resume or follow in"
    " the process that uses it"
)
CLOSED_RUNS: Final = "the runs have been closed: make another object for the same store"


class Settings(NamedTuple):
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


_AFollower = TypeVar("_AFollower", bound=RunFollower)


class Process:
    """One process's side of a store: its threads, writers and feeds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pid = os.getpid()
        self.store = settings.open_store()
        self._watch = self.store.watch(self._on_entries)
        self._lock = threading.RLock()  # held for a few steps, never while something is waited for
        self._threads: dict[str, threading.Thread] = {}
        self.is_closed = False
        self._closing = threading.Event()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._job = threading.local()  # `deadline`: until when its caller waits
        # The writer's.
        # Ordered sets. A writer that its owner drops goes when all of it is stored: without
        # heartbeats its run is closed.
        self._writers: dict[weakref.ref[RunWriter], None] = {}
        self._due: dict[RunWriter, None] = {}
        self._pending_bytes = 0
        self._writer_waiter = ThreadWaiter()
        self.trouble_of_writes: Exception | None = None
        # The hub's.
        self._feeds: dict[str, Feed] = {}
        self._hub_waiter = ThreadWaiter()
        self._is_sweeping = False

    def require_here(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(_IN_A_FORK)

    def require_open(self) -> None:
        if self.is_closed:
            raise RuntimeError(CLOSED_RUNS)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is stored or read any more."""
        return self._closing.is_set()

    def call(
        self, function: Callable[..., _T], *args: Any, dropped: Callable[[_T], object] | None = None
    ) -> _T:
        """Call a function in a reader's thread, and wait for it.

        - `dropped`: called with the result if the caller no longer waits.
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
        deadline = time.monotonic() + self.settings.timeout  # the wait for a reader counts

        def work() -> None:
            self._job.deadline = deadline
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args))
                except BaseException as error:
                    future.set_exception(error)

        with self._lock:
            if self.has_ended:
                raise RuntimeError(CLOSED_RUNS)
            self._jobs.put(work)
            count = sum(name.startswith("reader") for name in self._threads)
            if count < _READERS:
                self._start(f"reader {count}", self._read_for_others)
        return future

    def ask(self, function: Callable[..., _T], *args: Any) -> _T:
        """Call a function of the store, and again for as long as the user's `timeout` allows.

        In a reader's thread alone.
        """
        deadline: float = self._job.deadline
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

    def read(self, feed: Feed, cursor: Cursor) -> Page | None:
        """Read a page for a follower."""
        page = self.ask(self.store.read, feed.run, cursor, PAGE_BYTES)
        if page is not None and not page.entries:  # the cursor is ahead; the run may have ended
            self.ask(self._anchor, feed, page.end.cursor)
        return page

    def _anchor(self, feed: Feed, end: Cursor) -> None:
        newest = feed._newest
        page = self.store.read(feed.run, end, 1)
        if page is not None and page.entries and page.entries[-1].cursor == page.end.cursor:
            feed.anchor(page.entries[-1], newest)

    def create(self, run: str) -> RunWriter:
        if self.ask(self.store.read, run, BEGINNING, 1) is not None:
            raise RunExists(f"the store has a run {_shown(run)}: use a name once")
        return RunWriter(self, run)

    def resume(self, run: str) -> tuple[RunWriter, list[Event]]:
        entries: list[Entry] = []
        while True:
            end = self._complete(run, entries)
            newest = entries[-1]
            if is_event(newest) and is_final(newest):
                raise RuntimeError(
                    f"the run {_shown(run)} has ended by {kind_of(newest.text)}: there is nothing"
                    " to resume"
                )
            writer = RunWriter(self, run, entries, end)
            writer.take_over()
            try:
                writer.flush(seconds_until(self._job.deadline))
            except Fenced:  # it has gone on meanwhile
                continue
            except StoreUnavailable as error:
                writer.fail(error)
                raise
            return writer, _events(entries)

    def events(self, run: str) -> list[Event]:
        entries: list[Entry] = []
        self._complete(run, entries)
        return _events(entries)

    def _complete(self, run: str, entries: list[Entry]) -> End:
        """Add to entries of a run those that follow, up to its end; return that.

        - `entries`: what has been read so far, from the oldest entry on; empty at first.
        """
        while True:
            last = entries[-1].cursor if entries else BEGINNING
            page = found(run, self.ask(self.store.read, run, last, PAGE_BYTES))
            try:
                entries += entries_after(run, last, page) if entries else page.entries
            except (CursorExpired, CursorUnknown):  # some of it was evicted, or lost, meanwhile
                entries.clear()
            else:
                if entries[-1].cursor == page.end.cursor:
                    return page.end

    def after(self, run: str, cursor: Cursor) -> bytes:
        frames: list[bytes] = []
        while True:
            page = found(run, self.ask(self.store.read, run, cursor, PAGE_BYTES))
            frames += [frame_of(run, entry) for entry in entries_after(run, cursor, page)]
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
        cursor_of(run, id)  # first, so that a bad id raises before anything is watched
        with self._lock:
            self.require_open()
            feed = self._feeds.get(run)
            if feed is None:
                feed = Feed(self, run)
            follower = kind(feed, id, keep_alive)
            if run not in self._feeds:
                self._feeds[run] = feed
                self._watch.add(run)
                self._start("hub", self._hub)
                self._hub_waiter.wake()
        return follower

    def drop(self, feed: Feed) -> None:
        """Let go of a feed: later followers of its run get another one."""
        with self._lock:
            if self._feeds.get(feed.run) is feed:
                del self._feeds[feed.run]
                self._watch.remove(feed.run)

    def disconnect(self) -> None:
        for feed in list(self._feeds.values()):
            feed.disconnect()

    def close(self) -> None:
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
        deadline = time.monotonic() + self.settings.timeout
        try:
            self._flush(deadline)
        finally:
            self._end_threads(deadline)

    def _flush(self, deadline: float) -> None:
        """Wait until the store has all that was appended; raise StoreUnavailable if it has not."""
        failures: list[StoreUnavailable] = []
        for writer in self._living():
            try:
                writer.flush(seconds_until(deadline))
            except StoreUnavailable as error:
                failures.append(error)
            except (Fenced, RunExists):  # the writer tells its owner
                pass
        if failures:
            raise failures[0]

    def _flush_at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._flush(time.monotonic() + self.settings.timeout)

    def _living(self) -> list[RunWriter]:
        """Return the writers that somebody still has, or that have something to be stored."""
        writers = [(reference, reference()) for reference in list(self._writers)]
        for reference, writer in writers:
            if writer is None:
                self._writers.pop(reference, None)
        return [writer for _, writer in writers if writer is not None]

    def _end_threads(self, deadline: float) -> None:
        atexit.unregister(self._flush_at_exit)
        self._closing.set()
        self._writer_waiter.wake()
        self._hub_waiter.wake()
        with self._lock:
            threads = list(self._threads.values())
        for _ in threads:
            self._jobs.put(None)
        self.disconnect()
        for writer in self._living():
            writer.look_again()
        for thread in threads:
            thread.join(seconds_until(deadline))
        if not any(thread.is_alive() for thread in threads):
            if "hub" not in self._threads:
                self._watch.close()
            self.store.close()

    def _start(self, name: str, work: Callable[[], None]) -> None:
        if name not in self._threads:
            thread = threading.Thread(target=work, name=f"axon_events runs {name}", daemon=True)
            thread.start()
            self._threads[name] = thread

    def _read_for_others(self) -> None:
        while (work := self._jobs.get()) is not None:
            work()
            del work  # and so what it holds

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
        self._writers[writer.reference] = None
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
        shortest, longest = _PAUSES
        # Shorter than the time between two looks, so that not three in a row miss the writer.
        longest = min(longest, beat / 2)
        while True:
            if pause:
                self._closing.wait(pause)
            self._writer_waiter = waiter = ThreadWaiter()
            # Both are read after the waiter is in place: a later change wakes it.
            if self._closing.is_set():
                return
            if not self._due:
                waiter.wait(seconds_until(next_beat) if self._writers else None)
            now = time.monotonic()
            trouble: StoreUnavailable | None = None
            if now >= next_beat or pause:
                # Apart from events: the store may have no room for these, or they may take long.
                next_beat = now + beat
                trouble = self._send(self._heartbeats(now - beat / 2))
            trouble = self._send(self._next_appends()) or trouble
            self.trouble_of_writes = trouble
            pause = 0.0 if trouble is None else min(max(2 * pause, shortest), longest)

    def _heartbeats(self, beat: float) -> list[tuple[RunWriter, Append]]:
        writers = ((writer, writer.heartbeat(beat)) for writer in self._living())
        return [(writer, append) for writer, append in writers if append is not None]

    def _next_appends(self) -> list[tuple[RunWriter, Append]]:
        """Return what is to be appended at once, of the writers whose turn it is."""
        appends: list[tuple[RunWriter, Append]] = []
        count = size = 0
        for writer in list(self._due):
            if count >= _writer.APPEND_COUNT or size >= _writer.APPEND_BYTES:
                break
            del self._due[writer]  # first, so that any later append makes it due again
            if (append := writer.next_append()) is not None:
                appends.append((writer, append))
                count += len(append.entries)
                size += sum(size_of(entry.text) for entry in append.entries)
            elif writer.is_done:
                self._writers.pop(writer.reference, None)
        return appends

    def _send(self, appends: list[tuple[RunWriter, Append]]) -> StoreUnavailable | None:
        """Append, and tell the writers what the store answers; return the trouble that passes."""
        if not appends:
            return None
        answers: Sequence[End | Exception | None]
        try:
            answers = self.store.append([append for _, append in appends])
        except Exception as error:
            answers = [error] * len(appends)
        trouble: StoreUnavailable | None = None
        for (writer, append), answer in zip(appends, answers, strict=True):
            if isinstance(answer, StoreUnavailable):
                trouble = answer
                self._due[writer] = None
            elif isinstance(answer, Exception):
                writer.fail(_broken(answer))
                self._writers.pop(writer.reference, None)
            elif writer.answered(append, answer):
                self._due[writer] = None
            elif writer.is_done:
                self._writers.pop(writer.reference, None)
        return trouble

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
            if now >= next_sweep:
                next_sweep = now + self.settings.beat
                if not self._is_sweeping:
                    self._is_sweeping = True
                    self._try_to_submit(self._sweep)
            try:
                self._watch.wait(min(next_sweep - now, _HUB_SECONDS))
            except Exception as error:
                self._note_trouble(list(self._feeds.values()), error)
                self._closing.wait(_HUB_SECONDS)
        self._watch.close()

    def _try_to_submit(self, function: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # it is closed meanwhile
            self.submit(function, *args)

    def _on_entries(self, run: str, entries: Sequence[Entry]) -> None:
        feed = self._feeds.get(run)
        if feed is not None and (not entries or feed.take(entries)):
            self._catch_up_soon(feed)

    def _catch_up_soon(self, feed: Feed) -> None:
        with self._lock:
            feed.is_behind = True
            if feed.is_catching_up:
                return
            feed.is_catching_up = True
        self._try_to_submit(self._catch_up, feed)

    def _catch_up(self, feed: Feed) -> None:
        """Give a feed what the store has and the feed does not."""
        try:
            while True:
                with self._lock:
                    if not feed.is_behind:
                        feed.is_catching_up = False
                        return
                    feed.is_behind = False
                if feed.last is None:
                    feed.change()
                else:
                    self._read_on(feed, feed.last)
        except Exception as error:
            feed.is_catching_up = False  # the sweep has it begin again
            self._note_trouble([feed], error)

    def _read_on(self, feed: Feed, last: Cursor) -> None:
        while True:
            page = self.store.read(feed.run, last, PAGE_BYTES)
            if page is None or not page.entries:
                return  # the sweep finds out for how long
            first = page.entries[0]
            if last not in (first.cursor, first.before) and first.text != DELETED:
                if first.cursor != page.oldest or last > first.before:
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
            # Before the look, so that what is appended after it counts as no loss.
            quiet = [(feed, feed.highest()) for feed in feeds if not feed.is_active]
            for feed in feeds:
                if feed.is_active:
                    feed.note_restored()  # since more has come
                feed.is_active = False
            try:
                states = self.store.look([feed.run for feed, _ in quiet]) if quiet else ()
            except Exception as error:
                self._note_failed_look(feeds, error)
                return
            for feed in feeds:
                feed.trouble_since = feed.trouble = None
            for (feed, highest), state in zip(quiet, states, strict=True):
                try:
                    if isinstance(state, Exception):
                        raise state
                    self._judge(feed, highest, state)
                except Exception as error:
                    self._note_failed_look([feed], error)
        finally:
            self._is_sweeping = False

    def _note_failed_look(self, feeds: Sequence[Feed], error: Exception) -> None:
        for feed in feeds:
            # Only looks in a row count, and only the time in which a writer can restore.
            feed.looks = 0
            feed.note_restored()
        self._note_trouble(feeds, error)

    def _judge(self, feed: Feed, highest: Cursor, state: State) -> None:
        """Act on the state of a quiet feed's run.

        - `highest`: the highest cursor that any follower here was given.
        """
        if state.end.cursor < highest:
            now = time.monotonic()
            feed.lost_since = feed.lost_since or now
            if now - feed.lost_since > 3 * self.settings.lease:
                feed.lose()
            return
        feed.note_restored()
        if state.end == NOWHERE:
            return
        if feed.last is None:
            self._anchor(feed, state.end.cursor)
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

    def _note_trouble(self, feeds: Iterable[Feed], error: Exception) -> None:
        """Tell the followers, if the store has not answered for their runs for too long."""
        now = time.monotonic()
        for feed in feeds:
            since = feed.trouble_since = feed.trouble_since or now
            if now - since > self.settings.timeout or not isinstance(error, StoreUnavailable):
                feed.trouble = error if isinstance(error, StoreUnavailable) else _broken(error)
                feed.change()


def _let_go(future: "Future[_T]", dropped: "Callable[[_T], object] | None") -> None:
    """Cancel a call whose caller no longer waits, or give its result to `dropped`."""

    def take(future: "Future[_T]") -> None:
        if dropped is not None and not future.cancelled() and future.exception() is None:
            dropped(future.result())

    if not future.cancel():
        future.add_done_callback(take)


def _broken(error: Exception) -> StoreUnavailable:
    unavailable = StoreUnavailable(f"the store has failed: {type(error).__name__}: {error}")
    unavailable.__cause__ = error
    return unavailable


def _events(entries: Iterable[Entry]) -> list[Event]:
    return [from_json(entry.text) for entry in entries if is_event(entry)]


def _info(name: str, entries: Sequence[Entry]) -> RunInfo:
    ended = is_final(entries[-1])
    for entry in reversed(entries):
        if is_event(entry):
            event = from_json(entry.text)
            return RunInfo(name, event.kind, event.timestamp_ms, ended)
    return RunInfo(name, "", 0, ended)
