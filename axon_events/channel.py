# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The channel: an unbounded stream of events from producers in any thread to one receiver.

sender, receiver = channel()
with sender:                                    # in the producer's thread or task
    sender.send(event)
for event in receiver: ...                      # or: async for event in receiver

A sender judges and queues an event while it holds the channel's lock, so events arrive in the order
in which they were judged. `end` says how the stream ended; it is set after the last event was
queued. A receive that waits sets `waiter`, then looks again; a sender queues an event, or sets
`end`, then wakes the waiter. Whichever is later sees the other.

Finalizers and signal handlers may run in the middle of any of this. So the lock is reentrant, a
`send` inside another one of its thread is refused, and a receiver that is closed or goes takes no
lock. One case is not covered: two threads, each inside a `send` in which a finalizer sends into the
other's channel, may wait for each other for ever.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from ._catalog import EVENT_TYPES, Event
from ._wait import LoopWaiter, ThreadWaiter
from .order import StreamChecker, TruncatedStream, Violation, checker_of

if TYPE_CHECKING:
    import asyncio

__all__ = ["ChannelClosed", "Receiver", "Sender", "channel"]

_EVENTS: Final = frozenset(EVENT_TYPES.values())
_NOT_LAST: Final = frozenset(kind for kind in _EVENTS if not kind.is_terminator)
_NESTED: Final = (
    "send was called inside another send of this thread, by a finalizer or a signal handler:"
    " set a flag or fill a queue there, and send after that"
)


class ChannelClosed(RuntimeError):  # noqa: N818  # named for what it is, like EOFError
    """The stream has ended, or nobody listens; the text says which, and what to do."""


def channel(*, check: bool | StreamChecker = True) -> "tuple[Sender, Receiver]":
    """Return the two ends of a new stream, which holds any number of events.

    - `check`: whether `send` refuses an event that breaks the receiver's invariant; a
      `StreamChecker` to use that one, which then belongs to the channel.

    Raises TypeError for any other `check`, ValueError for a checker whose stream has ended.
    """
    stream = _Stream(checker_of(check))
    return Sender(stream), Receiver(stream)


class Sender:
    """The producers' end of a stream, made by `channel`; for any number of threads.

    It closes after a terminator, when its `with` block is left (the way to use it: a producer that
    dies ends its stream), and at the latest when its last reference goes. A stream that was closed
    without a terminator is truncated, and its receiver learns that.
    """

    __slots__ = ("__weakref__", "_stream")

    def __init__(self, stream: "_Stream") -> None:
        self._stream = stream

    def send(self, event: Event) -> None:
        """Send an event; never waits for the receiver, so a running event loop may call it.

        Raises OrderError if the event breaks the invariant, TypeError if it is no event, and
        RuntimeError if a finalizer or a signal handler calls this inside another `send` of its
        thread; the event is not sent then, and the other one goes on. Raises ChannelClosed if the
        stream has ended or nobody listens.
        """
        stream = self._stream
        # One look-up for most events; with the next one for all, a send takes an eighth longer.
        if type(event) in _NOT_LAST and stream.checker is None and stream.end is _OPEN:
            # Nothing is judged, and queueing is a single step: nothing can run inside this `send`.
            stream.queue.put(event)
            if (waiter := stream.waiter) is not None:
                waiter.wake()
            if stream.end is not _OPEN:  # ended meanwhile, and maybe before the event was queued
                raise ChannelClosed(stream.end.text)
            return
        if type(event) not in _EVENTS:
            raise TypeError(f"send takes an event, got {type(event).__name__}")
        with stream.lock:
            if stream.is_sending:
                raise RuntimeError(_NESTED)
            try:
                stream.is_sending = True
                if stream.end is not _OPEN:
                    raise ChannelClosed(stream.end.text)
                if stream.checker is not None:
                    stream.checker.require(event)
                if event.is_terminator:
                    text = f"the stream has ended by {event.kind}: use a new channel for another"
                    stream.finish(_End(f"{text} flow", terminator=event))
                else:
                    stream.put(event)
            finally:
                stream.is_sending = False
                if stream.is_closing:
                    stream.close()

    def close(self) -> None:
        """End the stream, truncated if no terminator was sent. Later calls do nothing.

        Inside a `send` of this thread, the stream ends after that `send`.
        """
        stream = self._stream
        with stream.lock:
            if stream.is_sending:
                stream.is_closing = True
            else:
                stream.close()

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        # When a copy goes, it would end the stream.
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")

    # A default argument, since the module's globals may go before the last finalizer runs.
    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing() and hasattr(self, "_stream"):  # not if `__init__` failed
            self.close()


