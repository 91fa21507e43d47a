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
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any
from unittest import mock

from axon_events import Event, FlowComplete, FlowError, FlowStart, StepToken, replay, sse, to_json
from axon_events.channel import channel
from axon_events.emit import FlowEmitter
from axon_events.order import StreamChecker
from axon_events.replay import CursorExpired, CursorUnknown, ReplayLog
from axon_events.sse import Encoder, Reader

from . import PACKAGE, ROOT, needs, resume
from .samples import EVENTS, U64_MAX, random_event
from .threads import (
    PATIENCE,
    Finalized,
    collect,
    end_if_it_hangs,
    join,
    run,
    started,
    unraisable,
    until,
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


def kept(log: ReplayLog) -> tuple[int, int]:
    """Return how many frames the log has, and how many bytes they have."""
    return len(log._frames), sum(len(frame) for _, frame in log._frames.values())


class Interrupted(Encoder):
    """An encoder in the middle of whose work something else happens, as by a finalizer."""

    meanwhile: Callable[[], object] | None = None

    def encode(self, event: Event) -> bytes:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().encode(event)


def interrupted(**options: Any) -> tuple[ReplayLog, Interrupted]:
    log = ReplayLog(**options)
    log._encoder = encoder = Interrupted()
    return log, encoder


class Hooked(dict[Any, Any]):
    """A dict that lets a test get in before an item is read or set."""

    before_get: Callable[[], object] | None = None
    before_set: Callable[[], object] | None = None

    def __getitem__(self, key: object) -> Any:
        hook, self.before_get = self.before_get, None
        if hook is not None:
            hook()
        return super().__getitem__(key)

    def __setitem__(self, key: object, value: object) -> None:
        hook, self.before_set = self.before_set, None
        if hook is not None:
            hook()
        super().__setitem__(key, value)


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
                "the ReplayLog has been closed: append first, close() then",
            )
        self.assertEqual(log.after(None), frame("0.1", START))

    def test_ended(self) -> None:
        log = log_of(START)
        self.assertIs(log.ended, False)
        log.close()
        self.assertIs(log.ended, True)
        self.assertIs(log_of(START, END).ended, True)

    def test_close_wakes_whom_an_interrupted_append_did_not(self) -> None:
        for end in (END, token(1)):
            log = ReplayLog()
            woken: list[bool] = []
            log._waiters = {lambda: woken.append(True): None}  # noqa: B023
            with (
                mock.patch.object(log, "_wake", side_effect=KeyboardInterrupt),
                self.assertRaises(KeyboardInterrupt),
            ):
                log.append(end)
            log.close()
            self.assertEqual((woken, log._waiters), ([True], {}))

    def test_a_frame_that_an_interrupt_kept_out_does_not_count(self) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        for name in ("_frames", "_following"):
            log = log_of(token(1), max_bytes=len(tokens(3)))
            hooked = Hooked(getattr(log, name))
            hooked.before_set = interrupt
            setattr(log, name, hooked)
            with self.assertRaises(KeyboardInterrupt):
                log.append(token(2, "x" * 1000))
            for index in (3, 4):
                log.append(token(index))
            self.assertEqual(log.after("1"), tokens(2, 3))
            self.assertEqual(kept(log), (3, len(tokens(3))))

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
            "assert next(log.follow_sync(None, keep_alive=0.001)) == b': keep-alive\\n\\n';"
            "log.append(FlowStart('f', 'b', 0)); log.append(FlowError('f', 'e', 1));"
            "assert list(log.follow_sync(None)); log.follow(None);"
            "sys.exit('asyncio' in sys.modules)"
        )
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT, timeout=PATIENCE
        )


