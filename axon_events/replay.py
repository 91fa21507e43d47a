# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The replay log: a run's frames, for those who come late and those who come back.

log = ReplayLog(stream_id="run-7", max_bytes=2**20)
with FlowEmitter(log.append, flow_name="Report", backend="anthropic") as flow: ...

try:
    frames = await log.afollow(request.headers.get("Last-Event-ID"))
except CursorExpired: ...                       # 410
except CursorUnknown: ...                       # 404
async for piece in frames: await response.write(piece)

Frames are numbered from 0. Only `append` and `close` change the log, one at a time under its lock.
Each does so by setting one attribute: `_newest` says how many frames there are and whether more may
come, `_oldest` where those that are kept begin. So a reader sees the log as it was before or as it
is after, also where an interrupt stops `append`. Readers and followers take no lock, so they may
run, and go, in the middle of anything: they read one of the two, and then frames by their number. A
number that has no frame has been evicted.

`_frames` has the frames that are kept, by number. `_number_after_id` has the number of the frame
after each id; its oldest entry is for the last frame evicted or, before that, for the empty id.

A follower that has to wait enters `_waiters`, then looks whether `_newest` is still the same.
`append` sets `_newest`, then wakes the waiters. So no wake-up is lost: either the follower sees the
new frame, or `append` sees the waiter.
"""

import math
import re
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, NamedTuple, NoReturn

from ._catalog import Event, FlowExecutionEvent
from ._checked import U64_MAX, format_int
from ._wait import LoopWaiter, ThreadWaiter
from .sse import Encoder

__all__ = ["CursorExpired", "CursorUnknown", "ReplayLog"]

# Followers that catch up get the log in pieces of that size: one more frame may go over it.
_PIECE_BYTES: Final = 64 * 2**10

_CLOSED: Final = "the ReplayLog has been closed: append first, close() then"
_NESTED: Final = (
    "append was called inside another append of this thread, by a finalizer or a signal handler:"
    " set a flag or fill a queue there, and append after that"
)
_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,19})(?:\.([1-9][0-9]{0,19}))?")


class CursorExpired(LookupError):  # noqa: N818  # named for what it is, like EOFError
    """Frames that were asked for have been evicted; `oldest` is the id of the oldest one kept."""

    def __init__(self, message: str, oldest: str) -> None:
        super().__init__(message, oldest)
        self.oldest = oldest

    def __str__(self) -> str:
        return str(self.args[0])


class CursorUnknown(LookupError):  # noqa: N818
    """An id that this run has never given: of another run, from the future, or none at all."""


class _Newest(NamedTuple):
    """The log's new end."""

    total: int  # of all frames that have ever been in the log
    bytes: int  # of all of them
    id: str  # of the last one
    end: str | None  # why there will be no more


class _Oldest(NamedTuple):
    """The log's old end."""

    number: int  # of the oldest frame kept
    bytes: int  # of all before it
    id: str  # its id
    evicted: str  # the id of the frame before


