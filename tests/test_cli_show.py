# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`show`: on a pipe a line for each event, on a terminal a picture, the outcome last."""

import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import unicodedata
import unittest
from contextlib import redirect_stderr, redirect_stdout
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
    cli,
    sse,
    to_dict,
    to_json,
)
from axon_events.cli import show
from axon_events.cli.recording import Lines

from . import CORPUS, PACKAGE, ROOT, effort, needs
from .terminal import Console, Run, process

START = FlowStart("Report", "anthropic", 1000)
END = FlowComplete("Report", "anthropic", True, 1, 5, 6, 1500, 2500)


def lines(*events: Event) -> bytes:
    return b"".join(to_json(event).encode() + b"\n" for event in events)


class Pipe(unittest.TestCase):
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
                "   +0.000s  flow_error     'Report' failed: 'no\\nroom'",
                "failed: 'Report': 'no\\nroom': 0 steps, 0 tokens, 0 tool calls in 0.000s",
            ],
        )

    def test_no_time_is_negative_when_the_clock_is_set_back(self) -> None:
        stream = lines(
            FlowStart("Report", "anthropic", 9000),
            StepStart("Draft", 0, "generate", 8000),
            StepToken("Draft", "a", 1, 7000),
            StepToken("Draft", "b", 2, 6500),
            ToolCall("Draft", "search", "", 6000),
            StepComplete("Draft", 0, True, "ab", 0, 0, 5000),
            StepStart("Open", 1, "generate", 9500),
            FlowComplete("Report", "anthropic", True, 1, 0, 0, 3000, 4000),
        )
        for columns in (None, 40, 80, 200):
            with mock.patch.dict(os.environ, NO_COLOR="1"):
                run = Run("show", "-", stdin=stream, columns=columns)
            with self.subTest(columns):
                self.assertNotRegex(run.out, " -[0-9]")
                # The flow's own latency, which comes from a clock that nobody sets.
                self.assertIn("tool call in 3.000s", " ".join(run.out.split()))

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

    def test_violations_are_counted_before_the_outcome(self) -> None:
        twice = "2 violations of the order of events: `check` names them"
        for stream, said in (
            ((START, END), []),
            ((START,), []),  # the outcome says it
            ((START, StepToken("Draft", "a", 2, 1001), END), [twice]),
            ((START, END, START, END), []),  # each flow has its own
            ((START, StepToken("Draft", "a", 2, 1001), END, START, END), [twice]),
        ):
            shown = Run("show", "-", stdin=lines(*stream)).out.splitlines()
            self.assertEqual([line for line in shown if "violation" in line], said)

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
        self.assertIn("<stdin>:6: cut-line: expected a whole line, got the end", run.out)
        self.assertTrue(run.out.endswith("in 1.500s; 3 lines could not be decoded\n"), run.out)

    @needs.processes
    def test_a_stream_of_server_sent_events_is_shown_as_it_comes(self) -> None:
        encoder = sse.Encoder()
        with process("show", "-") as running:
            if running.stdin is None or running.stdout is None:
                self.fail("no pipes")
            running.stdin.write(b"retry: 500\n\n" + encoder.encode(START))
            running.stdin.flush()
            self.assertIn(b"  flow_start     'Report'", running.stdout.readline())
            running.stdin.write(b": keep-alive\n\n" + encoder.encode(END) + b"data: {}\n\nid: 9")
            running.stdin.close()
            _, *rest = running.stdout.read().splitlines()
            self.assertEqual(running.wait(), 1)
        self.assertTrue(rest[0].startswith(b"<stdin>:13: missing-kind: "), rest)
        self.assertTrue(rest[1].startswith(b"<stdin>:15: cut-line: expected a blank line"), rest)
        self.assertTrue(rest[2].startswith(b"completed: 'Report' succeeded: "), rest)

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
        self.assertEqual(len(run.out.split("\n")), 9)
        for line in run.out.split("\n"):
            self.assertTrue(line.isprintable(), line)

    def test_a_long_text_is_cut(self) -> None:
        size = effort.rounds(1_000_000, 10_000_000)
        run = Run("show", "-", stdin=lines(FlowError("x" * size, "y" * size, 0)))
        self.assertEqual(run.status, 0)
        self.assertLess(len(run.out), 1000)

    def test_a_variant_that_it_does_not_know_is_a_type_error(self) -> None:
        fresh: Any = None
        with self.assertRaisesRegex(TypeError, "^None is not of the catalog$"):
            show._details(fresh)

    def test_each_start_begins_another_flow_with_its_own_outcome(self) -> None:
        for unfinished, status in (((), 0), ((START,), 1)):
            run = Run("show", "-", stdin=lines(START, END, *unfinished) + b"\n" + lines(START, END))
            with self.subTest(unfinished):
                self.assertEqual(run.status, status)
                outcomes = re.findall("^(completed|truncated): ", run.out, re.M)
                expected = ["completed", *["truncated"] * len(unfinished), "completed"]
                self.assertEqual(outcomes, expected)

    def test_what_comes_after_the_terminator_is_told_of(self) -> None:
        run = Run("show", "-", stdin=lines(START, END, StepToken("Draft", "x", 1, 9000)))
        self.assertEqual(run.status, 0)
        self.assertTrue(run.out.endswith(" in 1.500s; 1 event after the end\n"), run.out)
        self.assertIn("   +8.000s  step_token ", run.out)


