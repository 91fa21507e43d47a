# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The SQLite store: what it promises to the core, and its file."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import FlowStart, StepToken
from axon_events.runs import RunExists, RunUnknown, StoreUnavailable, sqlite
from axon_events.runs._store import BEGINNING, NOWHERE, Append, End
from axon_events.runs.sqlite import SqliteRuns, holds_runs, silent_for

from . import PACKAGE, ROOT, needs, stores
from .stores import entry
from .threads import PATIENCE, background, end_if_it_hangs


def setUpModule() -> None:
    end_if_it_hangs()


def token(index: int, content: str = "") -> StepToken:
    return StepToken("Summarise", content, index, 0)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it does not come")
        time.sleep(0.005)


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "runs.db")

    def store(self, **options: Any) -> sqlite._Store:
        settings: Any = {"ttl": 60.0, "lease": 15.0, "durable": False, **options}
        store = sqlite._Store(str(self.path), **settings)
        self.addCleanup(store.close)
        return store

    def runs(self, **options: Any) -> SqliteRuns:
        runs = SqliteRuns(self.path, **options)
        self.addCleanup(runs.close)
        return runs

    def execute(self, *command: Any) -> list[Any]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as connection:
            return connection.execute(*command).fetchall()

    def let_pass(self, seconds: float) -> None:
        """Have all writers be silent for so many seconds more."""
        self.execute("UPDATE run SET beat = beat - ?", (seconds,))


class Promises(Case, stores.Promises):
    pass


class Leases(Case):
    def test_a_clock_that_was_set_back(self) -> None:
        store = self.store()
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        self.let_pass(-100)
        self.assertGreater(store.look(["run"])[0].age, 50.0)

    @needs.processes
    def test_who_has_no_room_to_write_says_nothing_of_who_does_not(self) -> None:
        import resource  # which Windows does not have

        store = self.store()
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.let_pass(20)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(self.path), limits[1]))
        with self.assertRaises(StoreUnavailable):
            store.look(["run"])
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertGreater(store.look(["run"])[0].age, 15.0)

    def test_the_time_to_live(self) -> None:
        store = self.store(ttl=60.0)
        for name in ("old", "new"):
            store.append([Append(name, NOWHERE, [entry((0, 1))], None)])
            self.let_pass(40)
        self.assertIsNone(store.read("old", BEGINNING, 1000))
        self.assertEqual(store.look(["old"])[0].end, NOWHERE)
        self.assertEqual([name for name, _ in store.infos()], ["new"])
        # Another one of that name is another one.
        store.append([Append("old", NOWHERE, [entry((0, 1)), entry((0, 2), (0, 1))], None)])
        page = store.read("old", BEGINNING, 1000)
        assert page is not None
        self.assertEqual(len(page.entries), 2)
        self.assertEqual(len(self.execute("SELECT * FROM entry")), 3)

    def test_expired_runs_are_removed(self) -> None:
        store = self.store(ttl=60.0)
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        self.let_pass(61)
        store.look([])
        self.assertEqual(len(self.execute("SELECT * FROM entry")), 1)
        with mock.patch.object(sqlite, "_PURGE_SECONDS", 0.0):
            self.store().look([])
        self.assertEqual(self.execute("SELECT * FROM entry"), [])
        self.assertEqual(self.execute("SELECT * FROM run"), [])


class Watching(Case):
    def test_what_is_appended_is_told(self) -> None:
        told: list[Any] = []
        store, other = self.store(), self.store()
        watch = store.watch(lambda *args: told.append(args))
        watch.add("run")
        first = [entry((0, 1)), entry((0, 2), (0, 1))]
        other.append([Append("run", NOWHERE, first, None)])
        watch.wait(PATIENCE)
        self.assertEqual(told, [("run", ())])  # it begins: what came before is to be read
        watch.wait(0)
        self.assertEqual(told[1:], [])
        more = [entry((1, 0), (0, 2)), entry((2, 0), (1, 0))]
        with mock.patch.object(sqlite, "_FETCHED", 2):
            other.append([Append("other", NOWHERE, first, None)])
            other.append([Append("run", End((0, 2), "w"), more, None)])
            watch.wait(PATIENCE)
        self.assertEqual(told[1:], [("run", more)])
        other.append([Append("run", End((2, 0), "w"), [], None)])  # a heartbeat
        watch.remove("run")
        watch.remove("run")
        watch.add("other")
        watch.wait(0)
        self.assertEqual(told[2:], [("other", ())])
        watch.close()

    def test_one_that_waits(self) -> None:
        told = threading.Event()
        store, other = self.store(), self.store()
        watch = store.watch(lambda run, entries: told.set() if entries else None)
        self.addCleanup(watch.close)
        watch.add("run")
        watch.wait(0)
        other.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        while not told.is_set():
            watch.wait(PATIENCE)

    def test_one_that_was_never_used(self) -> None:
        self.store().watch(lambda *args: None).close()


