# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A fork waits for the calls that are in progress, and calls wait for a fork."""

import threading
import unittest

from axon_events.runs._fork import Calls

from . import needs
from .threads import PATIENCE, background, end_if_it_hangs


def setUpModule() -> None:
    end_if_it_hangs()


@needs.threads
class Forks(unittest.TestCase):
    """The functions that a fork calls are called here: a fork of this process has no use."""

    def test_calls_and_forks_wait_for_each_other(self) -> None:
        order: list[str] = []
        calls = Calls(None, lambda: order.append("before"))
        in_call, may_end = threading.Event(), threading.Event()
        in_fork, may_fork = threading.Event(), threading.Event()

        def call() -> None:
            with calls:
                in_call.set()
                may_end.wait(PATIENCE)
                order.append("call")

        def fork() -> None:
            calls._begin_fork()
            in_fork.set()
            may_fork.wait(PATIENCE)
            order.append("fork")
            calls._end_fork()

        def late() -> None:
            with calls:
                order.append("late")

        calling = background(call)
        in_call.wait(PATIENCE)
        forking = background(fork)
        may_end.set()
        in_fork.wait(PATIENCE)
        calling_late = background(late)
        may_fork.set()
        for each in (calling, forking, calling_late):
            each.result(PATIENCE)
        self.assertEqual(order, ["call", "before", "fork", "late"])

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