class After(unittest.TestCase):
    def assert_expired(self, log: ReplayLog, id: str | None, text: str, oldest: str) -> None:
        calls: list[Callable[[str | None], object]] = [log.after, log.follow, log.follow_sync]
        for call in calls:
            with self.assertRaises(CursorExpired) as caught:
                call(id)
            self.assertEqual((str(caught.exception), caught.exception.oldest), (text, oldest))

    def assert_unknown(self, log: ReplayLog, id: str, text: str) -> None:
        calls: list[Callable[[str | None], object]] = [log.after, log.follow, log.follow_sync]
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
        calls: list[Callable[[Any], object]] = [log.after, log.follow, log.follow_sync]
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

    def test_the_id_is_found_without_a_search(self) -> None:
        # Reading the last of many frames looks at that frame alone.
        log = log_of(*map(token, range(1, 1001)))
        log._frames = frames = Hooked(log._frames)
        reads: list[int] = []

        def read() -> None:
            reads.append(1)
            frames.before_get = read

        frames.before_get = read
        self.assertEqual(log.after("999"), tokens(1, 1000))
        self.assertEqual(len(reads), 1)

    def test_evicted_while_it_is_read(self) -> None:
        log = log_of(*map(token, range(1, 6)), max_events=5)
        log._frames = frames = Hooked(log._frames)
        for last in (None, "2"):
            start = "from the beginning" if last is None else "after the id '2'"
            frames.before_get = partial(self.overtake, log)
            with self.assertRaises(CursorExpired) as caught:
                log.after(last)
            self.assertRegex(str(caught.exception), f"the frames {start} are not all kept")
            self.assertIn(caught.exception.oldest, log._following)
            log = log_of(*map(token, range(1, 6)), max_events=5)
            log._frames = frames = Hooked(log._frames)

    def overtake(self, log: ReplayLog) -> None:
        for index in range(101, 111):
            log.append(token(index))

    def test_an_id_that_is_evicted_while_it_is_looked_up(self) -> None:
        class Overtaken(dict[str, int]):
            def get(self, key: str, default: Any = None) -> Any:
                found = super().get(key, default)
                for index in range(101, 104):
                    log.append(token(index))
                return found

        log = log_of(*map(token, range(1, 4)), max_events=2)
        log._following = Overtaken(log._following)
        with self.assertRaises(CursorExpired) as caught:
            log.after("2")
        self.assertEqual(caught.exception.oldest, "102")


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
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                for index in range(201, 5001):
                    log.append(token(index, text))
                gc.collect()
                grown = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
            # The frames from before were not traced, so what is kept now is all that counts.
            self.assertLess(grown, frames * (1000 + 600))
            self.assertLessEqual(len(log._frames), frames)
            self.assertLessEqual(len(log._following), len(log._frames) + 1)

    def test_against_a_model(self) -> None:
        for seed in range(20261100, 20261160):
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
                index = rng.choice((index + 1, index + 1, index + 1, index, index + 5, 1, 0))
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
        self.assertEqual(kept(log)[0], len(model.ids) - model.first)


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


