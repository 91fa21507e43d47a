# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A wait in an event loop that any thread can end, for the channel and the replay log."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["LoopWaiter"]


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
        try:
            # In the loop's own thread too: a finalizer may run there between the loop's last look
            # at what is ready and its sleep.
            self._loop.call_soon_threadsafe(self.resume)
        except RuntimeError:
            if not self.is_lost:
                raise
        self._woken = True

    def resume(self, woken: bool = True) -> None:
        """End the wait; in the loop's thread only. Does nothing if it was ended or cancelled.

        - `woken`: False if it took too long.
        """
        if not self.future.done():
            self.future.set_result(woken)
