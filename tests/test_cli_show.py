# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`show`: a line for each event, and a last line of what happened."""

import itertools
import os
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    to_json,
)
from axon_events.cli import show

from . import CORPUS, PACKAGE
from .terminal import Run, process

START = FlowStart("Report", "anthropic", 1000)
END = FlowComplete("Report", "anthropic", True, 1, 5, 6, 1500, 2500)


def lines(*events: Event) -> bytes:
    return b"".join(to_json(event).encode() + b"\n" for event in events)


class Lines(unittest.TestCase):
    def test_each_event_has_a_line_with_the_time_since_the_start(self) -> None:
        run = Run(
            "show",
            "-",
            stdin=lines(
                START,
                StepStart("Draft", 0, "generate", 1001),
                StepToken("Draft", "Hi\n", 1, 1002),
                ToolCall("Draft", "search", '{"q":1}', 1003),
                StepComplete("Draft", 0, True, "Hi\n", 5, 6, 1004),
                END,
            ),
        )
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertEqual(
            run.out.splitlines(),
            [
                "   +0.000s  flow_start     'Report' on 'anthropic'",
                "   +0.001s  step_start     'Draft' (step 0, 'generate')",
                "   +0.002s  step_token     'Draft' 1: 'Hi\\n'",
                "   +0.003s  tool_call      'Draft' calls 'search': '{\"q\":1}'",
                "   +0.004s  step_complete  'Draft' (step 0) succeeded, 5 tokens in, 6 out:"
                " 'Hi\\n'",
                "   +1.500s  flow_complete  'Report' succeeded, 1 step, 5 tokens in, 6 out,"
                " 1500 ms",
                "completed: 'Report' succeeded: 1 step, 1 token, 1 tool call in 1.500s",
            ],
        )

    def test_a_flow_that_failed(self) -> None:
        run = Run("show", "-", stdin=lines(START, FlowError("Report", "no\nroom", 999)))
        self.assertEqual(run.status, 0)
        self.assertEqual(
            run.out.splitlines()[1:],
            [
                "   -0.001s  flow_error     'Report' failed: 'no\\nroom'",
                "failed: 'Report': 'no\\nroom': 0 steps, 0 tokens, 0 tool calls in -0.001s",
            ],
        )

    def test_a_flow_with_a_bad_result(self) -> None:
        end = FlowComplete("Report", "anthropic", False, 0, 0, 0, 0, 1000)
        run = Run("show", "-", stdin=lines(START, end))
        self.assertEqual(run.status, 0)
        self.assertIn("completed: 'Report' did not succeed: ", run.out)

    def test_a_stream_without_its_end_is_truncated_and_1(self) -> None:
        for stream, what in (
            (lines(START), "0 steps, 0 tokens, 0 tool calls in 0.000s"),
            (lines(START, END, START), "0 steps, 0 tokens, 0 tool calls in 0.000s"),
            (b"", "no event"),
            (b"\n \n", "no event"),
        ):
            with self.subTest(stream):
                run = Run("show", "-", stdin=stream)
                self.assertEqual(run.status, 1)
                self.assertEqual(
                    run.out.splitlines()[-1],
                    f"truncated: the stream has no flow_complete or flow_error at its end: {what}",
                )

    def test_a_line_that_is_no_event_is_named_and_skipped(self) -> None:
        stream = lines(START) + b"{}\n\xff\n\r\n" + lines(END)[:-1] + b"\r\n" + b'{"kind'
        run = Run("show", "-", stdin=stream)
        self.assertEqual((run.status, run.err), (1, ""))
        self.assertEqual(
            run.out.splitlines()[1:3],
            [
                '<stdin>:2: missing-kind: expected a field "kind", got none (column 2)',
                "<stdin>:3: not-utf8: expected UTF-8, got the byte 0xff (column 1)",
            ],
        )
        self.assertIn("<stdin>:6: not-json: expected a closing quote, got the end", run.out)
        self.assertTrue(run.out.endswith("in 1.500s; 3 lines could not be decoded\n"), run.out)

    def test_nothing_in_a_text_breaks_the_line(self) -> None:
        noise = "\x1b[31m\r\n\u2028\u202e\0"
        run = Run(
            "show",
            "-",
            stdin=lines(
                FlowStart(noise, noise, 0),
                StepStart(noise, 0, noise, 0),
                StepToken(noise, noise * 1000, 0, 0),
                ToolCall(noise, noise, noise, 0),
                StepComplete(noise, 0, False, noise, 0, 0, 0),
                FlowError(noise, noise, 0),
            ),
        )
        self.assertEqual(len(run.out.split("\n")), 8)
        for line in run.out.split("\n"):
            self.assertTrue(line.isprintable(), line)

    def test_a_long_text_is_cut(self) -> None:
        run = Run("show", "-", stdin=lines(FlowError("x" * 10_000_000, "y" * 10_000_000, 0)))
        self.assertEqual(run.status, 0)
        self.assertLess(len(run.out), 1000)

    def test_a_variant_that_it_does_not_know_is_a_type_error(self) -> None:
        fresh: Any = None
        with self.assertRaisesRegex(TypeError, "^None is not of the catalog$"):
            show._details(fresh)

    def test_on_a_terminal_a_line_has_its_width(self) -> None:
        stream = lines(START, StepToken("Draft", "日本語" * 100, 1, 2), END)
        for columns in (40, 80, 200):
            run = Run("show", "-", stdin=stream, columns=columns)
            token = run.out.splitlines()[1]
            with self.subTest(columns):
                self.assertTrue(token.endswith("…"))
                wide = sum(1 for char in token if char in "日本語")
                self.assertIn(len(token) + wide, (columns - 1, columns))