class ReplayLog:
    """The frames of a run, each encoded once; for any number of threads and followers.

    - `stream_id`: names the run in each frame's id, as for `sse.Encoder`, so that an id of another
      run is recognised.
    - `max_events`: how many frames are kept, from 1; None for all.
    - `max_bytes`: how many bytes of frames are kept, from 1; None for all.

    While a limit is exceeded, the oldest frame is evicted; the newest always stays. Beside its
    bytes, a kept frame costs a few hundred bytes.

    Raises TypeError or ValueError for any other value.
    """

    def __init__(
        self,
        *,
        stream_id: str | None = None,
        max_events: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self._lock = threading.RLock()  # held to encode a frame and keep it, and to close
        self._is_appending = False  # the thread that has the lock is inside an `append`
        self._is_closing = False  # after that `append`
        self._encoder = Encoder(stream_id)
        self._prefix = self._encoder._prefix
        self._max_events = _limit("max_events", max_events)
        self._max_bytes = _limit("max_bytes", max_bytes)
        self._frames: dict[int, tuple[str, bytes]] = {}
        self._number_after_id = {"": 0}  # of an id, the number of the frame after it
        self._newest = _Newest(0, 0, "", None)
        self._oldest = _Oldest(0, 0, "", "")
        self._waiters: dict[_Waiter, None] = {}  # an ordered set

    @classmethod
    def load(cls, events: Iterable[Event], *, stream_id: str | None = None) -> "ReplayLog":
        """Return a log of recorded events, which gives each the id that it had before.

        - `events`: a run's events in order, from the first on.
        - `stream_id`: as when the run was recorded.

        The log takes more events unless there was a terminator. Raises what the constructor and
        `append` raise.
        """
        log = cls(stream_id=stream_id)
        for event in events:
            log.append(event)
        return log

    def append(self, event: Event) -> str:
        """Encode an event, keep its frame, wake the followers, and return the frame's id.

        This is a sink for a `FlowEmitter`. Raises TypeError for anything but an event, and
        RuntimeError after a terminator or `close`, or if a finalizer or a signal handler calls this
        inside another `append` of its thread; the event is not taken then.
        """
        if not isinstance(event, FlowExecutionEvent):
            raise TypeError(f"append takes an event, got {type(event).__name__}")
        with self._lock:
            if self._is_appending:
                raise RuntimeError(_NESTED)
            try:
                self._is_appending = True
                return self._take(event)
            finally:
                self._is_appending = False
                if self._is_closing:
                    self._close()

    def close(self) -> None:
        """End the log: no more can be appended, and followers end after the last frame.

        Those that wait are woken, and end at once. Does nothing after the end. Inside an `append`
        of this thread, the log ends after that `append`.
        """
        with self._lock:
            if self._is_appending:
                self._is_closing = True
            else:
                self._close()

    @property
    def ended(self) -> bool:
        """Whether nothing will be appended any more, after a terminator or `close`.

        If so, and `after(id)` is then empty, a client with that id has everything: status 204 tells
        an EventSource not to come again.
        """
        return self._newest.end is not None

    def _close(self) -> None:
        if self._newest.end is None:
            self._newest = self._newest._replace(end=_CLOSED)
        self._wake()  # in any case, since an interrupt may have kept `append` from it

    def _take(self, event: Event) -> str:
        newest = self._newest
        if newest.end is not None:
            raise RuntimeError(newest.end)
        frame = self._encoder.encode(event)
        id = self._encoder.last_event_id
        end = None
        if event.is_terminator:
            end = f"the stream has ended by {event.kind}: use a new ReplayLog for another run"
        self._frames[newest.total] = id, frame
        self._number_after_id[id] = newest.total + 1
        self._newest = newest = _Newest(newest.total + 1, newest.bytes + len(frame), id, end)
        while (kept := newest.total - self._oldest.number) > 1 and (
            kept > self._max_events or newest.bytes - self._oldest.bytes > self._max_bytes
        ):
            self._evict()
        self._wake()
        return id

    def _evict(self) -> None:
        oldest = self._oldest
        id, frame = self._frames[oldest.number]
        next_id = self._frames[oldest.number + 1][0]
        self._oldest = _Oldest(oldest.number + 1, oldest.bytes + len(frame), next_id, id)
        del self._frames[oldest.number]
        del self._number_after_id[oldest.evicted]

    def _wake(self) -> None:
        for waiter in list(self._waiters):
            waiter.wake()
            # Only now, so that whoever an error leaves unwoken is woken by the next event.
            self._waiters.pop(waiter, None)

    def after(self, id: str | None = None) -> bytes:
        """Return all frames after the one with an id, as they are now; empty if there are none.

        - `id`: what the client sent as `Last-Event-ID`; None or an empty one if it has nothing yet.

        Raises CursorExpired if a frame that was asked for has been evicted: the id of the last
        evicted frame still works, a well-formed one below it does not, and the beginning does not
        once there is one. Raises CursorUnknown if this run never gave the id: it is another run's,
        one with a stream id where the log has none, or the other way round, malformed, or from the
        future. Raises TypeError if it is neither a str nor None. The id is found in constant time.
        """
        return self._read(self._number_after(id), id or "", math.inf)[0]

    def follow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0
    ) -> "_ThreadFollower":
        """Return an iterator, for a thread, over the frames after an id until the end of the log.

        It gives the frames that are kept, then waits for each as it comes, without polling.

        - `id`: as for `after`.
        - `keep_alive`: after how many seconds without a frame, above 0, it gives a comment, which
          keeps the connection open; None for never.

        Each item is one or more whole frames. The call itself raises what `after` raises, and
        TypeError or ValueError for another `keep_alive`. The iterator raises CursorExpired if its
        next frame has been evicted, and RuntimeError if another thread waits for an item of it. It
        goes on after an interrupt, and loses nothing. After `close()` there are no more items; a
        thread that waits for one is woken.
        """
        return _ThreadFollower(self, id, keep_alive)

    async def afollow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0
    ) -> "_LoopFollower":
        """Return the same as `follow`, asynchronous, for asyncio; it has `aclose()`.

        Awaiting this call raises what calling `follow` raises. The iterator goes on after a wait
        that was cancelled, and loses nothing.
        """
        return _LoopFollower(self, id, keep_alive)

    def _read(self, number: int, id: str, size: float) -> tuple[bytes, int, str]:
        """Return the frames from that number on, the number after them, and the id of the last.

        - `id`: of the frame before.
        - `size`: how many bytes are enough.
        """
        count = self._newest.total
        frames: list[bytes] = []
        try:
            while number < count and size > 0:
                id, frame = self._frames[number]
                frames.append(frame)
                size -= len(frame)
                number += 1
        except KeyError:
            raise self._expired(id) from None
        return b"".join(frames), number, id

    def _number_after(self, id: str | None) -> int:
        """Return the number of the frame after an id."""
        if id is None:
            id = ""
        elif not isinstance(id, str):
            raise TypeError(f"id must be a str or None, got {type(id).__name__}")
        id = str.__str__(id)
        number = self._number_after_id.get(id)
        if number is not None:
            return number
        cursor = (0, 0) if id == "" else self._cursor(id)
        if cursor is None:
            example = _shown(f"{self._prefix}17")
            raise CursorUnknown(f"expected an id of this run, such as {example}, got {_shown(id)}")
        if cursor < (self._cursor(self._oldest.evicted) or (0, 0)):
            raise self._expired(id)
        newest = self._newest
        last = f"the last one is {_shown(newest.id)}" if newest.total else "the log is empty"
        raise CursorUnknown(f"this run has not given the id {_shown(id)}: {last}")

    def _cursor(self, id: str) -> tuple[int, int] | None:
        """Return the two numbers of a well-formed id of this log."""
        if not id.startswith(self._prefix):
            return None
        match = _CURSOR.fullmatch(id, len(self._prefix))
        if match is None:
            return None
        token, since = int(match[1]), int(match[2] or 0)
        return (token, since) if max(token, since) <= U64_MAX else None

    def _expired(self, id: str) -> CursorExpired:
        start = f"after the id {_shown(id)}" if id else "from the beginning"
        oldest = self._oldest.id
        return CursorExpired(
            f"the frames {start} are not all kept: the oldest is {_shown(oldest)}", oldest
        )

    def __reduce__(self) -> NoReturn:
        # The followers of a copy would wait for events that go to the original.
        raise TypeError("a ReplayLog can be neither copied nor pickled")


