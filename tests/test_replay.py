# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The replay log: who comes late or back gets exactly what it missed, or is told it is gone."""

import asyncio
import copy
import enum
import gc
import itertools
import math
import pickle
import random
import signal
import subprocess
import sys
import threading
import tracemalloc
import unittest
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any
from unittest import mock

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepToken,
    ToolCall,
    replay,
    sse,
    to_json,
)
from axon_events.emit import FlowEmitter
from axon_events.replay import (
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    ReplayLog,
    RunLost,
    RunUnknown,
    StoreUnavailable,
)
from axon_events.sse import Encoder, Reader

from . import PACKAGE, ROOT, needs, resume
from .effort import rounds
from .samples import EVENTS, U64_MAX, random_event
from .threads import (
    PATIENCE,
    Finalized,
    Gap,
    MakeGap,
    Watched,
    background,
    collect,
    collecting_always,
    end_if_it_hangs,
    gaps,
    join,
    listed,
    run,
    slow_signal_handler,
    started,
    watch_waits,
)

START = FlowStart("Report", "anthropic", 0)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 1, 2)
FAILURE = FlowError("Report", "out of memory", 1)
KEEP_ALIVE = b": keep-alive\n\n"


def setUpModule() -> None:
    end_if_it_hangs()


def token(index: int, content: str = "") -> StepToken:
    return StepToken("Summarise", content, index, 0)


def frame(id: str, event: Event) -> bytes:
    return f"id: {id}\nevent: {event.kind}\ndata: {to_json(event)}\n\n".encode()


def tokens(count: int, first: int = 1) -> bytes:
    """Return the frames of so many tokens."""
    return b"".join(frame(str(index), token(index)) for index in range(first, first + count))


def log_of(*events: Event, **options: Any) -> ReplayLog:
    log = ReplayLog(**options)
    for event in events:
        log.append(event)
    return log


INSIDE = (
    "append was called inside another append of this thread, by a finalizer or a signal handler:"
    " set a flag or fill a queue there, and append after that"
)


def interrupt() -> None:
    raise KeyboardInterrupt


class Appending(unittest.TestCase):
    def test_the_id_of_each_frame_is_returned(self) -> None:
        events = (START, token(1), token(2), EVENTS[1], EVENTS[4], token(2), token(9), END)
        ids = ["0.1", "1", "2", "2.1", "2.2", "2.3", "9", "9.1"]
        log = ReplayLog()
        self.assertEqual([log.append(event) for event in events], ids)
        log = ReplayLog(stream_id="run:7")
        self.assertEqual([log.append(event) for event in events], [f"run:7:{id}" for id in ids])

    def test_the_frames_are_those_of_the_encoder(self) -> None:
        for stream_id in (None, "run:7"):
            encoder = Encoder(stream_id)
            log = log_of(*EVENTS[:-1], stream_id=stream_id)
            self.assertEqual(log.after(None), b"".join(map(encoder.encode, EVENTS[:-1])))

    def test_anything_but_an_event_is_refused_and_changes_nothing(self) -> None:
        others: list[Any] = [None, {}, "x", StepToken, 1]
        log = log_of(START)
        for other in others:
            with self.assertRaises(TypeError) as caught:
                log.append(other)
            self.assertEqual(
                str(caught.exception), f"append takes an event, got {type(other).__name__}"
            )
        self.assertEqual(log.append(token(1)), "1")
        self.assertEqual(log.after(None), frame("0.1", START) + frame("1", token(1)))

    def test_after_the_end_append_says_how_it_ended(self) -> None:
        for end, text in (
            (END, "the stream has ended by flow_complete"),
            (FAILURE, "the stream has ended by flow_error"),
        ):
            log = log_of(START, end)
            log.close()
            with self.assertRaises(RuntimeError) as caught:
                log.append(token(1))
            self.assertEqual(str(caught.exception), f"{text}: use a new ReplayLog for another run")
            self.assertTrue(log.after("0.1"))
            self.assertEqual(log.after("0.2"), b"")
        log = log_of(START)
        log.close()
        log.close()
        for event in (token(1), END):
            with self.assertRaises(RuntimeError) as caught:
                log.append(event)
            self.assertEqual(
                str(caught.exception),
                "the ReplayLog was closed: append before close()",
            )
        self.assertEqual(log.after(None), frame("0.1", START))

    def test_ended(self) -> None:
        log = log_of(START)
        self.assertIs(log.ended, False)
        log.close()
        self.assertIs(log.ended, True)
        self.assertIs(log_of(START, END).ended, True)

    def test_an_interrupt_leaves_the_log_as_before_or_as_after(self) -> None:
        for event, id in ((token(3, "x" * 1000), "3"), (END, "2.1")):
            for options in ({}, {"max_events": 2}, {"max_bytes": len(tokens(3))}):
                with self.subTest(event.kind, options=options):
                    gaps(partial(self.interrupted, event, id, options))

    def interrupted(
        self,
        event: Event,
        id: str,
        options: dict[str, int],
        gap: MakeGap,
    ) -> None:
        log = log_of(token(1), token(2), **options)
        with suppress(KeyboardInterrupt), gap(interrupt):
            log.append(event)
        if log.after("2"):
            self.assertEqual(log.after("2"), frame(id, event))
            self.assertEqual(log.ended, event is END)
            if event is not END:
                log.append(token(4))
                self.assertEqual(log.after(id), tokens(1, 4))
        else:  # what was kept out does not count
            self.assertFalse(log.ended)
            log.append(token(4))
            self.assertEqual(log.after("2"), tokens(1, 4))
            if "max_events" not in options:
                self.assertEqual(log.after(), tokens(2) + tokens(1, 4))
        log.close()
        self.assertTrue(log.ended)

    def test_as_a_context_manager_it_is_closed_at_the_end(self) -> None:
        with ReplayLog() as log:
            log.append(token(1))
        self.assertIs(log.ended, True)
        with self.assertRaises(ZeroDivisionError), ReplayLog() as log:
            raise ZeroDivisionError
        self.assertIs(log.ended, True)

    def test_an_emitter_may_have_the_log_as_its_sink(self) -> None:
        log = ReplayLog()
        with (
            FlowEmitter(log.append, flow_name="R", backend="b") as flow,
            flow.step("S", step_type="generate") as step,
        ):
            step.token("Hello")
        reader = Reader()
        events = reader.feed(log.after(None))
        reader.close()
        self.assertEqual(
            [event.kind for event in events],
            ["flow_start", "step_start", "step_token", "step_complete", "flow_complete"],
        )

    def test_limits(self) -> None:
        for name in ("max_events", "max_bytes"):
            others: list[Any] = ["1", 1.0, True]
            for other in others:
                with self.assertRaises(TypeError) as caught:
                    ReplayLog(**{name: other})
                self.assertEqual(
                    str(caught.exception),
                    f"{name} must be an int or None, got {type(other).__name__}",
                )
            for number, text in ((0, "0"), (-1, "-1"), (-(10**5000), "an int of 16610 bits")):
                with self.assertRaises(ValueError) as value_error:
                    ReplayLog(**{name: number})  # type: ignore[arg-type]
                self.assertEqual(
                    str(value_error.exception), f"{name} must be 1 or more, got {text}"
                )
            ReplayLog(**{name: 10**5000})  # type: ignore[arg-type]

    def test_a_bad_stream_id_is_refused_as_by_the_encoder(self) -> None:
        with self.assertRaisesRegex(ValueError, "stream_id must be visible ASCII"):
            ReplayLog(stream_id="a b")
        other: Any = 7
        with self.assertRaisesRegex(TypeError, "stream_id must be a str or None"):
            ReplayLog(stream_id=other)

    def test_it_can_be_neither_copied_nor_pickled(self) -> None:
        for copier in (copy.copy, copy.deepcopy, pickle.dumps):
            with self.assertRaises(TypeError) as caught:
                copier(ReplayLog())
            self.assertEqual(str(caught.exception), "a ReplayLog can be neither copied nor pickled")

    @needs.processes
    def test_threads_do_not_import_asyncio(self) -> None:
        code = (
            f"import sys; from {PACKAGE} import FlowError, FlowStart;"
            f"from {PACKAGE}.replay import ReplayLog; log = ReplayLog();"
            "assert next(log.follow(keep_alive=0.001)) == b': keep-alive\\n\\n';"
            "log.append(FlowStart('f', 'b', 0)); log.append(FlowError('f', 'e', 1));"
            "assert list(log.follow());"
            "sys.exit('asyncio' in sys.modules)"
        )
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT, timeout=PATIENCE
        )


