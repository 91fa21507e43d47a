# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What tests of threads, event loops and finalizers use; whatever hangs fails."""

import asyncio
import faulthandler
import gc
import itertools
import signal
import sys
import threading
import time
import unittest
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final, TypeVar
from unittest import mock

import axon_events
from axon_events._wait import ThreadWaiter

from . import needs

_Item = TypeVar("_Item")

_FOLDER = str(Path(axon_events.__file__).parent)

PATIENCE = 60.0  # seconds, after which a test that hangs fails; none waits for as long


def end_if_it_hangs() -> None:
    """If the main thread hangs in this module, say where, and end; for its `setUpModule`."""
    if not needs.IN_WEBASSEMBLY:  # it takes a thread
        faulthandler.dump_traceback_later(5 * PATIENCE, exit=True, file=2)
        unittest.addModuleCleanup(faulthandler.cancel_dump_traceback_later)


def started(*targets: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread], then: Callable[[], object] = lambda: None) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        if thread.is_alive():
            raise AssertionError(f"{thread} hangs")
    then()


def background(function: Callable[[], Any]) -> "Future[Any]":
    """Call a function in a thread; what it returns or raises, `.result(PATIENCE)` does."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    started(work)
    return future


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


async def listed(items: AsyncIterator[_Item]) -> list[_Item]:
    return [item async for item in items]


@contextmanager
def collecting_always() -> Iterator[None]:
    """Have the collector run as often as it can."""
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


class Finalized:
    """What calls a function when it goes."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.itself = self

    def __del__(self) -> None:
        self.function()


def collect(until: Callable[[], object]) -> None:
    """Run the collector until it has done what it is to do; it skips if another thread runs it."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        if time.monotonic() > deadline:
            raise AssertionError("it is not collected")
        gc.collect()


class Watched(ThreadWaiter):
    """What a thread waits for; notes that it does, and lets a test get in before."""

    waits: Final = threading.Event()
    timeouts: Final[list[float | None]] = []
    hooks: Final[list[Callable[[], object]]] = []

    def __init__(self) -> None:
        if self.hooks:
            self.hooks.pop()()
        super().__init__()

    def wait(self, timeout: float | None) -> bool:
        self.timeouts.append(timeout)
        self.waits.set()
        return super().wait(timeout)


def watch_waits(test: unittest.TestCase, module: ModuleType) -> None:
    """Have the threads that wait in a module be watched, for the rest of a test."""
    patch = mock.patch.object(module, "ThreadWaiter", Watched)
    patch.start()
    test.addCleanup(patch.stop)
    Watched.waits.clear()
    Watched.timeouts.clear()
    Watched.hooks.clear()


@contextmanager
def slow_signal_handler(seconds: float) -> Iterator[None]:
    """Send a signal to the main thread soon, whose handler takes so many seconds."""
    before = signal.signal(signal.SIGALRM, lambda *args: time.sleep(seconds))
    signal.setitimer(signal.ITIMER_REAL, seconds / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Gap:
    """Calls a function in one of the gaps between the steps that code of the package takes.

    Those are where another thread, a finalizer or a signal handler may get in: at the beginning of
    a function of the package, or that it calls, and before and after one that is written in C.

    - `number`: which of the gaps, from 0, that this thread comes through.
    - `steps`: how many gaps it has come through.
    """

    def __init__(self, number: float, function: Callable[[], object]) -> None:
        self.number = number
        self._function = function
        self.steps = 0

    def __enter__(self) -> "Gap":
        sys.setprofile(self._step)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)

    def _step(self, frame: FrameType, event: str, arg: object) -> None:
        if event == "return" or not (
            _is_ours(frame) or (event == "call" and _is_ours(frame.f_back))
        ):
            return
        self.steps += 1
        if self.steps == self.number + 1:
            sys.setprofile(None)
            self._function()


def _is_ours(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(_FOLDER)


MakeGap = Callable[[Callable[[], object]], Gap]


def gaps(attempt: Callable[[MakeGap], None]) -> None:
    """Make an attempt again and again, each time with another gap, until there are no more.

    - `attempt`: is given what makes the gap of a function.
    """
    for number in itertools.count():
        made: list[Gap] = []

        def gap(
            function: Callable[[], object], number: int = number, made: list[Gap] = made
        ) -> Gap:
            made.append(Gap(number, function))
            return made[-1]

        try:
            attempt(gap)
        except BaseException as error:
            raise AssertionError(f"in the gap {number}") from error
        if made[0].steps <= number:
            if number < 3:
                raise AssertionError("there are no gaps")
            return


@contextmanager
def unraisable() -> Iterator[list[Any]]:
    """Collect the errors that are reported through the hook."""
    errors: list[Any] = []
    with mock.patch.object(sys, "unraisablehook", lambda args: errors.append(args.exc_value)):
        yield errors


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until a condition that other tasks of it bring about."""
    while not condition():
        await asyncio.sleep(0)
