# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The emitter: what it sends, and that whatever is raised wherever, the stream is legal."""

import asyncio
import enum
import inspect
import itertools
import random
import unittest
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, suppress
from errno import ENOENT
from functools import partial
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
    emit,
    now_ms,
)
from axon_events.emit import FlowEmitter, StepEmitter, closing
from axon_events.order import Rule, StreamChecker

from . import needs
from .effort import rounds
from .samples import U64_MAX
from .threads import join, started

START = 1700000000000


class Interrupt(BaseException):
    """A BaseException that no library knows."""


RAISED: tuple[type[BaseException], ...] = (
    ValueError,
    RuntimeError,
    StopIteration,
    RecursionError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    Interrupt,
)


def ticking() -> Callable[[], int]:
    """Return a clock that gives START, and each time one millisecond more."""
    return itertools.count(START).__next__


def emitter(sink: Callable[[Event], object], clock: Callable[[], int] | None = None) -> FlowEmitter:
    return FlowEmitter(sink, flow_name="Report", backend="anthropic", clock=clock or ticking())


class Failing:
    """A function that fails when it is called for the n-th time, counted from 0.

    - `function`: what it does otherwise.
    - `fault`: an exception to raise, or another value to return.
    - `lasting`: whether it fails from then on.
    - `late`: whether it does first what it does otherwise.
    """

    def __init__(
        self,
        function: Callable[..., object],
        at: int,
        fault: object,
        *,
        lasting: bool = False,
        late: bool = False,
    ) -> None:
        self.function = function
        self.at = at
        self.fault = fault
        self.lasting = lasting
        self.late = late
        self.calls = 0

    def __call__(self, *args: object) -> Any:
        call, self.calls = self.calls, self.calls + 1
        if call != self.at and not (self.lasting and call > self.at):
            return self.function(*args)
        if self.late:
            self.function(*args)
        if isinstance(self.fault, BaseException):
            raise self.fault
        return self.fault


def nothing(*args: object) -> None:
    pass


def step_calls(step: StepEmitter) -> list[Callable[[], object]]:
    """Return all calls of a step but entering and leaving it."""
    return [
        partial(step.token, "x"),
        partial(step.output, "x"),
        partial(step.tool_call, "search", "{}"),
        partial(step.usage, tokens_input=9, tokens_output=9),
        step.fail,
    ]


def script(
    sink: Callable[[Event], object], clock: Callable[[], int], point: Callable[[], object]
) -> None:
    """Run a flow with all calls that there are, and `point` before and after each of them."""
    point()
    flow = emitter(sink, clock)
    with flow:
        point()
        with flow.step("Plan", step_type="generate") as step:
            point()
            step.token("a")
            point()
            step.tool_call("search", "{}")
            point()
            step.token("b")
            point()
            step.usage(tokens_input=1, tokens_output=2)
            point()
        point()
        with flow.step("Draft", step_type="generate") as step:
            point()
            step.output("whole")
            point()
            step.output("reworked")
            point()
            step.fail()
            point()
        point()
        flow.fail()
        point()
    point()


def counts() -> dict[str, int]:
    """Return how many events the script sends, and how often it reads the clock and has a point."""
    counted = {
        "events": Failing(nothing, -1, None),
        "clock": Failing(ticking(), -1, None),
        "points": Failing(nothing, -1, None),
    }
    script(counted["events"], counted["clock"], counted["points"])
    return {name: function.calls for name, function in counted.items()}


COUNTS = counts()


class EmitterTestCase(unittest.TestCase):
    def assert_legal(self, events: list[Event], *, cut: bool = False) -> None:
        """Check a whole stream, or the beginning of one."""
        checker = StreamChecker()
        violations = [violation for event in events for violation in checker.feed(event)]
        if not cut:
            violations += checker.close()
        self.assertEqual(violations, [])

    def assert_ended(self, events: list[Event], text: str) -> None:
        """Check a whole stream that ends in a FlowError with this text."""
        self.assert_legal(events)
        last = events[-1]
        self.assertIsInstance(last, FlowError)
        self.assertEqual(getattr(last, "error", None), text)


class Sending(EmitterTestCase):
    def test_the_whole_of_a_flow(self) -> None:
        events: list[Event] = []
        nanoseconds = [5_900_000, 12_899_999]
        with (
            mock.patch.object(emit, "monotonic_ns", side_effect=nanoseconds),
            FlowEmitter(
                events.append, flow_name="Report", backend="anthropic", clock=ticking()
            ) as flow,
        ):
            with flow.step("Plan", step_type="generate") as step:
                step.token("Hel")
                step.token("lo")
                step.tool_call("search", '{"q":"…"}')
                step.usage(tokens_input=812, tokens_output=64)
            with flow.step("Decide", step_type="classify") as step:
                step.token("yes")
                step.usage(tokens_input=8, tokens_output=1)
        expected: list[Event] = [
            FlowStart("Report", "anthropic", START),
            StepStart("Plan", 0, "generate", START + 1),
            StepToken("Plan", "Hel", 1, START + 2),
            StepToken("Plan", "lo", 2, START + 3),
            ToolCall("Plan", "search", '{"q":"…"}', START + 4),
            StepComplete("Plan", 0, True, "Hello", 812, 64, START + 5),
            StepStart("Decide", 1, "classify", START + 6),
            StepToken("Decide", "yes", 3, START + 7),
            StepComplete("Decide", 1, True, "yes", 8, 1, START + 8),
            FlowComplete("Report", "anthropic", True, 2, 820, 65, 6, START + 9),
        ]
        self.assertEqual(events, expected)
        self.assert_legal(events)

    def test_entering_gives_the_emitters_themselves(self) -> None:
        flow = emitter(nothing)
        with flow as entered:
            self.assertIs(entered, flow)
            step = flow.step("Plan", step_type="generate")
            self.assertIsInstance(step, StepEmitter)
            with step as entered_step:
                self.assertIs(entered_step, step)

    def test_a_flow_without_steps(self) -> None:
        events: list[Event] = []
        with emitter(events.append):
            pass
        self.assertEqual([event.kind for event in events], ["flow_start", "flow_complete"])
        self.assertEqual(getattr(events[1], "steps_executed", None), 0)
        self.assertIs(getattr(events[1], "success", None), True)
        self.assert_legal(events)

    def test_the_clock_is_now_ms_unless_told_otherwise(self) -> None:
        self.assertIs(inspect.signature(FlowEmitter).parameters["clock"].default, now_ms)
        events: list[Event] = []
        with FlowEmitter(events.append, flow_name="Report", backend="anthropic"):
            pass
        self.assert_legal(events)
        self.assertGreaterEqual(getattr(events[1], "latency_ms", -1), 0)

    def test_steps_may_share_a_name(self) -> None:
        events: list[Event] = []
        with emitter(events.append) as flow:
            for _ in range(3):
                with flow.step("Plan", step_type="generate"):
                    pass
        starts = [event.step_index for event in events if isinstance(event, StepStart)]
        self.assertEqual(starts, [0, 1, 2])
        self.assert_legal(events)

    def test_without_usage_the_tokens_are_0_and_the_last_usage_counts(self) -> None:
        events: list[Event] = []
        with emitter(events.append) as flow:
            with flow.step("Plan", step_type="generate") as step:
                step.token("one")
            with flow.step("Draft", step_type="generate") as step:
                step.usage(tokens_input=1, tokens_output=2)
                step.usage(tokens_input=30, tokens_output=0)
        totals = [
            (event.tokens_input, event.tokens_output)
            for event in events
            if isinstance(event, StepComplete | FlowComplete)
        ]
        self.assertEqual(totals, [(0, 0), (30, 0), (30, 0)])

    def test_the_totals_stop_at_the_limit(self) -> None:
        for first, second, total in (
            (U64_MAX, U64_MAX, U64_MAX),
            (U64_MAX, 0, U64_MAX),
            (U64_MAX - 1, 1, U64_MAX),
            (U64_MAX - 1, 2, U64_MAX),
            (U64_MAX - 2, 1, U64_MAX - 1),
        ):
            for swapped in (False, True):
                events: list[Event] = []
                with emitter(events.append) as flow:
                    for tokens in (first, second):
                        with flow.step("Plan", step_type="generate") as step:
                            if swapped:
                                step.usage(tokens_input=7, tokens_output=tokens)
                            else:
                                step.usage(tokens_input=tokens, tokens_output=7)
                last = events[-1]
                with self.subTest(first=first, second=second, swapped=swapped):
                    self.assertIsInstance(last, FlowComplete)
                    sums = [getattr(last, "tokens_input", 0), getattr(last, "tokens_output", 0)]
                    self.assertEqual(sums, [14, total] if swapped else [total, 14])
                    self.assert_legal(events)

    def test_no_counter_passes_the_limit(self) -> None:
        # Nobody sends 2^64 tokens: the counters are set, which is why this is not by the API.
        events: list[Event] = []
        with (
            mock.patch.object(emit, "monotonic_ns", return_value=0),
            emitter(events.append) as flow,
        ):
            flow._tokens = U64_MAX - 1
            flow._steps = U64_MAX
            with flow.step("Plan", step_type="generate") as step:
                step.token("last")
                with self.assertRaisesRegex(ValueError, r"StepToken\.token_index"):
                    step.token("one more")
                step.tool_call("search", "{}")
            with (
                self.assertRaisesRegex(ValueError, r"StepStart\.step_index"),
                flow.step("Draft", step_type="generate"),
            ):
                self.fail("entered")
        self.assertEqual(
            events[1:],
            [
                StepStart("Plan", U64_MAX, "generate", START + 1),
                StepToken("Plan", "last", U64_MAX, START + 2),
                ToolCall("Plan", "search", "{}", START + 4),
                StepComplete("Plan", U64_MAX, True, "last", 0, 0, START + 5),
                FlowComplete("Report", "anthropic", True, U64_MAX, 0, 0, 0, START + 7),
            ],
        )

    def test_plain_values_are_kept(self) -> None:
        class Name(str):
            __slots__ = ()

            def __str__(self) -> str:
                raise AssertionError("asked for its text")

        class Number(enum.IntEnum):
            SEVEN = 7

        events: list[Event] = []
        with (
            FlowEmitter(
                events.append,
                flow_name=Name("Report"),
                backend=Name("anthropic"),
                clock=lambda: Number.SEVEN,
            ) as flow,
            flow.step(Name("Plan"), step_type=Name("generate")) as step,
        ):
            step.token(Name("a"))
            step.output(Name("b"))
            step.tool_call(Name("search"), Name("{}"))
            step.usage(tokens_input=Number.SEVEN, tokens_output=Number.SEVEN)
        values = [getattr(event, name) for event in events for name in type(event).__slots__]
        self.assertEqual({type(value) for value in values}, {str, int, bool})