class File(Case):
    def test_the_path(self) -> None:
        bad: Any
        for bad in ("", ":memory:"):
            with self.assertRaisesRegex(ValueError, "^path must be that of a file, got "):
                SqliteRuns(bad)
        for bad in (b"x", os.fsencode(self.path)):
            with self.assertRaisesRegex(TypeError, "^path must be a str or a path of str, got byt"):
                SqliteRuns(bad)
        with self.assertRaises(TypeError):
            SqliteRuns(7)  # type: ignore[arg-type]

    @needs.threads
    def test_the_working_directory_may_change(self) -> None:
        folder = os.getcwd()
        self.addCleanup(os.chdir, folder)
        os.chdir(self.path.parent)
        runs = SqliteRuns(self.path.name)
        os.chdir(folder)
        with runs, runs.create("run") as writer:
            writer.append(token(1))
        self.assertTrue(self.path.exists())

    def test_the_settings_of_a_connection(self) -> None:
        for durable, synchronous in ((False, 1), (True, 2)):
            with closing(self.store(durable=durable).connect()) as connection:
                for name, value in (
                    ("journal_mode", "wal"),
                    ("synchronous", synchronous),
                    ("journal_size_limit", 4 * 2**20),
                    ("user_version", 1),
                ):
                    self.assertEqual(
                        connection.execute(f"PRAGMA {name}").fetchone(), (value,), name
                    )

    @needs.threads
    def test_what_is_no_file_of_runs(self) -> None:
        self.path.write_bytes(b"no database, but a text of some length" * 100)
        with self.assertRaises(StoreUnavailable) as raised:
            self.runs().create("run")
        path = str(self.path)
        text = f"the store has failed: DatabaseError: {path!r}: file is not a database"
        self.assertEqual(str(raised.exception), text)

    @needs.threads
    def test_a_file_of_another_form(self) -> None:
        self.execute("PRAGMA user_version = 7")
        with self.assertRaisesRegex(
            StoreUnavailable, "expected a file of runs in the form 1, .*or of the form 7$"
        ):
            self.runs().run("run").after()

    @needs.threads
    def test_a_database_of_something_else(self) -> None:
        for version in (0, 1):
            with self.subTest(version), closing(sqlite3.connect(self.path)) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS run (x)")
                connection.execute(f"PRAGMA user_version = {version}")
                self.assertFalse(holds_runs(self.path))
                with self.assertRaisesRegex(
                    StoreUnavailable,
                    "expected a file of runs in the form 1, got a database of something else",
                ):
                    self.runs().create("run")
                tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
                self.assertEqual(tables, [("run",)])
                (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
                self.assertEqual(mode, "delete")

    @needs.threads
    def test_a_folder_that_is_not_there(self) -> None:
        """That each use says so at once, also in a loop, until it is there."""
        folder = self.path.parent / "x"
        path = str(folder / "runs.db")
        text = f"the file {path!r} cannot be made: there is no folder {str(folder)!r}"
        with SqliteRuns(path, timeout=1e6) as runs:  # nothing here waits
            uses: dict[str, Callable[[], object]] = {
                "create": lambda: runs.create("run"),
                "acreate": lambda: asyncio.run(runs.acreate("run")),
                "infos": runs.infos,
                "follow": lambda: runs.run("run").follow(wait=1e6),
            }
            for name, use in uses.items():
                with self.subTest(name), self.assertRaises(StoreUnavailable) as raised:
                    use()
                self.assertEqual(str(raised.exception), text)
            runs.disconnect()
            folder.mkdir()
            self.assertEqual([*runs.infos()], [])

    @needs.threads
    def test_a_file_that_does_not_open(self) -> None:
        self.path.mkdir()
        text = f"the file {str(self.path)!r} does not answer: unable to open database file"
        with self.assertRaises(StoreUnavailable) as raised:
            self.runs(timeout=0.05).create("run")
        self.assertEqual(str(raised.exception), text)

    @needs.threads
    def test_the_log_file_stays_small(self) -> None:
        with self.runs() as runs, runs.create("run") as writer:
            for _ in range(20):
                for index in range(100):
                    writer.append(token(index, "x" * 5000))
                writer.flush()
            size = os.path.getsize(f"{self.path}-wal")
        self.assertLess(size, 8 * 2**20)

    @needs.processes
    @needs.threads
    def test_a_writer_that_is_killed_leaves_whole_events(self) -> None:
        code = """
            import sys
            from axon_events import StepToken
            from axon_events.runs.sqlite import SqliteRuns
            runs = SqliteRuns(sys.argv[1])
            writer = runs.create("run")
            for index in range(1, 10**9):
                writer.append(StepToken("Summarise", "x" * 1000, index, 0))
                if index % 100 == 0:
                    writer.flush()
                    print(index, flush=True)
        """
        code = textwrap.dedent(code).replace("axon_events", PACKAGE)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(self.path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdout is not None
        with process.stdout:
            stored = [int(process.stdout.readline()) for _ in range(3)][-1]
            process.send_signal(signal.SIGKILL)
            process.wait()
        writer, events = self.runs().resume("run")
        self.assertGreaterEqual(len(events), stored)
        expected = [token(index, "x" * 1000) for index in range(1, len(events) + 1)]
        self.assertEqual(events, expected)
        writer.append(token(len(events) + 1))
        writer.close()

    @needs.threads
    def test_a_fork_waits_for_calls_and_closes_all_connections(self) -> None:
        told: list[Any] = []
        store = self.store()
        watch = store.watch(lambda *args: told.append(args))
        watch.add("run")
        watch.wait(0)
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        in_call, may_end = threading.Event(), threading.Event()
        order: list[str] = []

        def call() -> None:
            with sqlite._calls:
                in_call.set()
                may_end.wait(PATIENCE)
                order.append("call")

        def fork() -> None:
            sqlite._calls._begin_fork()
            order.append("fork")
            self.assertEqual(store._free, [])
            self.assertIsNone(watch._connection)
            sqlite._calls._end_fork()

        def late() -> None:
            store.read("run", BEGINNING, 1)
            order.append("late")

        calling = background(call)
        in_call.wait(PATIENCE)
        forking = background(fork)
        until(lambda: sqlite._calls._is_forking)
        reading = background(late)
        until(lambda: len(sqlite._calls._condition._waiters) > 1)  # type: ignore[attr-defined]
        may_end.set()
        for each in (calling, forking, reading):
            each.result(PATIENCE)
        self.assertEqual(order, ["call", "fork", "late"])
        watch.wait(PATIENCE)
        self.assertEqual(told, [("run", ()), ("run", [entry((0, 1))])])
        watch.close()

    @needs.threads
    def test_a_lock_of_another_process_is_waited_for(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            runs = self.runs()
            with self.assertRaises(RunUnknown):
                runs.run("run").after()
            connection.execute("BEGIN IMMEDIATE")
            writer = runs.create("run")  # reading goes on
            writer.append(token(1))
            time.sleep(0.05)
            connection.execute("COMMIT")
            writer.close()
        with self.assertRaises(RunExists):
            runs.create("run")


@needs.threads
class Holding(Case):
    """Whether a file is one of runs."""

    def test_each_kind_of_file_and_none_is_changed(self) -> None:
        with self.runs() as runs:
            self.assertEqual([*runs.infos()], [])
        self.assertTrue(holds_runs(self.path))
        folder = self.path.parent
        (folder / "text").write_bytes(b"no database\n" * 10)
        (folder / "empty").touch()
        for name, table in (("other", "run"), ("another", "entry")):
            with closing(sqlite3.connect(folder / name)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA user_version = 1")
                connection.execute(f"CREATE TABLE {table} (x)")
        before = {path: path.read_bytes() for path in folder.iterdir()}
        for name in ("text", "empty", "other", "another"):
            self.assertFalse(holds_runs(folder / name), name)
        for name in ("missing", ""):
            with self.assertRaisesRegex(StoreUnavailable, "^the file '.*' does not answer: una"):
                holds_runs(folder / name)
        self.assertEqual({path: path.read_bytes() for path in folder.iterdir()}, before)

    def test_while_it_is_written(self) -> None:
        with self.runs() as runs, runs.create("run") as log:
            log.append(FlowStart("Report", "anthropic", 0))
            log.flush()
            self.assertTrue(holds_runs(self.path))

    @mock.patch.object(sqlite, "_BUSY_SECONDS", 0.01)
    def test_a_lock(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE run (x)")
            connection.execute("BEGIN EXCLUSIVE")
            with self.assertRaisesRegex(StoreUnavailable, "database is locked$"):
                holds_runs(self.path)


@needs.threads
class Silence(Case):
    """How long a run has had no sign of its writer."""

    def test_it_is_told_after_the_lease(self) -> None:
        with self.runs(lease=60.0, ttl=600.0) as runs, runs.create("run") as log:
            log.append(FlowStart("Report", "anthropic", 0))
            log.flush()
            self.assertIsNone(silent_for(self.path, "run"))
            self.assertIsNone(silent_for(self.path, "none"))
            with (
                closing(sqlite3.connect(self.path)) as live,
                closing(sqlite3.connect(self.path.with_name("copy"))) as copy,
            ):
                live.backup(copy)  # to which the writer gives no sign
                with copy:
                    copy.execute("UPDATE run SET beat = beat - 100")
            silence = silent_for(self.path.with_name("copy"), "run")
            self.assertIsNotNone(silence)
            self.assertGreaterEqual(silence or 0.0, 100.0)


if __name__ == "__main__":
    unittest.main()
