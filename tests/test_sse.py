# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Server-Sent Events: what the encoder writes, and what a reader makes of it and of bad streams."""

import asyncio
import enum
import io
import json
import pickle
import random
import unittest
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, NamedTuple

from axon_events import (
    EVENT_TYPES,
    DecodeError,
    Event,
    FlowError,
    StepToken,
    from_json,
    sse,
    to_json,
)
from axon_events.order import OrderError, Outcome, Rule, StreamChecker, TruncatedStream

from . import CORPUS, needs, sse_model
from .effort import rounds
from .samples import EVENTS, FLOW, IDS, U64_MAX, frames_of, random_event
from .sse_model import BOM, splits


def corpus() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CORPUS / "sse.json").read_bytes())
    if len(document["encode"]) < 50:
        raise AssertionError(f"sse.json has only {len(document['encode'])} cases to encode")
    return document


class Corpus(unittest.TestCase):
    """sse.json, which any implementation must agree with."""

    def test_every_stream_is_written_as_it_says(self) -> None:
        for case in corpus()["encode"]:
            with self.subTest(case["name"]):
                encoder = sse.Encoder(case["stream_id"])
                written = b"".join(encoder.encode(from_json(wire)) for wire in case["events"])
                self.assertEqual(written.hex(), case["bytes_hex"])

    def test_what_is_written_is_read_again(self) -> None:
        for case in corpus()["encode"]:
            with self.subTest(case["name"]):
                reader = sse.Reader(check=False)
                events = reader.feed(bytes.fromhex(case["bytes_hex"]))
                self.assertEqual([to_json(event) for event in events], case["events"])

    def test_the_form_of_the_file(self) -> None:
        raw = (CORPUS / "sse.json").read_bytes()
        document = corpus()
        self.assertEqual(raw.decode("ascii"), json.dumps(document, indent=2) + "\n")
        self.assertEqual(list(document), ["format", "description", "decode", "encode"])
        self.assertEqual(document["format"], 1)
        keys = {
            "decode": ["name", "input_hex", "frames", "last_event_id", "retry", "discarded"],
            "encode": ["name", "stream_id", "events", "bytes_hex"],
        }
        groups = {
            "decode": "lines bom comments fields data event id retry dispatch utf8 discarded",
            "encode": "variants cursor stream-id content",
        }
        for what in ("decode", "encode"):
            names = Counter(case["name"] for case in document[what])
            self.assertEqual([name for name, times in names.items() if times > 1], [])
            found = {name.partition(".")[0] for name in names}
            self.assertEqual(found, set(groups[what].split()))
            for case in document[what]:
                with self.subTest(case["name"]):
                    self.assertEqual(list(case), keys[what])
                    self.assertRegex(
                        case["name"], r"\A[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9^]+(-[a-z0-9^]+)*\Z"
                    )
        for case in document["decode"]:
            for frame in case["frames"]:
                self.assertEqual(list(frame), ["id", "event", "data"], case["name"])
        kinds = {from_json(wire).kind for case in document["encode"] for wire in case["events"]}
        self.assertEqual(kinds, set(EVENT_TYPES))


def position(id: str) -> tuple[int, int]:
    """Return where a cursor stands: by T, then by K, a bare T being T.0."""
    token, _, since = id.rpartition(":")[2].partition(".")
    return int(token), int(since or 0)