class Loading(unittest.TestCase):
    def test_a_recorded_run_has_the_ids_that_it_had(self) -> None:
        events: list[Event] = [
            START,
            token(1),
            token(2),
            ToolCall("Draft", "search", "{}", 0),
            token(2),
        ]
        for stream_id in (None, "run:7"):
            live = ReplayLog(stream_id=stream_id)
            ids = [live.append(event) for event in events]
            loaded = ReplayLog.load(iter(events), stream_id=stream_id)
            for id in ids:
                self.assertEqual(loaded.after(id), live.after(id))
            self.assertEqual(loaded.after(), live.after())
            self.assertEqual(loaded.append(token(3)), live.append(token(3)))

    def test_a_run_that_had_ended_takes_no_more(self) -> None:
        log = ReplayLog.load([START, FlowError("Report", "x", 1)])
        self.assertTrue(log.ended)
        with self.assertRaises(RuntimeError):
            log.append(token(1))
        with self.assertRaises(RuntimeError):
            ReplayLog.load([FlowError("Report", "x", 1), START])

    def test_an_empty_run(self) -> None:
        log = ReplayLog.load([])
        self.assertEqual((log.after(), log.ended), (b"", False))

    def test_what_is_no_event(self) -> None:
        wrong: Any = [START, None]
        with self.assertRaisesRegex(TypeError, "^append takes an event, got NoneType$"):
            ReplayLog.load(wrong)


class After(unittest.TestCase):
    def assert_expired(self, log: ReplayLog, id: str | None, text: str, oldest: str) -> None:
        calls: list[Callable[[str | None], object]] = [log.after, log.follow, awaited(log)]
        for call in calls:
            with self.assertRaises(CursorExpired) as caught:
                call(id)
            self.assertEqual((str(caught.exception), caught.exception.oldest), (text, oldest))

    def assert_unknown(self, log: ReplayLog, id: str, text: str) -> None:
        calls: list[Callable[[str | None], object]] = [log.after, log.follow, awaited(log)]
        for call in calls:
            with self.assertRaises(CursorUnknown) as caught:
                call(id)
            self.assertEqual(str(caught.exception), text)

    def test_all_frames_after_an_id(self) -> None:
        log = log_of(START, *map(token, range(1, 6)))
        for number in range(1, 6):
            self.assertEqual(log.after(str(number)), tokens(5 - number, number + 1))
        self.assertEqual(log.after("0.1"), tokens(5))
        for beginning in (None, ""):
            self.assertEqual(log.after(beginning), frame("0.1", START) + tokens(5))
            self.assertEqual(ReplayLog().after(beginning), b"")
        self.assertEqual(log.after(), log.after(None))

    def test_at_the_old_edge(self) -> None:
        log = log_of(*map(token, range(1, 6)), max_events=3)
        self.assertEqual(log.after("2"), tokens(3, 3))  # the last one evicted
        self.assertEqual(log.after("3"), tokens(2, 4))
        for id in ("1", "1.5", "0", "0.7"):  # well-formed, whether given or not
            self.assert_expired(
                log, id, f"the frames after the id '{id}' are not all kept: the oldest is '3'", "3"
            )
        for beginning in (None, ""):
            self.assert_expired(
                log,
                beginning,
                "the frames from the beginning are not all kept: the oldest is '3'",
                "3",
            )

    def test_at_the_new_edge(self) -> None:
        log = log_of(START, token(17))
        self.assertEqual(log.after("17"), b"")
        for id in ("18", "17.1", "16", "0", "0.2", str(U64_MAX), f"{U64_MAX}.{U64_MAX}"):
            self.assert_unknown(
                log, id, f"this run has not given the id '{id}': the last one is '17'"
            )
        self.assert_unknown(
            ReplayLog(), "17", "this run has not given the id '17': the log is empty"
        )

    def test_an_id_between_those_of_the_kept_frames_is_unknown(self) -> None:
        log = log_of(*map(token, (1, 3, 5, 7)), max_events=2)
        self.assertEqual(log.after("3"), frame("5", token(5)) + frame("7", token(7)))
        for id in ("3.1", "4", "6", "5.1"):
            self.assert_unknown(
                log, id, f"this run has not given the id '{id}': the last one is '7'"
            )
        self.assert_expired(
            log, "2.9", "the frames after the id '2.9' are not all kept: the oldest is '5'", "5"
        )

    def test_an_id_of_another_form_is_unknown_even_if_all_is_evicted(self) -> None:
        malformed = ["x", " 1", "1 ", "+1", "-1", "01", "1.0", "1.01", "00", "1.", ".1", "1.1.1"]
        malformed += [
            "1_0",
            "1e1",
            "٣",
            "1٣",
            "1\n",
            "1\0",
            "\ud800",
            "²",
            str(U64_MAX + 1),
            "run:1",
        ]
        malformed += [f"1.{U64_MAX + 1}", ":1", "None", "1.\u0661"]
        log = log_of(*map(token, range(1, 6)), max_events=1)
        for id in malformed:
            self.assert_unknown(log, id, f"expected an id of this run, such as '17', got {id!r}")

    def test_a_long_id_is_cut_in_the_text(self) -> None:
        for length, shown in ((60, repr("x" * 60)), (61, repr("x" * 60) + "…")):
            text = f"expected an id of this run, such as '17', got {shown}"
            self.assert_unknown(ReplayLog(), "x" * length, text)

    def test_the_stream_id_is_part_of_the_id(self) -> None:
        for limit in (None, 1):
            log = log_of(*map(token, range(1, 6)), stream_id="run:7", max_events=limit)
            for id in ("1", "run:8:1", "run:1", ":1", "run:7:", "run:7", "run:7:x:1", "RUN:7:1"):
                self.assert_unknown(
                    log, id, f"expected an id of this run, such as 'run:7:17', got '{id}'"
                )
            self.assertEqual(log.after("run:7:4").count(b"id: run:7:5\n"), 1)
        self.assert_expired(
            log,
            "run:7:3",
            "the frames after the id 'run:7:3' are not all kept: the oldest is 'run:7:5'",
            "run:7:5",
        )
        self.assert_unknown(
            log, "run:7:6", "this run has not given the id 'run:7:6': the last one is 'run:7:5'"
        )

    def test_a_stream_id_of_another_class_is_taken_for_its_text(self) -> None:
        class Run(str, enum.Enum):
            A = "run-1"

        class Shown(str):
            __slots__ = ()

            def __format__(self, spec: str) -> str:
                return "shown"

        for stream_id in (Run.A, Shown("run-1")):
            log = log_of(token(1), token(2), stream_id=stream_id, max_events=1)
            self.assertEqual(log.after("run-1:1").count(b"id: run-1:2\n"), 1)
            for id in ("run-1:0", None):
                with self.assertRaises(CursorExpired):
                    log.after(id)
            self.assert_unknown(
                log, "17", "expected an id of this run, such as 'run-1:17', got '17'"
            )

    def test_whatever_a_client_sends_the_text_is_short_and_on_one_line(self) -> None:
        log = log_of(token(1), stream_id="r" * 1000)
        for id in ("9" * 10**7, "\n" * 10**6, "r" * 1000 + ":" + "9" * 10**6, "\ud800" * 1000):
            with self.assertRaises(CursorUnknown) as caught:
                log.after(id)
            text = str(caught.exception)
            self.assertLess(len(text), 600)
            self.assertEqual(len(text.splitlines()), 1)
            text.encode()

    def test_an_id_is_a_str_or_none(self) -> None:
        log = log_of(token(1))
        others: list[Any] = [1, b"1", 1.0, ["1"]]
        calls: list[Callable[[Any], object]] = [log.after, log.follow, awaited(log)]
        for call, other in itertools.product(calls, others):
            with self.assertRaises(TypeError) as caught:
                call(other)
            self.assertEqual(
                str(caught.exception), f"id must be a str or None, got {type(other).__name__}"
            )

    def test_a_str_of_another_class_is_taken_for_its_text(self) -> None:
        class Header(str):
            __slots__ = ()

            def __eq__(self, other: object) -> bool:
                return False

            def __hash__(self) -> int:
                return 7

            def startswith(self, *args: object) -> bool:
                raise AssertionError

        log = log_of(token(1), token(2))
        self.assertEqual(log.after(Header("1")), tokens(1, 2))
        self.assertEqual(log.after(Header("")), tokens(2))
        with self.assertRaises(CursorUnknown):
            log.after(Header("7"))

    def test_the_errors_are_lookup_errors_that_pickle_and_copy(self) -> None:
        log = log_of(*map(token, range(1, 6)), max_events=1)
        for id in ("1", "9"):
            try:
                log.after(id)
            except LookupError as error:
                copiers: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy]
                copiers.append(lambda error: pickle.loads(pickle.dumps(error)))
                for copier in copiers:
                    again = copier(error)
                    self.assertIs(type(again), type(error))
                    self.assertEqual(str(again), str(error))
                    self.assertEqual(getattr(again, "oldest", None), getattr(error, "oldest", None))
            else:
                self.fail(f"{id} is known")

    def test_the_errors_that_stores_have_as_well(self) -> None:
        bases = {
            CursorAhead: CursorUnknown,
            RunUnknown: CursorUnknown,
            RunLost: LookupError,
            StoreUnavailable: RuntimeError,
        }
        for error, base in bases.items():
            self.assertIs(error.__base__, base)
            again = pickle.loads(pickle.dumps(error("why")))
            self.assertEqual((type(again), str(again)), (error, "why"))

    def test_the_id_is_found_without_a_search(self) -> None:
        # Reading the last of many frames takes as many steps as reading the last of a few.
        steps = []
        for count in (1_000, 10):
            log = log_of(*map(token, range(1, count + 1)))
            with Gap(math.inf, interrupt) as gap:
                self.assertEqual(log.after(str(count - 1)), tokens(1, count))
            steps.append(gap.steps)
        self.assertEqual(steps[0], steps[1])

    def test_frames_that_are_evicted_while_they_are_read(self) -> None:
        for id in (None, "2"):

            def attempt(gap: MakeGap, id: str | None = id) -> None:
                log = log_of(*map(token, range(1, 6)), max_events=5 if id is None else 3)
                first = 1 if id is None else 3
                try:
                    with gap(lambda: [log.append(token(index)) for index in range(6, 9)]):
                        self.assertEqual(log.after(id), tokens(6 - first, first))
                except CursorExpired as error:
                    self.assertEqual(error.oldest, "4" if id is None else "6")
                    self.assertRegex(str(error), "^the frames .* are not all kept: the oldest is")

            gaps(attempt)

    def test_it_is_told_where_the_log_begins_even_if_that_changes(self) -> None:
        def attempt(gap: MakeGap) -> None:
            log = log_of(*map(token, range(1, 6)), max_events=2)
            with (
                self.assertRaises(CursorExpired) as caught,
                gap(lambda: [log.append(token(index)) for index in range(6, 9)]),
            ):
                log.after("1")
            self.assertIn(caught.exception.oldest, ("4", "7"))

        gaps(attempt)