FLOW = (
    START,
    StepStart("Draft", 0, "generate", 1000),
    StepToken("Draft", "Dear all,\r\n", 1, 1200),
    ToolCall("Draft", "search", '{"q":"quay"}', 1300),
    ToolCall("Draft", "read", "", 1310),
    StepToken("Draft", "\n\tyours\x07\n\n", 2, 1400),
    StepComplete("Draft", 0, True, "Dear all,\r\n\n\tyours\x07\n\n", 5, 20, 1600),
    StepStart("Check", 1, "classify", 1600),
    StepComplete("Check", 1, False, "no", 5, 0, 2100),
    StepStart("Wait", 2, "generate", 2100),
    StepToken("Wait", "", 3, 2500),
    FlowError("Report", "no\nroom", 3000),
)
# By the step that its error leaves open.
BROKEN = "1 violation of the order of events: `check` names it"
SGR = re.compile(r"\x1b\[[0-9]*m")


def width(line: str) -> int:
    """Return the columns of a line, without its colours."""
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(char) in ("W", "F")
        else 1
        for char in SGR.sub("", line)
    )


class Terminal(unittest.TestCase):
    def run_on(self, columns: int, stdin: bytes, *options: str, **environment: str) -> Run:
        variables = {"NO_COLOR": "1", "TERM": "xterm", **environment}
        with mock.patch.dict(os.environ, variables):
            return Run("show", "-", *options, stdin=stdin, columns=columns)

    def test_a_flow_at_80_columns(self) -> None:
        run = self.run_on(80, lines(*FLOW))
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertEqual(
            run.out.splitlines(),
            [
                "Report: failed",
                "1970-01-01 00:00:01 UTC on anthropic",
                "",
                "✓ 0 Draft ───━━━━━━                          2 tokens  3.3/s  first 200ms  600ms",
                '  at 300ms search {"q":"quay"}',
                "  at 310ms read",
                "✗ 1 Check          ━━━━━━━━━                 0 tokens                      500ms",
                "? 2 Wait                    ──────━━━━━━━━━   1 token         first 400ms  900ms",
                "",
                BROKEN,
                "failed: 'Report': 'no\\nroom': 3 steps, 3 tokens, 2 tool calls in 2.000s",
            ],
        )

    def test_a_flow_at_40_columns(self) -> None:
        run = self.run_on(40, lines(*FLOW), "--text")
        self.assertEqual(
            run.out.splitlines(),
            [
                "Report: failed",
                "1970-01-01 00:00:01 UTC on anthropic",
                "",
                "✓ 0 Draft ───━━━━━━",
                "  2 tokens  3.3/s  first 200ms  600ms",
                '  at 300ms search {"q":"quay"}',
                "  at 310ms read",
                "    Dear all,",
                "",
                "        yours\\x07",
                "✗ 1 Check          ━━━━━━━",
                "  0 tokens  500ms",
                "    no",
                "? 2 Wait                  ──────━━━━━━━━",
                "  1 token  first 400ms  900ms",
                "",
                "1 violation of the order of events:",
                "`check` names it",
                "failed: 'Report': 'no\\nroom': 3 steps, 3",
                "tokens, 2 tool calls in 2.000s",
            ],
        )

    def test_colours_are_for_those_who_want_them(self) -> None:
        coloured = self.run_on(80, lines(*FLOW), NO_COLOR="").out
        self.assertIn("\x1b[1mReport\x1b[m\x1b[31m: failed\x1b[m\n", coloured)
        self.assertIn("\x1b[32m✓\x1b[m 0 Draft \x1b[2m───\x1b[m\x1b[32m━━━━━━\x1b[m ", coloured)
        for plain in ({"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}):
            run = self.run_on(80, lines(*FLOW), **plain)
            self.assertEqual(run.out, SGR.sub("", coloured))

    def test_the_outcome_has_a_colour(self) -> None:
        bad = FlowComplete("Report", "anthropic", False, 0, 0, 0, 0, 1000)
        for stream, word, colour in (
            (lines(START, END), "completed", 32),
            (lines(START, bad), "completed", 31),
            (lines(START), "truncated", 33),
        ):
            out = self.run_on(80, stream, NO_COLOR="").out
            self.assertIn(f"\x1b[{colour}m: {word}\x1b[m\n", out)
            self.assertIn(f"\x1b[{colour}m{word}: ", out)

    def test_it_fits_every_width_whatever_the_names(self) -> None:
        noise = (
            "\x1b[31m\r\n\t\u2028\u202e\0\x9b",
            "日本語のとても長い名前" * 30,
            "e\u0301" * 300,
            "⚠\ufe0f👩\u200d🚒 " * 50,
            "word " * 300,
            "x" * 1000,
            "",
        )
        rng = random.Random(11)
        for _ in range(effort.rounds(5, 20)):
            names = [rng.choice(noise) for _ in range(9)]
            huge = rng.choice((0, 2**64 - 1))
            stream = lines(
                FlowStart(names[0], names[1], rng.choice((0, 2**64 - 1))),
                StepStart(names[2], huge, "", 1000),
                ToolCall(names[2], names[3], names[4], rng.choice((0, 2**64 - 1))),
                StepToken(names[2], names[5], huge, rng.choice((0, 1200))),
                StepComplete(names[2], huge, True, "", huge, huge, rng.choice((0, 2**64 - 1))),
                StepToken(names[6], names[7], 1, 1300),
                StepStart("Last", 1, "", 1300),
                FlowError(names[0], names[8], rng.choice((0, 2000, 2**64 - 1))),
            )
            for columns in (20, 40, 80, 120, 200):
                run = self.run_on(columns, stream, "--text", NO_COLOR=rng.choice(("", "1")))
                for line in run.out.split("\n"):
                    with self.subTest(columns=columns, line=line):
                        self.assertLessEqual(width(line), columns)
                        self.assertTrue(SGR.sub("", line).isprintable())

    def test_the_recorded_flows_at_all_widths(self) -> None:
        paths = sorted((CORPUS / "recorded").glob("*.jsonl"))
        self.assertGreater(len(paths), 2)
        for path, columns in itertools.product(paths, (1, *range(20, 201, effort.rounds(60, 5)))):
            run = self.run_on(columns, path.read_bytes(), "--text")
            with self.subTest(path.name, columns=columns):
                self.assertEqual((run.status, run.err), (0, ""))
                widest = max(map(width, run.out.splitlines()))
                self.assertLessEqual(widest, max(columns, 20))
                self.assertIn("✓ 0 ", run.out)

    def test_times_as_people_say_them(self) -> None:
        for ms, shown in (
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1.00s"),
            (59_999, "59.99s"),
            (60_000, "1m00s"),
            (3_599_999, "59m59s"),
            (3_600_000, "1h00m"),
            (90_000_000, "25h00m"),
        ):
            stream = lines(
                FlowStart("Report", "", 0),
                StepStart("Draft", 0, "", 0),
                StepComplete("Draft", 0, True, "", 0, 0, ms),
            )
            row = self.run_on(80, stream).out.splitlines()[3]
            self.assertTrue(row.endswith(f"  0 tokens      {shown}"), row)

    def test_a_date_that_no_calendar_has(self) -> None:
        out = self.run_on(80, lines(FlowStart("Report", "x", 2**64 - 1))).out
        self.assertIn("\n18446744073709551615 ms after 1970 on x\n", out)

    def test_a_step_without_a_start_has_no_bar(self) -> None:
        run = self.run_on(80, lines(StepToken("Draft", "x", 1, 1000), StepStart("Check", 0, "", 9)))
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.splitlines()[0], "(no flow_start): truncated")
        self.assertEqual(run.out.splitlines()[1], "1970-01-01 00:00:01 UTC on (unknown backend)")
        self.assertRegex(run.out, r"\n\? \? Draft +1 token\n")

    def test_the_text_of_a_retried_answer_is_its_output(self) -> None:
        stream = lines(
            START,
            StepStart("Draft", 0, "generate", 1000),
            *(StepToken("Draft", t, n, 1000) for n, t in enumerate(("Hello wo", "Hello world!"))),
            StepComplete("Draft", 0, True, "Hello world!", 0, 0, 1000),
            END,
        )
        self.assertIn("\n    Hello world!\n", self.run_on(80, stream, "--text").out)

    def test_a_stream_without_events(self) -> None:
        run = self.run_on(80, b"{}\n")
        self.assertEqual(run.status, 1)
        self.assertEqual(
            run.out.splitlines(),
            [
                '<stdin>:1: missing-kind: expected a field "kind", got none (column 2)',
                "truncated: the stream has no flow_complete or flow_error at its end: no event; 1",
                "line could not be decoded",
            ],
        )

    def test_each_flow_has_its_own_picture(self) -> None:
        run = self.run_on(80, lines(START, FlowStart("Second", "batch", 0), END))
        self.assertEqual(run.status, 1)
        headers = [line for line in run.out.splitlines() if re.match("Report:|Second:", line)]
        self.assertEqual(headers, ["Report: truncated", "Second: completed"])


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

    @needs.processes
    @effort.long_form
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


@needs.processes
class LivePicture(unittest.TestCase):
    def test_a_pipe_is_shown_as_it_comes_and_then_as_a_picture(self) -> None:
        no_color = mock.patch.dict(os.environ, {"NO_COLOR": "1"})
        with no_color, mock.patch.object(Lines, "is_live", True):
            run = Run("show", "-", stdin=lines(START, END), columns=80)
        self.assertEqual((run.status, run.err), (0, ""))
        first, _, space, title, *_ = run.out.splitlines()
        self.assertRegex(first, r"^   \+0\.000s +flow_start +'Report' on 'anthropic'$")
        self.assertEqual((space, title), ("", "Report: completed"))


@unittest.skipUnless(hasattr(os, "openpty"), "needs a terminal that a program drives")
class Live(unittest.TestCase):
    """A process with a pipe as its input and a terminal as its output."""

    def setUp(self) -> None:
        self.leader, follower = os.openpty()
        self.addCleanup(os.close, self.leader)
        self.running = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", PACKAGE, "show", "-"],
            stdin=subprocess.PIPE,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "COLUMNS": "60", "NO_COLOR": "1"},
            cwd=ROOT,
        )
        os.close(follower)
        self.addCleanup(self.running.wait)
        self.addCleanup(self.running.kill)
        self.shown = ""

    def write(self, *events: Event) -> None:
        if self.running.stdin is None:
            self.fail("no pipe")
        self.running.stdin.write(lines(*events))
        self.running.stdin.flush()

    def read(self) -> bool:
        """Read on; return False at the end, when nobody has the terminal any more."""
        try:
            content = os.read(self.leader, 65536)
        except OSError:  # which is how Linux says it
            return False
        self.shown += content.decode().replace("\r\n", "\n")
        return bool(content)

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            self.assertTrue(self.read(), self.shown)

    def test_events_stand_there_as_they_come_and_the_picture_at_the_end(self) -> None:
        self.write(START)
        self.read_until("   +0.000s  flow_start     'Report' on 'anthropic'\n")
        self.write(FlowError("Report", "x" * 200, 1500))
        self.read_until("   +0.500s  flow_error     'Report' failed: 'xxx")
        if self.running.stdin is None:
            self.fail("no pipe")
        self.running.stdin.close()
        while self.read():
            pass
        self.assertEqual(self.running.wait(), 0)
        self.assertIn("xxx…\n\nReport: failed\n1970-01-01 00:00:01 UTC on anthropic\n", self.shown)
        self.assertLessEqual(max(map(width, self.shown.split("\n"))), 60)
        self.assertNotIn("MB", self.shown)  # no progress between the events


