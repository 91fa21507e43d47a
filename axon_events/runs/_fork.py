# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What a fork waits for: a call of a library that is in progress would hang in the child."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Calls"]


class Calls:
    """The calls of a library in this process, which a fork waits for; entered for each.

    A fork copies the library's locks as they are, also those that a call holds in another thread,
    which the child does not have. So it happens while no call is in progress.

    - `patience`: for how many seconds a fork waits at most; None for ever.
    - `before`: called before each fork, when no call is in progress any more.
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
        self._count = 0  # those that were not waited for have no thread here
        self._end_fork()