def awaited(log: ReplayLog) -> Callable[[str | None], object]:
    """Return what calls `afollow` and awaits that, which needs no loop."""

    def call(id: str | None) -> object:
        coroutine = log.afollow(id)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("it waits")

    return call


class Evicting(unittest.TestCase):
    def test_the_newest_stays_even_if_it_is_too_large(self) -> None:
        large = token(3, "x" * 1000)
        log = log_of(token(1), token(2), max_bytes=300)
        self.assertEqual(log.after(None), tokens(2))
        log.append(large)
        self.assertEqual(log.after("2"), frame("3", large))
        log.append(token(4))
        self.assertEqual(log.after("3"), tokens(1, 4))
        with self.assertRaises(CursorExpired):
            log.after("2")

    def test_exactly_at_the_limits_nothing_is_evicted(self) -> None:
        size = len(tokens(3))
        for options in ({"max_events": 3}, {"max_bytes": size}):
            log = log_of(*map(token, (1, 2, 3)), **options)
            self.assertEqual(log.after(None), tokens(3))
            log.append(token(4))
            self.assertEqual(log.after("1"), tokens(3, 2))
            with self.assertRaises(CursorExpired):
                log.after(None)
        log = log_of(*map(token, (1, 2, 3)), max_bytes=size - 1)
        self.assertEqual(log.after("1"), tokens(2, 2))
        log = log_of(*map(token, (1, 2, 3)), max_events=1)
        self.assertEqual(log.after("2"), tokens(1, 3))

    def test_memory_is_bounded_by_the_limits(self) -> None:
        text = "x" * 900
        for options, frames in (({"max_events": 100}, 100), ({"max_bytes": 100_000}, 100)):
            log = ReplayLog(**options)  # type: ignore[arg-type]
            for index in range(1, 201):
                log.append(token(index, text))
            count = rounds(2_000, 5_000)
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                for index in range(201, 201 + count):
                    log.append(token(index, text))
                gc.collect()
                grown = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
            # The frames from before were not traced, so what is kept now is all that counts.
            self.assertLess(grown, frames * (1000 + 600))

    def test_against_a_model(self) -> None:
        for seed in range(20261100, 20261100 + rounds(15, 300)):
            with self.subTest(seed=seed):
                self.against_a_model(random.Random(seed))

    def against_a_model(self, rng: random.Random) -> None:
        stream_id = rng.choice((None, None, "r", "run:7", "17"))
        max_events = rng.choice((None, 1, 2, 5, 20))
        max_bytes = rng.choice((None, 1, 150, 500, 3000))
        log = ReplayLog(stream_id=stream_id, max_events=max_events, max_bytes=max_bytes)
        model = Model(stream_id, max_events, max_bytes)
        index = 0
        for _ in range(rng.randrange(1, 60)):
            event: Event
            if rng.random() < 0.6:
                # Mostly legal, or a gap, a repetition, or a counter that begins again.
                indexes = (index + 1, index + 1, index + 1, index, index + 5, 1, 0)
                index = min(rng.choice(indexes), U64_MAX)
                event = token(index, "x" * rng.choice((0, 0, 3, 400)))
            else:
                event = random_event(rng)
                if event.is_terminator and rng.random() < 0.9:
                    continue
                index = event.token_index if isinstance(event, StepToken) else index
                index = min(index, U64_MAX - 5)
            self.assertEqual(log.append(event), model.append(event))
            for id in model.questions(rng):
                expected = model.after(id)
                try:
                    answer: object = log.after(id)
                except CursorExpired as error:
                    answer = ("expired", error.oldest)
                except CursorUnknown:
                    answer = "unknown"
                self.assertEqual(answer, expected, (id, model.ids))
            if event.is_terminator:
                break


class Model:
    """What `after` answers, by going through everything that was ever appended."""

    def __init__(self, stream_id: str | None, events: int | None, size: int | None) -> None:
        self.prefix = "" if stream_id is None else stream_id + ":"
        self.max_events = math.inf if events is None else events
        self.max_bytes = math.inf if size is None else size
        self.cursors: list[tuple[int, int]] = []
        self.ids: list[str] = []
        self.frames: list[bytes] = []
        self.first = 0

    def append(self, event: Event) -> str:
        last = self.cursors[-1] if self.cursors else (0, 0)
        if isinstance(event, StepToken) and event.token_index > last[0]:
            self.cursors.append((event.token_index, 0))
            self.ids.append(f"{self.prefix}{event.token_index}")
        else:
            self.cursors.append((last[0], last[1] + 1))
            self.ids.append(f"{self.prefix}{last[0]}.{last[1] + 1}")
        self.frames.append(frame(self.ids[-1], event))
        while self.first < len(self.ids) - 1 and (
            len(self.ids[self.first :]) > self.max_events
            or sum(map(len, self.frames[self.first :])) > self.max_bytes
        ):
            self.first += 1
        return self.ids[-1]

    def after(self, id: str | None) -> object:
        if id is None or id == "":
            return ("expired", self.ids[self.first]) if self.first else b"".join(self.frames)
        if id in self.ids and self.ids.index(id) >= self.first - 1:
            return b"".join(self.frames[self.ids.index(id) + 1 :])
        cursor = self.parsed(id)
        if cursor is not None and self.first and cursor < self.cursors[self.first - 1]:
            return ("expired", self.ids[self.first])
        return "unknown"

    def parsed(self, id: str) -> tuple[int, int] | None:
        if id[: len(self.prefix)] != self.prefix:
            return None
        parts = id[len(self.prefix) :].split(".")
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            return None
        if len(parts) > 2 or not all(0 <= number < 2**64 for number in numbers):
            return None
        if [str(number) for number in numbers] != parts or numbers[1:] == [0]:
            return None
        return (numbers[0], numbers[1] if len(numbers) == 2 else 0)

    def questions(self, rng: random.Random) -> list[str | None]:
        asked: list[str | None] = [None, "", *self.ids[-25:], rng.choice(self.ids)]
        token, since = rng.choice(self.cursors)
        for _ in range(10):
            near = f"{token + rng.randint(-2, 2)}", f"{since + rng.randint(-2, 2)}"
            prefix = rng.choice((self.prefix, self.prefix, self.prefix, "", "r:", "run:7", "17:"))
            asked.append(prefix + rng.choice((".".join(near), near[0])))
        return asked


