# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A wait, in an event loop or a thread, that any thread can end: for the channel and the log."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["LoopWaiter", "ThreadWaiter", "Waiters"]


class LoopWaiter:
    """One wait in an event loop, which any thread can end.

    - `future`: to await; its result is whether `wake` ended the wait.
    """

    __slots__ = ("_loop", "_woken", "future")

    def __init__(self, loop: "asyncio.AbstractEventLoop") -> None:
        self._loop = loop
        self._woken = False
        self.future: asyncio.Future[bool] = loop.create_future()

    @property
    def is_lost(self) -> bool:
        """Whether the loop has been closed, so that the wait will never end."""
        return self._loop.is_closed()

    def wake(self) -> None:
        """Have the loop end the wait; from any thread. Does nothing the second time."""
        if self._woken:
            return
        _have_call(self._loop, self.resume)
        self._woken = True

    def resume(self, woken: bool = True) -> None:
        """End the wait; in the loop's thread only. Does nothing if it was ended or cancelled.

        - `woken`: False if it took too long.
        """
        if not self.future.done():
            self.future.set_result(woken)


class ThreadWaiter:
    """One wait in a thread, which any thread can end, and a signal handler of this one.

    It waits on a lock, since before Python 3.13 `SimpleQueue.get` waits for ever if its timeout
    passes while a signal handler runs, or before the wait has begun.
    """

    __slots__ = ("_lock",)

    is_lost: Final = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """End the wait; from any thread. Does nothing the second time."""
        if self._lock.locked():
            with suppress(RuntimeError):  # another thread was quicker
                self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait, and return whether `wake` ended that.

        - `timeout`: at most so many seconds, from 0 to `threading.TIMEOUT_MAX`; None for no limit.
        """
        return self._lock.acquire(timeout=-1 if timeout is None else timeout)


class Waiters:
    """All who wait for the same thing: any number of threads, and tasks in any number of loops."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[LoopWaiter | ThreadWaiter, None] = {}  # an ordered set

    def add(self, waiter: LoopWaiter | ThreadWaiter) -> None:
        self._members[waiter] = None

    def remove(self, waiter: LoopWaiter | ThreadWaiter) -> None:
        """Take it out, if it is still there."""
        self._members.pop(waiter, None)

    def wake(self) -> None:
        """End each wait, and take it out; from any thread, and from a signal handler.

        A loop is woken once for all that wait in it: that takes a system call.
        """
        waiting: dict[asyncio.AbstractEventLoop, list[LoopWaiter]] = {}
        for waiter in list(self._members):
            if isinstance(waiter, LoopWaiter):
                waiting.setdefault(waiter._loop, []).append(waiter)
            else:
                waiter.wake()
                self.remove(waiter)
        for loop, waiters in waiting.items():
            _have_call(loop, _resume, waiters)
            # Only now, so that whoever an error leaves unwoken is woken the next time.
            for waiter in waiters:
                self.remove(waiter)


def _have_call(
    loop: "asyncio.AbstractEventLoop", function: Callable[..., None], *arguments: object
) -> None:
    """Have a loop call a function soon; from any thread. Does nothing if the loop is closed."""
    try:
        # In the loop's own thread too: a finalizer may run there between the loop's last look at
        # what is ready and its sleep.
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _resume(waiters: Iterable[LoopWaiter]) -> None:
    for waiter in waiters:
        waiter.resume()