class Receiver:
    """The receiver's end of a stream, made by `channel`.

    In a thread, use `for event in receiver` or `recv`; in asyncio, `async for event in receiver` or
    `arecv`. The events end after the terminator. If the sender closed without one, each receive
    raises TruncatedStream instead, unless the channel does not check that. Only one receive may
    wait at a time: another one raises RuntimeError.
    """

    __slots__ = ("__weakref__", "_is_closed", "_is_finished", "_queue", "_stream", "_wait")

    def __init__(self, stream: "_Stream") -> None:
        self._stream = stream
        self._queue = stream.queue
        self._wait: _Wait | None = None
        self._is_finished = False  # nothing is taken out of the queue any more
        self._is_closed = False  # and that is because of `close`

    def recv(self, timeout: float | None = None) -> Event | None:
        """Wait for the next event and return it; None after the end.

        - `timeout`: how long to wait, in seconds; None as long as it takes, 0 not at all.

        Raises TimeoutError if no event came, TruncatedStream, ChannelClosed if this receiver has
        been closed, and RuntimeError if another receive is waiting.
        """
        if self._is_finished:
            return self._finish()
        if self._wait is None:
            try:
                return self._queue.get_nowait() or self._finish()
            except Empty:
                pass  # and wait below, so that no later error is chained to this one
        if timeout is not None:
            timeout = min(max(timeout, 0), threading.TIMEOUT_MAX)
        stream = self._stream
        event = None
        wait = _Wait(None)
        try:
            self._begin_wait(wait)
            while stream.is_empty():
                waiter = stream.waiter = ThreadWaiter()
                # Looked at again, now that senders see the waiter.
                if stream.is_empty() and not waiter.wait(timeout):
                    raise TimeoutError(f"no event came within {timeout} s")
            with suppress(Empty):  # the stream has ended
                event = self._queue.get_nowait()
        finally:
            self._end_wait(wait)
        return event or self._finish()

    async def arecv(self) -> Event | None:
        """Wait for the next event and return it; None after the end. Cancelling loses no event.

        Raises TruncatedStream, ChannelClosed if this receiver has been closed, and RuntimeError if
        another receive is waiting.
        """
        if self._is_finished:
            return self._finish()
        if self._wait is None:
            try:
                return self._queue.get_nowait() or self._finish()
            except Empty:
                pass
        import asyncio  # here, since threads do not need it

        loop = asyncio.get_running_loop()
        stream = self._stream
        event = None
        wait = _Wait(loop)
        try:
            self._begin_wait(wait)
            while stream.is_empty():
                waiter = stream.waiter = LoopWaiter(loop)
                if stream.is_empty():  # still, now that senders see the waiter
                    await waiter.future
            with suppress(Empty):  # the stream has ended
                event = self._queue.get_nowait()  # after the last await, so not lost if cancelled
        finally:
            self._end_wait(wait)
        return event or self._finish()

    def _begin_wait(self, wait: "_Wait") -> None:
        """Make it the one receive that waits."""
        with self._stream.lock:
            if self._wait is not None and not self._wait.is_lost:
                raise RuntimeError(
                    "another receive is waiting: a stream has one receiver, which takes one event"
                    " at a time"
                )
            self._wait = wait

    def _end_wait(self, wait: "_Wait") -> None:
        """End it, if it had begun."""
        # If it is lost, another receive may be about to take its place.
        if self._wait is wait and not wait.is_lost:
            self._wait = self._stream.waiter = None

    def _finish(self) -> Event | None:
        """Return the terminator once, then None; raise if the stream ended otherwise."""
        if self._is_closed:
            raise ChannelClosed("this Receiver was closed: receive before close()")
        is_first = not self._is_finished
        self._is_finished = True
        end = self._stream.end
        if end.violation is not None:
            raise TruncatedStream(end.violation)
        return end.terminator if is_first else None

    def close(self) -> None:
        """Stop listening: drop what was not received, and let each `send` raise ChannelClosed."""
        if not self._is_finished:
            self._is_closed = self._is_finished = True
        self._stream.desert()

    def __iter__(self) -> "Receiver":
        return self

    def __next__(self) -> Event:
        event = self.recv()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> "Receiver":
        return self

    async def __anext__(self) -> Event:
        event = await self.arecv()
        if event is None:
            raise StopAsyncIteration
        return event

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        # When a copy goes, it would end the stream.
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing() and hasattr(self, "_stream"):  # not if `__init__` failed
            self.close()