class Output(EmitterTestCase):
    def told(self, *calls: tuple[str, str]) -> tuple[list[tuple[int, str]], str]:
        """Return the tokens and the full output of a step in which these calls are made."""
        events: list[Event] = []
        with emitter(events.append) as flow:
            with flow.step("Plan", step_type="generate") as step:
                for name, text in calls:
                    getattr(step, name)(text)
            with flow.step("Draft", step_type="generate") as step:
                step.token("next")
        self.assert_legal(events)
        tokens = [(e.token_index, e.content) for e in events if isinstance(e, StepToken)]
        self.assertEqual(tokens.pop(), (len(tokens) + 1, "next"))
        return tokens, next(e.full_output for e in events if isinstance(e, StepComplete))

    def test_tokens_are_joined(self) -> None:
        self.assertEqual(self.told(), ([], ""))
        self.assertEqual(
            self.told(("token", "Gr"), ("token", ""), ("token", "ü\n")),
            ([(1, "Gr"), (2, ""), (3, "ü\n")], "Grü\n"),
        )

    def test_a_whole_output_is_one_token(self) -> None:
        self.assertEqual(self.told(("output", "whole")), ([(1, "whole")], "whole"))
        self.assertEqual(self.told(("output", "")), ([(1, "")], ""))

    def test_a_whole_output_after_tokens_is_not_sent(self) -> None:
        for token in ("a", ""):
            with self.subTest(token=token):
                self.assertEqual(
                    self.told(("token", token), ("output", "whole")), ([(1, token)], "whole")
                )

    def test_the_last_whole_output_counts(self) -> None:
        self.assertEqual(
            self.told(("output", "one"), ("output", "two"), ("output", "three")),
            ([(1, "one")], "three"),
        )

    def test_tokens_after_a_whole_output_are_added(self) -> None:
        self.assertEqual(
            self.told(("output", "one"), ("token", " two")), ([(1, "one"), (2, " two")], "one two")
        )

    def test_every_step_has_its_own(self) -> None:
        events: list[Event] = []
        with emitter(events.append) as flow:
            for text in ("one", "two"):
                with flow.step("Plan", step_type="generate") as step:
                    step.output(text)
        outputs = [event.full_output for event in events if isinstance(event, StepComplete)]
        self.assertEqual(outputs, ["one", "two"])
        self.assertEqual([e.token_index for e in events if isinstance(e, StepToken)], [1, 2])


class Success(EmitterTestCase):
    def successes(self, body: Callable[[FlowEmitter], object]) -> list[bool]:
        """Return `success` of each StepComplete, and of FlowComplete."""
        events: list[Event] = []
        with emitter(events.append) as flow:
            body(flow)
        self.assert_legal(events)
        self.assertIsInstance(events[-1], FlowComplete)
        return [e.success for e in events if isinstance(e, StepComplete | FlowComplete)]

    def test_a_step_that_fails_fails_the_flow(self) -> None:
        def body(flow: FlowEmitter) -> None:
            for fails in (False, True, False):
                with flow.step("Plan", step_type="generate") as step:
                    if fails:
                        step.fail()

        self.assertEqual(self.successes(body), [True, False, True, False])

    def test_a_flow_fails_alone(self) -> None:
        def body(flow: FlowEmitter) -> None:
            flow.fail()
            with flow.step("Plan", step_type="generate"):
                pass

        self.assertEqual(self.successes(body), [True, False])

    def test_an_exception_that_is_caught_between_step_and_flow(self) -> None:
        def body(flow: FlowEmitter) -> None:
            for cls in RAISED:
                with suppress(cls), flow.step("Plan", step_type="generate") as step:
                    step.token("so far")
                    raise cls
            with flow.step("Plan again", step_type="generate") as step:
                step.token("better")

        self.assertEqual(self.successes(body), [False] * len(RAISED) + [True, False])

    def test_an_exception_that_is_caught_in_the_step_is_none(self) -> None:
        def body(flow: FlowEmitter) -> None:
            with flow.step("Plan", step_type="generate"), suppress(ValueError):
                raise ValueError

        self.assertEqual(self.successes(body), [True, True])

    def test_the_output_so_far_and_the_usage_are_kept(self) -> None:
        events: list[Event] = []
        with self.assertRaises(ValueError), emitter(events.append) as flow:
            with flow.step("Plan", step_type="generate") as step:
                step.token("so ")
                step.usage(tokens_input=3, tokens_output=4)
                step.token("far")
                raise ValueError("no more")
            self.fail("swallowed")
        self.assertEqual(
            events[-2:],
            [
                StepComplete("Plan", 0, False, "so far", 3, 4, START + 4),
                FlowError("Report", "ValueError: no more", START + 5),
            ],
        )