_Waiter = ThreadWaiter | LoopWaiter


class _Follower:
    """Where a follower stands in its log: all that does not differ in threads and in loops.

    It is no generator, since an exception, so also a cancellation, would end that.
    """

    def __init__(self, log: ReplayLog, id: str | None, keep_alive: float | None) -> None:
        self._keep_alive = _seconds(keep_alive)
        self._log = log
        self._number = log._number_after(id)  # of the next frame
        self._id = id or ""  # of the last one
        self._waiter: _Waiter | None = None
        self._is_closed = False

    def _next(self) -> "bytes | _Newest":
        """Return the next frames; none at the end; if they have yet to come, the log's new end."""
        if self._waiter is not None and not self._waiter.is_lost:
            raise RuntimeError(
                "another wait for this follower's next item: call follow once for each who follows"
            )
        newest = self._log._newest
        if self._is_closed:
            return b""
        if self._number < newest.total:
            piece, self._number, self._id = self._log._read(self._number, self._id, _PIECE_BYTES)
            return piece
        return newest if newest.end is None else b""

    def _enter(self, waiter: _Waiter, newest: _Newest) -> bool:
        """Begin to wait; return whether to go on, since there is nothing new."""
        self._waiter = waiter
        self._log._waiters[waiter] = None
        # Looked at only now that `append` and `_end` see the waiter.
        return self._log._newest is newest and not self._is_closed

    def _leave(self, waiter: _Waiter) -> None:
        self._log._waiters.pop(waiter, None)
        if self._waiter is waiter and not waiter.is_lost:
            self._waiter = None

    def _end(self) -> None:
        self._is_closed = True
        if (waiter := self._waiter) is not None:
            waiter.wake()


