# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs of a SQLite store in `check` and `show`: what is read, what is said, and nothing changed."""

import json
import os
import sqlite3
import tempfile
import unittest
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from unittest import mock

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepStart,
    StepToken,
    jsonl,
    order,
    to_dict,
)
from axon_events.cli import store
from axon_events.replay import StoreUnavailable
from axon_events.runs import RunInfo
from axon_events.runs.sqlite import SqliteRuns

from . import CORPUS, PACKAGE, needs
from .terminal import Run
from .test_cli_page import Elements
from .threads import end_if_it_hangs

START = FlowStart("Report", "anthropic", 1000)
STEP = StepStart("Draft", 0, "generate", 1001)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 500, 1500)
ERROR = FlowError("Report", "no room", 1500)
NO_BEGINNING = "the store has not kept the beginning of the run"
NOT_ENDED = "the run has not ended yet, as far as the store knows"
CLOSED = "the run was closed without its end: its writer left or died"
DIED = "its writer was last heard of 3h00m ago: it has probably died, and nobody has closed the run"


def setUpModule() -> None:
    end_if_it_hangs()


def tokens(number: int) -> list[Event]:
    return [StepToken("Draft", "x", index, 1100) for index in range(1, number + 1)]


def recorded(name: str) -> list[Event]:
    with (CORPUS / "recorded" / name).open("rb") as file:
        return list(jsonl.read(file))


@needs.threads
class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "runs.db"

    def store(
        self, events: Sequence[Event], run: str = "run-7", max_events: int | None = None
    ) -> None:
        """Store a whole run, and close the store."""
        with SqliteRuns(self.path, max_events=max_events) as runs, runs.create(run) as log:
            for event in events:
                log.append(event)
                log.flush()

    def of(self, run: str) -> str:
        return f"{self.path}#{run}"

    def begun(self, *events: Event, run: str = "run-7") -> None:
        """Store a run whose writer lives until the test ends."""
        runs = SqliteRuns(self.path)
        self.addCleanup(runs.close)
        log = runs.create(run)
        for event in events:
            log.append(event)
        log.flush()

    def abandoned(self, *events: Event, run: str = "run-7") -> None:
        """Store a run whose writer gave its last sign three hours ago."""
        with tempfile.TemporaryDirectory() as folder:
            live = Path(folder, "live.db")
            with SqliteRuns(live, ttl=86400) as runs, runs.create(run) as log:
                for event in events:
                    log.append(event)
                log.flush()
                # As a crash of the machine leaves it: this writer goes on in the other file.
                with (
                    closing(sqlite3.connect(live)) as source,
                    closing(sqlite3.connect(self.path)) as copy,
                ):
                    source.backup(copy)
                    with copy:
                        copy.execute("UPDATE run SET beat = beat - 10800")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


class Check(Case):
    def test_a_run_is_checked_as_a_file_of_its_events_is(self) -> None:
        for name in ("report", "failed", "unstreamed"):
            events = recorded(f"{name}.jsonl")
            self.store(events, name)
            run, file = (
                Run("check", self.of(name)),
                Run("check", CORPUS / "recorded" / f"{name}.jsonl"),
            )
            self.assertEqual((run.status, run.err), (0, ""))
            self.assertEqual(
                run.out.partition("#")[2], file.out.partition("recorded/")[2].replace(".jsonl", "")
            )

    def test_a_violation_has_the_number_of_its_event(self) -> None:
        self.store([START, STEP, STEP, END])
        run = Run("check", self.of("run-7"))
        self.assertEqual((run.status, run.err), (1, ""))
        self.assertRegex(run.out, r"^.*runs\.db#run-7:3: step-repeated: event 2 ")

    def test_a_run_that_was_closed_without_an_end_is_truncated(self) -> None:
        self.store([START])
        run = Run("check", self.of("run-7"))
        self.assertEqual(run.status, 1)
        (violation,) = order.check([START])
        self.assertEqual(
            run.out.replace(str(self.path), "runs.db"),
            f"runs.db#run-7: {CLOSED}\n"
            f"runs.db#run-7:1: not-terminated: {violation.message}\n"
            "runs.db#run-7: truncated: 1 event, 1 violation\n",
        )

    def test_a_run_that_is_written_is_said_to_be(self) -> None:
        self.begun(START)
        run = Run("check", self.of("run-7"))
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.splitlines()[0], f"{self.of('run-7')}: {NOT_ENDED}")
        self.assertIn(":1: not-terminated: ", run.out)
        result = json.loads(Run("check", "--json", self.of("run-7")).out)
        self.assertEqual(result["notes"], [{"file": self.of("run-7"), "message": NOT_ENDED}])

    def test_a_run_whose_writer_has_died_is_said_to_be(self) -> None:
        self.abandoned(START)
        run = Run("check", self.of("run-7"))
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.splitlines()[0], f"{self.of('run-7')}: {DIED}")

    def test_a_beginning_that_is_not_kept_is_no_violation(self) -> None:
        self.store([START, STEP, *tokens(9), ERROR], max_events=3)
        run = Run("check", self.of("run-7"))
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertEqual(
            run.out.replace(str(self.path), "runs.db"),
            f"runs.db#run-7: {NO_BEGINNING}\nruns.db#run-7: failed: 3 events, 0 violations\n",
        )

    def test_a_gap_after_a_beginning_that_is_not_kept_is_one(self) -> None:
        self.store([START, STEP, *tokens(5), StepToken("Draft", "x", 7, 1100), ERROR], max_events=3)
        run = Run("check", self.of("run-7"))
        self.assertEqual(run.status, 1)
        self.assertIn("#run-7:2: token-gap: ", run.out)

    def test_another_flow_after_such_a_beginning_has_its_own(self) -> None:
        self.store(
            [START, STEP, StepToken("Draft", "x", 1, 1100), START, STEP, ERROR], max_events=4
        )
        run = Run("check", "--many", self.of("run-7"))
        self.assertEqual(run.status, 1)  # the first flow has no end
        self.assertNotIn("not-started", run.out)
        self.assertNotIn("restarted", run.out)

    def test_a_run_that_begins_with_something_else_has_its_beginning(self) -> None:
        self.store([STEP, ERROR])
        run = Run("check", self.of("run-7"))
        self.assertEqual(run.status, 1)
        self.assertIn("#run-7:1: flow-not-started: ", run.out)
        self.assertNotIn(NO_BEGINNING, run.out)

    def test_a_run_of_which_no_event_is_kept(self) -> None:
        self.store([START], max_events=1)
        run = Run("check", self.of("run-7"))
        self.assertEqual(run.status, 1)
        self.assertIn(f"#run-7: {NO_BEGINNING}\n", run.out)
        self.assertIn("#run-7: truncated: 0 events, 1 violation\n", run.out)