class Both:
    """What a thread and an event loop are promised alike; not a test case by itself."""

    class Following(unittest.TestCase):
        def follow(self, log: ReplayLog, id: str | None = None, **options: Any) -> Any:
            raise NotImplementedError

        def item(self, follower: Any) -> bytes | None:
            """Return the next item, None after the end."""
            raise NotImplementedError

        def close(self, follower: Any) -> None:
            raise NotImplementedError

        def waiting(self, follower: Any) -> "Future[bytes | None]":
            """Return the next item, for which another thread waits."""
            raise NotImplementedError

        def before_waiting(self, hook: Callable[[], object]) -> AbstractContextManager[object]:
            """Call a hook when a wait is about to begin."""
            raise NotImplementedError

        def rest(self, follower: Any) -> list[bytes]:
            return list(iter(partial(self.item, follower), None))

        def beginning(self, log: ReplayLog, id: str, **options: Any) -> "Future[Any]":
            """Return a follower, which another thread has to wait for."""
            raise NotImplementedError

        def begun(self, log: ReplayLog, id: str, before: Callable[[], object]) -> Any:
            """Return a follower that waits for its id; call a function just before it waits."""
            with self.before_waiting(before):
                return self.follow(log, id, wait=PATIENCE)

        def test_an_id_that_is_ahead_is_waited_for(self) -> None:
            for id, event, prefix in (
                ("2", token(2), None),
                ("1.1", START, None),
                ("r:2", token(2), "r"),
            ):
                log = log_of(token(1), stream_id=prefix)
                follower = self.begun(log, id, partial(log.append, event))
                log.append(token(3))
                expected = log.after(id)
                log.close()
                self.assertEqual(self.rest(follower), [expected])
            with self.assertRaises(CursorAhead):
                self.follow(log_of(token(1)), "2")
            with self.assertRaises(CursorAhead):
                self.follow(log_of(token(1)), "2", wait=0.001)

        @needs.threads
        def test_it_waits_until_the_id_is_there(self) -> None:
            log = ReplayLog()
            beginning = self.beginning(log, "3", wait=PATIENCE)
            for index in (1, 2, 3):
                self.assertFalse(beginning.done())
                log.append(token(index))
            follower = beginning.result(PATIENCE)
            log.append(END)
            self.assertEqual(self.rest(follower), [frame("3.1", END)])

        def test_an_id_that_will_never_be_there_is_not_waited_for(self) -> None:
            acts: list[Callable[[ReplayLog], object]] = [
                ReplayLog.close,
                ReplayLog.disconnect,
                lambda log: log.append(END),
            ]
            for act in acts:
                log = log_of(token(1))
                with self.assertRaises(CursorAhead):
                    self.begun(log, "2", partial(act, log))
            log = log_of(token(1), END)
            with self.assertRaises(CursorAhead):
                self.follow(log, "2", wait=PATIENCE)
            # Passed over: the run goes another way this time.
            log = log_of(token(1))
            with self.assertRaises(CursorUnknown) as caught:
                self.begun(log, "2", partial(log.append, token(3)))
            self.assertNotIsInstance(caught.exception, CursorAhead)
            for other in ("x", "r:2", "0.1"):
                with self.assertRaises(CursorUnknown) as caught:
                    self.follow(log, other, wait=PATIENCE)
                self.assertNotIsInstance(caught.exception, CursorAhead)

        def test_wait_is_a_number_of_seconds_from_0(self) -> None:
            log = log_of(token(1))
            for other in ("1", True, None):
                with self.assertRaises(TypeError) as caught:
                    self.follow(log, wait=other)
                self.assertEqual(
                    str(caught.exception),
                    f"wait must be an int or a float, got {type(other).__name__}",
                )
            for value, text in ((-1, "-1"), (-0.5, "-0.5"), (math.nan, "nan")):
                with self.assertRaises(ValueError) as value_error:
                    self.follow(log, wait=value)
                self.assertEqual(
                    str(value_error.exception), f"wait must be 0 or more, in seconds, got {text}"
                )
            for value in (0, 1, math.inf, 10**400):
                self.close(self.follow(log, wait=value))

        def test_has_all(self) -> None:
            log = log_of(token(1))
            follower = self.follow(log, "1")
            self.assertIs(follower.has_all, False)
            log.append(END)
            self.assertIs(follower.has_all, False)
            self.assertIs(self.follow(log, "1").has_all, False)
            self.assertIs(self.follow(log, "1.1").has_all, True)
            self.assertEqual(self.item(follower), frame("1.1", END))
            self.assertIs(follower.has_all, True)
            log = ReplayLog()
            self.assertIs(self.follow(log).has_all, False)
            log.close()
            self.assertIs(self.follow(log).has_all, True)

        def test_disconnect_ends_each_follower_and_not_the_run(self) -> None:
            log = log_of(token(1), token(2))
            follower, unused = self.follow(log, "1"), self.follow(log)
            self.assertEqual(self.item(follower), tokens(1, 2))
            self.assertIs(log.disconnected, False)
            with self.before_waiting(log.disconnect):
                self.assertIsNone(self.item(follower))
            self.assertIs(log.disconnected, True)
            log.append(token(3))
            self.assertEqual((self.rest(follower), self.rest(unused)), ([], []))
            self.assertIs(follower.has_all, False)
            again = self.follow(log, "2")
            self.assertEqual(self.item(again), tokens(1, 3))
            log.disconnect()
            self.assertIsNone(self.item(again))

        @needs.threads
        def test_disconnecting_wakes_one_that_waits(self) -> None:
            log = ReplayLog()
            waiting = self.waiting(self.follow(log, keep_alive=None))
            log.disconnect()
            self.assertIsNone(waiting.result(PATIENCE))

        def test_catch_up_then_live_until_the_terminator(self) -> None:
            log = log_of(token(1), token(2))
            follower = self.follow(log, "1")
            self.assertEqual(self.item(follower), tokens(1, 2))
            log.append(token(3))
            self.assertEqual(self.item(follower), tokens(1, 3))
            log.append(token(4))
            log.append(token(5))
            self.assertEqual(self.item(follower), tokens(2, 4))
            log.append(FAILURE)
            self.assertEqual(self.rest(follower), [frame("5.1", FAILURE)])
            self.assertEqual(self.rest(follower), [])
            self.assertEqual(self.rest(self.follow(log, "5")), [frame("5.1", FAILURE)])
            self.assertEqual(self.rest(self.follow(log, "5.1")), [])

        def test_close_ends_it_after_the_last_frame(self) -> None:
            log = log_of(token(1), token(2))
            follower = self.follow(log)
            log.close()
            self.assertEqual(self.rest(follower), [tokens(2)])
            log = ReplayLog()
            log.close()
            self.assertEqual(self.rest(self.follow(log)), [])

        @needs.threads
        def test_one_that_waits_is_woken(self) -> None:
            acts: list[tuple[Callable[[ReplayLog], object], bytes | None]] = [
                (lambda log: log.append(token(1)), tokens(1)),
                (lambda log: log.append(END), frame("0.1", END)),
                (ReplayLog.close, None),
            ]
            for (act, item), keep_alive in itertools.product(acts, (None, PATIENCE)):
                log = ReplayLog()
                follower = self.follow(log, keep_alive=keep_alive)
                waiting = self.waiting(follower)
                act(log)
                self.assertEqual(waiting.result(PATIENCE), item)
                log.close()
                self.assertEqual(self.rest(follower), [])

        def test_what_comes_just_before_it_waits(self) -> None:
            log = ReplayLog()
            follower = self.follow(log, keep_alive=None)
            with self.before_waiting(lambda: log.append(token(1))):
                self.assertEqual(self.item(follower), tokens(1))
            with self.before_waiting(log.close):
                self.assertEqual(self.rest(follower), [])

        def test_keep_alive(self) -> None:
            log = ReplayLog()
            follower = self.follow(log, keep_alive=0.001)
            self.assertEqual([self.item(follower) for _ in range(3)], [KEEP_ALIVE] * 3)
            log.append(token(1))
            self.assertEqual(self.item(follower), tokens(1))
            self.assertEqual(self.item(follower), KEEP_ALIVE)
            log.close()
            self.assertEqual(self.rest(follower), [])

        def test_keep_alives_leave_nothing_behind(self) -> None:
            follower = self.follow(ReplayLog(), keep_alive=1e-6)
            self.item(follower)
            gc.collect()
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(200):
                    self.assertEqual(self.item(follower), KEEP_ALIVE)
                gc.collect()
                grown = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
            self.assertLess(grown, 200 * 100)

        def test_keep_alive_is_a_number_of_seconds_above_0_or_none(self) -> None:
            log = ReplayLog()
            for other in ("1", True, b"", [1]):
                with self.assertRaises(TypeError) as caught:
                    self.follow(log, keep_alive=other)
                self.assertEqual(
                    str(caught.exception),
                    f"keep_alive must be an int, a float or None, got {type(other).__name__}",
                )
            for value, text in (
                (0, "0"),
                (0.0, "0.0"),
                (-1, "-1"),
                (-0.5, "-0.5"),
                (math.nan, "nan"),
                (-(10**5000), "an int of 16610 bits"),
            ):
                with self.assertRaises(ValueError) as value_error:
                    self.follow(log, "no id at all", keep_alive=value)
                self.assertEqual(
                    str(value_error.exception),
                    f"keep_alive must be above 0, in seconds, got {text}",
                )

        def test_catching_up_comes_in_pieces_of_whole_frames(self) -> None:
            log = log_of(*(token(index, "x" * 900) for index in range(1, 501)))
            log.append(token(501, "x" * 200_000))
            log.append(END)
            pieces = self.rest(self.follow(log))
            self.assertEqual(b"".join(pieces), log.after())
            self.assertGreater(len(pieces), 5)
            for piece in pieces:
                self.assertTrue(piece.startswith(b"id: "))
                self.assertTrue(piece.endswith(b"}\n\n"))
                self.assertTrue(len(piece) < 2**16 + 1100 or b"id: 501\n" in piece)

        def test_a_slow_one_that_is_overtaken_is_told(self) -> None:
            log = log_of(token(1), token(2), max_events=3)
            follower, early, late = (self.follow(log, id) for id in (None, None, "2"))
            self.assertEqual(self.item(follower), tokens(2))
            for index in range(3, 7):
                log.append(token(index))
            for overtaken, start in (
                (follower, "after the id '2'"),
                (early, "from the beginning"),
                (late, "after the id '2'"),
                (follower, "after the id '2'"),  # again: it must not look like the end
            ):
                with self.assertRaises(CursorExpired) as caught:
                    self.item(overtaken)
                self.assertEqual(caught.exception.oldest, "4")
                self.assertEqual(
                    str(caught.exception), f"the frames {start} are not all kept: the oldest is '4'"
                )

        def test_the_last_evicted_frame_is_not_missed_by_who_has_it(self) -> None:
            log = log_of(token(1), max_events=2)
            follower = self.follow(log)
            self.assertEqual(self.item(follower), tokens(1))
            log.append(token(2))
            log.append(token(3))
            self.assertEqual(self.item(follower), tokens(2, 2))

        def test_overtaken_while_a_piece_is_read(self) -> None:
            def attempt(gap: MakeGap) -> None:
                log = log_of(*map(token, range(1, 6)), max_events=5)
                follower = self.follow(log)
                try:
                    with gap(lambda: [log.append(token(index)) for index in range(6, 9)]):
                        self.assertEqual(self.item(follower), tokens(5))
                except CursorExpired as error:
                    self.assertEqual(error.oldest, "4")

            gaps(attempt)

        def test_what_comes_in_any_gap_comes_once(self) -> None:
            def attempt(gap: MakeGap) -> None:
                def end() -> None:
                    log.append(token(2))
                    log.close()

                log = log_of(token(1))
                follower = self.follow(log, keep_alive=None)
                with gap(end):
                    items = [self.item(follower)]
                    if log.ended:
                        items += self.rest(follower)
                if not log.ended:
                    log.append(token(2))
                    log.close()
                    items += self.rest(follower)
                self.assertEqual(b"".join(filter(None, items)), tokens(2))

            gaps(attempt)

        def test_closing_ends_it_also_while_it_waits(self) -> None:
            log = log_of(token(1), token(2))
            follower, unused = self.follow(log, "1"), self.follow(log)
            self.assertEqual(self.item(follower), tokens(1, 2))
            with self.before_waiting(lambda: self.close(follower)):
                self.assertIsNone(self.item(follower))
            self.close(unused)
            self.close(unused)
            log.append(token(3))
            self.assertEqual((self.rest(follower), self.rest(unused)), ([], []))

        @needs.threads
        def test_one_item_at_a_time(self) -> None:
            log = ReplayLog()
            follower = self.follow(log)
            waiting = self.waiting(follower)
            with self.assertRaises(RuntimeError) as caught:
                self.other_item(follower)
            self.assertEqual(
                str(caught.exception),
                "another wait for this follower's next item: call follow once for each client",
            )
            log.append(END)
            self.assertEqual(waiting.result(PATIENCE), frame("0.1", END))

        def other_item(self, follower: Any) -> None:
            self.item(follower)

        def test_one_that_went_is_collected(self) -> None:
            log = log_of(token(1))
            for closed in (True, False):
                follower = self.follow(log, keep_alive=0.001)
                items = [self.item(follower), self.item(follower)]
                self.assertEqual(items, [tokens(1), KEEP_ALIVE])
                if closed:
                    self.close(follower)
                gone = weakref.ref(follower)
                del follower
                collect(until=lambda: gone() is None)  # noqa: B023
            self.assertEqual(log.append(token(2)), "2")