class Encoding(unittest.TestCase):
    def test_a_frame(self) -> None:
        encoder = sse.Encoder()
        self.assertEqual(encoder.last_event_id, "")
        self.assertEqual(
            encoder.encode(EVENTS[2]),
            b"id: 1\nevent: step_token\n"
            b'data: {"kind":"step_token","step_name":"Summarise","content":"Hello","token_index":1,'
            b'"timestamp_ms":1700000000002}\n\n',
        )
        self.assertEqual(encoder.last_event_id, "1")

    def test_cursors_are_unique_and_in_order_whatever_comes(self) -> None:
        seed = 17
        rng = random.Random(seed)
        for number in range(rounds(20, 200)):
            encoder = sse.Encoder(rng.choice((None, "run:7")))
            positions = [(0, 0)]
            tokens = [0]
            for _ in range(rng.randint(1, 40)):
                event = random_event(rng)
                if rng.random() < 0.7:
                    event = StepToken("A", "x", rng.choice((rng.randint(0, 9), U64_MAX)), 0)
                with self.subTest(seed=seed, number=number, event=event):
                    frame = encoder.encode(event)
                    (decoded_frame,) = sse_model.decode(frame).frames
                    self.assertEqual(
                        decoded_frame, (event.kind, to_json(event), encoder.last_event_id)
                    )
                    self.assertEqual(frame.count(b"\n"), 4)
                    self.assertNotIn(b"\r", frame)
                    positions.append(position(encoder.last_event_id))
                    self.assertGreater(positions[-1], positions[-2])
                    if isinstance(event, StepToken):
                        is_next = event.token_index > max(tokens)
                        self.assertEqual(is_next, "." not in encoder.last_event_id)
                        tokens.append(event.token_index)
                    self.assertEqual(positions[-1][0], max(tokens))

    def test_a_keep_alive_is_a_comment(self) -> None:
        encoder = sse.Encoder()
        encoder.encode(EVENTS[0])
        self.assertEqual(encoder.keep_alive(), b": keep-alive\n\n")
        self.assertEqual(encoder.last_event_id, "0.1")
        self.assertEqual(sse_model.decode(encoder.keep_alive()), ([], "", None, False))

    def test_how_long_to_wait(self) -> None:
        for ms in (0, 1, 500, 10**17):
            frame = sse.Encoder().retry(ms)
            self.assertEqual(frame, f"retry: {ms}\n\n".encode())
            self.assertEqual(sse_model.decode(frame), ([], "", ms, False))
        others: list[Any] = [None, "5", 0.5, True]
        for other in others:
            text = f"^retry takes an int of milliseconds, got {type(other).__name__}$"
            with self.subTest(other), self.assertRaisesRegex(TypeError, text):
                sse.Encoder().retry(other)
        with self.assertRaisesRegex(ValueError, "^retry takes milliseconds from 0, got -1$"):
            sse.Encoder().retry(-1)

    def test_another_stream_id(self) -> None:
        for text in ("", " ", "a b", "a\n", "\n", "é", "a\x7f", "\x00", "a\x1f", "😀", "a\u2028"):
            with self.subTest(text), self.assertRaises(ValueError) as caught:
                sse.Encoder(text)
            self.assertEqual(
                str(caught.exception),
                f"stream_id must be visible ASCII, one character or more, got {text!r}",
            )
        with self.assertRaises(ValueError) as caught:
            sse.Encoder("é" * 1000)
        self.assertLess(len(str(caught.exception)), 150)
        others: list[Any] = [5, b"run", True]
        for other in others:
            text = f"^stream_id must be a str or None, got {type(other).__name__}$"
            with self.subTest(other), self.assertRaisesRegex(TypeError, text):
                sse.Encoder(other)

    def test_a_stream_id_of_a_subclass_is_its_text(self) -> None:
        class Run(str, enum.Enum):
            NIGHTLY = "nightly"

        self.assertTrue(sse.Encoder(Run.NIGHTLY).encode(EVENTS[0]).startswith(b"id: nightly:0.1\n"))

    def test_what_is_no_event_is_a_type_error_and_counts_for_nothing(self) -> None:
        encoder = sse.Encoder()
        other: Any
        for other in (None, {"kind": "flow_start"}, to_json(EVENTS[0])):
            with self.subTest(other), self.assertRaises(TypeError):
                encoder.encode(other)
        self.assertEqual(encoder.last_event_id, "")
        encoder.encode(EVENTS[0])
        self.assertEqual(encoder.last_event_id, "0.1")


class Received(NamedTuple):
    """What a reader gave for a stream."""

    events: list[Event]
    fault: str
    last_event_id: str
    retry: int | None
    outcome: Outcome


def received(chunks: Iterable[bytes], **options: Any) -> Received:
    """Return what a reader gives for these chunks, and hold its fault, if any, to be sticky."""
    reader = sse.Reader(**options)
    events: list[Event] = []
    fault: Exception | None = None
    try:
        for chunk in chunks:
            events += reader.feed(chunk)
        reader.close()
    except (DecodeError, OrderError, sse.FrameTooLarge) as error:
        fault = error
        for call in (lambda: reader.feed(b"\n\n"), reader.close, reader.reopen):
            try:
                call()
            except type(error) as again:
                if str(again) != str(error):
                    raise AssertionError(f"first {error}, then {again}") from None
            else:
                raise AssertionError("the fault was forgotten") from None
    text = "" if fault is None else f"{type(fault).__name__}: {fault}"
    return Received(events, text, reader.last_event_id, reader.retry, reader.outcome)