class Show(Case):
    def test_a_run_is_shown_as_a_file_of_its_events_is(self) -> None:
        file = CORPUS / "recorded" / "report.jsonl"
        self.store(recorded("report.jsonl"))
        for columns in (None, 80):
            runs = [Run("show", path, columns=columns) for path in (file, self.of("run-7"))]
            self.assertEqual([(run.status, run.err) for run in runs], [(0, "")] * 2)
            self.assertEqual(runs[0].out, runs[1].out)

    def test_a_run_that_is_written_is_open_and_no_fault(self) -> None:
        self.begun(START, STEP)
        run = Run("show", self.of("run-7"))
        self.assertEqual((run.status, run.err), (0, ""))
        note, *_, outcome = run.out.splitlines()
        self.assertEqual(note, f"{self.of('run-7')}: {NOT_ENDED}")
        self.assertEqual(
            outcome, "open: the run has not ended yet: 1 step, 0 tokens, 0 tool calls in 0.001s"
        )
        with mock.patch.dict(os.environ, {"NO_COLOR": "", "TERM": "xterm"}):
            run = Run("show", self.of("run-7"), columns=80)
        self.assertEqual(run.status, 0)
        self.assertIn("\x1b[1mReport\x1b[m\x1b[33m: open\x1b[m\n", run.out)
        self.assertIn("\x1b[33mopen: the run has not ended yet: ", run.out)

    def test_a_run_that_was_closed_without_an_end_is_truncated(self) -> None:
        self.store([START, STEP])
        run = Run("show", self.of("run-7"))
        self.assertEqual(run.status, 1)
        self.assertTrue(run.out.startswith(f"{self.of('run-7')}: {CLOSED}\n"), run.out)
        self.assertIn("\ntruncated: ", run.out)

    def test_a_run_whose_writer_has_died_is_said_to_be(self) -> None:
        self.abandoned(START)
        run = Run("show", self.of("run-7"))
        self.assertEqual(run.status, 0)
        self.assertTrue(run.out.startswith(f"{self.of('run-7')}: {DIED}\n"), run.out)

    def test_a_run_that_ends_while_it_is_read_is_not_open(self) -> None:
        self.begun(START, END)
        infos = [RunInfo("run-7", "flow_start", 1000, False)]  # from before its end
        with mock.patch.object(SqliteRuns, "infos", return_value=iter(infos)):
            run = Run("show", self.of("run-7"))
        self.assertEqual(run.status, 0)
        self.assertNotIn(NOT_ENDED, run.out)

    def test_a_beginning_that_is_not_kept_is_said_to_be(self) -> None:
        self.store([START, STEP, *tokens(9), ERROR], max_events=3)
        run = Run("show", self.of("run-7"))
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertTrue(run.out.startswith(f"{self.of('run-7')}: {NO_BEGINNING}\n"), run.out)

    def test_several(self) -> None:
        self.store([START, END], "a")
        self.store([START, ERROR], "b")
        run = Run("show", self.of("a"), self.of("none"), self.of("b"))
        self.assertEqual(run.status, 2)
        self.assertRegex(run.out, "(?s)==> .*#a <==\n.*completed: .*\n\n==> .*#b <==\n.*failed: ")

    def test_a_page(self) -> None:
        page = self.folder / "run.html"
        self.begun(START, STEP, run="open")
        self.store([START, STEP, *tokens(9), ERROR], "late", max_events=3)
        late: list[Event] = [*tokens(9)[-2:], ERROR]
        runs: list[tuple[str, list[Event], str, dict[str, None]]] = [
            ("open", [START, STEP], NOT_ENDED, {"data-open": None}),
            ("late", late, NO_BEGINNING, {}),
        ]
        for name, events, note, attributes in runs:
            run = Run("show", self.of(name), "--html", page)
            self.assertEqual((run.status, run.err), (0, f"{self.of(name)}: {note}\n"))
            elements = Elements(page.read_text("utf-8"))
            self.assertEqual(json.loads(elements.scripts[0]), [to_dict(event) for event in events])
            about = {"type": "application/json", "id": "recording", "data-notes": note}
            self.assertIn(("script", {**about, **attributes}), elements.tags)


