# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs of a store, whatever goes wrong: each event once and in order, or an explicit end or error.

The store is a SQLite file here; `test_runs_redis` does the same on Redis. What a store may lose is
taken from it.
"""

import asyncio
import copy
import gc
import itertools
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepToken,
    to_json,
    web,
)
from axon_events.emit import FlowEmitter
from axon_events.emit import closing as closing_events
from axon_events.order import TruncatedStream
from axon_events.replay import ReplayLog
from axon_events.runs import (
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    Fenced,
    RunExists,
    RunInfo,
    RunLost,
    RunUnknown,
    StoreUnavailable,
    _feed,
    _process,
    _store,
    _writer,
    sqlite,
)
from axon_events.runs._core import Runs
from axon_events.runs.sqlite import SqliteRuns
from axon_events.sse import Encoder, Reader

from . import PACKAGE, ROOT, needs
from .effort import rounds
from .samples import EVENTS, random_event
from .threads import PATIENCE, background, end_if_it_hangs, listed, run

START = FlowStart("Report", "anthropic", 0)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 1, 2)
FAILURE = FlowError("Report", "out of memory", 1)
KEEP_ALIVE = b": keep-alive\n\n"
LEASE = 0.3
SHORT = 0.06  # for who only follows, which has him look often


def setUpModule() -> None:
    end_if_it_hangs()


def token(index: int, content: str = "") -> StepToken:
    return StepToken("Summarise", content, index, 0)


def frame(id: str, event: Event) -> bytes:
    return f"id: {id}\nevent: {event.kind}\ndata: {to_json(event)}\n\n".encode()


def tokens(count: int, first: int = 1, run: str = "run") -> bytes:
    return b"".join(frame(f"{run}:{i}", token(i)) for i in range(first, first + count))


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread or process brings about, and which nothing tells of."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it does not come")
        time.sleep(0.005)


async def auntil(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(until, condition)


@needs.threads
class Case(unittest.TestCase):
    """Has a store, and objects for it that stand for processes; what is of SQLite is here."""

    LOCKED = "database is locked"  # what the store says while it is
    CODE = """
        from axon_events.runs.sqlite import SqliteRuns
        runs = SqliteRuns(sys.argv[1], lease=float(sys.argv[2]))
    """  # makes `runs` in another process
    POLL: tuple[Any, str] = (sqlite, "_POLL_SECONDS")  # a constant: how long news may wait

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "runs.db")
        patch = mock.patch.object(sqlite, "_BUSY_SECONDS", 0.02)
        patch.start()
        self.addCleanup(patch.stop)

    def make(self, **options: Any) -> Runs:
        return SqliteRuns(self.path, **options)

    def open(self, **options: Any) -> Runs:
        runs = self.make(**{"lease": LEASE, **options})
        self.addCleanup(self.close, runs)
        return runs

    @staticmethod
    def close(runs: Runs) -> None:
        with suppress(StoreUnavailable):
            runs.close()

    def address(self) -> str:
        return str(self.path)

    def is_untouched(self) -> bool:
        return not self.path.exists()

    @contextmanager
    def file(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as connection:
            yield connection

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody write, as another process does that does not come to an end."""
        with self.file() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def forget(self, run: str, after: int | None = None) -> None:
        """Take a run, or its tokens after one, from the store, as one does that lost them."""
        with self.file() as connection:
            connection.execute("BEGIN IMMEDIATE")
            if after is None:
                connection.execute("DELETE FROM entry")
                connection.execute("DELETE FROM run WHERE name = ?", (run,))
            else:
                key = after.to_bytes(8, "big") + bytes(8)
                connection.execute("DELETE FROM entry WHERE cursor > ?", (key,))
                connection.execute(
                    "UPDATE run SET cursor = ?, writer ="
                    " (SELECT writer FROM entry WHERE cursor = ?)",
                    (key, key),
                )
            connection.execute("COMMIT")

    def texts(self, run: str = "run") -> list[str]:
        with self.file() as connection:
            return [
                text
                for (text,) in connection.execute(
                    "SELECT text FROM entry JOIN run ON run.id = run WHERE name = ?"
                    " ORDER BY entry.cursor",
                    (run,),
                )
            ]

    def writers_at_end(self) -> list[str]:
        """Return the token of who appended the newest entry; nothing if there is no run."""
        with self.file() as connection:
            return [writer for (writer,) in connection.execute("SELECT writer FROM run")]

    def state(self) -> Any:
        """Return what `bring_back` takes; all that there is of the run that has one entry."""
        with self.file() as connection:
            return connection.execute("SELECT * FROM entry").fetchall()

    def bring_back(self, state: Any) -> None:
        with self.file() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM entry")
            connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", state)
            connection.execute("UPDATE run SET entries = 1, cursor = ?", (state[0][2],))
            connection.execute("COMMIT")

    def quiet(self) -> Any:
        """Have the store tell nothing."""
        return mock.patch.object(sqlite._Watch, "_has_told", return_value=False)

    @contextmanager
    def watch_begins_after(self, event: threading.Event) -> Iterator[None]:
        """Have the store tell nothing before an event, and then that the watch has begun."""
        begin = sqlite._Watch._begin

        def beginning(watch: Any, connection: sqlite3.Connection) -> None:
            event.wait(PATIENCE)
            begin(watch, connection)

        with mock.patch.object(sqlite._Watch, "_begin", beginning), self.quiet():
            yield

    def await_watch(self, runs: Runs) -> None:
        """Wait until the store is watched."""
        watch: Any = runs._process()._watch
        until(lambda: not watch._is_resting)

    def await_told(self, process: _process.Process) -> None:
        """Wait until all that is in the store has been told."""
        with self.file() as connection:
            ((seq,),) = connection.execute("SELECT max(seq) FROM entry")
        watch: Any = process._watch
        until(lambda: watch._seq >= seq)

    def follow_first(self, runs: Runs, name: str = "run") -> Any:
        """Return a follower that had token 1; its feed knows where the run ends, and is told."""
        follower = runs.run(name).follow()
        self.await_watch(runs)
        self.assertEqual(next(follower), tokens(1, run=name))
        until(lambda: runs._process()._feeds[name].last)
        return follower

    def process(self, code: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start a Python whose code has `runs`; it ends when the test does."""
        head = """
            import os, sys, threading, time
            from axon_events import *
            from axon_events.runs import *
            def token(index): return StepToken("Summarise", "", index, 0)
        """
        codes = (head, self.CODE, code)
        process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-c"),
                "".join(map(textwrap.dedent, codes)).replace("axon_events", PACKAGE),
                *(self.address(), str(LEASE), *arguments),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def assert_refused(
        self, error: type[Exception], text: str, function: Callable[..., object], *args: object
    ) -> None:
        with self.assertRaises(error) as caught:
            function(*args)
        self.assertIs(type(caught.exception), error)
        self.assertEqual(str(caught.exception), text)


class Constructing(Case):
    def test_the_arguments(self) -> None:
        make = self.make
        bad: Any
        for name in ("ttl", "lease", "timeout"):
            text = f"{name} must be an int or a float, got str"
            self.assert_refused(TypeError, text, partial(make, **{name: "1"}))
            for bad in (0, -1, float("nan"), float("inf")):
                text = f"{name} must be above 0, in seconds, got {bad}"
                self.assert_refused(ValueError, text, partial(make, **{name: bad}))
        for name in ("max_events", "max_bytes", "max_pending_bytes"):
            with self.assertRaises(ValueError):
                make(**{name: 0})
            with self.assertRaises(TypeError):
                make(**{name: "1"})
        self.assert_refused(
            ValueError,
            "lease must be at most half of ttl, got 2 and 3: a run must be kept until its lease has"
            " run out in three looks",
            partial(make, ttl=3, lease=2),
        )

    def test_nothing_is_opened_or_started_before_the_first_use(self) -> None:
        before = threading.active_count()
        runs = self.open()
        runs.run("run")
        runs.disconnect()
        self.assertEqual(threading.active_count(), before)
        self.assertTrue(self.is_untouched())
        runs.close()
        runs.close()
        self.assertTrue(self.is_untouched())

    def test_nothing_is_copied_or_pickled(self) -> None:
        runs = self.open()
        for each in (runs, runs.create("run")):
            for way in (copy.copy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, "can be neither copied nor pickled"):
                    way(each)

    def test_after_close_nothing_goes_on(self) -> None:
        runs = self.open()
        writer = runs.create("run")
        writer.append(token(1))
        runs.close()
        text = "the runs have been closed: make another object for the same store"
        self.assert_refused(RuntimeError, text, runs.create, "other")
        self.assert_refused(RuntimeError, text, runs.run("run").follow)
        self.assert_refused(RuntimeError, text, runs.infos)
        self.assert_refused(RuntimeError, text, writer.append, token(2))
        writer.close()
        self.assertEqual(self.open().run("run").after(), tokens(1))

    def test_its_threads_end(self) -> None:
        before = set(threading.enumerate())
        with self.open() as runs:
            runs.create("run").append(token(1))
            next(runs.run("run").follow(wait=PATIENCE))
            self.assertGreater(set(threading.enumerate()), before)
        self.assertEqual(set(threading.enumerate()), before)

    @needs.asyncio_run
    def test_as_an_asynchronous_context_manager(self) -> None:
        async def main() -> None:
            async with self.open() as runs, await runs.acreate("run") as writer:
                writer.append(token(1))
            async with self.open() as runs:
                self.assertEqual(await runs.run("run").aafter(), tokens(1))
                self.assertEqual(await runs.run("run").aevents(), [token(1)])

        run(main())


class Writing(Case):
    def test_the_ids_and_frames_are_those_of_the_encoder(self) -> None:
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        events = [e for e in (random_event(rng) for _ in range(200)) if not e.is_terminator]
        encoder = Encoder("run")
        with self.subTest(seed=seed), self.open().create("run") as writer:
            frames = b""
            for event in events:
                frames += encoder.encode(event)
                self.assertEqual(writer.append(event), encoder.last_event_id)
            writer.flush()
            self.assertEqual(self.open().run("run").after(), frames)
            self.assertEqual(self.open().run("run").events(), events)

    def test_names(self) -> None:
        runs = self.open()
        for bad in ("", "a b", "ü", "a\n"):
            for write in (runs.create, runs.resume):
                text = "the name of a run must be visible ASCII, one character or more, got"
                self.assert_refused(ValueError, f"{text} {bad!r}", write, bad)
            self.assert_refused(
                RunUnknown, f"the store has no run {bad!r}", runs.run(bad).follow, None
            )
            runs.delete(bad)
        calls: list[Callable[[Any], object]] = [runs.create, runs.resume, runs.run, runs.delete]
        for call in calls:
            self.assert_refused(TypeError, "run must be a str, got int", call, 7)

    def test_a_name_is_used_once(self) -> None:
        runs = self.open()
        with runs.create("run") as writer:
            runs.create("run")  # there is none yet
            writer.append(token(1))
        text = "the store has a run 'run': use a name once"
        self.assert_refused(RunExists, text, runs.create, "run")
        runs.delete("run")
        self.assert_refused(RunExists, text, runs.create, "run")

    def test_of_two_that_create_a_run_at_once_one_is_refused(self) -> None:
        first, second = self.open().create("run"), self.open().create("run")
        first.append(token(1))
        first.flush()
        second.append(START)
        text = "the store has a run 'run': use a name once"
        self.assert_refused(RunExists, text, second.flush)
        self.assert_refused(RunExists, text, second.append, token(2))
        self.assert_refused(RunExists, text, second.close)
        self.assertEqual(self.open().run("run").events(), [token(1)])

    def test_what_is_refused_is_not_taken(self) -> None:
        writer = self.open().create("run")
        others: list[Any] = [None, {}, StepToken]
        for other in others:
            text = f"append takes an event, got {type(other).__name__}"
            self.assert_refused(TypeError, text, writer.append, other)
        writer.append(END)
        text = "the run has ended by flow_complete: create another one, of another name"
        self.assert_refused(RuntimeError, text, writer.append, token(1))
        writer.close()
        writer.close()
        self.assert_refused(
            RuntimeError,
            "the run was closed: append before close()",
            writer.append,
            token(1),
        )
        self.assertEqual(self.texts(), [to_json(END)])

    def test_a_run_without_events_is_none(self) -> None:
        with self.open().create("run") as writer:
            writer.flush()
        self.assert_refused(
            RuntimeError,
            "the run was closed: append before close()",
            writer.append,
            token(1),
        )
        self.assert_refused(
            RunUnknown, "the store has no run 'run'", self.open().run("run").after, None
        )

    def test_close_ends_a_run_without_a_terminator(self) -> None:
        for event in (token(1), END, FAILURE):
            with self.subTest(event.kind):
                name = event.kind
                with self.open().create(name) as writer:
                    writer.append(event)
                closed = [] if event.is_terminator else ["closed"]
                self.assertEqual(self.texts(name), [to_json(event), *closed])
                follower = self.open().run(name).follow()
                self.assertEqual(len(list(follower)), 1)
                self.assertTrue(follower.has_all)

    def test_an_append_inside_an_append_is_refused(self) -> None:
        writer = self.open().create("run")
        errors: list[RuntimeError] = []
        closes: list[object] = []

        def inside(*args: Any) -> Any:
            try:
                writer.append(token(2))
            except RuntimeError as error:
                errors.append(error)
            for _ in closes:
                writer.close()
            return following(*args)

        following = _store.next_cursor
        with mock.patch.object(_writer, "next_cursor", inside):
            writer.append(token(1))
            closes.append(None)
            writer.append(token(3))
        self.assertEqual(len(errors), 2)
        self.assertRegex(str(errors[0]), "append was called inside another append")
        with self.assertRaisesRegex(RuntimeError, "the run was closed"):
            writer.append(token(4))
        writer.close()
        self.assertEqual(self.open().run("run").events(), [token(1), token(3)])

    @needs.asyncio_run
    def test_append_never_waits_and_flush_does(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        with self.locked():
            for index in range(2, 100):
                writer.append(token(index))
            for timeout in (0, 0.1):
                with self.assertRaisesRegex(
                    StoreUnavailable, "^not all events of the run 'run' are stored yet: "
                ):
                    writer.flush(timeout)
            with self.assertRaises(StoreUnavailable):
                run(writer.aflush(0.1))
            until(lambda: writer._process.trouble_of_writes)
            with self.assertRaisesRegex(StoreUnavailable, self.LOCKED):
                writer.flush(0)
            with self.assertRaises(TypeError):
                writer.flush("1")  # type: ignore[arg-type]
        run(writer.aflush())
        run(writer.aclose())
        self.assertEqual(self.open().run("run").after(), tokens(99))

    def test_what_waits_is_limited(self) -> None:
        runs = self.open(max_pending_bytes=100)
        writer = runs.create("run")
        other = runs.create("other")
        writer.append(token(1))
        writer.flush()
        with self.locked():
            writer.append(token(2, "x" * 100))
            size = len(to_json(token(2, "x" * 100)))
            for each in (writer, other):
                with self.assertRaisesRegex(
                    StoreUnavailable,
                    f"^{size} bytes wait for the store, which is as many as max_pending_bytes"
                    " allows: ",
                ):
                    each.append(token(3))
        writer.flush()
        other.append(token(1))
        writer.append(token(3))
        writer.close()
        other.close()
        events = self.open().run("run").events()
        self.assertEqual(events, [token(1), token(2, "x" * 100), token(3)])

    def test_a_run_longer_than_one_append(self) -> None:
        with (
            mock.patch.object(_writer, "APPEND_COUNT", 7),
            mock.patch.object(_writer, "APPEND_BYTES", 400),
            self.open().create("run") as writer,
        ):
            for index in range(1, 101):
                writer.append(token(index))
            writer.flush()
            self.assertEqual(self.open().run("run").after(), tokens(100))

    def test_an_interrupt_does_not_lose_what_was_taken(self) -> None:
        writer = self.open().create("run")
        with (
            mock.patch.object(writer._process, "wake_writer", side_effect=KeyboardInterrupt),
            self.assertRaises(KeyboardInterrupt),
        ):
            writer.append(token(1))
        self.assertEqual(writer.append(token(2)), "run:2")
        writer.close()
        self.assertEqual(self.open().run("run").after(), tokens(2))

    def test_limits(self) -> None:
        events: list[Event] = [*(token(i, "é" * (i % 5)) for i in range(1, 30)), END]
        for limits in ({"max_events": 3}, {"max_bytes": 250}, {"max_events": 5, "max_bytes": 1}):
            with self.subTest(limits):
                name = "-".join(limits)
                with self.open(**limits).create(name) as writer:
                    for event in events:
                        writer.append(event)
                kept = self.open().run(name).events()
                self.assertEqual(kept, events[-len(kept) :])
                sizes = [len(to_json(event).encode()) for event in events]
                expected = len(events)
                while expected > 1 and (
                    expected > limits.get("max_events", 99)
                    or sum(sizes[-expected:]) > limits.get("max_bytes", 9999)
                ):
                    expected -= 1
                self.assertEqual(len(kept), expected)

    def test_a_failure_that_does_not_pass_is_told_at_once(self) -> None:
        runs = self.open()
        writer = runs.create("run")
        store = writer._process.store
        with mock.patch.object(store, "append", side_effect=sqlite3.DatabaseError("malformed")):
            writer.append(token(1))
            text = "the store has failed: DatabaseError: malformed"
            self.assert_refused(StoreUnavailable, text, writer.flush)
            self.assert_refused(StoreUnavailable, text, writer.append, token(2))
        with mock.patch.object(store, "read", side_effect=sqlite3.DatabaseError("malformed")):
            self.assert_refused(StoreUnavailable, text, runs.create, "other")

    def test_a_failure_of_one_run_is_that_of_no_other(self) -> None:
        runs = self.open()
        first, second = runs.create("first"), runs.create("second")
        append = runs._process().store.append

        def failing(appends: Sequence[Any]) -> Any:
            return [
                ValueError("no stream") if each.run == "first" else append([each])[0]
                for each in appends
            ]

        with mock.patch.object(runs._process().store, "append", failing):
            first.append(token(1))
            second.append(token(1))
            text = "the store has failed: ValueError: no stream"
            self.assert_refused(StoreUnavailable, text, first.flush)
            second.close()
        self.assertEqual(self.texts("second"), [to_json(token(1)), "closed"])

    def test_closing_the_runs_flushes(self) -> None:
        runs = self.open()
        for name in "abc":
            runs.create(name).append(token(1))
        runs.close()
        for name in "abc":
            self.assertEqual(self.open().run(name).after(), tokens(1, run=name))

    def test_closing_the_runs_leaves_it_to_a_writer_that_it_was_fenced(self) -> None:
        runs = self.open()
        runs.create("run").append(token(1))
        with mock.patch.object(_writer.RunWriter, "flush", side_effect=Fenced("x")):
            runs.close()

    def test_followers_go_on_while_closing_the_runs_flushes(self) -> None:
        with self.open().create("run") as writer:
            for index in range(1, 2001):
                writer.append(token(index))
        runs = self.open()
        runs.create("other").append(token(1))
        follower = runs.run("run").follow()
        with self.locked():
            runs.create("another").append(token(1))
            closing = background(runs.close)
            until(lambda: runs._is_closed)
            self.assertEqual(b"".join(follower), tokens(2000))
        closing.result(PATIENCE)

    def test_a_follower_that_reads_when_the_runs_have_been_closed_ends(self) -> None:
        with self.open().create("run") as writer:
            for index in range(1, 2001):
                writer.append(token(index))
        runs = self.open()
        follower = runs.run("run").follow()
        first = next(follower)
        with mock.patch.object(runs._process(), "disconnect"):  # it comes a moment later
            runs.close()
        self.assertEqual(first, tokens(2000)[: len(first)])
        self.assertEqual(list(follower), [])

    def test_closing_the_runs_ends_a_flush_that_waits(self) -> None:
        runs = self.open(timeout=0.1)
        writer = runs.create("run")
        with self.locked():
            writer.append(token(1))
            flushing = background(partial(writer.flush, 10 * PATIENCE))
            until(lambda: writer._waiters._members)
            with self.assertRaises(StoreUnavailable):
                runs.close()
            with self.assertRaises(StoreUnavailable):
                flushing.result(PATIENCE)

    def test_the_time_until_a_reader_is_free_counts(self) -> None:
        runs = self.open(timeout=0.1)
        process = runs._process()
        go_on = threading.Event()
        for _ in range(_process._READERS):
            process.submit(go_on.wait, PATIENCE)
        with mock.patch.object(process.store, "read", side_effect=StoreUnavailable("x")) as read:
            asked = time.monotonic()
            waiting = background(runs.run("run").after)
            until(lambda: process._jobs.qsize() and time.monotonic() > asked + 0.2)
            go_on.set()
            with self.assertRaises(StoreUnavailable):
                waiting.result(PATIENCE)
        read.assert_called_once()

    def test_the_timeout_of_a_flush(self) -> None:
        writer = self.open().create("run")
        text = "timeout must be 0 or more, in seconds, got -1"
        self.assert_refused(ValueError, text, writer.flush, -1)

    def test_closing_the_runs_does_not_wait_for_ever(self) -> None:
        runs = self.open(timeout=0.05)
        store = runs._process().store
        go_on = threading.Event()
        with mock.patch.object(store, "read", side_effect=lambda *args: go_on.wait(PATIENCE)):
            waiting = background(runs.run("run").after)
            until(lambda: runs._process()._threads)
            runs.close()
            go_on.set()
            with self.assertRaises(AttributeError):
                waiting.result(PATIENCE)
        store.close()

    @needs.asyncio_run
    def test_a_call_that_was_cancelled_before_it_began(self) -> None:
        runs = self.open()
        go_on = threading.Event()
        busy = [runs._process().submit(go_on.wait, PATIENCE) for _ in range(_process._READERS)]

        async def main() -> None:
            task = asyncio.create_task(runs.acreate("run"))
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        run(main())
        go_on.set()
        for each in busy:
            each.result(PATIENCE)
        self.assertEqual(list(runs.infos()), [])

    def test_the_exit_of_the_interpreter_flushes_what_is_of_this_process(self) -> None:
        with mock.patch("atexit.register") as register:
            writer = self.open().create("run")
            writer.append(token(1))
            ((at_exit,), _) = register.call_args
        with self.locked():
            writer.append(token(2))
            with mock.patch.object(os, "getpid", return_value=-1):
                at_exit()
        at_exit()
        self.assertEqual(self.open().run("run").after(), tokens(2))

    def test_closing_the_runs_tells_what_is_not_stored(self) -> None:
        runs = self.open(timeout=0.1)
        first, second = runs.create("run"), self.open().create("run")
        other = runs.create("other")
        second.append(token(1))
        second.flush()
        first.append(token(1))
        with self.assertRaises(RunExists):
            first.flush()
        with self.locked():
            other.append(token(1))
            with self.assertRaisesRegex(StoreUnavailable, "not all events of the run 'other'"):
                runs.close()
            with self.assertRaisesRegex(StoreUnavailable, "not all events of the run 'other'"):
                other.flush()

    @needs.processes
    def test_what_is_not_written_when_the_interpreter_exits_is_flushed(self) -> None:
        process = self.process(
            """
            writer = runs.create("run")
            for index in range(1, 3001):
                writer.append(token(index))
            """
        )
        _, errors = process.communicate()
        self.assertEqual(errors, "")
        self.assertEqual(self.open().run("run").after(), tokens(3000))


class OneWriter(Case):
    """A writer who was left behind gets nothing into the store."""

    FENCED = "another has taken over the run 'run', closed or deleted it"

    def assert_fenced(self, writer: Any) -> None:
        self.assert_refused(Fenced, self.FENCED, writer.flush)
        self.assert_refused(Fenced, self.FENCED, writer.append, token(77))
        self.assert_refused(Fenced, self.FENCED, writer.append, END)
        self.assert_refused(Fenced, self.FENCED, writer.close)

    def test_resume_fences_the_writer(self) -> None:
        first = self.open().create("run")
        first.append(START)
        first.append(token(1))
        first.flush()
        second, events = self.open().resume("run")
        self.assertEqual(events, [START, token(1)])
        first.append(token(2))
        self.assert_fenced(first)
        # The take-over has a cursor.
        self.assertEqual(second.append(END), "run:1.2")
        second.close()
        expected = frame("run:0.1", START) + tokens(1) + frame("run:1.2", END)
        self.assertEqual(self.open().run("run").after(), expected)
        self.assertEqual(list(self.open().run("run").follow("run:1.1")), [frame("run:1.2", END)])

    def test_an_idle_writer_that_was_fenced_is_told(self) -> None:
        first = self.open().create("run")
        first.append(token(1))
        first.flush()
        self.open().resume("run")
        until(lambda: first._failure)  # by its heartbeat
        self.assert_fenced(first)

    def test_entries_of_the_same_number_are_told_apart_by_their_writer(self) -> None:
        first = self.open().create("run")
        first.append(START)
        first.flush()
        with mock.patch.object(first._process.store, "append", side_effect=StoreUnavailable("x")):
            first.append(FAILURE)  # 0.2, as the take-over
            second, _ = self.open().resume("run")
        self.assert_fenced(first)
        second.close()
        self.assertEqual(self.texts(), [to_json(START), "taken over", "closed"])

    def test_ends_of_the_same_number_are_told_apart_by_their_writer(self) -> None:
        first = self.open().create("run")
        first.append(token(1))
        first.append(START)  # 1.1, as the take-over
        first.flush()
        with mock.patch.object(first._process.store, "append", side_effect=StoreUnavailable("x")):
            self.forget("run", 1)
            second, _ = self.open().resume("run")
            first.append(token(2))
        self.assert_fenced(first)
        second.close()
        self.assertEqual(self.texts(), [to_json(token(1)), "taken over", "closed"])

    def test_a_run_that_was_closed_is_resumed(self) -> None:
        with self.open().create("run") as first:
            first.append(token(1))
        follower = self.open().run("run").follow()
        self.assertEqual(list(follower), [tokens(1)])
        second, events = self.open().resume("run")
        self.assertEqual(events, [token(1)])
        again = self.open().run("run").follow("run:1")
        self.assertFalse(again.has_all)
        second.append(token(2))
        self.assertEqual(next(again), tokens(1, 2))
        with second:
            pass
        self.assertEqual(list(again), [])

    def test_a_feed_that_has_not_heard_that_its_run_was_resumed(self) -> None:
        with self.open().create("run") as first:
            first.append(token(1))
            first.flush()
            runs = self.open()
            follower = runs.run("run").follow("run:1")
            first.close()
            self.assertEqual(list(follower), [])
        with (
            mock.patch.object(_process.Process, "_sweep"),
            self.quiet(),
        ):
            second, _ = self.open().resume("run")
            self.assertFalse(runs.run("run").follow("run:1").has_all)
        second.close()

    def test_an_old_writer_does_not_get_in_while_its_entries_are_restored(self) -> None:
        first = self.open().create("run")
        for index in range(1, 4):
            first.append(token(index))
        first.flush()
        runs = self.open()
        second, _ = runs.resume("run")
        append = runs._process().store.append
        ends: list[Any] = []

        def watching(appends: Sequence[Any]) -> Any:
            answers = append(appends)
            ends.extend(self.writers_at_end())
            return answers

        with (
            mock.patch.object(_writer, "APPEND_COUNT", 1),
            mock.patch.object(runs._process().store, "append", watching),
            mock.patch.object(first._process.store, "append", side_effect=StoreUnavailable("x")),
        ):
            self.forget("run")
            second.append(token(4))
            second.flush()
        self.assertEqual({*ends}, {second._token})
        first.append(token(4))
        self.assert_fenced(first)

    def test_what_is_missing_at_the_end_is_written(self) -> None:
        with self.open().create("run") as writer:
            flow = FlowEmitter(writer.append, flow_name="Report", backend="anthropic")
            flow.__enter__()
            flow.step("Draft", step_type="generate").__enter__().token("Hello")
        resumed, events = self.open().resume("run")
        with resumed:
            for event in closing_events(events, error="the server was restarted"):
                resumed.append(event)
        reader = Reader()
        reader.feed(self.open().run("run").after())
        reader.close()

    def test_what_cannot_be_resumed(self) -> None:
        runs = self.open()
        self.assert_refused(RunUnknown, "the store has no run 'run'", runs.resume, "run")
        with runs.create("run") as writer:
            writer.append(END)
        text = "the run 'run' has ended by flow_complete: there is nothing to resume"
        self.assert_refused(RuntimeError, text, runs.resume, "run")
        runs.delete("run")
        self.assert_refused(RunUnknown, "the store has no run 'run'", runs.resume, "run")

    def test_a_run_that_goes_on_meanwhile_is_read_again(self) -> None:
        """But only what is new, so that a quick writer can be caught up with."""
        first = self.open().create("run")
        first.append(token(1))
        first.flush()
        runs = self.open()
        store = runs._process().store
        read = store.read
        begun: list[Any] = []

        def reading(run: str, after: Any, limit: int) -> Any:
            page = read(run, after, limit)
            begun.append(after)
            if len(begun) < 4:
                first.append(token(len(begun) + 1))
                first.flush()
            return page

        with mock.patch.object(store, "read", reading):
            _, events = runs.resume("run")
        self.assertEqual(events, [token(1), token(2), token(3), token(4)])
        self.assertEqual(begun, [(0, 0), (1, 0), (2, 0), (3, 0)])
        first.append(token(5))
        self.assert_fenced(first)

    def test_a_run_whose_beginning_goes_while_it_is_read_is_read_again(self) -> None:
        writer = self.open(max_events=2).create("run")
        for index in range(1, 4):
            writer.append(token(index))
        writer.flush()
        runs = self.open()
        process = runs._process()
        read = process.store.read
        calls: list[object] = []

        def reading(run: str, after: Any, limit: int) -> Any:
            page = read(run, after, 1)
            if not calls:
                calls.append(None)
                page = page._replace(entries=page.entries[:1])  # type: ignore[union-attr]
                for index in range(4, 7):
                    writer.append(token(index))
                writer.flush()
            return page

        with mock.patch.object(process.store, "read", reading):
            self.assertEqual(runs.run("run").events(), [token(5), token(6)])

    def test_a_resume_that_gets_no_answer(self) -> None:
        with self.open().create("run") as writer:
            writer.append(token(1))
        runs = self.open(timeout=0.1)
        with self.locked(), self.assertRaises(StoreUnavailable):
            runs.resume("run")
        resumed, _ = self.open().resume("run")  # the first one does not come in between
        resumed.append(token(2))
        resumed.close()

    def test_a_resume_whose_answer_comes_too_late(self) -> None:
        with self.open().create("run") as writer:
            writer.append(token(1))
        runs = self.open(timeout=0.1)
        store = runs._process().store
        append = store.append
        go_on, answered = threading.Event(), threading.Event()

        def late(appends: Sequence[Any]) -> Any:
            answers = append(appends)
            go_on.wait(PATIENCE)
            answered.set()
            return answers

        with mock.patch.object(store, "append", late):
            with self.assertRaises(StoreUnavailable):
                runs.resume("run")
            go_on.set()
            answered.wait(PATIENCE)
        # Nobody writes it: it is closed, as one whose writer died.
        self.assertEqual(list(self.open().run("run").follow()), [tokens(1)])

    @needs.asyncio_run
    def test_who_does_not_wait_for_a_resume_does_not_hold_the_run(self) -> None:
        with self.open().create("run") as writer:
            writer.append(token(1))

        async def main() -> None:
            runs = self.open()
            with self.locked():
                task = asyncio.create_task(runs.aresume("run"))
                await auntil(lambda: runs._process()._writers)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
            await auntil(lambda: self.texts()[-2:] == ["taken over", "closed"])
            resumed, events = await runs.aresume("run")
            self.assertEqual(events, [token(1)])
            await resumed.aclose()

        run(main())

    def test_delete_fences_the_writer(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        self.open().delete("run")
        writer.append(token(2))
        self.assert_fenced(writer)
        self.assertEqual(self.texts(), ["deleted"])
        self.open().delete("run")
        self.open().delete("other")
        self.assertEqual(self.texts(), ["deleted"])
        self.assertEqual(list(self.open().infos()), [])

    def test_a_writer_that_was_silent_for_the_time_to_live_does_not_come_back(self) -> None:
        writer = self.open(ttl=LEASE, lease=LEASE / 2).create("run")
        writer.append(token(1))
        writer.flush()
        with mock.patch.object(writer._process.store, "append", side_effect=StoreUnavailable("x")):
            self.forget("run")
            reached = writer._reached
            until(lambda: time.monotonic() > reached + LEASE)
        writer.append(token(2))
        self.assert_fenced(writer)
        self.assertEqual(self.texts(), [])

    def test_a_close_is_not_taken_for_an_entry_without_a_token(self) -> None:
        """A store may give the entries before the newest none, and nobody's close has none."""
        process = self.open()._process()
        texts = (to_json(token(1)), to_json(START), to_json(START))
        cursors = ((1, 0), (1, 1), (1, 2))
        entries = [
            _store.Entry(cursor, before, text, "")
            for cursor, before, text in zip(cursors, ((0, 0), *cursors), texts, strict=False)
        ]
        writer = _writer.RunWriter(process, "run", entries, _store.End((1, 2), "w"))
        self.assertIsNone(writer._stored(_store.End((1, 1), ""), 0.0))
        entries[1] = entries[1]._replace(text=_store.CLOSED)
        writer = _writer.RunWriter(process, "run", entries, _store.End((1, 2), "w"))
        self.assertEqual(writer._stored(_store.End((1, 1), ""), 0.0), 2)

    def test_a_writer_that_is_dropped_lets_its_run_be_closed(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        follower = self.open().run("run").follow(wait=PATIENCE)
        del writer
        gc.collect()
        self.assertEqual(b"".join(follower), tokens(1))


class LostReplies(Case):
    """The store took it, and the answer did not come: no second copy."""

    @contextmanager
    def lossy(self, process: Any, is_lost: Callable[[], bool]) -> Iterator[None]:
        append = process.store.append

        def lose(appends: Sequence[Any]) -> Any:
            answers = append(appends)
            if is_lost():
                raise StoreUnavailable("the connection is broken")
            return answers

        with mock.patch.object(process.store, "append", lose):
            yield

    def test_each_once_and_in_order(self) -> None:
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        for limits in ({}, {"max_events": 5}):
            runs = self.open(**limits)
            name = f"run{len(limits)}"
            with (
                self.subTest(seed=seed),
                self.lossy(runs._process(), lambda: rng.random() < 0.5),
                mock.patch.object(_writer, "APPEND_COUNT", 3),
                runs.create(name) as writer,
            ):
                writer.append(token(1))
                follower = self.open().run(name).follow(wait=PATIENCE)
                count = rounds(40, 400)
                for index in range(2, count + 1):
                    writer.append(token(index))
                    if rng.random() < 0.5:
                        writer.flush()
                writer.flush()
                events = self.open().run(name).events()
                kept = len(events)
                self.assertEqual(events, [token(i) for i in range(count + 1 - kept, count + 1)])
                if not limits:
                    self.assertEqual(kept, count)
                    writer.close()
                    self.assertEqual(b"".join(follower), tokens(count, run=name))

    def test_one_after_which_more_has_come(self) -> None:
        runs = self.open()
        writer = runs.create("run")
        losses = [False, True]
        with self.lossy(runs._process(), lambda: losses.pop() if losses else False):
            writer.append(token(1))
            until(lambda: len(losses) < 2)
            writer.append(token(2))
            writer.flush()
        self.assertEqual(self.open().run("run").after(), tokens(2))

    def test_a_heartbeat(self) -> None:
        runs = self.open()
        writer = runs.create("run")
        writer.append(token(1))
        writer.flush()
        lost = itertools.count()
        with self.lossy(runs._process(), lambda: next(lost) >= 0):
            until(lambda: next(lost) > 5)
        writer.append(token(2))
        writer.flush()
        self.assertEqual(self.open().run("run").after(), tokens(2))


class LosingStore(Case):
    """While a writer lives, what the store has lost comes back, and followers notice nothing."""

    def test_everything_is_lost(self) -> None:
        self.lose(after=None)

    def test_the_newest_are_lost(self) -> None:
        self.lose(after=2)

    def lose(self, after: int | None) -> None:
        with self.open().create("run") as writer:
            for index in range(1, 6):
                writer.append(token(index))
            writer.flush()
            follower = self.open().run("run").follow()
            self.assertEqual(next(follower), tokens(5))
            self.forget("run", after)
            writer.append(token(6))
            self.assertEqual(next(follower), tokens(1, 6))
            self.assertEqual(self.open().run("run").after(), tokens(6))
            # A heartbeat finds out as well.
            self.forget("run", after)
            until(lambda: len(self.texts()) == 6)
            writer.append(token(7))
        self.assertEqual(b"".join(follower), tokens(1, 7))
        self.assertEqual(self.open().run("run").after(), tokens(7))

    def test_in_pieces_whose_answers_are_lost(self) -> None:
        with self.open().create("run") as first:
            for index in range(1, 10):
                first.append(token(index))
        runs = self.open()
        second, _ = runs.resume("run")
        append = runs._process().store.append
        calls: list[object] = []

        def lose(appends: Sequence[Any]) -> Any:
            answers = append(appends)
            calls.append(None)
            if len(calls) % 2:
                raise StoreUnavailable("the connection is broken")
            return answers

        with (
            mock.patch.object(_writer, "APPEND_COUNT", 2),
            mock.patch.object(runs._process().store, "append", lose),
        ):
            self.forget("run")
            second.append(token(10))
            second.flush()
            second.close()
        self.assertEqual(self.open().run("run").after(), tokens(10))
        self.assertEqual(len(self.texts()), 13)

    def test_what_was_resumed_is_lost_as_well(self) -> None:
        with self.open().create("run") as first:
            first.append(token(1))
            first.append(token(2))
        second, _ = self.open().resume("run")
        with second:
            self.forget("run", 1)
            second.append(token(3))
            second.flush()
            self.assertEqual(self.open().run("run").after(), tokens(3))

    def test_an_old_state_comes_back(self) -> None:
        """It ends with what is not kept any more, and so is not in the writer's copy."""
        writer = self.open(max_events=2).create("run")
        writer.append(token(1))
        writer.flush()
        old = self.state()
        for index in range(2, 6):
            writer.append(token(index))
            writer.flush()
        self.bring_back(old)
        until(lambda: len(self.texts()) == 2)
        self.assertEqual(self.open().run("run").events(), [token(4), token(5)])

    def test_the_follower_is_told_if_nobody_restores_it(self) -> None:
        for after in (None, 1):
            with self.subTest(after=after):
                name = f"run{after}"
                writer = self.open().create(name)
                writer.append(token(1))
                writer.append(token(2))
                writer.flush()
                append = mock.patch.object(
                    writer._process.store, "append", side_effect=StoreUnavailable("x")
                )
                follower = self.open(lease=SHORT).run(name).follow()
                self.assertEqual(next(follower), tokens(2, run=name))
                with append:
                    self.forget(name, after)
                    with self.assertRaisesRegex(
                        RunLost, f"^the store has lost events of the run '{name}' that were given"
                    ):
                        next(follower)
                    with self.assertRaises(RunLost):
                        next(follower)
                writer.flush()

    def test_much_that_is_to_be_restored_costs_no_run_its_lease(self) -> None:
        runs = self.open()
        writers = {f"run-{number}": runs.create(f"run-{number}") for number in range(20)}
        for writer in writers.values():
            for index in range(1, 51):
                writer.append(token(index))
            writer.flush()
        followers = {name: self.open().run(name).follow() for name in list(writers)[:3]}
        for name, follower in followers.items():
            self.assertEqual(next(follower), tokens(50, run=name))
        store = runs._process().store
        append = store.append

        def slow(appends: Sequence[Any]) -> Any:
            answers: list[object] = []
            for each in appends:
                answers += append([each])
                time.sleep(len(each.entries) * LEASE / 200)
            return answers

        with mock.patch.object(_writer, "APPEND_COUNT", 50):
            with mock.patch.object(store, "append", side_effect=StoreUnavailable("x")):
                for name in writers:
                    self.forget(name)
            with mock.patch.object(store, "append", slow):
                for writer in writers.values():
                    writer.append(token(51))
                    writer.flush()
        for name, follower in followers.items():
            self.assertEqual(next(follower), tokens(1, 51, run=name))

    def test_what_was_lost_before_and_restored_does_not_count(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=15.0)
        follower = self.follow_first(runs)
        process = runs._process()
        feed = process._feeds["run"]
        until(lambda: not process._is_sweeping)
        feed.lost_since = time.monotonic() - 100
        feed.is_active = True  # it was restored, and has got entries since then
        nowhere = _store.State(_store.NOWHERE, 0.0, 15.0)
        with mock.patch.object(process.store, "look", return_value=[nowhere]):
            process._sweep()
            process._sweep()  # lost again, a moment ago
        # And the time in which the store cannot be reached does not count.
        feed.lost_since = time.monotonic() - 100
        with mock.patch.object(process.store, "look", side_effect=StoreUnavailable("x")):
            process._sweep()
        with mock.patch.object(process.store, "look", return_value=[nowhere]):
            process._sweep()
        writer.append(token(2))
        self.assertEqual(next(follower), tokens(1, 2))

    def test_followers_of_another_history_are_told(self) -> None:
        """The tail died with its writer, and another went on from what was left."""
        runs = self.open()
        for is_told, others in (
            (True, (2, 3, 4, 5)),
            (False, (2, 3, 4, 5)),
            (True, (2, 4, 5)),
            (False, (2, 4, 5)),
        ):
            with self.subTest(is_told=is_told, others=others):
                name = f"run{is_told}{len(others)}"
                first = self.open().create(name)
                for index in range(1, 4):
                    first.append(token(index))
                first.flush()
                follower = runs.run(name).follow()
                self.assertEqual(next(follower), tokens(3, run=name))
                held = runs.run(name).follow(f"{name}:2")
                take = mock.patch.object(_feed.Feed, "take", return_value=False)
                with (
                    mock.patch.object(
                        first._process.store, "append", side_effect=StoreUnavailable("x")
                    ),
                    nullcontext() if is_told else take,
                ):
                    self.forget(name, 1)
                    second, events = self.open().resume(name)
                    self.assertEqual(events, [token(1)])
                    for index in others:
                        second.append(token(index, "another"))
                    second.flush()
                    if not is_told:
                        self.await_told(runs._process())
                    second.append(token(6))
                    second.flush()
                with self.assertRaises(RunLost):
                    next(follower)
                self.assertEqual(next(held), tokens(1, 3, run=name))
                with self.assertRaises(RunLost):
                    next(held)

    def test_a_slow_follower_of_another_history_is_told(self) -> None:
        with (
            mock.patch.object(_feed, "_WINDOW_BYTES", 1),
            mock.patch.object(_feed, "PAGE_BYTES", 1),
            mock.patch.object(_process, "PAGE_BYTES", 1),
            mock.patch.object(_process.Process, "_sweep"),
            self.quiet(),
        ):
            first = self.open().create("run")
            for index in range(1, 5):
                first.append(token(index))
            first.flush()
            follower = self.open().run("run").follow("run:1")
            self.assertEqual(next(follower), tokens(1, 2))
            silenced = mock.patch.object(
                first._process.store, "append", side_effect=StoreUnavailable("x")
            )
            with silenced:
                self.forget("run", 1)
                second, _ = self.open().resume("run")
                second.append(token(4))
                second.close()
                with self.assertRaises(RunLost):
                    next(follower)

    def test_the_writer_restores_it_late(self) -> None:
        with mock.patch.object(_feed, "_WINDOW_BYTES", 1):
            writer = self.open().create("run")
            writer.append(token(1))
            writer.flush()
            runs = self.open(lease=SHORT * 20)
            slow, quick = runs.run("run").follow(), runs.run("run").follow()
            self.assertEqual((next(slow), next(quick)), (tokens(1), tokens(1)))
            for index in range(2, 5):
                writer.append(token(index))
                self.assertEqual(next(quick), tokens(1, index))
            feed = runs._process()._feeds["run"]
            silenced = mock.patch.object(
                writer._process.store, "append", side_effect=StoreUnavailable("x")
            )
            with silenced:
                self.forget("run")
                waiting = [background(partial(next, each)) for each in (slow, quick)]
                until(lambda: feed.lost_since)
                runs._process()._on_entries("run", ())  # a store that lost it says so, perhaps
                until(lambda: not feed.is_catching_up)
            self.assertEqual(waiting[0].result(PATIENCE), tokens(3, 2))
            writer.append(token(5))
            self.assertEqual(waiting[1].result(PATIENCE), tokens(1, 5))
            self.assertIsNone(feed.failure)

    def test_a_follower_that_read_while_it_was_lost_goes_on(self) -> None:
        """The sweep has it look again, though the feed was told of nothing new."""
        sweep = _process.Process._sweep
        with mock.patch.object(_process.Process, "_sweep"):
            with self.open(lease=60.0) as others:
                writer = others.create("run")
                for index in range(1, 401):
                    writer.append(token(index, 1000 * "x"))
            runs = self.open()
            process = runs._process()
            follower = runs.run("run").follow(keep_alive=None)
            got = next(follower)
            sweep(process)  # the feed begins at the end, and this follower is far behind it
            feed = process._feeds["run"]
            with mock.patch.object(process.store, "read", return_value=None):
                waiting = background(partial(next, follower))
                until(lambda: follower._waiter is not None and follower._nothing_in is feed._newest)
            sweep(process)
            sweep(process)
            got += waiting.result(PATIENCE)
            self.assertEqual(got, runs.run("run").after()[: len(got)])

    def test_a_feed_does_not_go_back(self) -> None:
        feed = _feed.Feed(self.open()._process(), "run")
        feed.begin_again((3, 0))
        feed.begin_again((2, 0))
        self.assertEqual(feed.last, (3, 0))


class Reading(Case):
    """The answers are those of a ReplayLog with the same events."""

    def answer(self, log: Any, id: str | None) -> object:
        try:
            return log.after(id)
        except CursorExpired as error:
            return str(error), error.oldest
        except CursorUnknown as error:
            return type(error), str(error)

    def test_as_a_replay_log(self) -> None:
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        for limits in ({}, {"max_events": 4}, {"max_events": 1}):
            name = f"run{limits.get('max_events')}"
            log = ReplayLog(stream_id=name, **limits)
            ids: list[str | None] = ["", None, "x", f"{name}:", f"{name}:1.0", f"{name}:01"]
            ids += [f"{name}:{t}{k}" for t in range(1, 9) for k in ("", ".1", ".2", ".9")]
            ids += [f"{name}:0.1", f"{name}:0.3", f"{name}:{2**64}", f"{name}:{2**64 - 1}", "1"]
            with self.subTest(limits=limits, seed=seed):
                writer = self.open(**limits).create(name)
                events: list[Event] = [START, token(1), START, token(3), token(7), token(2), END]
                run = self.open().run(name)
                for event in events:
                    self.assertEqual(writer.append(event), log.append(event))
                    writer.flush()
                    for id in rng.sample(ids, 12) if event is not END else ids:
                        with self.subTest(id=id):
                            self.assertEqual(self.answer(run, id), self.answer(log, id))
                            followed = self.followed(run, id)
                            self.assertEqual(followed, self.followed(log, id))

    def followed(self, log: Any, id: str | None) -> object:
        try:
            with closing(log.follow(id)) as follower:
                if follower.has_all:
                    return True
                expected, got = log.after(id), b""
                while len(got) < len(expected):
                    got += next(follower)
                return got
        except LookupError as error:
            return type(error)

    def test_an_id_is_a_str(self) -> None:
        run = self.open().run("run")
        for call in (run.after, run.follow):
            self.assert_refused(TypeError, "id must be a str or None, got int", call, 7)

    def test_the_arguments_of_follow(self) -> None:
        with self.open().create("run") as writer:
            writer.append(token(1))
        run = self.open().run("run")
        for options in ({"keep_alive": 0}, {"wait": -1}):
            with self.assertRaises(ValueError):
                run.follow(**options)  # type: ignore[arg-type]

    def test_a_long_run_is_read_in_pieces(self) -> None:
        with self.open().create("run") as writer:
            for index in range(1, 2001):
                writer.append(token(index))
        runs = self.open()
        self.assertEqual(runs.run("run").after(), tokens(2000))
        self.assertEqual(len(runs.run("run").events()), 2000)
        pieces = list(runs.run("run").follow())
        self.assertEqual(b"".join(pieces), tokens(2000))
        self.assertGreater(len(pieces), 1)

    def test_infos(self) -> None:
        runs = self.open()
        self.assertEqual(list(runs.infos()), [])
        with runs.create("closed") as writer:
            writer.append(EVENTS[1])
        with runs.create("ended") as writer:
            writer.append(EVENTS[0])
            writer.append(EVENTS[6])
        with self.open(max_events=1).create("short") as writer:
            writer.append(EVENTS[2])
        writer = runs.create("open")
        writer.append(EVENTS[2])
        writer.flush()
        found = {info.name: info for info in runs.infos()}
        self.assertEqual(
            found,
            {
                "closed": RunInfo("closed", "step_start", EVENTS[1].timestamp_ms, True),
                "ended": RunInfo("ended", "flow_error", EVENTS[6].timestamp_ms, True),
                "short": RunInfo("short", "", 0, True),
                "open": RunInfo("open", "step_token", EVENTS[2].timestamp_ms, False),
            },
        )


class Following(Case):
    def test_from_the_beginning_to_the_end(self) -> None:
        writer = self.open().create("run")
        runs = self.open()
        found = background(lambda: runs.run("run").follow(wait=PATIENCE))
        until(lambda: runs._process()._feeds)
        writer.append(START)
        follower = found.result(PATIENCE)
        self.assertEqual(next(follower), frame("run:0.1", START))
        self.assertFalse(follower.has_all)
        for index in range(1, 200):
            writer.append(token(index))
            if index % 50 == 0:
                writer.flush()
        writer.append(END)
        rest = b"".join(follower)
        self.assertEqual(rest, tokens(199) + frame("run:199.1", END))
        self.assertTrue(follower.has_all)
        self.assertEqual(list(follower), [])

    @needs.asyncio_run
    def test_many_in_a_loop(self) -> None:
        async def follow(runs: Runs, id: str) -> bytes:
            return b"".join(await listed(await runs.run("run").afollow(id, wait=PATIENCE)))

        async def main() -> None:
            runs = self.open()
            async with await self.open().acreate("run") as writer:
                ids = [f"run:{index}" for index in range(1, 20)]
                tasks = [asyncio.create_task(follow(runs, id)) for id in ids]
                for index in range(1, 100):
                    writer.append(token(index))
                    if index % 9 == 0:
                        await writer.aflush()
            for index, task in enumerate(tasks, 1):
                self.assertEqual(await task, tokens(99 - index, index + 1))

        run(main())

    def test_what_is_not_there_yet(self) -> None:
        runs = self.open()
        self.assert_refused(RunUnknown, "the store has no run 'run'", runs.run("run").follow)
        with self.assertRaises(RunUnknown):
            runs.run("run").follow(wait=0.05)
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        with self.assertRaises(CursorAhead):
            runs.run("run").follow("run:2", wait=0.05)
        found = background(lambda: runs.run("run").follow("run:3", wait=PATIENCE))
        for index in range(2, 5):
            writer.append(token(index))
            writer.flush()
        self.assertEqual(next(found.result(PATIENCE)), tokens(1, 4))
        writer.append(END)
        writer.close()
        for each in (runs, self.open()):  # it has ended: there is nothing to wait for
            with self.assertRaises(CursorAhead):
                each.run("run").follow("run:9", wait=PATIENCE)

    def test_who_waited_for_its_run_is_let_go_of_at_once(self) -> None:
        """Else its feed, which keeps what is appended, lives until the next garbage collection."""
        runs = self.open()
        gc.disable()
        self.addCleanup(gc.enable)
        with self.assertRaises(RunUnknown):
            runs.run("run").follow(wait=0.05)
        (feed,) = runs._process()._feeds.values()
        until(lambda: not feed.followers())
        found = background(lambda: runs.run("run").follow(wait=PATIENCE))
        until(feed.followers)
        writer = self.open().create("run")
        writer.append(token(1))
        follower = found.result(PATIENCE)
        self.assertEqual(next(follower), tokens(1))
        (feed,) = runs._process()._feeds.values()
        del follower, found
        until(lambda: not feed.followers())

    @needs.asyncio_run
    def test_what_is_not_there_yet_leaves_no_timer(self) -> None:
        async def main() -> None:
            def timers() -> list[Any]:
                loop: Any = asyncio.get_running_loop()
                return [timer for timer in loop._scheduled if not timer.cancelled()]

            before = timers()
            with self.assertRaises(RunUnknown):
                await self.open().run("run").afollow()
            self.assertEqual(timers(), before)

        run(main())

    @needs.asyncio_run
    def test_keep_alive_close_and_cancel(self) -> None:
        async def main() -> None:
            writer = self.open().create("run")
            writer.append(token(1))
            writer.flush()
            follower = await self.open().run("run").afollow(keep_alive=0.02)
            self.assertEqual(await follower.__anext__(), tokens(1))
            self.assertEqual(await follower.__anext__(), KEEP_ALIVE)
            task = asyncio.ensure_future(follower.__anext__())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            writer.append(token(2))
            pieces = [await follower.__anext__()]
            while pieces[-1] == KEEP_ALIVE:
                pieces.append(await follower.__anext__())
            self.assertEqual(pieces[-1], tokens(1, 2))
            await follower.aclose()
            self.assertEqual(await listed(follower), [])

        run(main())

    def await_followers(self, runs: Runs, *names: str) -> None:
        """Wait until somebody waits for each of these runs."""
        feeds = runs._process()._feeds
        for name in names:
            until(partial(feeds.__contains__, name))
            until(feeds[name]._waiters._members.__len__)

    def test_each_item_is_waited_for_once(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        follower = self.open().run("run").follow("run:1")
        waiting = background(lambda: next(follower))
        until(lambda: follower._waiter)
        with self.assertRaisesRegex(RuntimeError, "another wait for this follower's next item"):
            next(follower)
        writer.append(token(2))
        self.assertEqual(waiting.result(PATIENCE), tokens(1, 2))

    def test_disconnect_and_close_end_followers(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        end: Callable[[], None]
        for end in (runs.disconnect, runs.close):
            follower = runs.run("run").follow()
            self.assertEqual(next(follower), tokens(1))
            waiting = background(partial(list, follower))
            late = background(lambda: runs.run("other").follow(wait=PATIENCE))
            self.await_followers(runs, "run", "other")
            end()
            self.assertEqual(waiting.result(PATIENCE), [])
            self.assertTrue(runs.disconnected)
            self.assertTrue(runs.run("run").disconnected)
            with self.assertRaises((RunUnknown, RuntimeError)):
                late.result(PATIENCE)
            self.assertFalse(follower.has_all)
        self.assertEqual(b"".join([next(self.open().run("run").follow())]), tokens(1))

    def test_a_slow_follower_reads_what_is_not_at_hand_any_more(self) -> None:
        with mock.patch.object(_feed, "_WINDOW_BYTES", 300), self.open().create("run") as writer:
            runs = self.open()
            writer.append(token(1))
            slow, quick = (runs.run("run").follow(wait=PATIENCE) for _ in range(2))
            self.assertEqual(next(slow), tokens(1))
            self.assertEqual(next(quick), tokens(1))
            for index in range(2, 100):
                writer.append(token(index))
                self.assertEqual(next(quick), tokens(1, index))
            writer.close()
            self.assertEqual(b"".join(slow), tokens(98, 2))
            self.assertEqual(b"".join(quick), b"")

    def test_a_follower_is_told_that_its_next_frame_is_gone(self) -> None:
        writer = self.open(max_events=3).create("run")
        with mock.patch.object(_feed, "_WINDOW_BYTES", 1):
            runs = self.open()
            writer.append(token(1))
            slow = runs.run("run").follow(wait=PATIENCE)
            last = runs.run("run").follow(wait=PATIENCE)
            self.assertEqual((next(slow), next(last)), (tokens(1), tokens(1)))
            for index in range(2, 5):
                writer.append(token(index))
            writer.flush()
            # The last one that it had is gone, but its next one is not.
            pieces = b""
            while len(pieces) < len(tokens(3)):
                pieces += next(last)
            self.assertEqual(pieces, tokens(3, 2))
            writer.append(token(5))
            writer.flush()
            for _ in range(2):
                with self.assertRaises(CursorExpired) as caught:
                    next(slow)
                self.assertEqual(caught.exception.oldest, "run:3")

    def test_a_feed_that_nobody_needs_goes(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=SHORT)
        followers = [runs.run("run").follow(), runs.run("run").follow()]
        feeds = runs._process()._feeds
        self.assertEqual(list(feeds), ["run"])
        followers.pop()
        followers[0].close()
        until(lambda: not feeds)
        # Who comes then begins anew.
        follower = runs.run("run").follow("run:1")
        writer.append(token(2))
        self.assertEqual(next(follower), tokens(1, 2))

    def test_two_find_at_once_that_a_run_was_deleted(self) -> None:
        with self.open().create("run") as writer:
            writer.append(token(1))
        self.open().delete("run")
        runs = self.open()
        both = threading.Barrier(2, timeout=PATIENCE)
        read = _process.Process.read

        def reading(*args: Any) -> Any:
            page = read(*args)
            both.wait()
            return page

        with mock.patch.object(_process.Process, "read", reading):
            waiting = [background(runs.run("run").follow) for _ in range(2)]
            for each in waiting:
                with self.assertRaises(RunUnknown):
                    each.result(PATIENCE)

    def test_what_is_lost_while_it_is_asked_for_what_is_ahead(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        store = runs._process().store
        read = store.read

        def reading(run: str, after: Any, limit: int) -> Any:
            page = read(run, after, limit)
            self.forget("run")
            return page

        silenced = mock.patch.object(
            writer._process.store, "append", side_effect=StoreUnavailable("x")
        )
        with silenced, mock.patch.object(store, "read", reading), self.assertRaises(CursorUnknown):
            runs.run("run").follow("run:7")

    def test_followers_of_a_deleted_run(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        follower = runs.run("run").follow()
        self.assertEqual(next(follower), tokens(1))
        self.open().delete("run")
        self.assert_refused(RunLost, "the run 'run' was deleted", next, follower)
        for wait in (0, PATIENCE):
            self.assert_refused(
                RunUnknown,
                "the store has no run 'run'",
                partial(runs.run("run").follow, "run:1", wait=wait),
            )
        with self.assertRaises(CursorUnknown):
            runs.run("run").follow("run:7", wait=PATIENCE)

    def test_who_is_told_of_a_loss_does_not_find_that_feed_again(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        follower = runs.run("run").follow("run:1")
        process = runs._process()
        drop = process.drop
        failures: list[Any] = []

        def dropping(feed: Any) -> None:
            failures.append(feed.failure)
            drop(feed)

        with mock.patch.object(process, "drop", dropping):
            self.open().delete("run")
            with self.assertRaises(RunLost):
                next(follower)
        self.assertIsNone(failures[0])  # it may be found out twice


class NothingIsMissed(Case):
    """Whatever happens between a read and a wait, and whatever the store does not tell."""

    def test_the_sweep_finds_what_was_not_told(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        with self.quiet():
            runs = self.open(lease=SHORT)
            followers = [runs.run("run").follow(id) for id in ("", "run:1")]
            self.assertEqual(next(followers[0]), tokens(1))
            for index in range(2, 4):
                writer.append(token(index))
                for follower in followers:
                    self.assertEqual(next(follower), tokens(1, index))
            writer.close()
            for follower in followers:
                self.assertEqual(list(follower), [])

    def test_the_sweep_finds_a_run_that_was_not_told(self) -> None:
        runs = self.open(lease=SHORT)
        with self.open().create("other") as writer:
            writer.append(token(1))
        other = runs.run("other").follow()
        self.await_watch(runs)
        with self.quiet():
            found = background(lambda: runs.run("run").follow(wait=PATIENCE))
            feeds = runs._process()._feeds
            until(lambda: "run" in feeds and feeds["run"]._waiters._members)
            with self.open().create("run") as writer:
                writer.append(token(1))
            self.assertEqual(list(found.result(PATIENCE)), [tokens(1)])
        other.close()

    def test_the_sweep_finds_that_a_run_was_deleted(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        with self.quiet():
            runs = self.open(lease=SHORT)
            follower = runs.run("run").follow("run:1")
            self.open().delete("run")
            self.assert_refused(RunLost, "the run 'run' was deleted", next, follower)

    def test_what_comes_between_the_read_and_the_wait(self) -> None:
        """Without the sweep: the store is watched from before the read."""
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        with mock.patch.object(_process.Process, "_sweep"):
            other = self.open().create("other")
            other.append(token(1))
            other.flush()
            self.assertEqual(next(runs.run("other").follow()), tokens(1, run="other"))
            read = _process.Process.read
            late: list[int] = [3, 2]

            def reading(process: Any, feed: Any, cursor: Any) -> Any:
                page = read(process, feed, cursor)
                if late and feed.run == "run":
                    writer.append(token(late.pop()))
                    writer.flush()
                    # It is told while the follower has not yet what it read.
                    self.await_told(process)
                return page

            with mock.patch.object(_process.Process, "read", reading):
                follower = runs.run("run").follow()
                got = b""
                while len(got) < len(tokens(2)):
                    got += next(follower)
            writer.append(token(3))
            got += next(follower)
            self.assertEqual(got, tokens(3))

    def test_what_comes_before_the_watch_begins(self) -> None:
        """Whoever has read before that reads again."""
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        may_begin = threading.Event()
        read = _process.Process.read

        def reading(process: Any, feed: Any, cursor: Any) -> Any:
            page = read(process, feed, cursor)
            if not may_begin.is_set():
                before = feed._newest
                writer.append(token(2))
                writer.flush()
                may_begin.set()
                until(lambda: feed._newest is not before)
            return page

        with (
            mock.patch.object(_process.Process, "_sweep"),
            mock.patch.object(_process.Process, "read", reading),
            self.watch_begins_after(may_begin),
        ):
            follower = runs.run("run").follow()
            self.assertEqual(next(follower), tokens(1))
            self.assertEqual(next(follower), tokens(1, 2))

    def test_a_hole_in_what_is_told_is_filled(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        follower = self.follow_first(runs)
        on_entries = runs._process()._watch._on_entries  # type: ignore[attr-defined]

        def tell(run: str, entries: Sequence[Any]) -> None:
            on_entries(run, entries[-1:])
            on_entries(run, entries)  # again

        with (
            mock.patch.object(_process.Process, "_sweep"),
            mock.patch.object(runs._process()._watch, "_on_entries", tell),
            mock.patch.object(*self.POLL, 0.1),
        ):
            got = b""
            for index in range(2, 40):
                writer.append(token(index))
                if index % 5 == 0:
                    writer.flush()
            while len(got) < len(tokens(38, 2)):
                got += next(follower)
        self.assertEqual(got, tokens(38, 2))

    def test_a_frame_that_goes_while_it_is_looked_for(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        with mock.patch.object(_feed, "_WINDOW_BYTES", 300):
            runs = self.open()
            slow, quick = runs.run("run").follow(), runs.run("run").follow()
            self.assertEqual((next(slow), next(quick)), (tokens(1), tokens(1)))
            writer.append(token(2))
            self.assertEqual(next(quick), tokens(1, 2))
            feed = runs._process()._feeds["run"]
            read = feed._read

            def reading(*args: Any) -> Any:
                patch.stop()
                for index in range(3, 9):
                    writer.append(token(index))
                    self.assertEqual(next(quick), tokens(1, index))
                return read(*args)

            patch = mock.patch.object(feed, "_read", reading)
            patch.start()
            self.assertEqual(next(slow), tokens(7, 2))

    def test_a_long_way_to_catch_up(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=SHORT)
        follower = self.follow_first(runs)
        with self.quiet(), mock.patch.object(_process, "PAGE_BYTES", 300):
            for index in range(2, 50):
                writer.append(token(index))
            got = b""
            while len(got) < len(tokens(48, 2)):
                got += next(follower)
        self.assertEqual(got, tokens(48, 2))

    def test_what_was_evicted_before_it_was_told(self) -> None:
        writer = self.open(max_events=2).create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        follower = self.follow_first(runs)
        with self.quiet(), mock.patch.object(_process.Process, "_sweep"):
            for index in range(2, 9):
                writer.append(token(index))
            writer.flush()
        with self.assertRaises(CursorExpired):
            next(follower)
        again = runs.run("run").follow("run:6")
        self.assertEqual(next(again), tokens(2, 7))

    def test_a_watch_that_rests_begins_anew(self) -> None:
        runs = self.open(lease=SHORT)
        feeds = runs._process()._feeds
        for index in range(1, 4):
            writer = self.open().create(f"run{index}")
            writer.append(token(1))
            writer.flush()
            follower = runs.run(f"run{index}").follow()
            self.assertEqual(next(follower), tokens(1, run=f"run{index}"))
            writer.append(token(2))
            self.assertEqual(next(follower), tokens(1, 2, run=f"run{index}"))
            follower.close()
            until(lambda: not feeds)


class DeadWriters(Case):
    @needs.processes
    def test_the_run_of_a_killed_writer_is_closed(self) -> None:
        process = self.process(
            """
            writer = runs.create("run")
            writer.append(token(1))
            writer.flush()
            print("ready", flush=True)
            sys.stdin.read()
            """
        )
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "ready\n")
        followers = [self.open().run("run").follow() for _ in range(2)]
        reader = Reader(check=False)
        self.assertEqual(len(reader.feed(next(followers[0]))), 1)
        self.assertEqual(next(followers[1]), tokens(1))
        time.sleep(2 * LEASE)  # alive, and silent
        self.assertEqual(self.texts(), [to_json(token(1))])
        process.send_signal(signal.SIGKILL)
        process.wait()
        for follower in followers:
            self.assertEqual(list(follower), [])
            self.assertTrue(follower.has_all)
        reader = Reader(last_event_id="run:1")
        with self.assertRaises(TruncatedStream):
            reader.close()
        self.assertEqual(self.texts(), [to_json(token(1)), "closed"])

    @needs.processes
    def test_a_writer_that_was_stopped_and_goes_on_is_fenced(self) -> None:
        process = self.process(
            """
            writer = runs.create("run")
            writer.append(token(1))
            writer.flush()
            print("ready", flush=True)
            sys.stdin.readline()
            try:
                writer.append(token(2))
                writer.close()
            except Fenced:
                print("fenced")
            """
        )
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGSTOP)
        self.assertEqual(list(self.open().run("run").follow()), [tokens(1)])
        process.send_signal(signal.SIGCONT)
        out, errors = process.communicate("go\n")
        self.assertEqual((out, errors), ("fenced\n", ""))
        self.assertEqual(self.texts(), [to_json(token(1)), "closed"])

    def test_three_looks_in_a_row(self) -> None:
        """What is wrong with the clock, or the looker, closes no run whose writer lives."""
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=SHORT)
        store = runs._process().store
        look = store.look
        ages = iter((9.0, 9.0, 0.0, 9.0, 9.0, StoreUnavailable("x"), 9.0, 9.0, 0.0))
        looks: list[object] = []

        def looking(names: Sequence[str]) -> Any:
            age = next(ages, 0.0)
            looks.append(age)
            if isinstance(age, Exception):
                raise age
            return [state._replace(age=age) for state in look(names)]  # type: ignore[union-attr]

        with (
            mock.patch.object(store, "look", looking),
            mock.patch.object(store, "close_if_dead") as close,
        ):
            runs.run("run").follow()
            follower = runs.run("run").follow()
            until(lambda: len(looks) > 9)
            close.assert_not_called()
            follower.close()

    def test_the_lease_is_compared_when_the_run_is_closed(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=SHORT)
        store = runs._process().store
        look = store.look
        closes: list[object] = []
        close = store.close_if_dead

        def closing_it(*args: Any) -> None:
            close(*args)
            closes.append(args)

        with (
            mock.patch.object(
                store,
                "look",
                lambda names: [state._replace(age=9.0) for state in look(names)],  # type: ignore[union-attr]
            ),
            mock.patch.object(store, "close_if_dead", closing_it),
        ):
            follower = runs.run("run").follow()
            until(lambda: len(closes) > 1)
            writer.append(token(2))
            writer.append(END)
            got = b"".join(follower)
        self.assertEqual(got, tokens(2) + frame("run:2.1", END))

    def test_who_cannot_write_says_nothing_of_who_does_not(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open()
        follower = runs.run("run").follow()
        self.assertEqual(next(follower), tokens(1))
        with self.locked():
            time.sleep(3 * LEASE)
        writer.append(token(2))
        self.assertEqual(next(follower), tokens(1, 2))
        writer.flush()

    def test_a_writer_whose_events_do_not_fit_keeps_its_lease(self) -> None:
        runs = self.open()
        writer = runs.create("run")
        writer.append(token(1))
        writer.flush()
        store = runs._process().store
        append = store.append
        beats: list[object] = []

        def appending(appends: Sequence[Any]) -> Any:
            if any(each.entries for each in appends):
                raise StoreUnavailable("the disk is full")
            beats.append(appends)
            return append(appends) if len(beats) > 1 else [StoreUnavailable("x") for _ in appends]

        follower = self.follow_first(self.open())
        with mock.patch.object(store, "append", appending):
            for index in range(2, 5):
                writer.append(token(index))
            runs.create("other").append(START)
            until(lambda: len(beats) > 9)
            with mock.patch.object(store, "append", side_effect=StoreUnavailable("x")) as broken:
                until(lambda: broken.call_count > 3)
        writer.flush()
        writer.close()
        self.assertEqual(b"".join(follower), tokens(3, 2))

    def test_a_run_that_ended_is_not_closed(self) -> None:
        with self.open(lease=SHORT).create("run") as writer:
            writer.append(END)
        runs = self.open(lease=SHORT)
        follower = runs.run("run").follow("run:0.1")
        with mock.patch.object(runs._process().store, "look", wraps=None) as look:
            look.side_effect = runs._process().store.__class__.look.__get__(runs._process().store)
            until(lambda: look.call_count > 8)
        self.assertTrue(follower.has_all)
        self.assertEqual(self.texts(), [to_json(END)])


class Trouble(Case):
    def test_followers_are_told_that_the_store_does_not_answer(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=SHORT, timeout=0.1)
        follower = runs.run("run").follow()
        self.assertEqual(next(follower), tokens(1))
        with self.locked(), self.assertRaisesRegex(StoreUnavailable, self.LOCKED):
            next(follower)
        until(lambda: runs._process()._feeds["run"].trouble is None)
        writer.append(token(2))
        self.assertEqual(next(follower), tokens(1, 2))

    def test_a_run_that_cannot_be_looked_at_is_trouble_of_its_followers_alone(self) -> None:
        writers = [self.open().create(name) for name in ("good", "bad")]
        for writer in writers:
            writer.append(token(1))
            writer.flush()
        runs = self.open(lease=SHORT)
        store = runs._process().store
        look = store.look

        def looking(names: Sequence[str]) -> Any:
            states = zip(names, look(names), strict=True)
            return [ValueError("x") if name == "bad" else state for name, state in states]

        good, bad = (runs.run(name).follow() for name in ("good", "bad"))
        self.assertEqual(next(good), tokens(1, run="good"))
        self.assertEqual(next(bad), tokens(1, run="bad"))
        with mock.patch.object(store, "look", looking):
            with self.assertRaisesRegex(StoreUnavailable, "ValueError: x"):
                next(bad)
            writers[0].append(token(2))
            self.assertEqual(next(good), tokens(1, 2, run="good"))

    def test_reads_that_fail(self) -> None:
        with self.open().create("run") as writer:
            for index in range(1, 2000):
                writer.append(token(index))
        runs = self.open(timeout=0.1)
        store = runs._process().store
        follower = runs.run("run").follow()
        got = next(follower)
        with mock.patch.object(store, "read", side_effect=StoreUnavailable("x")):
            self.assert_refused(StoreUnavailable, "x", runs.run("run").after)
            self.assert_refused(StoreUnavailable, "x", next, follower)
        self.assertEqual(got + b"".join(follower), tokens(1999))

    def test_a_read_that_fails_once_is_done_again(self) -> None:
        with self.open().create("run") as writer:
            writer.append(token(1))
        runs = self.open()
        store = runs._process().store
        read = store.read
        answers: list[Exception] = [StoreUnavailable("x"), StoreUnavailable("x")]

        def reading(*args: Any) -> Any:
            if answers:
                raise answers.pop()
            return read(*args)

        with mock.patch.object(store, "read", reading):
            self.assertEqual(runs.run("run").after(), tokens(1))

    def test_a_watch_that_fails(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=SHORT)
        follower = self.follow_first(runs)
        watch = runs._process()._watch
        with mock.patch.object(watch, "wait", side_effect=StoreUnavailable("x")):
            writer.append(token(2))
            self.assertEqual(next(follower), tokens(1, 2))
        with (
            mock.patch.object(watch, "wait", side_effect=ZeroDivisionError("x")),
            self.assertRaisesRegex(StoreUnavailable, "ZeroDivisionError: x"),
        ):
            next(follower)
        writer.close()

    def test_a_catch_up_that_fails_is_done_again(self) -> None:
        writer = self.open().create("run")
        writer.append(token(1))
        writer.flush()
        runs = self.open(lease=SHORT)
        follower = self.follow_first(runs)
        process = runs._process()
        read_on = process._read_on
        failures = [StoreUnavailable("x")]

        def failing(*args: Any) -> None:
            if failures:
                raise failures.pop()
            read_on(*args)

        with mock.patch.object(process, "_read_on", failing), self.quiet():
            process._catch_up_soon(process._feeds["run"])
            until(lambda: not failures)
            writer.append(token(2))
            self.assertEqual(next(follower), tokens(1, 2))


class OnTheWeb(Case):
    def test_the_answers(self) -> None:
        with self.open().create("run") as writer:
            writer.append(token(1))
        writer = self.open(max_events=1).create("short")
        writer.append(token(1))
        writer.append(token(2))
        writer.append(token(3))
        writer.flush()
        runs = self.open()
        for name, id, status, text in (
            ("run", "", 200, tokens(1)),
            ("run", "run:1", 204, b""),
            ("run", "run:7", 404, b"this run has not given the id 'run:7'"),
            ("run", "17", 404, b"expected an id of this run, such as 'run:17', got '17'"),
            ("other", "", 404, b"the store has no run 'other'"),
            ("a b", "", 404, b"the store has no run 'a b'"),
            ("short", "", 410, b"the frames from the beginning are not all kept"),
        ):
            with self.subTest(name, id=id):
                answer = web.response(runs.run(name), id, wait=0)
                self.assertEqual(answer.status, status)
                self.assertTrue(b"".join(answer.body).startswith(text))
        with mock.patch.object(runs._process().store, "read", side_effect=ValueError("secret")):
            answer = web.response(runs.run("run"), wait=0)
            body = b"".join(answer.body)
        self.assertEqual(answer.status, 200)
        self.assertIn(b": the run's store does not answer: come again", body)
        runs.disconnect()
        self.assertIn(
            b": the server is shutting down", b"".join(web.response(runs.run("run")).body)
        )


class Processes(Case):
    @needs.processes
    def test_several_write_and_many_follow(self) -> None:
        writers, names, count = 3, rounds(4, 40), rounds(50, 300)
        code = """
            names = sys.argv[3].split(",")
            writers = [runs.create(name) for name in names]
            print("ready", flush=True)
            sys.stdin.readline()
            for index in range(1, int(sys.argv[4]) + 1):
                for writer in writers:
                    writer.append(token(index))
                if index % 10 == 0:
                    time.sleep(0.002)
            for writer in writers:
                writer.append(FlowComplete("Report", "anthropic", True, 0, 0, 0, 1, 2))
                writer.close()
        """
        all_names = [[f"w{w}n{n}" for n in range(names)] for w in range(writers)]
        processes = [self.process(code, ",".join(each), str(count)) for each in all_names]

        async def follow(runs: Runs, name: str) -> None:
            got = await listed(await runs.run(name).afollow(wait=PATIENCE))
            end = frame(f"{name}:{count}.1", END)
            self.assertEqual(b"".join(got), tokens(count, run=name) + end)

        async def main() -> None:
            runs = self.open()
            tasks = [
                asyncio.create_task(follow(runs, name))
                for each in all_names
                for name in each
                for _ in range(3)
            ]
            await asyncio.gather(*tasks)

        for process in processes:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "ready\n")
        following = background(lambda: run(main()))
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        following.result(PATIENCE)

    def test_in_another_process_a_writer_and_a_follower_are_refused(self) -> None:
        runs = self.open()
        writer = runs.create("run")
        writer.append(token(1))
        writer.flush()
        follower = runs.run("run").follow()
        with mock.patch.object(os, "getpid", return_value=-1):
            uses: list[Callable[[], object]] = [
                lambda: writer.append(token(2)),
                writer.flush,
                writer.close,
                lambda: next(follower),
            ]
            for use in uses:
                with self.assertRaisesRegex(RuntimeError, "the process that this one was forked"):
                    use()
            self.assertEqual(runs.run("run").after(), tokens(1))
            runs._processes[-1].close()
        self.assertEqual(next(follower), tokens(1))

    @needs.processes
    @unittest.skipUnless(hasattr(os, "fork"), "needs os.fork")
    def test_a_fork_goes_on_with_its_own(self) -> None:
        process = self.process(
            """
            import warnings
            warnings.simplefilter("ignore")
            writer = runs.create("parent")
            writer.append(token(1))
            writer.flush()
            follower = runs.run("parent").follow()
            next(follower)
            pid = os.fork()
            if pid == 0:
                for use in (lambda: writer.append(token(9)), writer.flush, writer.close,
                            lambda: next(follower)):
                    try:
                        use()
                    except RuntimeError as error:
                        print(error)
                with runs.create("child") as own:
                    own.append(token(1))
                print(runs.run("parent").events() == [token(1)])
                print(next(runs.run("parent").follow()) != b"", flush=True)
                sys.exit()
            os.waitpid(pid, 0)
            writer.append(token(2))
            print(next(follower).count(b"data"))
            writer.close()
            runs.close()
            """
        )
        out, errors = process.communicate()
        self.assertEqual(errors, "")
        refusal = (
            "this belongs to the process that this one was forked from: call create, resume or"
            " follow in the process that uses it\n"
        )
        self.assertEqual(out, 4 * refusal + "True\nTrue\n1\n")
        self.assertEqual(self.open().run("child").after(), tokens(1, run="child"))

    @needs.processes
    @unittest.skipUnless(hasattr(os, "fork"), "needs os.fork")
    def test_forks_in_the_middle_of_calls_of_the_store(self) -> None:
        process = self.process(
            """
            import faulthandler, warnings
            warnings.simplefilter("ignore")
            writer = runs.create("parent")
            writer.append(token(1))
            follower = runs.run("parent").follow(wait=60)
            count, is_over = 1, False
            def write():
                global count
                while not is_over:
                    count += 1
                    writer.append(token(count))
                    writer.flush()
            def read():
                while not is_over:
                    runs.run("parent").after(f"parent:{count - 1}")
            threads = [threading.Thread(target=each) for each in (write, read)]
            for thread in threads:
                thread.start()
            for number in range(8):
                pid = os.fork()
                if pid == 0:
                    faulthandler.dump_traceback_later(20, exit=True)
                    with runs.create(f"child{number}") as own:
                        own.append(token(1))
                    next(runs.run(f"child{number}").follow())
                    runs.close()
                    os._exit(0)
                print(os.waitpid(pid, 0)[1])
            is_over = True
            for thread in threads:
                thread.join()
            writer.close()
            print(b"".join(follower).count(b"data: ") == count)
            runs.close()
            """
        )
        out, errors = process.communicate()
        self.assertEqual((errors, out), ("", 8 * "0\n" + "True\n"))


if __name__ == "__main__":
    unittest.main()
