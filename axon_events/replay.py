# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The replay log: a run's frames, for those who come late and those who come back.

with ReplayLog(stream_id="run-7", max_bytes=2**20) as log:
    with FlowEmitter(log.append, flow_name="Report", backend="anthropic") as flow: ...

frames = await log.afollow(last_event_id)       # CursorExpired, CursorUnknown
async for piece in frames: await response.write(piece)

`web` makes the HTTP answer from it. The errors that have a status there are defined here.

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
new frame, or `append` sees the waiter. `disconnect` and `_cut` do the same.
"""

import math
import re
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from ._catalog import Event, FlowExecutionEvent
from ._checked import U64_MAX, format_int
from ._wait import LoopWaiter, ThreadWaiter, Waiters
from .sse import Encoder

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "CursorAhead",
    "CursorExpired",
    "CursorUnknown",
    "ReplayLog",
    "RunLost",
    "RunUnknown",
    "StoreUnavailable",
]

# Followers that catch up get the log in pieces of this size; the last frame may exceed it.
_PIECE_BYTES: Final = 64 * 2**10

_CLOSED: Final = "the ReplayLog was closed: append before close()"
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


class CursorAhead(CursorUnknown):
    """A well-formed id of this run, above the last one that it has given so far."""


class RunUnknown(CursorUnknown):
    """A run that a store does not have, or does not have any more."""


class RunLost(LookupError):  # noqa: N818
    """The store has lost events of a run that this follower had been given."""


class StoreUnavailable(RuntimeError):  # noqa: N818
    """The store does not answer, or takes no writes."""


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

    As a context manager it is closed at the end, so that its followers end even if its producer
    dies before the first event. Raises TypeError or ValueError for any other value.
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
        self._waiters = Waiters()
        self._cut: object = None  # the last `disconnect`, each of which is another object

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
        """Whether nothing will be appended any more, after a terminator or `close`."""
        return self._newest.end is not None

    def disconnect(self) -> None:
        """End each follower now, as if its connection had been cut; the run goes on.

        For a server that shuts down: clients come back, to it or to another one. From any thread,
        and from a signal handler.
        """
        self._cut = object()
        self._waiters.wake()

    @property
    def disconnected(self) -> bool:
        """Whether `disconnect` was called: `web` then tells clients to come again."""
        return self._cut is not None

    def __enter__(self) -> "ReplayLog":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _close(self) -> None:
        if self._newest.end is None:
            self._newest = self._newest._replace(end=_CLOSED)
        self._waiters.wake()  # in any case, since an interrupt may have kept `append` from it

    def _take(self, event: Event) -> str:
        if self._newest.end is not None:
            raise RuntimeError(self._newest.end)
        frame = self._encoder.encode(event)
        id = self._encoder.last_event_id
        end = None
        if event.is_terminator:
            end = f"the stream has ended by {event.kind}: use a new ReplayLog for another run"
        self._keep(id, frame, end)
        return id

    def _keep(self, id: str, frame: bytes, end: str | None) -> None:
        """Take the next frame, evict those that are too many then, and wake the followers."""
        newest = self._newest
        self._frames[newest.total] = id, frame
        self._number_after_id[id] = newest.total + 1
        self._newest = newest = _Newest(newest.total + 1, newest.bytes + len(frame), id, end)
        while (kept := newest.total - self._oldest.number) > 1 and (
            kept > self._max_events or newest.bytes - self._oldest.bytes > self._max_bytes
        ):
            self._evict()
        self._waiters.wake()

    def _evict(self) -> None:
        oldest = self._oldest
        id, frame = self._frames[oldest.number]
        next_id = self._frames[oldest.number + 1][0]
        self._oldest = _Oldest(oldest.number + 1, oldest.bytes + len(frame), next_id, id)
        del self._frames[oldest.number]
        del self._number_after_id[oldest.evicted]

    def after(self, id: str | None = None) -> bytes:
        """Return all frames after the one with an id, as they are now; empty if there are none.

        - `id`: what the client sent as `Last-Event-ID`; None or an empty one if it has nothing yet.

        Raises CursorExpired if a frame that was asked for has been evicted: the id of the last
        evicted frame still works; a well-formed one below it does not, nor does an empty one.
        Raises CursorUnknown if this run never gave the id: it is another run's or malformed, or
        only one of the two, the id and the log, has a stream id. Raises CursorAhead, a kind of
        CursorUnknown, if the id is above the last one. Raises TypeError if it is neither a str nor
        None. The id is found in constant time.
        """
        return self._read(self._number_after(id), id or "", math.inf)[0]

    def follow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> "_ThreadFollower":
        """Return an iterator, for a thread, over the frames after an id until the end of the log.

        It gives the frames that are kept, then waits for each as it comes, without polling.

        - `id`: as for `after`.
        - `keep_alive`: after how many seconds without a frame, above 0, it gives a comment, which
          keeps the connection open; None for never.
        - `wait`: for how many seconds, from 0, to wait for an id that is ahead of the log: a run
          that is played again after a crash gets there.

        Each item is one or more whole frames. The iterator's `has_all` says whether the log has
        ended and nothing comes: status 204 tells an EventSource not to come again.

        The call itself raises what `after` raises, and TypeError or ValueError for another
        `keep_alive` or `wait`. The iterator raises CursorExpired if its next frame has been
        evicted, and RuntimeError if another thread waits for an item of it. It goes on after an
        interrupt, and loses nothing. After `close()` there are no more items; a thread that waits
        for one is woken.
        """
        follower = _ThreadFollower(self, id, keep_alive)
        follower._begin(wait_seconds(wait))
        return follower

    async def afollow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> "_LoopFollower":
        """Return the same as `follow`, asynchronous, for asyncio; it has `aclose()` and `close()`.

        Awaiting this call raises what calling `follow` raises. The iterator goes on after a wait
        that was cancelled, and loses nothing.
        """
        follower = _LoopFollower(self, id, keep_alive)
        await follower._begin(wait_seconds(wait))
        return follower

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
        error = CursorAhead if cursor > (self._cursor(newest.id) or (0, 0)) else CursorUnknown
        raise error(f"this run has not given the id {_shown(id)}: {last}")

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

    It is no generator: an exception, which a cancellation is too, would end one.
    """

    def __init__(self, log: ReplayLog, id: str | None, keep_alive: float | None) -> None:
        self._keep_alive = keep_alive_seconds(keep_alive)
        self._log = log
        self._id = "" if id is None else id  # of the last frame given
        self._number = 0  # of the next one
        self._waiter: _Waiter | None = None
        self._is_closed = False
        self._cut = log._cut

    @property
    def has_all(self) -> bool:
        """Whether the log has ended, and has no frame that this follower has not given."""
        newest = self._log._newest
        return newest.end is not None and self._number == newest.total

    def close(self) -> None:
        """End it, also if it waits; from any thread, or a signal handler. Again, do nothing."""
        self._is_closed = True
        if (waiter := self._waiter) is not None:
            waiter.wake()

    def _has_begun(self, newest: "_Newest", deadline: float) -> bool:
        """Find its first frame; return False if it may come yet, which `CursorAhead` says."""
        try:
            self._number = self._log._number_after(self._id)
        except CursorAhead:
            if newest.end is not None or self._is_over() or time.monotonic() >= deadline:
                raise
            return False
        return True

    def _is_over(self) -> bool:
        return self._is_closed or self._cut is not self._log._cut

    def _next(self) -> "bytes | _Newest":
        """Return the next frames; none at the end; if they have yet to come, the log's new end."""
        self._require_alone()
        newest = self._log._newest
        if self._is_over():
            return b""
        if self._number < newest.total:
            piece, self._number, self._id = self._log._read(self._number, self._id, _PIECE_BYTES)
            return piece
        return newest if newest.end is None else b""

    def _require_alone(self) -> None:
        if self._waiter is not None and not self._waiter.is_lost:
            raise RuntimeError(
                "another wait for this follower's next item: call follow once for each client"
            )

    def _enter(self, waiter: _Waiter, newest: _Newest) -> bool:
        """Begin to wait; return whether to go on, since there is nothing new."""
        self._waiter = waiter
        self._log._waiters.add(waiter)
        # Looked at only now that whoever changes them sees the waiter.
        return self._log._newest is newest and not self._is_over()

    def _leave(self, waiter: _Waiter) -> None:
        self._log._waiters.remove(waiter)
        if self._waiter is waiter and not waiter.is_lost:
            self._waiter = None