class FollowingInAThread(unittest.TestCase):
    def test_catch_up_then_live_until_the_terminator(self) -> None:
        log = log_of(token(1), token(2))
        follower = log.follow_sync("1")
        self.assertEqual(next(follower), tokens(1, 2))
        log.append(token(3))
        self.assertEqual(next(follower), tokens(1, 3))
        log.append(token(4))
        log.append(token(5))
        self.assertEqual(next(follower), tokens(2, 4))
        log.append(FAILURE)
        self.assertEqual(list(follower), [frame("5.1", FAILURE)])
        self.assertEqual(list(log.follow_sync("5")), [frame("5.1", FAILURE)])
        self.assertEqual(list(log.follow_sync("5.1")), [])

    def test_close_ends_it_after_the_last_frame(self) -> None:
        log = log_of(token(1), token(2))
        follower = log.follow_sync(None)
        log.close()
        self.assertEqual(list(follower), [tokens(2)])
        log = ReplayLog()
        log.close()
        self.assertEqual(list(log.follow_sync(None)), [])

    @needs.threads
    def test_a_follower_that_waits_is_woken(self) -> None:
        for last, end in ((frame("0.1", END), lambda log: log.append(END)), (b"", ReplayLog.close)):
            log = ReplayLog()
            got: list[bytes] = []
            threads = started(lambda: got.extend(log.follow_sync(None, keep_alive=None)))  # noqa: B023
            while not log._waiters:
                pass
            end(log)
            join(threads)
            self.assertEqual((b"".join(got), log._waiters), (last, {}))

    def test_a_frame_that_comes_just_before_the_waiter_is_entered(self) -> None:
        log = ReplayLog()
        log._waiters = waiters = Hooked()
        waiters.before_set = partial(log.append, token(1))
        self.assertEqual(next(log.follow_sync(None, keep_alive=None)), tokens(1))
        waiters.before_set = log.close
        self.assertEqual(list(log.follow_sync("1", keep_alive=None)), [])
        self.assertEqual(log._waiters, {})

    def test_keep_alive(self) -> None:
        log = ReplayLog()
        follower = log.follow_sync(None, keep_alive=0.001)
        self.assertEqual([next(follower) for _ in range(3)], [KEEP_ALIVE] * 3)
        self.assertEqual(log._waiters, {})
        log.append(token(1))
        self.assertEqual(next(follower), tokens(1))
        self.assertEqual(next(follower), KEEP_ALIVE)
        log.close()
        self.assertEqual(list(follower), [])

    def test_it_waits_once_for_each_frame_and_as_long_as_asked(self) -> None:
        asked: list[float | None] = []
        for keep_alive, timeout in (
            ({}, 15.0),
            ({"keep_alive": None}, None),
            ({"keep_alive": 7}, 7),
            ({"keep_alive": math.inf}, threading.TIMEOUT_MAX),
            ({"keep_alive": 10**400}, threading.TIMEOUT_MAX),
        ):
            log = ReplayLog()
            asked.clear()

            class Watched(SimpleQueue[bool]):
                def get(self, block: bool = True, timeout: float | None = None) -> bool:
                    asked.append(timeout)
                    log.append(token(len(asked)))  # noqa: B023
                    return super().get(block, timeout)

            options: Any = keep_alive
            with mock.patch.object(replay, "SimpleQueue", Watched):
                follower = log.follow_sync(None, **options)
                self.assertEqual(
                    [next(follower) for _ in range(5)], [tokens(1, n) for n in range(1, 6)]
                )
            self.assertEqual(asked, [timeout] * 5)

    def test_woken_for_a_frame_that_it_has_taken_it_waits_on(self) -> None:
        class Woken(SimpleQueue[bool]):
            def get(self, block: bool = True, timeout: float | None = None) -> bool:
                waits.append(1)
                if len(waits) < 3:
                    log._wake()
                else:
                    log.append(token(1))
                return super().get(block, timeout)

        waits: list[int] = []
        log = ReplayLog()
        with mock.patch.object(replay, "SimpleQueue", Woken):
            self.assertEqual(next(log.follow_sync(None)), tokens(1))
        self.assertEqual(len(waits), 3)

    def test_keep_alive_is_a_number_of_seconds_above_0_or_none(self) -> None:
        log = ReplayLog()
        calls: list[Callable[..., object]] = [log.follow, log.follow_sync]
        for call in calls:
            for other in ("1", True, b"", [1]):
                with self.assertRaises(TypeError) as caught:
                    call(None, keep_alive=other)
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
                    call("no id at all", keep_alive=value)
                self.assertEqual(
                    str(value_error.exception),
                    f"keep_alive must be above 0, in seconds, got {text}",
                )

    def test_catching_up_comes_in_pieces_of_whole_frames(self) -> None:
        log = log_of(*(token(index, "x" * 900) for index in range(1, 501)))
        log.append(token(501, "x" * 200_000))
        log.append(END)
        largest = max(len(frame) for _, frame in log._frames.values() if len(frame) < 2000)
        pieces = list(log.follow_sync(None))
        self.assertEqual(b"".join(pieces), log.after(None))
        self.assertGreater(len(pieces), 5)
        for piece in pieces:
            self.assertTrue(piece.startswith(b"id: "))
            self.assertTrue(piece.endswith(b"}\n\n"))
            self.assertTrue(len(piece) < 2**16 + largest or b"id: 501\n" in piece)

    def test_a_slow_follower_that_is_overtaken_is_told(self) -> None:
        log = log_of(token(1), token(2), max_events=3)
        follower, early, late = (log.follow_sync(id) for id in (None, None, "2"))
        self.assertEqual(next(follower), tokens(2))
        for index in range(3, 7):
            log.append(token(index))
        for overtaken, start in (
            (follower, "after the id '2'"),
            (early, "from the beginning"),
            (late, "after the id '2'"),
        ):
            with self.assertRaises(CursorExpired) as caught:
                next(overtaken)
            self.assertEqual(caught.exception.oldest, "4")
            self.assertEqual(
                str(caught.exception), f"the frames {start} are not all kept: the oldest is '4'"
            )
            self.assertEqual(list(overtaken), [])

    def test_the_last_evicted_frame_is_not_missed_by_who_has_it(self) -> None:
        log = log_of(token(1), max_events=2)
        follower = log.follow_sync(None)
        self.assertEqual(next(follower), tokens(1))
        log.append(token(2))
        log.append(token(3))
        self.assertEqual(next(follower), tokens(2, 2))

    def test_overtaken_while_a_piece_is_read(self) -> None:
        log = log_of(*map(token, range(1, 6)), max_events=5)
        follower = log.follow_sync(None)
        log._frames = frames = Hooked(log._frames)
        frames.before_get = lambda: [log.append(token(index)) for index in range(6, 9)]
        with self.assertRaises(CursorExpired):
            next(follower)

    def test_one_that_is_closed_or_dropped_leaves_nothing(self) -> None:
        log = log_of(token(1))
        for _ in range(3):
            follower = log.follow_sync(None, keep_alive=0.001)
            self.assertEqual((next(follower), next(follower)), (tokens(1), KEEP_ALIVE))
            follower.close()
            del follower
        self.assertEqual(log._waiters, {})
        self.assertEqual(log.append(token(2)), "2")

    def test_an_interrupt_while_it_waits_leaves_nothing(self) -> None:
        class Struck(SimpleQueue[bool]):
            def get(self, block: bool = True, timeout: float | None = None) -> bool:
                raise KeyboardInterrupt

        log = ReplayLog()
        with mock.patch.object(replay, "SimpleQueue", Struck), self.assertRaises(KeyboardInterrupt):
            next(log.follow_sync(None))
        self.assertEqual(log._waiters, {})