class InAThread(Both.Following):
    def setUp(self) -> None:
        watch_waits(self, replay)

    def follow(self, log: ReplayLog, id: str | None = None, **options: Any) -> Any:
        return log.follow(id, **options)

    def item(self, follower: Any) -> bytes | None:
        return next(follower, None)

    def close(self, follower: Any) -> None:
        follower.close()

    def waiting(self, follower: Any) -> "Future[bytes | None]":
        Watched.waits.clear()
        waiting = background(partial(next, follower, None))
        self.assertTrue(Watched.waits.wait(PATIENCE))
        return waiting

    def beginning(self, log: ReplayLog, id: str, **options: Any) -> "Future[Any]":
        Watched.waits.clear()
        beginning = background(partial(log.follow, id, **options))
        self.assertTrue(Watched.waits.wait(PATIENCE))
        return beginning

    def before_waiting(self, hook: Callable[[], object]) -> AbstractContextManager[object]:
        Watched.hooks.append(hook)
        return ExitStack()

    def test_it_is_an_iterator(self) -> None:
        log = log_of(token(1), END)
        self.assertEqual(b"".join(log.follow()), log.after())

    @needs.threads
    def test_it_waits_once_for_each_frame_and_as_long_as_asked(self) -> None:
        options: Any
        for options, timeout in (
            ({}, 15.0),
            ({"keep_alive": None}, None),
            ({"keep_alive": 7}, 7),
            ({"keep_alive": math.inf}, threading.TIMEOUT_MAX),
            ({"keep_alive": 10**400}, threading.TIMEOUT_MAX),
        ):
            Watched.timeouts.clear()
            log = ReplayLog()
            follower = self.follow(log, **options)
            for index in range(1, 4):
                waiting = self.waiting(follower)
                log.append(token(index))
                self.assertEqual(waiting.result(PATIENCE), tokens(1, index))
            self.assertEqual(Watched.timeouts, [timeout] * 3)

    def test_an_interrupt_while_it_waits_loses_nothing(self) -> None:
        log = ReplayLog()
        follower = log.follow()
        with self.before_waiting(interrupt), self.assertRaises(KeyboardInterrupt):
            next(follower)
        log.append(token(1))
        self.assertEqual(next(follower), tokens(1))

    @unittest.skipUnless(hasattr(signal, "setitimer"), "signals by a timer")
    @unittest.skipUnless(threading.current_thread() is threading.main_thread(), "main thread")
    def test_a_signal_handler_that_outlasts_the_wait_does_not_prolong_it(self) -> None:
        follower = ReplayLog().follow(keep_alive=0.05)
        with slow_signal_handler(0.1):
            self.assertEqual(next(follower), KEEP_ALIVE)

    @needs.threads
    def test_closing_wakes_a_thread_that_waits(self) -> None:
        follower = ReplayLog().follow(keep_alive=None)
        waiting = self.waiting(follower)
        follower.close()
        self.assertIsNone(waiting.result(PATIENCE))

    @unittest.skipUnless(hasattr(signal, "pthread_kill"), "signals to a thread")
    @unittest.skipUnless(threading.current_thread() is threading.main_thread(), "main thread")
    def test_a_signal_handler_appends_while_its_thread_waits(self) -> None:
        log = ReplayLog()
        main = threading.get_ident()
        struck = threading.Event()

        def strike(*args: object) -> None:
            if not struck.is_set():
                struck.set()
                log.append(END)

        def strike_until_it_is_handled() -> None:
            Watched.waits.wait()
            # Again, since one that comes just before the system call is not handled until later.
            while not struck.wait(0.01):
                signal.pthread_kill(main, signal.SIGINT)

        before = signal.signal(signal.SIGINT, strike)
        try:
            threads = started(strike_until_it_is_handled)
            self.assertEqual(list(log.follow(keep_alive=None)), [frame("0.1", END)])
            join(threads)
        finally:
            signal.signal(signal.SIGINT, before)