class Files(unittest.TestCase):
    def test_the_recorded_flows(self) -> None:
        for name, outcome in (
            ("report", "completed: "),
            ("failed", "failed: "),
            ("unstreamed", "completed: "),
        ):
            path = CORPUS / "recorded" / f"{name}.jsonl"
            run = Run("show", path)
            with self.subTest(name):
                self.assertEqual((run.status, run.err), (0, ""))
                events = path.read_bytes().count(b"\n")
                self.assertEqual(run.out.count("\n"), events + 1)
                self.assertTrue(run.out.splitlines()[-1].startswith(outcome), run.out)

    def test_a_file_that_cannot_be_read_is_2(self) -> None:
        for path, reason in (
            (CORPUS / "fresh.jsonl", "No such file or directory"),
            (CORPUS, "Is a directory"),
        ):
            run = Run("show", path)
            self.assertEqual((run.status, run.out), (2, ""))
            self.assertEqual(run.err, f"python -m {PACKAGE}: {path}: {reason}\n")

    def test_events_come_out_of_a_pipe_as_they_go_in(self) -> None:
        with process("show", "-") as running:
            if running.stdin is None or running.stdout is None:
                self.fail("no pipes")
            for event in (START, END):
                running.stdin.write(lines(event))
                running.stdin.flush()
                self.assertIn(event.kind.encode(), running.stdout.readline())
            running.stdin.close()
            self.assertIn(b"completed", running.stdout.readline())
            self.assertEqual(running.wait(), 0)


class Progress(unittest.TestCase):
    def run_for(self, seconds: float, **streams: object) -> Run:
        """Show a file of which each line takes so many seconds."""
        clock = (seconds * n for n in itertools.count())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "flow.jsonl")
            path.write_bytes(lines(START, END))
            with mock.patch.object(time, "monotonic", side_effect=clock):
                columns = 80 if streams.get("out_is_terminal") else None
                return Run("show", path, columns=columns, err_is_terminal=True)

    def test_long_input_shows_progress_where_only_stderr_is_a_terminal(self) -> None:
        run = self.run_for(2.0)
        self.assertEqual(run.err, "\r0.0 of 0.0 MB\r0.0 of 0.0 MB\r\x1b[K")

    def test_short_input_shows_none(self) -> None:
        self.assertEqual(self.run_for(0.01).err, "\r\x1b[K")

    def test_on_a_terminal_the_lines_are_the_progress(self) -> None:
        self.assertEqual(self.run_for(2.0, out_is_terminal=True).err, "")

    def test_the_size_of_a_pipe_is_not_known(self) -> None:
        reader, writer = os.pipe()
        os.write(writer, lines(START))
        os.close(writer)
        with open(reader, "rb") as file:
            size = show.file_size(file)
        self.assertEqual(size, 0)


if __name__ == "__main__":
    unittest.main()