@needs.asyncio_run
class FollowingInALoop(unittest.TestCase):
    def test_catch_up_then_live_until_the_terminator(self) -> None:
        async def main() -> None:
            log = log_of(token(1), token(2))
            follower = log.follow("1")
            self.assertEqual(await anext(follower), tokens(1, 2))
            log.append(token(3))
            self.assertEqual(await anext(follower), tokens(1, 3))
            waiting = asyncio.ensure_future(rest(follower))
            for index in (4, 5):
                await until(lambda: log._waiters)
                log.append(token(index))
            await until(lambda: log._waiters)
            log.append(FAILURE)
            self.assertEqual(await waiting, [tokens(1, 4), tokens(1, 5), frame("5.1", FAILURE)])
            self.assertEqual(await rest(log.follow("5.1")), [])

        run(main())

    def test_close_ends_it_after_the_last_frame(self) -> None:
        async def main() -> None:
            log = log_of(token(1), token(2))
            follower = log.follow(None)
            waiting = asyncio.ensure_future(rest(log.follow("2")))
            await until(lambda: log._waiters)
            log.close()
            self.assertEqual(await rest(follower), [tokens(2)])
            self.assertEqual(await waiting, [])

        run(main())

    def test_a_frame_that_comes_just_before_the_waiter_is_entered(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            log._waiters = waiters = Hooked()
            waiters.before_set = partial(log.append, token(1))
            self.assertEqual(await anext(log.follow(None, keep_alive=None)), tokens(1))
            waiters.before_set = log.close
            self.assertEqual(await rest(log.follow("1", keep_alive=None)), [])
            self.assertEqual(log._waiters, {})

        run(main())

    def test_keep_alive(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            follower = log.follow(None, keep_alive=0.001)
            self.assertEqual([await anext(follower) for _ in range(3)], [KEEP_ALIVE] * 3)
            self.assertEqual(log._waiters, {})
            log.append(token(1))
            self.assertEqual(await anext(follower), tokens(1))
            self.assertEqual(await anext(follower), KEEP_ALIVE)
            log.close()
            self.assertEqual(await rest(follower), [])

        run(main())

    def test_it_waits_once_for_each_frame_and_as_long_as_asked(self) -> None:
        async def main(options: Any, timeouts: list[float]) -> None:
            log = ReplayLog()
            loop = asyncio.get_running_loop()
            timers: list[asyncio.TimerHandle] = []
            delays: list[float] = []
            call_later = loop.call_later

            def watched(delay: float, *args: Any, **more: Any) -> asyncio.TimerHandle:
                delays.append(delay)
                timers.append(call_later(delay, *args, **more))
                return timers[-1]

            follower = log.follow(None, **options)
            with (
                mock.patch.object(loop, "call_later", watched),
                mock.patch.object(loop, "create_future", side_effect=loop.create_future) as futures,
            ):
                for index in range(1, 6):
                    item = asyncio.ensure_future(rest(follower, 1))
                    await until(lambda: log._waiters)
                    log.append(token(index))
                    self.assertEqual(await item, [tokens(1, index)])
            self.assertEqual(delays, timeouts * 5)
            self.assertEqual(futures.call_count, 5)
            self.assertTrue(all(timer.cancelled() for timer in timers))
            await follower.aclose()

        run(main({}, [15.0]))
        run(main({"keep_alive": None}, []))
        run(main({"keep_alive": 7}, [7]))
        run(main({"keep_alive": 10**400}, [threading.TIMEOUT_MAX]))

    def test_a_slow_follower_that_is_overtaken_is_told(self) -> None:
        async def main() -> None:
            log = log_of(token(1), token(2), max_events=3)
            follower, early = log.follow(None), log.follow(None)
            self.assertEqual(await anext(follower), tokens(2))
            for index in range(3, 7):
                log.append(token(index))
            for overtaken, start in (
                (follower, "after the id '2'"),
                (early, "from the beginning"),
                (follower, "after the id '2'"),  # again: it must not look like the end
            ):
                with self.assertRaises(CursorExpired) as caught:
                    await anext(overtaken)
                self.assertEqual(caught.exception.oldest, "4")
                self.assertEqual(
                    str(caught.exception), f"the frames {start} are not all kept: the oldest is '4'"
                )

        run(main())

    def test_woken_for_a_frame_that_it_has_taken_it_waits_on(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            item = asyncio.ensure_future(rest(log.follow(None), 1))
            for _ in range(3):
                await until(lambda: log._waiters)
                log._wake()
            await until(lambda: log._waiters)
            self.assertFalse(item.done())
            log.append(token(1))
            self.assertEqual(await item, [tokens(1)])

        run(main())

    def test_the_call_needs_no_loop(self) -> None:
        log = log_of(token(1), END)
        follower = log.follow(None)
        self.assertEqual(run(rest(follower)), [log.after(None)])

    def test_cancelling_leaves_nothing_behind(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            loop = asyncio.get_running_loop()
            errors: list[Any] = []
            loop.set_exception_handler(lambda loop, context: errors.append(context))
            for woken_first in (False, True):
                tasks = [asyncio.ensure_future(rest(log.follow(None))) for _ in range(20)]
                await until(lambda: len(log._waiters) == 20)
                if woken_first:
                    log.append(token(1))
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                self.assertEqual({type(result) for result in results}, {asyncio.CancelledError})
                self.assertEqual(log._waiters, {})
            await asyncio.sleep(0)
            self.assertEqual(errors, [])

        run(main())

    def test_cancelled_at_any_time_it_goes_on_after_the_last_id(self) -> None:
        seed = 20261123
        rng = random.Random(seed)
        count = 1500

        async def follow(log: ReplayLog, decoder: sse.Decoder, ids: list[str]) -> None:
            async for piece in log.follow(decoder.last_event_id):
                ids += (frame.id for frame in decoder.feed(piece))
                await asyncio.sleep(0)

        async def main() -> list[str]:
            log = ReplayLog()
            decoder = sse.Decoder()
            ids: list[str] = []
            producer = asyncio.ensure_future(produced(log, count, rng))
            while not (log.ended and log.after(decoder.last_event_id) == b""):
                task = asyncio.ensure_future(follow(log, decoder, ids))
                for _ in range(rng.randrange(12)):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                self.assertEqual(log._waiters, {})
            await producer
            return ids

        with self.subTest(seed=seed):
            self.assertEqual(run(main()), [*map(str, range(1, count + 1)), f"{count}.1"])

    def test_cancelled_while_it_waits_it_goes_on(self) -> None:
        async def main() -> None:
            log = log_of(token(1))
            follower = log.follow(None)
            self.assertEqual(await anext(follower), tokens(1))
            for woken_first, index in ((False, 2), (True, 3)):
                waiting = asyncio.ensure_future(rest(follower, 1))
                await until(lambda: log._waiters)
                if woken_first:
                    log.append(token(index))
                waiting.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await waiting
                self.assertEqual(log._waiters, {})
                if not woken_first:
                    log.append(token(index))
                self.assertEqual(await anext(follower), tokens(1, index))
            log.append(END)
            self.assertEqual([piece async for piece in follower], [frame("3.1", END)])
            self.assertEqual(await rest(follower), [])

        run(main())

    def test_cancelled_at_any_time_it_gives_every_byte_once(self) -> None:
        seed = 20261124
        rng = random.Random(seed)
        count = 1500

        async def main() -> None:
            log = ReplayLog()
            pieces: list[bytes] = []

            async def follow() -> None:
                async for piece in follower:
                    pieces.append(piece)
                    await asyncio.sleep(0)

            follower = log.follow(None)
            producer = asyncio.ensure_future(produced(log, count, rng))
            following = asyncio.ensure_future(follow())
            while not following.done():
                for _ in range(rng.randrange(12)):
                    await asyncio.sleep(0)
                if following.cancel():
                    with suppress(asyncio.CancelledError):
                        await following
                        break
                    following = asyncio.ensure_future(follow())
            await producer
            self.assertEqual(b"".join(pieces), log.after(None))

        with self.subTest(seed=seed):
            run(main())

    def test_closing_ends_it_also_while_it_waits(self) -> None:
        async def main() -> None:
            log = log_of(token(1), token(2))
            follower, unused = log.follow("1"), log.follow(None)
            self.assertEqual(await anext(follower), tokens(1, 2))
            waiting = asyncio.ensure_future(rest(follower))
            await until(lambda: log._waiters)
            for _ in range(2):
                await follower.aclose()
                await unused.aclose()
            self.assertEqual((await waiting, log._waiters), ([], {}))
            log.append(token(3))
            self.assertEqual((await rest(follower), await rest(unused)), ([], []))

        run(main())

    def test_one_item_at_a_time(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            follower = log.follow(None)
            waiting = asyncio.ensure_future(rest(follower))
            await until(lambda: log._waiters)
            with self.assertRaises(RuntimeError) as caught:
                await anext(follower)
            self.assertEqual(
                str(caught.exception),
                "another anext is waiting: call follow once for each who follows",
            )
            log.append(END)
            self.assertEqual(await waiting, [frame("0.1", END)])

        run(main())

    def test_a_loop_that_is_closed_while_one_waits(self) -> None:
        log = ReplayLog()
        loop = asyncio.new_event_loop()
        follower = log.follow(None)
        task = loop.create_task(rest(follower))
        loop.run_until_complete(asyncio.sleep(0))
        self.assertEqual(len(log._waiters), 1)
        loop.close()
        self.assertEqual(log.append(token(1)), "1")
        self.assertEqual(log._waiters, {})
        with mock.patch.object(loop, "call_exception_handler"):  # a task destroyed but pending
            del task, follower
            gc.collect()
        self.assertEqual(log.append(token(2)), "2")
        self.assertEqual(next(log.follow_sync(None)), tokens(2))

    def test_an_error_of_an_open_loop_is_not_hidden_and_the_next_append_wakes(self) -> None:
        async def main() -> None:
            log = ReplayLog()
            loop = asyncio.get_running_loop()
            tasks = [asyncio.ensure_future(rest(log.follow(None))) for _ in range(3)]
            await until(lambda: len(log._waiters) == 3)
            with (
                mock.patch.object(loop, "call_soon_threadsafe", side_effect=RecursionError),
                self.assertRaises(RecursionError),
            ):
                log.append(token(1))
            self.assertEqual(len(log._waiters), 3)
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


async def rest(follower: AsyncIterator[bytes], count: float = math.inf) -> list[bytes]:
    """Return the next items, so many or all."""
    items: list[bytes] = []
    while len(items) < count:
        try:
            items.append(await anext(follower))
        except StopAsyncIteration:
            break
    return items


class Many(unittest.TestCase):
    def test_each_event_is_encoded_once(self) -> None:
        with mock.patch.object(sse, "to_json", side_effect=to_json) as encoded:
            log = log_of(*map(token, range(1, 11)))
            followers = [log.follow_sync(None) for _ in range(5)]
            for follower in followers:
                next(follower)
            log.append(END)
            for follower in followers:
                list(follower)
            log.after("3")
        self.assertEqual(encoded.call_count, 11)

    FOLLOWERS = 200
    COUNT = 10_000
    BATCH = 500
    MAX_BYTES = 100_000

    def events(self) -> list[Event]:
        contents = ("full" if index % self.BATCH == 0 else "" for index in range(1, self.COUNT))
        return [*map(token, range(1, self.COUNT), contents), END]

    def batches(self, log: ReplayLog) -> Iterator[int]:
        """Append the events; yield after each batch, for all followers to get it in time."""
        for number, event in enumerate(self.events(), 1):
            log.append(event)
            if number % self.BATCH == 0 or event is END:
                events, size = kept(log)
                self.assertLessEqual(size, self.MAX_BYTES)
                self.assertEqual(len(log._following), events + 1)
                yield number

    def assert_everything(self, log: ReplayLog, streams: "list[Digest]") -> None:
        expected = Digest()
        for event in self.events():
            id = f"{self.COUNT - 1}.1" if event is END else str(getattr(event, "token_index", 0))
            expected.add(frame(id, event))
        self.assertEqual({stream.value for stream in streams}, {expected.value})
        self.assertEqual((len(streams), log._waiters), (self.FOLLOWERS, {}))

    @needs.threads
    def test_many_followers_in_threads_get_every_byte(self) -> None:
        log = ReplayLog(max_bytes=self.MAX_BYTES)
        streams = [Digest() for _ in range(self.FOLLOWERS)]
        received = threading.Semaphore(0)

        def follow(stream: Digest, follower: Generator[bytes, None, None]) -> None:
            for piece in follower:
                if stream.add(piece):
                    received.release()

        targets = (partial(follow, stream, log.follow_sync(None)) for stream in streams)
        threads = started(*targets)
        for number in self.batches(log):
            for _ in range(self.FOLLOWERS):
                if not received.acquire(timeout=PATIENCE):
                    raise AssertionError(f"not all have the event {number}")
        join(threads)
        self.assert_everything(log, streams)

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
            tasks = [asyncio.create_task(follow(stream, log.follow(None))) for stream in streams]
            for _ in self.batches(log):
                await until(lambda: len(received) == self.FOLLOWERS)
                received.clear()
            await asyncio.gather(*tasks)

        run(main())
        self.assert_everything(log, streams)

    @needs.threads
    def test_many_producers_and_followers(self) -> None:
        producers, count = 4, 500
        log = ReplayLog()
        ids: list[list[str]] = [[] for _ in range(producers)]
        streams: list[bytes] = []

        def produce(number: int) -> None:
            for index in range(1, count + 1):
                ids[number].append(log.append(token(index, f"of {number}")))

        def follow() -> None:
            streams.append(b"".join(log.follow_sync(None)))

        async def follow_in_a_loop() -> None:
            followers = [rest(log.follow(None)) for _ in range(4)]
            streams.extend(b"".join(pieces) for pieces in await asyncio.gather(*followers))

        followers = started(*(follow for _ in range(4)), *(lambda: run(follow_in_a_loop()),) * 2)
        join(started(*(partial(produce, number) for number in range(producers))))
        log.close()
        join(followers)
        self.assertEqual(set(streams), {log.after(None)})
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
        count = 20_000
        told: list[bool] = []

        def follow() -> None:
            expected = 1
            try:
                for piece in log.follow_sync(None):
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

    def test_an_append_inside_an_append_is_taken_after_it(self) -> None:
        log, encoder = interrupted()
        inner: list[str] = []
        encoder.meanwhile = lambda: inner.append(log.append(token(2)))
        self.assertEqual(log.append(token(1)), "1")
        self.assertEqual(inner, [""])
        self.assertEqual(log.append(token(3)), "3")
        self.assertEqual(log.after(None), tokens(3))

    def test_what_is_refused_then_is_dropped_and_reported(self) -> None:
        log, encoder = interrupted()

        def meanwhile() -> None:
            for event in (END, token(2)):
                log.append(event)
            other: Any = "no event"
            with self.assertRaises(TypeError):
                log.append(other)

        encoder.meanwhile = meanwhile
        with unraisable() as errors:
            log.append(token(1))
        self.assertEqual([type(error) for error in errors], [RuntimeError])
        self.assertEqual(log.after(None), tokens(1) + frame("1.1", END))

    def test_closing_inside_an_append_ends_the_log_after_it(self) -> None:
        log, encoder = interrupted()
        encoder.meanwhile = log.close
        self.assertEqual(log.append(token(1)), "1")
        self.assertEqual(list(log.follow_sync(None)), [tokens(1)])

    def test_reading_inside_an_append(self) -> None:
        log, encoder = interrupted()
        log.append(token(1))
        read: list[object] = []

        def meanwhile() -> None:
            read.append(log.after(None))
            read.append(next(log.follow_sync(None)))
            read.append(next(log.follow_sync("1", keep_alive=0.001)))
            read.append(log.ended)

        encoder.meanwhile = meanwhile
        log.append(token(2))
        self.assertEqual(read, [tokens(1), tokens(1), KEEP_ALIVE, False])

    def test_a_flow_that_ends_inside_an_append(self) -> None:
        log, encoder = interrupted()

        def flow() -> Generator[None, None, None]:
            with FlowEmitter(log.append, flow_name="R", backend="b"):
                yield

        abandoned = [flow()]
        next(abandoned[0])
        encoder.meanwhile = abandoned.clear
        log.append(token(1))
        self.assertEqual(
            [frame.event for frame in sse.Decoder().feed(log.after(None))],
            ["flow_start", "step_token", "flow_error"],
        )

    @needs.threads
    def test_a_checked_channel_and_a_log_in_each_others_middle(self) -> None:
        class Judging(StreamChecker):
            meanwhile: Callable[[], object] = staticmethod(lambda: None)

            def require(self, event: Event) -> None:
                self.meanwhile()
                super().require(event)

        together = threading.Barrier(2, timeout=PATIENCE)

        def crosswise(act: Callable[[], object]) -> None:
            together.wait()  # both hold their lock
            act()
            together.wait()

        log, encoder = interrupted()
        checker = Judging()
        sender, receiver = channel(check=checker)
        encoder.meanwhile = lambda: crosswise(lambda: sender.send(FAILURE))

        def meanwhile() -> None:
            del checker.meanwhile
            crosswise(lambda: log.append(token(2)))

        checker.meanwhile = meanwhile
        join(started(lambda: log.append(token(1)), lambda: sender.send(START)))
        self.assertEqual(log.after(None), tokens(2))
        self.assertEqual(list(receiver), [START, FAILURE])

    @needs.threads
    def test_two_logs_in_each_others_middle(self) -> None:
        together = threading.Barrier(2, timeout=PATIENCE)
        (first, first_encoder), (second, second_encoder) = interrupted(), interrupted()

        def crosswise(other: ReplayLog) -> None:
            together.wait()
            other.append(token(2))
            together.wait()

        first_encoder.meanwhile = lambda: crosswise(second)
        second_encoder.meanwhile = lambda: crosswise(first)
        join(started(lambda: first.append(token(1)), lambda: second.append(token(1))))
        self.assertEqual((first.after(None), second.after(None)), (tokens(2), tokens(2)))

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

        def interrupt() -> None:
            while not log._waiters:
                pass
            # Again, since one that comes just before the system call is not handled until later.
            while not struck.wait(0.01):
                signal.pthread_kill(main, signal.SIGINT)

        before = signal.signal(signal.SIGINT, strike)
        try:
            threads = started(interrupt)
            self.assertEqual(list(log.follow_sync(None, keep_alive=None)), [frame("0.1", END)])
            join(threads)
        finally:
            signal.signal(signal.SIGINT, before)

    def test_the_collector_runs_anywhere(self) -> None:
        count = 300
        log = ReplayLog(max_events=1000)
        finalized: list[str] = []
        pieces: list[bytes] = []
        follower = log.follow_sync(None, keep_alive=0.001)

        def finalize(index: int) -> None:
            finalized.append(log.append(token(index, "finalizer")))
            log.after(None)

        threshold = gc.get_threshold()
        try:
            gc.set_threshold(1)
            for index in range(1, count + 1):
                Finalized(partial(finalize, index))
                log.append(token(index, "own"))
                pieces.append(next(follower))
        finally:
            gc.set_threshold(*threshold)
        collect(until=lambda: len(finalized) == count)
        log.close()
        pieces += follower
        stream = b"".join(pieces).replace(KEEP_ALIVE, b"")
        self.assertEqual(stream, log.after(None))
        self.assert_all(stream, count)

    @needs.asyncio_run
    def test_the_collector_runs_anywhere_in_a_loop(self) -> None:
        count = 300
        threshold = gc.get_threshold()

        async def main() -> bytes:
            log = ReplayLog()
            finalized: list[str] = []

            def finalize(index: int) -> None:
                finalized.append(log.append(token(index, "finalizer")))

            async def produce() -> None:
                for index in range(1, count + 1):
                    Finalized(partial(finalize, index))
                    log.append(token(index, "own"))
                    await asyncio.sleep(0)
                collect(until=lambda: len(finalized) == count)
                log.close()

            gc.set_threshold(1)
            producer = asyncio.ensure_future(produce())
            pieces = await rest(log.follow(None))
            await producer
            self.assertEqual(b"".join(pieces), log.after(None))
            return b"".join(pieces)

        try:
            stream = run(main())
        finally:
            gc.set_threshold(*threshold)
        self.assert_all(stream, count)

    def assert_all(self, stream: bytes, count: int) -> None:
        frames = sse.Decoder().feed(stream)
        self.assertEqual(len({frame.id for frame in frames}), 2 * count)
        for name in ("own", "finalizer"):
            data = {frame.data for frame in frames if f'"{name}"' in frame.data}
            expected = {to_json(token(index, name)) for index in range(1, count + 1)}
            self.assertEqual(data, expected)


class Resuming(unittest.TestCase):
    def test_a_stream_that_is_cut_anywhere_goes_on_without_loss_or_repetition(self) -> None:
        # Some of the cuts; `python -m tests.resume` makes them all.
        cuts = itertools.chain(range(150), range(150, 10**6, 397))
        self.assertEqual(list(resume.faults(cuts, None)), [])
        self.assertEqual(list(resume.faults(range(0, 10**6, 997), "run:7")), [])

    def test_a_client_that_is_told_wrongly_is_found_out(self) -> None:
        after = ReplayLog.after

        def one_more(log: ReplayLog, id: str | None) -> bytes:
            return after(log, id).partition(b"\n\n")[2] if id else after(log, id)

        with mock.patch.object(ReplayLog, "after", one_more):
            self.assertEqual(len(list(resume.faults([1000], None))), 2)


if __name__ == "__main__":
    unittest.main()
