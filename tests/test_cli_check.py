# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`check`: each fault is named by its rule and line, and the worst of them is the exit status."""

import errno
import itertools
import json
import re
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import axon_events
from axon_events import Event, FlowComplete, FlowStart, StepStart, cli, order, sse, to_json
from axon_events.cli.recording import Lines

from . import CORPUS, PACKAGE
from .terminal import Run

RECORDED = sorted((CORPUS / "recorded").glob("*.jsonl"))
FAILED = (CORPUS / "recorded" / "failed.jsonl").read_bytes().splitlines(keepends=True)

START = FlowStart("Report", "anthropic", 1000)
STEP = StepStart("Draft", 0, "generate", 1001)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 500, 1500)


def not_terminated(*events: Event) -> str:
    """Return what the checker says of a stream that ends after these events."""
    violation = order.check(events)[-1]
    return f"{violation.rule.value}: {violation.message}"


def lines(*events: Event) -> bytes:
    return b"".join(to_json(event).encode() + b"\n" for event in events)


def check(stdin: bytes, *options: str) -> Run:
    return Run("check", "-", *options, stdin=stdin)


class Good(unittest.TestCase):
    def test_the_recorded_flows(self) -> None:
        self.assertGreater(len(RECORDED), 2)
        run = Run("check", *RECORDED)
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertEqual(
            run.out.splitlines(),
            [
                f"{CORPUS}/recorded/failed.jsonl: failed: 57 events, 0 violations",
                f"{CORPUS}/recorded/report.jsonl: completed: 838 events, 0 violations",
                f"{CORPUS}/recorded/unstreamed.jsonl: completed: 11 events, 0 violations",
            ],
        )