class Reading(unittest.TestCase):
    def all_cuts(self, stream: bytes, **options: Any) -> Received:
        """Return what the stream gives, wherever it is cut."""
        whole = received([stream], **options)
        for chunks in splits(stream):
            with self.subTest(chunks=chunks):
                self.assertEqual(received(chunks, **options), whole)
        return whole

    def test_a_flow(self) -> None:
        stream = b"".join(frames_of(FLOW))
        whole = Received(list(FLOW), "", "2.2", None, Outcome.COMPLETED)
        self.assertEqual(self.all_cuts(stream), whole)
        self.assertEqual(self.all_cuts(stream, check=False), whole)

    def test_a_flow_that_failed(self) -> None:
        failed = [FLOW[0], FlowError("Report", "e", 1)]
        for check in (True, False):
            found = received(frames_of(failed), check=check)
            self.assertEqual(found, (failed, "", "0.2", None, Outcome.FAILED))

    def test_a_flow_is_open_until_its_end(self) -> None:
        for check in (True, False):
            reader = sse.Reader(check=check)
            for frame in frames_of(FLOW):
                self.assertIs(reader.outcome, Outcome.OPEN)
                reader.feed(frame)
            self.assertIs(reader.outcome, Outcome.COMPLETED)

    def test_other_types_comments_and_retries_are_skipped(self) -> None:
        frames = frames_of(FLOW)
        others = (
            b"retry: 500\n\n: keep-alive\n\nid: x\nevent: ping\ndata: {}\n\n"
            b"event: Step_token\ndata: no JSON\n\nevent: flow_start \ndata: {\n\n"
        )
        found = self.all_cuts(frames[0] + others + b"".join(frames[1:3]) + others, check=False)
        self.assertEqual(found, (list(FLOW[:3]), "", "x", 500, Outcome.TRUNCATED))

    def test_frames_that_name_no_type_hold_events(self) -> None:
        stream = b"".join(b"data: %s\r\n\r\n" % to_json(event).encode() for event in FLOW)
        self.assertEqual(received([stream]).events, list(FLOW))
        named = b"event: message\n" + frames_of(FLOW)[0].replace(b"event: flow_start\n", b"")
        self.assertEqual(received([named], check=False).events, [FLOW[0]])

    def fault(self, bad: bytes, fault: type[Exception], *words: str, **options: Any) -> None:
        """Require that two good frames and then a bad one give two events and the fault."""
        frames = frames_of(FLOW)
        good = frames[0] + frames[1]
        found = self.all_cuts(good + bad + b"retry: 7\n\n" + b"".join(frames[2:]), **options)
        self.assertEqual(found.events, list(FLOW[:2]))
        self.assertEqual(found.last_event_id, "0.2")
        self.assertIsNone(found.retry)
        self.assertIs(found.outcome, Outcome.OPEN)
        self.assertTrue(found.fault.startswith(f"{fault.__name__}: "), found.fault)
        for word in words:
            self.assertIn(word, found.fault)
        self.assertNotIn("\n", found.fault)

    def test_a_frame_that_is_no_event(self) -> None:
        where = "in the data of the frame with the id '5' (line 1, column 1)"
        self.fault(
            b"id: 5\nevent: step_token\ndata: nonsense\n\n", DecodeError, "not-json: ", where
        )
        self.fault(
            b"id: 5\ndata: {}\n\n", DecodeError, "missing-kind: ", "frame with the id '5' (l"
        )
        # Of the cursor before, if it has none.
        self.fault(b"data\n\n", DecodeError, "not-json: ", "frame with the id '0.2' (line 1, ")
        self.fault(b"event: tool_call\ndata: \xff\n\n", DecodeError, "not-json: ")

    def test_an_event_of_another_kind_than_its_frame(self) -> None:
        token = to_json(FLOW[2]).encode()
        bad = b"id: 5\nevent: tool_call\ndata: " + token + b"\n\n"
        self.fault(
            bad,
            DecodeError,
            "DecodeError: kind-mismatch: expected an event of the kind tool_call, which its frame"
            " names, got one of the kind step_token, in the data of the frame with the id '5'",
        )
        reader = sse.Reader(check=False)
        reader.feed(bad)
        with self.assertRaises(DecodeError) as caught:
            reader.feed(b"")
        error = caught.exception
        self.assertEqual(
            (error.reason, error.kind, error.field, error.pos, error.lineno, error.colno),
            ("kind-mismatch", "step_token", "kind", None, None, None),
        )

    def test_an_error_has_the_place_in_the_data_and_pickles(self) -> None:
        reader = sse.Reader()
        reader.feed(b'data: {"kind":"flow_error",\n')
        reader.feed(b'data: "error":5,"flow_name":"f","timestamp_ms":0}\n\n')
        with self.assertRaises(DecodeError) as caught:
            reader.feed(b"")
        error = caught.exception
        self.assertEqual((error.reason, error.kind, error.lineno), ("wrong-type", "flow_error", 2))
        self.assertEqual((error.field, error.pos, error.colno), ("error", 30, 9))
        self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))
        self.assertIsNone(error.__cause__)

    def test_an_error_quotes_little_of_a_long_id(self) -> None:
        reader = sse.Reader()
        reader.feed(b"id: " + b"x\xe2\x80\xa8" * 10_000 + b"\ndata: x\n\n")
        with self.assertRaises(DecodeError) as caught:
            reader.close()
        self.assertLess(len(str(caught.exception)), 300)
        self.assertNotIn("\u2028", str(caught.exception))

    def test_an_order_that_is_broken(self) -> None:
        self.fault(frames_of(FLOW)[0], OrderError, "flow-restarted: ")

    def test_a_frame_that_is_too_large(self) -> None:
        large = b"data: " + b"x" * 200
        self.fault(large, sse.FrameTooLarge, "after at most 200 bytes", max_frame_bytes=200)

    def test_the_first_fault_is_the_one_that_counts(self) -> None:
        bad = b"data: nonsense\n\n" + b"x" * 300
        self.fault(bad, DecodeError, max_frame_bytes=200)

    def test_an_end_without_terminator(self) -> None:
        frames = frames_of(FLOW)
        for number in range(len(frames)):
            stream = b"".join(frames[:number]) + frames[number][:-1]
            found = self.all_cuts(stream)
            self.assertEqual(found.events, list(FLOW[:number]))
            self.assertTrue(found.fault.startswith("TruncatedStream: not-terminated: "))
            self.assertIs(found.outcome, Outcome.TRUNCATED)
            found = received([stream], check=False)
            self.assertEqual((found.fault, found.outcome), ("", Outcome.TRUNCATED))
            allowing = StreamChecker(allow=[Rule.NOT_TERMINATED])
            found = received([stream], check=allowing)
            self.assertEqual((found.fault, found.outcome), ("", Outcome.TRUNCATED))

    def test_a_checker_of_ones_own(self) -> None:
        checker = StreamChecker(allow=[Rule.TOKEN_GAP])
        events = [FLOW[0], FLOW[1], FLOW[3]]
        reader = sse.Reader(check=checker)
        self.assertEqual(reader.feed(b"".join(frames_of(events))), events)
        self.assertIs(reader.outcome, Outcome.OPEN)
        checker.require(FLOW[4])
        checker.require(FLOW[5])
        self.assertIs(reader.outcome, Outcome.COMPLETED)

    def test_without_a_check_the_first_terminator_counts(self) -> None:
        events = [EVENTS[5], EVENTS[6], EVENTS[2], EVENTS[2]]
        found = self.all_cuts(b"".join(frames_of(events)), check=False)
        self.assertEqual(found, (events, "", "1.1", None, Outcome.COMPLETED))

    def test_another_check(self) -> None:
        other: Any
        for other in (None, 1, "yes", StreamChecker):
            with self.subTest(other), self.assertRaisesRegex(TypeError, "^check must be True"):
                sse.Reader(check=other)
        used = StreamChecker()
        used.close()
        with self.assertRaisesRegex(ValueError, "^check must be a StreamChecker of an open stream"):
            sse.Reader(check=used)

    def test_what_is_no_bytes(self) -> None:
        text: Any = "data: x"
        with self.assertRaisesRegex(TypeError, "^feed takes bytes, got str$"):
            sse.Reader().feed(text)

    def test_after_close(self) -> None:
        reader = sse.Reader()
        reader.feed(b"".join(frames_of(FLOW)) + b"data: half")
        reader.close()
        reader.close()
        with self.assertRaisesRegex(RuntimeError, "^the stream was closed: call feed"):
            reader.feed(b"")
        with self.assertRaisesRegex(RuntimeError, "^the stream was closed: call reopen.* close.*$"):
            reader.reopen()
        self.assertIs(reader.outcome, Outcome.COMPLETED)

    def test_what_is_left_after_a_fault_is_read_no_more(self) -> None:
        reader = sse.Reader(check=False)
        self.assertEqual(reader.feed(b"id: 8\ndata: nonsense\n\nid: 9\nretry: 1\n\n"), [])
        self.assertEqual((reader.last_event_id, reader.retry), ("", None))

    def test_ids_come_with_their_events(self) -> None:
        frames = frames_of(FLOW)
        stream = b": hello\n\n" + b"".join(frames) + b"event: ping\ndata: x\n\n"
        for step in (1, 7, len(stream)):
            reader = sse.Reader()
            found = []
            for at in range(0, len(stream), step):
                found += reader.feed_with_ids(stream[at : at + step])
            self.assertEqual(found, list(zip(IDS, FLOW, strict=True)))
            # Each is the place to go on from.
            for number, (id, _) in enumerate(found):
                later = sse.Reader(last_event_id=id)
                self.assertEqual(later.feed(b"".join(frames[number + 1 :])), [*FLOW[number + 1 :]])

    def test_frames_and_bytes_are_counted_over_all_connections(self) -> None:
        frames = frames_of(FLOW)
        reader = sse.Reader()
        self.assertEqual((reader.frame_count, reader.byte_count), (0, 0))
        reader.feed(b": hello\n\nretry: 5\n\nid: 0\n\n")
        self.assertEqual((reader.frame_count, reader.byte_count), (0, 26))
        reader.feed(memoryview(frames[0] + b"event: ping\ndata\n\n"))
        self.assertEqual(reader.frame_count, 2)
        reader.feed(b"event: half\n")
        reader.reopen()
        reader.feed(frames[1])
        self.assertEqual(reader.frame_count, 3)
        self.assertEqual(reader.byte_count, 26 + len(frames[0] + frames[1]) + 18 + 12)


