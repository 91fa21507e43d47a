# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Makes forks wait for calls of a library: the child would keep its locks held for ever."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Calls"]


class Calls:
    """Counts the calls of a library in this process, so that a fork waits for them.

    A context manager that each call enters. A fork copies the library's locks as they are, even one
    that a call holds in a thread that the child does not have. So a fork happens only while no call
    is in progress.

    - `patience`: for how many seconds a fork waits at most; None for no limit.
    - `before`: called before each fork, while no call is in progress.
    """

    def __init__(self, patience: float | None, before: Callable[[], None] | None = None) -> None:
        self._patience = patience
        self._before = before
        self._condition = threading.Condition()
        self._count = 0
        self._is_forking = False
        with suppress(AttributeError):  # where there is no fork
            os.register_at_fork(
                before=self._begin_fork,
                after_in_parent=self._end_fork,
                after_in_child=self._end_fork_in_child,
            )

    def __enter__(self) -> None:
        with self._condition:
            while self._is_forking:
                self._condition.wait()
            self._count += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._condition:
            self._count -= 1
            self._condition.notify_all()

    def _begin_fork(self) -> None:
        self._condition.acquire()
        self._is_forking = True
        self._condition.wait_for(lambda: not self._count, self._patience)
        if self._before is not None:
            self._before()

    def _end_fork(self) -> None:
        self._is_forking = False
        self._condition.notify_all()
        self._condition.release()

    def _end_fork_in_child(self) -> None:
        self._count = 0  # the threads of calls that were not waited for are not in the child
        self._end_fork()