class Edited(unittest.TestCase):
    """Real failures, made from a recorded flow by an edit of its lines."""

    def found(self, edited: list[bytes], *options: str) -> list[tuple[int, str]]:
        """Return line and rule of each violation; the exit status must agree."""
        run = check(b"".join(edited), *options)
        found = re.findall(r"^<stdin>:([0-9]+): ([a-z-]+): event ", run.out, re.M)
        self.assertEqual((run.status, run.err), (1 if found else 0, ""))
        self.assertRegex(
            run.out.splitlines()[-1],
            f"^<stdin>: [a-z]+: {len(edited)} events?, {len(found)} violations?$",
        )
        self.assertEqual(run.out.count("\n"), len(found) + 1)
        return [(int(line), rule) for line, rule in found]

    def test_each_failure_is_named(self) -> None:
        f = FAILED
        token, complete, start = 9, 26, 27
        self.assertIn(b"step_token", f[token])
        self.assertIn(b"step_complete", f[complete])
        self.assertIn(b"step_start", f[start])
        for name, edited, expected in (
            ("untouched", f, []),
            ("no start", f[1:], [(1, "flow-not-started")]),
            ("a token dropped", f[:token] + f[token + 1 :], [(10, "token-gap")]),
            ("a token twice", f[: token + 1] + f[token:], [(11, "token-repeated")]),
            (
                "two tokens swapped",
                [*f[:token], f[token + 1], f[token], *f[token + 2 :]],
                [(10, "token-gap"), (11, "token-repeated"), (12, "token-gap")],
            ),
            ("cut at the end", f[:-1], [(56, "not-terminated")]),
            ("cut in the middle", f[:30], [(30, "not-terminated")]),
            ("two terminators", [*f, f[-1]], [(58, "after-terminator")]),
            (
                "a step's end dropped",
                f[:complete] + f[complete + 1 :],
                [(27, "step-overlap"), (56, "step-abandoned")],
            ),
            (
                "a step's end swapped with the next start",
                [*f[:complete], f[start], f[complete], *f[start + 1 :]],
                [(27, "step-overlap")],
            ),
            (
                "an error that leaves its step open",
                f[:-2] + f[-1:],
                [(56, "step-abandoned")],
            ),
            ("a step's start twice", f[: start + 1] + f[start:], [(29, "step-repeated")]),
            ("started again", f[:30] + f, [(31, "flow-restarted")]),
            (
                "another flow's terminator",
                [*f[:-1], f[-1].replace(b"Nightly", b"Weekly")],
                [(57, "flow-mismatch")],
            ),
            (
                "a step re-indexed",
                [line.replace(b'_index":1,"success', b'_index":7,"success') for line in f],
                [(56, "step-mismatch")],
            ),
            ("a bare error", f[-1:], [(1, "flow-not-started")]),
        ):
            with self.subTest(name):
                self.assertEqual(self.found(edited), expected)

    def test_the_end_of_a_step_that_was_lost_is_missed_at_the_end(self) -> None:
        report = (CORPUS / "recorded" / "report.jsonl").read_bytes().splitlines(keepends=True)
        complete = next(n for n, line in enumerate(report) if b'"step_complete"' in line)
        self.assertEqual(
            self.found(report[:complete] + report[complete + 1 :]),
            [(complete + 1, "step-overlap"), (len(report) - 1, "step-unfinished")],
        )

    def test_two_runs_that_were_written_at_once(self) -> None:
        both = [line for pair in zip(FAILED[:6], FAILED[:6], strict=True) for line in pair]
        rules = [rule for _, rule in self.found(both)]
        self.assertEqual(rules[0], "flow-restarted")
        self.assertEqual(rules.count("token-repeated"), sum(b"step_token" in f for f in both) // 2)

    def test_a_counter_that_restarts_in_each_step(self) -> None:
        restarted = []
        for line in FAILED:
            index = re.search(rb'"token_index":([0-9]+)', line)
            if b'"Draft"' in line and index:
                line = line.replace(index[0], b'"token_index":%d' % (int(index[1]) - 24))
            restarted.append(line)
        self.assertEqual(self.found(restarted), [(29, "token-repeated")])
        self.assertEqual(self.found(restarted, "--token-scope", "step"), [])
        self.assertEqual(self.found(FAILED, "--token-scope", "step"), [(29, "token-gap")])

    def test_allow_silences_a_rule(self) -> None:
        edited = FAILED[:9] + FAILED[10:-1]
        self.assertEqual(self.found(edited, "--allow", "token-gap"), [(55, "not-terminated")])
        both = ("--allow", "token-gap", "--allow", "not-terminated")
        self.assertEqual(self.found(edited, *both), [])

    def test_the_last_token_of_a_step_is_missed_by_its_output(self) -> None:
        # The last one of the flow, so that no index after it tells.
        last = max(n for n, line in enumerate(FAILED) if b'"kind":"step_token"' in line)
        edited = FAILED[:last] + FAILED[last + 1 :]
        complete = next(n for n in range(last, len(edited)) if b"step_complete" in edited[n])
        found = [(complete + 1, "output-mismatch")]
        self.assertEqual(self.found(edited), [])
        self.assertEqual(self.found(FAILED, "--match-output"), [])
        self.assertEqual(self.found(edited, "--match-output"), found)
        run = check(b"".join(edited), "--match-output", "--many")
        self.assertTrue(run.out.startswith(f"<stdin>:{complete + 1}: output-mismatch: "), run.out)
        allowed = ("--match-output", "--allow", "output-mismatch")
        self.assertEqual(self.found(edited, *allowed), [])

    def test_a_violation_says_what_came_and_what_is_legal(self) -> None:
        run = check(lines(START, STEP))
        self.assertEqual(
            run.out,
            f"<stdin>:2: {not_terminated(START, STEP)}\n"
            "<stdin>: truncated: 2 events, 1 violation\n",
        )


class AfterTheTerminator(unittest.TestCase):
    def test_the_first_are_named_and_the_others_counted(self) -> None:
        run = check(b"".join(FAILED * 2))
        self.assertEqual(run.status, 1)
        first, *named, more, outcome = run.out.splitlines()
        self.assertTrue(first.startswith("<stdin>:58: after-terminator: event 57 is flow_start "))
        self.assertTrue(first.endswith(" (several runs in one file? --many)"), first)
        self.assertEqual([line.split(":")[1] for line in named], ["59", "60"])
        self.assertNotIn("--many", "".join(named))
        self.assertEqual(more, "<stdin>: 54 more events after the terminator, from line 61 on")
        self.assertEqual(outcome, "<stdin>: failed: 114 events, 57 violations")
        found = json.loads(check(b"".join(FAILED * 2), "--json").out)["violations"]
        self.assertEqual([violation["line"] for violation in found], [*range(58, 115)])
        self.assertNotIn("--many", found[0]["message"])

    def test_what_is_no_other_flow_gets_no_hint(self) -> None:
        run = check(lines(START, END, STEP, START))
        self.assertNotIn("--many", run.out)
        self.assertEqual(run.out.count("\n"), 3)


class FileLines(unittest.TestCase):
    def test_lines_are_those_of_the_file(self) -> None:
        run = check(b"\r\n\n" + lines(START).replace(b"\n", b"\r\n") + b"\n" + lines(START, END))
        self.assertEqual(run.status, 1)
        self.assertTrue(run.out.startswith("<stdin>:5: flow-restarted: event 1 "), run.out)

    def test_a_line_that_is_no_event_is_reported_and_skipped(self) -> None:
        run = check(lines(START) + b"\xff\n" + lines(END) + b'{"kind')
        self.assertEqual((run.status, run.err), (1, ""))
        self.assertEqual(
            run.out.splitlines(),
            [
                "<stdin>:2: not-utf8: expected UTF-8, got the byte 0xff",
                "<stdin>:4: cut-line: expected a whole line, got the end of the file in the middle"
                " of it"
                " (not-json: expected a closing quote, got the end of the document)",
                "<stdin>: completed: 2 events, 0 violations, 2 undecodable lines",
            ],
        )

    def test_too_many_that_are_none_are_counted(self) -> None:
        run = check(b"noise\n" * 25)
        *shown, more, missing, outcome = run.out.splitlines()
        self.assertEqual((run.status, len(shown)), (1, 20))
        self.assertEqual(more, "<stdin>: 5 more lines without an event, from line 21 on")
        self.assertEqual(missing, f"<stdin>:25: {not_terminated()}")
        self.assertEqual(outcome, "<stdin>: truncated: 0 events, 1 violation, 25 undecodable lines")
        result = json.loads(check(b"noise\n" * 25, "--json").out)
        self.assertEqual(len(result["undecodable"]), 20)
        self.assertEqual(result["flows"][0]["undecodable"], 25)

    def test_an_empty_file_is_said_to_be_and_truncated(self) -> None:
        for content, line in ((b"", 1), (b"\n\n", 2)):
            run = check(content)
            self.assertEqual(run.status, 1)
            self.assertEqual(
                run.out,
                "<stdin>: it has no events\n"
                f"<stdin>:{line}: {not_terminated()}\n<stdin>: truncated: 0 events, 1 violation\n",
            )

    def test_nothing_in_a_text_breaks_the_line(self) -> None:
        noise = "\x1b[31m\r\n\u2028\u202e\0"
        run = check(lines(StepStart(noise, 0, noise, 0)) + noise.encode())
        for line in run.out.removesuffix("\n").split("\n"):
            self.assertTrue(line.isprintable(), line)


class ServerSentEvents(unittest.TestCase):
    """A stream as a server sends it, with the faults of its frames and of its order."""

    def stream(self, *events: Event) -> bytes:
        return b"retry: 500\n\n" + b"".join(map(sse.Encoder().encode, events))

    def test_a_good_one(self) -> None:
        self.assertEqual(
            (check(self.stream(START, END)).status, check(self.stream(START, END)).out),
            (0, "<stdin>: completed: 2 events, 0 violations\n"),
        )

    def test_violations_stand_at_their_frames(self) -> None:
        run = check(self.stream(START, STEP, STEP) + b"data: {}\n\n")
        self.assertEqual(run.status, 1)
        found = re.findall(r"^<stdin>:([0-9]+): ([a-z-]+): ", run.out, re.M)
        self.assertEqual(
            found, [("11", "step-repeated"), ("15", "missing-kind"), ("16", "not-terminated")]
        )

    def test_many_flows(self) -> None:
        run = check(self.stream(START, END) + self.stream(START, STEP, START, END), "--many")
        self.assertEqual(
            run.out.splitlines(),
            [
                "<stdin>:3: completed: 2 events, 0 violations",
                f"<stdin>:20: {not_terminated(START, STEP)}",
                "<stdin>:13: truncated: 2 events, 1 violation",
                "<stdin>:21: completed: 2 events, 0 violations",
            ],
        )


class Many(unittest.TestCase):
    def test_each_start_begins_a_flow(self) -> None:
        flow = lines(START, END)
        run = check(flow + b"\n" + flow + lines(START, STEP) + b"\n{}\n" + flow, "--many")
        self.assertEqual(run.status, 1)
        self.assertEqual(
            run.out.splitlines(),
            [
                "<stdin>:1: completed: 2 events, 0 violations",
                "<stdin>:4: completed: 2 events, 0 violations",
                '<stdin>:9: missing-kind: expected a field "kind", got none',
                f"<stdin>:9: {not_terminated(START, STEP)}",
                "<stdin>:6: truncated: 2 events, 1 violation, 1 undecodable line",
                "<stdin>:10: completed: 2 events, 0 violations",
            ],
        )

    def test_what_comes_before_the_first_start_or_after_a_terminator_is_no_flow(self) -> None:
        run = check(lines(STEP, START, END, STEP, START, END), "--many")
        self.assertEqual(run.status, 1)
        rules = re.findall(r"^<stdin>:([0-9]+): ([a-z-]+): ", run.out, re.M)
        self.assertEqual(
            rules,
            [
                ("1", "flow-not-started"),
                ("1", "not-terminated"),
                ("1", "truncated"),
                ("4", "after-terminator"),
                ("2", "completed"),
                ("5", "completed"),
            ],
        )

    def test_an_undecodable_line_before_the_first_start_is_of_its_flow(self) -> None:
        run = check(b"{}\n" + lines(START, END), "--many")
        self.assertEqual(
            run.out.splitlines()[1:],
            ["<stdin>:2: completed: 2 events, 0 violations, 1 undecodable line"],
        )

    def test_good_flows_are_good(self) -> None:
        self.assertEqual(check(b"".join(FAILED * 3), "--many").status, 0)
        self.assertEqual(check(b"".join(FAILED * 3)).status, 1)

    def test_an_empty_file_has_a_truncated_flow(self) -> None:
        run = check(b"", "--many")
        self.assertEqual(run.status, 1)
        self.assertIn("<stdin>:1: truncated: 0 events, 1 violation\n", run.out)


class Files(unittest.TestCase):
    def test_each_file_has_its_own_result(self) -> None:
        missing = CORPUS / "fresh.jsonl"
        run = Run("check", RECORDED[0], missing, "-", CORPUS, RECORDED[1], stdin=lines(START))
        self.assertEqual(run.status, 2)
        outcomes = [line.rpartition("/")[2].split(": ")[:2] for line in run.out.splitlines()]
        self.assertEqual(
            outcomes,
            [
                ["failed.jsonl", "failed"],
                ["<stdin>:1", "not-terminated"],
                ["<stdin>", "truncated"],
                ["report.jsonl", "completed"],
            ],
        )
        self.assertEqual(
            run.err,
            f"python -m {PACKAGE}: {missing}: No such file or directory\n"
            f"python -m {PACKAGE}: {CORPUS}: Is a directory\n",
        )

    def test_an_error_of_stdout_is_not_one_of_a_file(self) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch.object(Lines, "print", side_effect=error),
            mock.patch.object(cli, "_discard_output") as discard,
        ):
            run = Run("check", *RECORDED)
        self.assertEqual((run.status, run.out), (2, ""))
        self.assertEqual(
            run.err,
            f"python -m {PACKAGE}: standard output: No space left on device\n",
        )
        discard.assert_called_once_with()


