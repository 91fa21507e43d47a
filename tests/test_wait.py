# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Waiting in a loop and in a thread; the channel and the replay log use it in earnest."""

import asyncio
import itertools
import threading
import unittest
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from unittest import mock

from axon_events._wait import LoopWaiter, ThreadWaiter, Waiters

from . import needs
from .threads import PATIENCE, join, run, started


class InAThread(unittest.TestCase):
    def test_the_result_tells_whether_it_was_woken(self) -> None:
        waiter = ThreadWaiter()
        self.assertIs(waiter.wait(0), False)
        self.assertIs(waiter.wait(1e-9), False)
        waiter.wake()
        waiter.wake()
        self.assertIs(waiter.wait(0), True)

    @needs.threads
    def test_it_is_woken_by_another_thread(self) -> None:
        for timeout in (None, PATIENCE, threading.TIMEOUT_MAX):
            waiter = ThreadWaiter()
            threads = started(waiter.wake)
            self.assertIs(waiter.wait(timeout), True)
            join(threads)
            self.assertIs(waiter.is_lost, False)


@needs.asyncio_run
class InALoop(unittest.TestCase):
    def test_the_result_tells_who_ended_the_waiting_first(self) -> None:
        async def main(*ends: Callable[[LoopWaiter], None]) -> bool:
            waiter = LoopWaiter(asyncio.get_running_loop())
            for end in ends:
                end(waiter)
            return await waiter.future

        too_long = partial(LoopWaiter.resume, woken=False)
        self.assertIs(run(main(LoopWaiter.wake)), True)
        self.assertIs(run(main(too_long)), False)
        self.assertIs(run(main(LoopWaiter.wake, too_long, LoopWaiter.wake)), False)
        self.assertIs(run(main(LoopWaiter.resume, too_long)), True)

    def test_the_loop_is_woken_once(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            waiter = LoopWaiter(loop)
            wake = loop.call_soon_threadsafe
            with mock.patch.object(loop, "call_soon_threadsafe", side_effect=wake) as calls:
                for _ in range(5):
                    waiter.wake()
            await waiter.future
            self.assertEqual(calls.call_count, 1)

        run(main())

    def test_what_is_cancelled_may_be_woken(self) -> None:
        async def main() -> None:
            waiter = LoopWaiter(asyncio.get_running_loop())
            waiter.future.cancel()
            waiter.wake()
            await asyncio.sleep(0)
            self.assertTrue(waiter.future.cancelled())

        run(main())

    def test_in_a_closed_loop_nobody_waits(self) -> None:
        loop = asyncio.new_event_loop()
        waiter = LoopWaiter(loop)
        self.assertIs(waiter.is_lost, False)
        loop.close()
        self.assertIs(waiter.is_lost, True)
        waiter.wake()

    def test_an_error_of_an_open_loop_is_not_hidden(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            waiter = LoopWaiter(loop)
            for error in (RuntimeError, RecursionError):
                with (
                    mock.patch.object(loop, "call_soon_threadsafe", side_effect=error),
                    self.assertRaises(error),
                ):
                    waiter.wake()
            waiter.wake()
            self.assertIs(await waiter.future, True)

        run(main())


@needs.asyncio_run
class Several(unittest.TestCase):
    def test_all_are_woken_each_loop_once(self) -> None:
        loops = asyncio.new_event_loop(), asyncio.new_event_loop()
        waiters = Waiters()
        members = [[LoopWaiter(loop) for _ in range(3)] for loop in loops]
        thread = ThreadWaiter()
        waiters.add(thread)
        for waiter in itertools.chain(*members):
            waiters.add(waiter)
        gone = members[0].pop()
        waiters.remove(gone)
        waiters.remove(gone)
        with ExitStack() as stack:
            calls = [
                stack.enter_context(
                    mock.patch.object(
                        loop, "call_soon_threadsafe", side_effect=loop.call_soon_threadsafe
                    )
                )
                for loop in loops
            ]
            waiters.wake()
            waiters.wake()
        self.assertEqual([call.call_count for call in calls], [1, 1])
        self.assertIs(thread.wait(0), True)
        for loop, waiting in zip(loops, members, strict=True):
            for waiter in waiting:
                self.assertIs(loop.run_until_complete(waiter.future), True)
            loop.close()
        self.assertFalse(gone.future.done())

    def test_those_of_a_closed_loop_go(self) -> None:
        loop = asyncio.new_event_loop()
        waiters = Waiters()
        waiters.add(LoopWaiter(loop))
        loop.close()
        waiters.wake()

    def test_whoever_an_error_leaves_unwoken_is_woken_the_next_time(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            waiters = Waiters()
            waiter = LoopWaiter(loop)
            waiters.add(waiter)
            for error in (RuntimeError, RecursionError):
                with (
                    mock.patch.object(loop, "call_soon_threadsafe", side_effect=error),
                    self.assertRaises(error),
                ):
                    waiters.wake()
            waiters.wake()
            self.assertIs(await waiter.future, True)

        run(main())


if __name__ == "__main__":
    unittest.main()
