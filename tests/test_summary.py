# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The summary: what it has of whole streams, of broken ones, and on the way."""

import copy
import json
import pickle
import random
import unittest
from typing import Any

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    jsonl,
)
from axon_events.order import Outcome, StreamChecker
from axon_events.summary import FlowSummary, StepSummary, summarize

from . import CORPUS
from .samples import EVENTS

START = FlowStart("Report", "anthropic", 1000)
END = FlowComplete("Report", "anthropic", True, 2, 50, 60, 1499, 2500)
CALL = ToolCall("Draft", "search", '{"q":1}', 1200)

STEP: dict[str, object] = {
    "step_name": "Draft",
    "step_index": None,
    "step_type": None,
    "success": None,
    "text": None,
    "tool_calls": [],
    "tokens": 0,
    "tokens_input": None,
    "tokens_output": None,
    "started_ms": None,
    "first_token_ms": None,
    "duration_ms": None,
}
FLOW: dict[str, object] = {
    "flow_name": None,
    "backend": None,
    "outcome": Outcome.TRUNCATED,
    "error": None,
    "success": None,
    "started_ms": None,
    "duration_ms": None,
    "tokens_input": None,
    "tokens_output": None,
    "steps": [],
}


def started(index: int = 0, ms: int = 1100, name: str = "Draft") -> StepStart:
    return StepStart(name, index, "generate", ms)


def token(content: str, index: int = 1, ms: int = 1150, name: str = "Draft") -> StepToken:
    return StepToken(name, content, index, ms)


def completed(output: str, index: int = 0, ms: int = 1300, name: str = "Draft") -> StepComplete:
    return StepComplete(name, index, True, output, 5, 6, ms)


class Summary(unittest.TestCase):
    def steps(self, *events: Event) -> list[tuple[str, int | None, str | None, int | None]]:
        """Return name, index, text and start of each step."""
        steps = summarize(events).steps
        return [(step.step_name, step.step_index, step.text, step.started_ms) for step in steps]

    def assert_step(self, step: StepSummary, **expected: object) -> None:
        self.assertEqual({name: getattr(step, name) for name in STEP}, STEP | expected)

    def assert_flow(self, summary: FlowSummary, **expected: object) -> None:
        self.assertEqual({name: getattr(summary, name) for name in FLOW}, FLOW | expected)


class Whole(Summary):
    def test_a_flow_that_completed(self) -> None:
        summary = summarize(
            [
                START,
                started(),
                token("Hi "),
                CALL,
                token("you", 2),
                completed("Hi you"),
                started(1, 1400, "Check"),
                StepComplete("Check", 1, False, "no", 7, 8, 1350),
                END,
            ]
        )
        draft, check = summary.steps
        self.assert_flow(
            summary,
            flow_name="Report",
            backend="anthropic",
            outcome=Outcome.COMPLETED,
            success=True,
            started_ms=1000,
            duration_ms=1499,
            tokens_input=50,
            tokens_output=60,
            steps=[draft, check],
        )
        self.assert_step(
            draft,
            step_index=0,
            step_type="generate",
            success=True,
            text="Hi you",
            tool_calls=[CALL],
            tokens=2,
            tokens_input=5,
            tokens_output=6,
            started_ms=1100,
            first_token_ms=1150,
            duration_ms=200,
        )
        self.assert_step(
            check,
            step_name="Check",
            step_index=1,
            step_type="generate",
            success=False,
            text="no",
            tokens_input=7,
            tokens_output=8,
            started_ms=1400,
            duration_ms=0,
        )

    def test_a_flow_that_failed(self) -> None:
        summary = summarize(
            [START, started(), completed(""), started(1), FlowError("Other", "no room", 1700)]
        )
        self.assert_flow(
            summary,
            flow_name="Report",
            backend="anthropic",
            outcome=Outcome.FAILED,
            error="no room",
            success=False,
            started_ms=1000,
            duration_ms=700,
            tokens_input=5,
            tokens_output=6,
            steps=summary.steps,
        )
        self.assert_step(summary.steps[1], step_index=1, step_type="generate", started_ms=1100)

    def test_a_late_token_is_its_steps(self) -> None:
        summary = summarize([START, started(), completed("whole"), token("late", ms=1301), END])
        (step,) = summary.steps
        self.assertEqual((step.text, step.tokens, step.first_token_ms), ("whole", 1, 1301))

    def test_an_empty_token_is_a_token(self) -> None:
        (step,) = summarize([START, started(), token(""), completed("output")]).steps
        self.assertEqual((step.text, step.tokens), ("output", 1))

    def test_a_complete_steps_text_is_its_full_output(self) -> None:
        # A step that was tried again: the tokens of both tries came.
        events: list[Event] = [START, started(), token("Hello wo"), token("Hello world!", 2)]
        summary = summarize([*events, completed("Hello world!"), END])
        self.assertEqual(summary.steps[0].text, "Hello world!")
        self.assertEqual(summarize(events).steps[0].text, "Hello woHello world!")

    def test_parallel_steps_of_one_name_have_their_own_texts(self) -> None:
        events: list[Event] = [
            START,
            started(0),
            started(1),
            token("Hel"),
            token("Bon", 2),
            token("lo", 3),
        ]
        events += [token("jour", 4), completed("Hello", 0), completed("Bonjour", 1), END]
        self.assertEqual([step.text for step in summarize(events).steps], ["Hello", "Bonjour"])

    def test_no_time_is_negative(self) -> None:
        for end in (FlowError("Report", "x", 0), FlowComplete("Report", "x", True, 1, 0, 0, 3, 0)):
            summary = summarize([START, started(), completed("", ms=0), end])
            self.assertEqual(summary.steps[0].duration_ms, 0)
            self.assertEqual(summary.duration_ms, getattr(end, "latency_ms", 0))

    def test_the_recorded_flows(self) -> None:
        for name, outcome, texts in (
            ("report", Outcome.COMPLETED, 4),
            ("failed", Outcome.FAILED, 2),
            ("unstreamed", Outcome.COMPLETED, 3),
        ):
            with open(CORPUS / "recorded" / f"{name}.jsonl", "rb") as file:
                events = list(jsonl.read(file))
            summary = summarize(events)
            with self.subTest(name):
                self.assertIs(summary.outcome, outcome)
                outputs = [e.full_output for e in events if isinstance(e, StepComplete)]
                self.assertEqual([step.text for step in summary.steps], outputs)
                self.assertEqual(len(outputs), texts)
                tokens = sum(isinstance(event, StepToken) for event in events)
                self.assertEqual(sum(step.tokens for step in summary.steps), tokens)


