# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What the channel and the replay log stand on where threads, loops and interruptions meet.

`Turns`: a stream's checker judges one event at a time, and a log takes one at a time. What a thread
gives to either while it has the turn of any of them is put off until it has given that back; so it
never waits for a turn that it has itself, or that a thread has which waits for this one.

`LoopWaiter`: what waits in an event loop, and any thread wakes.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["LoopWaiter", "Turns"]

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


class Turns:
    """One call at a time, whatever the thread, and in the middle of anything."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def call(self, function: Callable[[_Argument], _Result], argument: _Argument) -> _Result | None:
        """Call a function when its turn has come, and return what it does.

        If this thread has a turn, of this object or another, the call is put off until that is
        over: then None is returned, and what it raises is reported through `sys.unraisablehook`.
        """
        thread = _threads.this
        if thread.has_turn:
            thread.put_off.append((self._lock, function, argument))
            return None
        try:
            if thread.put_off:
                thread.catch_up()
            thread.has_turn = True
            try:
                with self._lock:
                    return function(argument)
            finally:
                thread.has_turn = False
        finally:
            if thread.put_off:
                thread.catch_up()


class _Thread:
    """Of a thread: whether it has a turn, and so may hold a lock; what it put off."""

    __slots__ = ("has_turn", "put_off")

    def __init__(self) -> None:
        self.has_turn = False
        self.put_off: deque[tuple[threading.Lock, Callable[[Any], object], Any]] = deque()

    def catch_up(self) -> None:
        """Call what was put off, and report what it raises."""
        while self.put_off:
            try:
                self.has_turn = True  # so that nothing overtakes what is taken out here
                try:
                    lock, function, argument = self.put_off.popleft()
                    with lock:
                        function(argument)
                finally:
                    self.has_turn = False
            except Exception as error:
                _Unraisable(error)


class _Threads(threading.local):
    def __init__(self) -> None:
        self.this = _Thread()


_threads: Final = _Threads()


class _Unraisable:
    """An error that there is nobody to catch; as this goes, the interpreter reports it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


class LoopWaiter:
    """What waits in its event loop, for any thread to wake; for one waiting.

    - `future`: to await; its result is whether the waiting was ended by `wake`.
    """

    __slots__ = ("_loop", "_woken", "future")

    def __init__(self, loop: "asyncio.AbstractEventLoop") -> None:
        self._loop = loop
        self._woken = False
        self.future: asyncio.Future[bool] = loop.create_future()

    def wake(self) -> None:
        """Have the loop end the waiting; from any thread; again, do nothing."""
        if self._woken:
            return
        try:
            # In the loop's own thread too: a finalizer may run there between the loop's last look
            # at what is ready and its sleep.
            self._loop.call_soon_threadsafe(self.resume)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            # Nobody waits in a closed loop: the event is for whoever looks next.
        self._woken = True

    def resume(self, woken: bool = True) -> None:
        """End the waiting; in the loop's thread alone; again, or if it was cancelled, do nothing.

        - `woken`: False if it took too long.
        """
        if not self.future.done():
            self.future.set_result(woken)
