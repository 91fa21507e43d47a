# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The channel: an unbounded stream of events from producers in any thread to one receiver.

Two things must never happen, an event that is lost and an end that is not noticed, and both
sides must stand the collector, which can run a finalizer, which can send, in the middle of
either. So nothing but the checker needs a lock. All else is single steps that no thread and no
finalizer can get into, in an order that leaves no gap:

- Events go through a `SimpleQueue`, whose `put` is such a step. None in it means: see `ends`.
- Whoever ends the stream appends to the list `ends` before it puts that None. What stands first
  there is how the stream ended, with the terminator, which so cannot be followed by anything.
- A sender queues an event, then looks for a waiter and for an end. The receiver sets its waiter,
  then looks for an event again. Whichever is later sees the other.

The checker judges one event at a time; what comes in the middle of that waits for its turn.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, NoReturn

from ._catalog import EVENT_TYPES, Event
from ._turns import LoopWaiter, Turns
from .order import StreamChecker, TruncatedStream, Violation, checker_of

__all__ = ["ChannelClosed", "Receiver", "Sender", "channel"]


class ChannelClosed(RuntimeError):  # noqa: N818  # named for what it is, like EOFError
    """The stream has ended, or nobody listens; the text says which, and what to do."""


def channel(*, check: bool | StreamChecker = True) -> "tuple[Sender, Receiver]":
    """Return the two ends of a new stream, which holds any number of events.

    - `check`: whether each event is held against the receiver's invariant before it is sent; a
      `StreamChecker` to use that one, which then belongs to the channel.

    Raises TypeError for any other `check`, ValueError for a checker whose stream has ended.
    """
    stream = _Stream(checker_of(check))
    return Sender(stream), Receiver(stream)


class Sender:
    """The producers' end of a stream, made by `channel`; for any number of threads.

    It closes after a terminator, when its `with` block is left (the way to use it: a producer
    that dies so ends its stream), and at the latest when nobody has it any more. A stream that is
    closed without a terminator is truncated, and its receiver learns that.
    """

    __slots__ = ("__weakref__", "_stream")

    def __init__(self, stream: "_Stream") -> None:
        self._stream = stream

    def send(self, event: Event) -> None:
        """Send an event; never waits for the receiver, so it is fit for a running event loop.

        Raises OrderError if the event breaks the invariant, TypeError if it is no event (neither
        is sent), and ChannelClosed if the stream has ended or nobody listens. What a finalizer or
        a signal handler sends in the middle of another `send` of its thread is judged after that;
        if it is refused then, it is reported through `sys.unraisablehook`.
        """
        stream = self._stream
        if type(event) in stream.unchecked:
            stream.queue.put(event)
            if (waiter := stream.waiter) is not None:
                waiter.wake()
            if not stream.unchecked:  # ended meanwhile, and the event may have come after that
                raise stream.closed()
        elif type(event) in _EVENTS:
            stream.call(stream.take, event)
        else:
            raise TypeError(f"send takes an event, got {type(event).__name__}")

    def close(self) -> None:
        """End the stream, truncated if no terminator was sent; again, do nothing."""
        self._stream.call(self._stream.take, None)

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        # The end of a copy would be the end of the stream.
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")

    def __del__(self) -> None:
        if hasattr(self, "_stream"):  # not if its construction failed
            self.close()


