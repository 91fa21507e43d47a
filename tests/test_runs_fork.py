# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A fork waits for the calls that are in progress, and calls wait for a fork."""

import threading
import unittest
from functools import partial
from typing import Any

from axon_events.runs._fork import Calls

from . import needs
from .test_runs_core import until
from .threads import PATIENCE, background, end_if_it_hangs


def setUpModule() -> None:
    end_if_it_hangs()


@needs.threads
class Forks(unittest.TestCase):
    """The functions that a fork calls are called here: a fork of this process has no use."""

    def test_calls_and_forks_wait_for_each_other(self) -> None:
        order: list[str] = []
        calls = Calls(None, lambda: order.append("before"))
        condition: Any = calls._condition
        in_call, may_end = threading.Event(), threading.Event()

        def call() -> None:
            with calls:
                in_call.set()
                may_end.wait(PATIENCE)
                order.append("call")

        def fork() -> None:
            calls._begin_fork()
            order.append("fork")
            calls._end_fork()

        def late() -> None:
            with calls:
                order.append("late")

        threads = [background(call)]
        in_call.wait(PATIENCE)
        for count, function in enumerate((fork, late), 1):
            threads.append(background(function))
            until(partial(self.are_waiting, condition, count))
        may_end.set()
        for each in threads:
            each.result(PATIENCE)
        self.assertEqual(order, ["call", "before", "fork", "late"])

    @staticmethod
    def are_waiting(condition: Any, count: int) -> bool:
        return len(condition._waiters) == count

    def test_a_call_that_does_not_end_is_not_waited_for_any_longer(self) -> None:
        calls = Calls(0.01)
        calls.__enter__()
        calls._begin_fork()
        calls._end_fork()
        calls._begin_fork()
        calls._end_fork_in_child()  # which does not have the thread of that call
        self.assertEqual(calls._count, 0)
        with calls:
            pass


if __name__ == "__main__":
    unittest.main()