class Resumed(unittest.TestCase):
    """A reader that begins in the middle of a run."""

    def judged(self, last_event_id: str, *events: Event, **options: Any) -> list[str]:
        """Return the rules that are broken by these events after that id, before any end."""
        reader = sse.Reader(last_event_id=last_event_id, **options)
        self.assertEqual(reader.last_event_id, last_event_id)
        reader.feed(b"".join(b"data: %s\n\n" % to_json(event).encode() for event in events))
        try:
            reader.feed(b"")
        except OrderError as error:
            return [error.violation.rule.value]
        return []

    def test_the_seam_is_judged(self) -> None:
        for id, next_token in (
            *(("17", 18), ("17.2", 18), ("0.1", 1), ("run:17", 18), ("run:17.2", 18)),
            *(("a:b:3", 4), (":3", 4), ("1:2", 3), (f"{U64_MAX - 1}", U64_MAX)),
        ):
            for index in {0, next_token - 1, next_token, next_token + 1, U64_MAX}:
                if not 0 <= index <= U64_MAX:
                    continue
                with self.subTest(id, index=index):
                    expected = [] if index == next_token else ["token-gap"]
                    if index < next_token:
                        expected = ["token-repeated"]
                    self.assertEqual(self.judged(id, StepToken("A", "x", index, 0)), expected)

    def test_an_id_that_is_no_cursor_says_nothing_of_the_tokens(self) -> None:
        for id in (
            *("x", "17:", "17:x", "17.", ".5", "-17", "+17", "017", " 17", "17 ", "1_7", "17.2.1"),
            *("\u0661\u0667", "²", f"{U64_MAX + 1}", "9" * 5000),
        ):
            for index in (1, 18, 5, U64_MAX):
                with self.subTest(f"{id:.20}", index=index):
                    self.assertEqual(self.judged(id, StepToken("A", "x", index, 0)), [])

    def test_what_the_missed_beginning_could_tell_is_not_judged(self) -> None:
        self.assertEqual(self.judged("2", *FLOW[4:]), [])
        self.assertEqual(self.judged("2.1", FLOW[5]), [])
        self.assertEqual(self.judged("1", FLOW[3], FLOW[4], FLOW[4]), ["step-not-open"])
        reader = sse.Reader(last_event_id="2.1")
        with self.assertRaises(TruncatedStream):
            reader.close()

    def test_a_server_that_begins_again(self) -> None:
        self.assertEqual(self.judged("2", *FLOW), [])

    def test_a_checker_of_ones_own_is_used_as_it_is(self) -> None:
        token = StepToken("A", "x", 40, 0)
        self.assertEqual(self.judged("17", token, check=StreamChecker()), ["flow-not-started"])
        joined = StreamChecker(from_start=False, last_token=39)
        self.assertEqual(self.judged("17", token, check=joined), [])
        self.assertEqual(self.judged("17", token, token, check=False), [])