class Receiver:
    """The receiver's end of a stream, made by `channel`.

    In a thread, `for event in receiver` or `recv`; in asyncio, `async for event in receiver` or
    `recv_async`. The events end after the terminator. If the sender closed without one, each
    receive raises TruncatedStream instead, unless the channel does not check that. Only one
    receive may wait at a time: another one raises RuntimeError.
    """

    __slots__ = ("__weakref__", "_claims", "_closed", "_poll", "_stream")

    def __init__(self, stream: "_Stream") -> None:
        self._stream = stream
        # The queue's `get_nowait`; while a receive waits, `_busy`; after the end, `_ended`.
        self._poll: Callable[[], Event | None] = stream.queue.get_nowait
        self._claims: list[object] = []  # the first one waits; appending is a single step
        self._closed = False

    def recv(self, timeout: float | None = None) -> Event | None:
        """Wait for the next event and return it; None after the end.

        - `timeout`: how long to wait, in seconds; None as long as it takes, 0 not at all.

        Raises TimeoutError if none came, TruncatedStream, ChannelClosed if this receiver has
        been closed, and RuntimeError if another receive is waiting.
        """
        try:
            return self._poll() or self._finish()
        except Empty:
            pass  # and wait outside of this handler: what is raised there has other causes
        if timeout is not None:
            timeout = min(max(timeout, 0), threading.TIMEOUT_MAX)
        with self._waiting():
            try:
                event = self._stream.queue.get(timeout=timeout)
            except Empty:
                raise TimeoutError(f"no event came within {timeout} s") from None
        return event or self._finish()

    async def recv_async(self) -> Event | None:
        """Wait for the next event and return it; None after the end. Cancelling loses no event.

        Raises TruncatedStream, ChannelClosed if this receiver has been closed, and RuntimeError
        if another receive is waiting.
        """
        try:
            return self._poll() or self._finish()
        except Empty:
            pass
        import asyncio  # here, since threads do not need it

        loop = asyncio.get_running_loop()
        stream = self._stream
        with self._waiting():
            while stream.queue.empty():
                waiter = stream.waiter = LoopWaiter(loop)
                if stream.queue.empty():  # still so, now that senders see the waiter
                    await waiter.future
            event = stream.queue.get_nowait()  # after the last await, so not lost if cancelled
        return event or self._finish()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Be the one receive that waits."""
        claim = object()
        try:
            self._claims.append(claim)
            if self._claims[0] is not claim:
                _busy()
            self._poll = _busy
            yield
        finally:
            if self._claims[:1] == [claim]:
                self._stream.waiter = None
                self._poll = self._stream.queue.get_nowait
            with suppress(ValueError):  # an interrupt came before the claim
                self._claims.remove(claim)

    def _finish(self) -> Event | None:
        """Return the terminator, once; then None, or raise what the end was instead."""
        end = self._stream.ends[0]
        first = self._poll is not _ended
        if first:
            self._poll = _ended
            # Should another receive have begun to wait, after this one looked: it ends as well.
            self._stream.end(end)
        if self._closed:
            raise ChannelClosed("this Receiver has been closed: receive first, close() then")
        if end.violation is not None:
            raise TruncatedStream(end.violation)
        return end.terminator if first else None

    def close(self) -> None:
        """Stop listening: drop what was not received, and let each `send` raise ChannelClosed."""
        if self._poll is not _ended:
            self._closed = True
        self._stream.end(_NOBODY_LISTENS)
        with suppress(Empty):
            while True:
                self._stream.queue.get_nowait()
        self._stream.end(_NOBODY_LISTENS)  # again: its None has been dropped as well

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
        event = await self.recv_async()
        if event is None:
            raise StopAsyncIteration
        return event

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        # The end of a copy would be the end of the stream.
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")

    def __del__(self) -> None:
        if hasattr(self, "_stream"):  # not if its construction failed
            self.close()


def _busy() -> NoReturn:
    raise RuntimeError(
        "another receive is waiting: a stream has one receiver, which takes one event at a time"
    )


def _ended() -> None:
    """Stand for the queue after the end."""


class _End(NamedTuple):
    """How a stream ended: what later sends are told, and what the receiver gets."""

    text: str
    terminator: Event | None = None
    violation: Violation | None = None


_NOBODY_LISTENS: Final = _End(
    "the Receiver has been closed or dropped: nobody listens any more, stop producing"
)
_EVENTS: Final = frozenset(EVENT_TYPES.values())
_NOT_TERMINATORS: Final = frozenset(cls for cls in _EVENTS if not cls.is_terminator)
_NONE: Final[frozenset[type[Event]]] = frozenset()


_Take = Callable[[Event | None], None]
_Call = Callable[[_Take, Event | None], None]


def _at_once(take: _Take, event: Event | None) -> None:
    take(event)


class _Stream:
    """What the two ends share."""

    __slots__ = ("_checker", "call", "ends", "queue", "unchecked", "waiter")

    def __init__(self, checker: StreamChecker | None) -> None:
        self._checker = checker
        # How to call `take`: in turns, each a judgement and queueing what was judged; at once if
        # nothing is judged.
        self.call: _Call = _at_once if checker is None else Turns().call
        self.queue: SimpleQueue[Event | None] = SimpleQueue()
        self.waiter: LoopWaiter | None = None
        self.ends: list[_End] = []
        # The types of the events that need only be queued; none any more after the end.
        self.unchecked = _NOT_TERMINATORS if checker is None else _NONE

    def take(self, event: Event | None) -> None:
        """Judge and queue an event, or None for the end."""
        if event is None:
            violations = [] if self._checker is None else self._checker.close()
            text = "the Sender has been closed: send first, close() or leave its `with` block then"
            self.end(_End(text, violation=violations[0] if violations else None))
            return
        if self.ends:
            raise self.closed()
        if self._checker is not None:
            self._checker.require(event)
        if event.is_terminator:
            text = f"the stream has ended by {event.kind}: use a new channel for another flow"
            if not self.end(_End(text, terminator=event)):
                raise self.closed()
        else:
            self.queue.put(event)
            if (waiter := self.waiter) is not None:
                waiter.wake()

    def end(self, end: _End) -> bool:
        """End the stream, and return whether this is its end; may be done again."""
        self.ends.append(end)
        self.unchecked = _NONE
        self.queue.put(None)
        if (waiter := self.waiter) is not None:
            waiter.wake()
        return self.ends[0] is end

    def closed(self) -> ChannelClosed:
        return ChannelClosed(self.ends[0].text)
