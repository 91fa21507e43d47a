# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The one writer of a run: what it was given, and how much of that the store has.

An append says where the run must end. If the run ends elsewhere, the store says where, and that end
tells what happened. If this writer made that end, or went on from it, the end is in its copy: then
either a reply was lost, and the store has more than was known, or the store has lost entries, and
what comes after that end is appended again. Any other end was made by another writer, and this one
is fenced.
"""

import asyncio
import math
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn

from .._catalog import Event, FlowExecutionEvent
from .._codec import to_json
from .._wait import LoopWaiter, ThreadWaiter, Waiters
from ..replay import _NESTED, StoreUnavailable, _shown, wait_seconds
from . import Fenced, RunExists
from ._store import (
    BEGINNING,
    CLOSED,
    NOWHERE,
    TAKEN_OVER,
    Append,
    Cursor,
    End,
    Entry,
    above,
    id_of,
    is_event,
    is_final,
    kind_of,
    next_cursor,
    seconds_until,
    size_of,
)

if TYPE_CHECKING:
    from ._process import Process

__all__ = ["RunWriter"]

# The limits of one append, of a run and of all runs together; the last entry, or run, may go over.
APPEND_COUNT: Final = 1000
APPEND_BYTES: Final = 2**20


class RunWriter:
    """The one writer of a run, which `create` or `resume` returns; for any number of threads.

    As a context manager, also an asynchronous one, it is closed at the end.
    """

    def __init__(
        self, process: "Process", run: str, entries: Iterable[Entry] = (), end: End = NOWHERE
    ) -> None:
        self._process = process
        self._run = run
        self.reference = weakref.ref(self)
        self._token = secrets.token_urlsafe(6)  # short: a store may keep it with each entry
        # Held to append, or to note what the store has answered; never for long.
        self._lock = threading.RLock()
        self._is_appending = False
        self._is_closing = False
        self._copy = deque(entries)  # what the store has, as far as is known
        self._pending: deque[Entry] = deque()  # what it is to get after that
        self._copy_bytes = sum(size_of(entry.text) for entry in self._copy)
        self._end = end  # where the run ends in the store, as far as is known
        self._acknowledged = end.cursor  # the highest cursor that the store has ever had
        self._is_closed = False
        self._failure: Exception | None = None  # why nothing more gets into the store
        self._reached = time.monotonic()  # when the store last answered
        self._waiters = Waiters()  # for those that flush

    def append(self, event: Event) -> str:
        """Take an event and return its id; the store gets it soon after. Never waits.

        A sink for a `FlowEmitter`. Raises Fenced if the run was taken over, closed or deleted;
        RunExists if another process created it at the same time; StoreUnavailable if what waits for
        the store has reached `max_pending_bytes`; TypeError for anything but an event; RuntimeError
        after a terminator or `close`, or if a finalizer or signal handler calls this inside another
        `append` of its thread. An event for which it raises is not taken.
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
                last = self._last_entry
                self._require_open(last)
                self._process.reserve(size_of(text))
                before = BEGINNING if last is None else last.cursor
                cursor = next_cursor(before, event)
                self._take(Entry(cursor, before, text, self._token))
                return id_of(self._run, cursor)
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
        target = self._target()
        deadline = self._deadline(timeout)
        while not self._has_stored(target):
            waiter = ThreadWaiter()
            self._waiters.add(waiter)
            try:
                # Asked again with the waiter in place: a later change wakes it.
                if not self._has_stored(target) and not waiter.wait(seconds_until(deadline)):
                    self._give_up()
            finally:
                self._waiters.remove(waiter)

    async def aflush(self, timeout: float | None = None) -> None:
        """Do what `flush` does, without blocking the loop."""
        self._process.require_here()
        target = self._target()
        deadline = self._deadline(timeout)
        loop = asyncio.get_running_loop()
        while not self._has_stored(target):
            waiter = LoopWaiter(loop)
            self._waiters.add(waiter)
            timer = loop.call_later(seconds_until(deadline), waiter.resume, False)
            try:
                if not self._has_stored(target) and not await waiter.future:
                    self._give_up()
            finally:
                timer.cancel()
                self._waiters.remove(waiter)

    def close(self) -> None:
        """End the run, and wait until the store has all of it.

        Without a terminator the run is closed: its followers end, and it can be resumed. Nothing is
        stored if nothing was appended. Raises what `flush` raises; what was appended is then still
        kept, to be stored later. Inside an `append` of this thread, the run ends after that
        `append`, without a wait. The second time, it only waits.
        """
        self._process.require_here()
        if not self._close():
            self.flush()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the loop."""
        self._process.require_here()
        self._close()
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
        """End the run; return True if an `append` of this thread will do so when it returns."""
        with self._lock:
            self._is_closing = self._is_appending
            if not self._is_closing:
                self._is_closed = True
                is_open = self._failure is None and not self._process.is_closed
                if is_open and self._last_entry is not None and not self._is_ended:
                    self._take_text(CLOSED)
            return self._is_closing

    def take_over(self) -> None:
        with self._lock:
            self._take_text(TAKEN_OVER)

    def _take_text(self, text: str) -> None:
        last = self._last
        self._take(Entry(above(last), last, text, self._token))

    def _take(self, entry: Entry) -> None:
        # One step: an interrupt comes before it or after it.
        self._pending.append(entry)
        self._process.wake_writer(self)

    @property
    def _last_entry(self) -> Entry | None:
        """The newest entry here. Read under the lock, like the properties below."""
        if self._pending:
            return self._pending[-1]
        return self._copy[-1] if self._copy else None

    @property
    def _last(self) -> Cursor:
        last = self._last_entry
        return BEGINNING if last is None else last.cursor

    @property
    def _is_ended(self) -> bool:
        last = self._last_entry
        return last is not None and is_final(last)

    def _require_open(self, last: Entry | None) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._is_closed:
            raise RuntimeError("the run was closed: append before close()")
        if last is not None and is_final(last):
            kind = kind_of(last.text)
            raise RuntimeError(f"the run has ended by {kind}: create another one, of another name")
        self._process.require_open()

    def _target(self) -> Cursor:
        """Return the cursor that a flush has to wait for, and make sure that it will be stored."""
        with self._lock:
            if self._pending:  # an interrupt may have ended `append` before it woke the writer
                self._process.wake_writer(self)
            return self._last

    def _deadline(self, timeout: float | None) -> float:
        seconds = (
            self._process.settings.timeout if timeout is None else wait_seconds(timeout, "timeout")
        )
        return time.monotonic() + seconds

    def _has_stored(self, target: Cursor) -> bool:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._end.cursor >= target:
            return True
        if self._process.has_ended:
            self._give_up()
        return False

    def _give_up(self) -> NoReturn:
        trouble = self._process.trouble_of_writes
        why = "the store did not answer in time" if trouble is None else str(trouble)
        raise StoreUnavailable(
            f"not all events of the run {_shown(self._run)} are stored yet: {why}"
        ) from trouble

    def next_append(self) -> Append | None:
        """Return what to append next. In the writer's thread, like the methods below."""
        with self._lock:
            if self._failure is not None or not self._pending:
                return None
            entries: list[Entry] = []
            size = 0
            token = self._token
            for entry in islice(self._pending, APPEND_COUNT):
                # One that is appended again may carry the token of the writer before.
                entries.append(entry if entry.writer == token else entry._replace(writer=token))
                size += size_of(entry.text)
                if size >= APPEND_BYTES:
                    break
            return Append(self._run, self._end, entries, self._keep(entries, size))

    def heartbeat(self, beat: float) -> Append | None:
        """Return a heartbeat, unless the store has answered since a time, or has no such run."""
        with self._lock:
            if self._failure is not None or self._end == NOWHERE or self._reached > beat:
                return None
            return Append(self._run, self._end, (), None)

    def _keep(self, entries: Sequence[Entry], size: int) -> int | None:
        """Return how many entries the store is to keep, including those it gets now."""
        settings = self._process.settings
        if math.inf == settings.max_events == settings.max_bytes:
            return None
        count = len(self._copy) + len(entries)
        size += self._copy_bytes
        oldest = chain(self._copy, entries)
        while count > 1 and (count > settings.max_events or size > settings.max_bytes):
            count -= 1
            size -= size_of(next(oldest).text)
        return count

    def answered(self, append: Append, answer: End | None) -> bool:
        """Take the store's answer to an append; return whether there is more to append."""
        with self._lock:
            if self._failure is not None:
                return False
            silence = time.monotonic() - self._reached
            self._reached += silence
            if answer is None:
                for _ in append.entries:
                    self._acknowledge(self._pending.popleft())
                if append.entries:
                    self._end = End(append.entries[-1].cursor, self._token)
                while append.keep is not None and len(self._copy) > append.keep:
                    self._copy_bytes -= size_of(self._copy.popleft().text)
            elif (stored := self._stored(answer, silence)) is not None:
                entries = [*self._copy, *self._pending]
                self._pending = deque(entries[stored:])
                self._copy.clear()
                self._copy_bytes = 0
                for entry in entries[:stored]:
                    self._acknowledge(entry)
                self._end = answer
            elif self._acknowledged == BEGINNING:
                self.fail(RunExists(f"the store has a run {_shown(self._run)}: use a name once"))
            else:
                run = _shown(self._run)
                self.fail(Fenced(f"another has taken over the run {run}, closed or deleted it"))
        self._waiters.wake()
        return bool(self._pending)

    def _acknowledge(self, entry: Entry) -> None:
        """Add to the copy an entry that the store has."""
        size = size_of(entry.text)
        self._copy.append(entry)
        self._copy_bytes += size
        if entry.cursor > self._acknowledged:
            self._acknowledged = entry.cursor
            if is_event(entry):
                self._process.release(size)

    def _stored(self, end: End, silence: float) -> int | None:
        """Return how many of the entries here the store has, by where the run ends in it.

        None if this writer neither made that end nor went on from it.

        - `silence`: for how many seconds the store had not answered before.
        """
        if end == NOWHERE:
            # After a longer silence, another may have taken over the run, and it may have expired.
            return 0 if silence < self._process.settings.ttl else None
        entries = [*self._copy, *self._pending]
        for index in reversed(range(len(entries))):
            # Entries of the writer before have this one's token if they were appended again.
            if entries[index].cursor == end.cursor:
                entry = entries[index]
                # An end without a token is a close; a store may also give an older entry none.
                is_close = not end.writer and entry.text == CLOSED
                is_own = end.writer in (self._token, entry.writer) and (end.writer or is_close)
                return index + 1 if is_own else None
        # An old end of this writer, older than its copy: all of the copy is appended again, and the
        # limits evict what comes before it.
        is_old = end.writer == self._token and end.cursor < entries[0].cursor
        return 0 if is_old else None

    def look_again(self) -> None:
        """Have those that flush look again: the runs were closed."""
        self._waiters.wake()

    def fail(self, error: Exception) -> None:
        with self._lock:
            self._failure = error
            self._process.release(
                sum(
                    size_of(entry.text)
                    for entry in self._pending
                    if is_event(entry) and entry.cursor > self._acknowledged
                )
            )
            self._copy.clear()
            self._pending.clear()
        self._waiters.wake()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to store, now or later."""
        if self._failure is not None:
            return True
        return not self._pending and (self._is_closed or self._is_ended)