class NoEventStream(unittest.TestCase):
    """Where bytes came but not one frame, the error at the end shows how they began."""

    def said(self, stream: bytes) -> str:
        """Return what the error at the end of this stream says."""
        reader = sse.Reader()
        for at in range(0, len(stream), 7):
            reader.feed(stream[at : at + 7])
        with self.assertRaises(TruncatedStream) as caught:
            reader.close()
        error = caught.exception
        self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))
        self.assertIs(error.violation.rule, Rule.NOT_TERMINATED)
        self.assertTrue(str(error).isprintable(), str(error))
        self.assertLess(len(str(error)), 500)
        return str(error)

    def test_a_page(self) -> None:
        page = b"<!DOCTYPE html>\n<title>Sign in</title>" + b"<p>" * 1000
        said = self.said(page)
        self.assertIn(f"; {len(page)} bytes came, but not one frame; they begin with b'<!D", said)
        self.assertTrue(said.endswith(repr(page[:40])), said)

    def test_compressed_bytes(self) -> None:
        self.assertIn(
            r"; they begin with b'\x1f\x8b\x08\xff\xff", self.said(b"\x1f\x8b\x08" + b"\xff" * 99)
        )

    def test_comments_are_no_frames(self) -> None:
        said = self.said(b": ok\n\n")
        self.assertTrue(
            said.endswith(r"; 6 bytes came, but not one frame; they begin with b': ok\n\n'")
        )

    def test_not_where_nothing_or_a_frame_came(self) -> None:
        for chunk in (
            b"",
            b"data: x",
            frames_of(FLOW)[0],
            b"x" * 99 + b"\n\nevent: ping\ndata\n\n",
        ):
            with self.subTest(chunk):
                self.assertEqual("begin" in self.said(chunk), chunk == b"data: x")

    def test_the_first_connection_is_the_one_that_is_shown(self) -> None:
        reader = sse.Reader()
        reader.feed(b"<html>")
        reader.reopen()
        reader.feed(b"y" * 50)
        with self.assertRaisesRegex(TruncatedStream, "; 56 bytes came.* b'<html>y{34}'$"):
            reader.close()