class _ThreadFollower(_Follower, Iterator[bytes]):
    """What `follow` returns."""

    def __next__(self) -> bytes:
        while isinstance(item := self._next(), _Newest):
            if not self._woken(item, self._keep_alive):
                return self._log._encoder.keep_alive()
        if item:
            return item
        raise StopIteration

    def _begin(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while not self._has_begun(newest := self._log._newest, deadline):
            self._woken(newest, max(deadline - time.monotonic(), 0))

    def _woken(self, newest: _Newest, timeout: float | None) -> bool:
        """Wait until `_newest` may be another; return False if that took too long."""
        waiter = ThreadWaiter()
        try:
            return not self._enter(waiter, newest) or waiter.wait(timeout)
        finally:
            self._leave(waiter)


class _LoopFollower(_Follower, AsyncIterator[bytes]):
    """What `afollow` returns.

    It has one timer. A wait that ends sooner does not cancel it; when it rings, it is set again for
    the wait of that time. A timer for each wait would cost a third of a delivery.
    """

    def __init__(self, log: ReplayLog, id: str | None, keep_alive: float | None) -> None:
        super().__init__(log, id, keep_alive)
        self._loop: asyncio.AbstractEventLoop | None = None  # looked up for the first wait
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the wait has taken too long, by the loop's clock

    async def __anext__(self) -> bytes:
        while isinstance(item := self._next(), _Newest):
            if not await self._woken(item, self._keep_alive):
                return self._log._encoder.keep_alive()
        if item:
            return item
        self._stop_timer()
        raise StopAsyncIteration

    async def _begin(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while not self._has_begun(newest := self._log._newest, deadline):
            await self._woken(newest, max(deadline - time.monotonic(), 0))
        self._stop_timer()  # it may be set for later than the first keep-alive

    async def _woken(self, newest: _Newest, timeout: float | None) -> bool:
        """Wait until `_newest` may be another; return False if that took too long."""
        loop = self._loop
        if loop is None or loop.is_closed():
            from asyncio import get_running_loop  # here, since threads do not need it

            loop = self._loop = get_running_loop()
            self._timer = None
        waiter = LoopWaiter(loop)
        if timeout is not None:
            self._due = loop.time() + timeout
            if self._timer is None:
                self._set_timer(loop)
        try:
            return not self._enter(waiter, newest) or await waiter.future
        except BaseException:  # it may have been the last wait
            self._stop_timer()
            raise
        finally:
            self._leave(waiter)

    def _set_timer(self, loop: "asyncio.AbstractEventLoop") -> None:
        # A weak reference, so that the timer does not keep a follower that was dropped.
        reference: weakref.ref[_LoopFollower] = weakref.ref(self)
        self._timer = loop.call_at(self._due, _LoopFollower._ring, reference, loop)

    @staticmethod
    def _ring(reference: "weakref.ref[_LoopFollower]", loop: "asyncio.AbstractEventLoop") -> None:
        self = reference()
        if self is None:
            return
        self._timer = None
        if isinstance(waiter := self._waiter, LoopWaiter):
            if loop.time() < self._due:
                self._set_timer(loop)
            else:
                waiter.resume(woken=False)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def aclose(self) -> None:
        """End it, also if it waits. Does nothing the second time."""
        self.close()


def _limit(name: str, value: int | None) -> float:
    if value is None:
        return math.inf
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int or None, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {format_int(value)}")
    return value


def keep_alive_seconds(keep_alive: float | None) -> float | None:
    """Return the seconds between keep-alives, None for never; raise TypeError or ValueError."""
    if keep_alive is None:
        return None
    _require_number("keep_alive", keep_alive, "an int, a float or None")
    if not keep_alive > 0:  # NaN included
        raise ValueError(f"keep_alive must be above 0, in seconds, got {_number(keep_alive)}")
    return min(keep_alive, threading.TIMEOUT_MAX)


def wait_seconds(wait: float, name: str = "wait") -> float:
    """Return the seconds to wait for something; raise TypeError or ValueError.

    - `name`: that of the argument, for the error.
    """
    _require_number(name, wait, "an int or a float")
    if not wait >= 0:  # NaN included
        raise ValueError(f"{name} must be 0 or more, in seconds, got {_number(wait)}")
    return min(wait, threading.TIMEOUT_MAX)


def _require_number(name: str, value: object, expected: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be {expected}, got {type(value).__name__}")


def _number(value: float) -> str:
    return format_int(value) if isinstance(value, int) else str(value)


def _shown(id: str) -> str:
    """Return an id as it stands in the text of an error: whatever a client sent, on one line."""
    return repr(id) if len(id) <= 60 else f"{id[:60]!r}…"