class Broken(Summary):
    def test_nothing(self) -> None:
        self.assert_flow(summarize([]))

    def test_without_a_terminator_it_is_truncated(self) -> None:
        summary = summarize([START, started(), token("Hi")])
        self.assertIs(summary.outcome, Outcome.TRUNCATED)
        self.assertEqual((summary.success, summary.duration_ms), (None, None))
        self.assertEqual(summary.steps[0].text, "Hi")

    def test_a_bare_terminator_names_the_flow(self) -> None:
        self.assert_flow(
            summarize([FlowError("Report", "early", 5)]),
            flow_name="Report",
            outcome=Outcome.FAILED,
            error="early",
            success=False,
        )
        self.assert_flow(
            summarize([END]),
            flow_name="Report",
            backend="anthropic",
            outcome=Outcome.COMPLETED,
            success=True,
            duration_ms=1499,
            tokens_input=50,
            tokens_output=60,
        )

    def test_what_comes_after_the_terminator_does_not_count(self) -> None:
        summary = summarize([START, END, FlowError("Other", "late", 9), started(), START])
        self.assertIs(summary.outcome, Outcome.COMPLETED)
        self.assertEqual((summary.flow_name, summary.steps), ("Report", []))

    def test_another_start_begins_anew(self) -> None:
        again = FlowStart("Again", "batch", 7)
        summary = summarize([START, started(), token("old"), again, token("new")])
        self.assertEqual((summary.flow_name, summary.started_ms), ("Again", 7))
        (step,) = summary.steps
        self.assert_step(step, text="new", tokens=1, first_token_ms=1150)

    def test_events_of_a_step_that_is_not_open_make_one_without_a_start(self) -> None:
        for event, text in ((token("x"), "x"), (CALL, None), (completed("x"), "x")):
            with self.subTest(event):
                (step,) = summarize([event, END]).steps
                self.assertEqual((step.text, step.started_ms, step.duration_ms), (text, None, None))
        self.assertEqual(
            self.steps(started(), token("a"), completed("a"), token("b"), completed("b", 1)),
            [("Draft", 0, "a", 1100), ("Draft", 1, "b", None)],
        )

    def test_only_the_next_event_can_be_a_late_token(self) -> None:
        check = started(1, 1100, "Check")
        for between, name, texts in (
            ((), "Draft", ["whole"]),
            ((), "Check", ["whole", "late"]),
            ((check,), "Draft", ["whole", None, "late"]),
            ((started(1),), "Draft", ["whole", "late"]),
        ):
            with self.subTest(between=between, name=name):
                summary = summarize(
                    [started(), completed("whole"), *between, token("late", name=name)]
                )
                self.assertEqual([step.text for step in summary.steps], texts)

    def test_a_start_that_comes_too_late_is_its_steps(self) -> None:
        self.assertEqual(
            self.steps(token("a"), started(3), token("b"), completed("ab", 3)),
            [("Draft", 3, "ab", 1100)],
        )

    def test_a_start_given_twice_is_one_step(self) -> None:
        self.assertEqual(
            self.steps(started(ms=1), token("a"), started(ms=2), token("b")),
            [("Draft", 0, "ab", 1)],
        )

    def test_steps_of_one_name(self) -> None:
        self.assertEqual(
            self.steps(
                started(0),
                started(1),
                token("b"),
                completed("x", 0),
                token("b"),
                started(2),
                token("c"),
                completed("y", 7),
                started(2),
                token("d"),
            ),
            [
                ("Draft", 0, "x", 1100),
                ("Draft", 1, "bb", 1100),
                ("Draft", 2, "y", 1100),
                ("Draft", 2, "d", 1100),
            ],
        )

    def test_any_sequence_gives_a_summary_with_the_checkers_outcome(self) -> None:
        rng = random.Random(5)
        names = ("Draft", "Check")
        for _ in range(300):
            events: list[Event] = []
            for _ in range(rng.randint(0, 12)):
                name, index = rng.choice(names), rng.randint(0, 1)
                pool = (*EVENTS, START, started(index, name=name), token("x", name=name))
                events.append(rng.choice((*pool, completed("y", index, name=name), CALL)))
            checker = StreamChecker()
            for event in events:
                checker.feed(event)
            checker.close()
            with self.subTest(events):
                self.assertIs(summarize(events).outcome, checker.outcome)