class PipeToTerminal(unittest.TestCase):
    """The same inside this process."""

    def test_the_events_come_first_and_then_the_picture(self) -> None:
        reader, writer = os.pipe()
        os.write(writer, lines(START, END))
        os.close(writer)
        out, err = Console(), Console()
        clock = (2.0 * n for n in itertools.count())
        with (
            mock.patch.object(time, "monotonic", side_effect=clock),
            redirect_stderr(err),
            open(reader, encoding="utf-8") as stdin,
            mock.patch("sys.stdin", stdin),
            mock.patch.dict(os.environ, COLUMNS="60", NO_COLOR="1"),
            redirect_stdout(out),
        ):
            self.assertEqual(cli.main(["show", "-"]), 0)
        self.assertEqual(err.getvalue(), "")  # the events are progress
        first, second, empty, title, *_ = out.getvalue().splitlines()
        self.assertEqual(first, "   +0.000s  flow_start     'Report' on 'anthropic'")
        self.assertTrue(second.startswith("   +1.500s  flow_complete  'Report' succeeded, "))
        self.assertEqual((len(second), second[-1]), (60, "…"))
        self.assertEqual((empty, title), ("", "Report: completed"))


class SeveralFiles(unittest.TestCase):
    def test_each_has_its_own_result_and_the_worst_counts(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            good, cut, none = (Path(folder, name) for name in ("good", "cut", "none"))
            good.write_bytes(lines(START, END))
            cut.write_bytes(lines(START))
            for columns in (None, 80):
                run = Run("show", good, cut, columns=columns)
                with self.subTest(columns):
                    self.assertEqual((run.status, run.err), (1, ""))
                    first, second = run.out.split(f"\n\n==> {cut} <==\n")
                    self.assertTrue(first.startswith(f"==> {good} <==\n"), first)
                    self.assertIn("completed: ", first)
                    self.assertIn("truncated: ", second)
                run = Run("show", none, good, columns=columns)
                self.assertEqual(run.status, 2)
                self.assertEqual(
                    run.err, f"python -m {PACKAGE}: {none}: No such file or directory\n"
                )
                self.assertTrue(run.out.startswith(f"==> {good} <==\n"), run.out)
                self.assertIn("completed: ", run.out)


class Wrapped(unittest.TestCase):
    def test_what_is_wrapped_is_one_line(self) -> None:
        for columns in (None, 80):
            run = Run("show", "-", stdin=b"[\n" + lines(START, END) + b"]\n", columns=columns)
            self.assertEqual((run.status, run.err), (1, ""))
            self.assertEqual(
                run.out,
                "<stdin>:1: not-an-object: expected JSON Lines or Server-Sent Events, got a JSON"
                f" array; read it with: jq -c '.[]' | python -m {PACKAGE} show -\n",
            )

    def test_too_many_faults_are_counted(self) -> None:
        run = Run("show", "-", stdin=b"noise\n" * 25)
        self.assertEqual(run.status, 1)
        *shown, more, outcome = run.out.splitlines()
        self.assertEqual(len(shown), 20)
        self.assertEqual(more, "<stdin>: 5 more lines without an event, from line 21 on")
        self.assertTrue(outcome.endswith(": no event; 25 lines could not be decoded"), outcome)


class Page(unittest.TestCase):
    """`show --html`; the gate `browser` looks at the page itself."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.page = Path(temporary.name, "page\x1b.html")
        self.file = Path(temporary.name, "flow.jsonl")

    def recording(self) -> tuple[list[Any], str]:
        """Return what the page has: the events, and what it says of the recording."""
        ((notes, events),) = re.findall(
            r'<script type="application/json" id="recording" data-notes="([^"]*)">(.*?)</script>',
            self.page.read_text("utf-8"),
            re.DOTALL,
        )
        return json.loads(events), notes

    def test_a_file_has_the_page_with_the_events(self) -> None:
        self.file.write_bytes(lines(*FLOW))
        for columns in (None, 80):
            run = Run("show", "--html", self.page, self.file, columns=columns)
            self.assertEqual((run.status, run.err), (0, ""))
            self.assertTrue(
                run.out.endswith(f"page\\x1b.html: 12 events of {self.file}\n"), run.out
            )
            self.assertEqual(self.recording(), ([to_dict(event) for event in FLOW], BROKEN))

    def test_standard_output_gets_the_page_alone(self) -> None:
        self.file.write_bytes(lines(*FLOW))
        Run("show", "--html", self.page, self.file)
        run = Run("show", "--html", "-", self.file)
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertEqual(run.out, self.page.read_text("utf-8"))
        # As UTF-8, whatever the encoding of the stream.
        written = io.BytesIO()
        with io.TextIOWrapper(written, encoding="ascii") as out, redirect_stdout(out):
            self.assertEqual(cli.main(["show", "--html", "-", str(self.file)]), 0)
            self.assertEqual(written.getvalue(), self.page.read_bytes())

    def test_what_is_no_event_is_said_on_stderr_and_counted(self) -> None:
        self.file.write_bytes(b"noise\n" * 22 + lines(START))
        run = Run("show", "--html", self.page, self.file)
        self.assertEqual(run.status, 1)
        self.assertEqual(run.err.count(": not-json: "), 20)
        self.assertTrue(run.err.endswith(": 2 more lines without an event, from line 21 on\n"))
        self.assertEqual(self.recording(), ([to_dict(START)], "22 lines could not be decoded"))
        run = Run("show", "--html", "-", self.file)
        self.assertTrue(run.out.startswith("<!DOCTYPE html>\n"))

    def test_a_flow_without_its_end_is_1(self) -> None:
        self.file.write_bytes(lines(START))
        self.assertEqual(Run("show", "--html", self.page, self.file).status, 1)

    def test_of_several_flows_it_has_the_last(self) -> None:
        self.file.write_bytes(lines(*FLOW, START, END))
        run = Run("show", "--html", self.page, self.file)
        self.assertEqual(run.status, 0)
        self.assertEqual(run.err, f"{self.file}: 2 flows: the page has the last\n")
        self.assertEqual(self.recording(), ([to_dict(START), to_dict(END)], ""))

    def test_what_is_wrapped_makes_no_page(self) -> None:
        run = Run("show", "--html", self.page, "-", stdin=b"\x1f\x8b")
        self.assertEqual((run.status, run.out), (1, ""))
        self.assertIn("read it with: gzip -dc | ", run.err)
        self.assertFalse(self.page.exists())

    def test_a_page_that_cannot_be_written_is_2(self) -> None:
        self.file.write_bytes(lines(*FLOW))
        places = [("/there/is/none", "No such file or directory")]
        if os.path.exists("/dev/full"):
            places.append(("/dev/full", "No space left on device"))
        for place, error in places:
            run = Run("show", "--html", place, self.file)
            self.assertEqual((run.status, run.out), (2, ""))
            self.assertEqual(run.err, f"python -m {PACKAGE}: {place}: {error}\n")

    def test_several_files_are_wrong_usage(self) -> None:
        run = Run("show", "--html", self.page, self.file, self.file)
        self.assertEqual((run.status, run.out), (2, ""))
        self.assertTrue(run.err.endswith(": error: --html makes a page of one FILE\n"), run.err)


class Progress(unittest.TestCase):
    def test_long_input_shows_progress_and_the_picture_takes_its_place(self) -> None:
        for columns in (80, None):
            clock = (2.0 * n for n in itertools.count())
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "flow.jsonl")
                path.write_bytes(lines(START, END))
                with mock.patch.object(time, "monotonic", side_effect=clock):
                    run = Run("show", path, columns=columns, err_is_terminal=True)
            with self.subTest(columns):
                self.assertEqual(run.err, "\r0.0 of 0.0 MB\r0.0 of 0.0 MB\r\x1b[K")
                self.assertIn("completed", run.out)


if __name__ == "__main__":
    unittest.main()