class _Wait:
    """A receive that waits, in an event loop or, if that is None, in a thread."""

    __slots__ = ("_loop",)

    def __init__(self, loop: "asyncio.AbstractEventLoop | None") -> None:
        self._loop = loop

    @property
    def is_lost(self) -> bool:
        """Whether the loop has been closed, so that the wait will never end."""
        return self._loop is not None and self._loop.is_closed()


class _End(NamedTuple):
    """How a stream ended: what later sends are told, and what the receiver gets."""

    text: str
    terminator: Event | None = None
    violation: Violation | None = None


_OPEN: Final = _End("")
_DESERTED: Final = _End(
    "the Receiver was closed or dropped: nobody listens any more, stop producing"
)


class _Stream:
    """What the two ends share.

    - `lock`: held to judge and queue an event, to close, and to begin to wait for an event.
    - `queue`: the events, without the terminator; after them a None, which says to look at `end`.
    - `is_sending`: whether the thread that has the lock is inside a `send`.
    - `is_closing`: whether the stream is to end after that `send`.
    """

    __slots__ = ("checker", "end", "is_closing", "is_sending", "lock", "queue", "waiter")

    def __init__(self, checker: StreamChecker | None) -> None:
        self.checker = checker
        self.lock = threading.RLock()
        self.queue: SimpleQueue[Event | None] = SimpleQueue()
        self.waiter: LoopWaiter | ThreadWaiter | None = None
        self.end = _OPEN
        self.is_sending = False
        self.is_closing = False

    def is_empty(self) -> bool:
        """Return whether a receive has to wait."""
        return self.queue.empty() and self.end is _OPEN

    def close(self) -> None:
        """End the stream by its sender, if it is open."""
        terminator, violations = None, []
        if self.checker is not None:
            # An interrupt may have stopped `send` after its terminator was judged.
            terminator, violations = self.checker.terminator, self.checker.close()
        end = self.end
        if end is _OPEN:
            text = "the Sender was closed: send before close() and inside its `with` block"
            end = _End(text, terminator, violations[0] if violations else None)
        self.finish(end)  # in any case, since an interrupt may have kept `send` from waking

    def desert(self) -> None:
        """End the stream by its receiver, if it is open, and drop what is queued."""
        if self.end is _OPEN:
            self.end = _DESERTED
        with suppress(Empty):
            while True:
                self.queue.get_nowait()
        self.finish(self.end)

    def finish(self, end: _End) -> None:
        """Set how the stream ended, and wake the receiver."""
        self.end = end
        self.put(None)

    def put(self, event: Event | None) -> None:
        self.queue.put(event)
        if (waiter := self.waiter) is not None:
            waiter.wake()