class Reopened(unittest.TestCase):
    def test_a_flow_over_two_connections_cut_at_every_byte(self) -> None:
        frames = frames_of(FLOW)
        stream = b"retry: 500\n\n" + BOM + b": hello\n\n" + b"".join(frames)
        for cut in range(0, len(stream) + 1, rounds(7, 1)):
            with self.subTest(cut=cut):
                reader = sse.Reader()
                events = reader.feed(stream[:cut])
                reader.reopen()
                seen = reader.last_event_id
                missed = frames[IDS.index(seen) + 1 :] if seen else frames
                events += reader.feed(BOM + b"".join(missed))
                reader.close()
                self.assertEqual(events, list(FLOW))
                self.assertEqual(reader.last_event_id, "2.2")
                self.assertEqual(reader.retry, 500 if cut >= 11 else None)

    def test_a_flow_over_a_connection_for_each_event(self) -> None:
        reader = sse.Reader()
        events = []
        for frame in frames_of(FLOW):
            events += reader.feed(frame + b"id: 99\nretry: x\ndata: half")
            reader.reopen()
        self.assertEqual(events, list(FLOW))
        reader.close()

    def test_the_half_frame_is_forgotten_and_its_id_with_it(self) -> None:
        token = b"data: " + to_json(FLOW[2]).encode() + b"\n\n"
        for half in (b"id: 9", b"id: 9\nevent: ping\ndata: x\ndat", b": c", b"\r", BOM[:2]):
            reader = sse.Reader(check=False)
            reader.feed(b"id: 1\n\n" + half)
            reader.reopen()
            self.assertEqual(reader.last_event_id, "1")
            with self.subTest(half):
                # A frame without an id keeps the one that was committed.
                self.assertEqual(reader.feed(BOM + token), [FLOW[2]])
                self.assertEqual(reader.last_event_id, "1")

    def test_the_line_feed_of_a_new_connection_ends_a_line(self) -> None:
        reader = sse.Reader(check=False)
        reader.feed(b"id: 1\r\n\r")
        reader.reopen()
        self.assertEqual(reader.feed(b"\n" + BOM + b"id: 2\n\n"), [])
        # After a blank line it is no byte order mark, but part of the name.
        self.assertEqual(reader.last_event_id, "1")

    def test_the_order_goes_on(self) -> None:
        frames = frames_of(FLOW)
        reader = sse.Reader()
        reader.feed(b"".join(frames[:3]))
        reader.reopen()
        self.assertEqual(reader.feed(b"".join(frames[2:])), [])
        with self.assertRaises(OrderError) as caught:
            reader.close()
        self.assertEqual(caught.exception.violation.rule, Rule.TOKEN_REPEATED)
        self.assertEqual(caught.exception.violation.index, 3)
        self.assertEqual(reader.last_event_id, "1")

    def test_the_bytes_of_a_frame_are_counted_anew(self) -> None:
        reader = sse.Reader(check=False, max_frame_bytes=10)
        for _ in range(3):
            self.assertEqual(reader.feed(b"data: 7890"), [])
            reader.reopen()
        reader.feed(b"\n\ndata: 78901")
        with self.assertRaisesRegex(sse.FrameTooLarge, "begins at byte 2: "):
            reader.close()

    def test_a_fault_stays(self) -> None:
        reader = sse.Reader()
        reader.feed(b"data: x\n\n")
        self.assertRaises(DecodeError, reader.reopen)
        self.assertRaises(DecodeError, reader.feed, b"")


