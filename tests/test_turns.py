# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Turns and waiting in a loop, by themselves; channel and replay use them in earnest."""

import asyncio
import sys
import threading
import unittest
from collections.abc import Callable
from functools import partial
from unittest import mock

from axon_events._turns import LoopWaiter, Turns

from . import needs
from .threads import PATIENCE, join, run, started, unraisable


class OneAtATime(unittest.TestCase):
    def test_a_call_returns_or_raises_what_the_function_does(self) -> None:
        turns = Turns()
        self.assertEqual(turns.call(len, "four"), 4)
        with self.assertRaisesRegex(ValueError, "invalid literal"):
            turns.call(int, "four")
        self.assertEqual(turns.call(len, ""), 0)

    def test_calls_in_the_middle_of_one_come_after_it_in_their_order(self) -> None:
        turns, others = Turns(), Turns()
        done: list[str] = []

        def outer(name: str) -> str:
            self.assertIsNone(turns.call(done.append, "first"))
            self.assertIsNone(others.call(inner, "second"))
            done.append(name)
            return "result"

        def inner(name: str) -> None:
            self.assertIsNone(turns.call(done.append, "third"))
            done.append(name)

        self.assertEqual(turns.call(outer, "outer"), "result")
        self.assertEqual(done, ["outer", "first", "second", "third"])

    def test_what_a_call_that_was_put_off_raises_is_reported(self) -> None:
        turns = Turns()
        done: list[str] = []

        def outer(name: str) -> None:
            for function in (int, done.append):
                turns.call(function, name)
            raise RuntimeError(name)

        with unraisable() as errors, self.assertRaisesRegex(RuntimeError, "^outer$"):
            turns.call(outer, "outer")
        self.assertEqual(([type(error) for error in errors], done), ([ValueError], ["outer"]))

    @needs.threads
    def test_threads_wait_for_their_turn(self) -> None:
        turns = Turns()
        inside = 0
        most = 0

        def enter(times: int) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            for _ in range(times):
                pass
            inside -= 1

        together = threading.Barrier(4, timeout=PATIENCE)

        def work() -> None:
            together.wait()
            for _ in range(500):
                turns.call(enter, 100)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # so that without a lock they would get into each other
        try:
            join(started(*(work,) * 4))
        finally:
            sys.setswitchinterval(interval)
        self.assertEqual((inside, most), (0, 1))


@needs.asyncio_run
class Waiting(unittest.TestCase):
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
        loop.close()
        waiter.wake()


if __name__ == "__main__":
    unittest.main()