class _ThreadFollower(_Follower, Iterator[bytes]):
    """What `follow` returns."""

    def __next__(self) -> bytes:
        while isinstance(item := self._next(), _Newest):
            if not self._woken(item):
                return self._log._encoder.keep_alive()
        if item:
            return item
        raise StopIteration

    def _woken(self, newest: _Newest) -> bool:
        """Wait until `_newest` may be another; return False if that took too long."""
        waiter = ThreadWaiter()
        try:
            return not self._enter(waiter, newest) or waiter.wait(self._keep_alive)
        finally:
            self._leave(waiter)

    def close(self) -> None:
        """End it, also if it waits; from any thread. Does nothing the second time."""
        self._end()


class _LoopFollower(_Follower, AsyncIterator[bytes]):
    """What `afollow` returns."""

    async def __anext__(self) -> bytes:
        while isinstance(item := self._next(), _Newest):
            if not await self._woken(item):
                return self._log._encoder.keep_alive()
        if item:
            return item
        raise StopAsyncIteration

    async def _woken(self, newest: _Newest) -> bool:
        """Wait until `_newest` may be another; return False if that took too long."""
        from asyncio import get_running_loop  # here, since threads do not need it

        loop = get_running_loop()
        waiter = LoopWaiter(loop)
        timer = None
        if self._keep_alive is not None:
            timer = loop.call_later(self._keep_alive, waiter.resume, False)
        try:
            return not self._enter(waiter, newest) or await waiter.future
        finally:
            self._leave(waiter)
            if timer is not None:
                timer.cancel()

    async def aclose(self) -> None:
        """End it, also if it waits. Does nothing the second time."""
        self._end()


def _limit(name: str, value: int | None) -> float:
    if value is None:
        return math.inf
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int or None, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {format_int(value)}")
    return value


def _seconds(keep_alive: float | None) -> float | None:
    if keep_alive is None:
        return None
    if not isinstance(keep_alive, (int, float)) or isinstance(keep_alive, bool):
        raise TypeError(
            f"keep_alive must be an int, a float or None, got {type(keep_alive).__name__}"
        )
    if not keep_alive > 0:  # NaN included
        given = format_int(keep_alive) if isinstance(keep_alive, int) else keep_alive
        raise ValueError(f"keep_alive must be above 0, in seconds, got {given}")
    return min(keep_alive, threading.TIMEOUT_MAX)


def _shown(id: str) -> str:
    """Return an id as it stands in the text of an error: whatever a client sent, on one line."""
    return repr(id) if len(id) <= 60 else f"{id[:60]!r}…"