class Incremental(Summary):
    def test_it_has_what_has_come(self) -> None:
        summary = FlowSummary()
        self.assert_flow(summary, outcome=Outcome.OPEN)
        summary.add(START)
        self.assertEqual(summary.flow_name, "Report")
        summary.add(started())
        for n, text in enumerate(("a", "ab", "abc")):
            summary.add(token("abc"[n]))
            self.assertEqual(summary.steps[0].text, text)
        self.assertIs(summary.outcome, Outcome.OPEN)

    def test_after_close_it_takes_no_more(self) -> None:
        for last, outcome in ((started(), Outcome.TRUNCATED), (END, Outcome.COMPLETED)):
            summary = FlowSummary()
            summary.add(last)
            summary.close()
            summary.close()
            self.assertIs(summary.outcome, outcome)
            with self.assertRaisesRegex(RuntimeError, "closed"):
                summary.add(token("a"))

    def test_it_takes_events_only(self) -> None:
        event: Any = {"kind": "flow_start"}
        with self.assertRaisesRegex(TypeError, "^a FlowSummary takes events, got dict$"):
            FlowSummary().add(event)

    def test_it_pickles_and_copies(self) -> None:
        summary = FlowSummary()
        for event in (START, started(), token("a")):
            summary.add(event)
        for other in (copy.deepcopy(summary), pickle.loads(pickle.dumps(summary))):
            other.add(token("b"))
            self.assertEqual([step.text for step in other.steps], ["ab"])
        self.assertEqual([step.text for step in summary.steps], ["a"])

    def test_both_print_as_one_line(self) -> None:
        name = "D\n" * 100
        summary = summarize([START, started(name=name), token("x" * 1_000_000, name=name), END])
        self.assertEqual(
            repr(summary),
            "<FlowSummary 'Report', outcome=completed, success=True, steps=1, duration_ms=1499>",
        )
        self.assertRegex(
            repr(summary.steps[0]),
            r"^<StepSummary 'D.{58}, step_index=0, success=None, tokens=1, duration_ms=None>$",
        )
        self.assertEqual(
            repr(FlowSummary()),
            "<FlowSummary None, outcome=open, success=None, steps=0, duration_ms=None>",
        )

    def test_both_as_plain_values(self) -> None:
        summary = summarize([START, started(), token("Hi"), CALL, completed("Hi"), END])
        step = STEP | {
            "step_index": 0,
            "step_type": "generate",
            "success": True,
            "text": "Hi",
            "tool_calls": [
                {
                    "kind": "tool_call",
                    "step_name": "Draft",
                    "tool_name": "search",
                    "content": '{"q":1}',
                    "timestamp_ms": 1200,
                }
            ],
            "tokens": 1,
            "tokens_input": 5,
            "tokens_output": 6,
            "started_ms": 1100,
            "first_token_ms": 1150,
            "duration_ms": 200,
        }
        flow = FLOW | {
            "flow_name": "Report",
            "backend": "anthropic",
            "outcome": "completed",
            "success": True,
            "started_ms": 1000,
            "duration_ms": 1499,
            "tokens_input": 50,
            "tokens_output": 60,
            "steps": [step],
        }
        self.assertEqual(summary.to_dict(), flow)
        self.assertEqual(json.loads(json.dumps(summary.to_dict())), flow)
        self.assertEqual(list(summary.to_dict()), list(FLOW))
        self.assertEqual(list(summary.steps[0].to_dict()), list(STEP))
        nothing = FLOW | {"outcome": "open"}
        self.assertEqual(FlowSummary().to_dict(), nothing)


if __name__ == "__main__":
    unittest.main()