@needs.asyncio_run
class InALoop(Both.Following):
    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def follow(self, log: ReplayLog, id: str | None = None, **options: Any) -> Any:
        return self.loop.run_until_complete(log.afollow(id, **options))

    async def next(self, follower: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await asyncio.wait_for(follower.__anext__(), PATIENCE)
        except StopAsyncIteration:
            return None

    def item(self, follower: Any) -> bytes | None:
        return self.loop.run_until_complete(self.next(follower))

    def close(self, follower: Any) -> None:
        closing = follower.aclose()
        with self.assertRaises(StopIteration):  # it waits for nothing
            closing.send(None)

    def waiting(self, follower: Any) -> "Future[bytes | None]":
        waits = threading.Event()

        async def wait() -> bytes | None:
            task = asyncio.ensure_future(follower.__anext__())
            await asyncio.sleep(0)
            waits.set()
            try:
                return await asyncio.wait_for(task, PATIENCE)
            except StopAsyncIteration:
                return None

        waiting = background(lambda: self.loop.run_until_complete(wait()))
        self.assertTrue(waits.wait(PATIENCE))
        return waiting

    def beginning(self, log: ReplayLog, id: str, **options: Any) -> "Future[Any]":
        waits = threading.Event()

        async def begin() -> Any:
            task = asyncio.ensure_future(log.afollow(id, **options))
            await asyncio.sleep(0)
            waits.set()
            return await task

        beginning = background(lambda: self.loop.run_until_complete(begin()))
        self.assertTrue(waits.wait(PATIENCE))
        return beginning

    def before_waiting(self, hook: Callable[[], object]) -> AbstractContextManager[object]:
        create_future = self.loop.create_future
        hooks = [hook]

        def hooked() -> "asyncio.Future[Any]":
            if hooks and sys._getframe(1).f_code.co_filename.endswith("_wait.py"):
                hooks.pop()()
            return create_future()

        return mock.patch.object(self.loop, "create_future", hooked)

    def other_item(self, follower: Any) -> None:
        run(follower.__anext__())

    def test_it_is_an_asynchronous_iterator(self) -> None:
        async def main() -> None:
            log = log_of(token(1), END)
            pieces = await listed(await log.afollow())
            self.assertEqual(b"".join(pieces), log.after())

        run(main())

    def test_it_waits_once_for_each_frame_and_has_one_timer(self) -> None:
        async def main(options: Any, timeouts: list[float]) -> None:
            log = ReplayLog()
            loop = asyncio.get_running_loop()
            timers: list[asyncio.TimerHandle] = []
            delays: list[float] = []
            call_at = loop.call_at

            def watched(when: float, *args: Any, **more: Any) -> asyncio.TimerHandle:
                delays.append(when - 1000)
                timers.append(call_at(when, *args, **more))
                return timers[-1]

            follower = await log.afollow(**options)
            with (
                mock.patch.object(loop, "time", return_value=1000.0),
                mock.patch.object(loop, "call_at", watched),
                mock.patch.object(loop, "create_future", side_effect=loop.create_future) as futures,
            ):
                for index in range(1, 6):
                    item = asyncio.ensure_future(follower.__anext__())
                    await asyncio.sleep(0)
                    log.append(token(index))
                    self.assertEqual(await item, tokens(1, index))
                self.assertEqual(delays, timeouts)
                self.assertEqual(futures.call_count, 5)
                log.close()
                self.assertEqual(await listed(follower), [])
            self.assertTrue(all(timer.cancelled() for timer in timers))

        run(main({}, [15.0]))
        run(main({"keep_alive": None}, []))
        run(main({"keep_alive": 7}, [7]))
        run(main({"keep_alive": 10**400}, [threading.TIMEOUT_MAX]))

    def test_a_keep_alive_comes_so_long_after_the_last_frame(self) -> None:
        # The loop's clock stands still but for what is added here.
        async def main() -> None:
            loop = asyncio.get_running_loop()
            now = [loop.time()]
            log = ReplayLog()
            follower = await log.afollow(keep_alive=10)

            async def waiting() -> "asyncio.Future[bytes]":
                item = asyncio.ensure_future(follower.__anext__())
                for _ in range(3):
                    await asyncio.sleep(0)
                return item

            with mock.patch.object(loop, "time", side_effect=lambda: now[0]):
                item = await waiting()
                now[0] += 9
                log.append(token(1))
                self.assertEqual(await item, tokens(1))
                item = await waiting()
                for seconds in (2, 7):  # 11 and 18 after the start: the timer has rung once
                    now[0] += seconds
                    for _ in range(3):
                        await asyncio.sleep(0)
                    self.assertFalse(item.done())
                now[0] += 1
                self.assertEqual(await item, KEEP_ALIVE)
                item = await waiting()
                now[0] += 9
                log.append(token(2))
                self.assertEqual(await item, tokens(1, 2))
                now[0] += 2  # it rings while nobody waits
                for _ in range(3):
                    await asyncio.sleep(0)
                item = await waiting()
                now[0] += 9
                await asyncio.sleep(0)
                self.assertFalse(item.done())
                now[0] += 1
                self.assertEqual(await item, KEEP_ALIVE)

        run(main())

    def test_a_timer_keeps_nobody_who_went(self) -> None:
        async def main() -> None:
            follower = await log_of(token(1)).afollow(keep_alive=0.001)
            items = [await anext(follower), await anext(follower)]
            self.assertEqual(items, [tokens(1), KEEP_ALIVE])
            item = asyncio.ensure_future(follower.__anext__())
            await asyncio.sleep(0)
            follower._log.append(token(2))
            await item
            gone = weakref.ref(follower)
            del follower, item
            collect(until=lambda: gone() is None)
            await asyncio.sleep(0.002)  # the timer rings for nobody

        run(main())

    def test_closing_wakes_a_task_that_waits(self) -> None:
        async def main() -> None:
            follower = await ReplayLog().afollow()
            waiting = asyncio.ensure_future(listed(follower))
            await asyncio.sleep(0)
            for _ in range(2):
                await follower.aclose()
            self.assertEqual(await waiting, [])

        run(main())

    def test_cancelling_leaves_nothing_behind(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            loop = asyncio.get_running_loop()
            errors: list[Any] = []
            loop.set_exception_handler(lambda loop, context: errors.append(context))
            for woken_first in (False, True):
                followers = [await log.afollow() for _ in range(20)]
                gone = [weakref.ref(follower) for follower in followers]
                tasks = [asyncio.ensure_future(listed(follower)) for follower in followers]
                await asyncio.sleep(0)
                if woken_first:
                    log.append(token(1))
                self.assertEqual([task.cancel() for task in tasks], [True] * 20)
                results = await asyncio.gather(*tasks, return_exceptions=True)
                self.assertEqual({type(result) for result in results}, {asyncio.CancelledError})
                del followers, tasks, results
                await asyncio.sleep(0)
                collect(until=lambda: not any(follower() for follower in gone))  # noqa: B023
            await asyncio.sleep(0)
            self.assertEqual(errors, [])

        run(main())

    def test_cancelled_while_it_waits_it_goes_on(self) -> None:
        async def main() -> None:
            log = log_of(token(1))
            follower = await log.afollow()
            self.assertEqual(await anext(follower), tokens(1))
            for woken_first, index in ((False, 2), (True, 3)):
                waiting = asyncio.ensure_future(follower.__anext__())
                await asyncio.sleep(0)
                if woken_first:
                    log.append(token(index))
                waiting.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await waiting
                if not woken_first:
                    log.append(token(index))
                self.assertEqual(await anext(follower), tokens(1, index))
            log.append(END)
            self.assertEqual(await listed(follower), [frame("3.1", END)])
            self.assertEqual(await listed(follower), [])

        run(main())

    def test_cancelled_at_any_time_it_gives_every_byte_once(self) -> None:
        # Once the same follower goes on, once another one, after the last id.
        seed = 20261124
        count = rounds(300, 3_000)

        async def follow(follower: AsyncIterator[bytes], decoder: sse.Decoder) -> None:
            async for piece in follower:
                pieces.append(piece)
                decoder.feed(piece)
                await asyncio.sleep(0)

        async def main(goes_on: bool) -> None:
            log = ReplayLog()
            decoder = sse.Decoder()
            producer = asyncio.ensure_future(produced(log, count, rng))
            follower = await log.afollow()
            while not (log.ended and log.after(decoder.last_event_id) == b""):
                task = asyncio.ensure_future(follow(follower, decoder))
                for _ in range(rng.randrange(12)):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                if not goes_on:
                    follower = await log.afollow(decoder.last_event_id)
            await producer
            self.assertEqual(b"".join(pieces), log.after())

        for goes_on in (True, False):
            rng = random.Random(seed)
            pieces: list[bytes] = []
            with self.subTest(seed=seed, goes_on=goes_on):
                run(main(goes_on))

    def test_one_that_waits_in_a_closed_loop_goes_on_in_another(self) -> None:
        log = ReplayLog()
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # a task destroyed but pending
        follower = loop.run_until_complete(log.afollow())
        task = loop.create_task(self.next(follower))
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        with self.assertRaisesRegex(RuntimeError, "another wait"):
            self.item(follower)
        loop.close()
        self.assertEqual(log.append(token(1)), "1")
        self.assertEqual(self.item(follower), tokens(1))
        waiting = self.waiting(follower)
        gone = weakref.ref(task)
        del task
        collect(until=lambda: gone() is None)
        with self.assertRaisesRegex(RuntimeError, "another wait"):
            self.other_item(follower)
        self.assertEqual(log.append(token(2)), "2")
        self.assertEqual(waiting.result(PATIENCE), tokens(1, 2))

    def test_an_error_of_an_open_loop_is_not_hidden_and_the_next_append_wakes(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            loop = asyncio.get_running_loop()
            tasks = [asyncio.ensure_future(listed(await log.afollow())) for _ in range(3)]
            await asyncio.sleep(0)
            with (
                mock.patch.object(loop, "call_soon_threadsafe", side_effect=RecursionError),
                self.assertRaises(RecursionError),
            ):
                log.append(token(1))
            log.append(END)
            for task in tasks:
                self.assertEqual(b"".join(await task), tokens(1) + frame("1.1", END))

        run(main())


async def produced(log: ReplayLog, count: int, rng: random.Random) -> None:
    """Append so many tokens and the end, and let the loop go on in between."""
    for index in range(1, count + 1):
        log.append(token(index))
        for _ in range(rng.randrange(8)):
            await asyncio.sleep(0)
    log.append(END)


class Many(unittest.TestCase):
    def test_each_event_is_encoded_once(self) -> None:
        encode = sse.Encoder.encode
        with mock.patch.object(sse.Encoder, "encode", autospec=True, side_effect=encode) as encoded:
            log = log_of(*map(token, range(1, 11)))
            followers = [log.follow() for _ in range(5)]
            for follower in followers:
                next(follower)
            log.append(END)
            for follower in followers:
                list(follower)
            log.after("3")
        self.assertEqual(encoded.call_count, 11)

    FOLLOWERS = rounds(20, 200)
    COUNT = rounds(1_500, 10_000)
    BATCH = 500
    MAX_BYTES = 100_000  # of some 500 frames and more

    def events(self) -> list[Event]:
        contents = ("full" if index % self.BATCH == 0 else "" for index in range(1, self.COUNT))
        return [*map(token, range(1, self.COUNT), contents), END]

    def batches(self, log: ReplayLog) -> Iterator[int]:
        """Append the events; yield after each batch, for all followers to get it in time."""
        for number, event in enumerate(self.events(), 1):
            log.append(event)
            if number % self.BATCH == 0 or event is END:
                yield number

    def assert_everything(self, streams: "list[Digest]") -> None:
        expected = Digest()
        for event in self.events():
            id = f"{self.COUNT - 1}.1" if event is END else str(getattr(event, "token_index", 0))
            expected.add(frame(id, event))
        self.assertEqual({stream.value for stream in streams}, {expected.value})
        self.assertEqual(len(streams), self.FOLLOWERS)

    @needs.threads
    def test_many_followers_in_threads_get_every_byte(self) -> None:
        log = ReplayLog(max_bytes=self.MAX_BYTES)
        streams = [Digest() for _ in range(self.FOLLOWERS)]
        received = threading.Semaphore(0)

        def follow(stream: Digest, follower: Iterator[bytes]) -> None:
            for piece in follower:
                if stream.add(piece):
                    received.release()

        targets = (partial(follow, stream, log.follow()) for stream in streams)
        threads = started(*targets)
        for number in self.batches(log):
            for _ in range(self.FOLLOWERS):
                if not received.acquire(timeout=PATIENCE):
                    raise AssertionError(f"not all have the event {number}")
        join(threads)
        self.assert_everything(streams)

    @needs.asyncio_run
    def test_many_followers_in_a_loop_get_every_byte(self) -> None:
        log = ReplayLog(max_bytes=self.MAX_BYTES)
        streams = [Digest() for _ in range(self.FOLLOWERS)]
        received: list[Digest] = []

        async def follow(stream: Digest, follower: AsyncIterator[bytes]) -> None:
            async for piece in follower:
                if stream.add(piece):
                    received.append(stream)

        async def main() -> None:
            tasks = [asyncio.create_task(follow(stream, await log.afollow())) for stream in streams]
            for _ in self.batches(log):
                while len(received) < self.FOLLOWERS:
                    await asyncio.sleep(0)
                received.clear()
            await asyncio.gather(*tasks)

        run(main())
        self.assert_everything(streams)

    @needs.threads
    def test_many_producers_and_followers(self) -> None:
        producers, count = 4, rounds(100, 1_000)
        log = ReplayLog()
        ids: list[list[str]] = [[] for _ in range(producers)]
        streams: list[bytes] = []

        def produce(number: int) -> None:
            for index in range(1, count + 1):
                ids[number].append(log.append(token(index, f"of {number}")))

        def follow() -> None:
            streams.append(b"".join(log.follow()))

        async def follow_in_a_loop() -> None:
            followers = [listed(await log.afollow()) for _ in range(4)]
            streams.extend(b"".join(pieces) for pieces in await asyncio.gather(*followers))

        followers = started(*(follow for _ in range(4)), *(lambda: run(follow_in_a_loop()),) * 2)
        join(started(*(partial(produce, number) for number in range(producers))))
        log.close()
        join(followers)
        self.assertEqual(set(streams), {log.after()})
        self.assertEqual(len(streams), 12)
        frames = sse.Decoder().feed(streams[0])
        self.assertEqual(sorted(itertools.chain(*ids)), sorted(frame.id for frame in frames))
        for number in range(producers):
            # Each producer's events in its order, with the ids that it was told.
            own = [frame for frame in frames if f'"of {number}"' in frame.data]
            self.assertEqual([frame.id for frame in own], ids[number])
            self.assertEqual(
                [frame.data for frame in own],
                [to_json(token(index, f"of {number}")) for index in range(1, count + 1)],
            )

    @needs.threads
    def test_followers_of_a_producer_that_does_not_wait_get_all_or_are_told(self) -> None:
        log = ReplayLog(max_events=50)
        count = rounds(2_000, 20_000)
        told: list[bool] = []

        def follow() -> None:
            expected = 1
            try:
                for piece in log.follow():
                    for number in (
                        int(line[4:]) for line in piece.splitlines() if line[:3] == b"id:"
                    ):
                        if number != expected:
                            raise AssertionError(f"a hole before {number}, at {expected}")
                        expected += 1
            except CursorExpired:
                told.append(True)
            else:
                told.append(expected == count + 1)

        threads = started(*(follow for _ in range(8)))
        for index in range(1, count + 1):
            log.append(token(index))
        log.close()
        join(threads)
        self.assertEqual(told, [True] * 8)


class Digest:
    """What tells one stream of frames from another."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, piece: bytes) -> bool:
        """Take the next frames, and return whether they end with the last one of a batch."""
        for frame in piece.split(b"\n\n"):
            if frame:
                self.value = hash((self.value, frame))
        return b'"content":"full"' in piece[-150:] or b"event: flow_complete" in piece[-250:]


class Reentrant(unittest.TestCase):
    # What a finalizer or a signal handler does in the middle of a call of the same thread.

    def in_the_middle(
        self, act: Callable[[ReplayLog], object], event: Event
    ) -> tuple[ReplayLog, str]:
        """Append an event; in the middle of its encoding something else happens."""
        log = log_of(token(1))
        encode = Encoder.encode

        def interrupted(encoder: Encoder, event: Event) -> bytes:
            patch.stop()
            act(log)
            return encode(encoder, event)

        patch = mock.patch.object(Encoder, "encode", interrupted)
        patch.start()
        return log, log.append(event)

    def test_an_append_inside_an_append_is_refused_and_the_outer_one_goes_on(self) -> None:
        def act(log: ReplayLog) -> None:
            for event in (token(7), END, token(8)):
                with self.assertRaises(RuntimeError) as caught:
                    log.append(event)
                self.assertEqual(str(caught.exception), INSIDE)
            other: Any = "no event"
            with self.assertRaises(TypeError):
                log.append(other)

        for event, id in ((token(2), "2"), (END, "1.1")):
            log, returned = self.in_the_middle(act, event)
            self.assertEqual(returned, id)
            self.assertEqual(log.after(), tokens(1) + frame(id, event))
        log, _ = self.in_the_middle(act, token(2))
        self.assertEqual(log.append(token(3)), "3")
        self.assertEqual(log.after(), tokens(3))

    def test_an_append_in_any_gap_is_taken_or_refused(self) -> None:
        for event in (token(2), END):

            def attempt(gap: MakeGap, event: Event = event) -> None:
                log = log_of(token(1))
                ids: list[str] = []
                refused: list[str] = []

                def meanwhile() -> None:
                    try:
                        ids.append(log.append(token(3)))
                    except RuntimeError as error:
                        refused.append(str(error))

                with gap(meanwhile) as made:
                    ids.append(log.append(event))
                ended = "the stream has ended by flow_complete: use a new ReplayLog for another run"
                self.assertLessEqual({*refused}, {INSIDE, ended})
                self.assertEqual(len(ids) + len(refused), 2 if made.steps > made.number else 1)
                frames = sse.Decoder().feed(log.after("1"))
                self.assertCountEqual([frame.id for frame in frames], ids)

            gaps(attempt)

    def test_closing_inside_an_append_ends_the_log_after_it(self) -> None:
        for event, id in ((token(2), "2"), (END, "1.1")):
            log, returned = self.in_the_middle(ReplayLog.close, event)
            self.assertEqual(returned, id)
            self.assertTrue(log.ended)
            self.assertEqual(list(log.follow("1")), [frame(id, event)])

    def test_closing_in_any_gap_loses_no_event_that_is_taken(self) -> None:
        def attempt(gap: MakeGap) -> None:
            log = log_of(token(1))
            taken = tokens(1)
            with suppress(RuntimeError), gap(log.close):
                log.append(token(2))
                taken = tokens(2)
            log.close()
            self.assertEqual(log.after(), taken)

        gaps(attempt)

    @needs.threads
    def test_an_append_of_another_thread_waits_for_its_turn(self) -> None:
        appending: list[Future[Any]] = []

        def act(log: ReplayLog) -> None:
            def append() -> str:
                begun.set()
                return log.append(token(3))

            begun = threading.Event()
            appending.append(background(append))
            self.assertTrue(begun.wait(PATIENCE))
            self.assertFalse(appending[0].done())

        log, _ = self.in_the_middle(act, token(2))
        appending[0].result(PATIENCE)
        self.assertEqual(log.after(), tokens(3))

    @needs.threads
    def test_reading_and_going_inside_an_append_take_no_lock(self) -> None:
        read: list[object] = []

        def act(log: ReplayLog) -> None:
            follower = log.follow()
            read.extend((log.after(), next(follower), log.ended))
            read.append(next(log.follow("1", keep_alive=0.001)))
            follower.close()

        def in_another_thread(log: ReplayLog) -> None:
            background(partial(act, log)).result(PATIENCE)

        self.in_the_middle(act, token(2))
        self.in_the_middle(in_another_thread, token(2))
        self.assertEqual(read, [tokens(1), tokens(1), False, KEEP_ALIVE] * 2)

    def test_a_flow_that_is_abandoned_inside_an_append_of_another_log(self) -> None:
        other = ReplayLog()

        def flow() -> Iterator[None]:
            with FlowEmitter(other.append, flow_name="R", backend="b"):
                yield

        abandoned = [flow()]
        next(abandoned[0])
        self.in_the_middle(lambda log: abandoned.clear(), token(2))
        self.assertEqual(
            [frame.event for frame in sse.Decoder().feed(other.after())],
            ["flow_start", "flow_error"],
        )

    def test_the_collector_runs_anywhere(self) -> None:
        count = rounds(100, 1_000)
        log = ReplayLog()
        finalized: list[int] = []
        refused: list[int] = []
        pieces: list[bytes] = []
        follower = log.follow(keep_alive=0.001)
        with collecting_always():
            for index in range(1, count + 1):
                self.litter(log, index, finalized, refused)
                log.append(token(index, "own"))
                pieces.append(next(follower))
        collect(until=lambda: len(finalized) + len(refused) == count)
        log.close()
        pieces += follower
        self.assert_all(log, pieces, count, finalized)

    @needs.asyncio_run
    def test_the_collector_runs_anywhere_in_a_loop(self) -> None:
        count = rounds(100, 1_000)
        log = ReplayLog()
        finalized: list[int] = []
        refused: list[int] = []

        async def produce() -> None:
            for index in range(1, count + 1):
                self.litter(log, index, finalized, refused)
                log.append(token(index, "own"))
                await asyncio.sleep(0)
            collect(until=lambda: len(finalized) + len(refused) == count)
            log.close()

        async def main() -> None:
            with collecting_always():
                producer = asyncio.ensure_future(produce())
                pieces = await listed(await log.afollow())
                await producer
            self.assert_all(log, pieces, count, finalized)

        run(main())

    def litter(self, log: ReplayLog, index: int, finalized: list[int], refused: list[int]) -> None:
        """Leave garbage in a cycle, whose finalizer reads the log and appends to it."""

        def finalize() -> None:
            log.after()
            try:
                log.append(token(index, "finalizer"))
            except RuntimeError as error:
                self.assertEqual(str(error), INSIDE)
                refused.append(index)
            else:
                finalized.append(index)

        Finalized(finalize)

    def assert_all(
        self, log: ReplayLog, pieces: list[bytes], count: int, finalized: list[int]
    ) -> None:
        stream = b"".join(pieces).replace(KEEP_ALIVE, b"")
        self.assertEqual(stream, log.after())
        frames = sse.Decoder().feed(stream)
        self.assertEqual(len({frame.id for frame in frames}), count + len(finalized))
        for name, indexes in (("own", [*range(1, count + 1)]), ("finalizer", finalized)):
            data = {frame.data for frame in frames if f'"{name}"' in frame.data}
            self.assertEqual(data, {to_json(token(index, name)) for index in indexes})


@needs.processes
class AtExit(unittest.TestCase):
    def test_what_is_left_when_the_interpreter_shuts_down_goes_quietly(self) -> None:
        code = (
            "import sys, threading, types\n"
            "sys.modules['holder'] = holder = types.ModuleType('holder')\n"
            f"from {PACKAGE} import FlowStart\n"
            f"from {PACKAGE}.replay import ReplayLog\n"
            "import asyncio\n"
            f"sys.alive = holder, sys.modules['{PACKAGE}.replay']\n"
            "log = ReplayLog()\n"
            "log.append(FlowStart('f', 'b', 0))\n"
            "def follow(waits):\n"
            "    for piece in log.follow(): waits.set()\n"
            "waits = threading.Event()\n"
            "threading.Thread(target=follow, args=[waits], daemon=True).start()\n"
            "waits.wait()\n"
            "follower = log.follow()\n"
            "next(follower)\n"
            "cycle = [log, follower, log.follow(), asyncio.run(log.afollow())]\n"
            "cycle.append(cycle)\n"
            "holder.cycle = cycle, ReplayLog()\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=ROOT,
            timeout=PATIENCE,
            capture_output=True,
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class Resuming(unittest.TestCase):
    def test_a_stream_that_is_cut_anywhere_goes_on_without_loss_or_repetition(self) -> None:
        # Some of the cuts; the gate `resume` makes them all.
        stride = rounds(9, 1)
        cuts = itertools.chain(range(0, 150, stride), range(150, 10**6, 397 * stride))
        self.assertEqual(list(resume.faults(cuts, None)), [])
        self.assertEqual(list(resume.faults(range(0, 10**6, 997 * stride), "run:7")), [])

    def test_a_client_that_is_told_wrongly_is_found_out(self) -> None:
        after = ReplayLog.after

        def one_more(log: ReplayLog, id: str | None = None) -> bytes:
            return after(log, id).partition(b"\n\n")[2] if id else after(log, id)

        with mock.patch.object(ReplayLog, "after", one_more):
            self.assertEqual(len(list(resume.faults([1000], None))), 2)


if __name__ == "__main__":
    unittest.main()