class Usage(unittest.TestCase):
    def test_a_rule_that_is_none(self) -> None:
        for rule, said in (
            ("step-lost", "expected a rule, got 'step-lost'; the rules: "),
            (
                "token-gap,step-overlap",
                "expected a rule, got 'token-gap,step-overlap'; give --allow again for each; ",
            ),
        ):
            run = check(b"", "--allow", rule)
            self.assertEqual((run.status, run.out), (2, ""))
            self.assertIn(f"error: argument --allow: {said}", run.err)


class Quiet(unittest.TestCase):
    def test_it_prints_nothing_but_errors(self) -> None:
        for content, status in ((b"".join(FAILED), 0), (b"{}\n", 1)):
            run = check(content, "--quiet")
            self.assertEqual((run.status, run.out, run.err), (status, "", ""))
        run = Run("check", "--quiet", CORPUS)
        self.assertEqual((run.status, run.out), (2, ""))
        self.assertIn("Is a directory\n", run.err)


class Json(unittest.TestCase):
    def test_an_empty_file_has_a_note(self) -> None:
        notes = json.loads(check(b"", "--json").out)["notes"]
        self.assertEqual(notes, [{"file": "<stdin>", "message": "it has no events"}])

    def test_it_is_one_object(self) -> None:
        missing = str(CORPUS / "fresh.jsonl")
        stdin = lines(START, STEP) + b"{}\n"
        run = Run("check", "--json", RECORDED[0], missing, "-", stdin=stdin)
        self.assertEqual(run.status, 2)
        self.assertEqual(run.err.count("\n"), 1)
        found: dict[str, Any] = json.loads(run.out)
        rule, _, message = not_terminated(START, STEP).partition(": ")
        self.assertEqual(
            found,
            {
                "axon_events": axon_events.__version__,
                "good": False,
                "flows": [
                    {
                        "file": str(RECORDED[0]),
                        "line": 1,
                        "outcome": "failed",
                        "events": 57,
                        "violations": 0,
                        "undecodable": 0,
                    },
                    {
                        "file": "<stdin>",
                        "line": 1,
                        "outcome": "truncated",
                        "events": 2,
                        "violations": 1,
                        "undecodable": 1,
                    },
                ],
                "violations": [{"file": "<stdin>", "line": 3, "rule": rule, "message": message}],
                "undecodable": [
                    {
                        "file": "<stdin>",
                        "line": 3,
                        "reason": "missing-kind",
                        "message": 'expected a field "kind", got none',
                    }
                ],
                "unreadable": [{"file": missing, "message": "No such file or directory"}],
                "notes": [],
            },
        )

    def test_good_is_good(self) -> None:
        run = Run("check", "--json", *RECORDED)
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertIs(json.loads(run.out)["good"], True)


class Progress(unittest.TestCase):
    def test_long_input_shows_progress_and_findings_take_its_place(self) -> None:
        clock = (2.0 * n for n in itertools.count())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "flow.jsonl")
            path.write_bytes(b"{}\n" + lines(START))
            with mock.patch.object(time, "monotonic", side_effect=clock):
                run = Run("check", path, columns=80, err_is_terminal=True)
        self.assertEqual(run.err, "\r0.0 of 0.0 MB\r\x1b[K" * 2)
        self.assertEqual(run.out.count("\n"), 3)


if __name__ == "__main__":
    unittest.main()