class Paths(Case):
    def assert_refused(self, path: object, said: str) -> None:
        for command in ("check", "show"):
            run = Run(command, path)
            self.assertEqual((run.status, run.out), (2, ""))
            self.assertEqual(run.err, f"python -m {PACKAGE}: {said}\n")

    def test_a_file_is_a_file_whatever_its_name_is(self) -> None:
        self.store([START], "run-7")
        path = self.folder / "runs.db#run-7"
        path.write_bytes((CORPUS / "recorded" / "failed.jsonl").read_bytes())
        self.assertEqual(Run("check", path).out, f"{path}: failed: 57 events, 0 violations\n")

    def test_names_with_anything_in_them(self) -> None:
        self.path = self.folder / "a#b%?é\x1b.db"
        for name in ("#", "a#b", "a/b", "%41?", "../x"):
            self.store([START, END], name)
            run = Run("check", self.of(name))
            self.assertEqual(run.status, 0)
            self.assertTrue(
                run.out.endswith(f"a#b%?é\\x1b.db#{name}: completed: 2 events, 0 violations\n"),
                run.out,
            )

    def test_a_run_that_is_not_there_and_those_that_are(self) -> None:
        for number in range(3):
            self.store([FlowStart("Report", "anthropic", number), END], f"run-{number}")
        self.store([FlowError("Report", "x", 9000)], "n" * 70)
        newest = f"{'n' * 59}…, run-0, run-1, run-2"
        said = "the store has no run of that name; it has"
        self.assert_refused(self.of("run-9"), f"{self.of('run-9')}: {said} {newest}")
        self.assert_refused(self.of(""), f"{self.of('')}: {said} {newest}")
        for number in range(3):
            self.store([FlowError("Report", "x", 9500 - number)], f"late-{number}")
        newest = f"late-0, late-1, late-2, {'n' * 59}…, run-0 and 2 more"
        self.assert_refused(
            self.path,
            f"{self.path}: a SQLite file of runs: name a run, {self.path}#NAME; it has {newest}",
        )

    def test_a_store_without_runs(self) -> None:
        with SqliteRuns(self.path) as runs:
            self.assertEqual([*runs.infos()], [])
        self.assert_refused(
            self.of("x"), f"{self.of('x')}: the store has no run of that name; it has none"
        )

    def test_what_is_no_store(self) -> None:
        other = self.folder / "other.db"
        with closing(sqlite3.connect(other)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA user_version = 1")
            connection.execute("CREATE TABLE run (x)")
        (self.folder / "empty").touch()
        (self.folder / "flow.jsonl").write_bytes(b"{}\n" * 100)
        before = self.files()
        for name, got in (
            ("other.db", "another SQLite database"),
            ("empty", "a file of another kind"),
            ("flow.jsonl", "a file of another kind"),
            ("", "a folder"),
        ):
            path = self.folder / name
            expected = f"{path}: expected a SQLite file of runs, got {got}"
            self.assert_refused(f"{path}#run-7", expected)
        self.assert_refused(
            other, f"{other}: expected a SQLite file of runs, got another SQLite database"
        )
        missing = self.folder / "none.db#run-7"
        self.assert_refused(
            missing, f"{missing}: there is no such file, and no store {self.folder}/none.db"
        )
        self.assertEqual(self.files(), before)

    def test_a_store_that_does_not_answer(self) -> None:
        self.store([START])
        down = StoreUnavailable("the file does not answer: it\nis locked")
        said = "the file does not answer: it\\nis locked"
        with mock.patch.object(SqliteRuns, "infos", side_effect=down):
            self.assert_refused(self.of("run-7"), f"{self.path}: {said}")
            self.assert_refused(self.path, f"{self.path}: {said}")
        with mock.patch.object(store, "holds_runs", side_effect=down):
            self.assert_refused(self.of("run-7"), f"{self.path}: {said}")

    def test_reading_changes_nothing(self) -> None:
        self.store([START, STEP])
        before = self.files()
        Run("check", self.of("run-7"))
        Run("show", self.of("run-7"))
        Run("show", self.path)
        self.assertEqual(self.files(), before)
        self.path = self.folder / "died.db"
        self.abandoned(START)
        before = self.files()
        Run("show", self.of("run-7"))
        self.assertEqual(self.files(), before)


if __name__ == "__main__":
    unittest.main()