class Anywhere(EmitterTestCase):
    """The script, with a fault at each place of it."""

    def test_the_script_alone(self) -> None:
        events: list[Event] = []
        script(events.append, ticking(), nothing)
        self.assert_legal(events)
        self.assertIsInstance(events[-1], FlowComplete)
        # Otherwise the tests below would try nothing.
        self.assertEqual(COUNTS, {"events": 10, "clock": 10, "points": 15})

    def test_an_exception_in_the_body(self) -> None:
        points = COUNTS["points"]
        for cls, n in itertools.product(RAISED, range(points)):
            events: list[Event] = []
            error = cls("broken")
            with self.subTest(cls=cls.__name__, point=n):
                with self.assertRaises(cls) as caught:
                    script(events.append, ticking(), Failing(nothing, n, error))
                self.assertIs(caught.exception, error)
                self.assertIsNone(error.__context__)
                if n == 0:
                    self.assertEqual(events, [])
                elif n == points - 1:
                    self.assert_legal(events)
                    self.assertIsInstance(events[-1], FlowComplete)
                else:
                    self.assert_ended(events, f"{cls.__name__}: broken")

    def test_an_exception_out_of_the_sink(self) -> None:
        whole: list[Event] = []
        script(whole.append, ticking(), nothing)
        for cls, n, taken in itertools.product(RAISED, range(COUNTS["events"]), (False, True)):
            events: list[Event] = []
            error = cls("nobody listens")
            sink = Failing(events.append, n, error, late=taken)
            with self.subTest(cls=cls.__name__, event=n, taken=taken):
                with self.assertRaises(cls) as caught:
                    script(sink, ticking(), nothing)
                self.assertIs(caught.exception, error)
                self.assertIsNone(error.__context__)
                self.assertEqual(sink.calls, n + 1)
                self.assertEqual(
                    [event.kind for event in events],
                    [event.kind for event in whole[: n + taken]],
                )
                self.assert_legal(events, cut=True)

    def test_an_exception_in_the_body_and_another_out_of_the_sink(self) -> None:
        for n, m in itertools.product(range(1, COUNTS["points"] - 1), range(COUNTS["events"])):
            events: list[Event] = []
            body, sink = ValueError("body"), KeyboardInterrupt("sink")
            calls = Failing(events.append, m, sink)
            with self.subTest(point=n, event=m):
                try:
                    script(calls, ticking(), Failing(nothing, n, body))
                except KeyboardInterrupt as error:
                    self.assertIs(error, sink)
                    self.assertEqual(calls.calls, m + 1)
                    self.assert_legal(events, cut=True)
                    self.assertFalse(events and events[-1].is_terminator)
                except ValueError as error:
                    self.assertIs(error, body)
                    self.assert_ended(events, "ValueError: body")

    def test_an_exception_out_of_the_clock(self) -> None:
        for cls, n, lasting in itertools.product(RAISED, range(COUNTS["clock"]), (False, True)):
            events: list[Event] = []
            error = cls("no time")
            with self.subTest(cls=cls.__name__, call=n, lasting=lasting):
                with self.assertRaises(cls) as caught:
                    script(events.append, Failing(ticking(), n, error, lasting=lasting), nothing)
                self.assertIs(caught.exception, error)
                if n == 0:
                    self.assertEqual(events, [])
                else:
                    self.assert_ended(events, f"{cls.__name__}: no time")
                    self.assertLess(events[-1].timestamp_ms, START + COUNTS["clock"])

    def test_a_clock_that_gives_no_time(self) -> None:
        faults: list[tuple[object, type[Exception], str]] = [
            (None, TypeError, "clock must return Unix milliseconds as an int, got NoneType"),
            (1.7e12, TypeError, "clock must return Unix milliseconds as an int, got float"),
            (True, TypeError, "clock must return Unix milliseconds as an int, got bool"),
            ("1", TypeError, "clock must return Unix milliseconds as an int, got str"),
            (-1, ValueError, f"clock must return Unix milliseconds from 0 to {U64_MAX}, got -1"),
            (
                2**64,
                ValueError,
                f"clock must return Unix milliseconds from 0 to {U64_MAX}, got {2**64}",
            ),
            (
                10**5000,
                ValueError,
                f"clock must return Unix milliseconds from 0 to {U64_MAX}, got an int of"
                f" {(10**5000).bit_length()} bits",
            ),
        ]
        calls = range(COUNTS["clock"])
        for (value, cls, text), n, lasting in itertools.product(faults, calls, (False, True)):
            events: list[Event] = []
            with self.subTest(cls=cls.__name__, text=text, call=n, lasting=lasting):
                with self.assertRaises(cls) as caught:
                    script(events.append, Failing(ticking(), n, value, lasting=lasting), nothing)
                self.assertEqual(str(caught.exception), text)
                if n == 0:
                    self.assertEqual(events, [])
                else:
                    self.assert_ended(events, f"{cls.__name__}: {text}")

    def test_a_time_that_lies_about_itself(self) -> None:
        class Odd(int):
            def __le__(self, other: object) -> bool:
                return True

            __ge__ = __le__

        for lasting in (False, True):
            for n in range(COUNTS["clock"]):
                events: list[Event] = []
                with self.subTest(call=n, lasting=lasting):
                    clock = Failing(ticking(), n, Odd(-1), lasting=lasting)
                    with self.assertRaisesRegex(ValueError, "^clock must .*, got -1$"):
                        script(events.append, clock, nothing)
                    self.assert_legal(events, cut=not n)

    def test_the_limits_of_the_clock(self) -> None:
        for limit in (0, U64_MAX):
            events: list[Event] = []
            script(events.append, itertools.repeat(limit).__next__, nothing)
            self.assertEqual({event.timestamp_ms for event in events}, {limit})

    def test_faults_in_body_sink_and_clock_together(self) -> None:
        seed = 20261122
        rng = random.Random(seed)
        ends = {"sink": 0, "legal": 0}
        count = rounds(400, 3000)
        for run in range(count):
            events: list[Event] = []
            out_of_the_sink = rng.choice(RAISED)("sink")
            sink = Failing(events.append, rng.randrange(COUNTS["events"] * 3), out_of_the_sink)
            clock = Failing(
                ticking(),
                rng.randrange(COUNTS["clock"]),
                rng.choice((None, -1, rng.choice(RAISED)("clock"))),
                lasting=rng.random() < 0.5,
            )
            body = Failing(nothing, rng.randrange(COUNTS["points"]), rng.choice(RAISED)("body"))
            with self.subTest(run=run, seed=seed):
                try:
                    script(sink, clock, body)
                except BaseException as error:
                    if error is out_of_the_sink:
                        ends["sink"] += 1
                        self.assertEqual(sink.calls, sink.at + 1)
                        self.assert_legal(events, cut=True)
                        continue
                    if events and body.at != COUNTS["points"] - 1:
                        self.assertIsInstance(events[-1], FlowError)
                if events:
                    ends["legal"] += 1
                    self.assert_legal(events)
        self.assertGreater(min(ends.values()), count // 30, f"seed {seed}")


class AfterTheClock(EmitterTestCase):
    """A clock that fails where a block is left: the event is sent all the same."""

    def test_a_step_is_failed_with_the_last_good_time(self) -> None:
        events: list[Event] = []
        with emitter(events.append, Failing(ticking(), 3, KeyboardInterrupt())) as flow:
            with (
                self.assertRaises(KeyboardInterrupt),
                flow.step("Plan", step_type="generate") as step,
            ):
                step.token("a")
            with flow.step("Draft", step_type="generate"):
                pass
        self.assertEqual(events[3], StepComplete("Plan", 0, False, "a", 0, 0, START + 2))
        self.assert_legal(events)
        self.assertIs(getattr(events[-1], "success", None), False)

    def test_a_flow_is_an_error_and_keeps_the_exception_of_its_block_as_context(self) -> None:
        for body in (None, ValueError("body")):
            events: list[Event] = []
            failure = OSError("no clock")
            with self.subTest(body=body):
                with (
                    self.assertRaises(OSError) as caught,
                    emitter(events.append, Failing(ticking(), 1, failure)),
                ):
                    if body is not None:
                        raise body
                self.assertIs(caught.exception, failure)
                self.assertIs(failure.__context__, body)
                self.assertEqual(events[-1], FlowError("Report", "OSError: no clock", START))

    def test_a_failed_call_changes_nothing(self) -> None:
        clock = Failing(ticking(), 0, ValueError())
        events: list[Event] = []
        flow = emitter(events.append, clock)
        with self.assertRaises(ValueError):
            flow.__enter__()
        with flow:
            step = flow.step("Plan", step_type="generate")
            clock.at = clock.calls
            with self.assertRaises(ValueError):
                step.__enter__()
            with step:
                for call in step_calls(step)[:3]:
                    clock.at = clock.calls
                    with self.assertRaises(ValueError):
                        call()
                step.token("b")
        self.assertEqual(
            [event.kind for event in events],
            ["flow_start", "step_start", "step_token", "step_complete", "flow_complete"],
        )
        self.assertEqual(getattr(events[3], "full_output", None), "b")
        self.assert_legal(events)


class Texts(EmitterTestCase):
    """The text of FlowError."""

    def raised(self, error: BaseException, expected: BaseException | None = None) -> str:
        """Return the text for an exception, and check that it goes on, or the expected one."""
        events: list[Event] = []
        leaving: BaseException | None = None
        try:
            with emitter(events.append) as flow, flow.step("Plan", step_type="generate"):
                raise error
        except BaseException as caught:
            leaving = caught
        self.assertIs(leaving, expected or error)
        self.assert_legal(events)
        last = events[-1]
        self.assertIsInstance(last, FlowError)
        return last.error if isinstance(last, FlowError) else ""

    def test_type_and_message(self) -> None:
        for error, text in (
            (ValueError("bad\nvalue"), "ValueError: bad\nvalue"),
            (KeyError("x"), "KeyError: 'x'"),
            (SystemExit(3), "SystemExit: 3"),
            (OSError(ENOENT, "gone"), f"FileNotFoundError: [Errno {ENOENT}] gone"),
            (Interrupt(0), "Interrupt: 0"),
        ):
            self.assertEqual(self.raised(error), text)

    def test_an_empty_message(self) -> None:
        for error in (ValueError(), ValueError(""), KeyboardInterrupt(), GeneratorExit()):
            self.assertEqual(self.raised(error), type(error).__name__)

    def test_surrogates(self) -> None:
        for message, text in (
            ("\ud800", "\ufffd"),
            ("\udfff", "\ufffd"),
            ("a\udc80b", "a\ufffdb"),
            ("\ud83d\ude00", "\U0001f600"),
            ("\ude00\ud83d", "\ufffd\ufffd"),
            ("\ud7ff\ue000\U0001f600\ufffd", "\ud7ff\ue000\U0001f600\ufffd"),
        ):
            self.assertEqual(self.raised(ValueError(message)), f"ValueError: {text}")

    def test_a_message_that_fails(self) -> None:
        class BrokenError(Exception):
            def __str__(self) -> str:
                raise self.args[0]

        class RecursiveError(Exception):
            def __str__(self) -> str:
                return str(self)

        class NoTextError(Exception):
            def __str__(self) -> str:
                return 7  # type: ignore[return-value]

        class OddText(str):
            __slots__ = ()

            def __format__(self, spec: str) -> str:
                raise ValueError

        class OddError(Exception):
            def __str__(self) -> str:
                return OddText("odd")

        for error in (
            BrokenError(ValueError()),
            BrokenError(StopIteration()),
            RecursiveError(),
            NoTextError(),
            OddError(),
        ):
            self.assertEqual(self.raised(error), type(error).__name__)

    def test_an_interrupt_inside_the_message_goes_on(self) -> None:
        class BrokenError(Exception):
            def __str__(self) -> str:
                raise self.args[0]

        for cls in (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError):
            interrupt = cls()
            error = BrokenError(interrupt)
            self.assertEqual(self.raised(error, interrupt), "BrokenError")
            self.assertIs(interrupt.__context__, error)

    def test_an_interrupt_that_interrupts_itself(self) -> None:
        class Broken(BaseException):
            def __str__(self) -> str:
                raise self

        self.assertEqual(self.raised(Broken()), "Broken")

    def test_a_name_of_the_type_that_is_not_one(self) -> None:
        def named(name: object) -> BaseException:
            class Meta(type):
                @property
                def __name__(cls) -> Any:  # type: ignore[override]
                    if isinstance(name, BaseException):
                        raise name
                    return name

            class OddError(Exception, metaclass=Meta):
                pass

            return OddError()

        for name, text in (("\ud800", "\ufffd"), (7, "7"), (ValueError(), "exception")):
            self.assertEqual(self.raised(named(name)), text)

    def test_groups_and_chains(self) -> None:
        cause = ValueError("cause")
        error = RuntimeError("effect")
        error.__cause__ = cause
        self.assertEqual(self.raised(error), "RuntimeError: effect")
        self.assertIs(error.__cause__, cause)


def well_formed(text: str) -> str:
    """Return text as JavaScript's `toWellFormed` does: pairs joined, U+FFFD for each other half."""
    units = text.encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace")


class Surrogates(EmitterTestCase):
    """Text of models and tools never ends a run."""

    def sent(self, *tokens: str) -> tuple[list[str], str]:
        """Return the texts of the tokens that a step sends for these, and its full output."""
        events: list[Event] = []
        with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
            for token in tokens:
                step.token(token)
        self.assert_legal(events)
        texts = [event.content for event in events if isinstance(event, StepToken)]
        complete = events[-2]
        assert isinstance(complete, StepComplete)
        self.assertEqual("".join(texts), complete.full_output)
        return texts, complete.full_output

    def test_halves_over_two_tokens_are_joined(self) -> None:
        for tokens, texts in (
            (("\ud83d", "\ude00"), ["\U0001f600"]),
            (("a\ud83d", "\ude00b"), ["a", "\U0001f600b"]),
            (("\ud83d", "\ude00\ud83d", "\ude01"), ["\U0001f600", "\U0001f601"]),
            (("\ud83d", "x"), ["\ufffdx"]),
            (("\ud83d", "\ud83d", "\ude00"), ["\ufffd", "\U0001f600"]),
            (("\ud83d", ""), ["\ufffd"]),
            (("\ud83d",), ["\ufffd"]),
            (("a\ud83d",), ["a", "\ufffd"]),
            (("\ude00", "a\udc80b"), ["\ufffd", "a\ufffdb"]),
            (("\ud83d\ude00",), ["\U0001f600"]),
            (("\ude00\ud83d",), ["\ufffd", "\ufffd"]),
            (("",), [""]),
            (("é\U0001f600", "x"), ["é\U0001f600", "x"]),
        ):
            with self.subTest(tokens):
                self.assertEqual(self.sent(*tokens)[0], texts)

    def test_random_text_cut_anywhere(self) -> None:
        seed = 20261127
        rng = random.Random(seed)
        for _ in range(rounds(120, 20_000)):
            chars = rng.choices("aé\U0001f600\ud83d\ude00\udc80", k=rng.randrange(9))
            units = "".join(
                char
                if char < "\U00010000"
                else char.encode("utf-16-le").decode("utf-16-le", "surrogatepass")
                for char in chars
            )
            tokens = []
            while units:
                size = rng.randint(1, 4)
                tokens.append(units[:size])
                units = units[size:]
            with self.subTest(tokens=tokens, seed=seed):
                self.assertEqual(self.sent(*tokens)[1], well_formed("".join(tokens)))

    def test_a_half_waits_over_a_tool_call(self) -> None:
        events: list[Event] = []
        with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
            step.token("\ud83d")
            step.tool_call("search", "\ud83d\ude00 \udc80")
            step.token("\ude00")
        self.assert_legal(events)
        self.assertEqual(
            events[2:4],
            [
                ToolCall("Plan", "search", "\U0001f600 \ufffd", START + 3),
                StepToken("Plan", "\U0001f600", 1, START + 4),
            ],
        )

    def test_a_half_does_not_wait_for_the_output(self) -> None:
        for text, output in (("whole", "whole"), ("\ude00\ud83d", "\ufffd\ufffd")):
            events: list[Event] = []
            with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
                step.token("\ud83d")
                step.output(text)
            self.assert_legal(events)
            contents = [event.content for event in events if isinstance(event, StepToken)]
            self.assertEqual(contents, ["\ufffd"])
            self.assertEqual(getattr(events[-2], "full_output", None), output)
        events = []
        with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
            step.output("a\ud83d")
        contents = [event.content for event in events if isinstance(event, StepToken)]
        self.assertEqual(contents, ["a\ufffd"])

    def test_a_bad_output_leaves_the_half_waiting(self) -> None:
        events: list[Event] = []
        with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
            step.token("\ud83d")
            bad: Any = None
            with self.assertRaises(TypeError):
                step.output(bad)
            with self.assertRaises(TypeError):
                step.token(bad)
            step.token("\ude00")
        contents = [event.content for event in events if isinstance(event, StepToken)]
        self.assertEqual(contents, ["\U0001f600"])

    def test_a_half_at_the_end_that_the_sink_refuses(self) -> None:
        events: list[Event] = []
        sink = Failing(events.append, 2, Interrupt())
        with (
            self.assertRaises(Interrupt),
            emitter(sink) as flow,
            flow.step("Plan", step_type="generate") as step,
        ):
            step.token("\ud83d")
        self.assertEqual([event.kind for event in events], ["flow_start", "step_start"])
        self.assertEqual(sink.calls, 3)


class Sinks(EmitterTestCase):
    def test_several_are_called_in_order(self) -> None:
        called: list[tuple[int, Event]] = []
        sinks = (lambda event: called.append((1, event)), lambda event: called.append((2, event)))
        with FlowEmitter(sinks, flow_name="Report", backend="x", clock=lambda: 7):
            pass
        self.assertEqual([number for number, _ in called], [1, 2, 1, 2])
        self.assertEqual([event.kind for _, event in called[::2]], ["flow_start", "flow_complete"])
        self.assertEqual([event for _, event in called[::2]], [event for _, event in called[1::2]])

    def test_what_comes_out_of_any_of_them_ends_the_flow(self) -> None:
        for place in (0, 1):
            events: list[Event] = []
            sinks: list[Callable[[Event], object]] = [events.append, events.append]
            sinks[place] = Failing(events.append, 1, Interrupt())
            with (
                self.assertRaises(Interrupt),
                FlowEmitter(tuple(sinks), flow_name="Report", backend="x") as flow,
            ):
                flow.step("Plan", step_type="generate").__enter__()
            self.assertEqual(len(events), 2 + place)

    def test_each_is_checked(self) -> None:
        empty: Any = ()
        other: Any = (nothing, None)
        for sink, name in ((empty, "tuple"), (other, "NoneType")):
            with self.assertRaises(TypeError) as caught:
                FlowEmitter(sink, flow_name="", backend="")
            self.assertEqual(str(caught.exception), f"sink must be callable, got {name}")


class Parallel(EmitterTestCase):
    def assert_legal_but_for_overlap(self, events: list[Event]) -> None:
        checker = StreamChecker(allow={Rule.STEP_OVERLAP})
        violations = [violation for event in events for violation in checker.feed(event)]
        self.assertEqual(violations + checker.close(), [])

    def parallel(self, sink: Callable[[Event], object]) -> FlowEmitter:
        return FlowEmitter(
            sink, flow_name="Report", backend="anthropic", clock=ticking(), parallel=True
        )

    def test_steps_interleave(self) -> None:
        events: list[Event] = []
        with self.parallel(events.append) as flow:
            one = flow.step("Draft", step_type="generate")
            two = flow.step("Draft", step_type="generate")
            with one:
                one.token("Hel")
                with two:
                    two.token("Bon")
                    one.token("lo")
                    two.token("jour")
                    two.usage(tokens_input=1, tokens_output=2)
                    one.usage(tokens_input=3, tokens_output=4)
        self.assert_legal_but_for_overlap(events)
        completes = [event for event in events if isinstance(event, StepComplete)]
        self.assertEqual(
            [(event.step_index, event.full_output) for event in completes],
            [(1, "Bonjour"), (0, "Hello")],
        )
        last = events[-1]
        assert isinstance(last, FlowComplete)
        self.assertEqual((last.steps_executed, last.tokens_input, last.tokens_output), (2, 4, 6))

    def test_leaving_the_flow_completes_what_is_open_as_failed(self) -> None:
        for error in (None, ValueError("x")):
            events: list[Event] = []
            with suppress(ValueError), self.parallel(events.append) as flow:
                for name in ("A", "B", "C"):
                    step = flow.step(name, step_type="generate")
                    step.__enter__()
                    step.token(f"{name}\ud83d")
                if error is not None:
                    raise error
            self.assert_legal_but_for_overlap(events)
            completes = [event for event in events if isinstance(event, StepComplete)]
            self.assertEqual(
                [(event.full_output, event.success) for event in completes],
                [("A\ufffd", False), ("B\ufffd", False), ("C\ufffd", False)],
            )
            self.assertEqual(events[-1].kind, "flow_error" if error else "flow_complete")
            self.assertFalse(getattr(events[-1], "success", False))

    def test_a_sink_that_fails_ends_all_steps(self) -> None:
        events: list[Event] = []
        sink = Failing(events.append, 3, Interrupt())
        with self.assertRaises(Interrupt), self.parallel(sink) as flow:
            steps = [flow.step(name, step_type="generate") for name in "AB"]
            for step in steps:
                step.__enter__()
            try:
                steps[0].token("x")
            finally:
                for step in steps:
                    with self.assertRaises(RuntimeError):
                        step.token("y")
        self.assertEqual(len(events), 3)

    @needs.threads
    def test_steps_in_threads(self) -> None:
        events: list[Event] = []
        count = rounds(50, 2000)

        def run(flow: FlowEmitter, name: str) -> None:
            with flow.step(name, step_type="generate") as step:
                for n in range(count):
                    step.token(f"{n} ")

        with self.parallel(events.append) as flow:
            names = [f"Step {n}" for n in range(4)]
            join(started(*(partial(run, flow, name) for name in names)))
        self.assert_legal_but_for_overlap(events)
        text = "".join(f"{n} " for n in range(count))
        completes = [event for event in events if isinstance(event, StepComplete)]
        self.assertEqual([event.full_output for event in completes], [text] * 4)
        self.assertEqual(len(events), 2 + 4 * (count + 2))

    @needs.asyncio_run
    def test_steps_in_tasks(self) -> None:
        events: list[Event] = []

        async def run(flow: FlowEmitter, name: str) -> None:
            with flow.step(name, step_type="generate") as step:
                for n in range(5):
                    await asyncio.sleep(0)
                    step.token(f"{n}")

        async def main() -> None:
            with self.parallel(events.append) as flow:
                await asyncio.gather(*(run(flow, f"Step {n}") for n in range(3)))

        asyncio.run(main())
        self.assert_legal_but_for_overlap(events)
        completes = [event for event in events if isinstance(event, StepComplete)]
        self.assertEqual([event.full_output for event in completes], ["01234"] * 3)

    def test_another_value_than_a_bool(self) -> None:
        value: Any = 1
        with self.assertRaisesRegex(TypeError, "^parallel must be a bool, got int$"):
            FlowEmitter(nothing, flow_name="", backend="", parallel=value)


class Closing(EmitterTestCase):
    """What ends a run that a crash has cut."""

    def broken(self, events: list[Event], **options: Any) -> list[Rule]:
        checker = StreamChecker(**options)
        violations = [violation for event in events for violation in checker.feed(event)]
        return [violation.rule for violation in violations + checker.close()]

    def test_a_run_cut_after_any_event(self) -> None:
        events: list[Event] = []
        script(events.append, ticking(), nothing)
        for count in range(1, len(events)):
            with self.subTest(count):
                cut = events[:count]
                ends = closing(cut, error="the server was killed", clock=lambda: 7)
                self.assertEqual(ends[-1], FlowError("Report", "the server was killed", 7))
                options = {"match_output": count < 9}  # then its output is reworked
                self.assertEqual(self.broken([*cut, *ends], **options), [])
                self.assertEqual(closing([*cut, *ends], error="again"), [])
        self.assertEqual(closing(events, error="x"), [])

    def test_the_text_so_far(self) -> None:
        events: list[Event] = [
            FlowStart("Report", "x", 1),
            StepStart("Draft", 0, "generate", 2),
            StepToken("Draft", "old", 1, 3),
            StepComplete("Draft", 0, True, "old", 1, 2, 4),
            StepStart("Draft", 1, "generate", 5),
            StepToken("Draft", "Hel", 2, 6),
            ToolCall("Draft", "search", "{}", 7),
            StepToken("Draft", "lo", 3, 8),
        ]
        self.assertEqual(
            closing(events, error="a\ud83d\ude00\udc80", clock=lambda: 9),
            [
                StepComplete("Draft", 1, False, "Hello", 0, 0, 9),
                FlowError("Report", "a\U0001f600\ufffd", 9),
            ],
        )

    def test_parallel_steps(self) -> None:
        events: list[Event] = [
            FlowStart("Report", "x", 1),
            StepStart("A", 0, "t", 2),
            StepStart("B", 1, "t", 2),
            StepToken("B", "b", 1, 2),
            StepToken("A", "a", 2, 2),
            StepStart("A", 0, "t", 2),
        ]
        ends = closing(events, error="x", clock=lambda: 3)
        self.assertEqual(
            ends[:-1],
            [StepComplete("A", 0, False, "a", 0, 0, 3), StepComplete("B", 1, False, "b", 0, 0, 3)],
        )
        allowed = {"allow": {Rule.STEP_OVERLAP, Rule.STEP_REPEATED}, "match_output": True}
        self.assertEqual(self.broken([*events, *ends], **allowed), [])

    def test_random_streams_break_no_rule_more(self) -> None:
        seed = 20261127
        rng = random.Random(seed)
        for _ in range(rounds(120, 20_000)):
            events: list[Event] = [FlowStart("F", "b", 0)]
            for _ in range(rng.randrange(12)):
                name, index = rng.choice("AB"), rng.randrange(3)
                choices: list[Event] = [
                    StepStart(name, index, "t", 0),
                    StepToken(name, rng.choice("xy"), rng.randrange(5), 0),
                    StepComplete(name, index, True, rng.choice(["", "x"]), 0, 0, 0),
                    ToolCall(name, "t", "", 0),
                    FlowStart("G", "b", 0),
                ]
                events.append(rng.choice(choices))
            with self.subTest(events=events, seed=seed):
                for options in ({}, {"match_output": True}, {"token_scope": "step"}):
                    before = [
                        r for r in self.broken(events, **options) if r.value != "not-terminated"
                    ]
                    after = self.broken([*events, *closing(events, error="x")], **options)
                    self.assertEqual(after, before)

    def test_what_is_no_run(self) -> None:
        for events in ([], [StepToken("S", "x", 1, 2)]):
            with self.assertRaises(ValueError) as caught:
                closing(events, error="x")
            self.assertEqual(
                str(caught.exception),
                "expected the events of a run, got no FlowStart",
            )
        self.assertEqual(closing([FlowError("F", "x", 1)], error="y"), [])
        bad: Any = None
        with self.assertRaisesRegex(TypeError, "^error must be a str, got NoneType$"):
            closing([FlowStart("F", "b", 1)], error=bad)
        wrong: Any = ["x"]
        with self.assertRaises(TypeError):
            closing(wrong, error="x")


class DeadSink(EmitterTestCase):
    """After an exception came out of the sink."""

    def test_every_call_is_refused_and_nothing_is_sent(self) -> None:
        refused = "the flow has ended because a sink raised: make a new FlowEmitter for another run"
        for n in range(3):
            events: list[Event] = []
            sink = Failing(events.append, n, KeyError("closed"))
            flow = emitter(sink)
            calls: list[Callable[[], object]]
            step = None
            with ExitStack() as stack:
                with suppress(KeyError):
                    stack.enter_context(flow)
                    step = flow.step("Plan", step_type="generate")
                    stack.enter_context(step)
                    step.token("a")
                calls = [
                    flow.__enter__,
                    flow.fail,
                    partial(flow.step, "Draft", step_type="generate"),
                ]
                if step is not None:
                    calls += [step.__enter__, *step_calls(step)]
                for call in calls:
                    with self.subTest(event=n, call=call):
                        with self.assertRaises(RuntimeError) as caught:
                            call()
                        self.assertEqual(str(caught.exception), refused)
            with self.subTest(event=n):
                self.assertEqual(sink.calls, n + 1)
                self.assert_legal(events, cut=True)

    def test_leaving_does_not_read_the_clock(self) -> None:
        error = KeyError("closed")
        clock = Failing(ticking(), 3, ValueError(), lasting=True)
        with (
            self.assertRaises(KeyError) as caught,
            emitter(Failing(nothing, 2, error), clock) as flow,
            flow.step("Plan", step_type="generate") as step,
        ):
            step.token("a")
        self.assertIs(caught.exception, error)
        self.assertEqual(clock.calls, 3)


class Misuse(EmitterTestCase):
    def refuse(self, events: list[Event], call: Callable[[], object], text: str) -> None:
        before = list(events)
        with self.subTest(text):
            with self.assertRaises(RuntimeError) as caught:
                call()
            self.assertEqual(str(caught.exception), text)
            self.assertEqual(events, before)

    def test_each_is_refused_and_the_flow_goes_on(self) -> None:
        events: list[Event] = []
        flow = emitter(events.append)

        def new_step() -> object:
            return flow.step("Other", step_type="generate")

        text = "the flow has not started: use it in `with FlowEmitter(...) as flow:`"
        for call in (new_step, flow.fail):
            self.refuse(events, call, text)
        with flow:
            text = "the flow is running: enter a FlowEmitter once, and make one for each run"
            self.refuse(events, flow.__enter__, text)
            step = flow.step("Plan", step_type="generate")
            other = flow.step("Oth\ner" * 100, step_type="generate")
            text = "the step has not started: use it in `with flow.step(...) as step:`"
            for call in step_calls(step):
                self.refuse(events, call, text)
            step.__exit__(None, None, None)
            with step:
                step.token("a")
                self.refuse(
                    events,
                    other.__enter__,
                    "the step 'Plan' is open: leave its `with` block before another step starts,"
                    " or make the FlowEmitter with parallel=True",
                )
                for call in step_calls(other):
                    self.refuse(events, call, text)
                text = "the step was entered before: call flow.step(...) again for another step"
                self.refuse(events, step.__enter__, text)
                step.token("b")
            self.refuse(events, step.__enter__, text)
            text = "the step has ended: use it only inside its own `with` block"
            for call in step_calls(step):
                self.refuse(events, call, text)
            with other:
                other.token("c")
                for call in step_calls(step):
                    self.refuse(events, call, text)
                with self.assertRaises(RuntimeError) as caught:
                    flow.step("Late", step_type="generate").__enter__()
                self.assertRegex(str(caught.exception), r"^the step 'Oth\\nerOth.{40,60} is open: ")
        text = "the flow has ended: make a new FlowEmitter for another run"
        for call in (new_step, flow.fail, flow.__enter__, step.__enter__):
            self.refuse(events, call, text)
        for call in step_calls(step):
            self.refuse(events, call, text)
        self.assertEqual(
            " ".join(event.kind.removeprefix("step_") for event in events),
            "flow_start start token token complete start token complete flow_complete",
        )
        self.assert_legal(events)
        self.assertIs(getattr(events[-1], "success", None), True)
        self.assertEqual(getattr(events[-1], "tokens_input", None), 0)

    def test_leaving_what_is_not_open_does_nothing(self) -> None:
        events: list[Event] = []
        flow = emitter(events.append)
        flow.__exit__(None, None, None)
        self.assertEqual(events, [])
        with flow:
            with flow.step("Plan", step_type="generate") as step:
                pass
            step.__exit__(None, None, None)
        step.__exit__(None, None, None)
        flow.__exit__(None, None, None)
        self.assert_legal(events)
        self.assertEqual(len(events), 4)

    def test_not_caught_it_ends_the_flow(self) -> None:
        events: list[Event] = []
        with (
            self.assertRaises(RuntimeError),
            emitter(events.append) as flow,
            flow.step("Plan", step_type="generate"),
            flow.step("Draft", step_type="generate"),
        ):
            self.fail("entered")
        self.assert_legal(events)
        self.assertEqual(
            [event.kind for event in events],
            ["flow_start", "step_start", "step_complete", "flow_error"],
        )


NO_TEXTS: tuple[tuple[Any, type[Exception]], ...] = (
    (None, TypeError),
    (b"bytes", TypeError),
    (1, TypeError),
    (["a"], TypeError),
)
BAD_TEXTS: tuple[tuple[Any, type[Exception]], ...] = (
    *NO_TEXTS,
    ("\ud800", ValueError),
    ("a\udfff", ValueError),
)
BAD_COUNTS: tuple[tuple[Any, type[Exception]], ...] = (
    (None, TypeError),
    ("1", TypeError),
    (True, TypeError),
    (1.0, TypeError),
    (-1, ValueError),
    (2**64, ValueError),
)


class BadValues(EmitterTestCase):
    def refuse(
        self,
        cls: type[Exception],
        field: str,
        function: Callable[..., object],
        *args: object,
        **kwargs: object,
    ) -> None:
        with self.subTest(field, args=args, kwargs=kwargs):
            with self.assertRaises(cls) as caught:
                function(*args, **kwargs)
            self.assertTrue(str(caught.exception).startswith(f"{field} must be "), caught.exception)

    def test_of_the_emitter(self) -> None:
        sinks: list[Any] = [None, [], "append"]
        for other in sinks:
            for name in ("sink", "clock"):
                functions = {"sink": nothing, "clock": now_ms, name: other}
                with self.subTest(name, other=other):
                    with self.assertRaises(TypeError) as caught:
                        FlowEmitter(
                            functions["sink"], flow_name="", backend="", clock=functions["clock"]
                        )
                    self.assertEqual(
                        str(caught.exception),
                        f"{name} must be callable, got {type(other).__name__}",
                    )

        class Asynchronous:
            async def __call__(self, event: Event) -> None:
                raise AssertionError("nobody awaits it")

        for sink in (Asynchronous(), Asynchronous().__call__):
            with self.assertRaises(TypeError) as caught:
                FlowEmitter(sink, flow_name="", backend="")
            self.assertEqual(
                str(caught.exception),
                "sink must be a plain function, got a coroutine function, which nobody would await",
            )
        events: list[Event] = []
        for value, cls in BAD_TEXTS:
            for name in ("flow_name", "backend"):
                values = {"flow_name": "", "backend": "", name: value}
                self.refuse(cls, f"FlowStart.{name}", FlowEmitter, events.append, **values)
        self.assertEqual(events, [])

    def test_send_nothing_and_change_nothing(self) -> None:
        for first in ("token", "output", None):
            events: list[Event] = []
            with emitter(events.append) as flow:
                for value, cls in BAD_TEXTS:
                    self.refuse(cls, "StepStart.step_name", flow.step, value, step_type="t")
                    self.refuse(cls, "StepStart.step_type", flow.step, "Plan", step_type=value)
                with flow.step("Plan", step_type="generate") as step:
                    step.usage(tokens_input=5, tokens_output=6)
                    if first is not None:
                        getattr(step, first)("first")
                    sent = len(events)
                    for value, cls in NO_TEXTS:
                        self.refuse(cls, "StepToken.content", step.token, value)
                        self.refuse(cls, "StepToken.content", step.output, value)
                        self.refuse(cls, "ToolCall.content", step.tool_call, "search", value)
                    for value, cls in BAD_TEXTS:
                        self.refuse(cls, "ToolCall.tool_name", step.tool_call, value, "{}")
                    for value, cls in BAD_COUNTS:
                        for name in ("tokens_input", "tokens_output"):
                            values = {"tokens_input": 1, "tokens_output": 1, name: value}
                            self.refuse(cls, f"StepComplete.{name}", step.usage, **values)
                    self.assertEqual(len(events), sent)
                    step.token("next")
            with self.subTest(first=first):
                self.assert_legal(events)
                complete = events[-2]
                expected = "next" if first is None else "firstnext"
                self.assertEqual(
                    (getattr(complete, "full_output", None), getattr(complete, "success", None)),
                    (expected, True),
                )
                self.assertEqual(getattr(complete, "tokens_input", None), 5)
                self.assertEqual(getattr(complete, "tokens_output", None), 6)

    def test_usage_and_step_type_go_by_name(self) -> None:
        with emitter(nothing) as flow, flow.step("Plan", step_type="generate") as step:
            usage: Any = step.usage
            new_step: Any = flow.step
            calls: list[Callable[[], object]] = [
                partial(usage, 1, 2),
                partial(usage, tokens_input=1),
                partial(new_step, "Plan", "generate"),
            ]
            for call in calls:
                with self.assertRaises(TypeError):
                    call()


class OutOfOrder(EmitterTestCase):
    """Blocks that are left in another order than they were entered."""

    def steps(
        self, flow: FlowEmitter, *, goes_on: bool = False
    ) -> Generator[StepEmitter, None, None]:
        with flow.step("Plan", step_type="generate") as step:
            step.token("a")
            yield step
            if goes_on:
                step.token("b")

    def test_a_generator_that_is_closed_in_its_step(self) -> None:
        events: list[Event] = []
        with emitter(events.append) as flow:
            generator = self.steps(flow)
            next(generator)
            generator.close()
            with flow.step("Draft", step_type="generate"):
                pass
        self.assert_legal(events)
        self.assertEqual([e.success for e in events if isinstance(e, StepComplete)], [False, True])

    def test_a_generator_that_is_closed_in_its_flow(self) -> None:
        def run(sink: Callable[[Event], object]) -> Generator[int, None, None]:
            with emitter(sink) as flow, flow.step("Plan", step_type="generate") as step:
                for number in range(9):
                    step.token(str(number))
                    yield number

        for ending in ("close", "drop", "throw"):
            events: list[Event] = []
            generator = run(events.append)
            next(generator)
            next(generator)
            if ending == "close":
                generator.close()
            elif ending == "throw":
                with self.assertRaises(GeneratorExit):
                    generator.throw(GeneratorExit())
            del generator
            with self.subTest(ending):
                self.assert_ended(events, "GeneratorExit")
                self.assertEqual(getattr(events[-2], "full_output", None), "01")

    def test_a_step_that_outlives_its_flow_is_closed_first(self) -> None:
        for error in (None, ValueError("broken")):
            events: list[Event] = []
            flow = emitter(events.append)
            generator = self.steps(flow)
            with suppress(ValueError), flow:
                next(generator)
                if error is not None:
                    raise error
            with self.subTest(error=error):
                self.assert_legal(events)
                self.assertEqual(
                    events[3], StepComplete("Plan", 0, False, "a", 0, 0, events[-1].timestamp_ms)
                )
                if error is None:
                    self.assertIs(getattr(events[-1], "success", None), False)
                else:
                    self.assert_ended(events, "ValueError: broken")
                sent = len(events)
                generator.close()
                self.assertEqual(len(events), sent)

    def test_a_step_that_outlives_its_flow_can_send_no_more(self) -> None:
        events: list[Event] = []
        with emitter(events.append) as flow:
            generator = self.steps(flow, goes_on=True)
            next(generator)
        with self.assertRaisesRegex(RuntimeError, "^the flow has ended: "):
            next(generator)
        self.assert_legal(events)

    def test_a_step_that_outlives_its_flow_and_a_sink_that_raises(self) -> None:
        events: list[Event] = []
        error = KeyError("closed")
        sink = Failing(events.append, 3, error)
        flow = emitter(sink)
        generator = self.steps(flow)
        with self.assertRaises(KeyError) as caught, flow:
            next(generator)
        self.assertIs(caught.exception, error)
        generator.close()
        self.assertEqual(sink.calls, 4)
        self.assert_legal(events, cut=True)

    def run_in_any_order(self, rng: random.Random) -> int:
        """Make random calls and return how many events they sent."""
        events: list[Event] = []
        error = Interrupt("sink")
        sink = Failing(events.append, rng.choice((-1, -1, rng.randrange(30))), error)
        flow = emitter(sink, Failing(ticking(), rng.choice((-1, rng.randrange(60))), None))
        steps: list[StepEmitter] = []
        bad: Any = None
        calls: list[Callable[[], object]] = [
            lambda: steps.append(flow.step("Plan", step_type="generate")),
            lambda: rng.choice(steps).__enter__(),
            lambda: rng.choice(steps).__enter__(),
            lambda: rng.choice(steps).__exit__(None, None, None),
            lambda: steps[-1].__exit__(ValueError, ValueError(), None),
            lambda: rng.choice(steps[-2:]).token("a"),
            lambda: steps[-1].output("b"),
            lambda: steps[-1].tool_call("search", "{}"),
            lambda: steps[-1].token(bad),
            lambda: steps[-1].fail(),
            lambda: flow.__enter__(),
        ]
        ends: list[Callable[[], object]] = [
            lambda: flow.__exit__(None, None, None),
            lambda: flow.__exit__(ValueError, ValueError(), None),
        ]
        failed = False
        for call in [flow.__enter__, *rng.choices(calls, k=40), rng.choice(ends)]:
            try:
                call()
            except Interrupt as caught:
                self.assertIs(caught, error)
                failed = True
            except (IndexError, RuntimeError, TypeError):
                pass
        self.assert_legal(events, cut=failed or not events)
        if failed:
            self.assertEqual(sink.calls, sink.at + 1)
        return len(events)

    def test_calls_in_any_order(self) -> None:
        seed = 20261122
        rng = random.Random(seed)
        sent = 0
        count = rounds(250, 1500)
        for run in range(count):
            with self.subTest(run=run, seed=seed):
                sent += self.run_in_any_order(rng)
        self.assertGreater(sent, count * 5, f"seed {seed}")


class SentFromWithin(EmitterTestCase):
    """A sink or a clock that uses the emitter itself, as a finalizer that runs inside them may."""

    def test_a_sink_that_sends(self) -> None:
        events: list[Event] = []
        steps: list[StepEmitter] = []

        def sink(event: Event) -> None:
            events.append(event)
            if event == StepToken("Plan", "a", 1, START + 2):
                steps[0].token("b")
            if isinstance(event, StepToken) and event.content == "b":
                steps[0].__exit__(None, None, None)

        with emitter(sink) as flow, flow.step("Plan", step_type="generate") as step:
            steps.append(step)
            step.token("a")
            with self.assertRaisesRegex(RuntimeError, "^the step has ended: "):
                step.token("c")
        self.assert_legal(events)
        self.assertEqual(getattr(events[-2], "full_output", None), "ab")

    def test_a_sink_that_sends_at_the_start(self) -> None:
        events: list[Event] = []
        flow = emitter(lambda event: sink(event))
        steps: list[StepEmitter] = []

        def sink(event: Event) -> None:
            events.append(event)
            if isinstance(event, FlowStart):
                steps.append(flow.step("Plan", step_type="generate"))
                steps[0].__enter__()
            if isinstance(event, StepStart):
                steps[0].token("a")

        with flow:
            steps[0].token("b")
        self.assert_legal(events)
        self.assertEqual(getattr(events[-2], "full_output", None), "ab")

    def test_a_sink_that_sends_at_the_end(self) -> None:
        events: list[Event] = []
        refused: list[str] = []

        def sink(event: Event) -> None:
            events.append(event)
            if isinstance(event, StepComplete | FlowComplete):
                try:
                    flow.step("Late", step_type="generate").__enter__()
                except RuntimeError as error:
                    refused.append(str(error))

        with emitter(sink) as flow:
            flow.step("Plan", step_type="generate").__enter__()
        self.assertEqual(len(refused), 2)
        self.assert_legal(events)

    def test_a_sink_that_sends_and_raises(self) -> None:
        calls = 0

        def sink(event: Event) -> None:
            nonlocal calls
            calls += 1
            if isinstance(event, StepToken):
                if event.content == "b":
                    raise ValueError
                with suppress(ValueError):
                    step.token("b")

        with emitter(sink) as flow, flow.step("Plan", step_type="generate") as step:
            step.token("a")
        self.assertEqual(calls, 4)

    def run_with_clock_that_ends(self, name: str, at: int) -> bool:
        """Let the n-th call of the clock leave the step or flow; return whether there was one."""
        events: list[Event] = []
        entered: dict[str, FlowEmitter | StepEmitter] = {}
        tick = ticking()
        calls = 0

        def clock() -> int:
            nonlocal calls
            calls += 1
            if calls == at and name in entered:
                entered[name].__exit__(None, None, None)
            return tick()

        with suppress(RuntimeError), emitter(events.append, clock) as flow:
            entered["flow"] = flow
            with flow.step("Plan", step_type="generate") as step:
                entered["step"] = step
                step.token("a")
                step.tool_call("search", "{}")
                step.output("b")
        self.assert_legal(events)
        return calls >= at

    def test_a_clock_that_ends_the_step_or_the_flow(self) -> None:
        for name in ("step", "flow"):
            tried = 0
            for at in range(1, 10):
                with self.subTest(name, call=at):
                    tried += self.run_with_clock_that_ends(name, at)
            self.assertEqual(tried, 6)


@needs.asyncio_run
class Async(EmitterTestCase):
    def test_a_task_that_is_cancelled(self) -> None:
        events: list[Event] = []

        async def run(started: asyncio.Event) -> None:
            with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
                step.token("so far")
                started.set()
                await asyncio.get_running_loop().create_future()
                self.fail("not cancelled")

        async def main() -> asyncio.Task[None]:
            started = asyncio.Event()
            task = asyncio.create_task(run(started))
            await started.wait()
            task.cancel()
            await asyncio.wait([task])
            return task

        self.assertTrue(asyncio.run(main()).cancelled())
        self.assert_ended(events, "CancelledError")
        self.assertEqual(events[-2], StepComplete("Plan", 0, False, "so far", 0, 0, START + 3))

    def test_an_async_generator_that_is_closed(self) -> None:
        events: list[Event] = []

        async def run() -> AsyncGenerator[str, None]:
            with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
                for text in "abc":
                    step.token(text)
                    yield text

        async def main() -> None:
            generator = run()
            async for text in generator:
                if text == "b":
                    break
            await generator.aclose()

        asyncio.run(main())
        self.assert_ended(events, "GeneratorExit")
        self.assertEqual(getattr(events[-2], "full_output", None), "ab")

    def test_steps_at_the_same_time_are_refused(self) -> None:
        events: list[Event] = []

        async def first(flow: FlowEmitter, opened: asyncio.Event, tried: asyncio.Event) -> None:
            with flow.step("A", step_type="generate") as step:
                opened.set()
                await tried.wait()
                step.token("a")

        async def second(flow: FlowEmitter, opened: asyncio.Event, tried: asyncio.Event) -> None:
            await opened.wait()
            try:
                with flow.step("B", step_type="generate"):
                    self.fail("entered")
            finally:
                tried.set()

        async def main() -> tuple[BaseException | None, BaseException | None]:
            opened, tried = asyncio.Event(), asyncio.Event()
            with emitter(events.append) as flow:
                return await asyncio.gather(
                    first(flow, opened, tried), second(flow, opened, tried), return_exceptions=True
                )

        results = asyncio.run(main())
        self.assertIsNone(results[0])
        self.assertIsInstance(results[1], RuntimeError)
        self.assertEqual(
            str(results[1]),
            "the step 'A' is open: leave its `with` block before another step starts,"
            " or make the FlowEmitter with parallel=True",
        )
        self.assert_legal(events)
        self.assertIs(getattr(events[-1], "success", None), True)

    def test_a_flow_with_awaits_in_it(self) -> None:
        events: list[Event] = []

        async def chunks() -> AsyncGenerator[str, None]:
            for text in ("Hel", "lo"):
                yield text

        async def main() -> None:
            with emitter(events.append) as flow, flow.step("Plan", step_type="generate") as step:
                async for chunk in chunks():
                    step.token(chunk)

        asyncio.run(main())
        self.assert_legal(events)
        self.assertEqual(getattr(events[-2], "full_output", None), "Hello")


if __name__ == "__main__":
    unittest.main()