class Pulled:
    """Chunks that are counted as they are pulled."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.count += 1
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            await asyncio.sleep(0)
            yield chunk


async def _listed(events: AsyncIterator[Event], into: list[Event]) -> None:
    async for event in events:
        into.append(event)


def _read(chunks: Pulled, into: list[Event], **options: Any) -> None:
    for event in sse.read(chunks, **options):
        into.append(event)


def _aread(chunks: Pulled, into: list[Event], **options: Any) -> None:
    asyncio.run(_listed(sse.aread(chunks, **options), into))


READS: list[Callable[..., None]] = [_read, _aread]


class Iterated(unittest.TestCase):
    """`read` and `aread`."""

    @needs.asyncio_run
    def test_a_flow(self) -> None:
        stream = b"".join(frames_of(FLOW))
        for read in READS:
            for step in (1, 7, len(stream)):
                events: list[Event] = []
                read(Pulled([stream[i : i + step] for i in range(0, len(stream), step)]), events)
                self.assertEqual(events, list(FLOW))

    @needs.asyncio_run
    def test_each_event_comes_with_its_chunk(self) -> None:
        chunks = Pulled(frames_of(FLOW))
        for number, event in enumerate(sse.read(chunks), 1):
            self.assertEqual((event, chunks.count), (FLOW[number - 1], number))

        async def look() -> None:
            chunks = Pulled(frames_of(FLOW))
            number = 0
            async for event in sse.aread(chunks):
                number += 1
                self.assertEqual((event, chunks.count), (FLOW[number - 1], number))

        asyncio.run(look())

    @needs.asyncio_run
    def test_a_fault_comes_after_the_events_before_it_and_without_another_chunk(self) -> None:
        frames = frames_of(FLOW)
        for read in READS:
            for bad, fault, options in (
                (b"data: x\n\n", DecodeError, {}),
                (frames[0], OrderError, {}),
                (b"x" * 200, sse.FrameTooLarge, {"max_frame_bytes": 199}),
            ):
                events: list[Event] = []
                chunks = Pulled([frames[0], frames[1] + bad, frames[2]])
                with self.subTest(read=read, bad=bad), self.assertRaises(fault):
                    read(chunks, events, **options)
                self.assertEqual(events, list(FLOW[:2]))
                self.assertEqual(chunks.count, 2)

    @needs.asyncio_run
    def test_an_end_without_terminator(self) -> None:
        for read in READS:
            events: list[Event] = []
            with self.assertRaises(TruncatedStream):
                read(Pulled(frames_of(FLOW[:3])), events)
            self.assertEqual(events, list(FLOW[:3]))
            events = []
            read(Pulled(frames_of(FLOW[:3])), events, check=False)
            self.assertEqual(events, list(FLOW[:3]))

    @needs.asyncio_run
    def test_nothing_is_asked_for_after_the_terminator(self) -> None:
        frames = frames_of(FLOW)
        for read in READS:
            for check in (True, False):
                for last in (frames[5], frames[5] + b": bye\n\nid: 9\ndata: half"):
                    events: list[Event] = []
                    chunks = Pulled([*frames[:5], last, b"", b"data: x\n\n"])
                    read(chunks, events, check=check)
                    self.assertEqual((events, chunks.count), (list(FLOW), 6))

    @needs.asyncio_run
    def test_what_came_with_the_terminator_is_judged(self) -> None:
        frames = frames_of(FLOW)
        for read in READS:
            for more, fault in ((frames[5], OrderError), (b"data: x\n\n", DecodeError)):
                events: list[Event] = []
                with self.assertRaises(fault):
                    read(Pulled([*frames[:5], frames[5] + more]), events)
                self.assertEqual(events, list(FLOW))

    def test_text_is_told_by_what_is_given(self) -> None:
        text: Any = io.TextIOWrapper(io.BytesIO(frames_of(FLOW[:3])[0]))
        message = "^read takes an iterable of bytes, got text: open a file in binary mode$"
        with self.assertRaisesRegex(TypeError, message):
            next(sse.read(text))

        class Response(Pulled):
            encoding = "utf-8"  # as those of requests and httpx have it

        self.assertEqual(list(sse.read(Response(frames_of(FLOW)))), list(FLOW))

    @needs.asyncio_run
    def test_a_response_of_httpx_as_it_is(self) -> None:
        # It cannot be iterated: these two methods of it give the bytes of its body.
        class Response:
            def iter_bytes(self) -> Iterator[bytes]:
                return iter(chunks)

            async def aiter_bytes(self) -> AsyncIterator[bytes]:
                for chunk in chunks:
                    yield chunk

        async def main() -> list[Event]:
            return [event async for event in sse.aread(Response())]

        encoder = sse.Encoder()
        chunks = [encoder.encode(event) for event in FLOW]
        self.assertEqual(list(sse.read(Response())), list(FLOW))
        self.assertEqual(asyncio.run(main()), list(FLOW))

    def test_misuse_is_told_by_the_call(self) -> None:
        chunks: Any
        for chunks, text in (
            (b"data: x\n\n", "bytes: put it into a list"),
            (bytearray(), "bytearray: put it into a list"),
            (memoryview(b""), "memoryview: put it into a list"),
            ("data: x\n\n", "text: open a file in binary mode"),
        ):
            message = f"^read takes an iterable of bytes, got {text}$"
            with self.subTest(message), self.assertRaisesRegex(TypeError, message):
                sse.read(chunks)
        for chunks in (None, Pulled([]).__aiter__()):
            name = type(chunks).__name__
            with self.subTest(name), self.assertRaisesRegex(TypeError, f"bytes, got {name}$"):
                sse.read(chunks)
        for chunks in (b"data: x\n\n", "data: x\n\n", [b"data: x\n\n"], None):
            name = type(chunks).__name__
            got = rf"got {name}: use read for any other iterable$"
            text = f"^aread takes an asynchronous iterable of bytes, {got}"
            with self.subTest(type(chunks)), self.assertRaisesRegex(TypeError, text):
                sse.aread(chunks)
        for call in (sse.read, sse.aread):
            with self.assertRaisesRegex(ValueError, "^max_frame_bytes must be 1 or more"):
                call(Pulled([]), max_frame_bytes=0)
            check: Any = None
            with self.assertRaisesRegex(TypeError, "^check must be True"):
                call(Pulled([]), check=check)


if __name__ == "__main__":
    unittest.main()
